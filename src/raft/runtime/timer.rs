//! Sleeping and deadlines on glommio's timers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::timer::Timer;
use pin_project_lite::pin_project;

/// Resolves once its duration has passed since it was made.
pub(in crate::raft) struct Sleep(Timer);

impl Sleep {
    pub(super) fn new(duration: Duration) -> Self {
        Sleep(Timer::new(duration))
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx).map(|_instant| ())
    }
}

/// A future did not finish in time.
#[derive(Debug)]
pub(in crate::raft) struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

pin_project! {
    /// A future, or [`Elapsed`] where it takes longer than it may. The future goes first: one
    /// that is ready when its time is up counts as in time.
    pub(in crate::raft) struct Timeout<F> {
        #[pin]
        future: F,
        timer: Timer,
    }
}

impl<F> Timeout<F> {
    pub(super) fn new(duration: Duration, future: F) -> Self {
        Timeout {
            future,
            timer: Timer::new(duration),
        }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        Pin::new(this.timer).poll(cx).map(|_instant| Err(Elapsed))
    }
}

//! Deadlines.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

#[cfg(not(feature = "sim"))]
pub(in crate::raft) use super::sleep::Sleep;
#[cfg(feature = "sim")]
pub(in crate::raft) use crate::rt::sim::Sleep;

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
        sleep: Sleep,
    }
}

impl<F> Timeout<F> {
    pub(super) fn new(duration: Duration, future: F) -> Self {
        Timeout {
            future,
            sleep: Sleep::new(duration),
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
        Pin::new(this.sleep).poll(cx).map(|()| Err(Elapsed))
    }
}

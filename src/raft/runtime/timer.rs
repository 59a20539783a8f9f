//! Sleeping and deadlines on glommio's timers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use glommio::timer::Timer;
use pin_project_lite::pin_project;

/// Shorter sleeps than this give way to the other tasks until their time is up.
///
/// openraft sleeps for up to a microsecond between two completed writes. As a timer of glommio's
/// that would be a trip through its rings, and the group would wait for it.
const SHORT: Duration = Duration::from_micros(50);

/// Resolves once its duration has passed since it was made.
pub(in crate::raft) enum Sleep {
    Short { until: Instant },
    Long(Timer),
}

impl Sleep {
    pub(super) fn new(duration: Duration) -> Self {
        if duration < SHORT {
            let until = Instant::now() + duration;
            Sleep::Short { until }
        } else {
            Sleep::Long(Timer::new(duration))
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Sleep::Long(timer) => Pin::new(timer).poll(cx).map(|_instant| ()),
            Sleep::Short { until } if Instant::now() >= *until => Poll::Ready(()),
            Sleep::Short { .. } => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
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

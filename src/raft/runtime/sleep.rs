//! Sleeping.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::rt::timer;

/// Shorter sleeps than this give way to the other tasks until their time is up.
///
/// openraft sleeps for up to a microsecond between two completed writes. As a timer that would be a
/// sleep of the core, and the group would wait for it.
const SHORT: Duration = Duration::from_micros(50);

/// Resolves once its duration has passed since it was made.
pub(in crate::raft) enum Sleep {
    Short { until: Instant },
    Long(timer::Sleep),
}

impl Sleep {
    pub(super) fn new(duration: Duration) -> Self {
        if duration < SHORT {
            let until = Instant::now() + duration;
            Sleep::Short { until }
        } else {
            Sleep::Long(timer::Sleep::new(duration))
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Sleep::Long(timer) => Pin::new(timer).poll(cx),
            Sleep::Short { until } if Instant::now() >= *until => Poll::Ready(()),
            Sleep::Short { .. } => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

//! Tasks that another thread wakes.
//!
//! glommio keeps such a wake for its reactor, which a core that sleeps in its own ring does not visit:
//! the core's doorbell has to be rung as well.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use super::park::Doorbell;
use super::ring::Ring;

struct Ringing {
    waker: Waker,
    doorbell: Doorbell,
}

impl Wake for Ringing {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.waker.wake_by_ref();
        self.doorbell.call();
    }
}

/// What to give another thread that is to wake this task.
pub fn cross_thread_waker(context: &Context<'_>) -> Waker {
    let waker = context.waker().clone();
    match Ring::current() {
        Some(ring) => Waker::from(Arc::new(Ringing {
            waker,
            doorbell: ring.doorbell().clone(),
        })),
        // The executor sleeps in its reactor.
        None => waker,
    }
}

/// `future`, which another thread may wake.
pub async fn cross_thread<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut known: Option<(Waker, Waker)> = None;
    poll_fn(|context| {
        let waker = match known.take() {
            Some((inner, waker)) if inner.will_wake(context.waker()) => waker,
            _ => cross_thread_waker(context),
        };
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        known = Some((context.waker().clone(), waker));
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use futures::channel::oneshot;

    use super::*;
    use crate::rt::net::run_test;

    #[test]
    fn a_thread_wakes_a_core_that_sleeps() {
        let late = run_test(async {
            let mut late = Duration::MAX;
            for _ in 0..20 {
                let (sender, receiver) = oneshot::channel();
                let (awake, ended) = oneshot::channel();
                // glommio has to hear of it, too: a task of its own.
                crate::rt::spawn(async move {
                    let _ = awake.send(cross_thread(receiver).await);
                });
                let thread = std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(10));
                    sender.send(Instant::now()).expect("somebody waits");
                });
                let sent = ended.await.expect("the task ends").expect("it was sent");
                late = late.min(sent.elapsed());
                thread.join().expect("the thread ends");
            }
            late
        });
        // Not left to the longest sleep of a core.
        assert!(late < Duration::from_millis(50), "{late:?}");
    }
}

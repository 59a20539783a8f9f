//! Tasks that another thread wakes.
//!
//! glommio keeps such a wake for its reactor, which a core that sleeps in its own ring never visits.
//! So the other thread only leaves a number and rings the core's doorbell; the core's main task wakes
//! the task.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use super::park::Doorbell;
use super::ring::Ring;

#[derive(Default)]
struct Tasks {
    waiting: BTreeMap<u64, Waker>,
    next_number: u64,
}

thread_local! {
    static TASKS: RefCell<Tasks> = RefCell::default();
}

/// What another thread holds.
struct Call {
    number: u64,
    doorbell: Doorbell,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.doorbell.call(self.number);
    }
}

/// A task's place among those of its core that other threads wake. Belongs to the task.
#[derive(Default)]
pub struct Crossing(Option<(u64, Waker)>);

impl Crossing {
    /// What to give another thread that is to wake the task which is polled with `context`. Always
    /// the same one.
    pub fn waker(&mut self, context: &Context<'_>) -> Waker {
        let Some(ring) = Ring::current() else {
            // Without a ring the executor sleeps in its reactor.
            return context.waker().clone();
        };
        let (number, waker) = self.0.get_or_insert_with(|| {
            let number = TASKS.with_borrow_mut(|tasks| {
                tasks.next_number += 1;
                tasks.next_number
            });
            let doorbell = ring.doorbell().clone();
            (number, Waker::from(Arc::new(Call { number, doorbell })))
        });
        let task = context.waker().clone();
        let before = TASKS.with_borrow_mut(|tasks| tasks.waiting.insert(*number, task));
        drop(before);
        waker.clone()
    }
}

impl Drop for Crossing {
    fn drop(&mut self) {
        if let Some((number, _)) = self.0.take() {
            // A thread that ends has dropped them before.
            let removed = TASKS.try_with(|tasks| tasks.borrow_mut().waiting.remove(&number));
            drop(removed);
        }
    }
}

/// Wakes the tasks that other threads called since the last time.
pub(super) fn wake_called(doorbell: &Doorbell) {
    for number in doorbell.take_calls() {
        let waker = TASKS.with_borrow(|tasks| tasks.waiting.get(&number).cloned());
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// `future`, which another thread may wake.
pub async fn cross_thread<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut crossing = Crossing::default();
    poll_fn(|context| {
        let waker = crossing.waker(context);
        future.as_mut().poll(&mut Context::from_waker(&waker))
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

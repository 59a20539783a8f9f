//! Timers of a core that has a ring of its own: its main task fires them and sleeps until the next.
//!
//! glommio's would do as well; but each wake of its reactor costs ten system calls, and the main
//! task sleeps in its own ring to be spared them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use glommio::timer::Timer;

use super::ring::Ring;

/// Timers that wait, by when they are due; the number tells those of one moment apart.
#[derive(Default)]
struct Timers {
    waiting: BTreeMap<(Instant, u64), Waker>,
    next_number: u64,
}

thread_local! {
    static TIMERS: RefCell<Timers> = RefCell::default();
}

/// Resolves once its duration has passed since it was made.
pub enum Sleep {
    Own(Own),
    /// On a thread without a ring nobody fires our own.
    Glommio(Timer),
}

pub struct Own {
    due: Instant,
    number: Option<u64>,
}

impl Sleep {
    pub fn new(duration: Duration) -> Sleep {
        if Ring::is_here() {
            let due = Instant::now() + duration;
            Sleep::Own(Own { due, number: None })
        } else {
            Sleep::Glommio(Timer::new(duration))
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Sleep::Own(own) => own.poll_due(context),
            Sleep::Glommio(timer) => Pin::new(timer).poll(context).map(drop),
        }
    }
}

impl Own {
    fn poll_due(&mut self, context: &Context<'_>) -> Poll<()> {
        if Instant::now() >= self.due {
            return Poll::Ready(());
        }
        let replaced = TIMERS.with_borrow_mut(|timers| {
            let number = *self.number.get_or_insert_with(|| {
                timers.next_number += 1;
                timers.next_number
            });
            let waker = context.waker().clone();
            timers.waiting.insert((self.due, number), waker)
        });
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let key = (self.due, number);
            // A thread that ends has dropped them before.
            let removed = TIMERS.try_with(|timers| timers.borrow_mut().waiting.remove(&key));
            drop(removed);
        }
    }
}

/// Wakes whom it is time for.
pub(super) fn fire() {
    if TIMERS.with_borrow(|timers| timers.waiting.is_empty()) {
        return;
    }
    let now = Instant::now();
    let take_due = |timers: &mut Timers| {
        let first = timers.waiting.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    };
    while let Some(waker) = TIMERS.with_borrow_mut(take_due) {
        waker.wake();
    }
}

/// How long until the next one is due; zero where it is.
pub(super) fn until_next() -> Option<Duration> {
    let first = TIMERS.with_borrow(|timers| Some(timers.waiting.first_key_value()?.0.0))?;
    Some(first.saturating_duration_since(Instant::now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rt::net::run_test;
    use crate::rt::{sleep, spawn};
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn timers_fire_in_their_order_and_one_that_is_dropped_does_not() {
        run_test(async {
            let order = Rc::new(RefCell::new(Vec::new()));
            for ms in [30, 10, 20] {
                let order = order.clone();
                spawn(async move {
                    sleep(Duration::from_millis(ms)).await;
                    order.borrow_mut().push(ms);
                });
            }
            let late = Rc::new(Cell::new(false));
            let (given_up, set) = (Sleep::new(Duration::from_millis(5)), late.clone());
            let mut given_up = Box::pin(async move {
                given_up.await;
                set.set(true);
            });
            assert!(futures::poll!(&mut given_up).is_pending());
            drop(given_up);
            let begun = Instant::now();
            sleep(Duration::from_millis(40)).await;
            assert!(begun.elapsed() >= Duration::from_millis(40));
            assert_eq!(*order.borrow(), [10, 20, 30]);
            assert!(!late.get());
            assert!(TIMERS.with_borrow(|timers| timers.waiting.is_empty()));
        });
    }
}

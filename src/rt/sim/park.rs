//! Going to sleep and being woken, in a simulation: as `rt/park.rs`, without a kernel.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use futures::task::AtomicWaker;

/// How other cores wake a core.
#[derive(Clone)]
pub struct Doorbell(Arc<Bell>);

#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    waker: AtomicWaker,
}

impl Doorbell {
    /// # Errors
    /// None.
    pub fn new() -> io::Result<Doorbell> {
        Ok(Doorbell(Arc::default()))
    }

    pub fn ring(&self) {
        self.0.rung.store(true, Ordering::Relaxed);
        self.0.waker.wake();
    }

    /// There are no other threads.
    pub(in crate::rt) fn call(&self, _number: u64) {
        self.ring();
    }

    pub(in crate::rt) fn is_called(&self) -> bool {
        false
    }

    pub(in crate::rt) fn take_calls(&self) -> Vec<u64> {
        Vec::new()
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> RawFd {
        -1
    }
}

/// Where a core's main task sleeps.
#[derive(Clone)]
pub struct Parker(Rc<State>);

struct State {
    doorbell: Doorbell,
    notified: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Parker {
    pub fn new(doorbell: Doorbell) -> Parker {
        Parker(Rc::new(State {
            doorbell,
            notified: Cell::new(false),
            waker: RefCell::new(None),
        }))
    }

    pub fn doorbell(&self) -> &Doorbell {
        &self.0.doorbell
    }

    pub fn notify(&self) {
        if !self.0.notified.replace(true)
            && let Some(waker) = self.0.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    pub(in crate::rt) fn is_notified(&self) -> bool {
        self.0.notified.get()
    }

    pub(in crate::rt) fn begin_turn(&self) {
        self.0.notified.set(false);
    }

    pub async fn park(&self) {
        poll_fn(|context| {
            let bell = &self.0.doorbell.0;
            bell.waker.register(context.waker());
            if self.0.notified.get() || bell.rung.swap(false, Ordering::Relaxed) {
                return Poll::Ready(());
            }
            *self.0.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    pub fn arm(&self) {
        self.0.notified.set(false);
        self.0.doorbell.0.rung.store(false, Ordering::Relaxed);
    }

    pub fn disarm(&self) {}
}

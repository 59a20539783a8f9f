//! A channel for one value.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The kind of channel, as openraft names it.
pub(in crate::raft) struct Oneshot;

enum Slot<T> {
    /// No value yet; the receiver, if it waits.
    Empty(Option<Waker>),
    Full(T),
    /// One side is gone, or the value was taken.
    Closed,
}

pub(in crate::raft) struct Sender<T>(Rc<RefCell<Slot<T>>>);

pub(in crate::raft) struct Receiver<T>(Rc<RefCell<Slot<T>>>);

/// The sender went away without a value.
#[derive(Debug)]
pub(in crate::raft) struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("oneshot channel closed")
    }
}

impl std::error::Error for Closed {}

impl openraft_rt::Oneshot for Oneshot {
    type Sender<T> = Sender<T>;
    type Receiver<T> = Receiver<T>;
    type ReceiverError = Closed;

    fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let slot = Rc::new(RefCell::new(Slot::Empty(None)));
        (Sender(slot.clone()), Receiver(slot))
    }
}

impl<T> openraft_rt::OneshotSender<T> for Sender<T> {
    fn send(self, value: T) -> Result<(), T> {
        let waker = {
            let mut slot = self.0.borrow_mut();
            let Slot::Empty(waker) = &mut *slot else {
                return Err(value);
            };
            let waker = waker.take();
            *slot = Slot::Full(value);
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.borrow_mut();
            let Slot::Empty(waker) = &mut *slot else {
                return;
            };
            let waker = waker.take();
            *slot = Slot::Closed;
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Closed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.0.borrow_mut();
        if let Slot::Empty(waker) = &mut *slot {
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(cx.waker()))
            {
                *waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        match std::mem::replace(&mut *slot, Slot::Closed) {
            Slot::Full(value) => Poll::Ready(Ok(value)),
            Slot::Empty(_) | Slot::Closed => Poll::Ready(Err(Closed)),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // The value's destructor may reach this channel again: it runs after the borrow.
        let _left = self.0.replace(Slot::Closed);
    }
}

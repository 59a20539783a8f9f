//! A bounded queue from many tasks to one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use openraft_rt::{SendError, TryRecvError};

/// The kind of channel, as openraft names it.
pub(in crate::raft) struct Mpsc;

struct Channel<T> {
    queue: RefCell<VecDeque<T>>,
    capacity: usize,
    senders: Cell<usize>,
    closed: Cell<bool>,
    /// The receiver's waker, kept from one wait to the next so that waiting clones nothing.
    receiver: RefCell<Option<Waker>>,
    /// Whether the receiver waits: one wake per wait, however many sends.
    receiver_waits: Cell<bool>,
    /// Senders that found the queue full.
    senders_waiting: RefCell<Vec<Waker>>,
}

impl<T> Channel<T> {
    fn wake_receiver(&self) {
        if self.receiver_waits.replace(false)
            && let Some(waker) = &*self.receiver.borrow()
        {
            waker.wake_by_ref();
        }
    }

    fn wake_senders(&self) {
        if self.senders_waiting.borrow().is_empty() {
            return;
        }
        for waker in self.senders_waiting.take() {
            waker.wake();
        }
    }

    fn wait_for_room(&self, cx: &Context<'_>) {
        let mut waiting = self.senders_waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
    }

    fn wait_for_value(&self, cx: &Context<'_>) {
        let mut receiver = self.receiver.borrow_mut();
        if !receiver
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *receiver = Some(cx.waker().clone());
        }
        self.receiver_waits.set(true);
    }
}

pub(in crate::raft) struct Sender<T>(Rc<Channel<T>>);

pub(in crate::raft) struct WeakSender<T>(Weak<Channel<T>>);

pub(in crate::raft) struct Receiver<T>(Rc<Channel<T>>);

impl openraft_rt::Mpsc for Mpsc {
    type Sender<T> = Sender<T>;
    type Receiver<T> = Receiver<T>;
    type WeakSender<T> = WeakSender<T>;

    /// The queue grows as it is used: `capacity` bounds it and reserves nothing.
    fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        let channel = Rc::new(Channel {
            queue: RefCell::new(VecDeque::new()),
            capacity: capacity.max(1),
            senders: Cell::new(1),
            closed: Cell::new(false),
            receiver: RefCell::new(None),
            receiver_waits: Cell::new(false),
            senders_waiting: RefCell::new(Vec::new()),
        });
        (Sender(channel.clone()), Receiver(channel))
    }
}

impl<T> openraft_rt::MpscSender<Mpsc, T> for Sender<T> {
    async fn send(&self, value: T) -> Result<(), SendError<T>> {
        let channel = &*self.0;
        let mut value = Some(value);
        poll_fn(|cx| {
            let mut queue = channel.queue.borrow_mut();
            if !channel.closed.get() && queue.len() >= channel.capacity {
                channel.wait_for_room(cx);
                return Poll::Pending;
            }
            let Some(value) = value.take() else {
                return Poll::Pending;
            };
            if channel.closed.get() {
                return Poll::Ready(Err(SendError(value)));
            }
            queue.push_back(value);
            drop(queue);
            channel.wake_receiver();
            Poll::Ready(Ok(()))
        })
        .await
    }

    fn downgrade(&self) -> WeakSender<T> {
        WeakSender(Rc::downgrade(&self.0))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.set(self.0.senders.get() + 1);
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = self.0.senders.get() - 1;
        self.0.senders.set(left);
        if left == 0 {
            self.0.wake_receiver();
        }
    }
}

impl<T> openraft_rt::MpscWeakSender<Mpsc, T> for WeakSender<T> {
    fn upgrade(&self) -> Option<Sender<T>> {
        let channel = self.0.upgrade()?;
        let senders = channel.senders.get();
        if senders == 0 {
            return None;
        }
        channel.senders.set(senders + 1);
        Some(Sender(channel))
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        WeakSender(self.0.clone())
    }
}

impl<T> openraft_rt::MpscReceiver<T> for Receiver<T> {
    async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| match self.try_recv() {
            Ok(value) => Poll::Ready(Some(value)),
            Err(TryRecvError::Disconnected) => Poll::Ready(None),
            Err(TryRecvError::Empty) => {
                self.0.wait_for_value(cx);
                Poll::Pending
            }
        })
        .await
    }

    fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let value = self.0.queue.borrow_mut().pop_front();
        match value {
            Some(value) => {
                self.0.wake_senders();
                Ok(value)
            }
            None if self.0.senders.get() == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.receiver_waits.set(false);
        // A waker keeps its task's memory, a value may hold the other end of this channel: both
        // go now, and outside of the borrows.
        let _waker = self.0.receiver.take();
        let _values = self.0.queue.take();
        self.0.wake_senders();
    }
}

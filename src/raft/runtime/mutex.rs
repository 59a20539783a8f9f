//! A mutex whose waiters yield instead of blocking their executor.

use std::cell::{RefCell, RefMut};
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::task::{Poll, Waker};

pub(in crate::raft) struct Mutex<T> {
    value: RefCell<T>,
    /// Tasks to wake at the next unlock. All are woken, the first to run gets it: contention here
    /// is rare and short.
    waiting: RefCell<Vec<Waker>>,
}

pub(in crate::raft) struct Guard<'a, T> {
    /// Always there until the guard is dropped.
    value: Option<RefMut<'a, T>>,
    waiting: &'a RefCell<Vec<Waker>>,
}

impl<T: 'static> openraft_rt::Mutex<T> for Mutex<T> {
    type Guard<'a> = Guard<'a, T>;

    fn new(value: T) -> Self {
        Mutex {
            value: RefCell::new(value),
            waiting: RefCell::new(Vec::new()),
        }
    }

    async fn lock(&self) -> Guard<'_, T> {
        let value = poll_fn(|cx| match self.value.try_borrow_mut() {
            Ok(value) => Poll::Ready(value),
            Err(_) => {
                let mut waiting = self.waiting.borrow_mut();
                if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        })
        .await;
        Guard {
            value: Some(value),
            waiting: &self.waiting,
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("held until dropped")
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("held until dropped")
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        for waker in self.waiting.take() {
            waker.wake();
        }
    }
}

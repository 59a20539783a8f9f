//! Going to sleep and being woken.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::task::{Poll, Waker};

use futures::task::AtomicWaker;
use glommio::io::BufferedFile;

/// How other threads, and the kernel, wake a core.
#[derive(Clone)]
pub struct Doorbell(Arc<Bell>);

struct Bell {
    eventfd: OwnedFd,
    parked: AtomicBool,
    /// Turns of the core's main task, for [`Doorbell::is_stuck`].
    turns: AtomicU64,
    /// A task of the core that does nothing but be woken.
    rescue: AtomicWaker,
}

impl Doorbell {
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new() -> io::Result<Doorbell> {
        // SAFETY: eventfd(2) with plain arguments; the result is checked and owned here alone.
        let eventfd = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Doorbell(Arc::new(Bell {
            eventfd,
            parked: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            rescue: AtomicWaker::new(),
        })))
    }

    /// Whether the core claims to be awake and has made no turn since `turns`, which is brought up
    /// to date.
    pub fn is_stuck(&self, turns: &mut u64) -> bool {
        let now = self.0.turns.load(Ordering::Relaxed);
        let stuck = now == *turns && !self.0.parked.load(Ordering::Relaxed);
        *turns = now;
        stuck
    }

    /// Wakes the core's executor whatever the core says: glommio 0.9 may fall asleep with tasks
    /// ready (see `executor.rs`). Harmless when it has not.
    pub fn rescue(&self) {
        self.0.rescue.wake();
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight bytes to an eventfd that is open as long as `self`.
        unsafe { libc::write(self.0.eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Wakes the core if it sleeps. Call after pushing to a queue that it reads.
    #[inline]
    pub fn ring(&self) {
        // Orders the push before the look at `parked`; pairs with the fence in `Parker::park`.
        fence(Ordering::SeqCst);
        if self.0.parked.load(Ordering::Relaxed) && self.0.parked.swap(false, Ordering::Relaxed) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: eight bytes to an eventfd that is open as long as `self`. A full counter
            // (EAGAIN) wakes as well.
            unsafe { libc::write(self.0.eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.eventfd.as_raw_fd()
    }
}

/// Where a core's main task sleeps. Not `Send`.
#[derive(Clone)]
pub struct Parker(Rc<State>);

struct State {
    doorbell: Doorbell,
    notified: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Parker {
    /// Begins to listen to `doorbell`. To be called on the core's executor.
    ///
    /// # Errors
    /// When the process has no file descriptor left.
    pub fn new(doorbell: Doorbell) -> io::Result<Parker> {
        let copy = doorbell.0.eventfd.try_clone()?;
        let parker = Parker(Rc::new(State {
            doorbell,
            notified: Cell::new(false),
            waker: RefCell::new(None),
        }));
        // SAFETY: the descriptor is owned and given away here.
        let file = unsafe { BufferedFile::from_raw_fd(copy.into_raw_fd()) };
        // One read is always under way, and it is never cancelled: a cancelled one might swallow
        // the wake meant for its successor.
        let state = Rc::downgrade(&parker.0);
        glommio::spawn_local(async move {
            while file.read_at(0, 8).await.is_ok() {
                match state.upgrade() {
                    Some(state) => Parker(state).notify(),
                    None => break,
                }
            }
        })
        .detach();
        let bell = parker.0.doorbell.0.clone();
        glommio::spawn_local(poll_fn(move |context| {
            bell.rescue.register(context.waker());
            Poll::<()>::Pending
        }))
        .detach();
        Ok(parker)
    }

    /// Counts a turn of the main task.
    #[inline]
    pub fn count_turn(&self) {
        let turns = &self.0.doorbell.0.turns;
        turns.store(
            turns.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    pub fn doorbell(&self) -> &Doorbell {
        &self.0.doorbell
    }

    /// Keeps the main task from sleeping, or wakes it. From the same core.
    #[inline]
    pub fn notify(&self) {
        if !self.0.notified.replace(true)
            && let Some(waker) = self.0.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Sleeps until something was notified since the last call of [`Parker::arm`]. Cancel-safe.
    pub async fn park(&self) {
        poll_fn(|context| {
            if self.0.notified.get() {
                return Poll::Ready(());
            }
            *self.0.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        self.0.doorbell.0.parked.store(false, Ordering::Relaxed);
    }

    /// Announces that the core is about to sleep. Whoever calls it looks at every queue once more
    /// before [`Parker::park`].
    pub fn arm(&self) {
        self.0.notified.set(false);
        self.0.doorbell.0.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Takes the announcement back: the last look found work.
    pub fn disarm(&self) {
        self.0.doorbell.0.parked.store(false, Ordering::Relaxed);
    }
}

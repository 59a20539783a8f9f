//! Going to sleep and being woken.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How other threads wake a core.
#[derive(Clone)]
pub struct Doorbell(Arc<Bell>);

struct Bell {
    eventfd: OwnedFd,
    parked: AtomicBool,
    /// Tasks of the core that other threads called, and whether there are any.
    calls: Mutex<Vec<u64>>,
    called: AtomicBool,
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
            calls: Mutex::default(),
            called: AtomicBool::new(false),
        })))
    }

    /// Wakes the core if it sleeps. Call after pushing to a queue that it reads.
    #[inline]
    pub fn ring(&self) {
        // Orders the push before the look at `parked`; pairs with the fence in `Parker::arm`.
        fence(Ordering::SeqCst);
        if self.0.parked.load(Ordering::Relaxed) && self.0.parked.swap(false, Ordering::Relaxed) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: eight bytes to an eventfd that is open as long as `self`. It blocks where its
            // counter is full: after 2^64 wakes that the core did not read.
            unsafe { libc::write(self.0.eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// Asks the core to wake one of its tasks, by its number.
    pub(super) fn call(&self, number: u64) {
        self.calls().push(number);
        self.0.called.store(true, Ordering::Release);
        self.ring();
    }

    // Nothing panics while it holds the lock.
    fn calls(&self) -> MutexGuard<'_, Vec<u64>> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there are calls.
    pub(super) fn is_called(&self) -> bool {
        self.0.called.load(Ordering::Relaxed)
    }

    /// The calls since the last time.
    pub(super) fn take_calls(&self) -> Vec<u64> {
        if !self.is_called() {
            return Vec::new();
        }
        self.0.called.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.calls())
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.eventfd.as_raw_fd()
    }
}

/// What keeps a core's main task from sleeping. Not `Send`.
#[derive(Clone)]
pub struct Parker(Rc<State>);

struct State {
    doorbell: Doorbell,
    notified: Cell<bool>,
}

impl Parker {
    pub fn new(doorbell: Doorbell) -> Parker {
        let notified = Cell::new(false);
        Parker(Rc::new(State { doorbell, notified }))
    }

    pub fn doorbell(&self) -> &Doorbell {
        &self.0.doorbell
    }

    /// Has the main task make another turn before it sleeps. From the same core.
    #[inline]
    pub fn notify(&self) {
        self.0.notified.set(true);
    }

    /// Whether something was notified since the last call of [`Parker::begin_turn`].
    pub(super) fn is_notified(&self) -> bool {
        self.0.notified.get()
    }

    /// The main task looks at everything from here on.
    pub(super) fn begin_turn(&self) {
        self.0.notified.set(false);
    }

    /// Announces that the core is about to sleep. Whoever calls it looks at every queue once more
    /// before the core does.
    pub(super) fn arm(&self) {
        self.0.doorbell.0.parked.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The core is awake.
    pub(super) fn disarm(&self) {
        self.0.doorbell.0.parked.store(false, Ordering::Relaxed);
    }
}

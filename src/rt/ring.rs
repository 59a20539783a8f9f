//! Our own io_uring ring, one per core.
//!
//! Operations on clients' sockets come back as [`Completion`]s to the core's main task; those on
//! files and on peers' sockets are futures. What is pushed is submitted at the end of the main task's
//! turn ([`Ring::rest`]): a turn's operations, the look at what completed, and the sleep where nothing
//! is left to do, are one system call.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{BUFFERS, Buffers, GROUP};
use super::park::{Doorbell, Parker};
use super::{cross, executor, timer};

/// Submissions that one turn can queue before it must enter the kernel.
const SUBMISSIONS: u32 = 1024;

/// Completions that wait to be seen; past that the kernel keeps them aside.
const COMPLETIONS: u32 = 8192;

/// `IORING_ENTER_GETEVENTS`: run deferred task work and post its completions.
const GETEVENTS: u32 = 1;

/// Longest sleep where the main task has nothing to look after.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Rounds of the executor's other tasks before a turn ends, at most: they wake each other, and what
/// they begin is submitted together.
const ROUNDS_MAX: usize = 4;

/// What a socket operation's completion is matched by: 56 bits of the caller's choice.
pub type Token = u64;

/// A socket operation that ended or, for accept and receive, delivered once more.
#[derive(Debug)]
pub enum Completion {
    /// A connection was accepted, or why not.
    Accepted {
        token: Token,
        result: io::Result<RawFd>,
        more: bool,
    },
    /// Bytes arrived in buffer `buffer` (to be recycled); no buffer and 0 bytes at the end.
    Received {
        token: Token,
        result: io::Result<usize>,
        buffer: Option<u16>,
        more: bool,
    },
    /// A send ended after this many bytes.
    Sent {
        token: Token,
        result: io::Result<usize>,
    },
}

const ACCEPT: u64 = 1 << 56;
const RECEIVE: u64 = 2 << 56;
const SEND: u64 = 3 << 56;
const FILE: u64 = 4 << 56;
const IGNORE: u64 = 5 << 56;
const AWAITED: u64 = 6 << 56;
const BELL: u64 = 7 << 56;
const KIND: u64 = 0xFF << 56;

/// One core's ring. Cheap to clone; not `Send`.
#[derive(Clone)]
pub struct Ring(Rc<Inner>);

struct Inner {
    // Dropped before the buffers: closing the ring ends the kernel's use of them.
    ring: RefCell<IoUring>,
    buffers: RefCell<Buffers>,
    operations: RefCell<Operations>,
    parker: Parker,
    /// The kernel watches the core's doorbell.
    bell_watched: Cell<bool>,
}

/// Operations under way that are futures, by place.
#[derive(Default)]
struct Operations {
    places: Vec<Option<Operation>>,
    free: Vec<u32>,
    /// One on a file has ended since the main task asked last.
    file_ended: bool,
    /// Operations that found the ring full.
    waiting: VecDeque<squeue::Entry>,
}

struct Operation {
    waker: Option<Waker>,
    result: Option<i32>,
    /// What the kernel reads or writes, kept until the completion even when the future is gone.
    keep: Option<Box<dyn std::any::Any>>,
    abandoned: bool,
}

thread_local! {
    static CURRENT: RefCell<Option<Ring>> = const { RefCell::new(None) };
}

impl Ring {
    /// Makes the ring of this core and its receive buffers. `parker` is woken by completions.
    ///
    /// # Errors
    /// When the kernel has no io_uring, forbids it, is older than 6.1, or memory may not be locked.
    pub fn new(parker: Parker) -> io::Result<Ring> {
        let ring = executor::with_memory(|| {
            IoUring::builder()
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_coop_taskrun()
                .setup_cqsize(COMPLETIONS)
                .build(SUBMISSIONS)
        })?;
        let mut buffers = Buffers::new()?;
        // SAFETY: the address is a page-aligned mapping of `BUFFERS` entries that outlives the
        // ring (see the order of the fields).
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(buffers.address(), BUFFERS, GROUP, 0)?;
        }
        buffers.fill();
        let ring = Ring(Rc::new(Inner {
            ring: RefCell::new(ring),
            buffers: RefCell::new(buffers),
            operations: RefCell::default(),
            parker,
            bell_watched: Cell::new(false),
        }));
        CURRENT.with(|current| *current.borrow_mut() = Some(ring.clone()));
        Ok(ring)
    }

    /// The ring of this core, where one was made.
    pub fn current() -> Option<Ring> {
        CURRENT.with(|current| current.borrow().clone())
    }

    /// Forgets this thread's ring, so that it closes with its last handle.
    pub fn forget_current() {
        CURRENT.with(|current| current.borrow_mut().take());
    }

    /// What wakes this core.
    pub(super) fn doorbell(&self) -> &Doorbell {
        self.0.parker.doorbell()
    }

    /// Whether this thread has a ring.
    pub fn is_here() -> bool {
        CURRENT.with_borrow(|current| current.is_some())
    }

    /// Ends a turn of the core's main task: lets the executor's other tasks run, submits what was
    /// pushed, gathers what completed. Where nothing is left to do it sleeps until something
    /// completes, a timer is due, or another core rings, `longest` at most: nothing runs, the main
    /// task is not `busy` and nothing was notified, and `has_work` finds nothing that would come
    /// without a wake. Answers whether anything completed.
    ///
    /// # Errors
    /// When the kernel refuses the ring itself: nothing can go on.
    pub async fn rest(
        &self,
        completions: &mut Vec<Completion>,
        busy: bool,
        longest: Duration,
        has_work: impl FnOnce() -> bool,
    ) -> io::Result<bool> {
        let parker = &self.0.parker;
        cross::wake_called(parker.doorbell());
        timer::fire();
        let mut is_idle = false;
        for _ in 0..ROUNDS_MAX {
            let polls = executor::polls();
            executor::yield_now().await;
            is_idle = executor::polls() == polls;
            if busy || is_idle || parker.is_notified() {
                break;
            }
        }
        let mut sleep = None;
        if is_idle && !busy && !parker.is_notified() {
            parker.arm();
            if !has_work() && !parker.doorbell().is_called() {
                sleep = Some(timer::until_next().map_or(longest, |due| due.min(longest)));
            }
        }
        let entered = self.enter(completions, sleep);
        parker.disarm();
        parker.begin_turn();
        entered
    }

    /// Submits what was pushed, gathers what completed, and sleeps for that where it may. Answers
    /// whether anything did.
    fn enter(
        &self,
        completions: &mut Vec<Completion>,
        sleep: Option<Duration>,
    ) -> io::Result<bool> {
        let mut ring = self.0.ring.borrow_mut();
        self.watch_bell(&mut ring);
        self.push_waiting(&mut ring);
        let (submitter, submissions, mut completed) = ring.split();
        let to_submit = submissions.len() as u32;
        drop(submissions);
        // A ring that was full leaves something out: a sleep would not hear of it.
        let whole = self.0.bell_watched.get() && !self.has_file_to_submit();
        let entered = match sleep.filter(|sleep| whole && !sleep.is_zero()) {
            Some(sleep) => {
                let timeout = Timespec::from(sleep);
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timeout))
            }
            // SAFETY: no argument is passed; the queued entries keep their buffers alive as their
            // `push`es say.
            None => unsafe { submitter.enter::<()>(to_submit, 0, GETEVENTS, None) },
        };
        match entered {
            Ok(_) => {}
            // Completions wait to be taken first, nothing came in time, or a signal: the next turn
            // goes on.
            Err(error) if is_passing(&error) => {}
            Err(error) => return Err(error),
        }
        completed.sync();
        let mut any = false;
        for entry in &mut completed {
            match (decode(&entry), entry.user_data() & KIND) {
                (Some(completion), _) => completions.push(completion),
                (None, FILE | AWAITED) => self.complete_operation(&entry),
                (None, BELL) => {
                    let more = cqueue::more(entry.flags());
                    self.0.bell_watched.set(more);
                }
                (None, _) => {}
            }
            any = true;
        }
        Ok(any)
    }

    /// Has the kernel tell when the doorbell is rung. It is never read: each ring counts by itself.
    fn watch_bell(&self, ring: &mut IoUring) {
        if self.0.bell_watched.get() {
            return;
        }
        let bell = Fd(self.0.parker.doorbell().as_raw_fd());
        let entry = opcode::PollAdd::new(bell, libc::POLLIN as u32)
            .multi(true)
            .build();
        // SAFETY: no memory is passed; the doorbell is open as long as the ring.
        let pushed = unsafe { ring.submission().push(&entry.user_data(BELL)) };
        self.0.bell_watched.set(pushed.is_ok());
    }

    /// Whether a file operation ended since the last call.
    #[inline]
    pub fn take_file_ended(&self) -> bool {
        std::mem::take(&mut self.0.operations.borrow_mut().file_ended)
    }

    /// Whether an operation on a file, or on a peer's socket, waits for the turn's end to be
    /// submitted.
    #[inline]
    pub fn has_file_to_submit(&self) -> bool {
        !self.0.operations.borrow().waiting.is_empty()
    }

    /// Gives a receive buffer back after its bytes were used.
    pub fn recycle(&self, buffer: u16) {
        self.0.buffers.borrow_mut().recycle(buffer);
    }

    /// Lets the kernel see what was recycled. Once a turn.
    pub fn publish_buffers(&self) {
        self.0.buffers.borrow_mut().publish();
    }

    /// Calls `use_bytes` with what arrived in `buffer`.
    #[inline]
    pub fn with_bytes<R>(&self, buffer: u16, len: usize, use_bytes: impl FnOnce(&[u8]) -> R) -> R {
        use_bytes(self.0.buffers.borrow().bytes(buffer, len))
    }

    /// Accepts connections on `listener` until it fails or is cancelled (`more` false).
    pub fn accept(&self, listener: RawFd, token: Token) {
        let entry = opcode::AcceptMulti::new(Fd(listener))
            .flags(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
            .build();
        self.push(entry.user_data(ACCEPT | token));
    }

    /// Receives from `socket` until it ends or fails, or buffers run out (`more` false).
    pub fn receive(&self, socket: RawFd, token: Token) {
        let entry = opcode::RecvMulti::new(Fd(socket), GROUP).build();
        self.push(entry.user_data(RECEIVE | token));
    }

    /// Sends `bytes`. A short send is repeated by the kernel as far as it can be.
    ///
    /// # Safety
    /// `bytes` must stay in place and unchanged until the send's completion was seen.
    pub unsafe fn send(&self, socket: RawFd, bytes: &[u8], token: Token) {
        let length = bytes.len().min(i32::MAX as usize) as u32;
        let entry = opcode::Send::new(Fd(socket), bytes.as_ptr(), length)
            .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
            .build();
        self.push(entry.user_data(SEND | token));
    }

    /// Ends the accept with `token`; it completes once more, with an error.
    pub fn cancel_accept(&self, token: Token) {
        let entry = opcode::AsyncCancel::new(ACCEPT | token).build();
        self.push(entry.user_data(IGNORE));
    }

    /// Ends the receive with `token`; it completes once more, with `ECANCELED`.
    pub fn cancel_receive(&self, token: Token) {
        let entry = opcode::AsyncCancel::new(RECEIVE | token).build();
        self.push(entry.user_data(IGNORE));
    }

    fn push(&self, entry: squeue::Entry) {
        let mut ring = self.0.ring.borrow_mut();
        // SAFETY: the callers of the safe wrappers pass no pointers; `send` and `file` state who
        // keeps their memory.
        while unsafe { ring.submission().push(&entry) }.is_err() {
            // The queue is full: hand it over. What the kernel cannot take now stays queued.
            if ring.submit().is_err() {
                ring.completion().sync();
            }
        }
    }

    /// Runs a file operation, whose end the main task is told ([`Ring::take_file_ended`]). `keep`
    /// holds whatever memory `entry` points to.
    ///
    /// # Errors
    /// As the operation's own.
    ///
    /// # Safety
    /// Every pointer in `entry` must stay valid as long as `keep` lives, and its descriptor open.
    pub unsafe fn file<K: 'static>(
        &self,
        entry: squeue::Entry,
        keep: K,
    ) -> impl Future<Output = (io::Result<usize>, K)> + use<K> {
        self.begin(entry, keep, FILE)
    }

    /// Runs any other operation that is awaited where it was begun. The main task submits it and
    /// is not told of its end.
    ///
    /// # Errors
    /// As the operation's own.
    ///
    /// # Safety
    /// As of [`Ring::file`]. `keep` outlives a dropped future until the operation has ended.
    pub unsafe fn awaited<K: 'static>(
        &self,
        entry: squeue::Entry,
        keep: K,
    ) -> impl Future<Output = (io::Result<usize>, K)> + use<K> {
        self.begin(entry, keep, AWAITED)
    }

    fn begin<K: 'static>(
        &self,
        entry: squeue::Entry,
        keep: K,
        kind: u64,
    ) -> impl Future<Output = (io::Result<usize>, K)> + use<K> {
        let mut operations = self.0.operations.borrow_mut();
        let place = operations.begin(Box::new(keep), entry, kind);
        drop(operations);
        let mut handle = OperationHandle {
            ring: self.clone(),
            place,
            done: false,
        };
        poll_fn(move |context| {
            let mut operations = handle.ring.0.operations.borrow_mut();
            let state = operations.places[handle.place as usize]
                .as_mut()
                .expect("ours until done");
            let Some(result) = state.result else {
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            let keep = state.keep.take().expect("taken once").downcast::<K>();
            operations.end(handle.place);
            drop(operations);
            handle.done = true;
            let keep = keep.unwrap_or_else(|_| unreachable!("stored as K above"));
            Poll::Ready((outcome(result), *keep))
        })
    }

    /// Runs `future` to its end while no main task does turns: before it starts and after it has
    /// ended. Sockets must be quiet meanwhile.
    pub async fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut completions = Vec::new();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        loop {
            woken.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return value;
            }
            let is_woken = || woken.0.load(Ordering::Relaxed);
            // A ring that the kernel gave up is met again, and reported, by the main task.
            let _ = self
                .rest(&mut completions, is_woken(), SLEEP_MAX, is_woken)
                .await;
        }
    }

    fn push_waiting(&self, ring: &mut IoUring) {
        let mut operations = self.0.operations.borrow_mut();
        while let Some(entry) = operations.waiting.front() {
            // SAFETY: `Ring::begin` keeps the memory in the operation's place.
            if unsafe { ring.submission().push(entry) }.is_err() {
                break;
            }
            operations.waiting.pop_front();
        }
    }

    fn complete_operation(&self, entry: &cqueue::Entry) {
        let mut operations = self.0.operations.borrow_mut();
        operations.file_ended |= entry.user_data() & KIND == FILE;
        let place = (entry.user_data() & !KIND) as u32;
        let Some(operation) = operations
            .places
            .get_mut(place as usize)
            .and_then(Option::as_mut)
        else {
            return;
        };
        operation.result = Some(entry.result());
        if operation.abandoned {
            let kept = operation.keep.take();
            operations.end(place);
            // What was kept may close a socket: not while the operations are borrowed.
            drop(operations);
            drop(kept);
        } else if let Some(waker) = operation.waker.take() {
            drop(operations);
            waker.wake();
        }
    }
}

impl Operations {
    fn begin(&mut self, keep: Box<dyn std::any::Any>, entry: squeue::Entry, kind: u64) -> u32 {
        let operation = Operation {
            waker: None,
            result: None,
            keep: Some(keep),
            abandoned: false,
        };
        let place = match self.free.pop() {
            Some(place) => {
                self.places[place as usize] = Some(operation);
                place
            }
            None => {
                self.places.push(Some(operation));
                self.places.len() as u32 - 1
            }
        };
        self.waiting.push_back(entry.user_data(kind | place as u64));
        place
    }

    fn end(&mut self, place: u32) {
        self.places[place as usize] = None;
        self.free.push(place);
    }
}

/// A future that is polled again whatever happened is to be polled at once.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Leaves the operation's memory to the ring when its future is dropped before the completion.
struct OperationHandle {
    ring: Ring,
    place: u32,
    done: bool,
}

impl Drop for OperationHandle {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut operations = self.ring.0.operations.borrow_mut();
        let operation = operations.places[self.place as usize].as_mut();
        match operation {
            Some(operation) if operation.result.is_none() => operation.abandoned = true,
            Some(operation) => {
                let kept = operation.keep.take();
                operations.end(self.place);
                drop(operations);
                drop(kept);
            }
            None => {}
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EBUSY | libc::EINTR | libc::EAGAIN | libc::ETIME)
    )
}

fn outcome(result: i32) -> io::Result<usize> {
    if result < 0 {
        Err(io::Error::from_raw_os_error(-result))
    } else {
        Ok(result as usize)
    }
}

fn decode(entry: &cqueue::Entry) -> Option<Completion> {
    let token = entry.user_data() & !KIND;
    let more = cqueue::more(entry.flags());
    let result = outcome(entry.result());
    match entry.user_data() & KIND {
        ACCEPT => Some(Completion::Accepted {
            token,
            result: result.map(|fd| fd as RawFd),
            more,
        }),
        RECEIVE => {
            let buffer = cqueue::buffer_select(entry.flags());
            Some(Completion::Received {
                token,
                result,
                buffer,
                more,
            })
        }
        SEND => Some(Completion::Sent { token, result }),
        _ => None,
    }
}

//! Executors: making them, and the tasks on them.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use glommio::{LocalExecutor, LocalExecutorBuilder};
use io_uring::IoUring;
use pin_project_lite::pin_project;

/// Where an executor's thread runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// On this CPU alone.
    Pinned(usize),
    /// Wherever the kernel puts it.
    Unbound,
}

/// How an executor is made.
#[derive(Debug, Clone)]
pub struct Settings {
    pub name: String,
    pub placement: Placement,
}

/// glommio's registered buffers; ours are elsewhere, so the least that works.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Entries of glommio's three rings, which count as locked memory: with our own ring beside them, 8
/// cores start with 8 MiB.
const RING_DEPTH: usize = 128;

/// glommio's preemption is not used: where its timer fires between being set and the first look at
/// it, glommio 0.9 takes the queue of ready tasks for empty and goes to sleep on it. (Seen in one
/// run of five on a crowded machine with 1 ms, never with 100 ms and more.) A core's main task always
/// yields or sleeps by itself, so glommio never goes to sleep beside it.
const PREEMPT: Duration = Duration::from_secs(3600);

/// How long an executor that finds no lockable memory is tried again: the kernel gives back what
/// a process that just ended had locked only after a while.
const MEMORY_PATIENCE: Duration = Duration::from_secs(3);

/// Runs `future` on a new executor on this thread until it ends.
///
/// # Errors
/// When the kernel has no io_uring, forbids it, or memory may not be locked; the text says what
/// to change.
pub fn run<T>(settings: &Settings, future: impl Future<Output = T>) -> io::Result<T> {
    with_memory(|| make(settings)).map(|executor| executor.run(future))
}

/// Makes what locks memory, again for a while where there is none to lock.
pub(super) fn with_memory<T>(make: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let begun = Instant::now();
    loop {
        match make() {
            Err(error)
                if error.raw_os_error() == Some(libc::ENOMEM)
                    && begun.elapsed() < MEMORY_PATIENCE =>
            {
                std::thread::sleep(Duration::from_millis(50));
            }
            made => return made,
        }
    }
}

fn make(settings: &Settings) -> io::Result<LocalExecutor> {
    // glommio panics where no ring can be made.
    drop(IoUring::new(2)?);
    let placement = match settings.placement {
        Placement::Pinned(cpu) => glommio::Placement::Fixed(cpu),
        Placement::Unbound => glommio::Placement::Unbound,
    };
    let made = LocalExecutorBuilder::new(placement)
        .name(&settings.name)
        .io_memory(IO_MEMORY_BYTES)
        .ring_depth(RING_DEPTH)
        .preempt_timer(PREEMPT)
        .make();
    made.map_err(|error| {
        let error = io::Error::from(error);
        // The least that glommio asks for, before the kernel is asked; it keeps only the text.
        match error.to_string().contains("MemLockLimit") {
            true => io::Error::from_raw_os_error(libc::ENOMEM),
            false => error,
        }
    })
}

/// What to tell someone whose kernel gave no ring.
pub fn explain(error: &io::Error) -> String {
    let advice = match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            "too little memory may be locked: raise it (ulimit -l 65536, LimitMEMLOCK=64M in a \
             systemd unit, --ulimit memlock=67108864 for a container) or give fewer --cores"
        }
        Some(libc::EPERM | libc::EACCES) => {
            "io_uring is forbidden here: set sysctl kernel.io_uring_disabled=0, or allow the \
             io_uring system calls in the container's seccomp profile"
        }
        Some(libc::ENOSYS) => "this kernel has no io_uring: Linux 6.1 or later is needed",
        Some(libc::EINVAL) => "this kernel's io_uring is too old: Linux 6.1 or later is needed",
        Some(libc::EMFILE | libc::ENFILE) => "too few file descriptors: raise ulimit -n",
        _ => "the kernel gave no io_uring",
    };
    format!("{advice} ({error})")
}

thread_local! {
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

/// How often tasks of this thread have been run. Two equal answers: none was ready in between.
pub(super) fn polls() -> u64 {
    POLLS.get()
}

pin_project! {
    /// A task whose runs are counted.
    pub struct Counted<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        POLLS.set(POLLS.get().wrapping_add(1));
        self.project().future.poll(context)
    }
}

/// What every task is to be wrapped in, so that the main task sees that one ran: it sleeps only when
/// none is ready.
pub fn counted<F: Future>(future: F) -> Counted<F> {
    Counted { future }
}

/// Starts a task on this executor, in the queue of the caller, that nobody waits for. It ends when
/// it returns or when the executor does.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    #[cfg(feature = "sim")]
    return super::sim::spawn(future);
    #[cfg(not(feature = "sim"))]
    glommio::spawn_local(counted(future)).detach();
}

/// Lets every other task that is ready on this executor run once.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits. Late by a turn of the main task.
pub async fn sleep(duration: Duration) {
    #[cfg(feature = "sim")]
    super::sim::Sleep::new(duration).await;
    #[cfg(not(feature = "sim"))]
    super::timer::Sleep::new(duration).await;
}

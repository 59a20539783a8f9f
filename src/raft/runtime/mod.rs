//! openraft's asynchronous runtime on a glommio executor.
//!
//! Everything that openraft spawns runs in the task queue of whoever started the group, on that
//! one executor. The channels are built on `Rc` and `Cell`: no atomics, no allocation for a send,
//! no clock.
//!
//! - A spawned task is detached: glommio would cancel it together with its handle.
//! - A panic inside a spawned task ends that task only and shows in its handle. glommio by itself
//!   would unwind the executor's thread, and with it every shard and connection of that core.
//! - No borrow of a channel's state is held while a waker, a destructor or a caller's code runs.
//!
//! Not done here: which task queue and which core. That is the starter's choice (`node/`).

mod mpsc;
mod mutex;
mod oneshot;
mod timer;
mod watch;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures::FutureExt;
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use openraft::AsyncRuntime;

pub(super) use timer::Elapsed;
use timer::{Sleep, Timeout};

/// The glommio executor that the calling task runs on, as openraft sees it.
///
/// The value itself is only needed to drive an executor from outside ([`AsyncRuntime::block_on`]);
/// inside one, the associated functions are all there is.
pub(super) struct Glommio(LocalExecutor);

impl fmt::Debug for Glommio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glommio({})", self.0.id())
    }
}

/// Gives way to other tasks of this executor if it is time to.
pub(super) async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}

/// Why a spawned task left no value.
#[derive(Debug)]
pub(super) enum JoinError {
    /// The task panicked, with this message.
    Panicked(String),
    /// The executor stopped before the task was done.
    Cancelled,
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(what) => write!(f, "task panicked: {what}"),
            JoinError::Cancelled => f.write_str("task cancelled"),
        }
    }
}

impl JoinError {
    pub(super) fn from_panic(payload: Box<dyn Any + Send>) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| text.to_string())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "(no message)".to_string());
        JoinError::Panicked(text)
    }
}

/// Waits for a spawned task's value. Dropping it leaves the task running.
pub(super) struct JoinHandle<T>(glommio::task::JoinHandle<Result<T, JoinError>>);

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let value = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(value.unwrap_or(Err(JoinError::Cancelled)))
    }
}

impl AsyncRuntime for Glommio {
    type JoinError = JoinError;
    type JoinHandle<T: 'static> = JoinHandle<T>;
    type Sleep = Sleep;
    type Instant = Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R>> = Timeout<T>;
    type ThreadLocalRng = rand::rngs::ThreadRng;
    type Mpsc = mpsc::Mpsc;
    type Watch = watch::Watch;
    type Oneshot = oneshot::Oneshot;
    type Mutex<T: 'static> = mutex::Mutex<T>;

    fn spawn<T>(future: T) -> JoinHandle<T::Output>
    where
        T: Future + 'static,
        T::Output: 'static,
    {
        let guarded = async move {
            let caught = AssertUnwindSafe(future).catch_unwind().await;
            caught.map_err(JoinError::from_panic)
        };
        JoinHandle(glommio::spawn_local(guarded).detach())
    }

    fn sleep(duration: Duration) -> Sleep {
        Sleep::new(duration)
    }

    fn sleep_until(deadline: Instant) -> Sleep {
        Sleep::new(deadline.saturating_duration_since(Instant::now()))
    }

    fn timeout<R, F: Future<Output = R>>(duration: Duration, future: F) -> Timeout<F> {
        Timeout::new(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R>>(deadline: Instant, future: F) -> Timeout<F> {
        Timeout::new(deadline.saturating_duration_since(Instant::now()), future)
    }

    fn is_panic(error: &JoinError) -> bool {
        matches!(error, JoinError::Panicked(_))
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        rand::rng()
    }

    /// An executor of its own for a test. `threads` is ignored: there is one.
    ///
    /// # Panics
    /// If the kernel does not grant an io_uring.
    fn new(_threads: usize) -> Self {
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(64 * 1024)
            .ring_depth(128)
            .make()
            .expect("an executor for a test");
        Glommio(executor)
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.run(future)
    }
}

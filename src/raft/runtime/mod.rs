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
#[cfg(not(feature = "sim"))]
mod sleep;
#[cfg_attr(feature = "sim", path = "simulated.rs")]
mod tasks;
mod timer;
pub(super) mod watch;

#[cfg(test)]
mod tests;

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use openraft::AsyncRuntime;

pub(super) use tasks::{Glommio, JoinHandle, yield_if_needed};
pub(super) use timer::Elapsed;
use timer::{Sleep, Timeout};

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
        tasks::spawn(guarded)
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
        Glommio::alone()
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.run_to_end(future)
    }
}

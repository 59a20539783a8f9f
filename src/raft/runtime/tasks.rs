//! Tasks on glommio.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use super::JoinError;
use crate::rt;

/// The glommio executor that the calling task runs on, as openraft sees it.
///
/// The value itself is only needed to drive an executor from outside
/// ([`AsyncRuntime::block_on`](openraft::AsyncRuntime::block_on)); inside one, the associated
/// functions are all there is.
pub(in crate::raft) struct Glommio(LocalExecutor);

impl fmt::Debug for Glommio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glommio({})", self.0.id())
    }
}

impl Glommio {
    /// # Panics
    /// If the kernel does not grant an io_uring.
    pub(super) fn alone() -> Self {
        let executor = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(64 * 1024)
            .ring_depth(128)
            .make()
            .expect("an executor for a test");
        Glommio(executor)
    }

    pub(super) fn run_to_end<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.0.run(future)
    }
}

/// Waits for a spawned task's value. Dropping it leaves the task running.
pub(in crate::raft) struct JoinHandle<T>(glommio::task::JoinHandle<Result<T, JoinError>>);

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let value = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(value.unwrap_or(Err(JoinError::Cancelled)))
    }
}

/// Starts a task that does not panic.
pub(super) fn spawn<T: 'static>(
    future: impl Future<Output = Result<T, JoinError>> + 'static,
) -> JoinHandle<T> {
    JoinHandle(glommio::spawn_local(rt::counted(future)).detach())
}

/// Gives way to other tasks of this executor if it is time to.
pub(in crate::raft) async fn yield_if_needed() {
    glommio::yield_if_needed().await;
}

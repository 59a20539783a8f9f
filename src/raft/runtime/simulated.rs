//! Tasks in a simulation.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::channel::oneshot;

use super::JoinError;
use crate::rt;

/// The simulation that the calling task runs in, as openraft sees it. It bears the name of what it
/// stands in for.
#[derive(Debug)]
pub(in crate::raft) struct Glommio;

impl Glommio {
    pub(super) fn alone() -> Self {
        Glommio
    }

    /// Futures that need no task beside them.
    pub(super) fn run_to_end<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(std::task::Waker::noop());
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
        }
    }
}

/// Waits for a spawned task's value. Dropping it leaves the task running.
pub(in crate::raft) struct JoinHandle<T>(oneshot::Receiver<Result<T, JoinError>>);

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
    let (sender, receiver) = oneshot::channel();
    rt::spawn(async move {
        // Nobody may wait for it.
        let _ = sender.send(future.await);
    });
    JoinHandle(receiver)
}

/// Gives way to other tasks.
pub(in crate::raft) async fn yield_if_needed() {
    rt::yield_now().await;
}

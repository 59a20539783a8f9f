//! A node's beginning and its end, as those see it who wait for them.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::Fatal;

use super::error::Error;
use super::wait;

/// How far a node has come.
#[derive(Default)]
pub(super) struct Progress {
    state: Mutex<State>,
    begun: Condvar,
}

#[derive(Default)]
struct State {
    /// Cores that have made a turn.
    cores_begun: usize,
    /// How it ended, or the error's text.
    ended: Option<Result<(), String>>,
    /// Who waits for the end, by a number each.
    waiting: Vec<(u64, Waker)>,
    waiting_next: u64,
}

impl Progress {
    /// Each change leaves the state whole: a poisoned lock does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A core has made its first turn.
    pub fn core_began(&self) {
        self.state().cores_begun += 1;
        self.begun.notify_all();
    }

    /// Waits until `cores` cores have begun.
    ///
    /// # Errors
    /// The node has ended instead.
    pub fn wait_begun(&self, cores: usize) -> Result<(), Fatal> {
        let mut state = self.state();
        loop {
            match &state.ended {
                Some(Err(why)) => return Err(Fatal::Setup(why.clone())),
                Some(Ok(())) => return Err(Fatal::Setup("the node was stopped".into())),
                None if state.cores_begun == cores => return Ok(()),
                None => {
                    let waited = self.begun.wait(state);
                    state = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// The node has ended.
    pub fn end(&self, result: Result<(), String>) {
        let mut state = self.state();
        state.ended = Some(result);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        self.begun.notify_all();
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// How the node ended, if it has.
    pub fn ended(&self) -> Option<Result<(), Error>> {
        let ended = self.state().ended.clone();
        ended.map(|result| result.map_err(Error::Stopped))
    }
}

/// A node's end: resolves once it has stopped, all its threads joined and its files closed. A
/// future of any executor, or [waited for](Ending::wait) by a thread.
///
/// # Errors
/// [`Error::Stopped`] with the reason, where the node has failed.
///
/// # Cancel safety
/// Dropping it changes nothing for the node.
pub struct Ending {
    progress: Arc<Progress>,
    number: Option<u64>,
}

impl Ending {
    pub(super) fn of(progress: Arc<Progress>) -> Ending {
        Ending {
            progress,
            number: None,
        }
    }

    /// Waits for it on this thread.
    ///
    /// # Errors
    /// See [`Ending`].
    pub fn wait(self) -> Result<(), Error> {
        wait::wait(self)
    }
}

impl Future for Ending {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let progress = self.progress.clone();
        let mut state = progress.state();
        if let Some(result) = state.ended.clone() {
            return Poll::Ready(result.map_err(Error::Stopped));
        }
        let number = *self.number.get_or_insert_with(|| {
            state.waiting_next += 1;
            state.waiting_next
        });
        let waker = context.waker().clone();
        match state.waiting.iter_mut().find(|(other, _)| *other == number) {
            Some((_, known)) => *known = waker,
            None => state.waiting.push((number, waker)),
        }
        Poll::Pending
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let mut state = self.progress.state();
            state.waiting.retain(|(other, _)| *other != number);
        }
    }
}

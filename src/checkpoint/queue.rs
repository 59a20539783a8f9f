//! Chunks on their way to the checkpoint's thread: bounded in bytes, fed from any executor
//! without blocking, drained by a thread that does block.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures::channel::oneshot;

use super::meta::CheckpointMeta;
use crate::limits::CHECKPOINT_QUEUE_BYTES;
use crate::rt::cross_thread;
use crate::value::Digest;

/// Why a chunk was not taken.
#[derive(Debug)]
pub enum Refused {
    /// No room; here is the chunk back.
    Full(Vec<u8>),
    /// The checkpoint failed, for this reason, or was given up.
    Failed(io::Error),
}

/// Where the outcome of a checkpoint goes.
pub(super) type Outcome = oneshot::Sender<io::Result<CheckpointMeta>>;

/// What an image must come to, and where it is told whether it did.
pub(super) struct Seal {
    pub digest: Digest,
    pub outcome: oneshot::Sender<io::Result<()>>,
}

/// What the thread gets.
pub(super) enum Work {
    Chunk(Vec<u8>),
    /// Every chunk is through: make the rows durable and compare them, and wait for the end.
    Seal(Seal),
    /// Every chunk is through: complete the checkpoint.
    Finish(Outcome),
    Abort,
}

enum End {
    Finish(Outcome),
    Abort,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    /// To be done behind the chunks.
    seal: Option<Seal>,
    /// No more chunks will come.
    end: Option<End>,
    /// Nothing is taken any more, for this reason.
    failed: Option<(io::ErrorKind, String)>,
    /// Who waits for room: at most one for each that feeds.
    waiting: Vec<Waker>,
}

/// One checkpoint's chunks.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

impl Queue {
    // Nothing panics while it holds the lock, and the state is whole at each statement's end.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a chunk when there is room. One that is larger than all the room goes in alone.
    pub fn try_put(&self, chunk: Vec<u8>) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.failed.is_some() || state.end.is_some() {
            return Err(Refused::Failed(state.failure()));
        }
        if !state.has_room(chunk.len()) {
            return Err(Refused::Full(chunk));
        }
        state.bytes += chunk.len();
        state.chunks.push_back(chunk);
        self.arrived.notify_one();
        Ok(())
    }

    /// Resolves when a chunk of `bytes` would be taken, or refused for good. Room is not kept for
    /// whom it wakes: try again.
    pub async fn room(&self, bytes: usize) {
        let room = poll_fn(|context| {
            let mut state = self.lock();
            if state.failed.is_some() || state.end.is_some() || state.has_room(bytes) {
                return Poll::Ready(());
            }
            let waker = context.waker();
            if !state.waiting.iter().any(|other| other.will_wake(waker)) {
                state.waiting.push(waker.clone());
            }
            Poll::Pending
        });
        cross_thread(room).await;
    }

    /// Has the image made durable and compared behind the chunks that are in.
    pub fn seal(&self, seal: Seal) {
        let mut state = self.lock();
        if state.failed.is_some() || state.end.is_some() {
            // Nobody hears of it who does not wait any more.
            let _ = seal.outcome.send(Err(state.failure()));
            return;
        }
        state.seal = Some(seal);
        self.arrived.notify_one();
    }

    /// Ends the checkpoint behind the chunks that are in. Only the first end counts.
    pub fn finish(&self, outcome: Outcome) {
        self.end(End::Finish(outcome));
    }

    /// Gives the checkpoint up.
    pub fn abort(&self) {
        self.end(End::Abort);
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        match end {
            End::Finish(outcome) if state.failed.is_some() => {
                let _ = outcome.send(Err(state.failure()));
            }
            end => {
                if let End::Abort = end {
                    state.forget_chunks();
                }
                state.end.get_or_insert(end);
            }
        }
        state.wake_all();
        self.arrived.notify_one();
    }

    /// Refuses everything from here on. Whoever waits for the outcome gets the error too.
    pub fn fail(&self, error: &io::Error) {
        let mut state = self.lock();
        state
            .failed
            .get_or_insert((error.kind(), error.to_string()));
        state.forget_chunks();
        if let Some(End::Finish(outcome)) = state.end.replace(End::Abort) {
            let _ = outcome.send(Err(state.failure()));
        }
        state.wake_all();
    }

    /// The next thing to do. Blocks.
    pub fn take(&self) -> Work {
        let mut state = self.lock();
        loop {
            if let Some(chunk) = state.chunks.pop_front() {
                state.bytes -= chunk.len();
                state.wake_all();
                return Work::Chunk(chunk);
            }
            if let Some(seal) = state.seal.take() {
                return Work::Seal(seal);
            }
            match state.end.take() {
                Some(End::Finish(outcome)) => return Work::Finish(outcome),
                Some(End::Abort) => {
                    // Stays, so that nothing more is taken.
                    state.end = Some(End::Abort);
                    return Work::Abort;
                }
                None => {}
            }
            state = self
                .arrived
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

impl State {
    fn has_room(&self, bytes: usize) -> bool {
        self.chunks.is_empty() || self.bytes + bytes <= CHECKPOINT_QUEUE_BYTES
    }

    fn failure(&self) -> io::Error {
        match &self.failed {
            Some((kind, why)) => io::Error::new(*kind, why.clone()),
            None => io::Error::other("the checkpoint was ended"),
        }
    }

    fn forget_chunks(&mut self) {
        self.chunks.clear();
        self.bytes = 0;
        // Whoever waits for it hears that it was dropped.
        self.seal = None;
    }

    fn wake_all(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }
}

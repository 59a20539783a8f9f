//! An image as a stream of chunks, for a follower: read on a thread of its own, taken on any
//! executor.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::Stream;

use crate::error::Fatal;
use crate::limits::CHECKPOINT_EXPORT_CHUNKS;

use super::load::read;
use super::meta::CheckpointMeta;
use super::shelf::Shelf;
use super::store::Store;

/// The content of one checkpoint, chunk by chunk. It stays that checkpoint's however long it is
/// held, also when newer ones are written. Nothing is read before the first poll. An error is the
/// last item; without one the image was whole.
pub struct Export {
    /// Until the first poll: what to read.
    start: Option<Reading>,
    pipe: Arc<Pipe>,
}

struct Reading {
    shelf: Arc<Shelf>,
    meta: CheckpointMeta,
    image: fjall::Keyspace,
}

#[derive(Default)]
struct Pipe {
    state: Mutex<State>,
    taken: Condvar,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<Vec<u8>>,
    /// The reader is through: with an error, or at the end.
    end: Option<io::Result<()>>,
    /// Nobody takes chunks any more.
    dropped: bool,
    waiting: Option<Waker>,
}

impl Store {
    /// The newest checkpoint with its content. Does not block. `None` when there is none, or when
    /// the storage engine failed and was not opened since.
    pub fn export(&self) -> Option<(CheckpointMeta, Export)> {
        let (meta, image) = self.shelf().pinned()?;
        let start = Reading {
            shelf: self.shelf().clone(),
            meta: meta.clone(),
            image,
        };
        let export = Export {
            start: Some(start),
            pipe: Arc::default(),
        };
        Some((meta, export))
    }
}

impl Stream for Export {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(reading) = self.start.take()
            && let Err(error) = reading.spawn(self.pipe.clone())
        {
            self.pipe.close(Err(error));
        }
        let mut state = self.pipe.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            self.pipe.taken.notify_one();
            return Poll::Ready(Some(Ok(chunk.into())));
        }
        match &mut state.end {
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
            None => {
                state.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.pipe.lock().dropped = true;
        self.pipe.taken.notify_one();
        if let Some(reading) = self.start.take() {
            // The last hold on a superseded image removes its files: not on an executor.
            let _ = std::thread::Builder::new().spawn(move || drop(reading));
        }
    }
}

impl Reading {
    fn spawn(self, pipe: Arc<Pipe>) -> io::Result<()> {
        let read = move || {
            let sink = |_| |chunk| pipe.put(chunk);
            let result = read(&self.shelf, &self.meta, &self.image, 1, sink, |_, _| {});
            pipe.close(result.map_err(io::Error::other));
        };
        std::thread::Builder::new()
            .name("checkpoint-export".into())
            .spawn(read)
            .map(drop)
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a chunk over, waiting for room.
    fn put(&self, chunk: Vec<u8>) -> Result<(), Fatal> {
        let mut state = self.lock();
        while state.chunks.len() >= CHECKPOINT_EXPORT_CHUNKS && !state.dropped {
            state = self
                .taken
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.dropped {
            return Err(Fatal::Setup("nobody reads the checkpoint any more".into()));
        }
        state.chunks.push_back(chunk);
        if let Some(waker) = state.waiting.take() {
            waker.wake();
        }
        Ok(())
    }

    fn close(&self, result: io::Result<()>) {
        let mut state = self.lock();
        state.end = Some(result);
        if let Some(waker) = state.waiting.take() {
            waker.wake();
        }
    }
}

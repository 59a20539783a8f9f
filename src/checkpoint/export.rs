//! An image as a stream of pieces (`piece.rs`), for a follower: read on a thread of its own, taken
//! on any executor.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures::Stream;

use crate::error::Fatal;
use crate::limits::CHECKPOINT_EXPORT_PIECES;
use crate::rt::Crossing;

use super::load::read;
use super::meta::CheckpointMeta;
use super::piece::{Cutter, Head};
use super::shelf::Shelf;
use super::store::Store;

/// The content of one checkpoint, piece by piece. It stays that checkpoint's however long it is
/// held, also when newer ones are written. Nothing is read before the first poll. An error is the
/// last item; the last piece says that the image was whole.
pub struct Export {
    /// Until the first poll: what to read.
    start: Option<Reading>,
    pipe: Arc<Pipe>,
    crossing: Crossing,
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
    pieces: VecDeque<Vec<u8>>,
    /// The reader is through: with an error, or at the end.
    end: Option<io::Result<()>>,
    /// Nobody takes pieces any more.
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
            crossing: Crossing::default(),
        };
        Some((meta, export))
    }
}

impl Stream for Export {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(reading) = this.start.take()
            && let Err(error) = reading.spawn(this.pipe.clone())
        {
            this.pipe.close(Err(error));
        }
        let mut state = this.pipe.lock();
        if let Some(piece) = state.pieces.pop_front() {
            this.pipe.taken.notify_one();
            return Poll::Ready(Some(Ok(piece.into())));
        }
        match &mut state.end {
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
            None => {
                state.waiting = Some(this.crossing.waker(context));
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
        let read = move || pipe.close(self.read(&pipe).map_err(io::Error::other));
        std::thread::Builder::new()
            .name("checkpoint-export".into())
            .spawn(read)
            .map(drop)
    }

    fn read(&self, pipe: &Pipe) -> Result<(), Fatal> {
        let head = Head {
            digest: self.meta.digest,
            bytes: self.meta.bytes,
        };
        // One shard is read by one thread: the lock is never waited for.
        let cutter = Mutex::<Cutter>::default();
        let cut = || cutter.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.put(cut().head(head))?;
        let sink = |_| |chunk: Vec<u8>| cut().chunk(&chunk).try_for_each(|piece| pipe.put(piece));
        read(&self.shelf, &self.meta, &self.image, 1, sink, |_, _| {})?;
        pipe.put(cut().end())
    }
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a piece over, waiting for room.
    fn put(&self, piece: Vec<u8>) -> Result<(), Fatal> {
        let mut state = self.lock();
        while state.pieces.len() >= CHECKPOINT_EXPORT_PIECES && !state.dropped {
            state = self
                .taken
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.dropped {
            return Err(Fatal::Setup("nobody reads the checkpoint any more".into()));
        }
        state.pieces.push_back(piece);
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

//! The handles of whoever writes a checkpoint. Any thread, any executor.

use std::io;
use std::sync::Arc;

use futures::channel::oneshot;

use crate::rt::file::answer;
use crate::value::Digest;

use super::meta::CheckpointMeta;
use super::queue::{Queue, Refused, Seal};

/// A checkpoint that is being written. Dropped without [`Writer::finish`] it is given up.
pub struct Writer {
    queue: Arc<Queue>,
    finishing: bool,
}

/// Brings chunks to a checkpoint: one for each shard. Cheap to clone.
#[derive(Clone)]
pub struct Feeder {
    queue: Arc<Queue>,
}

impl Writer {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Writer {
            queue,
            finishing: false,
        }
    }

    /// A way in for a shard.
    pub fn feeder(&self) -> Feeder {
        Feeder {
            queue: self.queue.clone(),
        }
    }

    /// Makes what was fed durable and compares it with `digest`; only [`Writer::finish`] puts it
    /// in the place of the checkpoint before. Nothing may be fed behind it.
    ///
    /// # Errors
    /// The reason why it could not be written, or that it is not what it should be.
    pub(super) async fn seal(&self, digest: Digest) -> io::Result<()> {
        let (outcome, done) = oneshot::channel();
        self.queue.seal(Seal { digest, outcome });
        let done = answer(done).await;
        done.unwrap_or_else(|| Err(io::Error::other("the checkpoint was given up")))
    }

    /// Completes the checkpoint once what was fed is written and synced. To be called when every
    /// feeder is through; what one brings later is refused.
    ///
    /// Cancelled, the checkpoint may or may not come to be; either is whole.
    ///
    /// # Errors
    /// The reason why it could not be written. The one before is in place.
    pub async fn finish(mut self) -> io::Result<CheckpointMeta> {
        let (outcome, done) = oneshot::channel();
        self.finishing = true;
        self.queue.finish(outcome);
        let done = answer(done).await;
        done.unwrap_or_else(|| Err(io::Error::other("the checkpoint was given up")))
    }

    /// Gives the checkpoint up; the one before stays.
    pub fn abort(self) {}
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finishing {
            self.queue.abort();
        }
    }
}

impl Feeder {
    /// Hands over a chunk when there is room for it.
    ///
    /// # Errors
    /// [`Refused::Full`] gives the chunk back: wait for [`Feeder::room`]. [`Refused::Failed`] is
    /// the end of this checkpoint.
    pub fn try_put(&self, chunk: Vec<u8>) -> Result<(), Refused> {
        self.queue.try_put(chunk)
    }

    /// Resolves when a chunk of `bytes` would be taken, or refused for good. Another feeder may be
    /// quicker, so try again. Cancel-safe.
    pub async fn room(&self, bytes: usize) {
        self.queue.room(bytes).await;
    }

    /// Hands over a chunk, waiting for room. Cancelled, the chunk is lost.
    ///
    /// # Errors
    /// When the checkpoint failed or was given up.
    pub async fn put(&self, mut chunk: Vec<u8>) -> io::Result<()> {
        loop {
            match self.try_put(chunk) {
                Ok(()) => return Ok(()),
                Err(Refused::Failed(why)) => return Err(why),
                Err(Refused::Full(back)) => chunk = back,
            }
            self.room(chunk.len()).await;
        }
    }
}

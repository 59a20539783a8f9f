//! A checkpoint that another node sends: its pieces checked and written as an image of this node.

use std::io;

use bytes::Bytes;
use futures::stream::{Stream, StreamExt};

use crate::value::ImageError;

use super::meta::{CheckpointMeta, Origin};
use super::piece::{Head, Joined, Joiner};
use super::queue::Refused;
use super::store::Store;
use super::writer::{Feeder, Writer};

/// A checkpoint that is being received. Dropped without [`Import::finish`] it is given up, and the
/// one before stays.
///
/// What waits for the disk is bounded as for a checkpoint of the node's own; in memory is at most
/// one chunk more, which is as large as the largest entry.
pub struct Import {
    writer: Writer,
    feeder: Feeder,
    joiner: Joiner,
    head: Option<Head>,
    ended: bool,
    sealed: bool,
}

impl Store {
    /// Begins to take in a checkpoint of another node, of the state at `origin`. Does not block.
    ///
    /// # Errors
    /// `WouldBlock` while another checkpoint is being written or cleared away.
    pub fn import(&self, origin: Origin) -> io::Result<Import> {
        let writer = self.begin_as(origin, true)?;
        Ok(Import {
            feeder: writer.feeder(),
            writer,
            joiner: Joiner::default(),
            head: None,
            ended: false,
            sealed: false,
        })
    }
}

impl Import {
    /// Takes pieces until the last one is in, then makes the rows durable and compares them with
    /// what the sender announced. The checkpoint before stays the newest.
    ///
    /// # Errors
    /// When a piece is damaged or missing, or the disk fails: this can become no checkpoint.
    pub async fn take_all(
        &mut self,
        mut pieces: impl Stream<Item = io::Result<Bytes>> + Unpin,
    ) -> io::Result<()> {
        while !self.ended {
            let Some(piece) = pieces.next().await else {
                let why = "the checkpoint that is being received ends early";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            };
            self.take(&piece?).await?;
        }
        self.seal().await
    }

    /// Takes the next piece, waiting for room. Cancelled, it was not taken.
    ///
    /// # Errors
    /// When the piece is damaged or none that can follow, or the disk fails.
    pub async fn take(&mut self, piece: &Bytes) -> io::Result<()> {
        // Only this feeds the checkpoint, so the room is still there behind the wait.
        self.feeder.room(self.joiner.bytes() + piece.len()).await;
        let number = self.joiner.pieces();
        let joined = self.joiner.take(piece);
        match joined.map_err(|error| bad_piece(number, &error))? {
            Joined::Head(head) => self.head = Some(head),
            Joined::End => self.ended = true,
            Joined::Part => {}
            Joined::Chunk(chunk) => {
                self.feeder
                    .try_put(chunk)
                    .map_err(|refused| match refused {
                        Refused::Failed(error) => error,
                        Refused::Full(_) => {
                            io::Error::other("another feeder took the room: this is a bug")
                        }
                    })?
            }
        }
        Ok(())
    }

    async fn seal(&mut self) -> io::Result<()> {
        if self.sealed {
            return Ok(());
        }
        let Some(head) = self.head else {
            return Err(io::Error::other(
                "no piece said what the checkpoint is to be",
            ));
        };
        self.writer.seal(head.digest).await?;
        self.sealed = true;
        Ok(())
    }

    /// Puts the checkpoint in the place of the one before: one write of the manifest, durable when
    /// this resolves. Cancelled, it may or may not come to be; either is whole.
    ///
    /// # Errors
    /// When pieces are missing, or the disk fails. The one before is in place.
    pub async fn finish(self) -> io::Result<CheckpointMeta> {
        if !self.sealed {
            return Err(io::Error::other(
                "the checkpoint was not received to its end",
            ));
        }
        self.writer.finish().await
    }
}

fn bad_piece(number: u64, error: &ImageError) -> io::Error {
    let what = format!(
        "piece {number} of the checkpoint that is being received: {}",
        error.0
    );
    io::Error::new(io::ErrorKind::InvalidData, what)
}

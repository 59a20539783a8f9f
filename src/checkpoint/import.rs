//! A checkpoint that another node sends: its pieces checked and written as an image of this node.

use std::fmt;
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

/// Why pieces could not be taken in.
#[derive(Debug)]
pub enum ImportError {
    /// They stopped coming. More of them may be taken by the same [`Import`].
    Stream(io::Error),
    /// They cannot become a checkpoint, or the disk fails: the import is over.
    Refused(io::Error),
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
    /// Pieces taken so far: the number of the one that comes next.
    pub fn pieces(&self) -> u64 {
        self.joiner.pieces()
    }

    /// Whether every piece is in.
    pub fn has_all(&self) -> bool {
        self.ended
    }

    /// Takes pieces until the last one is in, then makes the rows durable and compares them with
    /// what the sender announced. The checkpoint before stays the newest. Pieces that were taken
    /// before are passed over.
    ///
    /// Cancelled, no piece is lost but the one in hand: it may be sent again.
    ///
    /// # Errors
    /// See [`ImportError`].
    pub async fn take_all(
        &mut self,
        mut pieces: impl Stream<Item = io::Result<Bytes>> + Unpin,
    ) -> Result<(), ImportError> {
        while !self.ended {
            let Some(piece) = pieces.next().await else {
                let why = "the checkpoint that was being received ends early";
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, why);
                return Err(ImportError::Stream(error));
            };
            let piece = piece.map_err(ImportError::Stream)?;
            self.take(&piece).await.map_err(ImportError::Refused)?;
        }
        self.seal().await.map_err(ImportError::Refused)
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
            Joined::Again | Joined::Part => {}
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

impl fmt::Display for ImportError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportError::Stream(error) | ImportError::Refused(error) => error.fmt(out),
        }
    }
}

impl From<ImportError> for io::Error {
    fn from(error: ImportError) -> io::Error {
        match error {
            ImportError::Stream(error) | ImportError::Refused(error) => error,
        }
    }
}

//! Chunks to durable rows.

use std::io;
use std::time::Duration;

use fjall::{Database, Keyspace, PersistMode};

use crate::limits::CHECKPOINT_ROW_BYTES;
use crate::value::chunk::{ChunkReader, Record};
use crate::value::{Digest, ImageError};

use super::row::RowMaker;
use super::shelf::io_error;

/// Bytes of rows that go into one batch of the storage engine.
const BATCH_BYTES: usize = 4 * CHECKPOINT_ROW_BYTES;

/// Writes the rows of one image.
pub(super) struct Press<'d> {
    database: &'d Database,
    image: &'d Keyspace,
    maker: RowMaker,
    digest: Digest,
    /// Entries that the shards said there would be.
    announced: u64,
    bytes: u64,
}

/// What was written of an image.
pub(super) struct Pressed {
    pub digest: Digest,
    pub bytes: u64,
}

impl<'d> Press<'d> {
    /// Begins an empty image.
    pub fn new(database: &'d Database, image: &'d Keyspace) -> Self {
        Press {
            database,
            image,
            maker: RowMaker::default(),
            digest: Digest::default(),
            announced: 0,
            bytes: 0,
        }
    }

    /// Writes the rows of a chunk.
    pub fn chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        let mut reader = ChunkReader::new(chunk).map_err(bad_chunk)?;
        let mut batch = self.database.batch();
        let mut batch_bytes = 0;
        while let Some((record, bytes)) = reader.next_record().map_err(bad_chunk)? {
            match record {
                Record::Entry(entry) => self.digest += entry.digest(),
                Record::Database { entries, .. } => self.announced += entries,
                Record::Tombstones(_) => {}
            }
            let mut failed = Ok(());
            self.maker.rows(&record, bytes, |key, value| {
                batch_bytes += key.len() + value.len();
                self.bytes += (key.len() + value.len()) as u64;
                batch.insert(self.image, key, value);
                if batch_bytes >= BATCH_BYTES && failed.is_ok() {
                    batch_bytes = 0;
                    let full = std::mem::replace(&mut batch, self.database.batch());
                    failed = full.commit();
                }
            });
            failed.map_err(io_error)?;
        }
        batch.commit().map_err(io_error)
    }

    /// Makes the image durable.
    ///
    /// # Errors
    /// When it cannot be synced, or when entries are missing.
    pub fn complete(&self) -> io::Result<Pressed> {
        if self.digest.entries() != self.announced {
            let (found, announced) = (self.digest.entries(), self.announced);
            return Err(io::Error::other(format!(
                "{found} entries were captured of {announced}: this is a bug"
            )));
        }
        settle(self.database, self.image)?;
        Ok(Pressed {
            digest: self.digest,
            bytes: self.bytes,
        })
    }
}

/// Syncs what was written, then has it moved from the journal into tables: those are what a start
/// reads, and a journal that is damaged loses its tail silently.
pub(super) fn settle(database: &Database, keyspace: &Keyspace) -> io::Result<()> {
    database.persist(PersistMode::SyncAll).map_err(io_error)?;
    keyspace.rotate_memtable().map_err(io_error)?;
    while keyspace.sealed_memtable_count() > 0 {
        // Fails when a flush has failed, which would never come to an end.
        database.persist(PersistMode::Buffer).map_err(io_error)?;
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn bad_chunk(error: ImageError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.0)
}

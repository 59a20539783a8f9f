//! Chunks to durable rows.
//!
//! Chunks come in the order of the shards' tables. They are gathered to runs, each sorted into the
//! order of rows and written as tables of its own, past the storage engine's journal and memory:
//! a row is written once. Runs overlap; reading merges them.

use std::io;

use fjall::Keyspace;

use crate::limits::CHECKPOINT_RUN_BYTES;
use crate::value::chunk::{ChunkReader, ENTRY_KEY_AT, Record};
use crate::value::{Digest, ImageError};

use super::row::Place;
use super::shelf::io_error;

/// Writes the rows of one image.
pub(super) struct Press<'d> {
    image: &'d Keyspace,
    run: Run,
    /// Counts the records whose rows are told apart by a number.
    numbers: u64,
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

/// Chunks that wait to be written together.
#[derive(Default)]
struct Run {
    chunks: Vec<Vec<u8>>,
    bytes: usize,
    items: Vec<Item>,
}

/// A record in one of a run's chunks.
struct Item {
    place: Place,
    chunk: u32,
    key_bytes: u32,
    at: usize,
    bytes: usize,
}

impl<'d> Press<'d> {
    /// Begins an empty image.
    pub fn new(image: &'d Keyspace) -> Self {
        Press {
            image,
            run: Run::default(),
            numbers: 0,
            digest: Digest::default(),
            announced: 0,
            bytes: 0,
        }
    }

    /// Takes the records of a chunk, and writes a run when it is full.
    pub fn chunk(&mut self, chunk: Vec<u8>) -> io::Result<()> {
        let mut reader = ChunkReader::new(&chunk).map_err(bad_chunk)?;
        let mut at = chunk.len() - reader.rest_bytes();
        while let Some((record, bytes)) = reader.next_record().map_err(bad_chunk)? {
            let mut key = &[][..];
            match record {
                Record::Entry(entry) => {
                    self.digest += entry.digest();
                    key = entry.key;
                }
                Record::Database { entries, .. } => self.announced += entries,
                Record::Tombstones(_) => {}
            }
            self.run.items.push(Item {
                place: Place::of(&record, bytes.len(), &mut self.numbers),
                chunk: self.run.chunks.len() as u32,
                key_bytes: key.len() as u32,
                at,
                bytes: bytes.len(),
            });
            at += bytes.len();
        }
        self.run.bytes += chunk.len();
        self.run.chunks.push(chunk);
        if self.run.bytes >= CHECKPOINT_RUN_BYTES {
            self.write_run()?;
        }
        Ok(())
    }

    /// Makes the image durable. A second call has nothing left to do.
    ///
    /// # Errors
    /// When it cannot be written, or when entries are missing.
    pub fn complete(&mut self) -> io::Result<Pressed> {
        if self.digest.entries() != self.announced {
            let (found, announced) = (self.digest.entries(), self.announced);
            return Err(io::Error::other(format!(
                "{found} entries were captured of {announced}: this is a bug"
            )));
        }
        if !self.run.items.is_empty() {
            self.write_run()?;
        }
        Ok(Pressed {
            digest: self.digest,
            bytes: self.bytes,
        })
    }

    /// Writes the run as tables, synced when this returns.
    fn write_run(&mut self) -> io::Result<()> {
        let mut run = std::mem::take(&mut self.run);
        let chunks = run.chunks;
        run.items.sort_unstable_by(|a, b| {
            a.place
                .cmp(&b.place)
                .then_with(|| a.key(&chunks).cmp(b.key(&chunks)))
        });
        let twice = |pair: &[Item]| {
            pair[0].place == pair[1].place && pair[0].key(&chunks) == pair[1].key(&chunks)
        };
        if run.items.windows(2).any(twice) {
            return Err(io::Error::other(
                "an entry was captured twice: this is a bug",
            ));
        }
        let mut tables = self.image.start_ingestion().map_err(io_error)?;
        for item in &run.items {
            let record = &chunks[item.chunk as usize][item.at..item.at + item.bytes];
            item.place
                .rows(item.key(&chunks), record, |key, value| {
                    self.bytes += (key.len() + value.len()) as u64;
                    tables.write(key, value)
                })
                .map_err(io_error)?;
        }
        tables.finish().map_err(io_error)
    }
}

impl Item {
    /// The key of an entry; nothing of another record.
    fn key<'c>(&self, chunks: &'c [Vec<u8>]) -> &'c [u8] {
        let at = self.at + ENTRY_KEY_AT;
        let chunk = &chunks[self.chunk as usize];
        chunk
            .get(at..at + self.key_bytes as usize)
            .unwrap_or_default()
    }
}

fn bad_chunk(error: ImageError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.0)
}

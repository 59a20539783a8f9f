//! Reading an image back: shards in parallel, each its own range of slots.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use fjall::Keyspace;

use crate::database;
use crate::error::Fatal;
use crate::limits::CHECKPOINT_READ_BYTES;
use crate::slot::{SLOTS, shard_of};
use crate::value::Digest;
use crate::value::chunk::{Record, begin_chunk};

use super::meta::CheckpointMeta;
use super::row::{OTHER_SLOT, RowReader};
use super::shelf::Shelf;
use super::store::Store;

/// Entries between two calls of a load's `progress`, of one thread.
const PROGRESS_ENTRIES: u64 = 65_536;

/// What all threads of a load share.
struct Load<'l> {
    shelf: &'l Shelf,
    meta: &'l CheckpointMeta,
    image: &'l Keyspace,
    shards: usize,
    next_shard: AtomicUsize,
    entries: AtomicU64,
    /// Set when a thread failed: the others need not go on.
    failed: AtomicBool,
    progress: &'l (dyn Fn(u64, u64) + Sync),
}

impl Store {
    /// Reads the newest checkpoint, `None` when there is none, for a node of `shards` shards.
    ///
    /// `sink(shard)` makes what takes that shard's chunks, in which every entry of the image comes
    /// once; it is called on a thread of the load, and may block there to hold the load back.
    /// `progress(entries so far, of how many)` is called now and then, from any of the threads.
    /// Blocks until all is read.
    ///
    /// # Errors
    /// `Corrupt`, with the row named, when the image is not what was written; the chunks before
    /// were delivered. A sink's own error ends the load likewise.
    pub fn load<S>(
        &self,
        shards: usize,
        sink: impl Fn(usize) -> S + Sync,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Option<CheckpointMeta>, Fatal>
    where
        S: FnMut(Vec<u8>) -> Result<(), Fatal>,
    {
        let Some((meta, image)) = self.shelf().image()? else {
            return Ok(None);
        };
        read(self.shelf(), &meta, &image, shards, sink, progress)?;
        Ok(Some(meta))
    }
}

/// Reads an image and checks that it is whole, see [`Store::load`].
pub(super) fn read<S>(
    shelf: &Shelf,
    meta: &CheckpointMeta,
    image: &Keyspace,
    shards: usize,
    sink: impl Fn(usize) -> S + Sync,
    progress: impl Fn(u64, u64) + Sync,
) -> Result<(), Fatal>
where
    S: FnMut(Vec<u8>) -> Result<(), Fatal>,
{
    let load = Load {
        shelf,
        meta,
        image,
        shards,
        next_shard: AtomicUsize::new(0),
        entries: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        progress: &progress,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<Result<Digest, Fatal>> = std::thread::scope(|scope| {
        let (load, sink) = (&load, &sink);
        let handles: Vec<_> = (0..threads.min(shards))
            .map(|_| scope.spawn(move || database::guarded(shelf.dir(), || load.run(sink))))
            .collect();
        let joined = handles.into_iter().map(|handle| handle.join());
        joined
            .map(|result| {
                result.unwrap_or_else(|_| {
                    Err(Fatal::Setup(
                        "a thread that read the checkpoint died".into(),
                    ))
                })
            })
            .collect()
    });
    let mut digest = Digest::default();
    for result in results {
        digest += result?;
    }
    if digest != meta.digest {
        return Err(load.damaged(&format!(
            "it has {} entries with digest {digest} where {} with {} were written",
            digest.entries(),
            meta.entries(),
            meta.digest
        )));
    }
    Ok(())
}

impl Load<'_> {
    /// One thread: shard after shard, until none is left.
    fn run<S>(&self, sink: &(impl Fn(usize) -> S + Sync)) -> Result<Digest, Fatal>
    where
        S: FnMut(Vec<u8>) -> Result<(), Fatal>,
    {
        let mut digest = Digest::default();
        loop {
            let shard = self.next_shard.fetch_add(1, Ordering::Relaxed);
            if shard >= self.shards || self.failed.load(Ordering::Relaxed) {
                return Ok(digest);
            }
            let result = self.shard(shard, sink(shard));
            if result.is_err() {
                self.failed.store(true, Ordering::Relaxed);
            }
            digest += result?;
        }
    }

    fn shard(
        &self,
        shard: usize,
        mut sink: impl FnMut(Vec<u8>) -> Result<(), Fatal>,
    ) -> Result<Digest, Fatal> {
        let mut digest = Digest::default();
        let mut chunk = Vec::new();
        let slots = slots_of(shard, self.shards);
        for slots in [slots, OTHER_SLOT..OTHER_SLOT + 1] {
            let mut reader = RowReader::default();
            let range = slots.start.to_be_bytes()..slots.end.to_be_bytes();
            let mut last_key = fjall::UserKey::new(b"");
            for row in self.image.range(range) {
                let (key, value) = row
                    .into_inner()
                    .map_err(|error| self.unreadable(&last_key, error))?;
                begin_chunk(&mut chunk);
                reader
                    .read(&key, &value, |record, bytes| {
                        if self.wants(shard, &record, &mut digest) {
                            chunk.extend_from_slice(bytes);
                        }
                    })
                    .map_err(|why| self.damaged(&format!("row {}: {}", name(&key), why.0)))?;
                last_key = key;
                if chunk.len() >= CHECKPOINT_READ_BYTES {
                    sink(std::mem::take(&mut chunk))?;
                    if self.failed.load(Ordering::Relaxed) {
                        return Ok(digest);
                    }
                }
            }
            reader
                .finish()
                .map_err(|why| self.damaged(&format!("row {}: {}", name(&last_key), why.0)))?;
        }
        if !chunk.is_empty() {
            sink(chunk)?;
        }
        Ok(digest)
    }

    /// Counts a record; answers whether the shard gets it.
    fn wants(&self, shard: usize, record: &Record<'_>, digest: &mut Digest) -> bool {
        match record {
            Record::Entry(entry) => {
                *digest += entry.digest();
                let entries = self.entries.fetch_add(1, Ordering::Relaxed) + 1;
                if entries.is_multiple_of(PROGRESS_ENTRIES) || entries == self.meta.entries() {
                    (self.progress)(entries, self.meta.entries());
                }
                true
            }
            Record::Tombstones(tombs) => tombs
                .iter()
                .any(|(slot, _)| shard_of(slot, self.shards) == shard),
            Record::Database { .. } => true,
        }
    }

    fn damaged(&self, what: &str) -> Fatal {
        Fatal::Corrupt {
            what: format!("checkpoint {}: {what}", self.meta.image_name()),
        }
    }

    /// The storage engine itself could not read on.
    fn unreadable(&self, after: &[u8], error: fjall::Error) -> Fatal {
        match self.shelf.fatal(error) {
            Fatal::Corrupt { what } => Fatal::Corrupt {
                what: format!(
                    "{what} ({}, behind row {})",
                    self.meta.image_name(),
                    name(after)
                ),
            },
            other => other,
        }
    }
}

/// The slots of a shard: the inverse of [`shard_of`].
fn slots_of(shard: usize, shards: usize) -> Range<u16> {
    let first = |shard: usize| (shard * SLOTS).div_ceil(shards) as u16;
    first(shard)..first(shard + 1)
}

/// How a row is named to a person: slot, database, form, and what follows.
fn name(key: &[u8]) -> String {
    match key.split_first_chunk::<4>() {
        Some(([high, low, db, form], rest)) => format!(
            "slot {} database {db} form {form} \"{}\"",
            u16::from_be_bytes([*high, *low]),
            rest[..rest.len().min(64)].escape_ascii()
        ),
        None => "(the first)".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slots_of_the_shards_are_all_slots() {
        for shards in [1, 2, 3, 4, 7, 128] {
            for shard in 0..shards {
                for slot in slots_of(shard, shards) {
                    assert_eq!(shard_of(slot, shards), shard);
                }
            }
            assert_eq!(slots_of(shards - 1, shards).end as usize, SLOTS);
        }
    }
}

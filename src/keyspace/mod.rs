//! One shard's keys: the table, expiry, SCAN, versions. Synchronous; touched by one task on one
//! core.
//!
//! Invariants
//! - A key past its expiry is absent for every reader, whether or not it was removed yet; only a
//!   mutation removes it.
//! - Each change of a key stamps it with the version of the mutation (its place in the log), the
//!   same on every replica: that is what WATCH compares, and how a checkpoint knows what changed
//!   since it began.
//! - Before a key changes, the checkpoint that is being written has its old image.
//! - Nothing a replica keeps depends on the order of the table; only SCAN, KEYS and RANDOMKEY,
//!   which are reads, see it.
//!
//! Not done here: slots, shards and loans (`shard/`), which keys a command touches (`command/`).

mod capture;
mod database;
mod digest;
mod entry;
mod expiry;
mod image;
mod prefetch;
mod table;
mod tombstones;

pub use database::{Database, EntryMut};
pub use digest::OrderSlice;
pub use entry::Entry;
pub use image::Slice;
pub use prefetch::AHEAD;
pub use table::{Hash64, SCAN_ORDER_BITS, Table};

use crate::limits::DATABASES;

/// The databases of one shard.
pub struct Keyspace {
    databases: Vec<Database>,
}

impl Keyspace {
    /// An empty keyspace. `seed` fixes the order of the tables, so that SCAN's cursors outlive a
    /// restart.
    pub fn new(seed: u64) -> Self {
        Keyspace {
            databases: (0..DATABASES).map(|_| Database::new(seed)).collect(),
        }
    }

    /// Database `index`, `0..16`.
    #[inline]
    pub fn db(&self, index: usize) -> &Database {
        &self.databases[index]
    }

    #[inline]
    pub fn db_mut(&mut self, index: usize) -> &mut Database {
        &mut self.databases[index]
    }

    pub fn databases(&self) -> impl Iterator<Item = &Database> {
        self.databases.iter()
    }

    /// Takes everything out, leaving an empty keyspace with tables of the same order; a capture
    /// under way goes with it. O(databases); to drop what was taken takes time in proportion to it.
    pub fn take(&mut self) -> Keyspace {
        let empty = self.databases.iter().map(Database::successor).collect();
        Keyspace {
            databases: std::mem::replace(&mut self.databases, empty),
        }
    }

    /// Exchanges two databases (`SWAPDB`). O(1).
    pub fn swap(&mut self, a: usize, b: usize) {
        self.databases.swap(a, b);
    }
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod capture_tests;

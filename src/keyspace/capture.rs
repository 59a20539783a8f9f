//! One database's part in a checkpoint: its exact content at a position of the log, written out in
//! slices while mutations go on.
//!
//! A walk goes over the table in the order of scans, which no split or merge changes, and skips
//! what changed since. Before a key that the walk has not come to changes, leaves or is lent, its
//! old image is written: early, into a buffer that the next slice hands out.
//!
//! Invariants
//! - An entry belongs to the image when its version is at most `upto_version`; it is written
//!   exactly once, by the walk or early.
//! - At the beginning no loan is out and none is in. So an entry of the image that is *put* in
//!   under the capture was written already, where it was taken: those keys are remembered until
//!   the walk has passed them.
//! - A table that is cleared away under the walk is kept and walked to its end. Nothing that is
//!   in its successor belongs to the image.

use std::collections::{HashSet, VecDeque};

use crate::value::chunk;

use super::entry::Entry;
use super::table::{Hash64, Table};
use super::tombstones::{Block, Tombstones};

/// Entries that the walk looks at in one go: about a segment of the table, so that none is hashed
/// twice in a slice.
const STEP_ENTRIES: usize = 1024;

/// What an entry costs of a slice's budget besides the bytes it writes: time to look at it.
const LOOK_COST_BYTES: usize = 16;

/// A checkpoint under way in one database.
pub(super) struct Capture {
    /// The database's number at the position of the image; a swap does not change it.
    db: u8,
    upto_version: u64,
    head: Option<Head>,
    tombstones: VecDeque<(u16, Block)>,
    /// Every entry at a lower place in scan order was dealt with.
    cursor: u64,
    walked: bool,
    /// Images of entries that the walk had not come to when they changed.
    early: Vec<u8>,
    /// Keys of the image that were written before they were put into the table.
    written: HashSet<Box<[u8]>>,
    /// The table of the image when the database was cleared since.
    orphan: Option<Table>,
}

/// What is said of the database before its entries.
struct Head {
    entries: u64,
    cleared_version: u64,
}

impl Capture {
    /// Begins with the image at the present state. O(1) but for a pointer a tombstone block.
    pub fn new(db: u8, upto_version: u64, table: &Table, tombstones: &Tombstones) -> Self {
        Capture {
            db,
            upto_version,
            head: Some(Head {
                entries: table.len() as u64,
                cleared_version: tombstones.cleared_version(),
            }),
            tombstones: tombstones
                .blocks()
                .map(|(slot, block)| (slot, block.clone()))
                .collect(),
            cursor: 0,
            walked: table.is_empty(),
            early: Vec::new(),
            written: HashSet::new(),
            orphan: None,
        }
    }

    /// Bytes of images written early that no slice has handed out yet.
    pub fn early_bytes(&self) -> usize {
        self.early.len()
    }

    /// Whether an entry of the live table is still to be written.
    fn awaits(&self, hash: Hash64, entry: &Entry) -> bool {
        !self.walked
            && self.orphan.is_none()
            && entry.version <= self.upto_version
            && hash.order() >= self.cursor
            && (self.written.is_empty() || !self.written.contains(key_of(entry)))
    }

    /// To be called before an entry changes or leaves the table.
    #[inline]
    pub fn before_change(&mut self, hash: Hash64, entry: &Entry) {
        if self.awaits(hash, entry) {
            put(&mut self.early, self.db, entry);
        }
    }

    /// To be called when an entry comes into the table as it is: it was written where it came from.
    pub fn arrived(&mut self, hash: Hash64, entry: &Entry) {
        if self.awaits(hash, entry) {
            self.written.insert(key_of(entry).into());
        }
    }

    /// Takes over the table that was cleared away. Answers with what can be dropped at once.
    pub fn cleared(&mut self, table: Table) -> Option<Table> {
        if self.walked || self.orphan.is_some() {
            return Some(table);
        }
        self.orphan = Some(table);
        None
    }

    /// The table that was kept, for dropping where that takes nobody's time.
    pub fn into_orphan(self) -> Option<Table> {
        self.orphan
    }

    /// Writes until `out` has `limit` bytes or nothing is left. Answers whether nothing is.
    ///
    /// O(limit + a segment of the table); a single value is written whole, whatever its size.
    pub fn slice(&mut self, live: &Table, limit: usize, out: &mut Vec<u8>) -> bool {
        if let Some(head) = self.head.take() {
            chunk::put_database(out, self.db, head.entries, head.cleared_version);
        }
        out.append(&mut self.early);
        while out.len() < limit
            && let Some((slot, block)) = self.tombstones.pop_front()
        {
            chunk::put_tombstones(out, self.db, slot, &*block);
        }
        let orphan = self.orphan.take();
        self.walk(orphan.as_ref().unwrap_or(live), limit, out);
        self.orphan = orphan;
        self.walked && self.tombstones.is_empty()
    }

    fn walk(&mut self, table: &Table, limit: usize, out: &mut Vec<u8>) {
        let mut looked_cost = 0;
        let mut met: Vec<(u64, &Entry)> = Vec::new();
        while !self.walked && out.len() + looked_cost < limit {
            let upto_version = self.upto_version;
            let next = table.scan(self.cursor, STEP_ENTRIES, |entry| {
                looked_cost += LOOK_COST_BYTES;
                if entry.version <= upto_version {
                    met.push((table.hash(key_of(entry)).order(), entry));
                }
            });
            met.sort_unstable_by_key(|&(order, _)| order);
            for (order, entry) in met.drain(..) {
                // Entries of one order cannot be told apart by the cursor: they go together.
                if out.len() >= limit && order != self.cursor {
                    self.cursor = order;
                    return;
                }
                self.cursor = order;
                if self.written.is_empty() || !self.written.remove(key_of(entry)) {
                    put(out, self.db, entry);
                }
            }
            self.cursor = next;
            self.walked = next == 0;
        }
    }
}

fn key_of(entry: &Entry) -> &[u8] {
    entry.key.bytes().unwrap_or_default()
}

fn put(out: &mut Vec<u8>, db: u8, entry: &Entry) {
    chunk::put_entry(
        out,
        db,
        key_of(entry),
        entry.expires_at_ms,
        entry.version,
        &entry.value,
    );
}

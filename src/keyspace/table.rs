//! The hash table: extendible hashing over small hashbrown tables.
//!
//! A directory of 2^depth places points to segments of at most [`SEGMENT_ENTRIES_MAX`] entries. A
//! full segment splits in two by the next bit of its hashes, so that growth costs a few
//! microseconds at a time and never a pause in proportion to the table. The order in which a scan
//! visits keys is the order of their hashes, which no split or merge changes: a cursor is a place
//! in that order, and a key that is there throughout a scan is met exactly once.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::entry::Entry;

/// What a segment of 1024 places holds at hashbrown's load limit (7/8).
const SEGMENT_ENTRIES_MAX: usize = 896;

/// Two sibling segments become one when together they hold no more than this.
const MERGE_ENTRIES_MAX: usize = 224;

/// Places of the directory are bounded by 2^32: 3.8 G keys a shard and database.
const DEPTH_MAX: u32 = 32;

/// Bits of the order, from the top, that tell where a scan goes on: what a client's cursor has
/// room for. Entries that agree in all of them are met together.
pub const SCAN_ORDER_BITS: u32 = 38;

const _: () = assert!(SCAN_ORDER_BITS >= DEPTH_MAX);

/// A key's hash under the table's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hash64(u64);

impl Hash64 {
    /// Place in the order of scans. hashbrown marks its places with the top seven bits; those are
    /// left out, so that they still tell the entries of one segment apart.
    #[inline]
    pub fn order(self) -> u64 {
        self.0 << 7
    }
}

struct Segment {
    depth: u32,
    entries: HashTable<Entry>,
}

/// Keys to entries.
pub struct Table {
    hasher: FixedState,
    depth: u32,
    directory: Vec<u32>,
    segments: Vec<Segment>,
    /// Segments that merging set free.
    free: Vec<u32>,
    len: usize,
}

impl Table {
    /// An empty table whose order is fixed by `seed`.
    pub fn new(seed: u64) -> Self {
        Table {
            hasher: FixedState::with_seed(seed),
            depth: 0,
            directory: vec![0],
            segments: vec![Segment {
                depth: 0,
                entries: HashTable::new(),
            }],
            free: Vec::new(),
            len: 0,
        }
    }

    /// Entries in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hash of a key. O(length).
    #[inline]
    pub fn hash(&self, key: &[u8]) -> Hash64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        Hash64(hasher.finish())
    }

    #[inline]
    fn place(&self, hash: Hash64) -> usize {
        // Two shifts: a depth of 0 would shift by 64.
        (hash.order() >> 1 >> (63 - self.depth)) as usize
    }

    #[inline]
    fn segment(&self, hash: Hash64) -> usize {
        self.directory[self.place(hash)] as usize
    }

    /// The entry of `key`. O(1).
    #[inline]
    pub fn get(&self, hash: Hash64, key: &[u8]) -> Option<&Entry> {
        self.segments[self.segment(hash)]
            .entries
            .find(hash.0, |entry| entry.key == *key)
    }

    /// The first entry that may have this hash, without a look at it: to ask for its memory.
    #[inline]
    pub fn candidate(&self, hash: Hash64) -> Option<&Entry> {
        self.segments[self.segment(hash)]
            .entries
            .iter_hash(hash.0)
            .next()
    }

    /// The entry of `key` for changing anything but its key. O(1).
    #[inline]
    pub fn get_mut(&mut self, hash: Hash64, key: &[u8]) -> Option<&mut Entry> {
        let segment = self.segment(hash);
        self.segments[segment]
            .entries
            .find_mut(hash.0, |entry| entry.key == *key)
    }

    /// Adds an entry whose key is not in the table. O(1) amortized; at worst one split.
    #[inline]
    pub fn insert_new(&mut self, hash: Hash64, entry: Entry) -> &mut Entry {
        let mut segment = self.segment(hash);
        // A segment whose keys all have one order cannot split: it grows beyond its size.
        while self.segments[segment].entries.len() >= SEGMENT_ENTRIES_MAX
            && self.segments[segment].depth < DEPTH_MAX
        {
            self.split(hash);
            segment = self.segment(hash);
        }
        self.len += 1;
        let hasher = self.hasher.clone();
        self.segments[segment]
            .entries
            .insert_unique(hash.0, entry, |entry| rehash(&hasher, entry))
            .into_mut()
    }

    /// Takes the entry of `key` out. O(1) amortized.
    pub fn remove(&mut self, hash: Hash64, key: &[u8]) -> Option<Entry> {
        let segment = self.segment(hash);
        let entries = &mut self.segments[segment].entries;
        let (entry, _) = entries
            .find_entry(hash.0, |entry| entry.key == *key)
            .ok()?
            .remove();
        self.len -= 1;
        if self.depth > 0 && self.segments[segment].entries.len() <= MERGE_ENTRIES_MAX / 2 {
            self.merge(hash);
        }
        Some(entry)
    }

    /// Splits the segment of `hash` by the next bit of its hashes.
    fn split(&mut self, hash: Hash64) {
        let old = self.segment(hash);
        let depth = self.segments[old].depth + 1;
        if depth > self.depth {
            self.directory = self
                .directory
                .iter()
                .flat_map(|&segment| [segment, segment])
                .collect();
            self.depth = depth;
        }
        let hasher = self.hasher.clone();
        let room = HashTable::with_capacity(SEGMENT_ENTRIES_MAX);
        let whole = std::mem::replace(&mut self.segments[old].entries, room);
        let mut upper = HashTable::with_capacity(SEGMENT_ENTRIES_MAX);
        let bit = 1u64 << (64 - depth);
        for entry in whole {
            let entry_hash = Hash64(rehash(&hasher, &entry));
            let half = if entry_hash.order() & bit == 0 {
                &mut self.segments[old].entries
            } else {
                &mut upper
            };
            half.insert_unique(entry_hash.0, entry, |entry| rehash(&hasher, entry));
        }
        self.segments[old].depth = depth;
        let new = self.add_segment(Segment {
            depth,
            entries: upper,
        });
        let places = self.places_of(hash, depth - 1);
        let middle = places.start + places.len() / 2;
        self.directory[middle..places.end].fill(new);
    }

    fn add_segment(&mut self, segment: Segment) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.segments[index as usize] = segment;
                index
            }
            None => {
                self.segments.push(segment);
                self.segments.len() as u32 - 1
            }
        }
    }

    /// Places of the directory that share the first `depth` bits with `hash`.
    fn places_of(&self, hash: Hash64, depth: u32) -> std::ops::Range<usize> {
        let width = 1usize << (self.depth - depth);
        let start = self.place(hash) & !(width - 1);
        start..start + width
    }

    /// Joins the segment of `hash` with its sibling when both are nearly empty.
    fn merge(&mut self, hash: Hash64) {
        let kept = self.segment(hash);
        let depth = self.segments[kept].depth;
        if depth == 0 {
            return;
        }
        let places = self.places_of(hash, depth - 1);
        let own = self.places_of(hash, depth);
        let sibling_place = if own.start == places.start {
            own.end
        } else {
            places.start
        };
        let sibling = self.directory[sibling_place] as usize;
        let (kept_len, sibling_len) = (
            self.segments[kept].entries.len(),
            self.segments[sibling].entries.len(),
        );
        if self.segments[sibling].depth != depth || kept_len + sibling_len > MERGE_ENTRIES_MAX {
            return;
        }
        let hasher = self.hasher.clone();
        let moved = std::mem::take(&mut self.segments[sibling].entries);
        for entry in moved {
            let hash = rehash(&hasher, &entry);
            self.segments[kept]
                .entries
                .insert_unique(hash, entry, |entry| rehash(&hasher, entry));
        }
        self.segments[kept].depth = depth - 1;
        self.directory[places].fill(kept as u32);
        self.free.push(sibling as u32);
    }

    /// Visits entries from `cursor` on in the order of scans, about `count` of them, and answers
    /// the cursor to go on from, or 0 at the end: a place in the order of which all but the top
    /// [`SCAN_ORDER_BITS`] are 0. `visit` may meet expired entries.
    ///
    /// O(count + a segment's size).
    pub fn scan<'t>(&'t self, cursor: u64, count: usize, mut visit: impl FnMut(&'t Entry)) -> u64 {
        let mut at = cursor;
        let mut met = 0;
        loop {
            let place = (at >> 1 >> (63 - self.depth)) as usize;
            let segment = &self.segments[self.directory[place] as usize];
            // The slice of this segment's orders that should hold what is still wanted.
            let width = if segment.depth == 0 {
                u64::MAX
            } else {
                (1u64 << (64 - segment.depth)) - 1
            };
            let last = at | width;
            let parts = (segment.entries.len() / count.saturating_sub(met).max(1)) as u64 + 1;
            let upto = if parts == 1 {
                last
            } else {
                last.min(at.saturating_add(width / parts) | u64::MAX >> SCAN_ORDER_BITS)
            };
            for entry in &segment.entries {
                let order = self.hash(entry.key.bytes().unwrap_or_default()).order();
                if (at..=upto).contains(&order) {
                    met += 1;
                    visit(entry);
                }
            }
            match upto.checked_add(1) {
                None => return 0,
                Some(next) => at = next,
            }
            if met >= count {
                return at;
            }
        }
    }

    /// Every entry whose place in the order of scans is from `first` to `last`.
    ///
    /// O(entries + a segment's size at either end).
    pub fn each_between(&self, first: u64, last: u64, mut visit: impl FnMut(&Entry)) {
        let mut at = first;
        loop {
            let place = (at >> 1 >> (63 - self.depth)) as usize;
            let segment = &self.segments[self.directory[place] as usize];
            let width = u64::MAX.checked_shr(segment.depth).unwrap_or(0);
            let end = (at | width).min(last);
            for entry in &segment.entries {
                let order = self.hash(entry.key.bytes().unwrap_or_default()).order();
                if (at..=end).contains(&order) {
                    visit(entry);
                }
            }
            match end.checked_add(1) {
                Some(next) if next <= last => at = next,
                _ => return,
            }
        }
    }

    /// Every entry, in no order that means anything.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.segments
            .iter()
            .flat_map(|segment| segment.entries.iter())
    }

    /// An entry picked by `seed`: evenly among segments, then within one. `None` when empty.
    pub fn pick(&self, seed: u64) -> Option<&Entry> {
        if self.is_empty() {
            return None;
        }
        let start = (seed >> 32) as usize % self.directory.len();
        (0..self.directory.len())
            .map(|step| (start + step) % self.directory.len())
            .map(|place| &self.segments[self.directory[place] as usize].entries)
            .find(|entries| !entries.is_empty())
            .and_then(|entries| entries.iter().nth(seed as u32 as usize % entries.len()))
    }

    /// Bytes of the table itself, entries' places included.
    pub fn bytes(&self) -> usize {
        self.directory.capacity() * size_of::<u32>()
            + self
                .segments
                .iter()
                .map(|segment| segment.entries.allocation_size())
                .sum::<usize>()
    }
}

fn rehash(hasher: &FixedState, entry: &Entry) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(entry.key.bytes().unwrap_or_default());
    state.finish()
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;

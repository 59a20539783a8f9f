//! When keys were last deleted, by slot, so that WATCH on an absent key notices that it came and
//! went.
//!
//! The slot is what all replicas agree on whatever their number of shards and the seed of their
//! tables. Keys of one slot may abort each other's transactions; they do so on every replica.

use std::sync::Arc;

use crate::slot::SLOTS;

const BLOCK_SLOTS: usize = 256;
const BLOCKS: usize = SLOTS / BLOCK_SLOTS;

/// The tombstones of 256 neighbouring slots.
pub(super) type Block = Arc<[u64; BLOCK_SLOTS]>;

/// A version for each slot in which a key was deleted.
#[derive(Default)]
pub(super) struct Tombstones {
    /// Version of the last clearing of the whole database; no slot counts as older.
    cleared_version: u64,
    /// Made when first written to. Shared with the checkpoint that is being written.
    blocks: Vec<Option<Block>>,
}

impl Tombstones {
    /// Notes that a key of `slot` was deleted. O(1).
    pub fn note(&mut self, slot: u16, version: u64) {
        if self.blocks.is_empty() {
            self.blocks = vec![None; BLOCKS];
        }
        let block =
            self.blocks[slot as usize / BLOCK_SLOTS].get_or_insert_with(|| Arc::new([0; _]));
        Arc::make_mut(block)[slot as usize % BLOCK_SLOTS] = version;
    }

    /// Notes a deletion that may be older than what is known.
    pub fn merge(&mut self, slot: u16, version: u64) {
        if version > self.of(slot) {
            self.note(slot, version);
        }
    }

    /// When a key of `slot` was last deleted; 0 = never.
    pub fn of(&self, slot: u16) -> u64 {
        let block = self.blocks.get(slot as usize / BLOCK_SLOTS);
        let version = block
            .and_then(Option::as_ref)
            .map_or(0, |block| block[slot as usize % BLOCK_SLOTS]);
        version.max(self.cleared_version)
    }

    /// Notes that all keys were deleted. O(1).
    pub fn clear(&mut self, version: u64) {
        self.cleared_version = version;
        self.blocks.clear();
    }

    /// Notes a clearing that may be older than deletions that are known.
    pub fn merge_cleared(&mut self, version: u64) {
        self.cleared_version = self.cleared_version.max(version);
    }

    pub fn cleared_version(&self) -> u64 {
        self.cleared_version
    }

    /// Every block there is with its first slot. Sharing one is O(1): a later deletion copies it.
    pub fn blocks(&self) -> impl Iterator<Item = (u16, &Block)> {
        (0u16..)
            .step_by(BLOCK_SLOTS)
            .zip(&self.blocks)
            .filter_map(|(slot, block)| Some((slot, block.as_ref()?)))
    }
}

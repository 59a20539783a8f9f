//! `CLUSTER COUNTKEYSINSLOT` and `GETKEYSINSLOT`: there is no index by slot, so the shard that
//! owns the slot is walked, a slice a turn.
//!
//! Keys that are there throughout are met exactly once; of those that come and go meanwhile, some.

use crate::limits::SLOT_SCAN_KEYS;
use crate::slot::slot_of;

use super::engine::Engine;
use super::gather::Answer;

/// A walk of this core's shard for another core, or for itself.
pub(super) struct SlotScan {
    /// Whom to answer, under which number.
    pub from: usize,
    pub number: u64,
    pub db: u8,
    pub slot: u16,
    /// Keys wanted; `None`: only their count.
    pub keys_max: Option<usize>,
    /// Where to go on, in the table's order.
    pub order: u64,
    pub keys: Vec<Vec<u8>>,
    pub count: usize,
}

impl Engine {
    /// Goes on with the oldest walk under way, once a turn. Answers whether there was one to go
    /// on with.
    pub fn slot_scan_turn(&mut self) -> bool {
        let Some(scan) = self.gathers.scans.front_mut() else {
            return false;
        };
        let Some(shard) = &self.shard else {
            return false;
        };
        // Lent keys come home first; what brings them wakes this core.
        if !shard.is_free() {
            return false;
        }
        let (now_ms, wanted) = (self.now_ms, scan.keys_max.unwrap_or(usize::MAX));
        let (slot, keys, count) = (scan.slot, &mut scan.keys, &mut scan.count);
        let is_counted = scan.keys_max.is_none();
        let mut end = wanted == 0;
        if !end {
            let table = shard.keyspace().db(scan.db as usize).table();
            scan.order = table.scan(scan.order, SLOT_SCAN_KEYS, |entry| {
                let key = entry.key.bytes().unwrap_or_default();
                if *count < wanted && slot_of(key) == slot && !entry.is_expired(now_ms) {
                    *count += 1;
                    if !is_counted {
                        keys.push(key.to_vec());
                    }
                }
            });
            end = scan.order == 0 || scan.count >= wanted;
        }
        if end && let Some(scan) = self.gathers.scans.pop_front() {
            let answer = match scan.keys_max {
                None => Answer::Count(scan.count),
                Some(_) => Answer::Keys(scan.keys),
            };
            self.out.answer(scan.from, scan.number, answer);
        }
        true
    }
}

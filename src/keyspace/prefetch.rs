//! Having memory on its way before it is needed.
//!
//! A look-up in a large table costs two or three cache misses one behind the other, which is most
//! of what a small command costs. Where several commands are at hand at once (a pipeline, an
//! entry of the log), the entries of all are asked for before the first one runs, then their
//! values: the misses overlap.

use crate::value::Value;

use super::database::Database;
use super::entry::Entry;
use super::table::Hash64;

/// Commands that are looked ahead at a time: enough to overlap misses, few enough for the lines
/// to be in the first-level cache when their turn comes.
pub const AHEAD: usize = 16;

/// Asks for the cache line at `place`.
#[inline]
fn ask<T: ?Sized>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program could see; the address is a reference's.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>((place as *const T).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

impl Database {
    /// Asks for the entry of `key`, and answers its hash for [`Database::prefetch_value`]. O(1).
    #[inline]
    pub fn prefetch_entry(&self, key: &[u8]) -> Hash64 {
        let hash = self.table().hash(key);
        if let Some(entry) = self.table().candidate(hash) {
            ask::<Entry>(entry);
        }
        hash
    }

    /// Asks for the value of the entry that was asked for. O(1).
    #[inline]
    pub fn prefetch_value(&self, hash: Hash64) {
        if let Some(entry) = self.table().candidate(hash)
            && let Value::String(text) = &entry.value
            && let Some(heap) = text.heap()
        {
            ask(heap);
        }
    }
}

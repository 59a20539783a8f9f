//! A key with its value, one cache line.

use crate::value::{Text, Value};

/// A key, its value, its expiry and the version of its last change.
#[derive(Debug)]
#[repr(align(64))]
pub struct Entry {
    pub key: Text,
    pub value: Value,
    /// Unix time in ms from which the key is absent; 0 = never.
    pub expires_at_ms: u64,
    /// Place in the log of the last change.
    pub version: u64,
}

impl Entry {
    /// Whether the key counts as absent at `now_ms`.
    #[inline]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_at_ms != 0 && self.expires_at_ms <= now_ms
    }

    /// Bytes that key and value take, the place in the table included. Estimated, O(1).
    pub fn bytes(&self) -> usize {
        size_of::<Entry>() + self.key.heap_bytes() + self.value.heap_bytes()
    }
}

const _: () = assert!(size_of::<Entry>() == 64);

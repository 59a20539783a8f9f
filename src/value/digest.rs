//! What two replicas compare to know that they hold the same: a sum over entries.
//!
//! Each entry counts with the XXH3-128 of its database, expiry, key and value image; the sum wraps.
//! It therefore depends neither on the order of a table nor on how many shards the keys are spread
//! over: the digests of shards add up. It finds errors, not forgeries.

use std::fmt;
use std::ops::AddAssign;

/// Bytes of a digest on disk.
pub const DIGEST_BYTES: usize = 24;

/// An order-independent digest of a set of entries, and their number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Digest {
    sum: u128,
    entries: u64,
}

impl Digest {
    /// The digest of one entry, from the bytes that stand for it.
    pub(super) fn of_entry(bytes: &[u8]) -> Self {
        Digest {
            sum: xxhash_rust::xxh3::xxh3_128(bytes),
            entries: 1,
        }
    }

    /// How many entries were counted.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    pub fn to_bytes(self) -> [u8; DIGEST_BYTES] {
        let mut bytes = [0; DIGEST_BYTES];
        bytes[..16].copy_from_slice(&self.sum.to_le_bytes());
        bytes[16..].copy_from_slice(&self.entries.to_le_bytes());
        bytes
    }

    pub fn from_bytes(bytes: &[u8; DIGEST_BYTES]) -> Self {
        let (mut sum, mut entries) = ([0; 16], [0; 8]);
        sum.copy_from_slice(&bytes[..16]);
        entries.copy_from_slice(&bytes[16..]);
        Digest {
            sum: u128::from_le_bytes(sum),
            entries: u64::from_le_bytes(entries),
        }
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Self) {
        self.sum = self.sum.wrapping_add(other.sum);
        self.entries += other.entries;
    }
}

/// 40 hex digits as `DEBUG DIGEST` prints them, all zeros for an empty dataset: the sum, then the
/// low half of the count. Not Redis' SHA-1.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}{:08x}", self.sum, self.entries as u32)
    }
}

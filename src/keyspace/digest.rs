//! The digest of a keyspace or of a part of it, for `DEBUG DIGEST`, tests, and replicas that compare.
//!
//! It walks the entries while nothing else runs. Where the whole keyspace may not be walked in one
//! go, it is taken part by part, each at a position of the log of its own: a part is a slice of the
//! order of scans, which is the same on every node however many shards the keys are spread over.

use crate::value::Digest;
use crate::value::chunk::{self, Record};

use super::Keyspace;
use super::entry::Entry;

/// Parts into which the order of scans can be cut, as a power of two.
const CUTS_MAX: u8 = 32;

/// A slice of the order of scans: one of 2^`cuts` equal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderSlice {
    cuts: u8,
    number: u32,
}

impl OrderSlice {
    /// Everything.
    pub const WHOLE: OrderSlice = OrderSlice { cuts: 0, number: 0 };

    /// The slice that begins at `start`, which is the end of another or 0, one of 2^`cuts` or,
    /// where none of those begins there, the largest smaller one.
    pub fn beginning_at(start: u32, cuts: u8) -> OrderSlice {
        let cuts = cuts.max(CUTS_MAX.saturating_sub(start.trailing_zeros() as u8));
        let cuts = cuts.min(CUTS_MAX);
        let number = (u64::from(start) >> (CUTS_MAX - cuts)) as u32;
        OrderSlice { cuts, number }
    }

    /// Where the next slice begins; `None` behind the last one.
    pub fn end(self) -> Option<u32> {
        let end = (u64::from(self.number) + 1) << (CUTS_MAX - self.cuts);
        u32::try_from(end).ok()
    }

    /// One number that stands for it.
    pub fn code(self) -> u64 {
        u64::from(self.cuts) << 32 | u64::from(self.number)
    }

    /// The slice that a number stands for, if it does.
    pub fn of_code(code: u64) -> Option<OrderSlice> {
        let (cuts, number) = (u8::try_from(code >> 32).ok()?, code as u32);
        let is_one = cuts <= CUTS_MAX && u64::from(number) < 1 << cuts;
        is_one.then_some(OrderSlice { cuts, number })
    }

    /// First and last place.
    fn places(self) -> (u64, u64) {
        let width = u64::MAX.checked_shr(u32::from(self.cuts)).unwrap_or(0);
        let first = u64::from(self.number)
            .checked_shl(64 - u32::from(self.cuts))
            .unwrap_or(0);
        (first, first | width)
    }
}

impl Keyspace {
    /// Digest of every entry, those past their expiry but not yet removed included: it depends on
    /// the log alone, not on the time. Digests of shards add up. O(bytes of the keyspace).
    pub fn digest(&self) -> Digest {
        self.digest_of(OrderSlice::WHOLE)
    }

    /// Digest of the entries of a slice. The digests of all slices of a cut add up to the whole.
    /// O(bytes of the slice + a segment of each table).
    pub fn digest_of(&self, slice: OrderSlice) -> Digest {
        let mut digest = Digest::default();
        let mut bytes = Vec::new();
        let (first, last) = slice.places();
        for (db, database) in self.databases.iter().enumerate() {
            if database.is_empty() {
                continue;
            }
            database.table().each_between(first, last, |entry| {
                digest += digest_of_entry(db as u8, entry, &mut bytes);
            });
        }
        digest
    }
}

fn digest_of_entry(db: u8, entry: &Entry, bytes: &mut Vec<u8>) -> Digest {
    bytes.clear();
    let key = entry.key.bytes().unwrap_or_default();
    let (expires_at_ms, version) = (entry.expires_at_ms, entry.version);
    chunk::put_entry(bytes, db, key, expires_at_ms, version, &entry.value);
    match chunk::read_record(bytes) {
        Ok((Record::Entry(image), _)) => image.digest(),
        _ => Digest::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(keys: u64) -> Keyspace {
        let mut keyspace = Keyspace::new(7);
        for n in 0..keys {
            let db = keyspace.db_mut((n % 3) as usize);
            db.set_string(format!("key:{n}").as_bytes(), b"value", n);
        }
        keyspace
    }

    #[test]
    fn slices_add_up_however_they_are_cut() {
        for keys in [0, 1, 10, 5000] {
            let keyspace = filled(keys);
            let whole = keyspace.digest();
            assert_eq!(whole.entries(), keys);
            for cuts in [0, 1, 5, 11] {
                let (mut sum, mut start, mut slices) = (Digest::default(), Some(0), 0);
                while let Some(at) = start {
                    // Finer here and there, as it is where slices took too long.
                    let finer = u8::from(slices % 3 == 1 && cuts > 0);
                    let slice = OrderSlice::beginning_at(at, cuts + finer);
                    assert_eq!(OrderSlice::of_code(slice.code()), Some(slice));
                    sum += keyspace.digest_of(slice);
                    start = slice.end();
                    slices += 1;
                }
                assert_eq!(sum, whole, "{keys} keys in {slices} slices");
            }
        }
    }

    #[test]
    fn a_changed_key_changes_the_digest_of_its_slice_alone() {
        let (mut keyspace, cuts) = (filled(1000), 4);
        let slices: Vec<OrderSlice> = (0..16).map(|number| OrderSlice { cuts, number }).collect();
        let digests = |keyspace: &Keyspace| -> Vec<Digest> {
            slices.iter().map(|one| keyspace.digest_of(*one)).collect()
        };
        let before = digests(&keyspace);
        keyspace.db_mut(0).set_string(b"key:3", b"other", 1);
        let after = digests(&keyspace);
        let changed = before
            .iter()
            .zip(&after)
            .filter(|(one, other)| one != other);
        assert_eq!(changed.count(), 1);
    }

    #[test]
    fn numbers_that_are_no_slice() {
        assert_eq!(OrderSlice::of_code(33 << 32), None);
        assert_eq!(OrderSlice::of_code(1 << 32 | 2), None);
        let last = OrderSlice::beginning_at(u32::MAX, 0);
        assert_eq!(
            (last.end(), last.code()),
            (None, 32 << 32 | u64::from(u32::MAX))
        );
    }
}

//! The digest of a keyspace in one go, for `DEBUG DIGEST` and tests.
//!
//! It walks every entry while nothing else runs. Where that must not be, the digest at a position
//! of the log is a by-product of the capture: the sum over the entries of its chunks.

use crate::value::Digest;
use crate::value::chunk::{self, Record};

use super::Keyspace;

impl Keyspace {
    /// Digest of every entry, those past their expiry but not yet removed included: it depends on
    /// the log alone, not on the time. Digests of shards add up. O(bytes of the keyspace).
    pub fn digest(&self) -> Digest {
        let mut digest = Digest::default();
        let mut bytes = Vec::new();
        for (db, database) in self.databases.iter().enumerate() {
            for entry in database.table().iter() {
                bytes.clear();
                let key = entry.key.bytes().unwrap_or_default();
                let (expires_at_ms, version) = (entry.expires_at_ms, entry.version);
                chunk::put_entry(
                    &mut bytes,
                    db as u8,
                    key,
                    expires_at_ms,
                    version,
                    &entry.value,
                );
                if let Ok((Record::Entry(image), _)) = chunk::read_record(&bytes) {
                    digest += image.digest();
                }
            }
        }
        digest
    }
}

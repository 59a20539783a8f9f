//! What is known of a checkpoint, and the manifest's row that says so.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version of this layout, 2 |
//! | 1 | version of the chunks, [`CHUNK_VERSION`] |
//! | 8 | generation |
//! | 8, 8, 8 | term, leader, index |
//! | 8 | seed of the tables |
//! | 24 | digest, with the number of entries |
//! | 8 | bytes of the rows |
//! | 1 | 1 where it was received from another node, 0 where it was captured here |
//! | 4, .. | length of the membership, the membership |
//! | 8 | XXH3-64 of all before |
//!
//! Version 1 lacks the byte about where it came from: it was captured here.

use xxhash_rust::xxh3::xxh3_64;

use crate::value::chunk::CHUNK_VERSION;
use crate::value::{DIGEST_BYTES, Digest, ImageError, ImageReader};

const MANIFEST_VERSION: u8 = 2;

/// Where in the log an image stands, and what else of the node's state belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    pub term: u64,
    pub leader: u64,
    /// The last entry of the log that the image contains.
    pub index: u64,
    /// The membership at that entry. Opaque here.
    pub membership: Vec<u8>,
    /// Fixes the order of the tables, so that cursors of SCAN outlive a restart.
    pub seed: u64,
}

/// A complete checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointMeta {
    pub origin: Origin,
    /// Higher than that of every complete checkpoint before it in this directory.
    pub generation: u64,
    /// Of all entries; counts them too.
    pub digest: Digest,
    /// Bytes of all rows, before the storage engine's own overhead.
    pub bytes: u64,
    /// It came from another node: this node's log may end before it.
    pub received: bool,
}

impl CheckpointMeta {
    /// Entries of the image, those past their expiry but not yet removed included.
    pub fn entries(&self) -> u64 {
        self.digest.entries()
    }

    /// Name of the storage engine's keyspace that holds the image.
    pub(super) fn image_name(&self) -> String {
        image_name(self.generation)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![MANIFEST_VERSION, CHUNK_VERSION];
        let origin = &self.origin;
        for number in [
            self.generation,
            origin.term,
            origin.leader,
            origin.index,
            origin.seed,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.digest.to_bytes());
        bytes.extend_from_slice(&self.bytes.to_le_bytes());
        bytes.push(self.received as u8);
        bytes.extend_from_slice(&(origin.membership.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&origin.membership);
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let (content, checksum) = bytes
            .split_last_chunk::<8>()
            .ok_or(ImageError("too short"))?;
        if xxh3_64(content) != u64::from_le_bytes(*checksum) {
            return Err(ImageError("its checksum does not fit"));
        }
        let mut reader = ImageReader::new(content);
        let version = reader.byte()?;
        if !(1..=MANIFEST_VERSION).contains(&version) || reader.byte()? != CHUNK_VERSION {
            return Err(ImageError("written by another version of quorate"));
        }
        let generation = reader.u64()?;
        let mut origin = Origin {
            term: reader.u64()?,
            leader: reader.u64()?,
            index: reader.u64()?,
            seed: reader.u64()?,
            membership: Vec::new(),
        };
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(reader.take(DIGEST_BYTES)?);
        let bytes = reader.u64()?;
        let received = version > 1 && reader.byte()? == 1;
        origin.membership = reader.field()?.to_vec();
        Ok(CheckpointMeta {
            origin,
            generation,
            digest: Digest::from_bytes(&digest),
            bytes,
            received,
        })
    }
}

pub(super) fn image_name(generation: u64) -> String {
    format!("image-{generation}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> CheckpointMeta {
        CheckpointMeta {
            origin: Origin {
                term: 3,
                leader: 1,
                index: 77,
                membership: b"members".to_vec(),
                seed: 9,
            },
            generation: 12,
            digest: Digest::from_bytes(&[7; DIGEST_BYTES]),
            bytes: 4096,
            received: true,
        }
    }

    #[test]
    fn a_manifest_of_the_first_version_is_read() {
        let meta = CheckpointMeta {
            received: false,
            ..sample()
        };
        let mut bytes = meta.to_bytes();
        bytes.truncate(bytes.len() - 8);
        let received_at = 2 + 5 * 8 + DIGEST_BYTES + 8;
        assert_eq!(bytes.remove(received_at), 0);
        bytes[0] = 1;
        bytes.extend_from_slice(&xxh3_64(&bytes).to_le_bytes());
        assert_eq!(CheckpointMeta::from_bytes(&bytes).unwrap(), meta);
    }

    #[test]
    fn a_manifest_comes_back_or_is_refused() {
        let meta = sample();
        let bytes = meta.to_bytes();
        assert_eq!(CheckpointMeta::from_bytes(&bytes).unwrap(), meta);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert!(CheckpointMeta::from_bytes(&flipped).is_err(), "byte {at}");
            assert!(
                CheckpointMeta::from_bytes(&bytes[..at]).is_err(),
                "cut {at}"
            );
        }
    }
}

//! How many writes a store has taken, kept beside it: a store that lost the last of them is told
//! from one that never had them.
//!
//! fjall takes a damaged row of its journal for the torn end of it and drops all from there on, also
//! what was synced long ago; an older vote would be believed then. The tally is written after the
//! store, into the same place again and without a sync: a crash leaves it behind the store, never
//! before it. Damaged or missing, it tells nothing.
//!
//! Bytes: the count (8, little-endian), crc32 of these (4).

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const BYTES: usize = 12;

pub(super) struct Tally(File);

impl Tally {
    /// Opens or makes the tally at `path` and gives what was noted last; 0 where that cannot be read.
    pub(super) fn open(path: &Path) -> io::Result<(Self, u64)> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        let mut bytes = [0; BYTES];
        let noted = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(bytes).unwrap_or(0),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        Ok((Tally(file), noted))
    }

    /// Notes that the store has taken `count` writes, which are on disk.
    pub(super) fn note(&self, count: u64) -> io::Result<()> {
        self.0.write_all_at(&encode(count), 0)
    }
}

fn encode(count: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&count.to_le_bytes());
    let checksum = crc32fast::hash(&bytes[..8]);
    bytes[8..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: [u8; BYTES]) -> Option<u64> {
    let mut count = [0; 8];
    count.copy_from_slice(&bytes[..8]);
    let count = u64::from_le_bytes(count);
    (encode(count) == bytes).then_some(count)
}

//! The file `end`: how far commits and syncs got. See the parent's text.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

const FILE: &str = "end";
const BYTES: usize = 20;

/// One past the last index that was committed, and that was synced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct End {
    pub(super) committed: u64,
    pub(super) synced: u64,
}

pub(super) struct EndFile {
    file: File,
    end: End,
}

impl EndFile {
    /// Opens the file and reads it; one that is new, or that a machine crash tore, promises
    /// nothing.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, End)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(FILE))?;
        let mut bytes = [0; BYTES];
        let end = match file.read_exact_at(&mut bytes, 0) {
            Ok(()) => decode(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => End::default(),
            Err(error) => return Err(error),
        };
        Ok((EndFile { file, end }, end))
    }

    pub(super) fn set(&mut self, end: End) -> io::Result<()> {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&end.committed.to_le_bytes());
        bytes[8..16].copy_from_slice(&end.synced.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..16]);
        bytes[16..].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&bytes, 0)?;
        self.end = end;
        Ok(())
    }

    /// Promises no more than `end`: before rows behind it are removed.
    pub(super) fn lower(&mut self, end: u64) -> io::Result<()> {
        self.set(End {
            committed: self.end.committed.min(end),
            synced: self.end.synced.min(end),
        })
    }

    pub(super) fn commit(&mut self, committed: u64, synced: bool) -> io::Result<()> {
        let synced = match synced {
            true => committed,
            false => self.end.synced.min(committed),
        };
        self.set(End { committed, synced })
    }
}

fn decode(bytes: &[u8; BYTES]) -> Option<End> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes[at..at + 8].try_into().ok()?));
    let checksum = u32::from_le_bytes(bytes[16..].try_into().ok()?);
    if crc32fast::hash(&bytes[..16]) != checksum {
        return None;
    }
    Some(End {
        committed: number(0)?,
        synced: number(8)?,
    })
}

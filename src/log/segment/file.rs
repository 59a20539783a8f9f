//! One segment file: its names, its header, its descriptors, and plain access to its bytes.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::format::{SEGMENT_HEADER_BYTES, Seed, SegmentHeader};
use crate::rt::file::AlignedBuffer;

const SEGMENT_SUFFIX: &str = ".segment";
const SPARE_SUFFIX: &str = ".spare";
const ZERO_BYTES: usize = 1 << 20;

/// Name of the segment `sequence`; names sort as the numbers do.
pub(super) fn segment_path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:016}{SEGMENT_SUFFIX}"))
}

/// Name of a file that waits to become a segment, made for or left by the segment `sequence`.
pub(super) fn spare_path(directory: &Path, sequence: u64) -> PathBuf {
    directory.join(format!("{sequence:016}{SPARE_SUFFIX}"))
}

/// What a name in the directory says the file is.
pub(super) enum Named {
    Segment(u64),
    Spare(u64),
    Other,
}

pub(super) fn named(name: &str) -> Named {
    let number = |suffix| name.strip_suffix(suffix).and_then(|n| n.parse().ok());
    match (number(SEGMENT_SUFFIX), number(SPARE_SUFFIX)) {
        (Some(sequence), _) => Named::Segment(sequence),
        (_, Some(sequence)) => Named::Spare(sequence),
        _ => Named::Other,
    }
}

/// Whether the disk with this device number has no cache to flush, or a write can pass it (FUA).
/// One that the kernel says nothing about counts as having neither.
fn disk_syncs_with_write(device: u64) -> bool {
    let number = format!("{}:{}", libc::major(device), libc::minor(device));
    // A partition has no queue of its own: its disk lies one above it.
    let queue = ["queue", "../queue"].map(|queue| format!("/sys/dev/block/{number}/{queue}"));
    let says = |name: &str, text: &str| {
        let read = |queue: &String| std::fs::read_to_string(format!("{queue}/{name}")).ok();
        queue
            .iter()
            .find_map(read)
            .is_some_and(|found| found.trim() == text)
    };
    says("fua", "1") || says("write_cache", "write through")
}

/// An open segment. Shared with the helper threads that read and sync it.
pub(super) struct SegmentFile {
    pub(super) sequence: u64,
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    pub(super) seed: Seed,
    buffered: File,
    /// The same file with `O_DIRECT`; missing where the file system has no direct I/O.
    direct: Option<File>,
    syncs_with_write: bool,
    bytes: AtomicU64,
}

impl SegmentFile {
    /// Opens `path`, whose header has been read or written.
    pub(super) fn open(path: PathBuf, header: SegmentHeader) -> io::Result<Self> {
        let buffered = OpenOptions::new().read(true).write(true).open(&path)?;
        let direct = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_DIRECT)
            .open(&path);
        let direct = match direct {
            Ok(file) => Some(file),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => None,
            Err(error) => return Err(error),
        };
        let metadata = buffered.metadata()?;
        let bytes = AtomicU64::new(metadata.len());
        Ok(SegmentFile {
            sequence: header.sequence,
            path,
            seed: header.seed(),
            header,
            buffered,
            direct,
            syncs_with_write: disk_syncs_with_write(metadata.dev()),
            bytes,
        })
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes that frames of this segment may take before it counts as full.
    pub(super) fn capacity(&self) -> u64 {
        self.bytes().saturating_sub(SEGMENT_HEADER_BYTES)
    }

    /// Descriptor for writes past the page cache; see [`crate::rt::file`].
    pub(super) fn direct_fd(&self) -> Option<RawFd> {
        self.direct.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Whether the disk makes a write durable as it takes it, so that a sync of it is no command
    /// of its own.
    pub(super) fn syncs_with_write(&self) -> bool {
        self.syncs_with_write
    }

    pub(super) fn buffered_fd(&self) -> RawFd {
        self.buffered.as_raw_fd()
    }

    /// Writes into the page cache. Grows the file where the end lies behind its own.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.buffered.write_all_at(bytes, offset)?;
        self.note_end(offset + bytes.len() as u64);
        Ok(())
    }

    /// Takes note that the file now reaches to `end` at least.
    pub(super) fn note_end(&self, end: u64) {
        self.bytes.fetch_max(end, Ordering::Relaxed);
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.buffered.sync_data()
    }

    /// Reads up to `bytes_max` bytes from `offset` on; fewer at the end of the file.
    pub(super) fn read_at(&self, offset: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
        let left = self.bytes().saturating_sub(offset);
        let mut bytes = vec![0; bytes_max.min(usize::try_from(left).unwrap_or(usize::MAX))];
        let mut filled = 0;
        while filled < bytes.len() {
            let read = self
                .buffered
                .read_at(&mut bytes[filled..], offset + filled as u64)?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Overwrites everything from `offset` on with zeros and syncs.
    pub(super) fn zero_from(&self, offset: u64) -> io::Result<()> {
        fill_zeros(&self.buffered, offset, self.bytes(), &mut || true)?;
        self.buffered.sync_data()
    }
}

/// Makes the file at `path` into the segment `sequence` of at least `bytes`: header first, zeros
/// where it never had bytes, synced. `go_on` is asked now and then; `false` gives
/// `ErrorKind::Interrupted`.
pub(super) fn initialise(
    path: &Path,
    sequence: u64,
    bytes: u64,
    go_on: &mut dyn FnMut() -> bool,
) -> io::Result<SegmentHeader> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let held = file.metadata()?.len();
    let header = SegmentHeader {
        sequence,
        salt: random(),
        recycled: held > 0,
    };
    let mut block = AlignedBuffer::new();
    header.encode(&mut block);
    file.write_all_at(&block, 0)?;
    fill_zeros(
        &file,
        held.max(SEGMENT_HEADER_BYTES),
        bytes.max(SEGMENT_HEADER_BYTES),
        go_on,
    )?;
    file.sync_all()?;
    Ok(header)
}

fn fill_zeros(
    file: &File,
    start: u64,
    end: u64,
    go_on: &mut dyn FnMut() -> bool,
) -> io::Result<()> {
    let zeros = vec![0; ZERO_BYTES.min(end.saturating_sub(start) as usize)];
    let mut at = start;
    while at < end {
        if !go_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let bytes = zeros.len().min((end - at) as usize);
        file.write_all_at(&zeros[..bytes], at)?;
        at += bytes as u64;
    }
    Ok(())
}

/// A number that nobody can foretell: the standard library's hash keys are random.
fn random() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(crate::clock::now_us());
    hasher.finish()
}

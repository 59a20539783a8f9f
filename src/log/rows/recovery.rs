//! Rows to records and back, and reading them all when the log opens.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::super::mark::Found;
use super::super::memory::MaxByIndex;
use super::super::{Cut, Position, Progress, Record, Recovery};
use super::end::{End, EndFile};
use super::thread::Extent;
use crate::database::{self, fatal};
use crate::error::Fatal;

/// Folder of the database inside the log's directory.
const DATABASE: &str = "rows";

/// Whether a log of this kind lies in `directory`.
pub(in crate::log) fn is_in(directory: &Path) -> bool {
    directory.join(DATABASE).exists()
}
pub(super) const PURGED_KEY: &str = "purged";
const POSITION_BYTES: usize = 24;
const ROW_HEADER_BYTES: usize = 21;
/// Rows between two progress calls.
const PROGRESS_ROWS: u64 = 4096;

/// What the directory held.
pub(super) struct Recovered {
    pub(super) database: Database,
    pub(super) rows: Keyspace,
    pub(super) state: Keyspace,
    pub(super) end_file: EndFile,
    pub(super) sizes: VecDeque<u64>,
    pub(super) extent: Extent,
    pub(super) purged: Option<Position>,
    pub(super) last: Option<Position>,
    /// Index of the first row.
    pub(super) start: Option<u64>,
    cut: Option<Cut>,
    is_new: bool,
}

impl Recovered {
    pub(super) fn report(&self, found: Found) -> Recovery {
        Recovery {
            records: self.sizes.len() as u64,
            clean: found.clean.is_some(),
            boot_changed: found.boot_changed,
            cut: self.cut.clone(),
            acknowledged_may_be_lost: found.acknowledged_may_be_lost(self.is_new),
        }
    }
}

/// Threads of the engine for flushes and compactions.
const WORKER_THREADS: usize = 2;

pub(super) fn recover(
    directory: &Path,
    found: Found,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, Fatal> {
    let path = directory.join(DATABASE);
    let is_new = !path.exists();
    let failed = |error| fatal(&path, error);
    let database = database::open(&path, |builder| builder.worker_threads(WORKER_THREADS))?;
    let rows = database
        .keyspace("log", KeyspaceCreateOptions::default)
        .map_err(failed)?;
    let state = database
        .keyspace("state", KeyspaceCreateOptions::default)
        .map_err(failed)?;
    let purged = match state.get(PURGED_KEY).map_err(failed)? {
        Some(bytes) => Some(decode_position(&bytes).ok_or_else(|| Fatal::Corrupt {
            what: format!(
                "{}: the row `purged` has {} bytes",
                path.display(),
                bytes.len()
            ),
        })?),
        None => None,
    };
    let (end_file, end) =
        EndFile::open(directory).map_err(|error| Fatal::io("opening", directory, error))?;
    let mut recovered = Recovered {
        database,
        rows,
        state,
        end_file,
        sizes: VecDeque::new(),
        extent: Extent::default(),
        purged,
        last: None,
        start: None,
        cut: None,
        is_new,
    };
    database::guarded(&path, || recovered.scan(&path, progress))?;
    recovered.judge(&path, end, found)?;
    let settled = recovered
        .database
        .persist(PersistMode::SyncAll)
        .map_err(failed);
    settled?;
    recovered
        .end_file
        .commit(recovered.extent.end, true)
        .map_err(|error| Fatal::io("writing to", directory, error))?;
    Ok(recovered)
}

impl Recovered {
    /// Reads every row, in order, and checks it.
    fn scan(&mut self, path: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), Fatal> {
        let bytes_total = self.database.disk_space().unwrap_or(0);
        let mut next = self.purged.map(|purged| purged.index + 1);
        let corrupt = |what: String| Fatal::Corrupt {
            what: format!("{}: {what}", path.display()),
        };
        for row in self.rows.iter() {
            let (key, value) = row.into_inner().map_err(|error| fatal(path, error))?;
            let good = match self.last {
                Some(last) => format!("the last good record is index {}", last.index),
                None => "no good record comes before it".to_owned(),
            };
            let record = decode_row(&key, &value).ok_or_else(|| {
                let name = match next {
                    Some(next) => format!("the row of index {next}"),
                    None => "the first row".to_owned(),
                };
                corrupt(format!("{name} does not match its checksum ({good})"))
            })?;
            let index = record.position.index;
            if let Some(next) = next
                && index != next
            {
                return Err(corrupt(format!(
                    "the row of index {next} is missing, while index {index} is there ({good})"
                )));
            }
            next = Some(index + 1);
            self.start.get_or_insert(index);
            self.last = Some(record.position);
            self.sizes.push_back(value.len() as u64);
            self.extent.bytes += value.len() as u64;
            if (self.sizes.len() as u64).is_multiple_of(PROGRESS_ROWS) {
                progress(Progress {
                    bytes_done: self.extent.bytes.min(bytes_total),
                    bytes_total,
                });
            }
        }
        self.last = self.last.max_by_index(self.purged);
        self.extent.end = self.last.map_or(0, |last| last.index + 1);
        progress(Progress {
            bytes_done: bytes_total,
            bytes_total,
        });
        Ok(())
    }

    /// Decides whether the rows may end where they do.
    fn judge(&mut self, path: &Path, promised: End, found: Found) -> Result<(), Fatal> {
        let end = self.extent.end;
        let closed = found.clean.filter(|&closed| closed > 1);
        let lost = match () {
            () if end < promised.synced => Some((promised.synced, "synced")),
            () if end < promised.committed && !found.boot_changed => {
                Some((promised.committed, "written"))
            }
            () => closed
                .filter(|&closed| end < closed)
                .map(|closed| (closed, "there at a clean stop")),
        };
        if let Some((lost, how)) = lost {
            return Err(Fatal::Corrupt {
                what: format!(
                    "{}: the log ends before index {end}, while index {} was {how}: a journal or table of the database is damaged",
                    path.display(),
                    lost - 1
                ),
            });
        }
        if end < promised.committed {
            self.cut = Some(Cut {
                file: PathBuf::from(path),
                offset: 0,
                bytes: 0,
                machine_crash: true,
            });
        }
        Ok(())
    }
}

/// Reads committed records, oldest first; see [`crate::log::Log::read`]. Blocks.
pub(super) fn read(
    rows: &Keyspace,
    range: Range<u64>,
    bytes_max: usize,
) -> io::Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    let mut bytes = 0;
    let keys = range.start.to_be_bytes()..range.end.to_be_bytes();
    for (next, row) in (range.start..).zip(rows.range(keys)) {
        let (key, value) = row.into_inner().map_err(io::Error::other)?;
        let record = decode_row(&key, &value).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("the log row of index {next} does not match its checksum"),
            )
        })?;
        if record.position.index != next {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("log index {next} is not there (purged while it was read?)"),
            ));
        }
        bytes += record.payload.len();
        if bytes > bytes_max && !records.is_empty() {
            break;
        }
        records.push(record);
    }
    Ok(records)
}

pub(super) fn encode_position(position: Position) -> [u8; POSITION_BYTES] {
    let mut bytes = [0; POSITION_BYTES];
    bytes[..8].copy_from_slice(&position.term.to_le_bytes());
    bytes[8..16].copy_from_slice(&position.leader.to_le_bytes());
    bytes[16..].copy_from_slice(&position.index.to_le_bytes());
    bytes
}

fn decode_position(bytes: &[u8]) -> Option<Position> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    (bytes.len() == POSITION_BYTES).then_some(Position {
        term: number(0)?,
        leader: number(8)?,
        index: number(16)?,
    })
}

pub(super) fn encode_row(record: &Record) -> Vec<u8> {
    let mut value = Vec::with_capacity(ROW_HEADER_BYTES + record.payload.len());
    value.extend_from_slice(&record.position.term.to_le_bytes());
    value.extend_from_slice(&record.position.leader.to_le_bytes());
    value.push(record.kind);
    let key = record.position.index.to_be_bytes();
    let checksum = row_checksum(&key, &value, &record.payload);
    value.extend_from_slice(&checksum.to_le_bytes());
    value.extend_from_slice(&record.payload);
    value
}

fn decode_row(key: &[u8], value: &[u8]) -> Option<Record> {
    let (header, payload) = value.split_at_checked(ROW_HEADER_BYTES)?;
    let checksum = u32::from_le_bytes(header[17..].try_into().ok()?);
    if row_checksum(key, &header[..17], payload) != checksum {
        return None;
    }
    Some(Record {
        position: Position {
            term: u64::from_le_bytes(header[..8].try_into().ok()?),
            leader: u64::from_le_bytes(header[8..16].try_into().ok()?),
            index: u64::from_be_bytes(key.try_into().ok()?),
        },
        kind: header[16],
        sync: false,
        payload: Bytes::copy_from_slice(payload),
    })
}

fn row_checksum(key: &[u8], head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(head);
    hasher.update(payload);
    hasher.finalize()
}

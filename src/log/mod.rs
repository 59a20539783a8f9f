//! The replicated log on disk: opaque records, durable in order.
//!
//! Two backends behind one trait: [`segment`] (native segment files, the default) and [`rows`] (one
//! fjall row per record). What a record's payload means is not known here. Beside the log stands
//! [`meta`]: a few small keys that are always synced (vote, committed position, manifest, node id).
//!
//! Invariants:
//! - `done` callbacks run in append order, on the executor that appended, and outside any borrow,
//!   so they may call back into the log.
//! - Nothing is acknowledged after a failed write or sync: the log is poisoned until the process
//!   starts anew and reads what the disk really holds.
//! - Recovery gives back a prefix of what was appended. It cuts only what was never promised: a
//!   torn last write, or, after a machine crash, what was never asked to be on disk. Anything else
//!   that is missing or damaged makes `open` refuse, with the file, the offset and the record.
//! - One process has the directory ([`directory::DirectoryLock`]).
//!
//! Not done here: compaction (a checkpoint above decides what to purge), the bound on what is
//! queued (the Raft core keeps a few entries in flight, openraft bounds a follower's), and
//! interpretation of payloads.

pub mod directory;
pub mod fault;
mod mark;
mod memory;
#[cfg_attr(feature = "sim", path = "simulated_meta.rs")]
pub mod meta;
pub mod rows;
pub mod segment;
mod signal;
#[cfg(not(feature = "sim"))]
mod tally;

#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bytes::Bytes;
use futures::future::LocalBoxFuture;

use crate::error::Fatal;
use crate::limits;

/// Where a record stands: the log's total order, with the leader that proposed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position {
    pub term: u64,
    pub leader: u64,
    pub index: u64,
}

/// One record.
#[derive(Debug, Clone)]
pub struct Record {
    pub position: Position,
    /// What the payload is, for the layer above (blank, normal, membership). Opaque here.
    pub kind: u8,
    /// Whether `done` must wait until this record is on disk (`high`, `all`), or may follow as
    /// soon as the operating system has it (`low`, `medium`). Not kept on disk.
    pub sync: bool,
    pub payload: Bytes,
}

/// Called once, on the executor that appended, when a batch is as durable as it asked for.
pub type Done = Box<dyn FnOnce(io::Result<()>)>;

/// A durable log. Lives on one executor; nothing here is `Send`.
///
/// Once a write or a sync has failed the log is poisoned: every later call that writes fails with
/// the same reason.
pub trait Log {
    /// Appends consecutive records behind the last one. `done` is called in append order, at once
    /// where no record asks for a sync and nothing unsynced-but-asked-for is ahead. The records
    /// can be read back as soon as this returns.
    ///
    /// # Panics
    /// When an index does not follow the one before it: a caller that leaves a hole must not go
    /// on. An empty log takes any first index.
    fn append(&self, records: Vec<Record>, done: Done);

    /// Removes every record behind `last` (`None`: all). Durable when the future resolves. Takes
    /// effect in memory, and keeps its place in the order of appends, from the call on.
    fn truncate_after(&self, last: Option<Position>) -> LocalBoxFuture<'_, io::Result<()>>;

    /// Forgets every record up to and including `through`, which may lie past the last one. Takes
    /// effect in memory, and keeps its place in the order of appends, from the call on; durable,
    /// and the disk space given back, when the future resolves.
    fn purge(&self, through: Position) -> LocalBoxFuture<'_, io::Result<()>>;

    /// The records with indexes in `range`, oldest first, ending early where their payloads would
    /// exceed `bytes_max` (at least one is returned). Recent ones come from memory. What lies
    /// outside the log (purged, or past the end) is left out.
    fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> LocalBoxFuture<'_, io::Result<Vec<Record>>>;

    /// The last record's position, or what was purged up to when none is left.
    fn last(&self) -> Option<Position>;

    /// What was purged up to.
    fn purged(&self) -> Option<Position>;

    /// Index up to which everything is on disk.
    fn synced(&self) -> u64;

    /// Makes everything appended so far durable (`medium`'s once a second).
    fn sync(&self) -> LocalBoxFuture<'_, io::Result<()>>;

    /// Syncs and marks the stop as clean. The last call on a log.
    fn close(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        self.sync()
    }

    /// Whoever opened the log has kept, durably, that acknowledged records may be lost
    /// ([`Recovery::acknowledged_may_be_lost`]): the next open need not say it again. Durable when
    /// this returns; blocks.
    ///
    /// # Errors
    /// As the disk: the next open will say it again.
    fn loss_kept(&self) -> io::Result<()>;

    /// Bytes that the log takes on disk, spare segments left out.
    fn bytes(&self) -> u64;
}

/// Which engine keeps the log (`log-backend segment|fjall`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Segment,
    Fjall,
}

/// How a log is opened. The defaults are the product's; tests make it small, faulty, or move it
/// to another boot.
#[derive(Clone)]
pub struct Options {
    /// Bytes of one segment file, a multiple of 4096.
    pub segment_bytes: u64,
    /// Bytes of recent payloads kept in memory.
    pub recent_bytes_max: usize,
    /// Asked before every access to the disk; an error it gives stands in for the disk's.
    pub faults: Option<fault::Faults>,
    /// Stands in for the kernel's boot id.
    pub boot_id: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            segment_bytes: limits::SEGMENT_BYTES,
            recent_bytes_max: limits::LOG_RECENT_BYTES_MAX,
            faults: None,
            boot_id: None,
        }
    }
}

/// How far recovery is, for a progress line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub bytes_done: u64,
    pub bytes_total: u64,
}

/// What recovery left out at the end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The file whose end was cut (segment), or the database's folder (fjall).
    pub file: PathBuf,
    /// Byte offset of the cut in that file; 0 where the backend does not know.
    pub offset: u64,
    /// Bytes known to have been cut, at least; 0 where the backend does not know.
    pub bytes: u64,
    /// Whether this is the unsynced end of a log that a machine crash took, and not only one
    /// write that never finished.
    pub machine_crash: bool,
}

/// What `open` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records in the log now.
    pub records: u64,
    /// The last stop was a clean one.
    pub clean: bool,
    /// The machine was started anew since the log was last open.
    pub boot_changed: bool,
    /// What was cut, if anything.
    pub cut: Option<Cut>,
    /// Records acknowledged at `low` or `medium` may be gone: the machine went down without a
    /// clean stop while the log held some. The node must not vote before it has caught up. Every
    /// open says so until [`Log::loss_kept`].
    pub acknowledged_may_be_lost: bool,
}

/// Opens the log in `directory` (made where it is missing). Must be called inside an executor,
/// which the log then belongs to. Blocks while it recovers, calling `progress` as it goes.
///
/// # Errors
/// `Fatal::Corrupt` names the damaged record; `Fatal::Setup` a directory that another process has
/// or that cannot be written; `Fatal::Io` what else the system refused.
pub fn open(
    directory: &Path,
    backend: Backend,
    options: Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Rc<dyn Log>, Recovery), Fatal> {
    refuse_other_backend(directory, backend)?;
    let (log, recovery): (Rc<dyn Log>, Recovery) = match backend {
        Backend::Segment => {
            let (log, recovery) = segment::SegmentLog::open(directory, options, progress)?;
            (Rc::new(log), recovery)
        }
        Backend::Fjall => {
            let (log, recovery) = rows::RowLog::open(directory, options, progress)?;
            (Rc::new(log), recovery)
        }
    };
    if let Some(cut) = &recovery.cut {
        tracing::warn!(
            file = %cut.file.display(),
            offset = cut.offset,
            bytes = cut.bytes,
            machine_crash = cut.machine_crash,
            "the end of the log was cut: a write that was never finished, or never asked to be on disk"
        );
    }
    Ok((log, recovery))
}

/// Nobody reads the other backend's files: a node that began anew beside them would have lost
/// everything.
fn refuse_other_backend(directory: &Path, backend: Backend) -> Result<(), Fatal> {
    let (found, name) = match backend {
        Backend::Segment => (rows::is_in(directory), "fjall"),
        Backend::Fjall => (segment::is_in(directory), "segment"),
    };
    if !found {
        return Ok(());
    }
    Err(Fatal::Setup(format!(
        "{} holds a log that was written with log-backend {name}: start with that setting, or \
         give another directory",
        directory.display()
    )))
}

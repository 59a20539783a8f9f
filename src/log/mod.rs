//! The replicated log on disk: opaque records, durable in order.
//!
//! Two backends behind one trait: `segment` (native segment files, the default) and `fjall` (one
//! row per record). What a record's payload means is not known here.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures::future::LocalBoxFuture;

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
    fn append(&self, records: Vec<Record>, done: Done);

    /// Removes every record behind `last` (`None`: all). Durable when the future resolves.
    fn truncate_after(&self, last: Option<Position>) -> LocalBoxFuture<'_, io::Result<()>>;

    /// Forgets every record up to and including `through`, which may lie past the last one.
    fn purge(&self, through: Position) -> LocalBoxFuture<'_, io::Result<()>>;

    /// The records with indexes in `range`, oldest first, ending early where their payloads would
    /// exceed `bytes_max` (at least one is returned). Recent ones come from memory.
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

    /// Makes everything appended so far durable (`medium`'s once a second, and a clean stop).
    fn sync(&self) -> LocalBoxFuture<'_, io::Result<()>>;

    /// Bytes that the log takes on disk, spare segments left out.
    fn bytes(&self) -> u64;
}

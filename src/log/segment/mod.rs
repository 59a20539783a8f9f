//! The native log: segment files, one write per group of records that queued together.
//!
//! # Files
//! `0000000000000001.segment` and so on, numbered without a gap, of [`Options::segment_bytes`] each
//! (a single frame larger than that makes its segment longer). They are filled with zeros ahead of
//! use by a thread of their own ([`supply`]) and, once purged, renamed to `.spare` and reused.
//! `mark` beside them tells the boot and the last stop.
//!
//! # Bytes (format version 1; all numbers little-endian)
//! Segment header, the first 4096 bytes of a file; zero where not listed:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | `quoraseg` |
//! | 8 | 1 | format version |
//! | 9 | 1 | 1: the file had an earlier life, stale bytes may follow the last frame |
//! | 12 | 8 | sequence number of the segment, as in its name |
//! | 20 | 8 | salt, random in each life |
//! | 28 | 4 | crc32 of bytes 0..28 |
//!
//! The crc32 of (sequence number, salt) seeds every other checksum of the segment.
//!
//! Frame: what one write puts down. It begins where the last one ended, or at the next multiple
//! of 4096 behind that (always so for a durable write, whose blocks are never written again once
//! acknowledged). What lies between is not part of the log.
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 4 | `qFrm` |
//! | 4 | 1 | format version |
//! | 5 | 3 | zero |
//! | 8 | 8 | bytes of the records that follow the header |
//! | 16 | 8 | sequence number of the frame, from 1, without a gap over all segments |
//! | 24 | 8 | watermark: the last frame known to be on disk when this one was written |
//! | 32 | 4 | count of records |
//! | 36 | 4 | crc32 of the record headers, in a row |
//! | 40 | 4 | crc32 of the frame's offset in the file (8 bytes) and of bytes 0..40 |
//! | 44 | 4 | zero |
//!
//! Record, at a multiple of 8:
//!
//! | at | bytes | |
//! |---|---|---|
//! | 0 | 8 | bytes of the payload |
//! | 8 | 8 | term |
//! | 16 | 8 | leader |
//! | 24 | 8 | index |
//! | 32 | 1 | 0 record, 1 truncate behind this position, 2 truncate all, 3 purge through it |
//! | 33 | 1 | kind, as the layer above gave it |
//! | 34 | 2 | zero |
//! | 36 | 4 | crc32 of the record but for these four bytes |
//! | 40 | | payload, and zeros up to a multiple of 8 |
//!
//! A purge's payload: the sequence number of the oldest segment still needed (8 bytes), then term,
//! leader and index (8 each) of the log's last record at that moment.
//!
//! # Invariants
//! - At most one durable write or sync is in flight; what is appended meanwhile and must wait goes
//!   out together in the next one. No timer.
//! - A durable frame makes everything before it durable too: with unsynced frames ahead it is
//!   written through the page cache and all is synced together.
//! - Segments are dropped oldest first, after the purge that allows it is on disk; so replaying
//!   what is left gives the same log.
//!
//! Not done here: repair. What recovery refuses is for the peers to give back.

mod file;
mod format;
mod index;
mod read;
mod recovery;
mod state;
mod supply;
mod writer;

pub(super) use self::recovery::is_in;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::LocalBoxFuture;

use self::state::{Operation, State};
use self::supply::{Supply, Workshop};
use super::directory::DirectoryLock;
use super::mark::Mark;
use super::signal::Signal;
use super::{Done, Log, Options, Position, Progress, Record, Recovery};
use crate::error::Fatal;
use crate::rt;

/// The segment log. See the module's text.
pub struct SegmentLog {
    shared: Rc<Shared>,
}

/// What the log's handle and its writer task have in common.
struct Shared {
    state: RefCell<State>,
    signal: Rc<Signal>,
    supply: Supply,
    _lock: DirectoryLock,
}

impl SegmentLog {
    /// Opens or makes the log in `directory`; see [`super::open`].
    pub fn open(
        directory: &Path,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Recovery), Fatal> {
        let lock = DirectoryLock::acquire(directory)?;
        let (mut mark, found) = Mark::read(directory, options.boot_id.as_deref())?;
        let mut recovered = recovery::recover(directory, found, progress)?;
        let writing = |error| Fatal::io("writing to", directory, error);

        let mut workshop = Workshop {
            directory: directory.to_owned(),
            segment_bytes: options.segment_bytes,
            spares: supply::spares_in(
                directory,
                std::mem::take(&mut recovered.spares),
                options.segment_bytes,
            ),
            faults: options.faults.clone(),
        };
        settle(&mut recovered, &mut workshop).map_err(writing)?;
        let is_new = recovered.segments.is_empty();
        if is_new {
            let first = workshop.prepare(1, &mut || true).map_err(writing)?;
            recovered.segments.push_back(first);
            recovered.offset = format::SEGMENT_HEADER_BYTES;
        }
        for segment in &recovered.segments {
            segment.sync().map_err(writing)?;
        }
        let acknowledged_may_be_lost = found.acknowledged_may_be_lost(is_new);
        mark.open(acknowledged_may_be_lost).map_err(writing)?;

        let recovery = Recovery {
            records: recovered.index.len(),
            clean: found.clean.is_some(),
            boot_changed: found.boot_changed,
            cut: recovered.cut.take(),
            acknowledged_may_be_lost,
        };
        let signal = Rc::new(Signal::default());
        let shared = Rc::new(Shared {
            state: RefCell::new(State::new(recovered, mark, &options)),
            signal: signal.clone(),
            supply: Supply::start(workshop).map_err(writing)?,
            _lock: lock,
        });
        rt::spawn(writer::run(signal, Rc::downgrade(&shared)));
        Ok((SegmentLog { shared }, recovery))
    }

    /// Queues a change that is not a record; resolves when it is durable.
    fn change(&self, operation: Operation) -> oneshot::Receiver<io::Result<()>> {
        let (sender, receiver) = oneshot::channel();
        let done: Done = Box::new(move |result| {
            // Nobody waits any more: the change stands all the same.
            let _ = sender.send(result);
        });
        let refused = self.shared.state.borrow_mut().queue(operation, true, done);
        if let Some((done, error)) = refused {
            done(Err(error));
        }
        self.shared.signal.raise();
        receiver
    }
}

impl Drop for SegmentLog {
    fn drop(&mut self) {
        // The writer task finds the log gone and ends.
        self.shared.signal.raise();
    }
}

/// Makes a cut final and takes segments without use out of the way, before anything is written.
fn settle(recovered: &mut recovery::Recovered, workshop: &mut Workshop) -> io::Result<()> {
    let files = |segments: &[std::sync::Arc<file::SegmentFile>]| -> Vec<_> {
        segments
            .iter()
            .map(|segment| (segment.path.clone(), segment.sequence, segment.bytes()))
            .collect()
    };
    // Newest first, so that a crash half-way leaves no hole.
    for segment in recovered.surplus.drain(..).rev() {
        workshop.retire(&files(&[segment]))?;
    }
    if let (Some(_), Some(last)) = (&recovered.cut, recovered.segments.back()) {
        last.zero_from(recovered.cut_offset)?;
    }
    workshop.retire(&files(&std::mem::take(&mut recovered.purged)))
}

async fn answered(answer: oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    answer
        .await
        .unwrap_or_else(|_| Err(io::Error::other("the log was closed")))
}

impl Log for SegmentLog {
    fn append(&self, records: Vec<Record>, done: Done) {
        if records.is_empty() {
            return done(Ok(()));
        }
        let sync = records.iter().any(|record| record.sync);
        let mut state = self.shared.state.borrow_mut();
        if !sync && state.poison().is_none() && state.takes_plain(&records, &self.shared.supply) {
            state.memory.append(&records);
            let result = state.write_plain(&records);
            drop(state);
            if result.is_err() {
                self.shared.signal.raise();
            }
            return done(result);
        }
        let refused = state.queue(Operation::Records(records), sync, done);
        drop(state);
        match refused {
            Some((done, error)) => done(Err(error)),
            None => self.shared.signal.raise(),
        }
    }

    fn truncate_after(&self, last: Option<Position>) -> LocalBoxFuture<'_, io::Result<()>> {
        Box::pin(answered(self.change(Operation::Truncate(last))))
    }

    fn purge(&self, through: Position) -> LocalBoxFuture<'_, io::Result<()>> {
        let answer = self.change(Operation::Purge(through));
        Box::pin(async move {
            answered(answer).await?;
            let dropped = self.shared.state.borrow_mut().detach_purged();
            match dropped.is_empty() {
                true => Ok(()),
                false => self.shared.supply.retire(dropped).await,
            }
        })
    }

    fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> LocalBoxFuture<'_, io::Result<Vec<Record>>> {
        Box::pin(read::read(&self.shared.state, range, bytes_max))
    }

    fn last(&self) -> Option<Position> {
        self.shared.state.borrow().memory.last()
    }

    fn purged(&self) -> Option<Position> {
        self.shared.state.borrow().memory.purged()
    }

    fn synced(&self) -> u64 {
        self.shared.state.borrow().synced()
    }

    fn sync(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        let answer = self.shared.state.borrow_mut().request_sync();
        self.shared.signal.raise();
        Box::pin(answered(answer))
    }

    fn close(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.sync().await?;
            self.shared.state.borrow_mut().mark_closed()
        })
    }

    fn loss_kept(&self) -> io::Result<()> {
        self.shared.state.borrow_mut().mark_loss_kept()
    }

    fn bytes(&self) -> u64 {
        self.shared.state.borrow().bytes()
    }
}

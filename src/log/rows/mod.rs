//! The log as rows of a fjall database, for those who prefer a known engine to a fast one.
//!
//! One row per record (which is a batch of commands already). fjall blocks, so a thread of its own
//! ([`thread`]) commits; while one commit is in flight, what is appended goes into the next.
//!
//! # Rows
//! Keyspace `log`: key = index (8 bytes, big-endian); value = term, leader (8 each), kind (1), crc32
//! of key and value but for itself (4), payload; numbers little-endian. Keyspace `state`: `purged`
//! = term, leader, index of what was purged up to.
//!
//! # The end
//! fjall takes a damaged journal for a torn one and goes on without what follows the damage. So
//! that this cannot pass for the end of the log, the file `end` beside the database says how far
//! commits and syncs got; it is written after each, unsynced, which a kill cannot lose and a
//! machine crash can only set back. Recovery refuses a log that ends before what was synced, and,
//! within the same boot, before what was committed.
//!
//! Format version 1 of `end`: one past the last committed index (8), one past the last synced
//! index (8), crc32 of both (4).
//!
//! Not done here: following fjall's own files. What it cannot open is damage.

mod end;
mod recovery;
mod thread;

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::rc::{Rc, Weak};

use fjall::Keyspace;
use futures::channel::oneshot;
use futures::future::LocalBoxFuture;

use self::thread::{Change, Committer, Extent, Turn};
use super::directory::DirectoryLock;
use super::fault::Poison;
use super::mark::Mark;
use super::memory::Memory;
use super::signal::Signal;
use super::{Done, Log, Options, Position, Progress, Record, Recovery};
use crate::error::Fatal;
use crate::limits;
use crate::rt;

pub(super) use self::recovery::is_in;

/// The log on fjall. See the module's text.
pub struct RowLog {
    shared: Rc<Shared>,
}

struct Shared {
    state: RefCell<State>,
    signal: Rc<Signal>,
    committer: Committer,
    rows: Keyspace,
    _lock: DirectoryLock,
}

struct State {
    memory: Memory,
    queue: VecDeque<Batch>,
    /// Truncations in the queue: until they are committed rows may be there that are gone.
    truncations_queued: usize,
    poison: Option<Poison>,
    /// The rows as committed.
    extent: Extent,
    index_synced: u64,
    mark: Mark,
}

/// Changes that are committed together, and who is told about it.
struct Batch {
    changes: Vec<Change>,
    bytes: usize,
    sync: bool,
    done: Done,
}

impl RowLog {
    /// Opens or makes the log in `directory`; see [`super::open`].
    pub fn open(
        directory: &Path,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(Self, Recovery), Fatal> {
        let lock = DirectoryLock::acquire(directory)?;
        let (mut mark, found) = Mark::read(directory, options.boot_id.as_deref())?;
        let recovered = recovery::recover(directory, found, progress)?;
        let recovery = recovered.report(found);
        mark.open(recovery.acknowledged_may_be_lost)
            .map_err(|error| Fatal::io("writing to", directory, error))?;
        let memory = Memory::new(
            recovered.purged,
            recovered.last,
            recovered.start,
            options.recent_bytes_max,
        );
        let signal = Rc::new(Signal::default());
        let rows = recovered.rows.clone();
        let shared = Rc::new(Shared {
            state: RefCell::new(State {
                index_synced: memory.last().map_or(0, |last| last.index),
                memory,
                queue: VecDeque::new(),
                truncations_queued: 0,
                poison: None,
                extent: recovered.extent,
                mark,
            }),
            signal: signal.clone(),
            committer: Committer::start(recovered, options.faults)
                .map_err(|error| Fatal::io("starting a thread for", directory, error))?,
            rows,
            _lock: lock,
        });
        rt::spawn(run(signal, Rc::downgrade(&shared)));
        Ok((RowLog { shared }, recovery))
    }

    fn queue(&self, changes: Vec<Change>, bytes: usize, sync: bool, done: Done) {
        let refused = {
            let mut state = self.shared.state.borrow_mut();
            state.queue(Batch {
                changes,
                bytes,
                sync,
                done,
            })
        };
        match refused {
            Some((done, error)) => done(Err(error)),
            None => self.shared.signal.raise(),
        }
    }

    fn queue_change(&self, changes: Vec<Change>) -> LocalBoxFuture<'_, io::Result<()>> {
        let (sender, receiver) = oneshot::channel();
        // Nobody may wait any more: the change stands all the same.
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.queue(changes, 0, true, done);
        Box::pin(async move {
            receiver
                .await
                .unwrap_or_else(|_| Err(io::Error::other("the log was closed")))
        })
    }
}

impl Drop for RowLog {
    fn drop(&mut self) {
        // The writer task finds the log gone and ends.
        self.shared.signal.raise();
    }
}

impl State {
    fn queue(&mut self, batch: Batch) -> Option<(Done, io::Error)> {
        if let Some(poison) = &self.poison {
            return Some((batch.done, poison.error()));
        }
        for change in &batch.changes {
            match change {
                Change::Put(record) => self.memory.append(std::slice::from_ref(record)),
                Change::Truncate(last) => {
                    self.memory.truncate_after(*last);
                    self.truncations_queued += 1;
                }
                Change::Purge(through) => self.memory.purge(*through),
            }
        }
        self.queue.push_back(batch);
        None
    }

    /// What the next commit takes from the queue: as much as the soft bound allows.
    fn take_turn(&mut self) -> Vec<Batch> {
        let mut turn = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = self.queue.front() {
            bytes += batch.bytes;
            if !turn.is_empty() && bytes > limits::LOG_FRAME_BYTES_SOFT {
                break;
            }
            turn.extend(self.queue.pop_front());
        }
        turn
    }

    /// Takes note of a commit that held `truncations`.
    fn committed(&mut self, extent: Extent, synced: bool, truncations: usize) {
        self.extent = extent;
        self.truncations_queued -= truncations;
        let last = extent.end.saturating_sub(1);
        self.index_synced = self.index_synced.min(last);
        if synced {
            self.index_synced = last;
        }
        if self.truncations_queued == 0 && extent.end > 0 {
            self.memory.evict(last);
        }
    }
}

/// Commits what queues, one turn after the other, until the log's handle is dropped.
async fn run(signal: Rc<Signal>, log: Weak<Shared>) {
    loop {
        {
            let Some(shared) = log.upgrade() else { return };
            while shared.turn().await {}
        }
        signal.wait().await;
    }
}

impl Shared {
    /// Commits one turn; `false` when nothing was queued.
    async fn turn(&self) -> bool {
        let mut batches = self.state.borrow_mut().take_turn();
        if batches.is_empty() {
            return false;
        }
        let result = self.commit(&mut batches).await;
        for batch in batches {
            (batch.done)(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            });
        }
        true
    }

    async fn commit(&self, batches: &mut [Batch]) -> io::Result<()> {
        let sync = batches.iter().any(|batch| batch.sync);
        let mut changes = Vec::new();
        for batch in batches {
            changes.append(&mut batch.changes);
        }
        let truncations = changes
            .iter()
            .filter(|change| matches!(change, Change::Truncate(_)))
            .count();
        let answer = {
            let mut state = self.state.borrow_mut();
            if let Some(poison) = &state.poison {
                return Err(poison.error());
            }
            match if sync { Ok(()) } else { state.mark.relax() } {
                Ok(()) => self.committer.send(Turn { changes, sync }),
                Err(error) => return Err(poison(&mut state, &error)),
            }
        };
        let result = match rt::file::answer(answer).await {
            Some(result) => result,
            None => Err(io::Error::other("the thread that writes the log is gone")),
        };
        let mut state = self.state.borrow_mut();
        match result {
            Ok(extent) => {
                state.committed(extent, sync, truncations);
                Ok(())
            }
            Err(error) => Err(poison(&mut state, &error)),
        }
    }
}

fn poison(state: &mut State, error: &io::Error) -> io::Error {
    state
        .poison
        .get_or_insert_with(|| Poison::new("writing to the log", error))
        .error()
}

impl Log for RowLog {
    fn append(&self, records: Vec<Record>, done: Done) {
        if records.is_empty() {
            return done(Ok(()));
        }
        let sync = records.iter().any(|record| record.sync);
        let bytes = records.iter().map(|record| record.payload.len()).sum();
        let changes = records.into_iter().map(Change::Put).collect();
        self.queue(changes, bytes, sync, done);
    }

    fn truncate_after(&self, last: Option<Position>) -> LocalBoxFuture<'_, io::Result<()>> {
        self.queue_change(vec![Change::Truncate(last)])
    }

    fn purge(&self, through: Position) -> LocalBoxFuture<'_, io::Result<()>> {
        self.queue_change(vec![Change::Purge(through)])
    }

    fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> LocalBoxFuture<'_, io::Result<Vec<Record>>> {
        Box::pin(async move {
            let mut records = Vec::new();
            let (range, recent) = {
                let state = self.shared.state.borrow();
                let range = state.memory.clamp(range);
                state.memory.collect(range.clone(), bytes_max, &mut records);
                (range, state.memory.recent_start())
            };
            if !records.is_empty() || range.is_empty() {
                return Ok(records);
            }
            // What is not in memory has been committed.
            let rows = self.shared.rows.clone();
            let cold = range.start..range.end.min(recent);
            rt::file::blocking(move || recovery::read(&rows, cold, bytes_max)).await
        })
    }

    fn last(&self) -> Option<Position> {
        self.shared.state.borrow().memory.last()
    }

    fn purged(&self) -> Option<Position> {
        self.shared.state.borrow().memory.purged()
    }

    fn synced(&self) -> u64 {
        self.shared.state.borrow().index_synced
    }

    fn sync(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        self.queue_change(Vec::new())
    }

    fn close(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            self.sync().await?;
            let mut state = self.shared.state.borrow_mut();
            let end = state.extent.end;
            state.mark.close(end)
        })
    }

    fn loss_kept(&self) -> io::Result<()> {
        self.shared.state.borrow_mut().mark.loss_kept()
    }

    fn bytes(&self) -> u64 {
        self.shared.state.borrow().extent.bytes
    }
}

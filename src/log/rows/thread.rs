//! The thread that commits: fjall syncs under a lock and may sleep, so no executor calls it.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use fjall::{Database, Keyspace, PersistMode};
use futures::channel::oneshot;

use super::end::EndFile;
use super::recovery::{PURGED_KEY, Recovered, encode_position, encode_row};
use crate::log::fault::{self, Access, Faults};
use crate::log::{Position, Record};

/// One change of the rows.
pub(super) enum Change {
    Put(Record),
    /// Removes what lies behind.
    Truncate(Option<Position>),
    /// Forgets everything up to and including.
    Purge(Position),
}

/// What is committed at once; without changes it is a sync.
pub(super) struct Turn {
    pub(super) changes: Vec<Change>,
    pub(super) sync: bool,
}

/// The rows that are there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// One past the last index, of a row or of what was purged.
    pub(super) end: u64,
    /// Bytes of all values.
    pub(super) bytes: u64,
}

type Reply = oneshot::Sender<io::Result<Extent>>;

/// Handle to the thread. Dropping it waits for the commit in flight.
pub(super) struct Committer {
    turns: Option<SyncSender<(Turn, Reply)>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(recovered: Recovered, faults: Option<Faults>) -> io::Result<Self> {
        // One turn is in flight at a time: the log's task awaits each.
        let (turns, inbox) = sync_channel(1);
        let worker = Worker {
            purged: recovered.purged.map(|purged| purged.index),
            database: recovered.database,
            rows: recovered.rows,
            state: recovered.state,
            end_file: recovered.end_file,
            sizes: recovered.sizes,
            extent: recovered.extent,
            faults,
        };
        let thread = std::thread::Builder::new()
            .name("log-rows".to_owned())
            .spawn(move || worker.work(&inbox))?;
        Ok(Committer {
            turns: Some(turns),
            thread: Some(thread),
        })
    }

    pub(super) fn send(&self, turn: Turn) -> oneshot::Receiver<io::Result<Extent>> {
        let (reply, answer) = oneshot::channel();
        if let Some(turns) = &self.turns {
            // A thread that is gone drops the reply, which the waiting side sees.
            let _ = turns.try_send((turn, reply));
        }
        answer
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.turns = None;
        if let Some(thread) = self.thread.take() {
            // A panic there has shown itself as failed answers already.
            let _ = thread.join();
        }
    }
}

struct Worker {
    database: Database,
    rows: Keyspace,
    state: Keyspace,
    end_file: EndFile,
    /// Bytes of each row's value, oldest first; the last one belongs to `extent.end - 1`.
    sizes: VecDeque<u64>,
    extent: Extent,
    purged: Option<u64>,
    faults: Option<Faults>,
}

impl Worker {
    fn work(mut self, inbox: &Receiver<(Turn, Reply)>) {
        while let Ok((turn, reply)) = inbox.recv() {
            let result = self.commit(turn).map(|()| self.extent);
            // A log that is being dropped no longer waits.
            let _ = reply.send(result);
        }
    }

    fn commit(&mut self, turn: Turn) -> io::Result<()> {
        if turn.changes.is_empty() {
            fault::check(&self.faults, Access::Sync)?;
            self.database
                .persist(PersistMode::SyncData)
                .map_err(io::Error::other)?;
            return self.end_file.commit(self.extent.end, true);
        }
        let (access, mode) = match turn.sync {
            true => (Access::WriteDurable, PersistMode::SyncData),
            false => (Access::Write, PersistMode::Buffer),
        };
        fault::check(&self.faults, access)?;
        let mut batch = self.database.batch().durability(Some(mode));
        for change in turn.changes {
            match change {
                Change::Put(record) => {
                    let value = encode_row(&record);
                    self.sizes.push_back(value.len() as u64);
                    self.extent.bytes += value.len() as u64;
                    self.extent.end = record.position.index + 1;
                    batch.insert(&self.rows, record.position.index.to_be_bytes(), value);
                }
                Change::Truncate(last) => self.truncate(&mut batch, last)?,
                Change::Purge(through) => self.purge(&mut batch, through),
            }
        }
        batch.commit().map_err(io::Error::other)?;
        self.end_file.commit(self.extent.end, turn.sync)
    }

    fn truncate(
        &mut self,
        batch: &mut fjall::OwnedWriteBatch,
        last: Option<Position>,
    ) -> io::Result<()> {
        let keep = last.map_or(0, |last| last.index + 1);
        let floor = self.purged.map_or(0, |purged| purged + 1);
        let end = keep.max(floor);
        if end >= self.extent.end {
            return Ok(());
        }
        self.end_file.lower(end)?;
        let start = self.extent.end - self.sizes.len() as u64;
        for index in end.max(start)..self.extent.end {
            batch.remove(&self.rows, index.to_be_bytes());
            self.extent.bytes -= self.sizes.pop_back().unwrap_or(0);
        }
        self.extent.end = end;
        Ok(())
    }

    fn purge(&mut self, batch: &mut fjall::OwnedWriteBatch, through: Position) {
        if self.purged.is_some_and(|purged| purged >= through.index) {
            return;
        }
        self.purged = Some(through.index);
        batch.insert(&self.state, PURGED_KEY, encode_position(through));
        let start = self.extent.end - self.sizes.len() as u64;
        for index in start..self.extent.end.min(through.index + 1) {
            batch.remove(&self.rows, index.to_be_bytes());
            self.extent.bytes -= self.sizes.pop_front().unwrap_or(0);
        }
        self.extent.end = self.extent.end.max(through.index + 1);
    }
}

//! A log and a vote store in memory, that fail and stall on demand.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use bytes::Bytes;
use futures::future::{FutureExt, LocalBoxFuture, ready};

use crate::log::{Done, Log, Position, Record};
use crate::raft::VoteStore;

/// Keeps records in memory. It outlives a group: starting one over it again is a restart.
#[derive(Default)]
pub struct MemoryLog {
    records: RefCell<VecDeque<Record>>,
    purged: Cell<Option<Position>>,
    /// What every write fails with from now on.
    failure: RefCell<Option<String>>,
    /// How many records are kept, where not all.
    keep: Option<usize>,
    /// Panics in the next write: what a bug in openraft's core would look like.
    pub trapped: Cell<bool>,
    /// Completions held back while the disk "stalls".
    stalled: RefCell<Option<Vec<Done>>>,
}

impl MemoryLog {
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }

    /// A log that keeps the newest few records only, for measurements.
    pub fn forgetful() -> Self {
        MemoryLog {
            keep: Some(8192),
            ..Self::default()
        }
    }

    /// Makes every write from now on fail with `why`.
    pub fn poison(&self, why: &str) {
        *self.failure.borrow_mut() = Some(why.to_string());
    }

    /// Holds completions back until [`resume`](Self::resume).
    pub fn stall(&self) {
        *self.stalled.borrow_mut() = Some(Vec::new());
    }

    /// Lets the held completions through.
    pub fn resume(&self) {
        for done in self.stalled.take().unwrap_or_default() {
            done(self.check());
        }
    }

    /// What a machine crash leaves where nothing behind `index` was synced.
    pub fn lose_after(&self, index: u64) {
        self.records
            .borrow_mut()
            .retain(|record| record.position.index <= index);
    }

    pub fn records(&self) -> Vec<Record> {
        self.records.borrow().iter().cloned().collect()
    }

    fn check(&self) -> io::Result<()> {
        match &*self.failure.borrow() {
            None => Ok(()),
            Some(why) => Err(io::Error::other(why.clone())),
        }
    }
}

impl Log for MemoryLog {
    fn append(&self, appended: Vec<Record>, done: Done) {
        assert!(!self.trapped.get(), "booby trap");
        if let Err(error) = self.check() {
            return done(Err(error));
        }
        let mut records = self.records.borrow_mut();
        for record in appended {
            let last = records
                .back()
                .map(|last| last.position)
                .or(self.purged.get());
            if let Some(last) = last {
                assert!(
                    record.position > last,
                    "{:?} behind {last:?}",
                    record.position
                );
                assert_eq!(record.position.index, last.index + 1, "a hole in the log");
            }
            records.push_back(record);
            if self.keep.is_some_and(|keep| records.len() > keep) {
                records.pop_front();
            }
        }
        drop(records);
        if let Some(stalled) = &mut *self.stalled.borrow_mut() {
            return stalled.push(done);
        }
        done(Ok(()));
    }

    fn truncate_after(&self, last: Option<Position>) -> LocalBoxFuture<'_, io::Result<()>> {
        let keep = last.map_or(0, |last| last.index + 1);
        let result = self.check();
        if result.is_ok() {
            self.records
                .borrow_mut()
                .retain(|record| record.position.index < keep);
        }
        ready(result).boxed_local()
    }

    fn purge(&self, through: Position) -> LocalBoxFuture<'_, io::Result<()>> {
        let result = self.check();
        if result.is_ok() {
            self.purged.set(self.purged.get().max(Some(through)));
            self.records
                .borrow_mut()
                .retain(|record| record.position.index > through.index);
        }
        ready(result).boxed_local()
    }

    fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> LocalBoxFuture<'_, io::Result<Vec<Record>>> {
        let records = self.records.borrow();
        let first = records.front().map_or(0, |record| record.position.index);
        let begin = range.start.saturating_sub(first) as usize;
        let mut bytes = 0;
        let mut read = Vec::new();
        for record in records.iter().skip(begin) {
            bytes += record.payload.len();
            let index = record.position.index;
            if index >= range.end || (bytes > bytes_max && !read.is_empty()) {
                break;
            }
            read.push(record.clone());
        }
        ready(Ok(read)).boxed_local()
    }

    fn last(&self) -> Option<Position> {
        let records = self.records.borrow();
        records
            .back()
            .map(|record| record.position)
            .or(self.purged.get())
    }

    fn purged(&self) -> Option<Position> {
        self.purged.get()
    }

    fn synced(&self) -> u64 {
        self.last().map_or(0, |last| last.index)
    }

    fn sync(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        ready(self.check()).boxed_local()
    }

    fn loss_kept(&self) -> io::Result<()> {
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let records = self.records.borrow();
        records
            .iter()
            .map(|record| record.payload.len() as u64)
            .sum()
    }
}

/// Keeps a vote in memory.
#[derive(Default)]
pub struct MemoryVotes(RefCell<Option<Bytes>>);

impl MemoryVotes {
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }
}

impl VoteStore for MemoryVotes {
    fn save(&self, vote: Bytes) -> LocalBoxFuture<'_, io::Result<()>> {
        *self.0.borrow_mut() = Some(vote);
        ready(Ok(())).boxed_local()
    }

    fn read(&self) -> LocalBoxFuture<'_, io::Result<Option<Bytes>>> {
        ready(Ok(self.0.borrow().clone())).boxed_local()
    }
}

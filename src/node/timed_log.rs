//! The microscope on a write: a log that takes the time of what it is asked to do.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::time::Instant;

use futures::future::LocalBoxFuture;

use crate::log::{Done, Log, Position, Record};
use crate::metrics::{Stage, Stages};

/// Stages of entries, measured on the Raft core.
#[derive(Default)]
pub struct Clockwork {
    pub stages: RefCell<Stages>,
    /// When the log last reported an append as done.
    done: Cell<Option<Instant>>,
}

impl Clockwork {
    /// Notes how long a stage took.
    pub fn record(&self, stage: Stage, since: Instant) {
        let ns = since.elapsed().as_nanos() as u64;
        self.stages.borrow_mut().record(stage, ns);
    }

    /// The group committed an entry: as long after the log was done with it as this took.
    pub fn committed(&self) {
        if let Some(done) = self.done.take() {
            self.record(Stage::Commit, done);
        }
    }
}

/// A log whose appends are timed.
pub struct TimedLog {
    pub log: Rc<dyn Log>,
    pub clockwork: Rc<Clockwork>,
}

impl Log for TimedLog {
    fn append(&self, records: Vec<Record>, done: Done) {
        let begun = Instant::now();
        let clockwork = self.clockwork.clone();
        let timed: Done = Box::new(move |result| {
            clockwork.record(Stage::Sync, begun);
            clockwork.done.set(Some(Instant::now()));
            done(result);
        });
        self.log.append(records, timed);
        self.clockwork.record(Stage::Append, begun);
    }

    fn truncate_after(&self, last: Option<Position>) -> LocalBoxFuture<'_, io::Result<()>> {
        self.log.truncate_after(last)
    }

    fn purge(&self, through: Position) -> LocalBoxFuture<'_, io::Result<()>> {
        self.log.purge(through)
    }

    fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> LocalBoxFuture<'_, io::Result<Vec<Record>>> {
        self.log.read(range, bytes_max)
    }

    fn last(&self) -> Option<Position> {
        self.log.last()
    }

    fn purged(&self) -> Option<Position> {
        self.log.purged()
    }

    fn synced(&self) -> u64 {
        self.log.synced()
    }

    fn sync(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        self.log.sync()
    }

    fn close(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        self.log.close()
    }

    fn loss_kept(&self) -> io::Result<()> {
        self.log.loss_kept()
    }

    fn bytes(&self) -> u64 {
        self.log.bytes()
    }
}

//! The disk of a node's log, as `log::Log` promises it, and what is left of it by a crash.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::LocalBoxFuture;

use quorate::log::{Done, Log, Position, Record};
use quorate::rt::{self, sim};

/// The records of a log and what was forgotten before them.
#[derive(Clone, Default)]
struct Content {
    records: VecDeque<Record>,
    purged: Option<Position>,
}

#[derive(Clone)]
enum Change {
    Append(Vec<Record>),
    Truncate(Option<Position>),
    Purge(Position),
}

impl Content {
    fn last(&self) -> Option<Position> {
        let last = self.records.back().map(|record| record.position);
        last.or(self.purged)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(records) => {
                for record in records {
                    if let Some(last) = self.last() {
                        assert_eq!(record.position.index, last.index + 1, "a hole in the log");
                    }
                    self.records.push_back(record.clone());
                }
            }
            Change::Truncate(last) => {
                let keep = last.map_or(0, |last| last.index + 1);
                self.records.retain(|record| record.position.index < keep);
            }
            Change::Purge(through) => {
                if self.purged.is_none_or(|old| old.index < through.index) {
                    self.purged = Some(*through);
                    let is_left = |record: &Record| record.position.index > through.index;
                    self.records.retain(is_left);
                }
            }
        }
    }
}

/// What was asked of the log and is not on the platter.
struct Unsynced {
    change: Change,
    /// The operating system has it: only the whole machine's crash takes it.
    written: bool,
}

/// A machine's disk. It outlives processes.
#[derive(Default)]
pub struct Disk {
    platter: RefCell<Content>,
    unsynced: RefCell<VecDeque<Unsynced>>,
    /// Records below `high` were acknowledged since the last start.
    owes: Cell<bool>,
    /// Acknowledged records may be lost, and no process has said that it kept that.
    lost: Cell<bool>,
    /// How long a sync takes at most, in us.
    pub sync_us_max: Cell<u64>,
    /// No sync comes to an end.
    pub is_stalled: Cell<bool>,
    /// Every write fails.
    pub is_full: Cell<bool>,
    /// A write has failed since the last start.
    failed: Cell<bool>,
}

impl Disk {
    pub fn new() -> Rc<Disk> {
        let disk = Disk::default();
        disk.sync_us_max.set(2000);
        Rc::new(disk)
    }

    /// A process was killed: what it had not handed to the operating system may be lost, from any
    /// point on.
    pub fn process_ended(&self) {
        let unsynced = self.unsynced.take();
        let sure = unsynced.iter().rposition(|one| one.written);
        let sure = sure.map_or(0, |last| last + 1);
        let kept = sure + sim::below((unsynced.len() - sure) as u64 + 1) as usize;
        let mut cut = Vec::from(unsynced);
        let torn = cut.split_off(kept);
        let mut kept: VecDeque<Unsynced> = cut.into();
        if let Some(Unsynced {
            change: Change::Append(records),
            ..
        }) = torn.into_iter().next()
        {
            kept.push_back(torn_append(records));
        }
        kept.iter_mut().for_each(|one| one.written = true);
        *self.unsynced.borrow_mut() = kept;
    }

    /// The machine went down: anything that was not synced may be lost, from any point on.
    pub fn machine_ended(&self) {
        let unsynced = self.unsynced.take();
        let kept = sim::below(unsynced.len() as u64 + 1) as usize;
        let mut platter = self.platter.borrow_mut();
        for (place, one) in unsynced.into_iter().enumerate() {
            if place < kept {
                platter.apply(&one.change);
            } else if let (true, Change::Append(records)) = (place == kept, one.change) {
                platter.apply(&torn_append(records).change);
            }
        }
        self.lost.set(self.lost.get() | self.owes.replace(false));
    }

    /// What a log that is opened now says of acknowledged records.
    pub fn may_have_lost(&self) -> bool {
        self.lost.get()
    }

    /// Whether a write has failed since the last start.
    pub fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// Nothing is left.
    pub fn wipe(&self) {
        self.platter.take();
        self.unsynced.take();
        self.owes.set(false);
        self.lost.set(false);
    }

    fn all(&self) -> Content {
        let mut content = self.platter.borrow().clone();
        for one in &*self.unsynced.borrow() {
            content.apply(&one.change);
        }
        content
    }
}

/// The records of an append that were on the platter before the rest was torn off.
fn torn_append(mut records: Vec<Record>) -> Unsynced {
    records.truncate(sim::below(records.len() as u64 + 1) as usize);
    Unsynced {
        change: Change::Append(records),
        written: true,
    }
}

/// A process' log on a [`Disk`].
pub struct DiskLog(Rc<Inner>);

struct Inner {
    disk: Rc<Disk>,
    /// What readers see: ahead of the disk.
    seen: RefCell<Content>,
    /// Whom to tell when so many changes more are on the platter.
    waiting: RefCell<VecDeque<Waiting>>,
    changes: Cell<u64>,
    synced_changes: Cell<u64>,
    synced_index: Cell<u64>,
    wanted: Cell<u64>,
    writer: RefCell<Option<Waker>>,
    poison: RefCell<Option<String>>,
    write_ended: Rc<Cell<bool>>,
}

struct Waiting {
    changes: u64,
    done: Done,
}

impl DiskLog {
    /// Opens what is there; `write_ended` is set when a write has ended.
    pub fn open(disk: &Rc<Disk>, write_ended: Rc<Cell<bool>>) -> Rc<DiskLog> {
        let content = disk.all();
        // A start reads everything and writes it down.
        *disk.platter.borrow_mut() = content.clone();
        disk.unsynced.take();
        disk.owes.set(false);
        disk.failed.set(false);
        let inner = Rc::new(Inner {
            disk: disk.clone(),
            synced_index: Cell::new(content.last().map_or(0, |last| last.index)),
            seen: RefCell::new(content),
            waiting: RefCell::default(),
            changes: Cell::new(0),
            synced_changes: Cell::new(0),
            wanted: Cell::new(0),
            writer: RefCell::new(None),
            poison: RefCell::new(None),
            write_ended,
        });
        rt::spawn(inner.clone().write());
        Rc::new(DiskLog(inner))
    }
}

impl Inner {
    fn poisoned(&self) -> Option<io::Error> {
        let poison = self.poison.borrow();
        poison.as_ref().map(|why| io::Error::other(why.clone()))
    }

    fn push(&self, change: Change, written: bool) {
        self.seen.borrow_mut().apply(&change);
        let mut unsynced = self.disk.unsynced.borrow_mut();
        unsynced.push_back(Unsynced { change, written });
        self.changes.set(self.changes.get() + 1);
    }

    fn want(&self, done: Done) {
        let changes = self.changes.get();
        self.waiting
            .borrow_mut()
            .push_back(Waiting { changes, done });
        self.wanted.set(changes);
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// Brings to the platter whatever has gathered, one sync after the other.
    async fn write(self: Rc<Self>) {
        loop {
            poll_fn(|context| {
                if self.wanted.get() > self.synced_changes.get() {
                    return Poll::Ready(());
                }
                *self.writer.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
            let taken = self.changes.get();
            let us = 30 + sim::below(self.disk.sync_us_max.get());
            rt::sleep(Duration::from_micros(us)).await;
            while self.disk.is_stalled.get() {
                rt::sleep(Duration::from_millis(1)).await;
            }
            if self.disk.is_full.get() {
                self.disk.failed.set(true);
                *self.poison.borrow_mut() = Some("no space left on device".to_string());
                for waiting in self.waiting.take() {
                    (waiting.done)(Err(io::Error::other("no space left on device")));
                }
                return;
            }
            self.synced(taken);
        }
    }

    fn synced(&self, taken: u64) {
        for _ in self.synced_changes.get()..taken {
            let one = self.disk.unsynced.borrow_mut().pop_front();
            let one = one.expect("every change is there until it is synced");
            self.disk.platter.borrow_mut().apply(&one.change);
        }
        self.synced_changes.set(taken);
        let last = self.disk.platter.borrow().last();
        self.synced_index.set(last.map_or(0, |last| last.index));
        self.write_ended.set(true);
        loop {
            let mut waiting = self.waiting.borrow_mut();
            match waiting.front() {
                Some(front) if front.changes <= taken => {
                    let front = waiting.pop_front().expect("it is there");
                    drop(waiting);
                    (front.done)(Ok(()));
                }
                _ => return,
            }
        }
    }

    fn durable(&self, change: Option<Change>) -> LocalBoxFuture<'static, io::Result<()>> {
        if let Some(error) = self.poisoned() {
            return Box::pin(async { Err(error) });
        }
        if let Some(change) = change {
            self.push(change, false);
        }
        let (sender, receiver) = oneshot::channel();
        self.want(Box::new(move |result| drop(sender.send(result))));
        Box::pin(async move { receiver.await.map_err(io::Error::other)? })
    }
}

impl Log for DiskLog {
    fn append(&self, records: Vec<Record>, done: Done) {
        let log = &self.0;
        if let Some(error) = log.poisoned() {
            return done(Err(error));
        }
        let sync = records.iter().any(|record| record.sync);
        let at_once = !sync && log.waiting.borrow().is_empty();
        log.push(Change::Append(records), at_once);
        if at_once {
            log.disk.owes.set(true);
            return done(Ok(()));
        }
        log.want(done);
    }

    fn truncate_after(&self, last: Option<Position>) -> LocalBoxFuture<'_, io::Result<()>> {
        self.0.durable(Some(Change::Truncate(last)))
    }

    fn purge(&self, through: Position) -> LocalBoxFuture<'_, io::Result<()>> {
        self.0.durable(Some(Change::Purge(through)))
    }

    fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> LocalBoxFuture<'_, io::Result<Vec<Record>>> {
        let seen = self.0.seen.borrow();
        let first = seen.records.front().map_or(0, |one| one.position.index);
        let begin = range.start.saturating_sub(first) as usize;
        let (mut bytes, mut read) = (0, Vec::new());
        for record in seen.records.iter().skip(begin) {
            bytes += record.payload.len();
            let past = record.position.index >= range.end;
            if past || (bytes > bytes_max && !read.is_empty()) {
                break;
            }
            read.push(record.clone());
        }
        Box::pin(async move {
            if sim::below(4) == 0 {
                rt::sleep(Duration::from_micros(sim::below(300))).await;
            }
            Ok(read)
        })
    }

    fn last(&self) -> Option<Position> {
        self.0.seen.borrow().last()
    }

    fn purged(&self) -> Option<Position> {
        self.0.seen.borrow().purged
    }

    fn synced(&self) -> u64 {
        self.0.synced_index.get()
    }

    fn sync(&self) -> LocalBoxFuture<'_, io::Result<()>> {
        self.0.durable(None)
    }

    fn loss_kept(&self) -> io::Result<()> {
        self.0.disk.lost.set(false);
        Ok(())
    }

    fn bytes(&self) -> u64 {
        let seen = self.0.seen.borrow();
        let bytes = seen.records.iter().map(|one| one.payload.len() as u64);
        bytes.sum()
    }
}

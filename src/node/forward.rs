//! The sequencer's part in what goes from node to node: batches for the leader, batches of others,
//! rounds for read indexes.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use futures::channel::oneshot;

use crate::clock;
use crate::error::Unavailable;
use crate::limits::{ENTRY_BYTES_SOFT, ENTRY_PARTS_MAX, FORWARD_AGAIN_MS};

use super::entry::{BatchName, EntryWriter};
use super::queue::{Taker, Way};
use super::sequencer::{Outgoing, Sequencer, State};
use super::standing::Seat;

/// A batch of another node.
pub struct Foreign {
    pub name: BatchName,
    pub commands: Bytes,
    pub sync: bool,
    /// The term in which its node believes this one to lead.
    pub term: u64,
    /// Told once it is applied here, or why it will not be. Shared by the batches of one call.
    pub answer: Rc<ForeignAnswer>,
}

/// Answers a call once the last of its batches has come to its end. They may have gone into several
/// entries: it was refused only where each of them was.
pub struct ForeignAnswer {
    sender: RefCell<Option<oneshot::Sender<Result<(), Unavailable>>>>,
    missing: Cell<usize>,
    /// Batches that are in the log, or may be.
    logged: Cell<bool>,
    failed: RefCell<Option<Unavailable>>,
}

impl ForeignAnswer {
    /// For a call of so many batches.
    pub fn new(
        sender: oneshot::Sender<Result<(), Unavailable>>,
        batches: usize,
    ) -> Rc<ForeignAnswer> {
        Rc::new(ForeignAnswer {
            sender: RefCell::new(Some(sender)),
            missing: Cell::new(batches),
            logged: Cell::new(false),
            failed: RefCell::default(),
        })
    }

    /// One of the batches has come to its end.
    pub fn end(&self, result: Result<(), Unavailable>) {
        self.missing.set(self.missing.get().saturating_sub(1));
        match result {
            Err(why) if why.is_refusal() => *self.failed.borrow_mut() = Some(why),
            Err(why) => {
                self.logged.set(true);
                *self.failed.borrow_mut() = Some(why);
            }
            Ok(()) => self.logged.set(true),
        }
        if self.missing.get() > 0 {
            return;
        }
        let verdict = match self.failed.take() {
            None => Ok(()),
            Some(why) if !self.logged.get() => Err(why),
            Some(_) => Err(Unavailable::Uncertain),
        };
        if let Some(sender) = self.sender.borrow_mut().take() {
            // The caller may be gone.
            let _ = sender.send(verdict);
        }
    }

    /// Whether one of the batches was not logged, or may not have been: none behind it may be.
    pub fn has_failed(&self) -> bool {
        self.failed.borrow().is_some()
    }
}

/// The call to the leader.
pub enum Forwarding {
    Idle,
    Ready(Forward),
    /// The call with this number is under way.
    Sent(u64),
}

/// Batches for the leader.
pub struct Forward {
    pub call: u64,
    pub leader: u64,
    pub term: u64,
    pub sync: bool,
    /// Its batches are to be on every voter's disk.
    pub all: bool,
    /// Laid out as an entry.
    pub batches: Bytes,
}

/// How a call to the leader ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forwarded {
    /// The leader has applied it.
    Done,
    /// It is certain that the leader did not propose it.
    Refused,
    /// As that, because every voter was to have it and one cannot be reached.
    NoReplicas,
    Unknown,
}

impl Sequencer {
    /// Takes batches of another node.
    pub fn submit_foreign(&self, foreign: Foreign) {
        self.state.borrow_mut().submit_foreign(foreign);
        self.parker.notify();
    }

    /// The call that is to be made to the leader.
    pub fn take_forward(&self) -> Option<Forward> {
        self.state.borrow_mut().take_forward()
    }

    /// A call to the leader has ended.
    pub fn forward_ended(&self, call: u64, result: &Forwarded) {
        self.state
            .borrow_mut()
            .forward_ended(call, result, clock::steady_ms());
        self.parker.notify();
    }

    /// Begins a round for a read index where reads wait for one and none is under way.
    pub fn take_round(&self) -> Option<u64> {
        self.state.borrow_mut().take_round(clock::steady_ms())
    }

    /// The round has ended: its reads may run once `index` is applied; `None`: it failed.
    pub fn round_ended(&self, round: u64, index: Option<u64>) {
        self.state
            .borrow_mut()
            .round_ended(round, index, clock::steady_ms());
        self.parker.notify();
    }
}

impl State {
    pub(super) fn submit_foreign(&mut self, foreign: Foreign) {
        self.foreign.push_back(foreign);
        self.fresh = true;
    }

    /// Puts what waits into a call to the leader, where one is known and no other call is under
    /// way.
    pub(super) fn prepare_forward(&mut self, now_ms: u64) {
        let Seat::Follower { leader } = self.standing.seat else {
            return;
        };
        if !matches!(self.forward, Forwarding::Idle) {
            return;
        }
        if now_ms < self.send_after_ms {
            // Looked at again with the next tick at the latest.
            self.fresh = false;
            return;
        }
        let run = self
            .queue
            .run(Taker::Leader, ENTRY_BYTES_SOFT, ENTRY_PARTS_MAX);
        if run.batches == 0 {
            return;
        }
        let (node, term) = (self.node, self.standing.term);
        let call = self.number();
        let mut writer = EntryWriter::new(run.bytes, run.batches);
        let (sync, all) = self.queue.write(&run, node, &mut writer);
        let batches = writer.seal(0, 0);
        self.queue
            .sent(&run, &batches, 0, Way::Forwarded { call, term });
        self.forward = Forwarding::Ready(Forward {
            call,
            leader,
            term,
            sync,
            all,
            batches,
        });
    }

    pub(super) fn take_forward(&mut self) -> Option<Forward> {
        match std::mem::replace(&mut self.forward, Forwarding::Idle) {
            Forwarding::Ready(forward) => {
                self.forward = Forwarding::Sent(forward.call);
                self.counts.forwarded += 1;
                Some(forward)
            }
            other => {
                self.forward = other;
                None
            }
        }
    }

    pub(super) fn forward_ended(&mut self, call: u64, result: &Forwarded, now_ms: u64) {
        if matches!(self.forward, Forwarding::Sent(sent) if sent == call) {
            self.forward = Forwarding::Idle;
        }
        self.fresh = true;
        if *result == Forwarded::Done {
            return;
        }
        self.looked_ms = 0;
        if *result == Forwarded::NoReplicas {
            let outgoing = &mut self.outgoing;
            return self.queue.refuse_writes(call, |local| {
                let why = Unavailable::NoReplicas;
                outgoing.push_back(Outgoing::Refuse(local, why));
            });
        }
        self.send_after_ms = now_ms + FORWARD_AGAIN_MS;
        for item in self.queue.iter_mut() {
            if let Way::Forwarded { call: one, term } = item.way
                && one == call
            {
                match result {
                    Forwarded::Refused => item.wait_again(),
                    _ => item.way = Way::Lost { term },
                }
            }
        }
    }

    /// There is a newer term: nobody waits any longer for a leader of the one before, which may be
    /// hung and answer its calls late or never. What was sent to it is decided by the first entry
    /// of a newer term, reads ask anew.
    pub(super) fn leave_term(&mut self) {
        let unsent = match std::mem::replace(&mut self.forward, Forwarding::Idle) {
            Forwarding::Ready(forward) => Some(forward.call),
            Forwarding::Idle | Forwarding::Sent(_) => None,
        };
        for item in self.queue.iter_mut() {
            if let Way::Forwarded { call, term } = item.way {
                match unsent == Some(call) {
                    true => item.wait_again(),
                    false => item.way = Way::Lost { term },
                }
            }
        }
        if let Some((round, _)) = self.round.take() {
            self.queue.end_round(round, None);
        }
    }

    pub(super) fn refuse_foreign(&mut self) {
        for foreign in self.foreign.drain(..) {
            foreign.answer.end(Err(Unavailable::NoLeader));
        }
    }

    pub(super) fn take_round(&mut self, now_ms: u64) -> Option<u64> {
        let seat = self.standing.seat;
        if self.round.is_some() || matches!(seat, Seat::Alone | Seat::Lost | Seat::Down) {
            return None;
        }
        if now_ms < self.round_after_ms || !self.queue.has_reads_without_round() {
            return None;
        }
        let round = self.number();
        self.queue.begin_round(round);
        self.round = Some((round, now_ms));
        self.counts.rounds += 1;
        Some(round)
    }

    pub(super) fn round_ended(&mut self, round: u64, index: Option<u64>, now_ms: u64) {
        if let Some((_, began_ms)) = self.round.take_if(|(number, _)| *number == round)
            && let Some(index) = index
        {
            self.current = (self.current.0, began_ms, index);
        }
        if index.is_none() {
            self.round_after_ms = now_ms + FORWARD_AGAIN_MS;
        }
        self.queue.end_round(round, index);
        self.fresh = true;
        self.deliver_reads();
    }
}

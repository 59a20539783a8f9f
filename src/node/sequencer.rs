//! The Raft core's part: batches into entries, entries and reads into deliveries, in one order.
//!
//! What this node's cores hand over stands in one queue until it is answered. A node that leads
//! takes batches from it into entries, with those that other nodes sent it; one that does not sends
//! them to the leader, in one call at a time. Either way a batch is answered where it was taken,
//! when its place in the log is applied there.
//!
//! An entry holds everything that came while the ones before it were on their way: at most
//! `ENTRIES_IN_FLIGHT` are, so that load makes entries larger and not more.
//!
//! Invariants
//! - Batches of this node enter the log in the order of the queue: while the fate of one is not
//!   known, none behind it is sent.
//! - A batch whose fate is not known is sent again only once it cannot be in the log any more: an
//!   entry of a later term than its own was applied, and it was not met before.
//! - Reads stand in the queue behind the writes of their connection. They run when they are at its
//!   front and a read index for them was applied, or right before a batch behind them: that one
//!   entered the log after the reads came, so what it is applied to is no older than they ask.
//! - Moments are on the steady clock: waiting goes on where somebody sets the time. An entry's stamp
//!   is Unix time.
//!
//! Not done here: what goes from node to node (`forward` keeps the books, `relay` makes the calls).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::{Feeder, Supply};
use crate::clock;
use crate::command::Rng;
use crate::error::Unavailable;
use crate::keyspace::OrderSlice;
use crate::limits::{BATCH_PATIENCE_MS, DELIVERIES_WAITING_MAX, FORWARD_AGAIN_MS};
use crate::log::Position;
use crate::rt::Parker;
use crate::shard::{Delivery, Local, Part};

use super::entry;
use super::forward::{Foreign, ForeignAnswer, Forwarding};
use super::message::{Message, Submission};
use super::queue::{Data, Item, Queue, Way};
use super::standing::{Proposer, Seat, Standing};

/// Batches in, deliveries out. Lives on the Raft core; the group's applier and the core's main
/// task share it.
pub struct Sequencer {
    pub(super) state: RefCell<State>,
    pub(super) parker: Parker,
}

pub(super) struct State {
    pub(super) node: u64,
    /// What this node's cores handed over and what is not answered, in order.
    pub(super) queue: Queue,
    /// What other nodes sent, for the next entry.
    pub(super) foreign: VecDeque<Foreign>,
    /// They go before this node's own into the next entry, where not both find room.
    pub(super) foreign_first: bool,
    /// Entries proposed here, in order.
    pub(super) entries: VecDeque<Entry>,
    /// The call to the leader under way, or about to be made.
    pub(super) forward: Forwarding,
    /// The round for a read index under way, and when it began.
    pub(super) round: Option<(u64, u64)>,
    /// What is delivered is no older than the first; than the second once this index is.
    pub(super) current: (u64, u64, u64),
    /// After a refusal, by the leader or the group, and after a failed round, when to try again.
    pub(super) send_after_ms: u64,
    pub(super) round_after_ms: u64,
    /// When the last turn was.
    pub(super) turned_ms: u64,
    /// The write of the entry in flight has ended: the next may follow while this one is applied.
    pub(super) write_ended: bool,
    /// Something happened since [`Sequencer::propose`] last looked.
    pub(super) fresh: bool,
    pub(super) standing: Standing,
    /// When it was last looked at; 0: it is to be looked at anew.
    pub(super) looked_ms: u64,
    pub(super) next_tag: u64,
    pub(super) next_number: u64,
    pub(super) next_delivery: u64,
    /// Place of the last entry delivered.
    pub(super) position: Position,
    pub(super) rng: Rng,
    /// For the main task to send: deliveries to every shard, refusals to the core they came from.
    pub(super) outgoing: VecDeque<Outgoing>,
    /// Batches that were applied and whose replies wait for every voter, with their indexes.
    at_all: Vec<(u64, Arc<Local>)>,
    /// The digest that the next entry is to ask for.
    pub(super) digest_due: Option<OrderSlice>,
    /// Index of the last entry that had batches.
    written_index: u64,
    /// Batches sent to a leader; batches of other nodes that were proposed.
    pub(super) counts: RelayCounts,
}

/// What was passed on between nodes.
#[derive(Debug, Clone, Copy, Default)]
pub struct RelayCounts {
    pub forwarded: u64,
    pub taken: u64,
    pub rounds: u64,
}

/// An entry proposed here.
pub(super) struct Entry {
    pub(super) tag: u64,
    pub(super) term: u64,
    pub(super) foreign: Vec<Rc<ForeignAnswer>>,
}

/// What leaves the sequencer.
pub enum Outgoing {
    /// To every shard.
    Deliver(Arc<Delivery>),
    /// To the core that the batch came from.
    Refuse(Arc<Local>, Unavailable),
    /// To the core that the batch came from: its replies may leave, or whether every voter has it
    /// is not known.
    Release(Arc<Local>, bool),
}

impl Sequencer {
    /// `node` is this node's id; `parker` the Raft core's: it is woken when something is to be
    /// sent.
    pub fn new(node: u64, parker: Parker) -> Self {
        Sequencer {
            state: RefCell::new(State::new(node)),
            parker,
        }
    }

    /// Takes a core's batch. [`Sequencer::propose`] sends on what was taken.
    pub fn submit(&self, submission: Submission) {
        let now_ms = clock::steady_ms();
        self.state.borrow_mut().submit(submission, now_ms);
    }

    /// Proposes what waits, as far as entries may be in flight, or prepares a call to the leader.
    /// Answers whether it proposed.
    pub fn propose(&self, group: &impl Proposer, now_ms: u64) -> bool {
        self.state.borrow_mut().turn(group, now_ms)
    }

    /// A write of the log has ended.
    pub fn write_ended(&self) {
        let mut state = self.state.borrow_mut();
        state.write_ended = !state.entries.is_empty();
        state.fresh |= state.write_ended;
    }

    /// The group committed an entry.
    pub fn committed(&self, position: Position, tag: Option<u64>, payload: Bytes) {
        self.state.borrow_mut().committed(position, tag, payload);
        self.parker.notify();
    }

    /// An entry without commands took this index.
    pub fn skipped(&self, position: Position) {
        self.state.borrow_mut().skipped(position);
        self.parker.notify();
    }

    /// Has every shard capture its keyspace as it is at this position.
    pub fn capture(&self, feeder: Feeder) {
        let mut state = self.state.borrow_mut();
        state.deliver(None, Bytes::new(), Vec::new());
        if let Some(Outgoing::Deliver(delivery)) = state.outgoing.back_mut()
            && let Some(delivery) = Arc::get_mut(delivery)
        {
            delivery.capture = Some(feeder);
        }
        drop(state);
        self.parker.notify();
    }

    /// Has every shard replace its keyspace by its part of a checkpoint of the state at `position`.
    /// What is committed from here on stands behind it. A batch that was sent may be in the part
    /// of the log that is not met here: its outcome is uncertain.
    pub fn replace(&self, position: Position, supply: Arc<Supply>) {
        let mut state = self.state.borrow_mut();
        state.pass_over(position);
        state.deliver(None, Bytes::new(), Vec::new());
        if let Some(Outgoing::Deliver(delivery)) = state.outgoing.back_mut()
            && let Some(delivery) = Arc::get_mut(delivery)
        {
            delivery.replace = Some(supply);
        }
        state.deliver_reads();
        state.fresh = true;
        drop(state);
        self.parker.notify();
    }

    /// Batches that were applied since the last call and whose replies wait for every voter, with
    /// their indexes. To be followed by [`Sequencer::release`] for each.
    pub fn take_at_all(&self) -> Vec<(u64, Arc<Local>)> {
        std::mem::take(&mut self.state.borrow_mut().at_all)
    }

    /// Lets the replies of a batch leave; where it is not `known` whether every voter has it, with
    /// an error that says so.
    pub fn release(&self, local: Arc<Local>, known: bool) {
        let released = Outgoing::Release(local, known);
        self.state.borrow_mut().outgoing.push_back(released);
        self.parker.notify();
    }

    /// Has the next entry ask for the digest of a slice; where none is proposed soon, one is made
    /// for that.
    pub fn ask_digest(&self, slice: OrderSlice) {
        let mut state = self.state.borrow_mut();
        state.digest_due = Some(slice);
        state.fresh = true;
    }

    /// Index of the last entry with batches.
    pub fn written_index(&self) -> u64 {
        self.state.borrow().written_index
    }

    /// Whether the main task keeps up with what is to be sent.
    pub fn has_room(&self) -> bool {
        self.state.borrow().outgoing.len() < DELIVERIES_WAITING_MAX
    }

    /// The group will not commit a proposal, or cannot tell.
    pub fn failed(&self, tag: u64, why: &Unavailable) {
        self.state.borrow_mut().failed(tag, why);
        self.parker.notify();
    }

    /// Answers what has waited for too long. About ten times a second.
    pub fn give_up(&self) {
        self.state.borrow_mut().give_up(clock::steady_ms());
    }

    /// The next thing for the main task to send.
    pub fn next_outgoing(&self) -> Option<Outgoing> {
        self.state.borrow_mut().outgoing.pop_front()
    }

    /// Whether something waits to be sent or could be proposed.
    pub fn has_work(&self) -> bool {
        let state = self.state.borrow();
        !state.outgoing.is_empty() || state.fresh
    }

    /// Whether a proposal is on its way.
    pub fn is_proposing(&self) -> bool {
        !self.state.borrow().entries.is_empty()
    }

    /// Place of the last entry delivered.
    pub fn position(&self) -> Position {
        self.state.borrow().position
    }

    /// How this node stood when it was last looked at, and the moment that what it has delivered is
    /// no older than; 0 where there was none.
    pub fn standing(&self) -> (Standing, u64) {
        let state = self.state.borrow();
        (state.standing, state.current.0)
    }

    pub fn counts(&self) -> RelayCounts {
        self.state.borrow().counts
    }

    /// Begins behind a checkpoint.
    pub fn begin_at(&self, position: Position) {
        let mut state = self.state.borrow_mut();
        state.position = position;
        state.decide(position.term);
    }
}

impl State {
    pub(super) fn new(node: u64) -> Self {
        State {
            node,
            queue: Queue::default(),
            foreign: VecDeque::new(),
            foreign_first: false,
            entries: VecDeque::new(),
            forward: Forwarding::Idle,
            round: None,
            current: (0, 0, u64::MAX),
            send_after_ms: 0,
            round_after_ms: 0,
            turned_ms: 0,
            write_ended: false,
            fresh: false,
            standing: Standing::default(),
            looked_ms: 0,
            next_tag: 0,
            // Far from where any other start began, whatever the clock says.
            next_number: rand::random::<u64>() >> 1,
            next_delivery: 1,
            position: Position::default(),
            rng: Rng::new(clock::now_us()),
            outgoing: VecDeque::new(),
            at_all: Vec::new(),
            digest_due: None,
            written_index: 0,
            counts: RelayCounts::default(),
        }
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    pub(super) fn submit(&mut self, submission: Submission, now_ms: u64) {
        if submission.at_once {
            return self.deliver(None, Bytes::new(), vec![reads_part(submission.local)]);
        }
        let number = self.number();
        let way = if submission.commands.is_empty() {
            Way::Reads {
                round: None,
                index: None,
            }
        } else {
            Way::Waiting
        };
        self.queue.push(Item {
            number,
            data: Data::Commands(submission.commands),
            local: Arc::new(submission.local),
            sync: submission.sync,
            since_ms: now_ms,
            way,
        });
        self.fresh = true;
    }

    pub(super) fn look(&mut self, standing: Standing) {
        if self.standing != standing {
            if standing.term > self.standing.term {
                self.leave_term();
            }
            self.standing = standing;
            self.fresh = true;
            self.send_after_ms = 0;
            self.round_after_ms = 0;
        }
    }

    pub(super) fn turn(&mut self, group: &impl Proposer, now_ms: u64) -> bool {
        self.turned_ms = now_ms;
        if self.looked_ms != now_ms {
            self.looked_ms = now_ms;
            self.look(group.standing());
        }
        if !std::mem::take(&mut self.fresh) {
            return false;
        }
        let proposed = if self.standing.leads() || self.standing.seat == Seat::Down {
            self.propose(group)
        } else {
            self.refuse_foreign();
            self.prepare_forward(now_ms);
            false
        };
        self.deliver_reads();
        proposed
    }

    pub(super) fn committed(&mut self, position: Position, tag: Option<u64>, payload: Bytes) {
        let (mut parts, mut digest) = (Vec::new(), None);
        match entry::parts(&payload) {
            Some(found) => {
                parts.reserve(found.len());
                for (name, commands) in found {
                    if name.node == entry::DIGEST_NODE {
                        digest = OrderSlice::of_code(name.number);
                        continue;
                    }
                    let local = if name.node == self.node {
                        let before = |local| parts.push(reads_part_of(local));
                        let local = self.queue.take(name.number, before);
                        let waits = local.iter().filter(|local| local.all);
                        let waits = waits.map(|local| (position.index, local.clone()));
                        self.at_all.extend(waits);
                        local
                    } else {
                        None
                    };
                    parts.push(Part { commands, local });
                }
            }
            // What cannot be read is handed on whole: the shards refuse it and say so.
            None => parts.push(Part {
                commands: 0..payload.len(),
                local: None,
            }),
        }
        if let Some(tag) = tag
            && let Some(entry) = self.take_entry(tag)
        {
            entry.foreign.iter().for_each(|answer| answer.end(Ok(())));
        }
        if !parts.is_empty() {
            self.written_index = position.index;
        }
        self.deliver(Some(position), payload, parts);
        if let Some(Outgoing::Deliver(delivery)) = self.outgoing.back_mut()
            && let Some(delivery) = Arc::get_mut(delivery)
        {
            delivery.digest = digest;
        }
        self.decide(position.term);
        self.deliver_reads();
        self.fresh = true;
    }

    pub(super) fn skipped(&mut self, position: Position) {
        self.position = position;
        self.looked_ms = 0;
        self.decide(position.term);
        self.deliver_reads();
    }

    fn take_entry(&mut self, tag: u64) -> Option<Entry> {
        let place = self.entries.iter().position(|entry| entry.tag == tag)?;
        self.write_ended = false;
        self.entries.remove(place)
    }

    /// Entries up to `position` will not be met: what was sent may be among them.
    pub(super) fn pass_over(&mut self, position: Position) {
        self.position = position;
        let outgoing = &mut self.outgoing;
        self.queue.take_sent(|item| {
            outgoing.push_back(Outgoing::Refuse(item.local, Unavailable::Uncertain));
        });
    }

    /// What is lost since before `term` is not in the log: it may be sent again.
    fn decide(&mut self, term: u64) {
        if self.queue.decide(term) {
            self.fresh = true;
        }
    }

    pub(super) fn failed(&mut self, tag: u64, why: &Unavailable) {
        let Some(entry) = self.take_entry(tag) else {
            return;
        };
        self.fresh = true;
        self.looked_ms = 0;
        // Alone, nobody else can tell how it ended.
        let alone = self.standing.seat == Seat::Alone && *why == Unavailable::Uncertain;
        let stopped = alone || matches!(why, Unavailable::Poisoned(_) | Unavailable::Stopping);
        for item in self.queue.iter_mut() {
            if item.way == Way::Proposed(tag) {
                match why {
                    Unavailable::Uncertain => item.way = Way::Lost { term: entry.term },
                    _ => item.wait_again(),
                }
            }
        }
        // Where another leads by now it is asked at once.
        if why.is_refusal() && self.standing.leads() && self.standing.term == entry.term {
            self.send_after_ms = self.turned_ms + FORWARD_AGAIN_MS;
        }
        if stopped {
            self.refuse_all(why);
        }
        for answer in entry.foreign {
            answer.end(Err(why.clone()));
        }
        self.deliver_reads();
    }

    /// Nothing can be written here any more: what waits is refused, what was sent is uncertain.
    fn refuse_all(&mut self, why: &Unavailable) {
        while let Some(item) = self.queue.pop() {
            let why = match item.way {
                Way::Waiting | Way::Reads { .. } => why.clone(),
                _ => Unavailable::Uncertain,
            };
            self.outgoing.push_back(Outgoing::Refuse(item.local, why));
        }
    }

    pub(super) fn give_up(&mut self, now_ms: u64) {
        // Looked at, at least this often: times to try again may have come.
        self.fresh |= !self.queue.is_empty() || !self.foreign.is_empty();
        if self.standing.seat == Seat::Alone {
            return;
        }
        let since_ms = now_ms.saturating_sub(BATCH_PATIENCE_MS);
        let outgoing = &mut self.outgoing;
        self.queue.expire(since_ms, |item| {
            let why = match item.way {
                Way::Waiting | Way::Reads { .. } => Unavailable::NoLeader,
                _ => Unavailable::Uncertain,
            };
            outgoing.push_back(Outgoing::Refuse(item.local, why));
        });
        self.deliver_reads();
    }

    /// Delivers the reads at the front of the queue that may run.
    pub(super) fn deliver_reads(&mut self) {
        if self.position.index >= self.current.2 {
            self.current = (self.current.1, 0, u64::MAX);
        }
        let alone = self.standing.seat == Seat::Alone;
        let mut parts = Vec::new();
        while let Some(local) = self.queue.pop_reads(alone, self.position.index) {
            parts.push(reads_part_of(local));
        }
        if !parts.is_empty() {
            self.deliver(None, Bytes::new(), parts);
        }
    }

    /// `position` is the entry's; reads alone have none and the present time.
    fn deliver(&mut self, position: Option<Position>, payload: Bytes, parts: Vec<Part>) {
        let (now_ms, seed) = match position {
            Some(position) => {
                self.position = position;
                entry::stamps(&payload)
            }
            None => (clock::now_ms(), self.rng.number()),
        };
        let id = self.next_delivery;
        self.next_delivery += 1;
        let index = self.position.index;
        let delivery = Delivery {
            id,
            index,
            now_ms,
            seed,
            payload,
            parts,
            capture: None,
            digest: None,
            replace: None,
        };
        self.outgoing
            .push_back(Outgoing::Deliver(Arc::new(delivery)));
    }
}

fn reads_part(local: Local) -> Part {
    reads_part_of(Arc::new(local))
}

fn reads_part_of(local: Arc<Local>) -> Part {
    Part {
        commands: 0..0,
        local: Some(local),
    }
}

impl Outgoing {
    /// As a message to another core.
    pub fn message(&self) -> Message {
        match self {
            Outgoing::Deliver(delivery) => Message::Deliver(delivery.clone()),
            Outgoing::Refuse(local, why) => Message::Refused(local.clone(), why.clone()),
            Outgoing::Release(local, known) => Message::Released(local.clone(), *known),
        }
    }
}

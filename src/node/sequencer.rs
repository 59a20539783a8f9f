//! The Raft core's part: batches into entries, entries and reads into deliveries, in one order.
//!
//! An entry holds everything that came while the ones before it were on their way: at most
//! `ENTRIES_IN_FLIGHT` are, so that load makes entries larger and not more.
//!
//! | bytes of an entry | meaning |
//! |---|---|
//! | 1 | version of this layout: 1 |
//! | 8 | the leader's time, Unix ms |
//! | 8 | the leader's seed |
//! | 2 | count of parts |
//! | .. | each part: 4 bytes length, then commands as `command::mutation` writes them |
//!
//! All numbers are little-endian.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::Feeder;
use crate::clock;
use crate::command::Rng;
use crate::error::Unavailable;
use crate::limits::{DELIVERIES_WAITING_MAX, ENTRIES_IN_FLIGHT, ENTRY_BYTES_SOFT, ENTRY_PARTS_MAX};
use crate::log::Position;
use crate::raft::Group;
use crate::rt::Parker;
use crate::shard::{Delivery, Local, Part};

use super::message::{Message, Submission};

const VERSION: u8 = 1;

/// Bytes before the first part's length.
const PREFIX_BYTES: usize = 19;

/// Bytes before the commands of an entry with one part: what a batch leaves room for.
pub const HEAD_BYTES: usize = PREFIX_BYTES + 4;

/// Batches in, deliveries out. Lives on the Raft core; the group's applier and the core's main
/// task share it.
pub struct Sequencer {
    state: RefCell<State>,
    parker: Parker,
}

struct State {
    /// Batches that no entry holds yet.
    waiting: VecDeque<Submission>,
    /// Entries proposed, and reads that run behind them, in order.
    in_flight: VecDeque<InFlight>,
    entries_in_flight: usize,
    /// The write of the entry in flight has ended: the next may follow while this one is applied.
    write_ended: bool,
    next_tag: u64,
    next_delivery: u64,
    /// Place of the last entry delivered.
    position: Position,
    rng: Rng,
    /// For the main task to send: deliveries to every shard, refusals to the core they came from.
    outgoing: VecDeque<Outgoing>,
}

/// What leaves the sequencer.
pub enum Outgoing {
    /// To every shard.
    Deliver(Arc<Delivery>),
    /// To the core that the batch came from.
    Refuse(Arc<Local>, Unavailable),
}

enum InFlight {
    Entry { tag: u64, parts: Vec<Part> },
    Reads(Vec<Part>),
}

impl Sequencer {
    /// `parker` is the Raft core's: it is woken when something is to be sent.
    pub fn new(parker: Parker) -> Self {
        Sequencer {
            state: RefCell::new(State {
                waiting: VecDeque::new(),
                in_flight: VecDeque::new(),
                entries_in_flight: 0,
                write_ended: false,
                next_tag: 0,
                next_delivery: 1,
                position: Position::default(),
                rng: Rng::new(clock::now_us()),
                outgoing: VecDeque::new(),
            }),
            parker,
        }
    }

    /// Takes a core's batch. [`Sequencer::propose`] makes entries of what was taken.
    pub fn submit(&self, submission: Submission) {
        let mut state = self.state.borrow_mut();
        if submission.at_once {
            let part = reads_part(submission);
            state.deliver(None, Bytes::new(), vec![part]);
        } else {
            state.waiting.push_back(submission);
        }
    }

    /// Proposes what waits, as far as entries may be in flight. Answers whether it did.
    pub fn propose(&self, group: &Group) -> bool {
        let mut proposed = false;
        let mut state = self.state.borrow_mut();
        while !state.waiting.is_empty()
            && state.entries_in_flight < ENTRIES_IN_FLIGHT + state.write_ended as usize
            && state.outgoing.len() < DELIVERIES_WAITING_MAX
        {
            let (payload, parts, sync) = state.form_entry();
            if payload.is_empty() {
                // Reads alone: they run behind what is in flight and take no place in the log.
                if state.in_flight.is_empty() {
                    state.deliver(None, payload, parts);
                } else {
                    state.in_flight.push_back(InFlight::Reads(parts));
                }
                continue;
            }
            let tag = state.next_tag;
            state.next_tag += 1;
            match group.propose(tag, payload, sync) {
                Ok(()) => {
                    proposed = true;
                    state.write_ended = false;
                    state.entries_in_flight += 1;
                    state.in_flight.push_back(InFlight::Entry { tag, parts });
                }
                Err(why) => state.refuse(parts, &why),
            }
        }
        proposed
    }

    /// A write of the log has ended.
    pub fn write_ended(&self) {
        let mut state = self.state.borrow_mut();
        state.write_ended = state.entries_in_flight > 0;
    }

    /// The group committed an entry.
    pub fn committed(&self, position: Position, tag: Option<u64>, payload: Bytes) {
        let mut state = self.state.borrow_mut();
        let parts = match tag {
            Some(tag) => state.take_entry(tag),
            None => None,
        };
        // An entry of another node, or of a run before this one.
        let parts = parts.unwrap_or_else(|| foreign_parts(&payload));
        state.deliver(Some(position), payload, parts);
        state.deliver_reads();
        drop(state);
        self.parker.notify();
    }

    /// An entry without commands took this index.
    pub fn skipped(&self, position: Position) {
        self.state.borrow_mut().position = position;
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

    /// Whether the main task keeps up with what is to be sent.
    pub fn has_room(&self) -> bool {
        self.state.borrow().outgoing.len() < DELIVERIES_WAITING_MAX
    }

    /// The group will not commit a proposal, or cannot tell.
    pub fn failed(&self, tag: u64, why: Unavailable) {
        let mut state = self.state.borrow_mut();
        if let Some(parts) = state.take_entry(tag) {
            state.refuse(parts, &why);
        }
        state.deliver_reads();
        drop(state);
        self.parker.notify();
    }

    /// The next thing for the main task to send.
    pub fn next_outgoing(&self) -> Option<Outgoing> {
        self.state.borrow_mut().outgoing.pop_front()
    }

    /// Whether something waits to be sent or could be proposed.
    pub fn has_work(&self) -> bool {
        let state = self.state.borrow();
        !state.outgoing.is_empty()
            || (!state.waiting.is_empty() && state.entries_in_flight < ENTRIES_IN_FLIGHT)
    }

    /// Whether a proposal is on its way.
    pub fn is_proposing(&self) -> bool {
        self.state.borrow().entries_in_flight > 0
    }

    /// Place of the last entry delivered.
    pub fn position(&self) -> Position {
        self.state.borrow().position
    }

    /// Begins behind a checkpoint.
    pub fn begin_at(&self, position: Position) {
        self.state.borrow_mut().position = position;
    }
}

impl State {
    /// Makes an entry of batches that wait, up to the soft limit. Its payload is empty when there
    /// is no write among them.
    fn form_entry(&mut self) -> (Bytes, Vec<Part>, bool) {
        let mut taken: Vec<Submission> = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.waiting.front() {
            let full = bytes + next.bytes() > ENTRY_BYTES_SOFT || taken.len() == ENTRY_PARTS_MAX;
            if !taken.is_empty() && full {
                break;
            }
            bytes += next.bytes();
            taken.extend(self.waiting.pop_front());
        }
        let sync = taken.iter().any(|one| one.sync);
        let writing = taken.iter().filter(|one| !one.commands.is_empty()).count();
        if writing == 0 {
            return (
                Bytes::new(),
                taken.into_iter().map(reads_part).collect(),
                false,
            );
        }
        let now_ms = clock::now_ms();
        let seed = self.rng.number();
        if let [only] = &mut taken[..] {
            // One core's batch: its buffer becomes the entry.
            let mut payload = std::mem::take(&mut only.commands);
            let commands = HEAD_BYTES..payload.len();
            write_prefix(&mut payload, now_ms, seed, 1);
            let length = commands.len() as u32;
            payload[PREFIX_BYTES..HEAD_BYTES].copy_from_slice(&length.to_le_bytes());
            let local = Some(Arc::new(std::mem::take(&mut only.local)));
            return (Bytes::from(payload), vec![Part { commands, local }], sync);
        }
        let mut payload = Vec::with_capacity(PREFIX_BYTES + bytes);
        payload.resize(PREFIX_BYTES, 0);
        write_prefix(&mut payload, now_ms, seed, taken.len() as u16);
        let mut parts = Vec::with_capacity(taken.len());
        for one in taken {
            let written = one.commands.get(HEAD_BYTES..).unwrap_or_default();
            payload.extend_from_slice(&(written.len() as u32).to_le_bytes());
            let start = payload.len();
            payload.extend_from_slice(written);
            let commands = start..payload.len();
            parts.push(Part {
                commands,
                local: Some(Arc::new(one.local)),
            });
        }
        (Bytes::from(payload), parts, sync)
    }

    fn take_entry(&mut self, tag: u64) -> Option<Vec<Part>> {
        let is_it =
            |one: &InFlight| matches!(one, InFlight::Entry { tag: found, .. } if *found == tag);
        let place = self.in_flight.iter().position(is_it)?;
        self.entries_in_flight -= 1;
        self.write_ended = false;
        match self.in_flight.remove(place)? {
            InFlight::Entry { parts, .. } => Some(parts),
            InFlight::Reads(_) => None,
        }
    }

    /// Delivers the reads that stood behind what is no longer in flight.
    fn deliver_reads(&mut self) {
        while let Some(InFlight::Reads(_)) = self.in_flight.front() {
            if let Some(InFlight::Reads(parts)) = self.in_flight.pop_front() {
                self.deliver(None, Bytes::new(), parts);
            }
        }
    }

    /// `position` is the entry's; reads alone have none and the present time.
    fn deliver(&mut self, position: Option<Position>, payload: Bytes, parts: Vec<Part>) {
        let (now_ms, seed) = match position {
            Some(position) => {
                self.position = position;
                prefix(&payload)
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
        };
        self.outgoing
            .push_back(Outgoing::Deliver(Arc::new(delivery)));
    }

    fn refuse(&mut self, parts: Vec<Part>, why: &Unavailable) {
        for local in parts.into_iter().filter_map(|part| part.local) {
            self.outgoing
                .push_back(Outgoing::Refuse(local, why.clone()));
        }
    }
}

fn reads_part(submission: Submission) -> Part {
    Part {
        commands: 0..0,
        local: Some(Arc::new(submission.local)),
    }
}

fn write_prefix(payload: &mut [u8], now_ms: u64, seed: u64, parts: u16) {
    payload[0] = VERSION;
    payload[1..9].copy_from_slice(&now_ms.to_le_bytes());
    payload[9..17].copy_from_slice(&seed.to_le_bytes());
    payload[17..19].copy_from_slice(&parts.to_le_bytes());
}

/// Time and seed of an entry.
fn prefix(payload: &[u8]) -> (u64, u64) {
    let number = |at: usize| {
        let bytes = payload
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok());
        u64::from_le_bytes(bytes.unwrap_or_default())
    };
    (number(1), number(9))
}

/// Where the parts of an entry stand that this run did not make.
fn foreign_parts(payload: &[u8]) -> Vec<Part> {
    // What cannot be read is handed on whole: the shards refuse it and say so.
    let whole = || std::iter::once(0..payload.len()).collect();
    let ranges = part_ranges(payload).unwrap_or_else(whole);
    ranges
        .into_iter()
        .map(|commands| Part {
            commands,
            local: None,
        })
        .collect()
}

fn part_ranges(payload: &[u8]) -> Option<Vec<Range<usize>>> {
    if *payload.first()? != VERSION {
        return None;
    }
    let count = u16::from_le_bytes([*payload.get(17)?, *payload.get(18)?]);
    let mut at = PREFIX_BYTES;
    let mut ranges = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let length = payload.get(at..at + 4)?.try_into().ok()?;
        let start = at + 4;
        at = start + u32::from_le_bytes(length) as usize;
        payload.get(start..at)?;
        ranges.push(start..at);
    }
    Some(ranges)
}

impl Outgoing {
    /// As a message to another core.
    pub fn message(&self) -> Message {
        match self {
            Outgoing::Deliver(delivery) => Message::Deliver(delivery.clone()),
            Outgoing::Refuse(local, why) => Message::Refused(local.clone(), why.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What batch `number` writes: one in eight does, the others only read.
    fn written(number: usize) -> Vec<u8> {
        if number.is_multiple_of(8) {
            vec![number as u8]
        } else {
            Vec::new()
        }
    }

    fn batch(number: usize) -> Submission {
        let mut commands = Vec::new();
        if number.is_multiple_of(8) {
            commands.resize(HEAD_BYTES, 0);
            commands.extend(written(number));
        }
        Submission {
            commands,
            ..Submission::default()
        }
    }

    fn state(batches: usize) -> State {
        State {
            waiting: (0..batches).map(batch).collect(),
            in_flight: VecDeque::new(),
            entries_in_flight: 0,
            write_ended: false,
            next_tag: 0,
            next_delivery: 1,
            position: Position::default(),
            rng: Rng::new(1),
            outgoing: VecDeque::new(),
        }
    }

    /// What a restart reads of an entry is what its proposer handed over, however many batches
    /// piled up behind a disk that stood still.
    #[test]
    fn entries_read_back_however_many_batches_wait() {
        for batches in [1, 2, 3, ENTRY_PARTS_MAX, 70_000] {
            let mut state = state(batches);
            let mut read = Vec::new();
            while !state.waiting.is_empty() {
                let (payload, parts, _) = state.form_entry();
                if payload.is_empty() {
                    read.extend(parts.iter().map(|_| Vec::new()));
                    continue;
                }
                let ranges = part_ranges(&payload).unwrap();
                let own: Vec<Range<usize>> = parts.into_iter().map(|part| part.commands).collect();
                assert_eq!(ranges, own);
                read.extend(ranges.into_iter().map(|range| payload[range].to_vec()));
            }
            let handed: Vec<Vec<u8>> = (0..batches).map(written).collect();
            assert!(read == handed, "{batches} batches");
        }
    }
}

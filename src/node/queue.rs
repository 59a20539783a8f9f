//! What this node's cores handed over and what is not answered yet, in order.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::shard::Local;

use super::entry::{self, BatchName, EntryWriter, HEAD_BYTES};

/// A batch of one core, or reads of one core.
pub struct Item {
    pub number: u64,
    pub data: Data,
    pub local: Arc<Local>,
    pub sync: bool,
    /// When it was handed over.
    pub since_ms: u64,
    pub way: Way,
}

/// The commands of a batch.
pub enum Data {
    /// Behind [`HEAD_BYTES`] of room.
    Commands(Vec<u8>),
    /// Here in what was sent.
    Sent(Bytes, Range<usize>),
}

/// How far an item has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Not sent, or certainly not in the log.
    Waiting,
    /// In the entry with this tag.
    Proposed(u64),
    /// In a call to the node that led in `term`.
    Forwarded { call: u64, term: u64 },
    /// Perhaps in the log, with this term.
    Lost { term: u64 },
    /// Reads alone: the round that asks for their index, and the index once it is known.
    Reads {
        round: Option<u64>,
        index: Option<u64>,
    },
}

/// Batches that may be sent together: places in the queue.
#[derive(Debug, Default)]
pub struct Run {
    places: Range<usize>,
    pub batches: usize,
    pub bytes: usize,
}

/// Who is to take a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taker {
    /// The group on this node.
    Group,
    /// The leader, by a call.
    Leader,
}

#[derive(Default)]
pub struct Queue(VecDeque<Item>);

impl Item {
    /// Its commands.
    pub fn commands(&self) -> &[u8] {
        match &self.data {
            Data::Commands(commands) => commands.get(HEAD_BYTES..).unwrap_or_default(),
            Data::Sent(payload, range) => payload.get(range.clone()).unwrap_or_default(),
        }
    }

    /// Its buffer, with room for a head. To be followed by [`Item::sent`].
    pub fn take_commands(&mut self) -> Vec<u8> {
        match &mut self.data {
            Data::Commands(commands) => std::mem::take(commands),
            Data::Sent(..) => {
                let mut buffer = vec![0; HEAD_BYTES];
                buffer.extend_from_slice(self.commands());
                buffer
            }
        }
    }

    /// It was sent as the part `range` of `payload`.
    pub fn sent(&mut self, payload: Bytes, range: Range<usize>, way: Way) {
        self.data = Data::Sent(payload, range);
        self.way = way;
    }

    /// It was certainly not logged.
    pub fn wait_again(&mut self) {
        self.way = Way::Waiting;
    }

    fn is_reads(&self) -> bool {
        matches!(self.way, Way::Reads { .. })
    }

    fn bytes(&self) -> usize {
        self.commands().len()
    }
}

impl Queue {
    pub fn push(&mut self, item: Item) {
        self.0.push_back(item);
    }

    pub fn pop(&mut self) -> Option<Item> {
        self.0.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        self.0.iter_mut()
    }

    /// The first batches that wait, up to the bounds (one larger batch goes alone). Empty where
    /// one ahead of them went another way: it has to come to its end first.
    pub fn run(&self, taker: Taker, bytes_max: usize, batches_max: usize) -> Run {
        let mut run = Run::default();
        for (place, item) in self.0.iter().enumerate() {
            match (item.way, taker) {
                (Way::Reads { .. }, _) => {}
                (Way::Waiting, _) => {
                    // The leader refuses, or not, a call as a whole.
                    let first = self.0.get(run.places.start);
                    let alike = first.is_none_or(|first| first.local.all == item.local.all);
                    if run.batches > 0 && taker == Taker::Leader && !alike {
                        break;
                    }
                    let bytes = run.bytes + item.bytes();
                    if run.batches > 0 && (bytes > bytes_max || run.batches == batches_max) {
                        break;
                    }
                    if run.batches == 0 {
                        run.places.start = place;
                    }
                    run.places.end = place + 1;
                    run.batches += 1;
                    run.bytes = bytes;
                }
                (Way::Proposed(_), Taker::Group) | (Way::Forwarded { .. }, Taker::Leader) => {}
                _ => break,
            }
        }
        run
    }

    /// The batches of a run that still wait.
    pub fn waiting_in(&mut self, run: &Run) -> impl Iterator<Item = &mut Item> {
        self.0
            .range_mut(run.places.clone())
            .filter(|item| item.way == Way::Waiting)
    }

    /// Writes the batches of a run as this `node`'s. Answers whether one is to be synced, and whether
    /// one is by every voter.
    pub fn write(&mut self, run: &Run, node: u64, writer: &mut EntryWriter) -> (bool, bool) {
        let (mut sync, mut all) = (false, false);
        for item in self.waiting_in(run) {
            let number = item.number;
            writer.push(BatchName { node, number }, item.commands());
            sync |= item.sync;
            all |= item.local.all;
        }
        (sync, all)
    }

    /// What was written of a run was sent, in `payload` behind `before` other parts.
    pub fn sent(&mut self, run: &Run, payload: &Bytes, before: usize, way: Way) {
        let parts = entry::parts(payload).unwrap_or_default();
        let own = parts.into_iter().skip(before);
        for (item, (_, range)) in self.waiting_in(run).zip(own) {
            item.sent(payload.clone(), range, way);
        }
    }

    /// The batches of a call were refused for good: to `refused` with them. Their reads go on in
    /// their places.
    pub fn refuse_writes(&mut self, call: u64, mut refused: impl FnMut(Arc<Local>)) {
        for item in &mut self.0 {
            if matches!(item.way, Way::Forwarded { call: one, .. } if one == call) {
                refused(item.local.clone());
                item.local = Arc::new(item.local.only_reads());
                item.data = Data::Commands(Vec::new());
                item.way = Way::Reads {
                    round: None,
                    index: None,
                };
            }
        }
        let is_empty = |item: &Item| item.is_reads() && item.local.items.is_empty();
        self.0.retain(|item| !is_empty(item));
    }

    /// Takes out the batch with this number, which was met in the log, and the reads ahead of it,
    /// in order, to `reads`.
    pub fn take(&mut self, number: u64, mut reads: impl FnMut(Arc<Local>)) -> Option<Arc<Local>> {
        let place = self.0.iter().position(|item| item.number == number)?;
        let mut others = Vec::new();
        let mut found = None;
        for item in self.0.drain(..=place) {
            if item.number == number {
                found = Some(item.local);
            } else if item.is_reads() {
                reads(item.local);
            } else {
                others.push(item);
            }
        }
        for item in others.into_iter().rev() {
            self.0.push_front(item);
        }
        found
    }

    /// Takes the reads at the front where they may run with `applied` applied.
    pub fn pop_reads(&mut self, alone: bool, applied: u64) -> Option<Arc<Local>> {
        let Way::Reads { index, .. } = self.0.front()?.way else {
            return None;
        };
        if !alone && index.is_none_or(|index| index > applied) {
            return None;
        }
        self.0.pop_front().map(|item| item.local)
    }

    pub fn has_reads_without_round(&self) -> bool {
        self.0
            .iter()
            .any(|item| matches!(item.way, Way::Reads { round: None, .. }))
    }

    pub fn begin_round(&mut self, number: u64) {
        for item in &mut self.0 {
            if let Way::Reads { round, .. } = &mut item.way {
                round.get_or_insert(number);
            }
        }
    }

    /// The round told `told`, or failed: then its reads wait for another.
    pub fn end_round(&mut self, number: u64, told: Option<u64>) {
        for item in &mut self.0 {
            if let Way::Reads { round, index } = &mut item.way
                && *round == Some(number)
            {
                *index = told;
                if told.is_none() {
                    *round = None;
                }
            }
        }
    }

    /// An entry of `term` was applied: what may have been logged in an earlier one was not.
    /// Answers whether something waits again.
    pub fn decide(&mut self, term: u64) -> bool {
        let mut any = false;
        for item in &mut self.0 {
            if let Way::Lost { term: lost } = item.way
                && lost < term
            {
                item.wait_again();
                any = true;
            }
        }
        any
    }

    /// Takes out every batch that was sent and has not come to its end.
    pub fn take_sent(&mut self, mut sent: impl FnMut(Item)) {
        for item in std::mem::take(&mut self.0) {
            match item.way {
                Way::Waiting | Way::Reads { .. } => self.0.push_back(item),
                Way::Proposed(_) | Way::Forwarded { .. } | Way::Lost { .. } => sent(item),
            }
        }
    }

    /// Takes out what was handed over before `since_ms`.
    pub fn expire(&mut self, since_ms: u64, mut expired: impl FnMut(Item)) {
        let is_due = |item: &Item| item.since_ms < since_ms;
        if !self.0.iter().any(is_due) {
            return;
        }
        for item in std::mem::take(&mut self.0) {
            if is_due(&item) {
                expired(item);
            } else {
                self.0.push_back(item);
            }
        }
    }
}

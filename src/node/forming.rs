//! The sequencer's part in making entries: what waits, here and from other nodes, into one.
//!
//! Where both wait, neither holds the other up: this node's own get half of an entry, the others' what
//! is left of it. A batch too large for that has an entry to itself; whose turn that is changes with
//! every entry.

use std::rc::Rc;

use bytes::Bytes;

use crate::clock;
use crate::error::Unavailable;
use crate::limits::{DELIVERIES_WAITING_MAX, ENTRIES_IN_FLIGHT, ENTRY_BYTES_SOFT, ENTRY_PARTS_MAX};

use super::entry::{self, BatchName, EntryWriter, HEAD_BYTES};
use super::forward::{Foreign, ForeignAnswer};
use super::queue::{Run, Taker, Way};
use super::sequencer::{Entry, State};
use super::standing::Proposer;

impl State {
    /// Makes entries and hands them to the group, as far as they may be in flight. Answers whether it
    /// took any.
    pub(super) fn propose(&mut self, group: &impl Proposer) -> bool {
        if self.turned_ms < self.send_after_ms {
            // While leadership is handed over, say. Looked at again with the next tick at the latest.
            return false;
        }
        let mut proposed = false;
        while self.entries.len() < ENTRIES_IN_FLIGHT + self.write_ended as usize
            && self.outgoing.len() < DELIVERIES_WAITING_MAX
        {
            let tag = self.next_tag;
            let Some((payload, sync, foreign)) = self.form_entry(tag) else {
                break;
            };
            self.next_tag += 1;
            self.write_ended = false;
            self.entries.push_back(Entry {
                tag,
                term: self.standing.term,
                foreign,
            });
            match group.propose(self.standing.term, tag, payload, sync) {
                Ok(()) => proposed = true,
                Err(why) => {
                    self.failed(tag, &why);
                    break;
                }
            }
        }
        proposed
    }

    /// Makes an entry of batches that wait, up to the soft limit; `None` where none may be sent.
    pub(super) fn form_entry(&mut self, tag: u64) -> Option<(Bytes, bool, Vec<Rc<ForeignAnswer>>)> {
        let now_ms = clock::now_ms();
        let seed = self.rng.number();
        let node = self.node;
        let run = self.own_run();
        if run.batches == 1 && self.foreign.is_empty() && self.digest_due.is_none() {
            // One core's batch: its buffer becomes the entry.
            let item = self.queue.waiting_in(&run).next()?;
            let number = item.number;
            let name = BatchName { node, number };
            let payload = entry::seal_one(item.take_commands(), name, now_ms, seed);
            let commands = HEAD_BYTES..payload.len();
            item.sent(payload.clone(), commands, Way::Proposed(tag));
            return Some((payload, item.sync, Vec::new()));
        }
        let taken = self.take_foreign(&run);
        let foreign_bytes: usize = taken.iter().map(|foreign| foreign.commands.len()).sum();
        let fits = taken.is_empty() || foreign_bytes + run.bytes <= ENTRY_BYTES_SOFT;
        let run = if fits { run } else { Run::default() };
        self.foreign_first = !self.foreign_first;
        let digest = self.digest_due.take();
        let parts = taken.len() + run.batches;
        if parts == 0 && digest.is_none() {
            return None;
        }
        let mut writer = EntryWriter::new(foreign_bytes + run.bytes, parts + 1);
        let (mut sync, mut answers) = (false, Vec::with_capacity(taken.len()));
        for foreign in taken {
            writer.push(foreign.name, &foreign.commands);
            sync |= foreign.sync;
            answers.push(foreign.answer);
            self.counts.taken += 1;
        }
        sync |= self.queue.write(&run, node, &mut writer).0;
        if let Some(slice) = digest {
            let name = BatchName {
                node: entry::DIGEST_NODE,
                number: slice.code(),
            };
            writer.push(name, &[]);
        }
        let payload = writer.seal(now_ms, seed);
        self.queue
            .sent(&run, &payload, answers.len(), Way::Proposed(tag));
        Some((payload, sync, answers))
    }

    /// What waits here, as much of it as the next entry may take.
    fn own_run(&self) -> Run {
        let share = if self.foreign.is_empty() { 1 } else { 2 };
        let bytes_max = ENTRY_BYTES_SOFT / share;
        self.queue
            .run(Taker::Group, bytes_max, ENTRY_PARTS_MAX / share)
    }

    /// Takes what other nodes sent, as much of it as the next entry may take beside `run`, or in
    /// its stead. Refuses what was sent to the leader of another term, and what stands behind a
    /// batch that failed.
    fn take_foreign(&mut self, run: &Run) -> Vec<Foreign> {
        let beside = ENTRY_BYTES_SOFT.saturating_sub(run.bytes);
        let bytes_max = match self.foreign_first {
            true => beside.max(ENTRY_BYTES_SOFT / 2),
            false => beside,
        };
        // One larger batch goes alone.
        let may_be_large = self.foreign_first || run.batches == 0;
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while let Some(next) = self.foreign.pop_front() {
            if next.term != self.standing.term || next.answer.has_failed() {
                next.answer.end(Err(Unavailable::NoLeader));
                continue;
            }
            bytes += next.commands.len();
            let is_full = bytes > bytes_max || taken.len() + run.batches == ENTRY_PARTS_MAX;
            if is_full && !(taken.is_empty() && may_be_large) {
                self.foreign.push_front(next);
                break;
            }
            taken.push(next);
        }
        taken
    }
}

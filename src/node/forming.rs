//! The sequencer's part in making entries: what waits, here and from other nodes, into one.

use std::rc::Rc;

use bytes::Bytes;

use crate::clock;
use crate::error::Unavailable;
use crate::limits::{DELIVERIES_WAITING_MAX, ENTRIES_IN_FLIGHT, ENTRY_BYTES_SOFT, ENTRY_PARTS_MAX};

use super::entry::{self, BatchName, EntryWriter, HEAD_BYTES};
use super::forward::ForeignAnswer;
use super::queue::{Taker, Way};
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
        let run = self
            .queue
            .run(Taker::Group, ENTRY_BYTES_SOFT, ENTRY_PARTS_MAX);
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
        let (mut bytes, mut parts, mut sync) = (run.bytes, run.batches, false);
        let mut taken = Vec::new();
        while let Some(next) = self.foreign.front() {
            let full = bytes + next.commands.len() > ENTRY_BYTES_SOFT || parts == ENTRY_PARTS_MAX;
            if parts > 0 && full {
                break;
            }
            bytes += next.commands.len();
            let Some(next) = self.foreign.pop_front() else {
                break;
            };
            if next.term != self.standing.term || next.answer.has_failed() {
                next.answer.end(Err(Unavailable::NoLeader));
                continue;
            }
            parts += 1;
            taken.push(next);
        }
        let digest = self.digest_due.take();
        if parts == 0 && digest.is_none() {
            return None;
        }
        let mut writer = EntryWriter::new(bytes, parts + 1);
        let mut answers = Vec::with_capacity(taken.len());
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
}

//! What comes to a core: from other cores, and from the log.

use std::sync::Arc;
use std::time::Instant;

use crate::command::mutation;
use crate::error::Unavailable;
use crate::metrics::Stage;
use crate::resp::{Error, encode_error};
use crate::shard::{Delivery, Local, ShardMessage};

use super::client::Clients;
use super::engine::Engine;
use super::message::{Message, Reads, Replies};
use super::outbox::Link;
use super::sequencer::Outgoing;

impl Engine {
    /// Takes what came from other cores and from the log. Answers whether anything did.
    pub fn receive(&mut self, clients: &mut impl Clients) -> bool {
        let mut any = false;
        while let Some((from, message)) = self.out.mesh.receive() {
            any = true;
            self.take(from, message, clients);
        }
        any |= self.take_outgoing(clients);
        while let Some(message) = self.out.to_self.pop_front() {
            any = true;
            self.take(self.core, message, clients);
        }
        if self.recovering && self.shard.as_ref().is_none_or(|shard| shard.backlog() == 0) {
            any = true;
            self.recovering = false;
            self.out.send(self.layout.raft_core, Message::Recovered);
        }
        any
    }

    /// Sends what the sequencer has ready, and what was worked for beside it.
    fn take_outgoing(&mut self, clients: &mut impl Clients) -> bool {
        let Some(raft) = &self.raft else {
            return false;
        };
        let sequencer = raft.sequencer.clone();
        let mut any = false;
        for (from, number, answer) in raft.answers.take() {
            any = true;
            self.out.answer(from, number, answer);
        }
        while !self.out.mesh.is_backed_up() {
            let Some(outgoing) = sequencer.next_outgoing() else {
                // No read may see a shard before all that was acknowledged has run on it.
                if self.raft.as_ref().is_some_and(|raft| raft.recovered.take()) {
                    any = true;
                    for shard in 0..self.layout.shards {
                        self.out.send(self.layout.core_of(shard), Message::Replayed);
                    }
                }
                break;
            };
            any = true;
            match &outgoing {
                Outgoing::Deliver(_) => {
                    for shard in 0..self.layout.shards {
                        let core = self.layout.core_of(shard);
                        if core != self.core {
                            self.out.mesh.send(core, outgoing.message());
                        }
                    }
                }
                Outgoing::Refuse(local, _) | Outgoing::Release(local, _)
                    if local.origin != self.core =>
                {
                    self.out.mesh.send(local.origin, outgoing.message());
                    continue;
                }
                Outgoing::Refuse(..) | Outgoing::Release(..) => {}
            }
            self.take(self.core, outgoing.message(), clients);
        }
        any
    }

    fn take(&mut self, from: usize, message: Message, clients: &mut impl Clients) {
        match message {
            Message::Deliver(delivery) => self.deliver(delivery, clients),
            Message::Reads(reads) => self.run_reads(&reads, clients),
            Message::Replies(replies) => self.give_replies(&replies, clients),
            Message::Submit(submission) => {
                if let Some(raft) = &self.raft {
                    raft.sequencer.submit(*submission);
                }
            }
            Message::Refused(local, why) => self.refused(&local, &why, clients),
            Message::Released(local, known) => released(&local, known, clients),
            Message::Replayed => self.recovering = true,
            Message::Recovered => {
                self.shards_recovering -= 1;
                if self.shards_recovering == 0 {
                    tracing::info!("ready to accept connections");
                    self.open_everywhere();
                }
            }
            Message::Open => (self.open, self.serving) = (true, true),
            Message::Standing(stand) => self.stand = stand,
            Message::Captured(result) => {
                if let Some(raft) = &self.raft {
                    raft.joint.captured(result);
                }
            }
            Message::Digested(part, us) => {
                if let Some(raft) = &self.raft {
                    raft.digests.take(part, us);
                }
            }
            Message::Question(number, question) => self.answer(from, number, *question, clients),
            Message::Answer(number, answer) => self.answered(number, *answer, clients),
            Message::Shard(message) => self.shard_message(message, clients),
        }
    }

    fn deliver(&mut self, delivery: Arc<Delivery>, clients: &mut impl Clients) {
        for part in &delivery.parts {
            if let Some(local) = &part.local
                && local.origin == self.core
            {
                self.delivered_bytes += local.bytes;
                if !part.commands.is_empty() {
                    self.written.note(local.number, delivery.index);
                }
            }
        }
        let begun = Instant::now();
        let Some(shard) = &mut self.shard else {
            return;
        };
        let written = !delivery.payload.is_empty();
        shard.deliver(delivery);
        shard.run(&mut Link {
            out: &mut self.out,
            metrics: &mut self.metrics,
            clients,
        });
        self.forget_delivered();
        if written {
            self.metrics
                .stages
                .record(Stage::Apply, begun.elapsed().as_nanos() as u64);
            self.applied.get_or_insert_with(Instant::now);
        }
    }

    /// Makes room for what was delivered once it has run: a shard that waits holds connections
    /// back.
    pub(super) fn forget_delivered(&mut self) {
        if self.shard.as_ref().is_none_or(|shard| shard.backlog() == 0) {
            let delivered = std::mem::take(&mut self.delivered_bytes);
            self.submitted_bytes = self.submitted_bytes.saturating_sub(delivered);
        }
    }

    fn run_reads(&mut self, reads: &Reads, clients: &mut impl Clients) {
        let Some(shard) = &mut self.shard else {
            return;
        };
        let mut commands = &reads.commands[..];
        for item in &reads.items {
            let length = mutation::head(commands).map_or(commands.len(), |head| head.length);
            let (command, rest) = commands.split_at(length);
            commands = rest;
            let mut link = Link {
                out: &mut self.out,
                metrics: &mut self.metrics,
                clients,
            };
            shard.read(item.origin(), *item, command, self.now_ms, &mut link);
        }
    }

    fn give_replies(&mut self, replies: &Replies, clients: &mut impl Clients) {
        let mut bytes = &replies.bytes[..];
        for (item, length) in &replies.items {
            let (reply, rest) = bytes.split_at(*length as usize);
            bytes = rest;
            if let Some(client) = clients.client(item.client) {
                client.complete(item.seq, item.ordered, &mut |out| {
                    out.extend_from_slice(reply)
                });
            }
        }
    }

    /// Tells the connections of a batch that it was refused.
    fn refused(&mut self, local: &Local, why: &Unavailable, clients: &mut impl Clients) {
        let error = Error::new(why.to_string());
        // Refused for good, its reads have gone on.
        let reads_go_on = *why == Unavailable::NoReplicas;
        let going_on = if reads_go_on { local.reads.len() } else { 0 };
        let refused = local.bytes.saturating_sub(going_on);
        self.submitted_bytes = self.submitted_bytes.saturating_sub(refused);
        for item in local
            .items
            .iter()
            .filter(|item| !(reads_go_on && item.read))
        {
            if let Some(client) = clients.client(item.client) {
                client.complete(item.seq, item.ordered, &mut |out| encode_error(&error, out));
                client.release(item.seq, None);
            }
        }
    }

    fn shard_message(&mut self, message: ShardMessage, clients: &mut impl Clients) {
        let now_ms = self.now_ms;
        if let Some(shard) = &mut self.shard {
            let mut link = Link {
                out: &mut self.out,
                metrics: &mut self.metrics,
                clients,
            };
            shard.receive(message, now_ms, &mut link);
        }
        self.forget_delivered();
    }
}

/// Tells the connections of a batch that every voter has it on disk, or that this is not known.
fn released(local: &Local, known: bool, clients: &mut impl Clients) {
    let error = Error::fixed(
        "UNCERTAIN the write is committed on a quorum and applied, but not known to be on the disk \
         of every voter",
    );
    let error = (!known).then_some(&error);
    for item in local.items.iter().filter(|item| !item.read) {
        if let Some(client) = clients.client(item.client) {
            client.release(item.seq, error);
        }
    }
}

//! One core's part of the node.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use crate::clock;
use crate::command::{Spec, mutation};
use crate::config::{Config, Consistency, Durability};
use crate::error::Unavailable;
use crate::limits::{EXPIRE_BATCH, SUBMITTED_BYTES_MAX};
use crate::metrics::{CoreMetrics, Rate, SlowEntry, Stage, Timing};
use crate::resp::{Args, Error, Protocol, Reply, encode_error};
use crate::rt::Parker;
use crate::rt::mesh::Mesh;
use crate::session::Session;
use crate::shard::{Captured, Delivery, Host, Item, Local, Shard, ShardMessage};

use super::boot::Event;
use super::client::Clients;
use super::gather::{Answer, Gathers, Question};
use super::message::{Message, Reads, Replies, Submission};
use super::raft_side::Raft;
use super::sequencer::{HEAD_BYTES, Outgoing};

/// What a shard captures in a microsecond: 64 KiB took 130 us (small values, quick profile).
const CAPTURE_BYTES_PER_US: usize = 500;

/// Stands for no connection: what the node itself wrote (expiry) is answered to nobody.
pub const NOBODY: u64 = u64::MAX;

/// Which core does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub cores: usize,
    pub shards: usize,
    /// Core of the Raft tasks; shard cores are those after it when it is dedicated.
    pub raft_core: usize,
    pub dedicated: bool,
}

impl Layout {
    /// The layout of `cores` cores: from three on, and when asked, the first one is Raft's own.
    pub fn new(cores: usize, dedicated: bool) -> Self {
        let dedicated = dedicated && cores > 1;
        Layout {
            cores,
            shards: cores - dedicated as usize,
            raft_core: 0,
            dedicated,
        }
    }

    /// Core of a shard.
    #[inline]
    pub fn core_of(&self, shard: usize) -> usize {
        shard + self.dedicated as usize
    }

    /// Shard of a core, if it has one.
    pub fn shard_on(&self, core: usize) -> Option<usize> {
        core.checked_sub(self.dedicated as usize)
    }
}

/// One core's part of the node: dispatches requests, runs its shard, moves messages.
pub struct Engine {
    pub(super) core: usize,
    pub(super) layout: Layout,
    pub(super) shard: Option<Shard>,
    pub(super) now_ms: u64,
    /// This turn's writes, and reads behind them.
    pub(super) batch: Submission,
    /// This turn's reads over several shards.
    pub(super) at_once: Submission,
    pub(super) out: Outboxes,
    pub(super) raft: Option<Raft>,
    pub(super) config: Config,
    pub(super) metrics: CoreMetrics,
    pub(super) rate: Rate,
    pub(super) gathers: Gathers,
    pub(super) events: Sender<Event>,
    pub(super) started_ms: u64,
    /// When the first entry of the turn had been applied.
    applied: Option<Instant>,
    /// When the first write of the turn's batch came.
    pub(super) batch_begun: Option<Instant>,
    /// Bytes handed to the log and not answered; those of them that were delivered.
    submitted_bytes: usize,
    delivered_bytes: usize,
    /// The server's levels, for connections that have none of their own.
    pub(super) durability: Durability,
    pub(super) consistency: Consistency,
    /// The log was delivered and this core's shard has not run all of it.
    recovering: bool,
    /// Raft core: shards that have not run all of the log.
    shards_recovering: usize,
    /// The node began to serve and this core's wires have not been told.
    open: bool,
    /// The node serves.
    serving: bool,
}

/// What leaves this core at the end of the turn.
pub(super) struct Outboxes {
    core: usize,
    layout: Layout,
    mesh: Mesh<Message>,
    pub reads: Vec<Reads>,
    replies: Vec<Replies>,
    /// `slowlog-log-slower-than` (never: the largest number), `slowlog-max-len`.
    pub slow_us_min: u64,
    pub slow_len_max: usize,
    /// What this core asks itself.
    to_self: VecDeque<Message>,
}

impl Engine {
    /// The engine of core `mesh.core()`. `raft` on the Raft core, `shard` on a shard core.
    pub fn new(
        layout: Layout,
        mesh: Mesh<Message>,
        shard: Option<Shard>,
        raft: Option<Raft>,
        config: Config,
        events: Sender<Event>,
    ) -> Self {
        let core = mesh.core();
        Engine {
            core,
            layout,
            shard,
            now_ms: clock::now_ms(),
            batch: Submission::default(),
            at_once: Submission {
                at_once: true,
                ..Submission::default()
            },
            out: Outboxes {
                core,
                layout,
                mesh,
                reads: (0..layout.cores).map(|_| Reads::default()).collect(),
                replies: (0..layout.cores).map(|_| Replies::default()).collect(),
                slow_us_min: config.slowlog_us_min().unwrap_or(u64::MAX),
                slow_len_max: config.slowlog_len_max(),
                to_self: VecDeque::new(),
            },
            raft,
            durability: config.durability(),
            consistency: config.consistency(),
            config,
            metrics: CoreMetrics::default(),
            rate: Rate::default(),
            gathers: Gathers::default(),
            events,
            started_ms: clock::now_ms(),
            applied: None,
            batch_begun: None,
            submitted_bytes: 0,
            delivered_bytes: 0,
            recovering: false,
            shards_recovering: layout.shards,
            open: false,
            serving: false,
        }
    }

    /// The levels of connections that have none of their own.
    pub fn set_levels(&mut self, durability: Durability, consistency: Consistency) {
        self.durability = durability;
        self.consistency = consistency;
    }

    /// Looks at the clock. Once a turn.
    pub fn begin_turn(&mut self) {
        self.now_ms = clock::now_ms();
    }

    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether requests may be taken: what is on its way to the log is within its bound.
    #[inline]
    pub fn has_room(&self) -> bool {
        let forming = self.batch.bytes() + self.at_once.bytes();
        self.submitted_bytes + forming < SUBMITTED_BYTES_MAX
    }

    /// Whether the node began to serve since the last call.
    pub fn take_open(&mut self) -> bool {
        std::mem::take(&mut self.open)
    }

    /// The node has its state: every core may serve.
    fn open_everywhere(&mut self) {
        (self.open, self.serving) = (true, true);
        for core in (0..self.layout.cores).filter(|core| *core != self.core) {
            self.out.mesh.send(core, Message::Open);
        }
    }

    /// About ten times a second.
    pub fn tick(&mut self) {
        if let Some(raft) = &self.raft {
            raft.checkpoint_when_due(self.config.checkpoint_log_bytes());
        }
        // A proposal before the node serves would be refused, and the key forgotten.
        while self.serving && self.has_room() && self.propose_expired() {}
        self.rate
            .sample(self.now_ms, self.metrics.counters.commands_processed);
    }

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
                Outgoing::Refuse(local, _) if local.origin != self.core => {
                    self.out.mesh.send(local.origin, outgoing.message());
                    continue;
                }
                Outgoing::Refuse(..) => {}
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
            Message::Replayed => self.recovering = true,
            Message::Recovered => {
                self.shards_recovering -= 1;
                if self.shards_recovering == 0 {
                    tracing::info!("ready to accept connections");
                    self.open_everywhere();
                }
            }
            Message::Open => (self.open, self.serving) = (true, true),
            Message::Captured(result) => {
                if let Some(raft) = &self.raft {
                    raft.joint.captured(result);
                }
            }
            Message::Question(number, question) => self.answer(from, number, *question, clients),
            Message::Answer(number, answer) => self.answered(number, *answer, clients),
            Message::Shard(message) => self.shard_message(message, clients),
        }
    }

    fn deliver(&mut self, delivery: Arc<Delivery>, clients: &mut impl Clients) {
        let own = |part: &&crate::shard::Part| {
            part.local
                .as_ref()
                .is_some_and(|local| local.origin == self.core)
        };
        let answered: usize = delivery
            .parts
            .iter()
            .filter(own)
            .map(|part| part.commands.len())
            .sum();
        self.delivered_bytes += answered;
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
    fn forget_delivered(&mut self) {
        if self.shard.as_ref().is_none_or(|shard| shard.backlog() == 0) {
            let delivered = std::mem::take(&mut self.delivered_bytes);
            self.submitted_bytes = self.submitted_bytes.saturating_sub(delivered);
        }
    }

    /// What was written to connections was handed to their sockets.
    pub fn flushed(&mut self) {
        if let Some(applied) = self.applied.take() {
            self.metrics
                .stages
                .record(Stage::Reply, applied.elapsed().as_nanos() as u64);
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
        // How many bytes the batch had is not known any more: what was submitted is forgotten.
        self.submitted_bytes = 0;
        self.delivered_bytes = 0;
        for item in &local.items {
            if let Some(client) = clients.client(item.client) {
                client.complete(item.seq, item.ordered, &mut |out| encode_error(&error, out));
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

    /// Proposes the removal of keys that are past their expiry. Answers whether there were any.
    pub fn propose_expired(&mut self) -> bool {
        let Some(shard) = &mut self.shard else {
            return false;
        };
        let mut left = EXPIRE_BATCH;
        for db in 0..crate::limits::DATABASES {
            for key in shard.keyspace_mut().db_mut(db).take_due(self.now_ms, left) {
                left -= 1;
                let key = key.bytes().unwrap_or_default();
                let slot = crate::slot::slot_of(key);
                begin_commands(&mut self.batch.commands);
                let id = crate::command::EXPIRE;
                mutation::write_slices(&mut self.batch.commands, id, slot, db as u8, &[key]);
                self.batch.local.items.push(Item {
                    client: NOBODY,
                    seq: 0,
                    core: self.core as u8,
                    read: false,
                    ordered: true,
                    protocol: Protocol::Resp2,
                });
            }
        }
        left < EXPIRE_BATCH
    }

    /// Goes on with a checkpoint under way. Answers whether it took time.
    pub fn capture_turn(&mut self, clients: &mut impl Clients, parker: &Parker) -> bool {
        let Some(shard) = &mut self.shard else {
            return false;
        };
        if !shard.is_capturing() {
            return false;
        }
        let slice_us = self.config.checkpoint_slice().as_micros() as usize;
        match shard.capture_turn(slice_us * CAPTURE_BYTES_PER_US) {
            // Its time comes by itself: the core stays awake.
            Captured::Nothing | Captured::Slice => {}
            Captured::Full(feeder, bytes) => {
                let parker = parker.clone();
                crate::rt::spawn(async move {
                    feeder.room(bytes).await;
                    parker.notify();
                });
                return false;
            }
            Captured::End(result) => {
                self.out
                    .send(self.layout.raft_core, Message::Captured(result));
            }
        }
        // Old images may have held deliveries back.
        let mut link = Link {
            out: &mut self.out,
            metrics: &mut self.metrics,
            clients,
        };
        shard.run(&mut link);
        true
    }

    /// A write of the log has ended on this core.
    pub fn log_write_ended(&mut self) {
        if let Some(raft) = &self.raft {
            raft.sequencer.write_ended();
        }
    }

    /// Sends what the turn gathered: to other cores, and to the log. Answers whether an entry was
    /// proposed on this core.
    pub fn end_turn(&mut self) -> bool {
        // What runs at the present position goes first: a connection's write behind such a read is
        // in the batch.
        for mut submission in [
            std::mem::take(&mut self.at_once),
            std::mem::take(&mut self.batch),
        ] {
            if submission.local.items.is_empty() {
                continue;
            }
            self.submitted_bytes += submission.commands.len().saturating_sub(HEAD_BYTES);
            submission.local.origin = self.core;
            if let Some(begun) = self.batch_begun.take() {
                self.metrics
                    .stages
                    .record(Stage::Queue, begun.elapsed().as_nanos() as u64);
            }
            match &self.raft {
                Some(raft) => raft.sequencer.submit(submission),
                None => {
                    self.out
                        .mesh
                        .send(self.layout.raft_core, Message::Submit(submission.into()));
                }
            }
        }
        self.at_once.at_once = true;
        let proposed = match &self.raft {
            Some(raft) => raft.sequencer.propose(&raft.group),
            None => false,
        };
        self.out.flush();
        proposed
    }

    /// Whether the Raft tasks of this executor have an entry on its way.
    pub fn is_proposing(&self) -> bool {
        self.raft
            .as_ref()
            .is_some_and(|raft| raft.sequencer.is_proposing())
    }

    /// Whether there is work that no wake would announce.
    pub fn has_work(&self) -> bool {
        self.out.mesh.has_mail()
            || !self.out.to_self.is_empty()
            || self.out.mesh.is_backed_up()
            || self.raft.as_ref().is_some_and(Raft::has_work)
    }

    /// Why this core cannot go on, if it cannot.
    pub fn fault(&self) -> Option<&str> {
        self.shard.as_ref().and_then(Shard::fault)
    }

    pub fn core(&self) -> usize {
        self.core
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }
}

/// Leaves room for the entry's head before the first write of a batch.
#[inline]
pub(super) fn begin_commands(commands: &mut Vec<u8>) {
    if commands.is_empty() {
        commands.resize(HEAD_BYTES, 0);
    }
}

impl Outboxes {
    /// Keeps a command in the slow log.
    #[cold]
    pub fn note_slow(
        &self,
        metrics: &mut CoreMetrics,
        spec: &Spec,
        args: Args<'_>,
        us: u64,
        session: Option<&Session>,
    ) {
        let name = std::iter::once(spec.name.as_bytes().to_vec());
        let entry = SlowEntry {
            id: 0,
            time_s: clock::now_ms() / 1000,
            us,
            arguments: name.chain(args.iter_from(1).map(<[u8]>::to_vec)).collect(),
            address: session
                .map(|session| session.address.clone())
                .unwrap_or_default(),
            name: session
                .map(|session| session.name.clone())
                .unwrap_or_default(),
        };
        metrics
            .slow
            .push(entry, self.core, self.layout.cores, self.slow_len_max);
    }

    /// Sends to any core, this one included.
    fn send(&mut self, core: usize, message: Message) {
        if core == self.core {
            self.to_self.push_back(message);
        } else {
            self.mesh.send(core, message);
        }
    }

    /// Asks a core.
    pub fn ask(&mut self, core: usize, number: u64, question: Question) {
        self.send(core, Message::Question(number, Box::new(question)));
    }

    /// Answers a core's question.
    pub fn answer(&mut self, core: usize, number: u64, answer: Answer) {
        self.send(core, Message::Answer(number, Box::new(answer)));
    }

    fn flush(&mut self) {
        if self.layout.cores == 1 {
            return;
        }
        for core in 0..self.layout.cores {
            if !self.reads[core].items.is_empty() {
                let reads = std::mem::take(&mut self.reads[core]);
                self.mesh.send(core, Message::Reads(reads.into()));
            }
            if !self.replies[core].items.is_empty() {
                let replies = std::mem::take(&mut self.replies[core]);
                self.mesh.send(core, Message::Replies(replies.into()));
            }
        }
        self.mesh.flush();
    }
}

/// Where a shard's replies and messages go while it runs.
struct Link<'l, C> {
    out: &'l mut Outboxes,
    metrics: &'l mut CoreMetrics,
    clients: &'l mut C,
}

impl<C: Clients> Host for Link<'_, C> {
    #[inline]
    fn reply(&mut self, origin: usize, item: &Item, write: &mut dyn FnMut(&mut Vec<u8>)) {
        if origin == self.out.core {
            if let Some(client) = self.clients.client(item.client) {
                client.complete(item.seq, item.ordered, write);
            }
            return;
        }
        if item.client == NOBODY {
            return;
        }
        let replies = &mut self.out.replies[origin];
        let before = replies.bytes.len();
        write(&mut replies.bytes);
        replies
            .items
            .push((*item, (replies.bytes.len() - before) as u32));
    }

    fn send(&mut self, shard: usize, message: ShardMessage) {
        let core = self.out.layout.core_of(shard);
        self.out.send(core, Message::Shard(message));
    }

    #[inline]
    fn time(&mut self, spec: &Spec) -> Timing {
        self.metrics.time(spec.is_constant_time())
    }

    #[inline]
    fn ran(
        &mut self,
        spec: &Spec,
        args: Args<'_>,
        item: Option<&Item>,
        timing: Timing,
        reply: &Reply<'_>,
    ) {
        let error = match reply {
            Reply::Error(error) => Some(&*error.0),
            _ => None,
        };
        self.metrics.counters.keys_expired +=
            u64::from(spec.id == crate::command::EXPIRE && *reply == Reply::Int(1));
        let us = self.metrics.ran(spec.id, timing, error);
        if let (Some(us), Some(item)) = (us, item)
            && us >= self.out.slow_us_min
        {
            let own = item.origin() == self.out.core;
            let session = if own {
                self.clients.client(item.client)
            } else {
                None
            };
            let session = session.map(|client| &client.session);
            self.out.note_slow(self.metrics, spec, args, us, session);
        }
    }
}

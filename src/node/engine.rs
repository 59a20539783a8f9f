//! One core's part of the node: its turns. What comes to it: `inbox`; what leaves: `outbox`.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use crate::clock;
use crate::command::mutation;
use crate::config::{Config, Consistency, Durability, FollowerMode};
use crate::limits::{EXPIRE_BATCH, FRESH_TOLD_MS, SUBMITTED_BYTES_MAX};
use crate::metrics::{CoreMetrics, Rate, Stage};
use crate::resp::Protocol;
use crate::rt::Parker;
use crate::rt::mesh::Mesh;
use crate::shard::{Captured, Item, Shard};

use super::boot::Event;
use super::client::Clients;
use super::cluster_view::ClusterView;
use super::entry::HEAD_BYTES;
use super::gather::Gathers;
use super::layout::Layout;
use super::message::{Message, Submission};
use super::outbox::{Link, Outboxes};
use super::raft_side::Raft;
use super::standing::{News, Stand};
use super::waiting::Written;

/// What a shard captures in a microsecond: 64 KiB took 130 us (small values, quick profile).
const CAPTURE_BYTES_PER_US: usize = 500;

/// Stands for no connection: what the node itself wrote (expiry) is answered to nobody.
pub const NOBODY: u64 = u64::MAX;

/// A write of the node itself, on `core`.
pub(super) fn nobodys(core: usize) -> Item {
    Item {
        client: NOBODY,
        seq: 0,
        core: core as u8,
        read: false,
        ordered: true,
        protocol: Protocol::Resp2,
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
    /// Counts this core's batches, from 1; where the last ones went.
    pub(super) batch_number: u64,
    pub(super) written: Written,
    pub(super) out: Outboxes,
    pub(super) raft: Option<Raft>,
    pub(super) config: Config,
    pub(super) metrics: CoreMetrics,
    pub(super) rate: Rate,
    pub(super) gathers: Gathers,
    pub(super) events: Sender<Event>,
    pub(super) started_ms: u64,
    /// When the first entry of the turn had been applied.
    pub(super) applied: Option<Instant>,
    /// When the first write of the turn's batch came.
    pub(super) batch_begun: Option<Instant>,
    /// Bytes handed to the Raft core and not answered; those of them that were delivered.
    pub(super) submitted_bytes: usize,
    pub(super) delivered_bytes: usize,
    /// The server's levels, for connections that have none of their own.
    pub(super) durability: Durability,
    pub(super) consistency: Consistency,
    /// The log was delivered and this core's shard has not run all of it.
    pub(super) recovering: bool,
    /// Raft core: shards that have not run all of the log.
    pub(super) shards_recovering: usize,
    /// The node began to serve and this core's wires have not been told.
    pub(super) open: bool,
    /// The node serves.
    pub(super) serving: bool,
    /// How the node stands in its group.
    pub(super) stand: Stand,
    /// Raft core: how fresh the other cores know its state to be.
    pub(super) fresh_told_ms: u64,
    /// A follower answers where the leader is, instead of asking it.
    pub(super) redirects: bool,
    /// A task waits for what the shard's keyspace is to be replaced with.
    pub(super) supply_awaited: Rc<Cell<bool>>,
    /// A task waits for room for what the shard has captured.
    pub(super) room_awaited: Rc<Cell<bool>>,
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
            batch_number: 1,
            written: Written::default(),
            out: Outboxes::new(layout, mesh, &config),
            raft,
            durability: config.durability(),
            consistency: config.consistency(),
            redirects: config.follower_mode() == FollowerMode::Redirect,
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
            stand: Stand::default(),
            fresh_told_ms: 0,
            supply_awaited: Rc::default(),
            room_awaited: Rc::default(),
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
    pub(super) fn open_everywhere(&mut self) {
        (self.open, self.serving) = (true, true);
        for core in (0..self.layout.cores).filter(|core| *core != self.core) {
            self.out.mesh.send(core, Message::Open);
        }
    }

    /// About ten times a second.
    pub fn tick(&mut self) {
        if let Some(raft) = &self.raft {
            raft.checkpoint_when_due(self.config.checkpoint_log_bytes());
            raft.sequencer.give_up();
            raft.watch_digests();
            raft.copies.look_at_voters(self.stand.standing);
        }
        // The leader alone decides what is due, by its clock.
        while self.serving && self.leads() && self.has_room() && self.propose_expired() {}
        self.rate
            .sample(self.now_ms, self.metrics.counters.commands_processed);
    }

    /// What was written to connections was handed to their sockets.
    pub fn flushed(&mut self) {
        if let Some(applied) = self.applied.take() {
            self.metrics
                .stages
                .record(Stage::Reply, applied.elapsed().as_nanos() as u64);
        }
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
                self.batch.local.items.push(nobodys(self.core));
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
                // One waits for room, however many turns come before it.
                if !self.room_awaited.replace(true) {
                    let (awaited, parker) = (self.room_awaited.clone(), parker.clone());
                    crate::rt::spawn(async move {
                        feeder.room(bytes).await;
                        awaited.set(false);
                        parker.notify();
                    });
                }
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
        self.forget_delivered();
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
        self.hand_over();
        let proposed = self.raft.as_ref().is_some_and(Raft::send_on);
        self.tell_stand();
        self.out.flush();
        proposed
    }

    /// Hands the batch, and what runs at the present position, to the Raft core.
    pub(super) fn hand_over(&mut self) {
        // What runs at the present position goes first: a connection's write behind such a read is
        // in the batch.
        for mut submission in [
            std::mem::take(&mut self.at_once),
            std::mem::take(&mut self.batch),
        ] {
            if submission.local.items.is_empty() {
                continue;
            }
            submission.local.bytes = submission.bytes();
            self.submitted_bytes += submission.local.bytes;
            submission.local.origin = self.core;
            if !submission.at_once {
                submission.local.number = self.batch_number;
                self.batch_number += 1;
            }
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
    }

    /// Tells every core how the node stands, where that has changed.
    fn tell_stand(&mut self) {
        let Some(raft) = &self.raft else {
            return;
        };
        let (standing, fresh_ms) = raft.sequencer.standing();
        let voters_missing = raft.copies.are_voters_missing();
        let address_of = |leader| {
            let address = raft.group.address_of(leader)?;
            Some(address.client().into())
        };
        let news = self
            .stand
            .follow(standing, fresh_ms, voters_missing, address_of);
        let is_little = fresh_ms.saturating_sub(self.fresh_told_ms) < FRESH_TOLD_MS;
        if news == News::Nothing || (news == News::Fresher && is_little) {
            return;
        }
        self.fresh_told_ms = fresh_ms;
        for core in (0..self.layout.cores).filter(|core| *core != self.core) {
            let message = Message::Standing(self.stand.clone());
            self.out.mesh.send(core, message);
        }
    }

    /// Whether the Raft tasks of this executor have an entry on its way.
    pub fn is_proposing(&self) -> bool {
        self.raft
            .as_ref()
            .is_some_and(|raft| raft.sequencer.is_proposing())
    }

    /// Whether this node leads and can have writes acknowledged, as far as this core knows.
    pub fn leads(&self) -> bool {
        self.stand.standing.leads()
    }

    /// How this node sees its cluster now; on the Raft core only.
    pub fn cluster_view(&self) -> Option<ClusterView> {
        self.raft.as_ref().map(Raft::cluster_view)
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

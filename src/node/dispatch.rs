//! Where the paths of requests fork, by the table's `route`.

use std::time::Instant;

use crate::clock;
use crate::command::{Keys, Route, Spec, mutation, resolve};
use crate::config::{Consistency, Durability};
use crate::error::Unavailable;
use crate::keyspace::Hash64;
use crate::resp::{Args, Error};
use crate::shard::Item;
use crate::slot::{shard_of, slot_of};

use super::client::Client;
use super::engine::{Engine, begin_commands};
use super::standing::Seat;

/// What the connection does after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// On to the next request.
    Continue,
    /// The request was not taken: it comes again once replies have come.
    Wait,
    /// Send what is to be sent, then close.
    Close,
}

/// A request whose command was found, or what is wrong with it.
pub struct Resolved {
    spec: Result<&'static Spec, Error>,
    /// Hash of the key whose memory was asked for.
    hash: Option<Hash64>,
}

/// Shards that a command's keys lie on.
enum Target {
    /// All keys in one slot's shard: this slot, that shard.
    One(u16, usize),
    Many,
}

impl Engine {
    /// Finds the command of a request and, where it will read this core's shard, asks for the
    /// memory of its key. To be called for several requests before the first is dispatched.
    #[inline]
    pub fn resolve(&self, client: &Client, args: Args<'_>) -> Resolved {
        let spec = resolve(args);
        let hash = match (&spec, &self.shard) {
            (Ok(spec), Some(shard)) if spec.route == Route::Read && spec.is_single_key() => {
                let db = shard.keyspace().db(client.session.db as usize);
                Some(db.prefetch_entry(args.get(1)))
            }
            _ => None,
        };
        Resolved { spec, hash }
    }

    /// Asks for the memory behind what [`Engine::resolve`] asked for.
    #[inline]
    pub fn prefetch(&self, client: &Client, resolved: &Resolved) {
        if let (Some(hash), Some(shard)) = (resolved.hash, &self.shard) {
            shard
                .keyspace()
                .db(client.session.db as usize)
                .prefetch_value(hash);
        }
    }

    /// Takes one request of a connection. `id` is what [`super::Clients`] knows it by.
    #[inline]
    pub fn dispatch(
        &mut self,
        client: &mut Client,
        id: u64,
        resolved: &Resolved,
        args: Args<'_>,
    ) -> Flow {
        // Also what needs no log is answered behind the replies that do.
        if client.is_full() {
            return Flow::Wait;
        }
        let spec = match &resolved.spec {
            Ok(spec) => *spec,
            Err(error) => return self.refuse(client, error.clone()),
        };
        client.session.last_command = spec.name;
        if let Some(moved) = self.moved(client, spec, args) {
            return self.refuse(client, moved);
        }
        if client.session.transaction.is_some() {
            return self.in_transaction(client, id, spec, args);
        }
        self.route(client, id, spec, args, client.session.durability)
    }

    /// Where a follower that does not forward sends a client with a command on keys. While no
    /// leader is known there is nowhere to send it: what comes then waits for one as elsewhere, and
    /// is carried out.
    #[inline]
    pub(super) fn moved(&self, client: &Client, spec: &Spec, args: Args<'_>) -> Option<Error> {
        match self.redirects {
            true => self.moved_to_leader(client, spec, args),
            false => None,
        }
    }

    #[cold]
    fn moved_to_leader(&self, client: &Client, spec: &Spec, args: Args<'_>) -> Option<Error> {
        let leader = self.stand.leader.as_ref()?;
        if spec.route == Route::Session || (spec.route == Route::Read && self.reads_now(client)) {
            return None;
        }
        let mut first = None;
        crate::command::each_place(spec, 0, args, &mut |_, key| {
            first.get_or_insert(slot_of(key));
        });
        first.map(|slot| Error::new(format!("MOVED {slot} {leader}")))
    }

    #[inline]
    pub(super) fn route(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        args: Args<'_>,
        durability: Option<Durability>,
    ) -> Flow {
        match spec.route {
            Route::Read => self.read(client, id, spec, args),
            Route::Write => self.write(client, id, spec, args, durability),
            Route::ReadAll(_) => self.read_all(client, id, spec, args),
            Route::WriteAll(_) => self.write(client, id, spec, args, durability),
            Route::Session => {
                let timing = self.metrics.time(true);
                let flow = self.session_command(client, id, spec, args);
                if flow != Flow::Wait {
                    self.metrics.ran(spec.id, timing, None);
                }
                flow
            }
        }
    }

    /// An error that also spoils a transaction being queued.
    pub(super) fn refuse(&mut self, client: &mut Client, error: Error) -> Flow {
        if let Some(transaction) = &mut client.session.transaction {
            transaction.broken = true;
        }
        self.metrics.error_replied(&error.0);
        client.refuse(error);
        Flow::Continue
    }

    /// A read: here and now where its shard is this core's and no write of its connection is in
    /// flight.
    #[inline]
    fn read(&mut self, client: &mut Client, id: u64, spec: &'static Spec, args: Args<'_>) -> Flow {
        let Target::One(slot, shard) = self.target(spec, args) else {
            return self.read_all(client, id, spec, args);
        };
        if client.has_ordered() || !self.reads_now(client) {
            return self.read_in_order(client, id, spec, slot, args);
        }
        match &mut self.shard {
            Some(own) if own.id() == shard && own.is_free() => {
                let session = &client.session;
                let resp3 = session.protocol == crate::resp::Protocol::Resp3;
                let mut context = own.context(session.db as usize, self.now_ms, resp3);
                let Some(handler) = spec.handler else {
                    return Flow::Continue;
                };
                let timing = self.metrics.time(spec.is_constant_time());
                let outcome = handler(&mut context, args);
                let error = outcome.as_ref().err().map(|error| &*error.0);
                let us = self.metrics.ran(spec.id, timing, error);
                client.reply_with(outcome);
                if us.is_some_and(|us| us >= self.out.slow_us_min) {
                    let us = us.unwrap_or_default();
                    let session = Some(&client.session);
                    self.out
                        .note_slow(&mut self.metrics, spec, args, us, session);
                }
                Flow::Continue
            }
            _ => self.read_remote(client, id, spec, (slot, shard), args),
        }
    }

    /// A read of another core's shard, or of this one's while keys are lent.
    fn read_remote(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        (slot, shard): (u16, usize),
        args: Args<'_>,
    ) -> Flow {
        let core = self.layout.core_of(shard);
        if core == self.core {
            // Lent keys come home by the log's order: so does the read.
            return self.read_in_order(client, id, spec, slot, args);
        }
        let item = Item {
            client: id,
            seq: client.await_remote(),
            core: self.core as u8,
            read: true,
            ordered: false,
            protocol: client.session.protocol,
        };
        let reads = &mut self.out.reads[core];
        mutation::write(&mut reads.commands, spec.id, slot, client.session.db, args);
        reads.items.push(item);
        Flow::Continue
    }

    /// Whether a read of this connection may run on what this node has now.
    #[inline]
    pub(super) fn reads_now(&self, client: &Client) -> bool {
        self.stand.standing.seat == Seat::Alone || self.is_fresh_enough(client)
    }

    #[cold]
    fn is_fresh_enough(&self, client: &Client) -> bool {
        let seat = self.stand.standing.seat;
        match client.session.consistency.unwrap_or(self.consistency) {
            Consistency::Stale => true,
            Consistency::Bounded(ms) => {
                let fresh_ms = self.stand.fresh_ms;
                fresh_ms > 0 && clock::steady_ms().saturating_sub(fresh_ms) <= u64::from(ms)
            }
            Consistency::Leader => matches!(seat, Seat::Leader { .. }),
            Consistency::Linearizable => false,
        }
    }

    /// A read that travels with the batch: behind the writes of its connection, or until the
    /// leader has told how new it must be.
    fn read_in_order(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        slot: u16,
        args: Args<'_>,
    ) -> Flow {
        if !self.has_room() {
            return Flow::Wait;
        }
        self.push_read(client, id, spec.id, slot, args);
        Flow::Continue
    }

    /// A read over several shards: it takes a position in the log's order.
    fn read_all(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Flow {
        if !self.has_room() || client.has_remote() {
            return Flow::Wait;
        }
        let alone = self.layout.shards == 1 && !client.has_ordered() && self.reads_now(client);
        match &mut self.shard {
            Some(own) if alone && own.is_free() => {
                let session = &client.session;
                let resp3 = session.protocol == crate::resp::Protocol::Resp3;
                let mut context = own.context(session.db as usize, self.now_ms, resp3);
                if let Some(handler) = spec.handler {
                    let timing = self.metrics.time(false);
                    let outcome = handler(&mut context, args);
                    let error = outcome.as_ref().err().map(|error| &*error.0);
                    let us = self.metrics.ran(spec.id, timing, error).unwrap_or_default();
                    client.reply_with(outcome);
                    if us >= self.out.slow_us_min {
                        let session = Some(&client.session);
                        self.out
                            .note_slow(&mut self.metrics, spec, args, us, session);
                    }
                }
            }
            _ => self.push_read(client, id, spec.id, mutation::MANY, args),
        }
        Flow::Continue
    }

    /// A write: into the turn's batch.
    #[inline]
    pub(super) fn write(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        args: Args<'_>,
        durability: Option<Durability>,
    ) -> Flow {
        if !self.has_room() || client.has_remote() {
            return Flow::Wait;
        }
        let slot = match self.target(spec, args) {
            Target::One(slot, _) => slot,
            Target::Many => mutation::MANY,
        };
        self.push_write(client, id, spec.id, slot, args, durability);
        Flow::Continue
    }

    #[inline]
    pub(super) fn push_write(
        &mut self,
        client: &mut Client,
        id: u64,
        command: u16,
        slot: u16,
        args: Args<'_>,
        durability: Option<Durability>,
    ) {
        let level = durability.unwrap_or(self.durability);
        let all = level == Durability::All && self.stand.standing.seat != Seat::Alone;
        if all != self.batch.local.all && !self.begin_batch(all) {
            return client.refuse(Unavailable::NoReplicas.into());
        }
        let batch = &mut self.batch;
        if batch.commands.is_empty() {
            self.batch_begun = Some(Instant::now());
        }
        begin_commands(&mut batch.commands);
        mutation::write(&mut batch.commands, command, slot, client.session.db, args);
        client.written = self.batch_number;
        batch.sync |= level >= Durability::High;
        batch.local.items.push(Item {
            client: id,
            seq: match all {
                true => client.await_guarded(),
                false => client.await_ordered(),
            },
            core: self.core as u8,
            read: false,
            ordered: true,
            protocol: client.session.protocol,
        });
    }

    /// Begins a batch of writes whose replies wait for every voter, or one of writes whose do not:
    /// the leader may refuse the former. False where it is known that it would.
    #[cold]
    fn begin_batch(&mut self, all: bool) -> bool {
        if all && self.stand.voters_missing {
            return false;
        }
        if !self.batch.commands.is_empty() {
            self.hand_over();
        }
        self.batch.local.all = all;
        true
    }

    /// A read that takes a position in the log's order: behind the writes of its connection, or
    /// the present one.
    pub(super) fn push_read(
        &mut self,
        client: &mut Client,
        id: u64,
        command: u16,
        slot: u16,
        args: Args<'_>,
    ) {
        let batch = if client.has_ordered() || !self.reads_now(client) {
            &mut self.batch
        } else {
            &mut self.at_once
        };
        mutation::write(
            &mut batch.local.reads,
            command,
            slot,
            client.session.db,
            args,
        );
        batch.local.items.push(Item {
            client: id,
            seq: client.await_ordered(),
            core: self.core as u8,
            read: true,
            ordered: true,
            protocol: client.session.protocol,
        });
    }

    /// Which shard a command's keys lie on.
    #[inline]
    fn target(&self, spec: &Spec, args: Args<'_>) -> Target {
        let shards = self.layout.shards;
        if shards == 1 {
            // Slots in the log only save other nodes the look: with one shard it is not worth it.
            return Target::One(mutation::MANY, 0);
        }
        if spec.is_single_key() {
            let slot = slot_of(args.get(1));
            return Target::One(slot, shard_of(slot, shards));
        }
        if matches!(spec.route, Route::ReadAll(_) | Route::WriteAll(_)) {
            return Target::Many;
        }
        if matches!(spec.keys, Keys::None) {
            return Target::One(0, 0);
        }
        let mut target: Option<(u16, usize)> = None;
        let mut many = false;
        crate::command::each_place(spec, 0, args, &mut |_, key| {
            let slot = slot_of(key);
            let shard = shard_of(slot, shards);
            match target {
                None => target = Some((slot, shard)),
                // The slot in the log must hold for any number of shards.
                Some((first, _)) if first != slot => many = true,
                Some(_) => {}
            }
        });
        match target {
            Some((slot, shard)) if !many => Target::One(slot, shard),
            // No key at all: the handler will say what is wrong.
            None => Target::One(0, 0),
            Some(_) => Target::Many,
        }
    }
}

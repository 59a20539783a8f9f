//! The shard's stream: deliveries run in order, stopping where a loan is awaited.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crate::command::{Context, Rng, Spec, by_id, each_place, mutation};
use crate::keyspace::{AHEAD, Keyspace, OrderSlice};
use crate::limits::DATABASES;
use crate::resp::{Reply, Span};
use crate::slot::shard_of;

use super::capture::Capture;
use super::delivery::{Delivery, Item, Local};
use super::execute::{Command, Host};
use super::loan::{Loan, LoanId, ShardMessage};

/// A read that waits until a key is home.
pub(super) struct HeldRead {
    origin: usize,
    item: Item,
    bytes: Vec<u8>,
}

/// One shard.
pub struct Shard {
    pub(super) id: usize,
    pub(super) shards: usize,
    pub(super) keyspace: Keyspace,
    pub(super) stream: VecDeque<Arc<Delivery>>,
    /// Where the first delivery of the stream stopped.
    pub(super) cursor: Cursor,
    /// Log index up to which everything has run.
    applied: u64,
    pub(super) lent: HashSet<(u8, Vec<u8>)>,
    /// Held as a whole until released: everything is lent, or a command runs on every shard.
    pub(super) held: Option<LoanId>,
    /// Loans that came, by command, with the shard they are from.
    pub(super) loans: HashMap<LoanId, Vec<(usize, Loan)>>,
    pub(super) shares: HashMap<LoanId, Vec<Reply<'static>>>,
    pub(super) held_reads: VecDeque<HeldRead>,
    pub(super) capture: Option<Capture>,
    /// The keyspace is being replaced: it is neither the old one nor the new.
    pub(super) replacing: bool,
    pub(super) spans: Vec<Span>,
    /// Stands in where the log holds what this version cannot run: the node must stop.
    pub(super) fault: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    part: usize,
    item: usize,
    /// Bytes into the part's commands, and into its reads.
    command: usize,
    read: usize,
    /// Commands before this one in the delivery; reads counted, and without.
    ordinal: u32,
    writes: u32,
    /// The command at the cursor ran here already and waits for the other shards.
    pub(super) ran: bool,
}

/// What became of a command.
#[derive(PartialEq, Eq)]
pub(super) enum Step {
    Done,
    /// It waits for another shard.
    Stalled,
}

impl Shard {
    /// Shard `id` of `shards`, empty; `seed` fixes the order of scans.
    pub fn new(id: usize, shards: usize, seed: u64) -> Self {
        Shard {
            id,
            shards,
            keyspace: Keyspace::new(seed),
            stream: VecDeque::new(),
            cursor: Cursor::default(),
            applied: 0,
            lent: HashSet::new(),
            held: None,
            loans: HashMap::new(),
            shares: HashMap::new(),
            held_reads: VecDeque::new(),
            capture: None,
            replacing: false,
            spans: Vec::new(),
            fault: None,
        }
    }

    pub fn id(&self) -> usize {
        self.id
    }

    pub fn shards(&self) -> usize {
        self.shards
    }

    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    /// The keyspace, for recovery and checkpoints only: nothing but deliveries changes what it
    /// holds.
    pub fn keyspace_mut(&mut self) -> &mut Keyspace {
        &mut self.keyspace
    }

    /// Log index up to which everything has run here.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Why the shard cannot go on, if it cannot.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Deliveries that have not run to their end.
    pub fn backlog(&self) -> usize {
        self.stream.len()
    }

    /// Whether reads may run at once, whatever their keys.
    #[inline]
    pub fn is_free(&self) -> bool {
        self.lent.is_empty() && !self.is_held()
    }

    /// Whether all keys are held: a command that every shard runs has run here, and not
    /// everywhere; or everything is lent, or being replaced.
    #[inline]
    fn is_held(&self) -> bool {
        self.held.is_some() || self.cursor.ran || self.replacing
    }

    /// Takes a delivery; it runs with [`Shard::run`].
    pub fn deliver(&mut self, delivery: Arc<Delivery>) {
        self.stream.push_back(delivery);
    }

    /// Runs deliveries until all are through or one waits for another shard.
    pub fn run(&mut self, host: &mut impl Host) {
        while let Some(delivery) = self.stream.front().cloned() {
            if self.held.is_some() || self.fault.is_some() || self.is_capture_behind() {
                return;
            }
            if delivery.capture.is_some() && !self.begin_capture(&delivery) {
                return;
            }
            if delivery.replace.is_some() {
                // It goes on, to its end, with `replace_turn`.
                return self.begin_replace();
            }
            if !self.run_delivery(&delivery, host) {
                return;
            }
            if let Some(slice) = delivery.digest
                && !self.tell_digest(delivery.index, slice, host)
            {
                return;
            }
            self.end_delivery();
        }
    }

    /// The first delivery of the stream has run.
    pub(super) fn end_delivery(&mut self) {
        if let Some(delivery) = self.stream.pop_front() {
            self.applied = self.applied.max(delivery.index);
        }
        self.cursor = Cursor::default();
    }

    /// Tells the digest of a part of the keyspace. False while keys are lent: they belong to it.
    fn tell_digest(&mut self, index: u64, slice: OrderSlice, host: &mut impl Host) -> bool {
        if !self.lent.is_empty() {
            return false;
        }
        let begun = Instant::now();
        let digest = self.keyspace.digest_of(slice);
        host.digested(index, slice, digest, begun.elapsed().as_micros() as u64);
        true
    }

    /// Answers a read at once, or holds it until the keys it asks for are home.
    pub fn read(
        &mut self,
        origin: usize,
        item: Item,
        bytes: &[u8],
        now_ms: u64,
        host: &mut impl Host,
    ) {
        if !self.is_free() && self.is_lent(bytes) {
            self.held_reads.push_back(HeldRead {
                origin,
                item,
                bytes: bytes.to_vec(),
            });
            return;
        }
        let Some((head, spec)) = self.decode(bytes) else {
            return;
        };
        let command = Command {
            spec,
            head,
            bytes,
            item: Some(&item),
            origin,
            id: (0, 0),
            now_ms,
            seed: now_ms,
            version: 0,
        };
        self.execute(&command, host);
    }

    /// The context of a read on this shard, for the core that holds connection and shard alike.
    #[inline]
    pub fn context(&mut self, db: usize, now_ms: u64, resp3: bool) -> Context<'_> {
        Context {
            keyspace: &mut self.keyspace,
            db,
            now_ms,
            version: 0,
            rng: Rng::new(now_ms),
            shard: self.id,
            shards: self.shards,
            resp3,
        }
    }

    /// Takes a message of another shard, then goes on with what it set free.
    pub fn receive(&mut self, message: ShardMessage, now_ms: u64, host: &mut impl Host) {
        match message {
            ShardMessage::Lend { id, from, loan } => {
                self.loans.entry(id).or_default().push((from, loan));
            }
            ShardMessage::Home { id, loan } => self.take_home(id, loan),
            ShardMessage::Share { id, reply } => self.shares.entry(id).or_default().push(reply),
            ShardMessage::Release { id } => {
                if self.held == Some(id) {
                    self.held = None;
                }
            }
        }
        self.go_on(now_ms, host);
    }

    /// Runs deliveries, and the reads that were held, as far as they may now.
    pub(super) fn go_on(&mut self, now_ms: u64, host: &mut impl Host) {
        self.run(host);
        for _ in 0..self.held_reads.len() {
            if let Some(held) = self.held_reads.pop_front() {
                self.read(held.origin, held.item, &held.bytes, now_ms, host);
            }
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Option<(mutation::Head, &'static Spec)> {
        let found = mutation::head(bytes).and_then(|head| Some((head, by_id(head.id)?)));
        if found.is_none() {
            self.fault = Some(
                "the log holds a command that this version does not know: run the version that \
                 wrote it, or a later one"
                    .to_string(),
            );
        }
        found
    }

    /// Runs what is left of `delivery`. False when it waits for another shard.
    fn run_delivery(&mut self, delivery: &Delivery, host: &mut impl Host) -> bool {
        while let Some(part) = delivery.parts.get(self.cursor.part) {
            let commands = &delivery.payload[part.commands.clone()];
            let local = part.local.as_deref();
            while let Some((item, bytes)) = self.next(commands, local) {
                if (self.cursor.ordinal as usize).is_multiple_of(AHEAD) {
                    self.prefetch(&commands[self.cursor.command..]);
                }
                let Some((head, spec)) = self.decode(bytes) else {
                    return false;
                };
                let command = Command {
                    spec,
                    head,
                    bytes,
                    item,
                    origin: local.map_or(0, |local| local.origin),
                    id: (delivery.id, self.cursor.ordinal),
                    now_ms: delivery.now_ms,
                    seed: delivery.seed ^ u64::from(self.cursor.writes) << 32,
                    version: delivery.index << 24 | u64::from(self.cursor.writes & 0xFF_FFFF),
                };
                if self.step(&command, host) == Step::Stalled {
                    return false;
                }
                self.advance(head.length, item.is_some_and(|item| item.read));
                if self.held.is_some() {
                    return false;
                }
            }
            self.cursor = Cursor {
                part: self.cursor.part + 1,
                ordinal: self.cursor.ordinal,
                writes: self.cursor.writes,
                ..Cursor::default()
            };
        }
        true
    }

    /// Asks for the memory that the next few commands will need: entries, then values.
    fn prefetch(&self, mut commands: &[u8]) {
        let mut asked = [None; AHEAD];
        for place in &mut asked {
            let Some(head) = mutation::head(commands) else {
                break;
            };
            let own = self.shards == 1
                || (head.slot != mutation::MANY && shard_of(head.slot, self.shards) == self.id);
            if let Some(key) = mutation::first_argument(commands)
                && own
                && (head.db as usize) < DATABASES
            {
                *place = Some((
                    head.db,
                    self.keyspace.db(head.db as usize).prefetch_entry(key),
                ));
            }
            commands = &commands[head.length..];
        }
        for (db, hash) in asked.into_iter().flatten() {
            self.keyspace.db(db as usize).prefetch_value(hash);
        }
    }

    /// The command at the cursor.
    #[inline]
    fn next<'d>(
        &self,
        commands: &'d [u8],
        local: Option<&'d Local>,
    ) -> Option<(Option<&'d Item>, &'d [u8])> {
        let cursor = &self.cursor;
        match local {
            Some(local) => {
                let item = local.items.get(cursor.item)?;
                let bytes = if item.read {
                    &local.reads[cursor.read..]
                } else {
                    &commands[cursor.command..]
                };
                Some((Some(item), bytes))
            }
            None => (cursor.command < commands.len()).then(|| (None, &commands[cursor.command..])),
        }
    }

    #[inline]
    fn advance(&mut self, length: usize, read: bool) {
        let cursor = &mut self.cursor;
        cursor.item += 1;
        cursor.ordinal += 1;
        cursor.ran = false;
        if read {
            cursor.read += length;
        } else {
            cursor.command += length;
            cursor.writes += 1;
        }
    }

    #[inline]
    fn step(&mut self, command: &Command<'_>, host: &mut impl Host) -> Step {
        if self.shards > 1 {
            if command.head.slot == mutation::MANY {
                return self.step_over_shards(command, host);
            }
            if shard_of(command.head.slot, self.shards) != self.id {
                return Step::Done;
            }
            if !self.lent.is_empty() && self.is_lent(command.bytes) {
                return Step::Stalled;
            }
        }
        self.execute(command, host);
        Step::Done
    }

    /// Whether the command touches a key that is lent, or everything is held.
    fn is_lent(&mut self, bytes: &[u8]) -> bool {
        if self.is_held() {
            return true;
        }
        let Some((head, spec)) = self.decode(bytes) else {
            return false;
        };
        let mut spans = std::mem::take(&mut self.spans);
        let lent = mutation::args(bytes, head, &mut spans).is_some_and(|args| {
            let mut lent = false;
            let all = each_place(spec, head.db, args, &mut |db, key| {
                lent |= self.lent.contains(&(db, key.to_vec()));
            });
            lent || all
        });
        self.spans = spans;
        lent
    }
}

//! The shard's stream: deliveries run in order, stopping where a loan is awaited.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crate::command::{Combine, Context, Rng, Route, Spec, by_id, each_place, mutation};
use crate::keyspace::{AHEAD, Keyspace};
use crate::limits::DATABASES;
use crate::metrics::Timing;
use crate::resp::{Args, Error, Protocol, Reply, Span, encode};
use crate::slot::{shard_of, slot_of};

use super::capture::Capture;
use super::delivery::{Delivery, Item, Local};
use super::loan::{Lent, Loan, LoanId, ShardMessage};
use super::whole::{combined, transaction_over};

/// Where replies and messages go.
pub trait Host {
    /// Answers `item` of a batch that core `origin` proposed: `write` appends the encoded reply.
    fn reply(&mut self, origin: usize, item: &Item, write: &mut dyn FnMut(&mut Vec<u8>));

    /// Sends to another shard.
    fn send(&mut self, shard: usize, message: ShardMessage);

    /// Begins to time a command.
    fn time(&mut self, spec: &Spec) -> Timing;

    /// Counts a command that ran, with what it answered.
    fn ran(
        &mut self,
        spec: &Spec,
        args: Args<'_>,
        item: Option<&Item>,
        timing: Timing,
        reply: &Reply<'_>,
    );
}

/// A key and its database.
type NamedKey = (u8, Vec<u8>);

/// A read that waits until a key is home.
struct HeldRead {
    origin: usize,
    item: Item,
    bytes: Vec<u8>,
}

/// One shard.
pub struct Shard {
    id: usize,
    shards: usize,
    pub(super) keyspace: Keyspace,
    stream: VecDeque<Arc<Delivery>>,
    /// Where the first delivery of the stream stopped.
    cursor: Cursor,
    /// Log index up to which everything has run.
    applied: u64,
    pub(super) lent: HashSet<(u8, Vec<u8>)>,
    /// Held as a whole until released: everything is lent, or a command runs on every shard.
    held: Option<LoanId>,
    /// Loans that came, by command, with the shard they are from.
    loans: HashMap<LoanId, Vec<(usize, Loan)>>,
    shares: HashMap<LoanId, Vec<Reply<'static>>>,
    held_reads: VecDeque<HeldRead>,
    pub(super) capture: Option<Capture>,
    spans: Vec<Span>,
    /// Stands in where the log holds what this version cannot run: the node must stop.
    fault: Option<String>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Cursor {
    part: usize,
    item: usize,
    /// Bytes into the part's commands, and into its reads.
    command: usize,
    read: usize,
    /// Commands before this one in the delivery; reads counted, and without.
    ordinal: u32,
    writes: u32,
    /// The command at the cursor ran here already and waits for the other shards.
    ran: bool,
}

/// What became of a command.
#[derive(PartialEq, Eq)]
enum Step {
    Done,
    /// It waits for another shard.
    Stalled,
}

/// One command at a position.
pub(super) struct Command<'d> {
    pub spec: &'static Spec,
    head: mutation::Head,
    bytes: &'d [u8],
    item: Option<&'d Item>,
    origin: usize,
    id: LoanId,
    pub now_ms: u64,
    pub seed: u64,
    pub version: u64,
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
    /// everywhere; or everything is lent.
    #[inline]
    fn is_held(&self) -> bool {
        self.held.is_some() || self.cursor.ran
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
            if !self.run_delivery(&delivery, host) {
                return;
            }
            self.applied = self.applied.max(delivery.index);
            self.cursor = Cursor::default();
            self.stream.pop_front();
        }
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

    /// Runs a command on this keyspace and answers it.
    #[inline]
    fn execute(&mut self, command: &Command<'_>, host: &mut impl Host) {
        let mut spans = std::mem::take(&mut self.spans);
        let Some(args) = mutation::args(command.bytes, command.head, &mut spans) else {
            self.fault = Some("the log holds a command whose arguments are cut".to_string());
            return;
        };
        let protocol = command.item.map_or(Protocol::Resp2, |item| item.protocol);
        let place = (self.id, self.shards);
        let timing = host.time(command.spec);
        run_on(
            &mut self.keyspace,
            place,
            command,
            args,
            protocol,
            |reply| {
                answer(command, args, timing, &reply, host);
            },
        );
        self.spans = spans;
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

    /// A command without a slot of its own: finds out which shards take part.
    fn step_over_shards(&mut self, command: &Command<'_>, host: &mut impl Host) -> Step {
        let mut spans = Vec::new();
        let Some(args) = mutation::args(command.bytes, command.head, &mut spans) else {
            self.fault = Some("the log holds a command whose arguments are cut".to_string());
            return Step::Stalled;
        };
        if let Route::ReadAll(combine) | Route::WriteAll(combine) = command.spec.route {
            return self.step_everywhere(command, args, combine, host);
        }
        let mut places: Vec<(usize, u8, Vec<u8>)> = Vec::new();
        let all = each_place(command.spec, command.head.db, args, &mut |db, key| {
            places.push((shard_of(slot_of(key), self.shards), db, key.to_vec()));
        });
        let coordinator = places.first().map_or(0, |place| place.0);
        let mut involved: Vec<usize> = if all {
            (0..self.shards).collect()
        } else {
            places
                .iter()
                .map(|place| place.0)
                .chain([coordinator])
                .collect()
        };
        involved.sort_unstable();
        involved.dedup();
        if !involved.contains(&self.id) {
            return Step::Done;
        }
        let own = places.iter().filter(|place| place.0 == self.id);
        if own
            .clone()
            .any(|(_, db, key)| self.lent.contains(&(*db, key.clone())))
            || (all && !self.lent.is_empty())
        {
            return Step::Stalled;
        }
        if self.id == coordinator {
            return self.coordinate(command, args, involved.len() - 1, all, host);
        }
        let loan = if all {
            self.held = Some(command.id);
            let empty = Keyspace::new(0);
            Loan::Whole(Box::new(std::mem::replace(&mut self.keyspace, empty)))
        } else {
            let mut lent: Vec<Lent> = Vec::new();
            for (_, db, key) in own {
                if self.lent.insert((*db, key.clone())) {
                    lent.push(Lent::take(&mut self.keyspace, *db, key));
                }
            }
            Loan::Keys(lent)
        };
        host.send(
            coordinator,
            ShardMessage::Lend {
                id: command.id,
                from: self.id,
                loan,
            },
        );
        Step::Done
    }

    /// Runs a command on the keys of several shards once all were lent.
    fn coordinate(
        &mut self,
        command: &Command<'_>,
        args: Args<'_>,
        lenders: usize,
        all: bool,
        host: &mut impl Host,
    ) -> Step {
        if self.loans.get(&command.id).map_or(0, Vec::len) < lenders {
            return Step::Stalled;
        }
        let loans = self.loans.remove(&command.id).unwrap_or_default();
        if all {
            self.coordinate_whole(command, args, loans, host);
            return Step::Done;
        }
        let mut borrowed: Vec<(usize, Vec<NamedKey>)> = Vec::new();
        for (from, loan) in loans {
            let Loan::Keys(lent) = loan else { continue };
            let mut names = Vec::with_capacity(lent.len());
            for one in lent {
                names.push((one.db, one.key.clone()));
                one.put(&mut self.keyspace);
            }
            borrowed.push((from, names));
        }
        self.execute(command, host);
        for (from, names) in borrowed {
            let lent = names
                .into_iter()
                .map(|(db, key)| Lent::take(&mut self.keyspace, db, &key))
                .collect();
            host.send(
                from,
                ShardMessage::Home {
                    id: command.id,
                    loan: Loan::Keys(lent),
                },
            );
        }
        Step::Done
    }

    /// Runs a transaction that looks at all keys: every keyspace is here.
    fn coordinate_whole(
        &mut self,
        command: &Command<'_>,
        args: Args<'_>,
        loans: Vec<(usize, Loan)>,
        host: &mut impl Host,
    ) {
        let mut keyspaces: Vec<Option<Keyspace>> = (0..self.shards).map(|_| None).collect();
        for (from, loan) in loans {
            if let Loan::Whole(keyspace) = loan {
                keyspaces[from] = Some(*keyspace);
            }
        }
        keyspaces[self.id] = Some(std::mem::replace(&mut self.keyspace, Keyspace::new(0)));
        let mut keyspaces: Vec<Keyspace> = keyspaces
            .into_iter()
            .map(|one| one.unwrap_or_else(|| Keyspace::new(0)))
            .collect();
        let protocol = command.item.map_or(Protocol::Resp2, |item| item.protocol);
        let timing = host.time(command.spec);
        let reply = transaction_over(&mut keyspaces, command, args, protocol);
        answer(command, args, timing, &reply, host);
        for (shard, keyspace) in keyspaces.into_iter().enumerate() {
            if shard == self.id {
                self.keyspace = keyspace;
            } else {
                let loan = Loan::Whole(Box::new(keyspace));
                host.send(
                    shard,
                    ShardMessage::Home {
                        id: command.id,
                        loan,
                    },
                );
            }
        }
    }

    fn take_home(&mut self, id: LoanId, loan: Loan) {
        match loan {
            Loan::Keys(lent) => {
                for one in lent {
                    self.lent.remove(&(one.db, one.key.clone()));
                    one.put(&mut self.keyspace);
                }
            }
            Loan::Whole(keyspace) => {
                self.keyspace = *keyspace;
                if self.held == Some(id) {
                    self.held = None;
                }
            }
        }
    }

    /// A command that every shard runs at this position. The coordinator, shard 0 (or the one that
    /// a cursor names), combines the replies. Every shard holds all else from its own part until
    /// the last one's: a shard ahead of another would acknowledge writes that the command has not
    /// seen while it sees what the other has not shown to anybody.
    fn step_everywhere(
        &mut self,
        command: &Command<'_>,
        args: Args<'_>,
        combine: Combine,
        host: &mut impl Host,
    ) -> Step {
        let cursor_shard = |args: Args<'_>| {
            let cursor = args.at(1).and_then(crate::resp::parse_int).unwrap_or(0);
            crate::command::cursor_shard(cursor as u64, self.shards)
        };
        if combine == Combine::Cursor {
            if cursor_shard(args) == self.id {
                if !self.lent.is_empty() {
                    return Step::Stalled;
                }
                self.execute(command, host);
            }
            return Step::Done;
        }
        // A lent key would be missed, or would come home after a flush.
        if !self.lent.is_empty() {
            return Step::Stalled;
        }
        if self.id != 0 {
            let reply = self.own_share(command, args);
            host.send(
                0,
                ShardMessage::Share {
                    id: command.id,
                    reply,
                },
            );
            self.held = Some(command.id);
            return Step::Done;
        }
        if !self.cursor.ran {
            let reply = self.own_share(command, args);
            self.shares.entry(command.id).or_default().push(reply);
            self.cursor.ran = true;
        }
        if self.shares.get(&command.id).map_or(0, Vec::len) < self.shards {
            return Step::Stalled;
        }
        let shares = self.shares.remove(&command.id).unwrap_or_default();
        let timing = host.time(command.spec);
        let reply = combined(combine, shares, &mut Rng::new(command.seed));
        answer(command, args, timing, &reply, host);
        for shard in 1..self.shards {
            host.send(shard, ShardMessage::Release { id: command.id });
        }
        Step::Done
    }

    /// This shard's part of a command that every shard runs.
    fn own_share(&mut self, command: &Command<'_>, args: Args<'_>) -> Reply<'static> {
        let protocol = command.item.map_or(Protocol::Resp2, |item| item.protocol);
        let place = (self.id, self.shards);
        run_on(
            &mut self.keyspace,
            place,
            command,
            args,
            protocol,
            |reply| reply.into_owned(),
        )
    }
}

/// Counts a command that ran and sends its reply to whoever waits for it.
#[inline]
fn answer(
    command: &Command<'_>,
    args: Args<'_>,
    timing: Timing,
    reply: &Reply<'_>,
    host: &mut impl Host,
) {
    host.ran(command.spec, args, command.item, timing, reply);
    if let Some(item) = command.item {
        host.reply(command.origin, item, &mut |out| {
            encode(reply, item.protocol, out)
        });
    }
}

/// Runs a command's handler on one keyspace, shard `place.0` of `place.1`.
#[inline]
fn run_on<R>(
    keyspace: &mut Keyspace,
    place: (usize, usize),
    command: &Command<'_>,
    args: Args<'_>,
    protocol: Protocol,
    use_reply: impl FnOnce(Reply<'_>) -> R,
) -> R {
    let mut context = Context {
        keyspace,
        db: command.head.db as usize,
        now_ms: command.now_ms,
        version: command.version,
        rng: Rng::new(command.seed),
        shard: place.0,
        shards: place.1,
        resp3: protocol == Protocol::Resp3,
    };
    use_reply(match command.spec.handler {
        Some(handler) => handler(&mut context, args).unwrap_or_else(Reply::Error),
        None => Reply::Error(Error::fixed("ERR this command does not act on keys")),
    })
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;

//! Shards that work together in random order come to what one shard alone comes to.
//!
//! A seed makes a log: deliveries of random commands, transactions and reads. One shard runs it for
//! reference. Then several shards get the same deliveries, each at its own pace, and the messages
//! between them arrive in random order (of a pair of shards, in the order sent), while readers ask
//! the shards directly. Replies and digests must be the same, everything must come to its end, and
//! what readers see must fit one order of events in real time.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use super::*;
use crate::command::golden::grammar::{COLLECTIONS, STRINGS, draw};
use crate::command::{EXEC, Keys, VERSION, by_name, write_watched};
use crate::session::Watched;
use crate::shard::Part;
use crate::value::Digest;

const NOW_MS: u64 = 1_700_000_000_000;

/// Numbers from here on are direct reads; below, commands of the log.
const DIRECT: u64 = 1 << 40;

/// Keys on many shards that are only ever written together, in a database of their own.
const GROUP: usize = 8;
const GROUP_DB: u8 = 5;

/// The version of a key that is to be watched, until it is known.
const UNKNOWN: u64 = u64::MAX;

/// Keys that are made one after the other, each by a command of its own, in a database of theirs.
const ROW_DB: u8 = 6;

/// Random ones for a sharper look at lending, and those that draw.
const MORE: &[&str] = &[
    "SPOP k [n]",
    "SRANDMEMBER k n",
    "HRANDFIELD k n",
    "ZRANDMEMBER k n",
    "MGET k k k k",
    "MSET k v k v k v",
    "RENAME k k",
    "COPY k k DB b REPLACE",
    "MOVE k b",
    "DEL k k k",
    "SINTERSTORE k k k",
    "ZUNIONSTORE k 2 k k",
    "SADD k m m m m m",
];

/// What is done with a command's reply.
#[derive(Clone, Debug, PartialEq)]
enum Check {
    /// The same bytes on any number of shards.
    Same,
    /// The same elements in any order.
    Elements,
    /// A transaction, with the checks of its commands.
    Each(Vec<Check>),
    /// One of so many parts of what the next [`Check::Whole`] answers.
    Scan,
    /// One of the keys that the next [`Check::Whole`] answers.
    Key,
    Whole,
    /// The count of keys made so far.
    RowLength,
}

struct Script {
    shards: usize,
    deliveries: Vec<Arc<Delivery>>,
    checks: BTreeMap<u64, Check>,
    /// Which command made the row's key so many.
    row: Vec<u64>,
}

/// Replies by the number of their command, with the time they came.
#[derive(Default)]
struct Replies(HashMap<u64, (usize, Vec<u8>)>);

/// Where one shard's replies and messages go.
struct Desk<'d> {
    shard: usize,
    time: usize,
    replies: &'d mut Replies,
    /// Messages under way, by sender and receiver.
    wires: &'d mut [Vec<VecDeque<ShardMessage>>],
}

impl Host for Desk<'_> {
    fn reply(&mut self, _origin: usize, item: &Item, write: &mut dyn FnMut(&mut Vec<u8>)) {
        let mut bytes = Vec::new();
        write(&mut bytes);
        let before = self.replies.0.insert(item.client, (self.time, bytes));
        assert!(before.is_none(), "{} answered twice", item.client);
    }

    fn send(&mut self, shard: usize, message: ShardMessage) {
        assert_ne!(shard, self.shard, "a shard tells itself nothing");
        self.wires[self.shard][shard].push_back(message);
    }

    fn time(&mut self, _spec: &Spec) -> Timing {
        Timing::begin(true, &mut 0)
    }

    fn ran(
        &mut self,
        _spec: &Spec,
        _args: Args<'_>,
        _item: Option<&Item>,
        _timing: Timing,
        _reply: &Reply<'_>,
    ) {
    }
}

fn with_args<R>(words: &[String], run: impl FnOnce(Args<'_>) -> R) -> R {
    let buffer = words.concat();
    let mut end = 0;
    let span = |word: &String| {
        let start = end;
        end += word.len() as u32;
        Span { start, end }
    };
    let spans: Vec<Span> = words.iter().map(span).collect();
    run(Args::new(buffer.as_bytes(), &spans))
}

/// The slot that a node of several shards writes beside a command, as `node::dispatch` does.
fn slot_in_log(spec: &Spec, args: Args<'_>) -> u16 {
    if matches!(spec.route, Route::ReadAll(_) | Route::WriteAll(_)) {
        return mutation::MANY;
    }
    if matches!(spec.keys, Keys::None) {
        return 0;
    }
    let mut slots = Vec::new();
    each_place(spec, 0, args, &mut |_, key| slots.push(slot_of(key)));
    slots.dedup();
    match slots[..] {
        [slot] => slot,
        [] => 0,
        _ => mutation::MANY,
    }
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_string).collect()
}

fn group_key(n: usize) -> String {
    format!("g{n}")
}

/// Makes a script, running the commands on one shard as it goes: what a transaction watches is
/// known from there.
struct Author {
    rng: Rng,
    script: Script,
    reference: Shard,
    replies: Replies,
    index: u64,
    /// Commands so far.
    commands: u64,
    /// Written by a node with one shard, which notes no slots.
    plain: bool,
    /// FLUSHALL and the like may occur; the row may not then.
    flushing: bool,
    /// Newest state of the group: even, a value; odd, none.
    epoch: u64,
    watched: Vec<(u64, Watched)>,
    parts: Vec<Part>,
    payload: Vec<u8>,
    local: Local,
}

impl Author {
    fn new(seed: u64, shards: usize) -> Author {
        let mut rng = Rng::new(seed);
        Author {
            plain: rng.below(4) == 0,
            flushing: rng.below(2) == 0,
            rng,
            script: Script {
                shards,
                deliveries: Vec::new(),
                checks: BTreeMap::new(),
                row: Vec::new(),
            },
            reference: Shard::new(0, 1, 1),
            replies: Replies::default(),
            index: 0,
            commands: 0,
            epoch: 1,
            watched: Vec::new(),
            parts: Vec::new(),
            payload: Vec::new(),
            local: Local::default(),
        }
    }

    fn script(mut self) -> (Script, Replies, Digest) {
        for _ in 0..10 + self.rng.below(10) {
            for _ in 0..1 + self.rng.below(3) {
                let start = self.payload.len();
                for _ in 0..1 + self.rng.below(6) {
                    self.item();
                }
                self.end_part(start..self.payload.len());
            }
            self.end_delivery();
        }
        let digest = self.reference.keyspace.digest();
        (self.script, self.replies, digest)
    }

    fn end_part(&mut self, commands: Range<usize>) {
        let mut local = std::mem::take(&mut self.local);
        local.origin = self.parts.len();
        // What another node proposed is answered there.
        let foreign = local.reads.is_empty() && self.rng.below(8) == 0;
        if foreign {
            for item in &local.items {
                self.script.checks.remove(&item.client);
            }
        }
        let local = (!foreign).then(|| Arc::new(local));
        self.parts.push(Part { commands, local });
    }

    fn end_delivery(&mut self) {
        self.index += !self.payload.is_empty() as u64;
        let id = self.script.deliveries.len() as u64 + 1;
        let delivery = Arc::new(Delivery {
            id,
            index: self.index,
            now_ms: NOW_MS + id * 1000,
            seed: self.rng.number(),
            payload: std::mem::take(&mut self.payload).into(),
            parts: std::mem::take(&mut self.parts),
            capture: None,
        });
        self.script.deliveries.push(delivery.clone());
        self.reference.deliver(delivery);
        let mut desk = Desk {
            shard: 0,
            time: 0,
            replies: &mut self.replies,
            wires: &mut [],
        };
        self.reference.run(&mut desk);
        assert_eq!(self.reference.backlog(), 0);
        for (number, watched) in &mut self.watched {
            if let Some((_, version)) = self.replies.0.get(number) {
                let text = std::str::from_utf8(version).unwrap();
                watched.version = text.trim_matches([':', '\r', '\n']).parse().unwrap();
            }
        }
    }

    /// One command or a few that belong together.
    fn item(&mut self) {
        match self.rng.below(20) {
            0..=2 => self.write_group(),
            3 if !self.flushing => self.row(),
            3 => self.flush(),
            4 => self.look_at_all(),
            5 => self.watch(),
            6..=8 => self.transaction(),
            9 => {
                let keys: Vec<String> = (0..GROUP).map(group_key).collect();
                self.push(GROUP_DB, &words(&format!("MGET {}", keys.join(" "))));
            }
            _ => {
                let db = self.rng.below(2) as u8;
                let words = self.draw();
                self.push(db, &words);
            }
        }
    }

    fn draw(&mut self) -> Vec<String> {
        loop {
            let commands = [STRINGS, COLLECTIONS, MORE][self.rng.below(3)];
            let words = draw(&mut self.rng, commands);
            let spec = by_name(words[0].to_lowercase().as_bytes()).unwrap();
            let flushes = spec.name == "swapdb" && !self.flushing;
            if spec.route != Route::Session && spec.accepts(words.len()) && !flushes {
                return words;
            }
        }
    }

    fn write_group(&mut self) {
        if self.rng.below(2) == 0 && self.epoch.is_multiple_of(2) {
            self.epoch += 1;
            self.push(GROUP_DB, &words("FLUSHDB"));
            return;
        }
        self.epoch += 2 - self.epoch % 2;
        let pairs: Vec<String> = (0..GROUP)
            .map(|n| format!("{} {}", group_key(n), self.epoch))
            .collect();
        self.push(GROUP_DB, &words(&format!("MSET {}", pairs.join(" "))));
    }

    fn flush(&mut self) {
        if self.rng.below(2) == 0 {
            self.push(0, &words("FLUSHDB"));
            return;
        }
        self.epoch |= 1;
        self.push(0, &words("FLUSHALL"));
    }

    fn row(&mut self) {
        if self.rng.below(3) == 0 {
            let number = self.push(ROW_DB, &words("DBSIZE"));
            self.script.checks.insert(number, Check::RowLength);
            return;
        }
        let name = format!("row{}", self.script.row.len());
        let number = self.push(ROW_DB, &words(&format!("SET {name} x")));
        self.script.row.push(number);
    }

    /// All keys, three times: by the shards' cursors, one at random, and by KEYS.
    fn look_at_all(&mut self) {
        let shards = self.script.shards;
        for shard in 0..shards {
            let cursor = shard << 7 | (shards - 1);
            let number = self.push(0, &words(&format!("SCAN {cursor} COUNT 1000")));
            self.script.checks.insert(number, Check::Scan);
        }
        let number = self.push(0, &words("RANDOMKEY"));
        self.script.checks.insert(number, Check::Key);
        let number = self.push(0, &words("KEYS *"));
        self.script.checks.insert(number, Check::Whole);
    }

    fn watch(&mut self) {
        let key = ["a", "b", "c", "ab", "abc"][self.rng.below(5)];
        let number = self.next_number();
        let watched = Watched {
            db: 0,
            version: UNKNOWN,
            key: key.into(),
        };
        mutation::write_slices(
            &mut self.local.reads,
            VERSION,
            slot_of(key.as_bytes()),
            0,
            &[key.as_bytes()],
        );
        self.note(number, true, Check::Same);
        self.watched.push((number, watched));
    }

    fn transaction(&mut self) {
        let db = self.rng.below(2) as u8;
        let mut writes = false;
        let mut checks = Vec::new();
        let mut queued = Vec::new();
        for _ in 0..1 + self.rng.below(5) {
            let words = match self.rng.below(12) {
                0 => words("DBSIZE"),
                1 => words("KEYS *"),
                2 if self.flushing => words("FLUSHDB"),
                _ => self.draw(),
            };
            let spec = by_name(words[0].to_lowercase().as_bytes()).unwrap();
            writes |= matches!(spec.route, Route::Write | Route::WriteAll(_));
            checks.push(check_of(spec));
            let mut bytes = Vec::new();
            with_args(&words, |args| {
                mutation::write(&mut bytes, spec.id, mutation::MANY, db, args);
            });
            queued.push(bytes);
        }
        // Known only once the delivery of the WATCH has run.
        let known = |(_, watched): &&(u64, Watched)| watched.version != UNKNOWN;
        let watched: Vec<Watched> = match self.rng.below(3) {
            0 => self
                .watched
                .iter()
                .rev()
                .filter(known)
                .take(2)
                .map(|one| one.1.clone())
                .collect(),
            _ => Vec::new(),
        };
        let list = write_watched(&watched);
        let mut arguments: Vec<&[u8]> = vec![&list];
        arguments.extend(queued.iter().map(|bytes| &bytes[..]));
        let number = self.next_number();
        let out = if writes {
            &mut self.payload
        } else {
            &mut self.local.reads
        };
        mutation::write_slices(out, EXEC, mutation::MANY, db, &arguments);
        self.note(number, !writes, Check::Each(checks));
    }

    fn next_number(&mut self) -> u64 {
        self.commands += 1;
        self.commands
    }

    fn push(&mut self, db: u8, words: &[String]) -> u64 {
        let number = self.next_number();
        let spec = by_name(words[0].to_lowercase().as_bytes()).unwrap();
        let read = !matches!(spec.route, Route::Write | Route::WriteAll(_));
        let plain = self.plain && !read;
        let out = if read {
            &mut self.local.reads
        } else {
            &mut self.payload
        };
        with_args(words, |args| {
            let slot = match plain {
                true => mutation::MANY,
                false => slot_in_log(spec, args),
            };
            mutation::write(out, spec.id, slot, db, args);
        });
        self.note(number, read, check_of(spec));
        number
    }

    fn note(&mut self, number: u64, read: bool, check: Check) {
        self.script.checks.insert(number, check);
        self.local.items.push(Item {
            client: number,
            seq: 0,
            core: 0,
            read,
            ordered: true,
            protocol: match self.rng.below(2) {
                0 => Protocol::Resp2,
                _ => Protocol::Resp3,
            },
        });
    }
}

fn check_of(spec: &Spec) -> Check {
    match spec.name {
        "keys" => Check::Elements,
        _ => Check::Same,
    }
}

/// A reader that asks for one key after the other, the next when it knows the last.
#[derive(Default)]
struct Reader {
    /// Number of the read under way, and what it asks for.
    asked: Option<(u64, usize)>,
    /// No older state of the group may be seen from here on.
    epoch: u64,
}

/// A look for a key of the row: which one, when it was asked for, whether it was there.
struct Look {
    number: u64,
    place: usize,
    asked: usize,
}

/// Several shards at work.
struct Node {
    rng: Rng,
    shards: Vec<Shard>,
    wires: Vec<Vec<VecDeque<ShardMessage>>>,
    replies: Replies,
    /// Next delivery of each shard.
    next: Vec<usize>,
    time: usize,
    readers: Vec<Reader>,
    looks: Vec<Look>,
    direct: u64,
}

impl Node {
    fn new(seed: u64, shards: usize) -> Node {
        Node {
            rng: Rng::new(!seed),
            shards: (0..shards).map(|id| Shard::new(id, shards, 1)).collect(),
            wires: (0..shards)
                .map(|_| (0..shards).map(|_| VecDeque::new()).collect())
                .collect(),
            replies: Replies::default(),
            next: vec![0; shards],
            time: 0,
            readers: (0..3).map(|_| Reader::default()).collect(),
            looks: Vec::new(),
            direct: DIRECT,
        }
    }

    fn on<R>(&mut self, shard: usize, act: impl FnOnce(&mut Shard, &mut Desk<'_>) -> R) -> R {
        self.time += 1;
        let mut desk = Desk {
            shard,
            time: self.time,
            replies: &mut self.replies,
            wires: &mut self.wires,
        };
        act(&mut self.shards[shard], &mut desk)
    }

    /// Lets things happen one by one until nothing can any more.
    fn run(&mut self, script: &Script) {
        let shards = self.shards.len();
        // Some shards are slow.
        let pace: Vec<usize> = (0..shards).map(|_| 1 + self.rng.below(6)).collect();
        loop {
            let behind: Vec<usize> = (0..shards)
                .filter(|shard| self.next[*shard] < script.deliveries.len())
                .collect();
            let mail: Vec<(usize, usize)> = (0..shards)
                .flat_map(|from| (0..shards).map(move |to| (from, to)))
                .filter(|(from, to)| !self.wires[*from][*to].is_empty())
                .collect();
            if behind.is_empty() && mail.is_empty() {
                break;
            }
            match self.rng.below(4) {
                0 => {
                    for _ in 0..4 {
                        self.ask(script);
                        self.hear();
                    }
                }
                1 if !behind.is_empty() => {
                    let shard = behind[self.rng.below(behind.len())];
                    if self.rng.below(pace[shard]) == 0 {
                        let delivery = script.deliveries[self.next[shard]].clone();
                        self.next[shard] += 1;
                        self.on(shard, |shard, desk| {
                            shard.deliver(delivery);
                            shard.run(desk);
                        });
                    }
                }
                2.. if !mail.is_empty() => {
                    let (from, to) = mail[self.rng.below(mail.len())];
                    let message = self.wires[from][to].pop_front().unwrap();
                    self.on(to, |shard, desk| shard.receive(message, NOW_MS, desk));
                }
                _ => {}
            }
            self.hear();
        }
    }

    /// Sends a direct read.
    fn ask(&mut self, script: &Script) {
        self.direct += 1;
        let number = self.direct;
        if !script.row.is_empty() && self.rng.below(2) == 0 {
            let place = self.rng.below(script.row.len());
            let asked = self.time;
            self.looks.push(Look {
                number,
                place,
                asked,
            });
            return self.read(number, ROW_DB, "exists", &format!("row{place}"));
        }
        let reader = self.rng.below(self.readers.len());
        if self.readers[reader].asked.is_none() {
            let key = self.rng.below(GROUP);
            self.readers[reader].asked = Some((number, key));
            self.read(number, GROUP_DB, "get", &group_key(key));
        }
    }

    fn read(&mut self, number: u64, db: u8, name: &str, key: &str) {
        let slot = slot_of(key.as_bytes());
        let mut bytes = Vec::new();
        let id = by_name(name.as_bytes()).unwrap().id;
        mutation::write_slices(&mut bytes, id, slot, db, &[key.as_bytes()]);
        let item = Item {
            client: number,
            seq: 0,
            core: 0,
            read: true,
            ordered: false,
            protocol: Protocol::Resp2,
        };
        let shard = shard_of(slot, self.shards.len());
        self.on(shard, |shard, desk| {
            shard.read(0, item, &bytes, NOW_MS, desk)
        });
    }

    /// What readers learn must not be older than what they know.
    fn hear(&mut self) {
        for reader in &mut self.readers {
            let Some((number, key)) = reader.asked else {
                continue;
            };
            let Some((_, bytes)) = self.replies.0.get(&number) else {
                continue;
            };
            reader.asked = None;
            let seen = if bytes == b"$-1\r\n" {
                // Gone, at some time from what is known on.
                reader.epoch | 1
            } else {
                let text = String::from_utf8_lossy(bytes);
                text.split("\r\n").nth(1).unwrap().parse().unwrap()
            };
            let known = reader.epoch;
            assert!(
                seen >= known,
                "key {key} of the group: {seen} after {known}"
            );
            reader.epoch = seen;
        }
    }

    /// Everything must have come to its end.
    fn check_end(&self, script: &Script) {
        for shard in &self.shards {
            assert_eq!(shard.fault(), None);
            assert_eq!(shard.backlog(), 0, "shard {} waits for ever", shard.id);
            assert!(shard.is_free() && shard.held_reads.is_empty());
            assert!(shard.loans.is_empty() && shard.shares.is_empty());
            assert_eq!(shard.applied(), script.deliveries.last().unwrap().index);
        }
        for number in script.checks.keys() {
            assert!(
                self.replies.0.contains_key(number),
                "{number} was not answered"
            );
        }
        for number in DIRECT + 1..=self.direct {
            let unused = self.looks.iter().all(|look| look.number != number);
            assert!(unused || self.replies.0.contains_key(&number));
        }
    }

    /// A DBSIZE of the row that counts a key but not a later one: nobody may have missed the first
    /// key after the later one was acknowledged.
    fn check_row(&self, script: &Script) {
        let lengths = script
            .checks
            .iter()
            .filter(|one| *one.1 == Check::RowLength);
        for (number, _) in lengths {
            let (_, bytes) = &self.replies.0[number];
            let text = String::from_utf8_lossy(bytes);
            let length: usize = text.trim_matches([':', '\r', '\n']).parse().unwrap();
            let later = script.row[length..].iter();
            let Some(acknowledged) = later
                .filter_map(|one| Some(self.replies.0.get(one)?.0))
                .min()
            else {
                continue;
            };
            for look in &self.looks {
                let missed = self.replies.0[&look.number].1 == b":0\r\n";
                assert!(
                    !(missed && look.place < length && look.asked > acknowledged),
                    "row {} was missed behind a later one that DBSIZE did not count",
                    look.place
                );
            }
        }
    }
}

/// Length in bytes of the reply at the start of `bytes`.
fn length_of(bytes: &[u8]) -> usize {
    let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    let number = || -> i64 {
        let text = std::str::from_utf8(&bytes[1..line - 2]).unwrap();
        text.parse().unwrap()
    };
    let count = match bytes[0] {
        b'$' | b'=' if number() >= 0 => return line + number() as usize + 2,
        b'*' | b'~' | b'>' => number().max(0),
        b'%' => number() * 2,
        _ => 0,
    };
    (0..count).fold(line, |at, _| at + length_of(&bytes[at..]))
}

/// The elements of an array.
fn elements(bytes: &[u8]) -> Vec<&[u8]> {
    let mut at = bytes.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
    let mut found = Vec::new();
    while at < bytes.len() {
        let length = length_of(&bytes[at..]);
        found.push(&bytes[at..at + length]);
        at += length;
    }
    found
}

fn sorted(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = elements(bytes);
    found.sort_unstable();
    found
}

fn agree(check: &Check, one: &[u8], many: &[u8]) -> bool {
    match check {
        Check::Same | Check::RowLength => one == many,
        Check::Elements | Check::Whole => sorted(one) == sorted(many),
        Check::Each(checks) if one.starts_with(b"*") && !one.starts_with(b"*-1") => {
            let (one, many) = (elements(one), elements(many));
            one.len() == many.len()
                && checks.len() == one.len()
                && checks
                    .iter()
                    .zip(one.iter().zip(many))
                    .all(|(check, (one, many))| agree(check, one, many))
        }
        Check::Each(_) => one == many,
        Check::Scan | Check::Key => true,
    }
}

/// What the cursors and RANDOMKEY found is what KEYS finds at the same place.
fn check_looks(script: &Script, replies: &Replies) {
    let (mut scanned, mut drawn): (Vec<&[u8]>, Vec<&[u8]>) = Default::default();
    for (number, check) in &script.checks {
        let bytes = &replies.0[number].1[..];
        match check {
            Check::Scan => scanned.extend(elements(elements(bytes)[1])),
            Check::Key => drawn.push(bytes),
            Check::Whole => {
                let all = sorted(bytes);
                scanned.sort_unstable();
                assert_eq!(scanned, all, "the cursors' keys");
                for key in drawn.drain(..) {
                    let none = key.starts_with(b"$-1") || key.starts_with(b"_");
                    assert!(all.contains(&key) || (none && all.is_empty()));
                }
                scanned.clear();
            }
            _ => {}
        }
    }
}

fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", " ")
}

fn run_seed(seed: u64, shards: usize) {
    let (script, reference, digest) = Author::new(seed, shards).script();
    let mut node = Node::new(seed, shards);
    node.run(&script);
    node.check_end(&script);
    for (number, check) in &script.checks {
        let (one, many) = (&reference.0[number].1, &node.replies.0[number].1);
        assert!(
            agree(check, one, many),
            "command {number}: {} on one shard, {} on {shards}",
            show(one),
            show(many)
        );
    }
    check_looks(&script, &node.replies);
    node.check_row(&script);
    let mut sum = Digest::default();
    for shard in &node.shards {
        sum += shard.keyspace.digest();
    }
    assert_eq!(sum, digest, "same log, same digest");
}

fn run_seeds(seeds: Range<u64>) {
    for seed in seeds {
        for shards in [2, 4, 8] {
            let run = std::panic::AssertUnwindSafe(|| run_seed(seed, shards));
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("seed {seed}, {shards} shards");
                std::panic::resume_unwind(panic);
            }
        }
    }
}

#[test]
fn shards_in_any_order_do_what_one_shard_does() {
    run_seeds(0..40);
}

#[test]
#[ignore = "takes minutes"]
fn shards_in_any_order_do_what_one_shard_does_at_length() {
    run_seeds(1000..20_000);
}

#[test]
fn sort_by_a_pattern_stores_nothing_on_any_number_of_shards() {
    let mut author = Author::new(1, 2);
    for line in [
        "MSET w1 3 w2 2 w3 1",
        "RPUSH a 1 2 3",
        "SORT a BY w* STORE b",
    ] {
        author.push(0, &words(line));
    }
    author.end_part(0..author.payload.len());
    author.end_delivery();
    let mut node = Node::new(1, 2);
    node.run(&author.script);
    let mut sum = Digest::default();
    for shard in &node.shards {
        sum += shard.keyspace.digest();
    }
    assert_eq!(sum, author.reference.keyspace.digest());
}

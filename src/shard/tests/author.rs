//! Writes scripts: deliveries of random commands, run on one shard as they are written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::command::golden::grammar::{COLLECTIONS, STRINGS, draw, with_args};
use crate::command::{EXEC, Keys, Rng, Route, Spec, VERSION};
use crate::command::{by_name, each_place, mutation, write_watched};
use crate::keyspace::{OrderSlice, Slice};
use crate::resp::{Args, Protocol};
use crate::session::Watched;
use crate::shard::{Delivery, Item, Local, Part, Shard};
use crate::slot::slot_of;
use crate::value::Digest;

use super::{Check, Desk, GROUP, GROUP_DB, NOW_MS, ROW_DB, Replies, Script, group_key};

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

/// The version of a key that is to be watched, until it is known.
const UNKNOWN: u64 = u64::MAX;

/// Makes a script, running the commands on one shard as it goes: what a transaction watches is
/// known from there.
pub(super) struct Author {
    rng: Rng,
    pub(super) script: Script,
    pub(super) reference: Shard,
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
    pub(super) payload: Vec<u8>,
    local: Local,
}

impl Author {
    pub(super) fn new(seed: u64, shards: usize) -> Author {
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

    pub(super) fn script(mut self) -> (Script, Replies, Digest) {
        let deliveries = 10 + self.rng.below(10);
        self.write_more(deliveries);
        self.end()
    }

    pub(super) fn write_more(&mut self, deliveries: usize) {
        for _ in 0..deliveries {
            for _ in 0..1 + self.rng.below(3) {
                let start = self.payload.len();
                for _ in 0..1 + self.rng.below(6) {
                    self.item();
                }
                self.end_part(start..self.payload.len());
            }
            self.end_delivery();
        }
    }

    pub(super) fn end(self) -> (Script, Replies, Digest) {
        let digest = self.reference.keyspace.digest();
        (self.script, self.replies, digest)
    }

    /// Number of the last command so far; the first is 1.
    pub(super) fn commands(&self) -> u64 {
        self.commands
    }

    /// The state as a checkpoint has it, in chunks.
    pub(super) fn image(&mut self) -> Vec<Vec<u8>> {
        let keyspace = &mut self.reference.keyspace;
        keyspace.begin_capture(((self.index + 1) << 24) - 1);
        let mut chunks = Vec::new();
        loop {
            let mut chunk = Vec::new();
            let slice = keyspace.capture_slice(400, &mut chunk);
            chunks.push(chunk);
            if slice == Slice::Last {
                drop(keyspace.end_capture());
                return chunks;
            }
        }
    }

    pub(super) fn end_part(&mut self, commands: Range<usize>) {
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

    pub(super) fn end_delivery(&mut self) {
        let writes = !self.payload.is_empty();
        self.index += u64::from(writes);
        let digested = writes && self.index.is_multiple_of(3);
        let cuts = (self.index % 4) as u8;
        let id = self.script.deliveries.len() as u64 + 1;
        let delivery = Arc::new(Delivery {
            id,
            index: self.index,
            now_ms: NOW_MS + id * 1000,
            seed: self.rng.number(),
            payload: std::mem::take(&mut self.payload).into(),
            parts: std::mem::take(&mut self.parts),
            capture: None,
            digest: digested.then(|| OrderSlice::beginning_at(0, cuts)),
            replace: None,
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

    pub(super) fn push(&mut self, db: u8, words: &[String]) -> u64 {
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

pub(super) fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_string).collect()
}

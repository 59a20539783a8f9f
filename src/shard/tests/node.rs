//! Several shards that run a script, and readers beside them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::command::{Rng, by_name, mutation};
use crate::resp::Protocol;
use crate::shard::{Delivery, Item, Shard, ShardMessage};
use crate::slot::{shard_of, slot_of};
use crate::value::Digest;

use super::{Check, DIRECT, Desk, GROUP, GROUP_DB, NOW_MS, ROW_DB, Replies, Script, group_key};

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
pub(super) struct Node {
    rng: Rng,
    pub(super) shards: Vec<Shard>,
    wires: Vec<Vec<VecDeque<ShardMessage>>>,
    pub(super) replies: Replies,
    /// Next delivery of each shard.
    next: Vec<usize>,
    time: usize,
    readers: Vec<Reader>,
    looks: Vec<Look>,
    direct: u64,
}

impl Node {
    pub(super) fn new(seed: u64, shards: usize) -> Node {
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

    /// Of all shards together.
    pub(super) fn digest(&self) -> Digest {
        let mut sum = Digest::default();
        for shard in &self.shards {
            sum += shard.keyspace.digest();
        }
        sum
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
    pub(super) fn run(&mut self, script: &Script) {
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
            let replacing: Vec<usize> = (0..shards)
                .filter(|shard| self.shards[*shard].is_replacing())
                .collect();
            if behind.is_empty() && mail.is_empty() && replacing.is_empty() {
                break;
            }
            match self.rng.below(5) {
                4 if !replacing.is_empty() => {
                    let shard = replacing[self.rng.below(replacing.len())];
                    self.on(shard, |shard, desk| {
                        shard.replace_turn(NOW_MS, desk);
                    });
                }
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

    /// Gives a shard a delivery that replaces its keyspace, and one turn.
    pub(super) fn give(&mut self, shard: usize, delivery: Arc<Delivery>) {
        self.on(shard, |shard, desk| {
            shard.deliver(delivery);
            shard.run(desk);
            shard.replace_turn(NOW_MS, desk);
        });
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
    pub(super) fn check_end(&self, script: &Script) {
        for shard in &self.shards {
            assert_eq!(shard.fault(), None);
            assert_eq!(shard.backlog(), 0, "shard {} waits for ever", shard.id());
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
    pub(super) fn check_row(&self, script: &Script) {
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

//! What a connection sends, drawn from its seed alone: the same seed sends the same commands,
//! whatever the node answers.

use super::model::Bytes;
use crate::kit::Seed;

/// A command, or the commands of one MULTI .. EXEC: what happens as a whole or not at all.
#[derive(Debug, Clone)]
pub struct Step {
    pub commands: Vec<Vec<Bytes>>,
    pub transaction: bool,
    /// Goes before the command, where it has levels of its own.
    pub with: Option<&'static str>,
}

/// Unix ms that is far off in every run: 2100-01-01.
pub const FAR_MS: u64 = 4_102_444_800_000;

/// How soon a fleeting key goes, at most.
pub const FLEETING_MS_MAX: u64 = 400;

/// One connection's source of commands.
pub struct Source {
    random: Seed,
    connection: usize,
    /// Whether the connection's keys are all that its database holds, so that it may flush it.
    alone: bool,
}

macro_rules! command {
    ($($arg:expr),+ $(,)?) => {
        vec![$(Vec::from($arg)),+]
    };
}

impl Source {
    pub fn new(seed: u64, connection: usize, alone: bool) -> Source {
        Source {
            random: Seed::new(seed),
            connection,
            alone,
        }
    }

    /// The steps of one pipeline. At most one of them draws lots. `now_ms` is only used for the
    /// deadlines of fleeting keys.
    pub fn pipeline(&mut self, now_ms: u64) -> Vec<Step> {
        let length = match self.random.below(10) {
            0..4 => 1,
            4..9 => 1 + self.random.below(16),
            _ => 1 + self.random.below(64),
        };
        let mut lots = 1;
        (0..length).map(|_| self.step(now_ms, &mut lots)).collect()
    }

    fn step(&mut self, now_ms: u64, lots: &mut u32) -> Step {
        let levels = ["low", "medium", "high", "all"];
        let with = self.random.one_in(24).then(|| *self.random.pick(&levels));
        if !self.random.one_in(12) {
            return Step {
                commands: vec![self.command(now_ms, lots)],
                transaction: false,
                with,
            };
        }
        let length = 1 + self.random.below(6);
        let mut commands: Vec<_> = (0..length).map(|_| self.command(now_ms, lots)).collect();
        if !self.alone {
            // Whatever else happens, this and that stay equal over all connections.
            commands.push(command!["INCRBY", self.key("ticks"), "1"]);
            commands.push(command!["INCRBY", "shared:ticks", "1"]);
        }
        Step {
            commands,
            transaction: true,
            with: None,
        }
    }

    fn command(&mut self, now_ms: u64, lots: &mut u32) -> Vec<Bytes> {
        match self.random.below(20) {
            0..4 => self.text(),
            4 => self.number(),
            5..7 => self.fleeting(now_ms),
            7..9 => self.lifetime(),
            9..12 => self.list(),
            12..14 => self.set(lots),
            14..16 => self.hash(),
            16..18 => self.scored(),
            _ if self.alone => match self.random.one_in(40) {
                true => command!["FLUSHDB"],
                false => self.text(),
            },
            _ => self.shared(),
        }
    }

    /// A key of this connection alone.
    fn key(&self, name: &str) -> Bytes {
        format!("c{}:{name}", self.connection).into_bytes()
    }

    fn one_of(&mut self, kind: char, count: u64) -> Bytes {
        let number = self.random.below(count);
        self.key(&format!("{kind}{number}"))
    }

    /// Two different keys: most often of different shards.
    fn two_of(&mut self, kind: char, count: u64) -> (Bytes, Bytes) {
        let first = self.random.below(count);
        let second = (first + 1 + self.random.below(count - 1)) % count;
        let key = |number| self.key(&format!("{kind}{number}"));
        (key(first), key(second))
    }

    fn text(&mut self) -> Vec<Bytes> {
        let key = self.one_of('s', 12);
        let (from, to) = self.two_of('s', 12);
        match self.random.below(20) {
            0..4 => command!["SET", key, value(&mut self.random)],
            4 => command!["SET", key, value(&mut self.random), "NX"],
            5 => command!["SET", key, value(&mut self.random), "XX"],
            6 => command!["SET", key, value(&mut self.random), "KEEPTTL"],
            7 => command!["APPEND", key, value(&mut self.random)],
            8 => {
                let offset = self.random.below(3000).to_string();
                command!["SETRANGE", key, offset, value(&mut self.random)]
            }
            9 => command!["GETSET", key, value(&mut self.random)],
            10 => command!["GETDEL", key],
            11 | 12 => {
                let (one, other) = (value(&mut self.random), value(&mut self.random));
                command!["MSET", from, one, to, other, key, "3"]
            }
            13 => command!["MSETNX", from, value(&mut self.random), to, "2"],
            14 => command!["RENAME", from, to],
            15 => command!["RENAMENX", from, to],
            16 => command!["COPY", from, to],
            17 => command!["COPY", from, to, "REPLACE"],
            18 => command!["DEL", from, to],
            _ => command!["MGET", from, to, key],
        }
    }

    fn number(&mut self) -> Vec<Bytes> {
        let key = self.one_of('n', 4);
        let (from, to) = self.two_of('n', 4);
        match self.random.below(8) {
            0 => command!["RENAME", from, to],
            1 => command!["COPY", from, to, "REPLACE"],
            2 => command!["DEL", from, to],
            _ => {
                let by = self.random.below(2000) as i64 - 900;
                command!["INCRBY", key, by.to_string()]
            }
        }
    }

    fn fleeting(&mut self, now_ms: u64) -> Vec<Bytes> {
        let key = self.one_of('e', 6);
        match self.random.below(6) {
            0 => command!["SET", key, value(&mut self.random)],
            1 => command!["DEL", key],
            2 => command!["GET", key],
            3 => command![
                "SET",
                key,
                value(&mut self.random),
                "PXAT",
                FAR_MS.to_string()
            ],
            _ => {
                let at_ms = now_ms + 1 + self.random.below(FLEETING_MS_MAX);
                command![
                    "SET",
                    key,
                    value(&mut self.random),
                    "PXAT",
                    at_ms.to_string()
                ]
            }
        }
    }

    fn lifetime(&mut self) -> Vec<Bytes> {
        let kind = *b"sluhz".get(self.random.below(5) as usize).unwrap_or(&b's');
        let key = self.one_of(char::from(kind), 4);
        match self.random.below(8) {
            0 | 1 => {
                let at_ms = FAR_MS + self.random.below(1 << 30);
                command!["PEXPIREAT", key, at_ms.to_string()]
            }
            2 | 3 => command![
                "EXPIRE",
                key,
                (100_000 + self.random.below(1000)).to_string()
            ],
            4 => command!["PERSIST", key],
            5 => command!["PEXPIREAT", key, "1000"],
            6 => command!["EXISTS", key],
            _ => command!["PEXPIRETIME", key],
        }
    }

    fn item(&mut self) -> Bytes {
        match self.random.one_in(4) {
            true => value(&mut self.random),
            false => format!("item{}", self.random.below(10)).into_bytes(),
        }
    }

    fn list(&mut self) -> Vec<Bytes> {
        let key = self.one_of('l', 5);
        let (from, to) = self.two_of('l', 5);
        match self.random.below(13) {
            0..3 => command!["RPUSH", key, self.item(), self.item()],
            3..5 => command!["LPUSH", key, self.item(), self.item(), self.item()],
            5 => command!["LPOP", key],
            6 => command!["RPOP", key],
            7 => command!["LTRIM", key, "0", self.random.below(40).to_string()],
            8 => command!["LREM", key, "0", self.item()],
            9 => command!["LINSERT", key, "BEFORE", self.item(), self.item()],
            10 | 11 => command!["LMOVE", from, to, "LEFT", "RIGHT"],
            // A list is no hash.
            _ => command!["HDEL", key, "x"],
        }
    }

    fn set(&mut self, lots: &mut u32) -> Vec<Bytes> {
        let key = self.one_of('u', 5);
        let (from, to) = self.two_of('u', 5);
        match self.random.below(10) {
            0..3 => command!["SADD", key, self.item(), self.item()],
            3 => command!["SREM", key, self.item()],
            4 | 5 => match std::mem::take(lots) {
                0 => command!["SADD", key, self.item()],
                _ => command!["SPOP", key],
            },
            6 | 7 => command!["SMOVE", from, to, self.item()],
            8 => {
                let name = ["SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"];
                command![*self.random.pick(&name), key, from, to]
            }
            _ => command!["DEL", key],
        }
    }

    fn hash(&mut self) -> Vec<Bytes> {
        let key = self.one_of('h', 4);
        match self.random.below(8) {
            0..3 => command!["HSET", key, self.item(), self.item(), self.item(), "1"],
            3 => command!["HSETNX", key, self.item(), self.item()],
            4 => command!["HDEL", key, self.item(), self.item()],
            5 | 6 => {
                let by = self.random.below(100).to_string();
                command!["HINCRBY", key, "number", by]
            }
            _ => command!["HGET", key, self.item()],
        }
    }

    fn scored(&mut self) -> Vec<Bytes> {
        let key = self.one_of('z', 4);
        let (from, to) = self.two_of('z', 4);
        let score = (self.random.below(200) as i64 - 100).to_string();
        match self.random.below(9) {
            0..3 => command!["ZADD", key, score, self.item(), "7", self.item()],
            3 | 4 => command!["ZINCRBY", key, score, self.item()],
            5 => command!["ZREM", key, self.item()],
            6 => command!["ZPOPMIN", key],
            7 => command!["ZUNIONSTORE", key, "2", from, to],
            _ => command!["RENAME", from, to],
        }
    }

    /// Keys that all connections change: each its own members of them.
    fn shared(&mut self) -> Vec<Bytes> {
        let member = self.one_of('m', 8);
        match self.random.below(7) {
            0 => command!["HSET", "shared:h", member, self.item()],
            1 => command!["HDEL", "shared:h", member],
            2 => command!["SADD", "shared:u0", member],
            3 => command!["SMOVE", "shared:u0", "shared:u1", member],
            4 => command!["SMOVE", "shared:u1", "shared:u0", member],
            5 => command!["SREM", "shared:u1", member],
            _ => command![
                "ZINCRBY",
                "shared:z",
                self.random.below(9).to_string(),
                member
            ],
        }
    }
}

/// Mostly short, now and then of several blocks of the disk.
fn value(random: &mut Seed) -> Bytes {
    let length = match random.below(100) {
        0..60 => random.below(64),
        60..95 => random.below(2048),
        95..99 => random.below(16 * 1024),
        _ => random.below(128 * 1024),
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

//! The commands that a load is made of: their requests, and the replies these must get.

use crate::random::Random;

/// Keys per request of `mset`, as redis-benchmark's `MSET (10 keys)`.
const MSET_KEYS: usize = 10;
/// Sets and sorted sets that members are spread over.
const COLLECTIONS: u64 = 1000;

/// A command that the load is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Get,
    Set,
    /// `GET` with this many percent, `SET` for the rest.
    Mixed {
        get_percent: u8,
    },
    /// So many `SET`s, then one [`Command::Wait`]: a batch whose last reply promises the replica.
    SetWait {
        sets: usize,
    },
    /// `WAIT 1 0`: answers once one replica has all that this connection wrote.
    Wait,
    Incr,
    Mset,
    Lpush,
    Hset,
    Sadd,
    Zadd,
    Ping,
}

impl Command {
    /// Parses a name of `--command`; `mixed` takes the share of reads from `get_percent`,
    /// `set-wait` the writes of a batch from `pipeline`.
    ///
    /// # Errors
    /// Names the known commands when `name` is none of them.
    pub fn parse(name: &str, get_percent: u8, pipeline: usize) -> Result<Self, String> {
        Ok(match name {
            "get" => Self::Get,
            "set" => Self::Set,
            "mixed" => Self::Mixed { get_percent },
            "set-wait" => Self::SetWait { sets: pipeline },
            "incr" => Self::Incr,
            "mset" => Self::Mset,
            "lpush" => Self::Lpush,
            "hset" => Self::Hset,
            "sadd" => Self::Sadd,
            "zadd" => Self::Zadd,
            "ping" => Self::Ping,
            other => {
                return Err(format!(
                    "unknown command '{other}': one of get set mixed set-wait incr mset lpush hset sadd zadd ping"
                ));
            }
        })
    }

    /// How replies are counted: `INCR` and `LPUSH` answer numbers of varying width.
    pub fn counting(self) -> Counting {
        match self {
            Self::Incr | Self::Lpush => Counting::Lines,
            _ => Counting::Bytes,
        }
    }

    /// Whether every reply is known byte by byte beforehand.
    pub fn replies_known(self) -> bool {
        matches!(
            self,
            Self::Get
                | Self::Set
                | Self::Mixed { .. }
                | Self::SetWait { .. }
                | Self::Wait
                | Self::Mset
                | Self::Ping
        )
    }

    /// Requests of a batch in which `pipeline` operations count.
    pub fn batch_requests(self, pipeline: usize) -> usize {
        pipeline + usize::from(matches!(self, Self::SetWait { .. }))
    }

    /// One request over keys from `next_key`. A `Mixed` or `SetWait` load decides beforehand which
    /// it wants.
    pub fn request(self, value_bytes: usize, mut next_key: impl FnMut() -> u64) -> Request {
        let key = next_key();
        let value = || value_of(key, value_bytes);
        let (arguments, reply): (Vec<Vec<u8>>, Vec<u8>) = match self {
            Self::Get => (vec![b"GET".into(), text_key("key", key)], bulk(&value())),
            Self::Set | Self::Mixed { .. } | Self::SetWait { .. } => (
                vec![b"SET".into(), text_key("key", key), value()],
                b"+OK\r\n".into(),
            ),
            Self::Mset => {
                let mut arguments = vec![b"MSET".into(), text_key("key", key), value()];
                for _ in 1..MSET_KEYS {
                    let key = next_key();
                    arguments.extend([text_key("key", key), value_of(key, value_bytes)]);
                }
                (arguments, b"+OK\r\n".into())
            }
            Self::Wait => (
                vec![b"WAIT".into(), b"1".into(), b"0".into()],
                b":1\r\n".into(),
            ),
            Self::Ping => (vec![b"PING".into()], b"+PONG\r\n".into()),
            Self::Incr => (
                vec![b"INCR".into(), text_key("counter", key)],
                b":0\r\n".into(),
            ),
            Self::Lpush => (
                vec![b"LPUSH".into(), text_key("list", key), value()],
                b":0\r\n".into(),
            ),
            Self::Hset => {
                let field = format!("field:{}", key % 8).into_bytes();
                let arguments = vec![b"HSET".into(), text_key("hash", key), field, value()];
                (arguments, b":0\r\n".into())
            }
            Self::Sadd => {
                let set = text_key("set", key % COLLECTIONS);
                (vec![b"SADD".into(), set, value()], b":0\r\n".into())
            }
            Self::Zadd => {
                let set = text_key("zset", key % COLLECTIONS);
                let score = (key % 9973).to_string().into_bytes();
                let arguments = vec![b"ZADD".into(), set, score, text_key("member", key)];
                (arguments, b":0\r\n".into())
            }
        };
        Request { arguments, reply }
    }
}

/// The unit in which replies are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Every reply has a known length: a chunk counts its length.
    Bytes,
    /// Every reply is one line: a chunk counts its line feeds.
    Lines,
}

/// One request and its reply; where the reply cannot be known, one of the same type.
pub struct Request {
    arguments: Vec<Vec<u8>>,
    pub reply: Vec<u8>,
}

impl Request {
    /// Appends the request in RESP.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.extend(format!("*{}\r\n", self.arguments.len()).into_bytes());
        for argument in &self.arguments {
            into.extend(format!("${}\r\n", argument.len()).into_bytes());
            into.extend(argument);
            into.extend(b"\r\n");
        }
    }
}

/// The value that belongs to `key`: `value_bytes` bytes of printable text.
pub fn value_of(key: u64, value_bytes: usize) -> Vec<u8> {
    let mut random = Random::new(key.wrapping_add(0x7461_7571));
    (0..value_bytes)
        .map(|_| b'a' + random.below(26) as u8)
        .collect()
}

fn bulk(value: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat()
}

/// The name of `key` among those of one type, as redis-benchmark writes it.
pub fn text_key(prefix: &str, key: u64) -> Vec<u8> {
    format!("{prefix}:{key:012}").into_bytes()
}

//! What is sent: requests encoded once, walked round and round.
//!
//! A [`Workload`] is a buffer of encoded requests over random keys, with the size of the reply
//! that each must get. The load loops only slice it, so one operation costs the client two
//! system calls' worth of kernel work and a few loads.
//!
//! Invariants
//! - Same options, same bytes: the generator is seeded, so both servers of a pair get one load.
//! - A key's value depends on the key alone ([`crate::command::value_of`]), so a `GET` has one right answer
//!   whatever `SET`s ran before it, and replies can be compared byte by byte.
//! - Types do not meet: each command has its own key prefix. Strings use redis-benchmark's
//!   `key:%012d`, so that its `GET`s hit what we loaded.

use crate::command::{Command, Counting};
use crate::random::Random;

/// Shape of a workload.
#[derive(Clone, Debug)]
pub struct Shape {
    pub command: Command,
    /// Keys are drawn uniformly from `0..keys`.
    pub keys: u64,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Requests in the buffer before it repeats.
    pub requests: usize,
    pub seed: u64,
}

/// Encoded requests and the replies they must get.
pub struct Workload {
    bytes: Vec<u8>,
    /// `starts[i]` is where request `i` begins; one more for the end.
    starts: Vec<usize>,
    /// `units[i]` is the reply units (see [`Counting`]) of all requests before `i`.
    units: Vec<u64>,
    /// Exact replies, where a reply can be known beforehand.
    replies: Option<Replies>,
    counting: Counting,
    first_byte: Vec<u8>,
}

struct Replies {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Workload {
    /// Encodes `shape` with random keys.
    pub fn random(shape: &Shape) -> Self {
        let mut random = Random::new(shape.seed);
        let mut building = Building::new(shape);
        for _ in 0..shape.requests {
            building.push(shape, || random.below(shape.keys));
        }
        building.finish(shape.command.counting())
    }

    /// Encodes one `SET` of every key in order: what a server is loaded with beforehand.
    pub fn every_key(keys: u64, value_bytes: usize) -> Self {
        let shape = Shape {
            command: Command::Set,
            keys,
            value_bytes,
            requests: keys as usize,
            seed: 0,
        };
        let mut building = Building::new(&shape);
        for key in 0..keys {
            building.push(&shape, || key);
        }
        building.finish(Counting::Bytes)
    }

    /// Requests in the buffer.
    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// The encoded requests `from..to`.
    pub fn requests(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[self.starts[from]..self.starts[to]]
    }

    /// Reply units that the requests `from..to` must get.
    pub fn units(&self, from: usize, to: usize) -> u64 {
        self.units[to] - self.units[from]
    }

    /// The exact replies of `from..to`, where they can be known.
    pub fn replies(&self, from: usize, to: usize) -> Option<&[u8]> {
        let replies = self.replies.as_ref()?;
        Some(&replies.bytes[replies.starts[from]..replies.starts[to]])
    }

    /// The byte with which the reply of `request` must begin.
    pub fn first_byte(&self, request: usize) -> u8 {
        self.first_byte[request]
    }

    /// Reply units in a received chunk.
    pub fn count(&self, chunk: &[u8]) -> u64 {
        match self.counting {
            Counting::Bytes => chunk.len() as u64,
            Counting::Lines => chunk.iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

struct Building {
    bytes: Vec<u8>,
    starts: Vec<usize>,
    units: Vec<u64>,
    replies: Replies,
    exact: bool,
    first_byte: Vec<u8>,
    /// Draws which of a mixed load's requests read, apart from the keys.
    coin: Random,
}

impl Building {
    fn new(shape: &Shape) -> Self {
        Self {
            bytes: Vec::with_capacity(shape.requests * (shape.value_bytes + 48)),
            starts: vec![0],
            units: vec![0],
            replies: Replies {
                bytes: Vec::new(),
                starts: vec![0],
            },
            exact: shape.command.replies_known(),
            first_byte: Vec::with_capacity(shape.requests),
            coin: Random::new(shape.seed ^ 0xc011),
        }
    }

    fn push(&mut self, shape: &Shape, next_key: impl FnMut() -> u64) {
        let command = match shape.command {
            Command::Mixed { get_percent } if self.coin.below(100) < u64::from(get_percent) => {
                Command::Get
            }
            Command::SetWait { sets } if self.starts.len().is_multiple_of(sets + 1) => {
                Command::Wait
            }
            Command::Mixed { .. } | Command::SetWait { .. } => Command::Set,
            other => other,
        };
        let request = command.request(shape.value_bytes, next_key);
        request.encode(&mut self.bytes);
        self.starts.push(self.bytes.len());
        self.first_byte.push(request.reply[0]);
        let units = match shape.command.counting() {
            Counting::Bytes => request.reply.len() as u64,
            Counting::Lines => 1,
        };
        self.units.push(self.units[self.units.len() - 1] + units);
        if self.exact {
            self.replies.bytes.extend(request.reply);
            self.replies.starts.push(self.replies.bytes.len());
        }
    }

    fn finish(self, counting: Counting) -> Workload {
        Workload {
            bytes: self.bytes,
            starts: self.starts,
            units: self.units,
            replies: self.exact.then_some(self.replies),
            counting,
            first_byte: self.first_byte,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::value_of;

    fn shape(command: Command) -> Shape {
        Shape {
            command,
            keys: 100,
            value_bytes: 4,
            requests: 64,
            seed: 7,
        }
    }

    #[test]
    fn a_get_is_encoded_as_redis_wants_it_and_knows_its_reply() {
        let workload = Workload::random(&Shape {
            keys: 1,
            ..shape(Command::Get)
        });
        let value = String::from_utf8(value_of(0, 4)).unwrap();
        assert_eq!(
            workload.requests(0, 1),
            b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000000\r\n"
        );
        assert_eq!(
            workload.replies(0, 1).unwrap(),
            format!("$4\r\n{value}\r\n").as_bytes()
        );
        assert_eq!(workload.units(0, 3), 3 * 10);
    }

    #[test]
    fn a_mixed_load_counts_each_reply_by_its_own_length() {
        let workload = Workload::random(&shape(Command::Mixed { get_percent: 50 }));
        let replies = workload.replies(0, 64).unwrap();
        assert_eq!(workload.units(0, 64), replies.len() as u64);
        let reads = (0..64)
            .filter(|request| workload.first_byte(*request) == b'$')
            .count();
        assert!((16..48).contains(&reads), "{reads} of 64 read");
    }

    #[test]
    fn each_batch_of_writes_ends_in_a_wait() {
        let workload = Workload::random(&Shape {
            requests: 6,
            ..shape(Command::SetWait { sets: 2 })
        });
        for batch in [0, 3] {
            let replies = workload.replies(batch, batch + 3).unwrap();
            assert_eq!(replies, b"+OK\r\n+OK\r\n:1\r\n");
            let requests = workload.requests(batch, batch + 3);
            assert!(requests.ends_with(b"*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n"));
        }
    }

    #[test]
    fn numbers_are_counted_in_lines() {
        let workload = Workload::random(&shape(Command::Incr));
        assert_eq!(workload.count(b":1\r\n:100\r\n:2"), 2);
        assert_eq!(workload.units(0, 64), 64);
        assert!(workload.replies(0, 1).is_none());
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let (one, two) = (
            Workload::random(&shape(Command::Set)),
            Workload::random(&shape(Command::Set)),
        );
        assert_eq!(one.requests(0, 64), two.requests(0, 64));
    }

    #[test]
    fn loading_touches_every_key_once() {
        let workload = Workload::every_key(3, 4);
        assert_eq!(workload.len(), 3);
        assert!(
            workload
                .requests(2, 3)
                .windows(16)
                .any(|part| part == b"key:000000000002")
        );
    }
}

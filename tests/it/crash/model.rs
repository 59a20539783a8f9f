//! What one connection's keys must hold: Redis' commands over plain maps, with every reply
//! foretold. Shared keys appear as the part of them that this connection owns.

mod collections;
mod strings;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::kit::{Value, bulk, ok};

pub type Bytes = Vec<u8>;

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Text(Bytes),
    List(VecDeque<Bytes>),
    Set(BTreeSet<Bytes>),
    Hash(BTreeMap<Bytes, Bytes>),
    /// Scores are whole numbers here.
    Scored(BTreeMap<Bytes, i64>),
}

/// When a key goes, Unix ms. A relative expiry is only known to lie within bounds until the
/// node tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    Never,
    At(u64),
    Within(u64, u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub content: Content,
    pub deadline: Deadline,
}

/// Between which times the node ran a command, Unix ms.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub from_ms: u64,
    pub to_ms: u64,
}

/// What a command must answer.
enum Expected {
    Value(Value),
    /// Depends on the moment: whether a key that goes at about this time was there.
    Anything,
    /// One of a set's members, or nil when there is none.
    MemberOf(Bytes),
    /// The key's deadline.
    DeadlineOf(Bytes),
}

impl From<i64> for Expected {
    fn from(number: i64) -> Self {
        Expected::Value(Value::Int(number))
    }
}

impl From<usize> for Expected {
    fn from(number: usize) -> Self {
        Expected::Value(Value::Int(number as i64))
    }
}

impl From<bool> for Expected {
    fn from(yes: bool) -> Self {
        Expected::Value(Value::Int(yes.into()))
    }
}

impl From<Option<Bytes>> for Expected {
    fn from(bytes: Option<Bytes>) -> Self {
        Expected::Value(bytes.map_or(Value::Nil, Value::Bulk))
    }
}

/// A key of another type.
struct WrongType;

type Outcome = Result<Expected, WrongType>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    pub keys: BTreeMap<Bytes, Entry>,
}

impl Model {
    /// Runs a command that was answered with `reply`.
    ///
    /// # Errors
    /// When it must have been answered otherwise; the text says how.
    pub fn run(&mut self, command: &[Bytes], reply: &Value, moment: Moment) -> Result<(), String> {
        let expected = match self.dispatch(command, moment) {
            Ok(expected) => expected,
            Err(WrongType) => Expected::Value(Value::Error(
                "WRONGTYPE Operation against a key holding the wrong kind of value".into(),
            )),
        };
        match expected {
            Expected::Value(expected) if expected == *reply => Ok(()),
            Expected::Value(expected) => Err(format!("{expected:?} was due, not {reply:?}")),
            Expected::Anything => Ok(()),
            Expected::MemberOf(key) => self.pop_member(&key, reply),
            Expected::DeadlineOf(key) => self.learn_deadline(&key, reply),
        }
    }

    /// The replies that `command` may have been given if it ran: one, unless the node drew lots.
    pub fn possible_replies(&self, command: &[Bytes]) -> Vec<Option<Value>> {
        if command[0] != b"SPOP" {
            return vec![None];
        }
        match self.keys.get(&command[1]).map(|entry| &entry.content) {
            Some(Content::Set(members)) => {
                members.iter().map(|member| Some(bulk(member))).collect()
            }
            _ => vec![None],
        }
    }

    /// Runs a command whose reply was never seen. `drawn` is what the node drew, where it did.
    pub fn run_unanswered(&mut self, command: &[Bytes], drawn: Option<&Value>, moment: Moment) {
        // What is foretold is not compared with anything: only the state counts.
        let _ = self.run(command, drawn.unwrap_or(&Value::Nil), moment);
    }

    fn dispatch(&mut self, command: &[Bytes], moment: Moment) -> Outcome {
        let name = std::str::from_utf8(&command[0]).unwrap_or_default();
        let args: Vec<&[u8]> = command[1..].iter().map(Vec::as_slice).collect();
        match name {
            "SET" | "GET" | "APPEND" | "SETRANGE" | "GETSET" | "GETDEL" | "MSET" | "MSETNX"
            | "MGET" | "INCRBY" => self.string_command(name, &args),
            "DEL" | "RENAME" | "RENAMENX" | "COPY" | "EXISTS" | "PEXPIREAT" | "EXPIRE"
            | "PERSIST" | "PEXPIRETIME" | "FLUSHDB" => Ok(self.key_command(name, &args, moment)),
            _ => self.collection_command(name, &args),
        }
    }

    fn key_command(&mut self, name: &str, args: &[&[u8]], moment: Moment) -> Expected {
        match (name, args) {
            // Whether a key that goes at about this time is still there, nobody can foretell.
            ("DEL", [key]) if is_fleeting(key) => {
                self.keys.remove(*key);
                Expected::Anything
            }
            ("DEL", keys) => {
                let there = keys.iter().filter(|key| self.keys.remove(**key).is_some());
                there.count().into()
            }
            ("EXISTS", keys) => {
                let there = keys.iter().filter(|key| self.keys.contains_key(**key));
                there.count().into()
            }
            ("RENAME", [from, to]) => match self.keys.remove(*from) {
                None => Expected::Value(Value::Error("ERR no such key".into())),
                Some(entry) => {
                    self.keys.insert(to.to_vec(), entry);
                    Expected::Value(ok())
                }
            },
            ("RENAMENX", [from, to]) => {
                if !self.keys.contains_key(*from) {
                    return Expected::Value(Value::Error("ERR no such key".into()));
                }
                let free = !self.keys.contains_key(*to);
                if free && let Some(entry) = self.keys.remove(*from) {
                    self.keys.insert(to.to_vec(), entry);
                }
                free.into()
            }
            ("COPY", [from, to, replace @ ..]) => {
                let free = !self.keys.contains_key(*to) || !replace.is_empty();
                match self.keys.get(*from).filter(|_| free).cloned() {
                    None => false.into(),
                    Some(entry) => {
                        self.keys.insert(to.to_vec(), entry);
                        true.into()
                    }
                }
            }
            ("PEXPIREAT", [key, at_ms]) => {
                let at_ms = number(at_ms) as u64;
                self.expire(key, Deadline::At(at_ms), at_ms <= moment.from_ms)
            }
            ("EXPIRE", [key, seconds]) => {
                let ms = number(seconds) as u64 * 1000;
                // The node's clock may be read a little before ours.
                let within = Deadline::Within(moment.from_ms + ms - 5, moment.to_ms + ms + 5);
                self.expire(key, within, false)
            }
            ("PERSIST", [key]) => match self.keys.get_mut(*key) {
                Some(entry) if entry.deadline != Deadline::Never => {
                    entry.deadline = Deadline::Never;
                    true.into()
                }
                _ => false.into(),
            },
            ("PEXPIRETIME", [key]) => Expected::DeadlineOf(key.to_vec()),
            ("FLUSHDB", []) => {
                self.keys.clear();
                Expected::Value(ok())
            }
            _ => unreachable!("{name} with {} arguments", args.len()),
        }
    }

    fn expire(&mut self, key: &[u8], deadline: Deadline, past: bool) -> Expected {
        let Some(entry) = self.keys.get_mut(key) else {
            return false.into();
        };
        entry.deadline = deadline;
        if past {
            self.keys.remove(key);
        }
        true.into()
    }

    fn pop_member(&mut self, key: &[u8], reply: &Value) -> Result<(), String> {
        let entry = self.keys.get_mut(key).map(|entry| &mut entry.content);
        match (entry, reply) {
            (None, Value::Nil) => Ok(()),
            (Some(Content::Set(members)), Value::Bulk(member)) if members.contains(member) => {
                members.remove(member);
                self.drop_empty(key);
                Ok(())
            }
            (entry, reply) => Err(format!("{reply:?} is no member of {entry:?}")),
        }
    }

    fn learn_deadline(&mut self, key: &[u8], reply: &Value) -> Result<(), String> {
        let deadline = self.keys.get_mut(key).map(|entry| &mut entry.deadline);
        match (deadline, reply) {
            (None, Value::Int(-2)) | (Some(Deadline::Never), Value::Int(-1)) => Ok(()),
            (Some(deadline), Value::Int(at_ms)) if deadline.may_be(*at_ms as u64) => {
                *deadline = Deadline::At(*at_ms as u64);
                Ok(())
            }
            (deadline, reply) => Err(format!("the deadline {deadline:?} is given as {reply:?}")),
        }
    }

    /// Removes keys that are past `now_ms`.
    pub fn forget_expired(&mut self, now_ms: u64) {
        self.keys
            .retain(|_, entry| !matches!(entry.deadline, Deadline::At(at_ms) if at_ms <= now_ms));
    }

    fn drop_empty(&mut self, key: &[u8]) {
        let empty = match self.keys.get(key).map(|entry| &entry.content) {
            Some(Content::List(items)) => items.is_empty(),
            Some(Content::Set(members)) => members.is_empty(),
            Some(Content::Hash(fields)) => fields.is_empty(),
            Some(Content::Scored(members)) => members.is_empty(),
            Some(Content::Text(_)) | None => false,
        };
        if empty {
            self.keys.remove(key);
        }
    }

    /// Replaces a key by one that does not expire; nothing in it removes the key.
    fn put(&mut self, key: &[u8], content: Content) {
        let deadline = Deadline::Never;
        self.keys.insert(key.to_vec(), Entry { content, deadline });
        self.drop_empty(key);
    }
}

impl Deadline {
    /// Whether it may be this one.
    pub fn may_be(&self, at_ms: u64) -> bool {
        match self {
            Deadline::Never => false,
            Deadline::At(known_ms) => *known_ms == at_ms,
            Deadline::Within(from_ms, to_ms) => (*from_ms..=*to_ms).contains(&at_ms),
        }
    }
}

/// Whether a key may go at any moment by itself.
fn is_fleeting(key: &[u8]) -> bool {
    key.split(|byte| *byte == b':')
        .nth(1)
        .is_some_and(|name| name.starts_with(b"e"))
}

fn number(bytes: &[u8]) -> i64 {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    text.parse().expect("a number that the test itself wrote")
}

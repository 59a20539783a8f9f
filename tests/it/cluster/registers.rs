//! Single keys under faults: linearizable, as `porcupine` checks it.
//!
//! Keys are used for a while only: what nobody knows about stays open to the end of its key's
//! history, and many such make a history hard to check.

use std::collections::HashMap;
use std::time::Duration;

use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};

use super::client::{Client, Outcome, Run};
use crate::kit::{Entrance, Value};
use crate::order::seed::Seed;

const KEYS: usize = 4;

/// How long a key is used.
const GENERATION_US: i64 = 1_500_000;

/// What was done to one key, and what came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Set(i64),
    Get(Option<i64>),
    /// The result, where it is known.
    Incr(Option<i64>),
    /// `SETNX`: whether it was set, where it is known.
    SetNx(i64, Option<bool>),
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(i64, usize);

impl Model for Key {
    type State = Option<i64>;
    type Op = Act;
    type Metadata = Name;

    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let mut by_key: HashMap<Option<Name>, Vec<Operation<Self>>> = HashMap::new();
        for one in history {
            by_key
                .entry(one.metadata.clone())
                .or_default()
                .push(one.clone());
        }
        by_key.into_values().collect()
    }

    fn init() -> Self::State {
        None
    }

    fn step(state: &Self::State, act: &Act) -> (bool, Self::State) {
        match act {
            Act::Set(value) => (true, Some(*value)),
            Act::Get(value) => (value == state, *state),
            Act::Incr(result) => {
                let next = state.unwrap_or(0) + 1;
                (result.is_none_or(|result| result == next), Some(next))
            }
            Act::SetNx(value, set) => {
                let sets = state.is_none();
                (set.is_none_or(|set| set == sets), state.or(Some(*value)))
            }
        }
    }
}

/// One client's part, until it is over. Answers its operations and when writes were acknowledged.
pub fn act(
    entrance: Entrance,
    number: u64,
    seed: u64,
    run: &Run,
) -> (Vec<Operation<Key>>, Vec<i64>) {
    let mut client = Client::of(entrance, run);
    let mut seed = Seed::new(seed ^ number << 32);
    let mut done = Vec::new();
    let mut writes = 0;
    while client.connect() {
        std::thread::sleep(Duration::from_micros(seed.below(12_000) as u64));
        let name = Name(run.now_us() / GENERATION_US, seed.below(KEYS));
        let key = format!("register:{}:{}", name.0, name.1);
        // Told apart by who wrote it and when, and so far from the next that counting up from one
        // never meets another.
        writes += 1;
        let value = (number as i64) << 44 | writes << 16;
        let (words, unknown) = match seed.below(10) {
            0..=2 => (format!("SET {key} {value}"), Some(Act::Set(value))),
            3..=4 => (format!("INCR {key}"), Some(Act::Incr(None))),
            5 => (
                format!("SETNX {key} {value}"),
                Some(Act::SetNx(value, None)),
            ),
            _ => (format!("GET {key}"), None),
        };
        let call_time = run.now_us();
        let outcome = client.ask(&[words]);
        let return_time = run.now_us();
        let (op, return_time) = match (outcome, unknown) {
            (Outcome::Done(replies), unknown) => {
                if unknown.is_some() {
                    client.acknowledged();
                }
                (known(unknown, &replies[0]), return_time)
            }
            (Outcome::Unknown, Some(unknown)) => (unknown, i64::MAX),
            // A read that was not answered, a write that did not happen.
            (Outcome::Unknown, None) | (Outcome::Refused, _) => continue,
        };
        done.push(Operation {
            client_id: Some(number as u32),
            call_time,
            return_time,
            op,
            metadata: Some(name),
        });
    }
    (done, client.acknowledged_us)
}

/// What was done, as the reply says.
fn known(asked: Option<Act>, reply: &Value) -> Act {
    match (asked, reply) {
        (Some(Act::Set(value)), Value::Simple(_)) => Act::Set(value),
        (Some(Act::Incr(_)), Value::Int(result)) => Act::Incr(Some(*result)),
        (Some(Act::SetNx(value, _)), Value::Int(count)) => Act::SetNx(value, Some(*count == 1)),
        (None, Value::Nil) => Act::Get(None),
        (None, Value::Bulk(text)) => {
            let text = String::from_utf8_lossy(text);
            Act::Get(Some(text.parse().expect("a number that was written")))
        }
        (asked, other) => panic!("{asked:?}: {other:?}"),
    }
}

/// Checks that every key was linearizable, and that the check would have seen it otherwise.
pub fn check(history: &[Operation<Key>]) {
    let result = |history: &[_]| check_operations_timeout(history, Duration::from_secs(60));
    if result(history) != CheckResult::Ok {
        let mut wrong = Key::partition_operations(history);
        wrong.retain(|of_key| result(of_key) != CheckResult::Ok);
        for of_key in &mut wrong {
            of_key.sort_by_key(|one| one.call_time);
            for one in of_key {
                eprintln!(
                    "{:?} {:?} {}..{} {:?}",
                    one.metadata, one.client_id, one.call_time, one.return_time, one.op
                );
            }
        }
        panic!("not linearizable");
    }
    assert_ne!(result(&with_a_stale_read(history)), CheckResult::Ok);
}

/// Makes one read stale: it answers what was written over before it was asked.
fn with_a_stale_read(history: &[Operation<Key>]) -> Vec<Operation<Key>> {
    let mut history = history.to_vec();
    for at in (0..history.len()).rev() {
        let (name, asked) = (history[at].metadata.clone(), history[at].call_time);
        if !matches!(history[at].op, Act::Get(Some(_))) {
            continue;
        }
        let set = |one: &Operation<Key>| match one.op {
            Act::Set(value) if one.metadata == name => {
                Some((one.call_time, one.return_time, value))
            }
            _ => None,
        };
        let sets: Vec<(i64, i64, i64)> = history.iter().filter_map(set).collect();
        let newer = sets
            .iter()
            .filter(|set| set.1 < asked)
            .max_by_key(|set| set.0);
        let older = newer.and_then(|newer| sets.iter().find(|set| set.1 < newer.0));
        if let Some(older) = older {
            history[at].op = Act::Get(Some(older.2));
            return history;
        }
    }
    panic!("no read behind two writes of its key");
}

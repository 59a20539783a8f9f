//! Single keys under many connections: linearizable, as `porcupine` checks it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};

use super::on_each_layout;
use super::seed::Seed;
use crate::kit::{Server, Value};

const CONNECTIONS: u64 = 6;
const KEYS: usize = 5;

/// What was done to one key, and what came back.
#[derive(Clone, Debug, PartialEq)]
enum Act {
    Set(i64),
    Get(Option<i64>),
    Incr(i64),
    Del(bool),
    /// `SETNX`: whether it was set.
    SetNx(i64, bool),
}

/// One key.
#[derive(Clone, Debug)]
struct Key;

#[derive(Clone, Debug)]
struct Name(usize);

impl Model for Key {
    type State = Option<i64>;
    type Op = Act;
    type Metadata = Name;

    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let mut by_key: HashMap<usize, Vec<Operation<Self>>> = HashMap::new();
        for one in history {
            by_key.entry(key_of(one)).or_default().push(one.clone());
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
            Act::Incr(value) => (*value == state.unwrap_or(0) + 1, Some(*value)),
            Act::Del(there) => (*there == state.is_some(), None),
            Act::SetNx(value, set) => (*set == state.is_none(), state.or(Some(*value))),
        }
    }
}

fn key_of(one: &Operation<Key>) -> usize {
    one.metadata
        .as_ref()
        .expect("every operation is of a key")
        .0
}

/// One connection's part: what it did, until `end`.
fn act(server: &Server, number: u64, begun: Instant, end: Instant) -> Vec<Operation<Key>> {
    let mut wire = server.wire();
    let mut seed = Seed::new(number);
    let mut done = Vec::new();
    while Instant::now() < end {
        let key = seed.below(KEYS);
        let name = format!("register:{key}");
        // Told apart by who wrote it and when.
        let value = (number as i64) << 40 | (done.len() as i64) << 16;
        let words = match seed.below(10) {
            0..=2 => format!("SET {name} {value}"),
            3..=4 => format!("INCR {name}"),
            5 if seed.below(3) == 0 => format!("DEL {name}"),
            5 => format!("SETNX {name} {value}"),
            _ => format!("GET {name}"),
        };
        let call_time = begun.elapsed().as_nanos() as i64;
        let reply = wire.run(&words);
        let return_time = begun.elapsed().as_nanos() as i64;
        let op = match (words.split(' ').next(), reply) {
            (Some("SET"), Value::Simple(_)) => Act::Set(value),
            (Some("INCR"), Value::Int(result)) => Act::Incr(result),
            (Some("DEL"), Value::Int(count)) => Act::Del(count == 1),
            (Some("SETNX"), Value::Int(count)) => Act::SetNx(value, count == 1),
            (_, Value::Nil) => Act::Get(None),
            (_, Value::Bulk(text)) => {
                Act::Get(Some(String::from_utf8(text).unwrap().parse().unwrap()))
            }
            (_, other) => panic!("{words}: {other:?}"),
        };
        done.push(Operation {
            client_id: Some(number as u32),
            call_time,
            return_time,
            op,
            metadata: Some(Name(key)),
        });
    }
    done
}

fn record(server: &Server, length: Duration) -> Vec<Operation<Key>> {
    let begun = Instant::now();
    let end = begun + length;
    std::thread::scope(|scope| {
        let work = |number| scope.spawn(move || act(server, number, begun, end));
        let running: Vec<_> = (1..=CONNECTIONS).map(work).collect();
        running
            .into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect()
    })
}

fn check(history: &[Operation<Key>]) -> CheckResult {
    check_operations_timeout(history, Duration::from_secs(60))
}

/// Makes one read stale: it answers what was written over before it was asked.
fn with_a_stale_read(history: &[Operation<Key>]) -> Vec<Operation<Key>> {
    let mut history = history.to_vec();
    let sets: Vec<(usize, i64, i64, i64)> = history
        .iter()
        .filter_map(|one| match one.op {
            Act::Set(value) => Some((key_of(one), one.call_time, one.return_time, value)),
            _ => None,
        })
        .collect();
    for at in (0..history.len()).rev() {
        let (key, asked) = (key_of(&history[at]), history[at].call_time);
        if !matches!(history[at].op, Act::Get(Some(_))) {
            continue;
        }
        let of_key = || sets.iter().filter(|set| set.0 == key);
        let Some(newer) = of_key().filter(|set| set.2 < asked).max_by_key(|set| set.1) else {
            continue;
        };
        if let Some(older) = of_key().find(|set| set.2 < newer.1) {
            history[at].op = Act::Get(Some(older.3));
            return history;
        }
    }
    panic!("no read behind two writes of its key");
}

/// Makes two increments answer the same: one of them was lost.
fn with_a_lost_increment(history: &[Operation<Key>]) -> Vec<Operation<Key>> {
    let mut history = history.to_vec();
    let at = history
        .iter()
        .rposition(|one| matches!(one.op, Act::Incr(_)))
        .expect("an increment");
    if let Act::Incr(result) = &mut history[at].op {
        *result -= 1;
    }
    history
}

fn check_layouts(args: &[&str], length: Duration) {
    on_each_layout(args, |server| {
        let history = record(server, length);
        assert!(history.len() > 200, "only {} operations", history.len());
        eprintln!("{} operations", history.len());
        assert_eq!(check(&history), CheckResult::Ok);
        assert_eq!(check(&with_a_stale_read(&history)), CheckResult::Illegal);
        assert_eq!(
            check(&with_a_lost_increment(&history)),
            CheckResult::Illegal
        );
    });
}

#[test]
fn a_key_is_linearizable() {
    check_layouts(&[], Duration::from_secs(3));
}

#[test]
#[ignore = "takes minutes"]
fn a_key_is_linearizable_at_length() {
    for durability in ["low", "high"] {
        check_layouts(&["--durability", durability], Duration::from_secs(20));
    }
}

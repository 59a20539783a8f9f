//! One key as a register, counter and lock at once: what `porcupine` holds a history of it against.

use std::collections::HashMap;
use std::time::Duration;

use porcupine_rs::{CheckResult, Model, Operation, check_operations_timeout};

use crate::kit::{Seed, Value};

/// What was done to a key, and what came back where it is known.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Set(i64),
    Get(Option<i64>),
    Incr(Option<i64>),
    /// Whether it was there.
    Del(Option<bool>),
    /// Whether it was set.
    SetNx(i64, Option<bool>),
}

/// One key.
#[derive(Clone, Debug)]
pub struct Key;

/// Which one: its generation and its number in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name(pub u64, pub usize);

impl Model for Key {
    type State = Option<i64>;
    type Op = Act;
    type Metadata = Name;

    fn partition_operations(history: &[Operation<Self>]) -> Vec<Vec<Operation<Self>>> {
        let mut by_key: HashMap<Name, Vec<Operation<Self>>> = HashMap::new();
        for one in history {
            by_key.entry(name_of(one)).or_default().push(one.clone());
        }
        by_key.into_values().collect()
    }

    fn init() -> Self::State {
        None
    }

    fn step(state: &Self::State, act: &Act) -> (bool, Self::State) {
        let fits = |known: Option<bool>, is: bool| known.is_none_or(|known| known == is);
        match act {
            Act::Set(value) => (true, Some(*value)),
            Act::Get(value) => (value == state, *state),
            Act::Incr(result) => {
                let next = state.unwrap_or(0) + 1;
                (result.is_none_or(|result| result == next), Some(next))
            }
            Act::Del(was_there) => (fits(*was_there, state.is_some()), None),
            Act::SetNx(value, set) => (fits(*set, state.is_none()), state.or(Some(*value))),
        }
    }
}

fn name_of(one: &Operation<Key>) -> Name {
    one.metadata.expect("every operation is of a key")
}

/// Something to do with a key: the command, and what it is while its reply is not known. `value`
/// is no other's, nor to be met by counting up from another's.
pub fn draw(seed: &mut Seed, name: Name, value: i64) -> (String, Act) {
    let key = format!("register:{}:{}", name.0, name.1);
    match seed.below(10) {
        0..=2 => (format!("SET {key} {value}"), Act::Set(value)),
        3..=4 => (format!("INCR {key}"), Act::Incr(None)),
        5 if seed.one_in(3) => (format!("DEL {key}"), Act::Del(None)),
        5 => (format!("SETNX {key} {value}"), Act::SetNx(value, None)),
        _ => (format!("GET {key}"), Act::Get(None)),
    }
}

/// What was done, as the reply says.
pub fn answered(asked: &Act, reply: &Value) -> Act {
    match (asked, reply) {
        (Act::Set(value), Value::Simple(_)) => Act::Set(*value),
        (Act::Incr(_), Value::Int(result)) => Act::Incr(Some(*result)),
        (Act::Del(_), Value::Int(count)) => Act::Del(Some(*count == 1)),
        (Act::SetNx(value, _), Value::Int(count)) => Act::SetNx(*value, Some(*count == 1)),
        (Act::Get(_), Value::Nil) => Act::Get(None),
        (Act::Get(_), Value::Bulk(_)) => {
            let number = reply.text().parse();
            Act::Get(Some(number.expect("a number that was written")))
        }
        (asked, other) => panic!("{asked:?}: {other:?}"),
    }
}

pub fn check(history: &[Operation<Key>]) -> CheckResult {
    check_operations_timeout(history, Duration::from_secs(60))
}

/// Checks that every key was linearizable.
pub fn expect_linearizable(history: &[Operation<Key>]) {
    if check(history) == CheckResult::Ok {
        return;
    }
    let mut wrong = Key::partition_operations(history);
    wrong.retain(|of_key| check(of_key) != CheckResult::Ok);
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

/// Makes one read stale: it answers what was written over before it was asked.
pub fn with_a_stale_read(history: &[Operation<Key>]) -> Vec<Operation<Key>> {
    let mut history = history.to_vec();
    let set = |one: &Operation<Key>| match one.op {
        Act::Set(value) => Some((name_of(one), one.call_time, one.return_time, value)),
        _ => None,
    };
    let sets: Vec<(Name, i64, i64, i64)> = history.iter().filter_map(set).collect();
    for at in (0..history.len()).rev() {
        let (name, asked) = (name_of(&history[at]), history[at].call_time);
        if !matches!(history[at].op, Act::Get(Some(_))) {
            continue;
        }
        let of_key = || sets.iter().filter(|set| set.0 == name);
        let newer = of_key().filter(|set| set.2 < asked);
        let Some(newer) = newer.max_by_key(|set| set.1) else {
            continue;
        };
        if let Some(older) = of_key().find(|set| set.2 < newer.1) {
            history[at].op = Act::Get(Some(older.3));
            return history;
        }
    }
    panic!("no read behind two writes of its key");
}

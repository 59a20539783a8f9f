//! Random transactions over several keys, and what came back of them.

use std::sync::Mutex;

use adya::{Valid, Workload};

use crate::history::{Event, Kind, Part, check};
use crate::kit::{Seed, Value};

/// Keys that are in use at a time. Once they have had their share they make room for new ones:
/// lists stay short.
const KEYS: u64 = 6;

/// The parts of a transaction of `process`, on different keys of a generation. What is written is
/// told apart by `process` and `values`, which counts.
pub fn make(
    seed: &mut Seed,
    workload: Workload,
    generation: u64,
    process: u64,
    values: &mut u64,
) -> Vec<Part> {
    let mut keys: Vec<u64> = (0..KEYS).map(|key| generation * KEYS + key).collect();
    for at in (1..keys.len()).rev() {
        keys.swap(at, seed.below(at + 1));
    }
    keys.truncate(1 + seed.below(4));
    let writes = seed.one_in(2);
    let part = |key| {
        *values += 1;
        let value = process << 32 | *values;
        match workload {
            Workload::ListAppend if seed.one_in(2) => Part::Append(key, value),
            Workload::ListAppend => Part::List(key, Vec::new()),
            Workload::RwRegister if writes => Part::Write(key, value),
            Workload::RwRegister => Part::Read(key, None),
        }
    };
    keys.into_iter().map(part).collect()
}

/// The command that does a part.
pub fn command(part: &Part) -> String {
    match part {
        Part::Append(key, value) => format!("RPUSH list:{key} {value}"),
        Part::List(key, _) => format!("LRANGE list:{key} 0 -1"),
        Part::Write(key, value) => format!("SET text:{key} {value}"),
        Part::Read(key, _) => format!("GET text:{key}"),
    }
}

/// The command that does all parts, which are all writes or all reads of texts: MSET or MGET.
pub fn command_of_all(parts: &[Part]) -> String {
    let name = match parts[0] {
        Part::Write(..) => "MSET",
        _ => "MGET",
    };
    let words = parts.iter().map(|part| match part {
        Part::Write(key, value) => format!(" text:{key} {value}"),
        Part::Read(key, _) => format!(" text:{key}"),
        other => unreachable!("{other:?} among texts"),
    });
    words.fold(name.to_string(), |all, one| all + &one)
}

/// A part with what came back.
pub fn answered(part: &Part, reply: &Value) -> Part {
    match part {
        Part::List(key, _) => Part::List(*key, reply.elements().iter().map(number).collect()),
        Part::Read(key, _) if *reply == Value::Nil => Part::Read(*key, None),
        Part::Read(key, _) => Part::Read(*key, Some(number(reply))),
        part => part.clone(),
    }
}

/// The parts with what came back, which is an array unless all were writes by one command.
pub fn all_answered(parts: &[Part], reply: &Value) -> Vec<Part> {
    match reply {
        Value::Array(replies) => {
            assert_eq!(replies.len(), parts.len(), "{parts:?}: {replies:?}");
            let both = parts.iter().zip(replies);
            both.map(|(part, reply)| answered(part, reply)).collect()
        }
        _ => parts.to_vec(),
    }
}

fn number(value: &Value) -> u64 {
    value.text().parse().expect("a number that we wrote")
}

/// What happened, in the order of real time: an invocation is noted before its request is sent, a
/// completion when its reply is there.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    pub fn note(&self, process: u64, kind: Kind, parts: &[Part]) {
        self.0.lock().unwrap().push(Event {
            process,
            kind,
            parts: parts.to_vec(),
        });
    }

    pub fn transactions(&self) -> u64 {
        self.0.lock().unwrap().len() as u64 / 2
    }

    pub fn into_events(self) -> Vec<Event> {
        self.0.into_inner().unwrap()
    }
}

pub fn expect_valid(events: &[Event], workload: Workload) {
    let report = check(events, workload);
    let (types, found) = (&report.anomaly_types, &report.anomalies);
    assert_eq!(
        report.valid,
        Valid::True,
        "{workload:?}: {types:?} {found:?}"
    );
}

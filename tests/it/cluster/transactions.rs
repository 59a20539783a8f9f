//! Transactions over several shards under faults: strictly serializable, as `adya` checks it.

use std::time::Duration;

use adya::{Valid, Workload};

use super::client::{Client, Outcome, Run};
use crate::kit::{Entrance, Value};
use crate::order::history::{Event, Kind, Part, Recorder, check};
use crate::order::seed::Seed;

/// Keys that are in use at a time, and how long.
const KEYS: u64 = 6;
const GENERATION_US: i64 = 1_000_000;

/// Makes and records transactions until it is over. Those of one process come one after another,
/// but one that nobody knows about ends it: the next is another's.
pub fn act(
    entrance: Entrance,
    number: u64,
    workload: Workload,
    seed: u64,
    recorder: &Recorder,
    run: &Run,
) {
    let mut client = Client::of(entrance, run);
    let mut seed = Seed::new(seed ^ number << 40);
    let mut process = number;
    let mut values = 0;
    let pause_us = match workload {
        Workload::ListAppend => 30_000,
        // What adya derives from registers grows with the square of them.
        Workload::RwRegister => 100_000,
    };
    while client.connect() {
        std::thread::sleep(Duration::from_micros(seed.below(pause_us) as u64));
        let generation = (run.now_us() / GENERATION_US) as u64;
        let parts = make(&mut seed, workload, generation, number, &mut values);
        recorder.note(process, Kind::Invoke, &parts);
        let outcome = match (workload, seed.below(3)) {
            (Workload::RwRegister, 0..2) => many(&mut client, &parts),
            _ => transact(&mut client, &parts, &mut seed),
        };
        match outcome {
            Some(Ok(done)) => recorder.note(process, Kind::Ok, &done),
            Some(Err(Refused)) => recorder.note(process, Kind::Fail, &parts),
            None => {
                recorder.note(process, Kind::Info, &parts);
                process += 1000;
            }
        }
    }
}

/// It certainly did not happen.
struct Refused;

/// What became of a transaction; `None` where nobody knows.
type Became = Option<Result<Vec<Part>, Refused>>;

fn make(
    seed: &mut Seed,
    workload: Workload,
    generation: u64,
    number: u64,
    values: &mut u64,
) -> Vec<Part> {
    let mut keys: Vec<u64> = (0..KEYS).map(|key| generation * KEYS + key).collect();
    for at in (1..keys.len()).rev() {
        keys.swap(at, seed.below(at + 1));
    }
    keys.truncate(1 + seed.below(4));
    let writes = seed.below(2) == 0;
    let part = |key| {
        *values += 1;
        let value = number << 32 | *values;
        match workload {
            Workload::ListAppend if seed.below(2) == 0 => Part::Append(key, value),
            Workload::ListAppend => Part::List(key, Vec::new()),
            Workload::RwRegister if writes => Part::Write(key, value),
            Workload::RwRegister => Part::Read(key, None),
        }
    };
    keys.into_iter().map(part).collect()
}

/// MSET or MGET.
fn many(client: &mut Client<'_>, parts: &[Part]) -> Became {
    let command = match parts[0] {
        Part::Write(..) => "MSET",
        _ => "MGET",
    };
    let words = parts.iter().map(|part| match part {
        Part::Write(key, value) => format!(" text:{key} {value}"),
        Part::Read(key, _) => format!(" text:{key}"),
        other => unreachable!("{other:?} among texts"),
    });
    let words = words.fold(command.to_string(), |all, one| all + &one);
    match client.ask(&[words]) {
        Outcome::Done(replies) => Some(Ok(match &replies[0] {
            Value::Array(replies) => with(parts, replies),
            _ => parts.to_vec(),
        })),
        Outcome::Refused => Some(Err(Refused)),
        Outcome::Unknown => None,
    }
}

fn with(parts: &[Part], replies: &[Value]) -> Vec<Part> {
    let both = parts.iter().zip(replies);
    both.map(|(part, reply)| part.with(reply)).collect()
}

/// MULTI and EXEC; now and then with a read before it that is watched.
fn transact(client: &mut Client<'_>, parts: &[Part], seed: &mut Seed) -> Became {
    let (mut done, mut rest) = (Vec::new(), parts);
    if let Part::List(key, _) = parts[0]
        && parts.len() > 1
        && seed.below(3) == 0
    {
        let watched = [format!("WATCH list:{key}"), parts[0].words()];
        let Outcome::Done(replies) = client.ask(&watched) else {
            // Nothing was written.
            client.forget();
            return Some(Err(Refused));
        };
        if replies[0] != crate::kit::ok() {
            client.forget();
            return Some(Err(Refused));
        }
        done.push(parts[0].with(&replies[1]));
        rest = &parts[1..];
    }
    let mut lines = vec!["MULTI".to_string()];
    lines.extend(rest.iter().map(Part::words));
    lines.push("EXEC".to_string());
    match client.ask(&lines) {
        Outcome::Done(replies) => match &replies[lines.len() - 1] {
            Value::Array(replies) => {
                done.extend(with(rest, replies));
                Some(Ok(done))
            }
            Value::Nil => Some(Err(Refused)),
            other => panic!("EXEC: {other:?}"),
        },
        Outcome::Refused => Some(Err(Refused)),
        Outcome::Unknown => None,
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

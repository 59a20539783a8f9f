//! Transactions over several shards under many connections: strictly serializable, as `adya`
//! checks it.

use std::time::{Duration, Instant};

use adya::{Valid, Workload};

use super::on_each_layout;
use super::transaction::{Recorder, all_answered, answered, command, command_of_all};
use super::transaction::{expect_valid, make};
use crate::history::{Event, Kind, Part, check};
use crate::kit::{Seed, Server, Value, Wire};

const CONNECTIONS: u64 = 6;

/// Transactions in which a generation of keys is used.
const GENERATION: u64 = 60;

/// Transactions after which a history is long enough: what adya derives from registers grows with
/// the square of it.
const TRANSACTIONS_MAX: u64 = 2500;

fn expect_refusal(events: &[Event], workload: Workload, what: &str) {
    let report = check(events, workload);
    assert_eq!(report.valid, Valid::False, "{what} went unseen");
}

/// Does a transaction's parts, the last one's reply last. `None` where what it watched was changed.
fn run(wire: &mut Wire, parts: &[Part], seed: &mut Seed) -> Option<Vec<Part>> {
    if let [part] = parts {
        let reply = wire.run(&command(part));
        return Some(vec![answered(part, &reply)]);
    }
    // Read beforehand, and the rest only if that still holds.
    let watched = match parts[0] {
        Part::List(key, _) if seed.below(3) == 0 => Some(key),
        _ => None,
    };
    let (mut done, mut rest) = (Vec::new(), parts);
    if let Some(key) = watched {
        wire.run(&format!("WATCH list:{key}"));
        let reply = wire.run(&command(&parts[0]));
        done.push(answered(&parts[0], &reply));
        rest = &parts[1..];
    }
    wire.run("MULTI");
    for part in rest {
        wire.run(&command(part));
    }
    match wire.run("EXEC") {
        Value::Nil => None,
        replies @ Value::Array(_) => {
            done.extend(all_answered(rest, &replies));
            Some(done)
        }
        other => panic!("EXEC: {other:?}"),
    }
}

fn act(server: &Server, process: u64, workload: Workload, recorder: &Recorder, end: Instant) {
    let mut wire = server.wire();
    let mut seed = Seed::new(process);
    let mut values = 0;
    while Instant::now() < end && recorder.transactions() < TRANSACTIONS_MAX {
        let generation = recorder.transactions() / GENERATION;
        let parts = make(&mut seed, workload, generation, process, &mut values);
        recorder.note(process, Kind::Invoke, &parts);
        let done = match workload {
            Workload::ListAppend => run(&mut wire, &parts, &mut seed),
            Workload::RwRegister if seed.below(3) == 0 => run(&mut wire, &parts, &mut seed),
            Workload::RwRegister => {
                let reply = wire.run(&command_of_all(&parts));
                Some(all_answered(&parts, &reply))
            }
        };
        match done {
            Some(done) => recorder.note(process, Kind::Ok, &done),
            None => recorder.note(process, Kind::Fail, &parts),
        }
    }
}

fn record(server: &Server, workload: Workload, length: Duration) -> Vec<Event> {
    let recorder = Recorder::default();
    let end = Instant::now() + length;
    std::thread::scope(|scope| {
        for process in 1..=CONNECTIONS {
            let recorder = &recorder;
            scope.spawn(move || act(server, process, workload, recorder, end));
        }
    });
    recorder.into_events()
}

/// Place of the invocation that belongs to the completion at `at`.
fn invocation_of(events: &[Event], at: usize) -> usize {
    let process = events[at].process;
    events[..at]
        .iter()
        .rposition(|one| one.process == process && one.kind == Kind::Invoke)
        .expect("what completes was invoked")
}

/// Takes the last element from a list that was read, though its append was acknowledged before the
/// read was asked for.
fn with_a_stale_read(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    for at in (0..events.len()).rev() {
        if events[at].kind != Kind::Ok {
            continue;
        }
        let [Part::List(key, values)] = &events[at].parts[..] else {
            continue;
        };
        let Some(last) = values.last() else {
            continue;
        };
        let append = Part::Append(*key, *last);
        let asked = invocation_of(&events, at);
        let known = events[..asked]
            .iter()
            .any(|one| one.kind == Kind::Ok && one.parts.contains(&append));
        // Somebody else must have read it in full: that is how the order of the list is known.
        let full = events.iter().enumerate().any(|(other, one)| {
            other != at
                && one.kind == Kind::Ok
                && one.parts.iter().any(
                    |part| matches!(part, Part::List(other, list) if other == key && list.contains(last)),
                )
        });
        if known && full {
            if let Part::List(_, values) = &mut events[at].parts[0] {
                values.pop();
            }
            return events;
        }
    }
    panic!("no read of a list behind its last append");
}

/// Splits an MSET: a read of two of its keys answers the one as written and the other as it was
/// before.
fn with_half_a_write(events: &[Event]) -> Vec<Event> {
    let mut events = events.to_vec();
    for at in 0..events.len() {
        if events[at].kind != Kind::Ok || events[at].parts.len() < 2 {
            continue;
        }
        let reads: Vec<(u64, u64)> = events[at]
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Read(key, Some(value)) => Some((*key, *value)),
                _ => None,
            })
            .collect();
        let together = events.iter().find(|one| {
            let wrote = |(key, value): &&(u64, u64)| one.parts.contains(&Part::Write(*key, *value));
            one.kind == Kind::Ok && reads.iter().filter(wrote).count() >= 2
        });
        let Some(writer) = together else { continue };
        let (key, value) = *reads
            .iter()
            .rfind(|(key, value)| writer.parts.contains(&Part::Write(*key, *value)))
            .expect("two of them");
        for part in &mut events[at].parts {
            if *part == Part::Read(key, Some(value)) {
                *part = Part::Read(key, None);
            }
        }
        return events;
    }
    panic!("no read of two keys that were written together");
}

#[test]
fn appends_and_reads_over_shards_are_strictly_serializable() {
    on_each_layout(&[], |server| appends(server, Duration::from_secs(3)));
}

fn appends(server: &Server, length: Duration) {
    let events = record(server, Workload::ListAppend, length);
    eprintln!("{} events", events.len());
    assert!(events.len() > 200);
    expect_valid(&events, Workload::ListAppend);
    expect_refusal(
        &with_a_stale_read(&events),
        Workload::ListAppend,
        "a stale read",
    );
}

#[test]
fn mset_and_mget_over_shards_are_strictly_serializable() {
    on_each_layout(&[], |server| texts(server, Duration::from_secs(3)));
}

fn texts(server: &Server, length: Duration) {
    let events = record(server, Workload::RwRegister, length);
    eprintln!("{} events", events.len());
    assert!(events.len() > 200);
    expect_valid(&events, Workload::RwRegister);
    expect_refusal(
        &with_half_a_write(&events),
        Workload::RwRegister,
        "half an MSET",
    );
}

#[test]
#[ignore = "takes minutes"]
fn transactions_are_strictly_serializable_at_length() {
    for durability in ["low", "high"] {
        on_each_layout(&["--durability", durability], |server| {
            appends(server, Duration::from_secs(20));
            texts(server, Duration::from_secs(20));
        });
    }
}

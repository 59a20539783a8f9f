//! Transactions over several shards under faults: strictly serializable, as `adya` checks it.

use std::time::Duration;

use adya::Workload;

use super::client::{Client, Outcome, Run};
use crate::history::{Kind, Part};
use crate::kit::{Entrance, Seed, Value};
use crate::order::transaction::{Recorder, all_answered, answered, command, command_of_all, make};

/// How many requests of all clients a generation of keys is in use for.
const GENERATION: u64 = 150;

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
        std::thread::sleep(Duration::from_micros(seed.below(pause_us)));
        let generation = run.requests() / GENERATION;
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

/// MSET or MGET.
fn many(client: &mut Client<'_>, parts: &[Part]) -> Became {
    match client.ask(&[command_of_all(parts)]) {
        Outcome::Done(replies) => Some(Ok(all_answered(parts, &replies[0]))),
        Outcome::Refused => Some(Err(Refused)),
        Outcome::Unknown => None,
    }
}

/// MULTI and EXEC; now and then with a read before it that is watched.
fn transact(client: &mut Client<'_>, parts: &[Part], seed: &mut Seed) -> Became {
    let (mut done, mut rest) = (Vec::new(), parts);
    if let Part::List(key, _) = parts[0]
        && parts.len() > 1
        && seed.below(3) == 0
    {
        let watched = [format!("WATCH list:{key}"), command(&parts[0])];
        let Outcome::Done(replies) = client.ask(&watched) else {
            // Nothing was written.
            client.forget();
            return Some(Err(Refused));
        };
        if replies[0] != crate::kit::ok() {
            client.forget();
            return Some(Err(Refused));
        }
        done.push(answered(&parts[0], &replies[1]));
        rest = &parts[1..];
    }
    let mut lines = vec!["MULTI".to_string()];
    lines.extend(rest.iter().map(command));
    lines.push("EXEC".to_string());
    match client.ask(&lines) {
        Outcome::Done(replies) => match &replies[lines.len() - 1] {
            replies @ Value::Array(_) => {
                done.extend(all_answered(rest, replies));
                Some(Ok(done))
            }
            Value::Nil => Some(Err(Refused)),
            other => panic!("EXEC: {other:?}"),
        },
        Outcome::Refused => Some(Err(Refused)),
        Outcome::Unknown => None,
    }
}

//! Single keys under many connections: linearizable, as `porcupine` checks it.

use std::time::{Duration, Instant};

use porcupine_rs::{CheckResult, Operation};

use super::key::{Act, Key, Name, answered, check, draw, expect_linearizable, with_a_stale_read};
use super::on_each_layout;
use crate::kit::{Seed, Server};

const CONNECTIONS: u64 = 6;
const KEYS: usize = 5;

/// One connection's part: what it did, until `end`.
fn act(server: &Server, number: u64, begun: Instant, end: Instant) -> Vec<Operation<Key>> {
    let mut wire = server.wire();
    let mut seed = Seed::new(number);
    let mut done = Vec::new();
    while Instant::now() < end {
        let name = Name(0, seed.below(KEYS));
        // Told apart by who wrote it and when.
        let value = (number as i64) << 40 | (done.len() as i64) << 16;
        let (words, asked) = draw(&mut seed, name, value);
        let call_time = begun.elapsed().as_nanos() as i64;
        let reply = wire.run(&words);
        let return_time = begun.elapsed().as_nanos() as i64;
        done.push(Operation {
            client_id: Some(number as u32),
            call_time,
            return_time,
            op: answered(&asked, &reply),
            metadata: Some(name),
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

/// Makes two increments answer the same: one of them was lost.
fn with_a_lost_increment(history: &[Operation<Key>]) -> Vec<Operation<Key>> {
    let mut history = history.to_vec();
    let mut acts = history.iter_mut().map(|one| &mut one.op).rev();
    let result = acts.find_map(|act| match act {
        Act::Incr(Some(result)) => Some(result),
        _ => None,
    });
    *result.expect("an increment") -= 1;
    history
}

fn check_layouts(args: &[&str], length: Duration) {
    on_each_layout(args, |server| {
        let history = record(server, length);
        assert!(history.len() > 200, "only {} operations", history.len());
        eprintln!("{} operations", history.len());
        expect_linearizable(&history);
        for spoilt in [with_a_stale_read(&history), with_a_lost_increment(&history)] {
            assert_eq!(check(&spoilt), CheckResult::Illegal);
        }
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

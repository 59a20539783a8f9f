//! Single keys under faults: linearizable, as `porcupine` checks it.
//!
//! Keys are used for a while only: what nobody knows about stays open to the end of its key's
//! history, and many such make a history hard to check.

use std::time::Duration;

use porcupine_rs::{CheckResult, Operation};

use super::client::{Client, Outcome, Run};
use crate::kit::{Entrance, Seed};
use crate::order::key::{Act, Key, Name, answered, draw, expect_linearizable, with_a_stale_read};

const KEYS: usize = 4;

/// How many requests of all clients a key is used for: a slow machine has as much in a history as
/// a fast one.
const GENERATION: u64 = 220;

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
        std::thread::sleep(Duration::from_micros(seed.below(12_000)));
        let name = Name(run.requests() / GENERATION, seed.below(KEYS));
        // Told apart by who wrote it and when, and so far from the next that counting up from one
        // never meets another.
        writes += 1;
        let value = (number as i64) << 44 | writes << 16;
        let (words, asked) = draw(&mut seed, name, value);
        let is_read = matches!(asked, Act::Get(_));
        let call_time = run.now_us();
        let outcome = client.ask(&[words]);
        let return_time = run.now_us();
        let (op, return_time) = match outcome {
            Outcome::Done(replies) => {
                if !is_read {
                    client.acknowledged();
                }
                (answered(&asked, &replies[0]), return_time)
            }
            // A read that was not answered, a write that did not happen.
            Outcome::Unknown if is_read => continue,
            Outcome::Refused => continue,
            Outcome::Unknown => (asked, i64::MAX),
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

/// Checks that every key was linearizable, and that the check would have seen it otherwise.
pub fn check(history: &[Operation<Key>]) {
    expect_linearizable(history);
    let spoilt = crate::order::key::check(&with_a_stale_read(history));
    assert_ne!(spoilt, CheckResult::Ok);
}

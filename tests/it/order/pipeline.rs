//! Random requests of one connection in deep pipelines: the replies of a sequential model.

use super::model::Model;
use super::on_each_layout;
use crate::kit::{Seed, Server, Value, command};

/// Requests as words. `k` is a key, `v` a value; few keys, so that requests meet.
const REQUESTS: &[&str] = &[
    "GET k",
    "GET k",
    "GET k",
    "GET k",
    "SET k v",
    "SET k v",
    "SET k v",
    "STRLEN k",
    "APPEND k v",
    "INCR k",
    "INCR k",
    "INCR k",
    "MGET k k",
    "MGET k k k k k",
    "MSET k v k v",
    "MSET k v k v k v k v",
    "MSETNX k v k v",
    "RPUSH k v v",
    "RPUSH k v",
    "LPOP k",
    "LLEN k",
    "LRANGE k 0 -1",
    "DEL k",
    "DEL k k k",
    "EXISTS k",
    "EXISTS k k k",
    "TYPE k",
    "RENAME k j",
    "COPY k j REPLACE",
    "DBSIZE",
    "DBSIZE",
    "FLUSHDB",
    "PING",
    "ECHO v",
];

fn request(seed: &mut Seed) -> Vec<String> {
    let key = |seed: &mut Seed, bound: usize| format!("key:{}", seed.below(bound));
    let template = *seed.pick(REQUESTS);
    template
        .split(' ')
        .map(|word| match word {
            "k" => key(seed, 9),
            // Not the key before it: RENAME and COPY to itself are another story.
            "j" => format!("other:{}", seed.below(3)),
            "v" => match seed.below(3) {
                0 => seed.below(100).to_string(),
                1 => "x".repeat(seed.below(40)),
                _ => format!("v{}", seed.below(1000)),
            },
            word => word.to_string(),
        })
        .collect()
}

/// The next request, with what surrounds transactions.
fn next(seed: &mut Seed, model: &Model) -> Vec<String> {
    let one = |word: &str| vec![word.to_string()];
    if model.is_queueing() {
        return match seed.below(8) {
            0 | 1 => one("EXEC"),
            2 if seed.below(4) == 0 => one("DISCARD"),
            _ => request(seed),
        };
    }
    match seed.below(24) {
        0 | 1 => one("MULTI"),
        2 => {
            let mut words = one("WATCH");
            words.extend((0..1 + seed.below(3)).map(|_| format!("key:{}", seed.below(9))));
            words
        }
        3 if seed.below(3) == 0 => one("UNWATCH"),
        4 => vec!["SELECT".to_string(), seed.below(3).to_string()],
        _ => {
            let words = request(seed);
            // A flush changes what is watched and not there, which Redis sees otherwise.
            if words[0] == "FLUSHDB" && (model.is_watching() || seed.below(4) > 0) {
                one("MULTI")
            } else {
                words
            }
        }
    }
}

fn run_seed(server: &Server, number: u64) {
    let mut seed = Seed::new(number);
    let mut wire = server.wire();
    wire.run("FLUSHALL");
    let mut model = Model::default();
    let (mut requests, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let depth = [1, 5, 50, 500, 3000][seed.below(5)];
        let mut bytes = Vec::new();
        for _ in 0..depth {
            let mut words = next(&mut seed, &model);
            // Within a transaction a flush would hit what is watched just as well.
            if model.is_queueing() && words[0] == "FLUSHDB" {
                words = vec!["DBSIZE".to_string()];
            }
            expected.push(model.run(&words));
            bytes.extend(command(&words));
            requests.push(words);
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let length = (1 + seed.below(20_000)).min(rest.len());
            wire.send(&rest[..length]);
            rest = &rest[length..];
        }
        for at in expected.len() - depth..expected.len() {
            let came = wire.reply();
            if came != expected[at] {
                fail(number, at, &requests, &expected, &came);
            }
        }
    }
}

fn fail(number: u64, at: usize, requests: &[Vec<String>], expected: &[Value], came: &Value) -> ! {
    for before in at.saturating_sub(15)..at {
        eprintln!("{} -> {:?}", requests[before].join(" "), expected[before]);
    }
    panic!(
        "seed {number}, request {at}, {}: {came:?}, not {:?}",
        requests[at].join(" "),
        expected[at]
    );
}

#[test]
fn a_pipeline_is_answered_in_its_order() {
    on_each_layout(&[], |server| {
        (0..40).for_each(|seed| run_seed(server, seed))
    });
}

#[test]
fn a_pipeline_is_answered_in_its_order_behind_the_disk() {
    on_each_layout(&["--durability", "high"], |server| {
        (100..110).for_each(|seed| run_seed(server, seed));
    });
}

#[test]
#[ignore = "takes minutes"]
fn a_pipeline_is_answered_in_its_order_at_length() {
    on_each_layout(&[], |server| {
        (1000..3000).for_each(|seed| run_seed(server, seed))
    });
}

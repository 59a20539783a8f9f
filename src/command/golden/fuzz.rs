//! Random commands on a few keys: the same replies as `redis-server`, and reads that change
//! nothing.

use std::collections::BTreeMap;

use crate::clock::now_ms;
use crate::command::{Flags, Rng, by_name};
use crate::keyspace::Keyspace;

use super::grammar::{COLLECTIONS, SORTS, STRINGS, draw, with_args};
use super::redis::Redis;
use super::{Scene, render};

/// Whether two rendered replies are the same but for the order of elements where that means
/// nothing, and for the time that passed between them.
fn agree(command: &str, ours: &str, theirs: &str) -> bool {
    let sorted = |text: &str| {
        let mut items: Vec<String> = text.split(", ").map(str::to_string).collect();
        items.iter_mut().for_each(|item| {
            *item = item.trim_matches(['[', ']']).to_string();
        });
        items.sort();
        items
    };
    // Redis 7.2 prints the shortest digits that read back, servers before it 17 of them.
    let folded = |text: &str| -> Vec<String> {
        let items = text.split(['[', ']', '"', ',', ' ']);
        items
            .map(|item| match item.parse::<f64>() {
                Ok(number) => number.to_string(),
                Err(_) => item.to_string(),
            })
            .collect()
    };
    let number = |text: &str| {
        text.strip_prefix(':')
            .and_then(|text| text.parse::<i64>().ok())
    };
    match command {
        "KEYS" | "SMEMBERS" | "SINTER" | "SUNION" | "SDIFF" | "HKEYS" | "HGETALL" => {
            sorted(ours) == sorted(theirs)
        }
        // A bit that is written as it was makes Redis keep the string otherwise; short lists and sets are
        // listpacks since 7.2.
        "OBJECT" => {
            ours == theirs || ["\"raw\"", "\"quicklist\"", "\"hashtable\""].contains(&theirs)
        }
        "TTL" | "EXPIRETIME" => match (number(ours), number(theirs)) {
            (Some(ours), Some(theirs)) => (ours - theirs).abs() <= 1 && (ours < 0) == (theirs < 0),
            _ => ours == theirs,
        },
        _ if command.starts_with('Z') => ours == theirs || folded(ours) == folded(theirs),
        _ => ours == theirs,
    }
}

/// Rounds in all: some seconds' worth, or as many as `FUZZ_ROUNDS` says.
pub fn rounds() -> u64 {
    std::env::var("FUZZ_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(200)
}

#[test]
#[ignore = "starts a redis-server"]
fn redis_sorts_alike() {
    compare(SORTS);
}

#[test]
#[ignore = "starts a redis-server"]
fn redis_answers_random_commands_on_strings_alike() {
    compare(STRINGS);
}

#[test]
#[ignore = "starts a redis-server"]
fn redis_answers_random_commands_on_collections_alike() {
    compare(COLLECTIONS);
}

/// Plays random commands here and there, a fresh keyspace for each seed.
fn compare(commands: &[&str]) {
    let mut redis = Redis::start();
    let mut differing = BTreeMap::new();
    for seed in 0..rounds() {
        let mut rng = Rng::new(seed);
        let mut scene = Scene::new();
        redis.reset();
        let mut history = Vec::new();
        for _ in 0..100 {
            let words = draw(&mut rng, commands);
            history.push(words.join(" "));
            scene.now_ms = now_ms();
            let theirs = with_args(&words, |args| redis.run(args));
            let ours = if words[0] == "SELECT" {
                scene.db = words[1].parse().unwrap();
                b"+OK\r\n".to_vec()
            } else {
                with_args(&words, |args| scene.run(args))
            };
            let (ours, theirs) = (render::reply(&ours), render::reply(&theirs));
            if !agree(&words[0], &ours, &theirs) {
                let tail = history[history.len().saturating_sub(6)..].join("\n    ");
                differing.entry(words[0].clone()).or_insert_with(|| {
                    format!("seed {seed}\n    {tail}\n  ours   {ours}\n  redis  {theirs}")
                });
                break;
            }
        }
    }
    let report: Vec<String> = differing.into_values().collect();
    assert!(report.is_empty(), "{}", report.join("\n"));
}

#[test]
fn reads_change_no_version_and_refusals_neither() {
    (0..200).for_each(|seed| check_versions(seed, STRINGS));
    (200..400).for_each(|seed| check_versions(seed, COLLECTIONS));
}

fn check_versions(seed: u64, commands: &[&str]) {
    {
        let mut rng = Rng::new(seed);
        let mut scene = Scene::new();
        for _ in 0..100 {
            let words = draw(&mut rng, commands);
            let before = versions(&scene);
            if words[0] == "SELECT" {
                scene.db = words[1].parse().unwrap();
                continue;
            }
            let reply = with_args(&words, |args| scene.run(args));
            let Some(spec) = by_name(words[0].as_bytes()) else {
                continue;
            };
            if !spec.flags.has(Flags::WRITE) || reply.starts_with(b"-") {
                assert_eq!(before, versions(&scene), "seed {seed}: {words:?}");
            }
        }
    }
}

/// What WATCH would compare, of every key that the commands name, in both databases.
fn versions(scene: &Scene) -> Vec<u64> {
    let names = ["a", "b", "c", "ab", "abc"];
    (0..2)
        .flat_map(|db| names.map(|name| (db, name)))
        .map(|(db, name)| {
            let database = scene.keyspace.db(db);
            database.version_of(name.as_bytes(), scene.now_ms)
        })
        .collect()
}

/// Runs one drawn command; `SELECT` is the scene's own.
fn step(scene: &mut Scene, words: &[String]) -> Vec<u8> {
    if words[0] == "SELECT" {
        scene.db = words[1].parse().unwrap();
        return Vec::new();
    }
    with_args(words, |args| scene.run(args))
}

/// Two replicas whose tables are in another order hold and answer the same.
#[test]
fn nothing_depends_on_the_order_of_the_table() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let commands = if seed % 2 == 0 { STRINGS } else { COLLECTIONS };
        let mut scenes = [1, 2].map(|order| Scene {
            keyspace: Keyspace::new(order),
            ..Scene::new()
        });
        for _ in 0..100 {
            let words = draw(&mut rng, commands);
            let [first, second] = scenes.each_mut().map(|scene| step(scene, &words));
            assert!(
                words[0] == "KEYS" || first == second,
                "seed {seed}: {words:?}"
            );
        }
        let [first, second] = scenes.map(|scene| contents(&scene));
        assert_eq!(first, second, "seed {seed}");
    }
}

/// A key's image, expiry and version.
type Held = (Vec<u8>, u64, u64);

/// What every key of every database holds.
fn contents(scene: &Scene) -> BTreeMap<(usize, Vec<u8>), Held> {
    let databases = scene.keyspace.databases().enumerate();
    let entries = databases.flat_map(|(db, database)| {
        database.table().iter().map(move |entry| {
            let mut image = Vec::new();
            entry.value.write_image(&mut image);
            let key = (db, entry.key.as_bytes().into_owned());
            (key, (image, entry.expires_at_ms, entry.version))
        })
    });
    entries.collect()
}

/// Whatever sets, moves or takes away expiries: each key that has one falls due, no other does.
#[test]
fn what_expires_falls_due() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let mut scene = Scene::new();
        for _ in 0..100 {
            step(&mut scene, &draw(&mut rng, STRINGS));
            scene.now_ms += rng.below(100_000) as u64;
        }
        for db in 0..2 {
            let database = scene.keyspace.db_mut(db);
            let volatile = database
                .table()
                .iter()
                .filter(|entry| entry.expires_at_ms != 0);
            let mut expected: Vec<Vec<u8>> = volatile
                .map(|entry| entry.key.as_bytes().into_owned())
                .collect();
            assert_eq!(expected.len(), database.volatile(), "seed {seed}");
            let due = database.take_due(u64::MAX, usize::MAX);
            let mut due: Vec<Vec<u8>> = due.iter().map(|key| key.as_bytes().into_owned()).collect();
            expected.sort();
            due.sort();
            due.dedup();
            assert_eq!(due, expected, "seed {seed}");
        }
    }
}

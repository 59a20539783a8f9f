//! Random commands on a few keys: the same replies as `redis-server`, and reads that change
//! nothing.

use std::collections::BTreeMap;

use crate::clock::now_ms;
use crate::command::{Flags, Rng, by_name};
use crate::resp::{Args, Span};

use super::redis::Redis;
use super::{Scene, render};

/// Commands with the kinds of their arguments: `k` key, `v` value, `n` small number, `i` any
/// number, `f` float, `t` time in s, `p` pattern, `b` 0 or 1; a group in brackets is left out at
/// random; anything else stands for itself.
const COMMANDS: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k v [NX] [XX] [GET] [KEEPTTL] [EX t] [EXAT 4102444800]",
    "SETNX k v",
    "SETEX k t v",
    "GETSET k v",
    "GETDEL k",
    "GETEX k [EX t] [PERSIST] [PXAT 1]",
    "GETRANGE k n n",
    "SETRANGE k n v",
    "SUBSTR k n n",
    "APPEND k v",
    "STRLEN k",
    "INCR k",
    "DECR k",
    "INCRBY k i",
    "DECRBY k i",
    "INCRBYFLOAT k f",
    "LCS k k [LEN] [IDX] [MINMATCHLEN n] [WITHMATCHLEN]",
    "MGET k k k",
    "MSET k v k v",
    "MSETNX k v k v",
    "SET k f",
    "SET k i",
    "SETBIT k o b",
    "GETBIT k o",
    "BITCOUNT k",
    "BITCOUNT k n n [BIT]",
    "BITPOS k b",
    "BITPOS k b n",
    "BITPOS k b n n [BIT]",
    "BITOP AND k k k",
    "BITOP OR k k k k",
    "BITOP XOR k k k",
    "BITOP NOT k k",
    "BITFIELD k [OVERFLOW w] INCRBY u o i SET u o i [OVERFLOW w] INCRBY u o n",
    "BITFIELD_RO k GET u o GET u o",
    "DEL k [k]",
    "UNLINK k",
    "EXISTS k k",
    "TOUCH k k",
    "TYPE k",
    "EXPIRE k t [NX] [XX] [GT] [LT]",
    "PEXPIREAT k 4102444800123 [NX] [GT] [LT]",
    "EXPIREAT k n",
    "EXPIRETIME k",
    "TTL k",
    "PERSIST k",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k [DB b] [REPLACE]",
    "MOVE k b",
    "OBJECT ENCODING k",
    "KEYS p",
    "DBSIZE",
    "SWAPDB b b",
    "SELECT b",
];

fn pick<'a>(rng: &mut Rng, items: &[&'a str]) -> &'a str {
    items[rng.below(items.len())]
}

fn argument(rng: &mut Rng, kind: &str) -> String {
    match kind {
        "k" => pick(rng, &["a", "b", "c", "ab", "abc"]).into(),
        "v" => match rng.below(4) {
            0 => (rng.next() as i64 >> rng.below(64)).to_string(),
            1 => "ab".repeat(rng.below(30)),
            2 => "".into(),
            _ => pick(rng, &["x", "hello", "01", " 1", "-0", "1.5", "3.0e3"]).into(),
        },
        "n" => (rng.below(41) as i64 - 20).to_string(),
        "i" => (rng.next() as i64 >> rng.below(64)).to_string(),
        "f" => {
            let number = rng.next() as i64 >> rng.below(64);
            let scale = rng.below(12);
            match rng.below(4) {
                0 => format!("{number}.{}", rng.next() >> rng.below(64)),
                1 => format!("{}e-{scale}", number % 1_000_000),
                2 => format!("{}e{}", number % 1000, scale * 3),
                _ => format!("0.{}", rng.below(100)),
            }
        }
        "t" => pick(rng, &["100", "1000", "5000", "0", "-1", "x"]).into(),
        "o" => (rng.below(200) as i64 - 3).to_string(),
        "u" => format!("{}{}", pick(rng, &["i", "u"]), rng.below(65)),
        "w" => pick(rng, &["WRAP", "SAT", "FAIL"]).into(),
        "b" => rng.below(2).to_string(),
        "p" => {
            let parts = [
                "*", "?", "a", "b", "c", "[a-b]", "[^a]", "[c-a]", "\\a", "[b", "[",
            ];
            (0..1 + rng.below(4)).map(|_| pick(rng, &parts)).collect()
        }
        other => other.into(),
    }
}

/// A command's words.
fn draw(rng: &mut Rng, commands: &[&str]) -> Vec<String> {
    let template = pick(rng, commands);
    let mut words = Vec::new();
    let mut is_left_out = false;
    for part in template.split(' ') {
        if part.starts_with('[') {
            is_left_out = rng.below(4) > 0;
        }
        if !is_left_out {
            let kind = part.trim_start_matches('[').trim_end_matches(']');
            words.push(argument(rng, kind));
        }
        if part.ends_with(']') {
            is_left_out = false;
        }
    }
    words
}

/// The words as a request's arguments.
fn with_args<R>(words: &[String], run: impl FnOnce(Args<'_>) -> R) -> R {
    let buffer = words.concat();
    let mut end = 0;
    let spans: Vec<Span> = words
        .iter()
        .map(|word| {
            let start = end;
            end += word.len() as u32;
            Span { start, end }
        })
        .collect();
    run(Args::new(buffer.as_bytes(), &spans))
}

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
    let number = |text: &str| {
        text.strip_prefix(':')
            .and_then(|text| text.parse::<i64>().ok())
    };
    match command {
        "KEYS" => sorted(ours) == sorted(theirs),
        // A bit that is written as it was makes Redis keep the string otherwise.
        "OBJECT" => ours == theirs || theirs == "\"raw\"",
        "TTL" | "EXPIRETIME" => match (number(ours), number(theirs)) {
            (Some(ours), Some(theirs)) => (ours - theirs).abs() <= 1 && (ours < 0) == (theirs < 0),
            _ => ours == theirs,
        },
        _ => ours == theirs,
    }
}

/// Rounds in all: some seconds' worth, or as many as `FUZZ_ROUNDS` says.
fn rounds() -> u64 {
    std::env::var("FUZZ_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(200)
}

#[test]
#[ignore = "starts a redis-server"]
fn redis_answers_random_commands_alike() {
    let mut redis = Redis::start();
    let mut differing = BTreeMap::new();
    for seed in 0..rounds() {
        let mut rng = Rng::new(seed);
        let mut scene = Scene::new();
        redis.reset();
        let mut history = Vec::new();
        for _ in 0..100 {
            let words = draw(&mut rng, COMMANDS);
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
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut scene = Scene::new();
        for _ in 0..100 {
            let words = draw(&mut rng, COMMANDS);
            let before = versions(&scene);
            if words[0] == "SELECT" {
                scene.db = words[1].parse().unwrap();
                continue;
            }
            let reply = with_args(&words, |args| scene.run(args));
            let spec = by_name(words[0].as_bytes()).unwrap();
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

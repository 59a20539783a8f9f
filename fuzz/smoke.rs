//! The fuzz targets for a moment, on stable Rust: seeds and mutations of them through the same
//! functions. A failure prints its seed; `QUORATE_FUZZ_SEED` runs another one,
//! `QUORATE_FUZZ_ROUNDS` more of them.

mod decode;

use std::path::Path;

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// Rounds that take a few seconds in a debug build.
const ROUNDS: u64 = 60_000;

/// Longest input made by mutation, in bytes.
const INPUT_BYTES_MAX: usize = 2048;

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[test]
fn decoder() {
    let seeds = seeds("decode");
    assert!(seeds.len() >= 8);
    for seed in &seeds {
        for cut in 0..=u8::MAX {
            decode::check(cut, seed);
        }
    }
    let seed = number("QUORATE_FUZZ_SEED", 20_261_120);
    for round in 0..number("QUORATE_FUZZ_ROUNDS", ROUNDS) {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(round));
        let (cut, data) = (random.random(), mutated(&seeds, &mut random));
        if let Err(cause) = std::panic::catch_unwind(|| decode::check(cut, &data)) {
            eprintln!(
                "QUORATE_FUZZ_SEED={} fails on {:?}, cut by {cut}",
                seed + round,
                data.escape_ascii().to_string()
            );
            std::panic::resume_unwind(cause);
        }
    }
}

/// Pieces that a random byte seldom makes.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r",
    b"\n",
    b"*",
    b"$",
    b"*1\r\n",
    b"*0\r\n",
    b"*-1\r\n",
    b"$-1\r\n",
    b"$0\r\n\r\n",
    b"$1\r\nx\r\n",
    b"*1048576\r\n",
    b"*1048577\r\n",
    b"$536870912\r\n",
    b"$536870913\r\n",
    b"\"",
    b"'",
    b"\\x4",
    b"\\x41",
    b"\"\\",
    b" ",
    b"\0",
    b"9223372036854775808",
    b"-0",
    b"+1",
    b"01",
    b"PING\r\n",
    b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
];

fn mutated(seeds: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut data = Vec::new();
    for _ in 0..random.random_range(1..4) {
        data.extend_from_slice(&seeds[random.random_range(0..seeds.len())]);
    }
    for _ in 0..random.random_range(0..8) {
        let at = random.random_range(0..=data.len());
        match random.random_range(0..5) {
            0 if at < data.len() => data[at] = random.random(),
            1 if at < data.len() => {
                let end = (at + random.random_range(1..16)).min(data.len());
                data.drain(at..end);
            }
            2 => {
                let mut bytes = [0; 4];
                random.fill_bytes(&mut bytes);
                data.splice(at..at, bytes);
            }
            3 if at < data.len() => {
                let end = (at + random.random_range(1..64)).min(data.len());
                let copy = data[at..end].to_vec();
                data.splice(at..at, copy);
            }
            _ => {
                let word = WORDS[random.random_range(0..WORDS.len())];
                data.splice(at..at, word.iter().copied());
            }
        }
    }
    data.truncate(INPUT_BYTES_MAX);
    data
}

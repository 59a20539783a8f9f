//! Looking keys up and setting them: where all are in cache, and where none is.

use std::hint::black_box;

use criterion::Criterion;
use quorate::keyspace::Keyspace;

/// Keys that stay in the second-level cache, and keys that do not fit any.
const COUNTS: [(&str, usize); 2] = [("1k keys", 1_000), ("1M keys", 1_000_000)];

const NOW_MS: u64 = 1_700_000_000_000;

fn key(number: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Numbers below `count` in an order that no prefetcher guesses.
fn scattered(count: usize) -> impl FnMut() -> usize {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % count as u64) as usize
    }
}

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("keyspace");
    for (name, count) in COUNTS {
        let mut keyspace = Keyspace::new(1);
        let database = keyspace.db_mut(0);
        for number in 0..count {
            database.set_string(&key(number), &[b'v'; 32], 1);
        }
        let mut next = scattered(count);
        group.bench_function(format!("get, {name}"), |bencher| {
            bencher.iter(|| {
                database
                    .get(&key(next()), NOW_MS)
                    .map(|entry| entry.version)
            });
        });
        group.bench_function(format!("get 16 asked for ahead, {name}"), |bencher| {
            bencher.iter(|| {
                let keys: [[u8; 16]; 16] = std::array::from_fn(|_| key(next()));
                let hashes = keys.map(|key| database.prefetch_entry(&key));
                hashes
                    .iter()
                    .for_each(|hash| database.prefetch_value(*hash));
                for key in &keys {
                    black_box(database.get(key, NOW_MS));
                }
            });
        });
        group.bench_function(format!("set, {name}"), |bencher| {
            bencher.iter(|| database.set_string(&key(next()), &[b'w'; 32], 2));
        });
        group.bench_function(format!("set and remove, {name}"), |bencher| {
            bencher.iter(|| {
                database.set_string(b"another", &[b'w'; 32], 2);
                black_box(database.remove(b"another", 3))
            });
        });
    }
    group.finish();
}

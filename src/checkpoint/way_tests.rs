//! The whole way: shards captured under writes, stored, loaded by other shards.

use std::sync::Mutex;

use crate::keyspace::{Keyspace, Slice};
use crate::limits::{CAPTURE_SLICE_BYTES, CHECKPOINT_RUN_BYTES};
use crate::slot::{shard_of, slot_of};
use crate::value::Digest;

use super::tests::{begin, wait};
use super::*;

const SHARDS: usize = 3;

fn fill(shard: usize) -> Keyspace {
    let mut keyspace = Keyspace::new(7);
    for n in 0..12_000u64 {
        let key = format!("key:{n}");
        if shard_of(slot_of(key.as_bytes()), SHARDS) != shard {
            continue;
        }
        let length = if n % 300 == 0 { 1_200_000 } else { n % 100 };
        let value = vec![n as u8; length as usize];
        let db = keyspace.db_mut((n % 4) as usize);
        db.set_string(key.as_bytes(), &value, n);
        if n % 5 == 0 {
            db.set_expiry(key.as_bytes(), 1 << 40, n);
        }
        if n % 7 == 0 {
            db.remove(key.as_bytes(), n);
        }
    }
    keyspace
}

fn sum(digests: impl Iterator<Item = Digest>) -> Digest {
    digests.fold(Digest::default(), |mut sum, digest| {
        sum += digest;
        sum
    })
}

/// Captures a shard into a checkpoint, with writes between the slices.
fn capture(keyspace: &mut Keyspace, feeder: &Feeder) {
    keyspace.begin_capture(20_000);
    let mut version = 20_000;
    loop {
        let mut chunk = Vec::new();
        let slice = keyspace.capture_slice(CAPTURE_SLICE_BYTES, &mut chunk);
        wait(feeder.put(chunk)).unwrap();
        if slice == Slice::Last {
            break;
        }
        for n in 0..50 {
            version += 1;
            let key = format!("key:{}", version * 31 % 12_000);
            let db = keyspace.db_mut(n % 4);
            db.set_string(key.as_bytes(), b"later", version);
            db.remove(format!("key:{n}").as_bytes(), version);
        }
    }
    keyspace.end_capture();
}

#[test]
fn shards_come_back_as_they_were_on_any_number_of_cores() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut keyspaces: Vec<Keyspace> = (0..SHARDS).map(fill).collect();
    let digest = sum(keyspaces.iter().map(Keyspace::digest));
    let removed: Vec<(String, u64)> = (0..12_000)
        .step_by(7)
        .map(|n| format!("key:{n}"))
        .map(|key| {
            let shard = shard_of(slot_of(key.as_bytes()), SHARDS);
            let version = keyspaces[shard].db(0).removed_version(key.as_bytes());
            (key, version)
        })
        .collect();
    assert!(removed.iter().any(|(_, version)| *version != 0));

    let writer = begin(&store, 9);
    std::thread::scope(|scope| {
        for keyspace in &mut keyspaces {
            let feeder = writer.feeder();
            scope.spawn(move || capture(keyspace, &feeder));
        }
    });
    let meta = wait(writer.finish()).unwrap();
    assert_eq!(meta.digest, digest);
    assert!(meta.bytes > CHECKPOINT_RUN_BYTES as u64, "several runs");

    for shards in [1, 5] {
        let loaded: Vec<Mutex<Keyspace>> =
            (0..shards).map(|_| Mutex::new(Keyspace::new(7))).collect();
        let sink = |shard: usize| {
            let keyspace = &loaded[shard];
            move |chunk: Vec<u8>| {
                keyspace.lock().unwrap().install_chunk(&chunk).unwrap();
                Ok(())
            }
        };
        store.load(shards, sink, |_, _| {}).unwrap().unwrap();
        let all: Vec<Keyspace> = loaded
            .into_iter()
            .map(|keyspace| keyspace.into_inner().unwrap())
            .collect();
        assert_eq!(sum(all.iter().map(Keyspace::digest)), digest);
        for (key, version) in &removed {
            let shard = shard_of(slot_of(key.as_bytes()), shards);
            let key = key.as_bytes();
            assert_eq!(all[shard].db(0).removed_version(key), *version);
        }
    }
}

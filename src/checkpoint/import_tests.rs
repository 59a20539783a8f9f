//! A checkpoint from one store to another, and to the shards of the node that received it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;

use crate::keyspace::Keyspace;
use crate::limits::CHECKPOINT_PIECE_BYTES;
use crate::value::Digest;

use super::tests::{copy_at_once, load, model, wait, write};
use super::*;

/// The pieces of a checkpoint of a store of its own, with what they make.
fn pieces(seed: u64, index: u64, entries: u64) -> (CheckpointMeta, Vec<Bytes>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    write(&store, index, &model(seed, entries), 3);
    let (meta, export) = store.export().unwrap();
    let pieces = wait(export.map(|piece| piece.unwrap()).collect::<Vec<Bytes>>());
    (meta, pieces)
}

fn take_all(import: &mut Import, pieces: &[Bytes]) -> std::io::Result<()> {
    wait(import.take_all(stream::iter(pieces.iter().cloned().map(Ok))))
}

/// Begins to receive, waiting until what the one before left is cleared away.
fn import(store: &Store, meta: &CheckpointMeta) -> Import {
    wait(store.idle());
    store.import(meta.origin.clone()).unwrap()
}

#[test]
fn a_damaged_piece_is_refused_and_the_one_before_stands() {
    let (meta, pieces) = pieces(2, 9, 2000);
    assert!(pieces.len() > 10, "large entries travel in parts");
    assert!(
        pieces
            .iter()
            .all(|piece| piece.len() < 2 * CHECKPOINT_PIECE_BYTES)
    );
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let own = model(1, 300);
    write(&store, 5, &own, 2);
    let flipped = |at: usize| {
        let mut pieces = pieces.clone();
        let mut bytes = pieces[at].to_vec();
        let middle = bytes.len() / 2 + 9;
        bytes[middle] ^= 1;
        pieces[at] = bytes.into();
        pieces
    };
    let without = |at: usize| [&pieces[..at], &pieces[at + 1..]].concat();
    let last = pieces.len() - 1;
    for bad in [
        flipped(0),
        flipped(3),
        flipped(last - 1),
        without(0),
        without(4),
    ] {
        let mut import = import(&store, &meta);
        assert!(take_all(&mut import, &bad).is_err());
        assert!(wait(import.finish()).is_err());
        assert_eq!(store.newest().unwrap().origin.index, 5);
    }
    for broken in [0, 5, last] {
        let mut import = import(&store, &meta);
        let cut = take_all(&mut import, &pieces[..broken]).unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
        assert!(wait(import.finish()).is_err());
    }
    let mut import = import(&store, &meta);
    take_all(&mut import, &pieces).unwrap();
    // Complete, and still not in place.
    assert!(load(&store, 2).unwrap().unwrap().1 == own);
    let received = wait(import.finish()).unwrap();
    assert_eq!(
        (received.digest, received.origin),
        (meta.digest, meta.origin)
    );
    assert!(load(&store, 2).unwrap().unwrap().1 == model(2, 2000));
}

/// The pieces are whole, and the sender counted or summed wrongly: what it announced decides.
#[test]
fn what_was_announced_must_come() {
    let (meta, good) = pieces(2, 9, 200);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut joiner = piece::Joiner::default();
    let mut cutter = piece::Cutter::default();
    let mut forged = Vec::new();
    for piece in &good {
        match joiner.take(piece).unwrap() {
            piece::Joined::Head(head) => {
                let digest = Digest::default();
                forged.push(cutter.head(piece::Head { digest, ..head }).into());
            }
            piece::Joined::Chunk(chunk) => {
                forged.extend(cutter.chunk(&chunk).map(Bytes::from));
            }
            piece::Joined::End => forged.push(cutter.end().into()),
            _ => {}
        }
    }
    let mut import = import(&store, &meta);
    let refused = take_all(&mut import, &forged).unwrap_err();
    assert!(refused.to_string().contains("were announced"), "{refused}");
    assert!(wait(import.finish()).is_err());
    assert!(store.newest().is_none());
}

#[test]
fn a_crash_at_any_moment_of_a_receipt_leaves_one_whole_checkpoint() {
    let (meta, pieces) = pieces(2, 9, 3000);
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = model(1, 300);
    let store = Store::open(dir.path()).unwrap();
    write(&store, 5, &own, 2);
    let mut crashes = Vec::new();
    let mut moment = |name: &str| loop {
        // The engine's own threads may write at any time.
        if let Some(copy) = copy_at_once(dir.path(), &copies.path().join(name)) {
            break crashes.push(copy);
        }
    };
    moment("before");
    let mut import = import(&store, &meta);
    moment("begun");
    for piece in &pieces[..pieces.len() / 2] {
        wait(import.take(piece)).unwrap();
    }
    moment("half");
    take_all(&mut import, &pieces[pieces.len() / 2..]).unwrap();
    moment("received");
    wait(import.finish()).unwrap();
    wait(store.idle());
    moment("installed");
    let found: Vec<u64> = crashes
        .iter()
        .map(|crash| {
            let store = Store::open(crash).unwrap();
            let (newest, all) = load(&store, 2).unwrap().unwrap();
            let is_own = newest.origin.index == 5;
            assert!(all == if is_own { own.clone() } else { model(2, 3000) });
            assert_eq!(newest.received, !is_own);
            newest.origin.index
        })
        .collect();
    assert_eq!(found, [5, 5, 5, 5, 9]);
}

#[test]
fn one_checkpoint_is_written_at_a_time_whoever_it_is_from() {
    let (meta, pieces) = pieces(2, 9, 10);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let own = store.begin(meta.origin.clone()).unwrap();
    assert!(store.import(meta.origin.clone()).is_err());
    drop(own);
    let mut import = import(&store, &meta);
    assert!(store.begin(meta.origin.clone()).is_err());
    take_all(&mut import, &pieces).unwrap();
    assert!(
        store.begin(meta.origin.clone()).is_err(),
        "until it is in place or let go"
    );
    drop(import);
    wait(store.idle());
    assert!(store.newest().is_none());
    write(&store, 5, &model(1, 10), 1);
}

/// What a shard of a running node takes, until it is told the end.
fn take_part(supply: &Supply, shard: usize, keyspace: &mut Keyspace) -> Supplied {
    loop {
        match supply.take(shard) {
            Supplied::Chunk(chunk) => {
                keyspace.install_chunk(&chunk).unwrap();
            }
            Supplied::NotYet => wait(supply.ready(shard)),
            end => return end,
        }
    }
}

#[test]
fn shards_are_supplied_together() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let meta = write(&store, 5, &model(1, 3000), 2);
    for shards in [1, 4] {
        let supply = Arc::new(store.supply(shards).unwrap());
        let mut keyspaces: Vec<Keyspace> = (0..shards).map(|_| Keyspace::new(1)).collect();
        let over = AtomicBool::new(false);
        // All but the last take what there is, and are not told that it is over.
        let (last, others) = keyspaces.split_last_mut().unwrap();
        std::thread::scope(|scope| {
            for (shard, keyspace) in others.iter_mut().enumerate() {
                let supply = supply.clone();
                let over = &over;
                scope.spawn(move || {
                    assert!(matches!(
                        take_part(&supply, shard, keyspace),
                        Supplied::Whole
                    ));
                    assert!(
                        over.load(Ordering::SeqCst),
                        "told before the last was through"
                    );
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(matches!(
                supply.take(shards - 1),
                Supplied::Chunk(chunk) if last.install_chunk(&chunk).is_ok()
            ));
            over.store(true, Ordering::SeqCst);
            assert!(matches!(
                take_part(&supply, shards - 1, last),
                Supplied::Whole
            ));
        });
        wait(supply.whole()).unwrap();
        let mut sum = Digest::default();
        for keyspace in &keyspaces {
            sum += keyspace.digest();
        }
        assert_eq!(sum, meta.digest);
    }
}

#[test]
fn a_supply_that_fails_fails_for_every_shard() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    assert!(store.supply(1).is_err(), "there is none");
    write(&store, 5, &model(1, 3000), 2);
    let supply = store.supply(2).unwrap();
    let mut keyspace = Keyspace::new(1);
    supply.fail("shard 1 cannot".into());
    let Supplied::Failed(why) = take_part(&supply, 0, &mut keyspace) else {
        panic!("told to go on");
    };
    assert_eq!(why, "shard 1 cannot");
    assert!(wait(supply.whole()).is_err());
    // What nobody takes is not read to its end, and the store can go.
    let unread = store.supply(1).unwrap();
    wait(unread.ready(0));
    drop((unread, supply));
}

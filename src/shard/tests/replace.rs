//! Shards that fell behind are given another node's checkpoint, and go on behind it as if they had
//! run all of the log: readers, loans and watched keys included.

use std::sync::Arc;

use crate::checkpoint::tests::wait;
use crate::checkpoint::{Origin, Store, Supply};
use crate::shard::Delivery;

use super::author::Author;
use super::node::Node;
use super::{run_as_one, run_seeds};

/// A checkpoint of these chunks, on its way to `shards` shards. The store has to stay meanwhile.
fn supply(store: &Store, chunks: Vec<Vec<u8>>, shards: usize) -> Supply {
    let writer = store.begin(Origin::default()).unwrap();
    let feeder = writer.feeder();
    wait(async {
        for chunk in chunks {
            feeder.put(chunk).await.unwrap();
        }
        writer.finish().await.unwrap();
    });
    store.supply(shards).unwrap()
}

/// The delivery that puts a checkpoint at `index` in place of what the shards hold.
fn replacing(id: u64, index: u64, supply: Supply) -> Arc<Delivery> {
    Arc::new(Delivery {
        id,
        index,
        now_ms: 0,
        seed: 0,
        payload: Default::default(),
        parts: Vec::new(),
        capture: None,
        digest: None,
        replace: Some(Arc::new(supply)),
    })
}

fn run_seed(seed: u64, shards: usize) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut author = Author::new(seed, shards);
    author.write_more(6);
    let missed = author.commands() + 1;
    author.write_more(8);
    let missed = missed..=author.commands();
    let image = author.image();
    author.write_more(8);
    let (mut script, reference, digest) = author.end();

    // The shards see the first six and the last eight; in between comes the checkpoint.
    let (id, index) = (script.deliveries[13].id, script.deliveries[13].index);
    let replacing = replacing(id, index, supply(&store, image, shards));
    script.deliveries.splice(6..14, [replacing]);
    script.checks.retain(|number, _| !missed.contains(number));

    run_as_one(seed, shards, &script, &reference, digest);
}

#[test]
fn shards_go_on_behind_a_checkpoint_as_if_they_had_missed_nothing() {
    run_seeds(0..12, [1, 2, 4], run_seed);
}

#[test]
#[ignore = "takes minutes"]
fn shards_go_on_behind_a_checkpoint_at_length() {
    run_seeds(1000..3000, [1, 2, 4], run_seed);
}

/// One shard cannot take its part in: none shows the new state, and each says why it stops.
#[test]
fn a_checkpoint_that_is_damaged_stops_every_shard() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut author = Author::new(3, 4);
    author.write_more(5);
    let image = author.image();
    let (mut script, ..) = author.end();
    let supply = supply(&store, image, 4);
    supply.fail("row 7 is damaged".to_string());
    script.deliveries = vec![replacing(1, 9, supply)];
    let mut node = Node::new(1, 4);
    for shard in 0..4 {
        node.give(shard, script.deliveries[0].clone());
        assert_eq!(node.shards[shard].fault(), Some("row 7 is damaged"));
        assert_eq!(node.shards[shard].applied(), 0);
        assert!(!node.shards[shard].is_free(), "no reader sees it");
    }
}

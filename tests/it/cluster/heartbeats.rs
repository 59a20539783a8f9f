//! Under all the load that there is, nobody stands for election without a reason.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::kit::{Cluster, Entrance, encode, ok};

/// Connections beside each node, and requests that each has on its way.
const CONNECTIONS: usize = 8;
const PIPELINE: usize = 16;

/// Bytes of data that a checkpoint has at the least.
const DATA_BYTES: usize = 32 << 20;
const VALUE_BYTES: usize = 16 * 1024;

/// Loads a node as much as it can bear, until it is over.
fn load(entrance: Entrance, number: usize, done: &AtomicU64, ending: &AtomicBool) {
    let Ok(mut connection) = entrance.open(Duration::from_secs(30)) else {
        return;
    };
    let value = "x".repeat(100);
    let mut step = 0;
    while !ending.load(Ordering::SeqCst) {
        let mut bytes = Vec::new();
        for _ in 0..PIPELINE {
            step += 1;
            let key = format!("load:{}", (step * 7919 + number * 31) % 20_000);
            match step % 2 {
                0 => encode(&["SET", &key, &value], &mut bytes),
                _ => encode(&["GET", &key], &mut bytes),
            }
        }
        if connection.send(&bytes).is_err() {
            return;
        }
        for _ in 0..PIPELINE {
            if connection.reply().is_err() {
                return;
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Ends the load, also when something fails: nobody is to wait for it forever.
struct Over<'ending>(&'ending AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn fill(cluster: &Cluster, node: usize) {
    let value = "y".repeat(VALUE_BYTES);
    let mut connection = cluster.connect(node);
    for round in 0..DATA_BYTES / VALUE_BYTES / PIPELINE {
        let mut bytes = Vec::new();
        for step in 0..PIPELINE {
            encode(
                &["SET", &format!("data:{round}:{step}"), &value],
                &mut bytes,
            );
        }
        connection.send(&bytes).expect("a request");
        for _ in 0..PIPELINE {
            assert_eq!(connection.reply().expect("a reply"), ok());
        }
    }
}

/// Full load through all nodes, one checkpoint after another, and a node that is wiped and given
/// a checkpoint again and again: for so long the term stays.
fn stays_calm(length: Duration) {
    let mut cluster = Cluster::of_three(&["--checkpoint-log-size", "16mb"]);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let begun = Instant::now();
    fill(&cluster, leader);
    eprintln!("filled after {:?}", begun.elapsed());
    let term = cluster.number(leader, "raft_term");
    let (done, ending) = (AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    let (mut rejoined, mut checkpoints) = (0, 0);
    std::thread::scope(|scope| {
        for node in (0..3).filter(|node| *node != follower) {
            for number in 0..CONNECTIONS {
                let entrance = cluster.entrance(node);
                let (done, ending) = (&done, &ending);
                scope.spawn(move || load(entrance, node * 100 + number, done, ending));
            }
        }
        let _over = Over(&ending);
        while begun.elapsed() < length {
            cluster.kill(follower);
            cluster.wipe(follower);
            cluster.start(follower, &["--join", &cluster.address(leader)]);
            let saving = cluster.ask(leader, "BGSAVE");
            checkpoints += usize::from(saving.is_some());
            cluster.wait_for_all(3);
            rejoined += 1;
        }
    });
    let taken = cluster
        .said(follower)
        .matches("replaced by another node's checkpoint")
        .count();
    eprintln!(
        "{} requests in {:?}, {rejoined} times a node was wiped and came back, {checkpoints} \
         checkpoints asked for; term {term} became {}",
        done.load(Ordering::Relaxed),
        begun.elapsed(),
        cluster.number(leader, "raft_term"),
    );
    assert!(taken > 0, "no checkpoint was sent");
    assert_eq!(cluster.leader(), leader, "another leads");
    for node in 0..3 {
        assert_eq!(cluster.number(node, "raft_term"), term, "node {node}");
    }
    let ended = begun.elapsed();
    cluster.expect_equal_digests();
    eprintln!(
        "{:?} later all nodes hold the same",
        begun.elapsed() - ended
    );
}

#[test]
fn full_load_elects_nobody() {
    stays_calm(Duration::from_secs(30));
}

#[test]
#[ignore = "takes five minutes"]
fn full_load_elects_nobody_for_long() {
    stays_calm(Duration::from_secs(300));
}

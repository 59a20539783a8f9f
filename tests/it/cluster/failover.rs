//! How long nobody can write when the leader dies.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::kit::{Cluster, Entrance, ok};

/// Writers beside each node.
const WRITERS: usize = 4;

/// Far above what it takes, for a crowded machine.
const FAILOVER_MAX: Duration = Duration::from_secs(20);

/// The moments at which writes through each node were acknowledged last.
type Last = Mutex<Vec<Option<Instant>>>;

/// Writes without a pause until it is over.
fn write(entrance: Entrance, node: usize, number: usize, last: &Last, ending: &AtomicBool) {
    let mut connection = None;
    let mut step = 0u64;
    while !ending.load(Ordering::SeqCst) {
        if connection.is_none() {
            connection = entrance.open(Duration::from_secs(5)).ok();
            if connection.is_none() {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
        }
        step += 1;
        let key = format!("load:{node}:{number}:{}", step % 100);
        let reply = connection.as_mut().map(|one| one.call(&["SET", &key, "x"]));
        match reply {
            Some(Ok(reply)) if reply == ok() => last.lock().unwrap()[node] = Some(Instant::now()),
            // Refused, or nobody knows: again.
            Some(Ok(_)) => {}
            _ => connection = None,
        }
    }
}

/// Kills the leader under load, again and again: how long it took each time until a write through
/// another node was acknowledged.
fn rounds(count: usize) -> Vec<Duration> {
    let mut cluster = Cluster::of_three(&[]);
    let mut took = Vec::new();
    for _ in 0..count {
        let leader = cluster.leader();
        let last: Last = Mutex::new(vec![None; 3]);
        let ending = AtomicBool::new(false);
        let elapsed = std::thread::scope(|scope| {
            for node in 0..3 {
                for number in 0..WRITERS {
                    let entrance = cluster.entrance(node);
                    let (last, ending) = (&last, &ending);
                    scope.spawn(move || write(entrance, node, number, last, ending));
                }
            }
            std::thread::sleep(Duration::from_millis(500));
            cluster.kill(leader);
            let killed = Instant::now();
            let elapsed = loop {
                // Those that were on their way count not: one that was asked for by the new
                // leader, at the earliest an election timeout later, does.
                let after = killed + Duration::from_millis(100);
                let first = |at: &Option<Instant>| at.is_some_and(|at| at > after);
                if last.lock().unwrap().iter().any(first) {
                    break Some(killed.elapsed());
                }
                if killed.elapsed() > FAILOVER_MAX {
                    break None;
                }
                std::thread::sleep(Duration::from_micros(500));
            };
            ending.store(true, Ordering::SeqCst);
            elapsed
        });
        took.push(elapsed.expect("another leader"));
        cluster.start(leader, &[]);
        cluster.wait_for_all(3);
    }
    took.sort();
    took
}

fn tell(took: &[Duration]) {
    let all: Vec<u128> = took.iter().map(Duration::as_millis).collect();
    eprintln!(
        "{} failovers, from kill -9 of the leader to the next acknowledged write through another node: \
         median {} ms, {} to {} ms; all, sorted: {all:?}",
        took.len(),
        all[all.len() / 2],
        all[0],
        all[all.len() - 1],
    );
}

#[test]
fn a_dead_leader_is_replaced() {
    tell(&rounds(3));
}

#[test]
#[ignore = "takes minutes, and measures"]
fn thirty_failovers() {
    tell(&rounds(30));
}

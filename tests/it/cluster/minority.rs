//! What is left of a cluster without a quorum, and who is refused.

use std::time::{Duration, Instant};

use crate::kit::{Cluster, Connection, Value, bulk, ok};

/// Within which a node without a quorum must say so: its patience with a leader that does not
/// answer, and some for a crowded machine.
const REFUSAL_MAX: Duration = Duration::from_secs(10);

/// Within which reads come that wait for nobody: half of them at the least, as a crowded
/// machine holds up any.
const AT_ONCE_MAX: Duration = Duration::from_millis(20);

/// What a node answers, within [`REFUSAL_MAX`].
fn asked(connection: &mut Connection, line: &str) -> Value {
    let begun = Instant::now();
    let reply = connection.ask(line);
    let took = begun.elapsed();
    assert!(took < REFUSAL_MAX, "{line}: {reply:?} after {took:?}");
    reply
}

fn is_error(reply: &Value, codes: &[&str]) -> bool {
    codes.iter().any(|code| reply.is_error(&format!("{code} ")))
}

/// What a node answers to each of these, asked at the same time on connections of their own.
fn asked_at_once(cluster: &Cluster, node: usize, lines: &[&str]) -> Vec<Value> {
    std::thread::scope(|scope| {
        let ask = |line: &str| asked(&mut cluster.connect(node), line);
        let asking = lines.iter().map(|line| scope.spawn(move || ask(line)));
        let asking: Vec<_> = asking.collect();
        asking
            .into_iter()
            .map(|one| one.join().expect("a reply in time"))
            .collect()
    })
}

/// A node that is cut off refuses, and reads what it has for those who do not mind.
fn expect_refusals(cluster: &Cluster, node: usize, name: &str) {
    let mut connection = cluster.connect(node);
    // It may have been on its way when nobody knew yet.
    let first = asked(&mut connection, "SET cut 1");
    assert!(
        is_error(&first, &["UNCERTAIN", "CLUSTERDOWN"]),
        "{name}: {first:?}"
    );
    // At once, and as often as one likes.
    let read = |_| {
        let begun = Instant::now();
        let stale = connection.ask("WITH CONSISTENCY stale GET known");
        assert_eq!(stale, bulk("yes"), "{name}");
        begun.elapsed()
    };
    let mut took: Vec<Duration> = (0..100).map(read).collect();
    took.sort();
    assert!(took[50] < AT_ONCE_MAX, "{name}: {took:?}");
    // None waits for as long as a node is patient with a leader.
    assert!(took[99] < REFUSAL_MAX / 2, "{name}: {took:?}");
    let lines = [
        "SET cut 2",
        "WITH DURABILITY low SET cut 3",
        "MSET cut 4 also 4",
        "GET known",
        "WITH CONSISTENCY linearizable GET known",
        // What this promises cannot be had any more either.
        "WITH CONSISTENCY bounded 100 GET known",
        "MGET known other",
    ];
    for (line, reply) in lines.iter().zip(asked_at_once(cluster, node, &lines)) {
        assert!(
            is_error(&reply, &["CLUSTERDOWN"]),
            "{name}: {line}: {reply:?}"
        );
    }
    connection.ask("MULTI");
    connection.ask("SET cut 5");
    let refused = asked(&mut connection, "EXEC");
    assert!(
        is_error(&refused, &["CLUSTERDOWN"]),
        "{name}: EXEC: {refused:?}"
    );
    let info = asked(&mut connection, "CLUSTER INFO").text();
    assert!(info.contains("cluster_state:fail"), "{name}: {info}");
}

#[test]
fn a_minority_refuses_and_the_majority_goes_on() {
    let Some(mut cluster) = Cluster::apart(3, 1, &[]) else {
        return;
    };
    cluster.begin(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    assert_eq!(cluster.connect(follower).ask("SET known yes"), ok());
    for (name, cut_off) in [("the leader", leader), ("a follower", usize::MAX)] {
        let cut_off = cut_off.min(cluster.follower());
        let rest = (cut_off + 1) % 3;
        let mut inside = cluster.connect(cut_off);
        let mut outside = cluster.connect(rest);
        assert_eq!(inside.ask("SET shared 1"), ok());
        cluster.network().isolate(cut_off);
        expect_refusals(&cluster, cut_off, name);
        cluster.await_some("the majority writes", |cluster| {
            (cluster.ask(rest, "SET shared 2") == Some(ok())).then_some(())
        });
        assert_eq!(outside.ask("GET shared"), bulk("2"));
        // Whoever asks for stale reads has them.
        let stale = inside.ask("WITH CONSISTENCY stale GET shared");
        assert_eq!(stale, bulk("1"), "{name}");
        cluster.network().heal();
        cluster.wait_for_all(3);
        assert_eq!(inside.ask("GET shared"), bulk("2"), "{name}");
        // What was refused for certain did not happen.
        let cut = inside.ask("GET cut");
        assert!(cut == Value::Nil || cut == bulk("1"), "{name}: {cut:?}");
        assert_eq!(
            inside.ask("DEL cut").int().min(1),
            i64::from(cut != Value::Nil)
        );
        cluster.expect_equal_digests();
    }
}

#[test]
fn the_last_one_standing_refuses() {
    let mut cluster = Cluster::of_three(&[]);
    let leader = cluster.leader();
    let mut connection = cluster.connect(leader);
    assert_eq!(connection.ask("SET known yes"), ok());
    for node in (0..3).filter(|node| *node != leader) {
        cluster.kill(node);
    }
    expect_refusals(&cluster, leader, "the last one");
    for node in (0..3).filter(|node| *node != leader) {
        cluster.start(node, &[]);
    }
    cluster.wait_for_all(3);
    assert_eq!(connection.ask("GET known"), bulk("yes"));
    assert_eq!(connection.ask("SET known still"), ok());
}

#[test]
fn another_secret_is_no_admission() {
    let mut cluster = Cluster::together(4, 1, &[]);
    let peers = cluster.peers(3);
    for node in 0..3 {
        let args = [
            "--cluster-peers",
            &peers,
            "--expect",
            "3",
            "--cluster-secret",
            "right",
        ];
        cluster.start(node, &args);
    }
    cluster.wait_for_all(3);
    let member = cluster.address(cluster.leader());
    let dropped = |cluster: &Cluster| {
        let each = (0..3).map(|node| cluster.number(node, "raft_strangers_dropped"));
        each.sum::<u64>()
    };
    for secret in ["wrong", ""] {
        let before = dropped(&cluster);
        cluster.start(3, &["--join", &member, "--cluster-secret", secret]);
        cluster.connect(3);
        // It tries again and again; the others see it, and go on.
        cluster.await_some("strangers are counted", |cluster| {
            (dropped(cluster) > before + 2).then_some(())
        });
        assert_eq!(cluster.field(3, "raft_voters"), "", "{secret:?}");
        let refused = asked(&mut cluster.connect(3), "SET a 1");
        assert!(is_error(&refused, &["CLUSTERDOWN"]), "{refused:?}");
        cluster.stop(3);
        cluster.wipe(3);
    }
    assert_eq!(cluster.connect(0).ask("SET a 1"), ok());
    cluster.start(3, &["--join", &member, "--cluster-secret", "right"]);
    cluster.wait_for_all(4);
    assert_eq!(cluster.connect(3).ask("GET a"), bulk("1"));
}

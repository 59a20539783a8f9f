//! How a cluster begins, grows, shrinks and comes back.

use std::time::Duration;

use crate::kit::{Cluster, Value, bulk, ok};

fn own_id(cluster: &Cluster, node: usize) -> String {
    cluster.field(node, "raft_node_id")
}

/// The ids of a list, as in `raft_voters`.
fn ids(cluster: &Cluster, node: usize, list: &str) -> Vec<String> {
    let text = cluster.field(node, list);
    let ids = text.split(',').filter(|id| !id.is_empty());
    ids.map(String::from).collect()
}

fn expect_voters(cluster: &Cluster, nodes: &[usize]) {
    let mut expected: Vec<String> = nodes.iter().map(|node| own_id(cluster, *node)).collect();
    expected.sort();
    for node in nodes {
        cluster.await_some(&format!("{nodes:?} are the voters on {node}"), |cluster| {
            let mut found = ids(cluster, *node, "raft_voters");
            found.sort();
            (found == expected).then_some(())
        });
    }
}

#[test]
fn three_lines_start_a_cluster() {
    for cores in [1, 5] {
        let mut cluster = Cluster::together(3, cores, &[]);
        cluster.begin(3);
        expect_voters(&cluster, &[0, 1, 2]);
        let leader = cluster.leader();
        for node in 0..3 {
            let mut connection = cluster.connect(node);
            let key = format!("key:{node}");
            assert_eq!(connection.ask(&format!("SET {key} {node}")), ok());
            for other in 0..3 {
                let found = cluster.connect(other).ask(&format!("GET {key}"));
                assert_eq!(found, bulk(node.to_string()), "{key} through {other}");
            }
            let named = connection.ask("RAFT LEADER");
            assert_eq!(named, bulk(cluster.address(leader)));
        }
        cluster.expect_equal_digests();
    }
}

#[test]
fn nodes_may_be_late() {
    let mut cluster = Cluster::together(3, 1, &[]);
    let peers = cluster.peers(3);
    let args = ["--cluster-peers", &peers, "--expect", "3"];
    // The one that would begin comes last, so nothing begins before.
    cluster.start(2, &args);
    cluster.start(1, &args);
    cluster.connect(1);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(cluster.field(1, "raft_voters"), "");
    let refused = cluster.connect(1).ask("SET a 1");
    assert!(
        matches!(&refused, Value::Error(text) if text.starts_with("CLUSTERDOWN")),
        "{refused:?}"
    );
    cluster.start(0, &args);
    cluster.wait_for_all(3);
    expect_voters(&cluster, &[0, 1, 2]);
}

#[test]
fn two_of_three_begin_and_the_third_comes_later() {
    let mut cluster = Cluster::together(3, 1, &[]);
    let peers = cluster.peers(3);
    let args = ["--cluster-peers", &peers, "--expect", "2"];
    cluster.start(0, &args);
    cluster.start(1, &args);
    cluster.wait_for_all(2);
    assert_eq!(cluster.connect(0).ask("SET a 1"), ok());
    cluster.start(2, &args);
    cluster.wait_for_all(3);
    expect_voters(&cluster, &[0, 1, 2]);
    assert_eq!(cluster.connect(2).ask("GET a"), bulk("1"));
}

#[test]
fn a_node_joins_and_becomes_a_voter() {
    let mut cluster = Cluster::together(4, 1, &[]);
    // One node alone is a cluster that others join.
    cluster.start(0, &[]);
    assert_eq!(cluster.connect(0).ask("SET a 1"), ok());
    for node in 1..4 {
        // Any member will do.
        let member = cluster.address(node - 1);
        cluster.start(node, &["--join", &member]);
        cluster.wait_for_all(node + 1);
    }
    expect_voters(&cluster, &[0, 1, 2, 3]);
    assert_eq!(cluster.connect(3).ask("GET a"), bulk("1"));
    // And it counts: without two of four there is no quorum, without one there is.
    cluster.kill(0);
    let survivor = cluster.leader();
    assert_eq!(cluster.connect(survivor).ask("SET a 2"), ok());
    assert_eq!(cluster.connect(3).ask("GET a"), bulk("2"));
}

#[test]
fn restarts_need_no_flags() {
    let mut cluster = Cluster::of_three(&[]);
    assert_eq!(cluster.connect(1).ask("SET a 1"), ok());
    let before: Vec<String> = (0..3).map(|node| own_id(&cluster, node)).collect();
    for node in 0..3 {
        match node {
            0 => drop(cluster.stop(node)),
            _ => cluster.kill(node),
        }
    }
    for node in 0..3 {
        cluster.start(node, &[]);
    }
    cluster.wait_for_all(3);
    let after: Vec<String> = (0..3).map(|node| own_id(&cluster, node)).collect();
    assert_eq!(before, after);
    expect_voters(&cluster, &[0, 1, 2]);
    assert_eq!(cluster.connect(2).ask("GET a"), bulk("1"));
}

#[test]
fn a_node_comes_back_at_another_port() {
    let mut cluster = Cluster::of_three(&[]);
    let node = cluster.follower();
    let (id, before) = (own_id(&cluster, node), cluster.address(node));
    cluster.stop(node);
    cluster.move_port(node);
    cluster.start(node, &[]);
    cluster.wait_for_all(3);
    assert_eq!(own_id(&cluster, node), id);
    let after = cluster.address(node);
    for other in 0..3 {
        cluster.await_some("the new address is known", |cluster| {
            let slots = format!("{:?}", cluster.ask(other, "RAFT PEERS"));
            let (old, new) = (
                slots.contains(&digits(&before)),
                slots.contains(&digits(&after)),
            );
            (new && !old).then_some(())
        });
    }
    expect_voters(&cluster, &[0, 1, 2]);
}

/// As it shows up in the debug form of a reply.
fn digits(address: &str) -> String {
    let bytes: Vec<String> = address.bytes().map(|byte| byte.to_string()).collect();
    bytes.join(", ")
}

#[test]
fn a_wiped_node_joins_as_a_new_one() {
    let mut cluster = Cluster::of_three(&[]);
    let node = cluster.follower();
    let before = own_id(&cluster, node);
    cluster.kill(node);
    cluster.wipe(node);
    let leader = cluster.leader();
    assert_eq!(cluster.connect(leader).ask("SET a 1"), ok());
    cluster.await_some("the log begins behind a checkpoint", |cluster| {
        cluster.ask(leader, "SET b 1")?;
        cluster.ask(leader, "RAFT SNAPSHOT")?;
        (cluster.field(leader, "raft_purged_index") != "0").then_some(())
    });
    let member = cluster.address(leader);
    cluster.start(node, &["--join", &member]);
    cluster.wait_for_all(3);
    let after = own_id(&cluster, node);
    assert_ne!(before, after);
    expect_voters(&cluster, &[0, 1, 2]);
    assert_eq!(cluster.connect(node).ask("GET a"), bulk("1"));
    for other in 0..3 {
        assert!(!ids(&cluster, other, "raft_voters").contains(&before));
    }
    // It was sent a checkpoint, and both ends know that.
    assert_ne!(cluster.field(leader, "raft_snapshots_sent"), "0");
    assert_eq!(cluster.field(leader, "raft_snapshots_taken"), "0");
    assert_ne!(cluster.field(node, "raft_snapshots_taken"), "0");
    // The cluster is the same.
    let id = cluster.field(leader, "raft_cluster_id");
    assert!(id.len() == 40 && id != "0".repeat(40), "{id}");
    for other in 0..3 {
        cluster.await_some("the cluster's id is known", |cluster| {
            (cluster.field(other, "raft_cluster_id") == id).then_some(())
        });
        let shard = cluster.connect(other).ask("CLUSTER MYSHARDID");
        assert_eq!(shard, bulk(&id));
    }
}

/// 8 MiB at 64 KiB a second take longer than anything is waited for.
#[test]
fn a_checkpoint_is_sent_no_faster_than_told() {
    let rate = ["--checkpoint-send-rate", "64kb"];
    // Large values on a busy disk are to unseat no leader: another one has the whole log.
    let patient = ["--cluster-election-ms", "2000"];
    let mut cluster = Cluster::together(3, 1, &[rate, patient].concat());
    cluster.begin(3);
    let (leader, node) = (cluster.leader(), cluster.follower());
    cluster.kill(node);
    cluster.wipe(node);
    let value = "v".repeat(512 * 1024);
    let mut connection = cluster.connect(leader);
    for n in 0..16 {
        let key = format!("key:{n}");
        assert_eq!(connection.call(&["SET", &key, &value]).unwrap(), ok());
    }
    cluster.await_some("the log begins behind a checkpoint", |cluster| {
        cluster.ask(leader, "SET b 1")?;
        cluster.ask(leader, "RAFT SNAPSHOT")?;
        (cluster.field(leader, "raft_purged_index") != "0").then_some(())
    });
    cluster.start(node, &["--join", &cluster.address(leader)]);
    cluster.await_some("it is a learner", |cluster| {
        (!cluster.field(leader, "raft_learners").is_empty()).then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(cluster.field(leader, "raft_snapshots_sent"), "0");
    let faster = "CONFIG SET checkpoint-send-rate 0";
    assert_eq!(connection.ask(faster), ok());
    cluster.await_some("it is sent", |cluster| {
        (cluster.field(leader, "raft_snapshots_sent") != "0").then_some(())
    });
    cluster.wait_for_all(3);
    let size = connection.ask("DBSIZE");
    assert_eq!(cluster.connect(node).ask("DBSIZE"), size);
}

/// A lost disk behind a script that gives all nodes the same flags at every start.
#[test]
fn a_wiped_node_with_the_first_flags_joins_too() {
    let mut cluster = Cluster::of_three(&[]);
    // The one that would begin a cluster if it did not ask first.
    let peers = cluster.peers(3);
    assert_eq!(cluster.connect(1).ask("SET a 1"), ok());
    let before = own_id(&cluster, 0);
    cluster.kill(0);
    cluster.wipe(0);
    cluster.start(0, &["--cluster-peers", &peers, "--expect", "3"]);
    cluster.wait_for_all(3);
    assert_ne!(before, own_id(&cluster, 0));
    assert_eq!(cluster.connect(0).ask("GET a"), bulk("1"));
    expect_voters(&cluster, &[0, 1, 2]);
}

#[test]
fn members_are_changed_from_any_node() {
    let mut cluster = Cluster::together(4, 1, &[]);
    cluster.begin(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    // Waits to be taken in.
    cluster.start(3, &["--join", &cluster.address(leader)]);
    cluster.wait_for_all(4);
    let mut connection = cluster.connect(follower);
    let id = own_id(&cluster, 3);
    assert_eq!(connection.ask(&format!("RAFT DEMOTE {id}")), ok());
    cluster.await_some("a learner", |cluster| {
        (ids(cluster, follower, "raft_learners") == [id.clone()]).then_some(())
    });
    // A learner has all data too.
    assert_eq!(connection.ask("SET a 1"), ok());
    assert_eq!(cluster.connect(3).ask("GET a"), bulk("1"));
    assert_eq!(
        connection.ask(&format!("RAFT PROMOTE {}", cluster.address(3))),
        ok()
    );
    expect_voters(&cluster, &[0, 1, 2, 3]);
    // From the one that goes, as from any other.
    assert_eq!(cluster.connect(3).ask(&format!("RAFT TRANSFER {id}")), ok());
    cluster.await_some("it leads", |cluster| (cluster.leader() == 3).then_some(()));
    assert_eq!(connection.ask("SET a 2"), ok());
    assert_eq!(
        connection.ask(&format!("RAFT TRANSFER {}", cluster.address(leader))),
        ok()
    );
    cluster.await_some("it leads", |cluster| {
        (cluster.leader() == leader).then_some(())
    });
    assert_eq!(connection.ask(&format!("RAFTREMOVEPEER {id}")), ok());
    cluster.stop(3);
    expect_voters(&cluster, &[0, 1, 2]);
    assert_eq!(connection.ask("GET a"), bulk("2"));
    let refused = connection.ask(&format!("RAFT PROMOTE {id}"));
    assert!(matches!(refused, Value::Error(_)), "{refused:?}");
    // What was removed stays out, whatever it remembers.
    cluster.start(3, &[]);
    std::thread::sleep(Duration::from_secs(2));
    expect_voters(&cluster, &[0, 1, 2]);
    assert_eq!(connection.ask("SET a 3"), ok());
}

#[test]
fn the_leader_can_be_removed() {
    let mut cluster = Cluster::together(4, 1, &[]);
    cluster.begin(4);
    let leader = cluster.leader();
    let id = own_id(&cluster, leader);
    let follower = cluster.follower();
    let mut connection = cluster.connect(follower);
    assert_eq!(connection.ask("SET a 1"), ok());
    assert_eq!(connection.ask(&format!("RAFT REMOVEPEER {id}")), ok());
    cluster.await_some("another leads", |cluster| {
        let others = (0..4).filter(|node| *node != leader);
        let leads = |node: &usize| cluster.field(*node, "raft_role") == "leader";
        others.into_iter().find(leads)
    });
    assert_eq!(connection.ask("SET a 2"), ok());
    assert_eq!(connection.ask("GET a"), bulk("2"));
    assert_eq!(ids(&cluster, follower, "raft_voters").len(), 3);
}

#[test]
fn a_cluster_added_by_command() {
    let mut cluster = Cluster::together(3, 1, &[]);
    cluster.start(0, &[]);
    cluster.connect(0);
    // Waits for a cluster that does not have it yet: nobody at that address.
    let nobody = "127.0.0.1:1";
    for node in 1..3 {
        cluster.start(node, &["--join", nobody]);
        cluster.connect(node);
    }
    let mut connection = cluster.connect(0);
    let learner = format!("RAFT ADDPEER {} LEARNER", cluster.address(1));
    assert_eq!(connection.ask(&learner), ok());
    let voter = format!("RAFTADDPEER {}", cluster.address(2));
    assert_eq!(connection.ask(&voter), ok());
    cluster.await_some("two voters", |cluster| {
        (ids(cluster, 0, "raft_voters").len() >= 2).then_some(())
    });
    assert_eq!(connection.ask("SET a 1"), ok());
    for node in 0..3 {
        assert_eq!(cluster.connect(node).ask("GET a"), bulk("1"));
    }
}

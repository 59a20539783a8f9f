//! Three nodes: what they promise of each other's copies. Digests, `durability all`, WAIT, WAITAOF.

use std::time::{Duration, Instant};

use crate::kit::{Cluster, Connection, Value, bulk, command, encode, eventually, integer, ok};

/// Far above the waits that are asked for, for a crowded machine; far below those without an end.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// Three nodes: with one shard, with two, and with three beside a core for Raft.
fn three() -> Cluster {
    let mut three = Cluster::together(3, 1, &[]).with_cores(&[1, 2, 4]);
    three.begin(3);
    three
}

fn connections(three: &Cluster) -> Vec<Connection> {
    (0..3).map(|node| three.connect(node)).collect()
}

/// Who leads, and the other two.
fn roles(three: &Cluster) -> (usize, [usize; 2]) {
    let leader = three.leader();
    (leader, [(leader + 1) % 3, (leader + 2) % 3])
}

/// What `RAFT DIGEST` says: state, agreed index, mismatch.
fn digest(connection: &mut Connection) -> (String, i64, String) {
    let said = connection.ask("RAFT DIGEST");
    let said = said.elements();
    let agreed = match &said[3] {
        Value::Int(index) => *index,
        _ => 0,
    };
    let mismatch = match &said[5] {
        Value::Nil => String::new(),
        other => other.text(),
    };
    (said[1].text(), agreed, mismatch)
}

/// Writes of many kinds, over shards, through one node after the other.
fn load(three: &Cluster, round: usize) {
    for node in 0..3 {
        let mut connection = three.connect(node);
        let lines = (0..100).flat_map(|n| {
            [
                format!("SET key:{round}:{n} value"),
                format!("MSET a:{n} {round} b:{n} {node} c:{n} 3"),
                format!("RPUSH list:{n} {round}"),
                format!("SADD set:{} {n} {round}", n % 7),
                format!("ZADD zset {n} member:{n}"),
                format!("SPOP set:{}", n % 5),
                format!("RENAME a:{n} renamed:{}", n % 11),
                format!("SET gone:{n} x PX 50"),
            ]
        });
        let replies = connection.pipeline(&lines.collect::<Vec<_>>());
        for reply in replies.expect("replies") {
            let is_refusal = reply.is_error("") && !reply.is_error("ERR no such key");
            assert!(!is_refusal, "{reply:?}");
        }
    }
}

#[test]
fn replicas_agree_under_load_and_a_spoilt_one_is_found_out() {
    let three = three();
    let mut connections = connections(&three);
    let mut seen = 0;
    for round in 0..4 {
        load(&three, round);
        eventually("a later index at which all agree, known to all", || {
            let said: Vec<_> = connections.iter_mut().map(digest).collect();
            for (_, _, mismatch) in &said {
                assert_eq!(mismatch, "", "in round {round}");
            }
            let all = said
                .iter()
                .all(|(state, agreed, _)| state == "ok" && *agreed > seen);
            if all {
                seen = said.iter().map(|one| one.1).max().unwrap_or(0);
            }
            all
        });
    }
    // The node with one shard, whichever role it has.
    assert_eq!(connections[0].ask("DEBUG SPOIL key:1:5"), ok());
    let mut round = 4;
    eventually("an alarm on every node", || {
        load(&three, round);
        round += 1;
        connections.iter_mut().all(|one| digest(one).0 == "alarm")
    });
    for connection in &mut connections {
        let (_, _, mismatch) = digest(connection);
        assert!(mismatch.starts_with("at index "), "{mismatch}");
        for node in 0..3 {
            assert!(mismatch.contains(&three.address(node)), "{mismatch}");
        }
    }
    for node in 0..3 {
        assert_eq!(three.field(node, "raft_digest_alarm"), "1");
    }
}

#[test]
fn the_leader_alone_removes_what_is_due() {
    let three = three();
    let (leader, followers) = roles(&three);
    let mut connections = connections(&three);
    let size = connections[leader].ask("DBSIZE");
    let forwarded = |node| three.field(node, "raft_batches_forwarded");
    let before = followers.map(forwarded);
    for n in 0..50 {
        let line = format!("SET brief:{n} x PX 20");
        assert_eq!(connections[leader].ask(&line), ok());
    }
    for connection in &mut connections {
        eventually("keys past due are gone from every node", || {
            connection.ask("DBSIZE") == size
        });
    }
    assert_eq!(followers.map(forwarded), before);
}

/// A leader that nobody hears any more reads on for as long as nobody else can lead, and no longer.
#[test]
fn a_lease_spares_reads_the_round() {
    let times = [
        "--cluster-heartbeat-ms",
        "100",
        "--cluster-election-ms",
        "2000",
    ];
    let args = [&times[..], &["--read-lease", "yes"]].concat();
    let mut three = Cluster::of_three(&args);
    let (leader, mut followers) = roles(&three);
    let (heartbeat, lease) = (Duration::from_millis(100), Duration::from_secs(3));
    let mut connection = three.connect(leader);
    assert_eq!(connection.ask("SET key 1"), ok());
    let value = bulk("1");
    eventually("a read while the lease lasts", || {
        let begun = Instant::now();
        followers.iter().for_each(|node| three.pause(*node));
        let read = connection.ask("GET key");
        // The lease counts from a heartbeat before `begun`.
        let in_time = begun.elapsed() < lease - 2 * heartbeat;
        assert!(!in_time || read == value, "without a round: {read:?}");
        if !in_time {
            // The machine stood still: another node may be elected now.
            followers.iter().for_each(|node| three.resume(*node));
            let (leader, others) = roles(&three);
            (connection, followers) = (three.connect(leader), others);
            eventually("reads again", || connection.ask("GET key") == value);
        }
        in_time
    });
    std::thread::sleep(lease + Duration::from_millis(500));
    let refused = connection.ask("GET key");
    assert!(refused.is_error("CLUSTERDOWN"), "{refused:?}");
    followers.iter().for_each(|node| three.resume(*node));
    eventually("a round, or a new lease", || {
        connection.ask("GET key") == value
    });
    assert_eq!(connection.ask("CONFIG SET read-lease no"), ok());
    assert_eq!(connection.ask("GET key"), value);
}

fn expect_all_voters(connections: &mut [Connection]) {
    for connection in connections {
        eventually("all voters again", || {
            connection.ask("SET key again") == ok()
        });
    }
}

/// Whether writes at `all`, while a voter stands still, wait for it through each of `nodes`, and
/// writes of others are done before them. False: the machine stood still for so long that it was
/// known before that a voter is missing, or that they waited their time.
fn are_overtaken(three: &Cluster, connections: &mut [Connection], nodes: [usize; 2]) -> bool {
    let begun = Instant::now();
    for node in nodes {
        let increment = command(&["INCR", "key"]);
        connections[node].send(&increment).expect("sent");
    }
    let mut overtaken = true;
    for node in nodes {
        // On the same core.
        assert_eq!(three.connect(node).ask("SET besides 1"), ok());
        overtaken &= connections[node].is_quiet();
    }
    for node in nodes {
        let reply = connections[node].reply().expect("a reply");
        assert!(begun.elapsed() < WAIT_MAX, "{reply:?}");
        let waited = reply.is_error("UNCERTAIN the write is committed on a quorum");
        assert!(waited || reply.is_error("NOREPLICAS"), "{reply:?}");
        overtaken &= waited;
    }
    overtaken
}

#[test]
fn a_write_at_all_waits_for_every_voter_and_nobody_else_does() {
    let mut three = three();
    let (leader, followers) = roles(&three);
    let [paused, other] = followers;
    let mut connections = connections(&three);
    for (node, connection) in connections.iter_mut().enumerate() {
        assert_eq!(connection.ask("CLIENT DURABILITY all"), ok());
        assert_eq!(connection.ask("SET key all"), ok(), "through node {node}");
        // Mixed in one pipeline: replies keep their order, and each is its own.
        let lines = [
            "SET key 1",
            "WITH DURABILITY high INCR key",
            "GET key",
            "INCR key",
            "GET key",
        ];
        let replies = connection.pipeline(&lines).expect("replies");
        let expected = [ok(), integer(2), bulk("2"), integer(3), bulk("3")];
        assert_eq!(replies, expected);
        assert_eq!(connection.ask("MULTI"), ok());
        connection.ask("INCR key");
        assert_eq!(connection.ask("EXEC"), Value::Array(vec![Value::Int(4)]));
    }
    eventually(
        "writes at all are on their way when the voter stands still",
        || {
            three.pause(paused);
            let overtaken = are_overtaken(&three, &mut connections, [leader, other]);
            if !overtaken {
                three.resume(paused);
                expect_all_voters(&mut connections);
            }
            overtaken
        },
    );
    for node in [leader, other] {
        eventually("a definite error", || {
            connections[node].ask("INCR key").is_error("NOREPLICAS")
        });
        let before = connections[node].ask("GET key");
        assert!(connections[node].ask("INCR key").is_error("NOREPLICAS"));
        assert_eq!(connections[node].ask("MULTI"), ok());
        connections[node].ask("INCR key");
        assert!(connections[node].ask("EXEC").is_error("NOREPLICAS"));
        assert_eq!(
            connections[node].ask("GET key"),
            before,
            "nothing was written"
        );
        assert_eq!(
            connections[node].ask("WITH DURABILITY high SET lower 1"),
            ok()
        );
        // Reads in the pipeline of a refused write are answered.
        let replies = connections[node].pipeline(&["INCR key", "GET key"]);
        let replies = replies.expect("replies");
        assert!(replies[0].is_error("NOREPLICAS"), "{replies:?}");
        assert_eq!(replies[1], before);
    }
    three.resume(paused);
    expect_all_voters(&mut connections);
}

#[test]
fn wait_counts_the_other_nodes_that_have_a_write() {
    let mut three = three();
    let (leader, [away, other]) = roles(&three);
    let mut connections = connections(&three);
    let copies = |local, others| Value::Array(vec![Value::Int(local), Value::Int(others)]);
    for connection in &mut connections {
        // At once where nothing was written, and where all have it.
        assert_eq!(connection.ask("WAIT 2 0"), Value::Int(2));
        assert_eq!(connection.ask("CLIENT DURABILITY low"), ok());
        for n in 0..20 {
            assert_eq!(connection.ask(&format!("SET key {n}")), ok());
            assert_eq!(connection.ask("WAIT 2 0"), Value::Int(2));
        }
        assert_eq!(connection.ask("SET key synced"), ok());
        assert_eq!(connection.ask("WAITAOF 1 2 0"), copies(1, 2));
        assert_eq!(connection.ask("WAITAOF 1 0 0"), copies(1, 0));
    }
    three.pause(away);
    for node in [leader, other] {
        let connection = &mut connections[node];
        assert_eq!(connection.ask("SET key 2"), ok());
        assert_eq!(connection.ask("WAIT 1 0"), Value::Int(1));
        assert_eq!(connection.ask("WAITAOF 1 1 0"), copies(1, 1));
        // The core goes on with everybody else, however long one waits, and forgets who goes away.
        let mut waiting = three.connect(node);
        assert_eq!(waiting.ask("SET key 2"), ok());
        waiting.send(&command(&["WAIT", "2", "0"])).expect("sent");
        assert_eq!(three.connect(node).ask("SET besides 1"), ok());
        assert!(waiting.is_quiet(), "two nodes do not have it");
        drop(waiting);
        for (line, answer) in [
            ("WAIT 2 400", Value::Int(1)),
            ("WAITAOF 1 2 400", copies(1, 1)),
        ] {
            let begun = Instant::now();
            assert_eq!(connection.ask(line), answer, "{line}");
            let took = begun.elapsed();
            assert!(took >= Duration::from_millis(400), "{line}: after {took:?}");
            assert!(took < WAIT_MAX, "{line}: after {took:?}");
        }
    }
    // For ever ends when the node is back.
    let mut requests = Vec::new();
    for words in [
        &["SET", "key", "3"][..],
        &["WAIT", "2", "0"],
        &["GET", "key"],
    ] {
        encode(words, &mut requests);
    }
    connections[other].send(&requests).expect("sent");
    assert_eq!(connections[other].reply().expect("a reply"), ok());
    // One that goes away meanwhile is forgotten.
    let mut gone = three.connect(leader);
    assert_eq!(gone.ask("SET key 3"), ok());
    gone.send(&command(&["WAIT", "2", "0"])).expect("sent");
    drop(gone);
    std::thread::sleep(Duration::from_millis(1200));
    three.resume(away);
    assert_eq!(connections[other].reply().expect("a reply"), Value::Int(2));
    assert_eq!(connections[other].reply().expect("a reply"), bulk("3"));
}

//! CLUSTER, RAFT, ROLE: a single node is a cluster of one.

use crate::kit::{Server, Value, bulk, error, field, integer, ok, on_each};

fn own_id(server: &Server) -> String {
    server.wire().run("CLUSTER MYID").text()
}

#[test]
fn all_slots_lie_here() {
    on_each(|server| {
        let mut wire = server.wire();
        let (id, port) = (own_id(&server), i64::from(server.port()));
        assert!(id.len() == 40 && id.chars().all(|digit| digit.is_ascii_hexdigit()));
        let place = vec![
            bulk("127.0.0.1"),
            integer(port),
            bulk(&id),
            Value::Array(vec![]),
        ];
        let range = vec![integer(0), integer(16383), Value::Array(place)];
        let slots = Value::Array(vec![Value::Array(range)]);
        assert_eq!(wire.run("CLUSTER SLOTS"), slots);
        let line = wire.run("CLUSTER NODES").text();
        let peer_port = port + 10_000;
        let begin = format!("{id} 127.0.0.1:{port}@{peer_port} myself,master - 0 0 ");
        assert!(line.starts_with(&begin), "{line}");
        assert!(line.ends_with(" connected 0-16383\n"), "{line}");
        let shards = wire.run("CLUSTER SHARDS");
        let shard = shards.elements()[0].elements();
        assert_eq!(shard[0], bulk("slots"));
        assert_eq!(shard[1].elements(), [integer(0), integer(16383)]);
        let node = shard[3].elements()[0].elements();
        assert_eq!(
            node[..4],
            [bulk("id"), bulk(&id), bulk("port"), integer(port)]
        );
        assert_eq!(node[8..10], [bulk("role"), bulk("master")]);
        let info = wire.run("CLUSTER INFO").text();
        assert_eq!(field(&info, "cluster_state"), Some("ok"));
        assert_eq!(field(&info, "cluster_slots_ok"), Some("16384"));
        assert_eq!(field(&info, "cluster_known_nodes"), Some("1"));
        let enabled = wire.run("INFO cluster").text();
        assert_eq!(field(&enabled, "cluster_enabled"), Some("1"));
        let shard_id = wire.run("CLUSTER MYSHARDID").text();
        assert!(
            shard_id.len() == 40 && shard_id != "0".repeat(40),
            "{shard_id}"
        );
        for command in ["ASKING", "READONLY", "READWRITE"] {
            assert_eq!(wire.run(command), ok());
        }
        assert!(wire.run("CLUSTER HELP").elements().len() > 10);
        assert!(matches!(wire.run("CLUSTER NOSUCH"), Value::Error(_)));
    });
}

#[test]
fn keys_of_a_slot() {
    on_each(|server| {
        let mut wire = server.wire();
        assert_eq!(wire.run("CLUSTER KEYSLOT foo"), integer(12182));
        assert_eq!(wire.run("CLUSTER KEYSLOT x{foo}y"), integer(12182));
        // So many that a walk takes several slices.
        for number in 0..3000 {
            wire.send(format!("SET other:{number} x\r\n"));
        }
        wire.replies(3000);
        let others = wire.run("CLUSTER COUNTKEYSINSLOT 12182").int();
        // Behind the writes of its own pipeline.
        for number in 0..40 {
            wire.send(format!("SET {{foo}}:{number} x\r\n"));
        }
        let count = "CLUSTER COUNTKEYSINSLOT 12182\r\n";
        wire.send(format!("{count}DEL {{foo}}:0\r\n{count}"));
        let replies = wire.replies(43);
        let expected = [integer(others + 40), integer(1), integer(others + 39)];
        assert_eq!(replies[40..], expected);
        let all = wire.run("CLUSTER GETKEYSINSLOT 12182 1000");
        let mut names: Vec<String> = all.elements().iter().map(Value::text).collect();
        names.retain(|name| name.starts_with("{foo}"));
        names.sort();
        let mut expected: Vec<String> = (1..40).map(|number| format!("{{foo}}:{number}")).collect();
        expected.sort();
        assert_eq!(names, expected);
        let some = wire.run("CLUSTER GETKEYSINSLOT 12182 7");
        assert_eq!(some.elements().len(), 7);
        let none = wire.run("CLUSTER GETKEYSINSLOT 12182 0");
        assert_eq!(none, Value::Array(vec![]));
    });
}

#[test]
fn every_key_lies_in_one_slot() {
    on_each(|server| {
        let mut wire = server.wire();
        for number in 0..100 {
            wire.send(format!("SET key:{number} x\r\n"));
        }
        wire.replies(100);
        // Many walks at once.
        for slot in 0..16384 {
            wire.send(format!("CLUSTER COUNTKEYSINSLOT {slot}\r\n"));
        }
        let counted: i64 = wire.replies(16384).iter().map(Value::int).sum();
        assert_eq!(counted, 100);
        // Of the connection's database, without what is past its expiry.
        assert_eq!(wire.run("SELECT 1"), ok());
        assert_eq!(wire.run("CLUSTER COUNTKEYSINSLOT 12182"), integer(0));
        assert_eq!(wire.run("SET foo x PX 1"), ok());
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert_eq!(wire.run("CLUSTER COUNTKEYSINSLOT 12182"), integer(0));
        let invalid = error("ERR Invalid slot");
        assert_eq!(wire.run("CLUSTER COUNTKEYSINSLOT 16384"), invalid);
        let not_integer = error("ERR value is not an integer or out of range");
        assert_eq!(wire.run("CLUSTER COUNTKEYSINSLOT x"), not_integer);
        let invalid = error("ERR Invalid slot or number of keys");
        assert_eq!(wire.run("CLUSTER GETKEYSINSLOT 0 -1"), invalid);
        assert_eq!(wire.run("CLUSTER GETKEYSINSLOT -1 1"), invalid);
    });
}

#[test]
fn a_node_alone_leads() {
    on_each(|server| {
        let mut wire = server.wire();
        let address = format!("127.0.0.1:{}", server.port());
        assert_eq!(wire.run("SET a 1"), ok());
        let role = wire.run("ROLE");
        let [kind, Value::Int(offset), followers] = role.elements() else {
            panic!("{role:?}");
        };
        assert_eq!((kind, followers), (&bulk("master"), &Value::Array(vec![])));
        assert!(*offset >= 1, "{role:?}");
        for (long, flat) in [
            ("RAFT LEADER", "RAFTLEADER"),
            ("RAFT STATE", "RAFTSTATE"),
            ("RAFT PEERS", "RAFTPEERS"),
            ("RAFT STATS", "RAFTSTATS"),
        ] {
            assert_eq!(wire.run(long), wire.run(flat), "{long}");
        }
        assert_eq!(wire.run("RAFT LEADER"), bulk(&address));
        assert_eq!(wire.run("RAFT STATE"), bulk("leader"));
        let peers = wire.run("RAFT PEERS");
        let own = peers.elements()[0].elements();
        assert_eq!(peers.elements().len(), 1);
        assert_eq!(
            own[2..6],
            [
                bulk("address"),
                bulk(&address),
                bulk("role"),
                bulk("leader")
            ]
        );
        let id = format!("{:040x}", own[1].int());
        assert_eq!(id, own_id(&server));
        let digest = wire.run("RAFT DIGEST");
        assert_eq!(digest.elements()[..2], [bulk("state"), bulk("unknown")]);
        assert!(wire.run("RAFT HELP").elements().len() > 20);
        let info = wire.run("INFO raft").text();
        assert_eq!(field(&info, "raft_role"), Some("leader"));
        assert_eq!(field(&info, "raft_leader_address"), Some(&*address));
        assert_eq!(field(&info, "raft_has_quorum"), Some("1"));
        assert_eq!(field(&info, "raft_elections"), Some("1"));
        assert_eq!(field(&info, "raft_checkpoint_index"), Some("0"));
        let offset_text = offset.to_string();
        assert_eq!(field(&info, "raft_applied_index"), Some(&*offset_text));
        let replication = wire.run("INFO replication").text();
        assert_eq!(field(&replication, "role"), Some("master"));
        assert_eq!(field(&replication, "connected_slaves"), Some("0"));
        let known = field(&replication, "master_repl_offset");
        assert_eq!(known, Some(&*offset_text));
        assert_eq!(field(&replication, "master_replid").map(str::len), Some(40));
        assert_eq!(wire.run("RAFTSNAPSHOT"), ok());
        let info = wire.run("INFO raft").text();
        let checkpoint = field(&info, "raft_checkpoint_index").unwrap();
        assert!(checkpoint.parse::<i64>().unwrap() >= *offset, "{info}");
        assert_eq!(wire.run("SET a 2"), ok());
        assert_eq!(wire.run("RAFT SNAPSHOT"), ok());
    });
}

#[test]
fn changes_that_make_no_sense_are_refused() {
    on_each(|server| {
        let mut wire = server.wire();
        let no_address = "'here' is no node address: write host:port or host:port@peerport";
        let no_member = "'x' names no member: write its id or host:port";
        for (command, why) in [
            ("RAFT ADDPEER here", no_address),
            ("RAFTADDPEER here LEARNER", no_address),
            ("RAFT ADDPEER a:1 VOTER", "syntax error"),
            ("RAFT ADDPEER a:1 LEARNER x", "syntax error"),
            ("RAFT REMOVEPEER x", no_member),
            ("RAFTREMOVEPEER x", no_member),
            ("RAFT PROMOTE x", no_member),
            ("RAFT TRANSFER 1 2", "syntax error"),
            ("RAFT REMOVEPEER 9", "9 is no member of this cluster"),
            ("RAFT PROMOTE b:1", "b:1 is no member of this cluster"),
        ] {
            assert_eq!(wire.run(command), error(&format!("ERR {why}")), "{command}");
        }
        for command in ["RAFT ADDPEER", "RAFTREMOVEPEER", "RAFT DEMOTE"] {
            let Value::Error(why) = wire.run(command) else {
                panic!("{command} was taken");
            };
            assert!(why.starts_with("ERR wrong number of arguments"), "{why}");
        }
        // The only voter can neither go nor hand over, and goes on.
        let own = format!("127.0.0.1:{}", server.port());
        for command in ["RAFT DEMOTE", "RAFT REMOVEPEER", "RAFT TRANSFER"] {
            let refused = wire.run(&format!("{command} {own}"));
            assert!(matches!(refused, Value::Error(_)), "{command}: {refused:?}");
        }
        assert!(matches!(wire.run("RAFT TRANSFER"), Value::Error(_)));
        assert_eq!(wire.run(&format!("RAFT PROMOTE {own}")), ok());
        assert_eq!(wire.run("RAFT STATE"), bulk("leader"));
        assert_eq!(wire.run("SET a 1"), ok());
        assert_eq!(wire.run("MULTI"), ok());
        let refused = error("ERR Command not allowed inside a transaction");
        assert_eq!(wire.run("RAFT ADDPEER a:1"), refused);
    });
}

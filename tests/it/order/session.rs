//! A connection's own state between its commands, and what it finds behind a restart.

use std::time::Duration;

use super::on_each_layout;
use crate::kit::{Server, Value, bulk, command, error, eventually, integer, ok};

/// Commands that ask other cores, or that go by levels of their own, have no place within MULTI:
/// their replies would come to a place that is another's.
#[test]
fn what_cannot_be_queued_spoils_the_transaction_and_nothing_else() {
    on_each_layout(&[], |server| {
        let mut wire = server.wire();
        let lines = [
            "WITH DURABILITY low SET k v",
            "INFO server",
            "CLIENT LIST",
            "CONFIG RESETSTAT",
            "CONFIG SET timeout 0",
            "LASTSAVE",
        ];
        for line in lines {
            assert_eq!(wire.run("MULTI"), ok());
            wire.run("SET other v");
            let refused = error("ERR Command not allowed inside a transaction");
            assert_eq!(wire.run(line), refused, "{line}");
            let reply = wire.run("EXEC");
            assert!(matches!(&reply, Value::Error(text) if text.starts_with("EXECABORT")));
            assert_eq!(wire.run("SET k x"), ok());
            assert_eq!(
                wire.run("MGET k other"),
                Value::Array(vec![bulk("x"), Value::Nil])
            );
        }
    });
}

#[test]
fn a_transaction_in_a_transaction_is_refused_and_spoils_nothing() {
    on_each_layout(&[], |server| {
        let mut wire = server.wire();
        for line in ["MULTI", "WATCH k"] {
            wire.run("MULTI");
            assert!(matches!(wire.run(line), Value::Error(_)));
            wire.run("SET k v");
            assert_eq!(wire.run("EXEC"), Value::Array(vec![ok()]));
        }
    });
}

#[test]
fn unwatch_within_a_transaction_comes_too_late() {
    on_each_layout(&[], |server| {
        let (mut wire, mut other) = (server.wire(), server.wire());
        wire.run("WATCH k");
        other.run("SET k other");
        wire.run("MULTI");
        wire.run("UNWATCH");
        wire.run("SET k mine");
        assert_eq!(wire.run("EXEC"), Value::Nil);
        assert_eq!(wire.run("GET k"), bulk("other"));
    });
}

/// In one pipeline: UNWATCH comes while the watched keys' versions are still on their way.
#[test]
fn unwatch_and_discard_undo_a_watch_under_way() {
    on_each_layout(&[], |server| {
        let (mut wire, mut other) = (server.wire(), server.wire());
        for forget in [&["UNWATCH"][..], &["MULTI", "DISCARD"]] {
            let mut bytes = command(&["WATCH", "a", "b", "c", "k"]);
            for word in forget {
                bytes.extend(command(&[word]));
            }
            wire.send(bytes);
            wire.replies(1 + forget.len() as i64);
            other.run("SET k other");
            wire.run("MULTI");
            wire.run("SET k mine");
            assert_eq!(wire.run("EXEC"), Value::Array(vec![ok()]));
        }
    });
}

#[test]
fn a_discarded_transaction_selects_no_database() {
    on_each_layout(&[], |server| {
        let mut wire = server.wire();
        wire.run("SET k zero");
        wire.run("MULTI");
        wire.run("SELECT 3");
        wire.run("DISCARD");
        assert_eq!(wire.run("GET k"), bulk("zero"));
    });
}

/// Reads begin when every shard has run all of the log, not when all of it was handed out. Commands
/// over shards hold the shards up on the way.
#[test]
fn the_first_read_behind_a_restart_sees_the_last_write() {
    for cores in [1, 4] {
        let mut server = Server::start(cores, &[]);
        let mut wire = server.wire();
        let value = "x".repeat(2000);
        let keys: Vec<String> = (0..64).map(|n| format!("key:{n}")).collect();
        for round in 0..60 {
            let mut bytes = Vec::new();
            for (n, key) in keys.iter().enumerate() {
                let next = &keys[(n + 1) % keys.len()];
                bytes.extend(command(&["MSET", key, &value, next, &value]));
                bytes.extend(command(&["SET", key, &format!("{round}")]));
            }
            wire.send(bytes);
            wire.replies(2 * keys.len() as i64);
        }
        for key in &keys {
            assert_eq!(wire.run(&format!("SET {key} last")), ok());
        }
        drop(wire);
        server.stop(libc::SIGTERM);
        server.begin();
        let mut wires: Vec<_> = (0..4).map(|_| server.wire()).collect();
        for (n, key) in keys.iter().rev().enumerate() {
            assert_eq!(wires[n % 4].run(&format!("GET {key}")), bulk("last"));
        }
    }
}

/// Expired keys of a checkpoint are found as soon as the node serves.
#[test]
fn keys_that_fell_due_while_the_node_was_down_go_away() {
    for cores in [1, 4] {
        let mut server = Server::start(cores, &[]);
        let mut wire = server.wire();
        for n in 0..20 {
            wire.run(&format!("SET due:{n} v PX 300"));
        }
        wire.run("SET stays v");
        assert_eq!(wire.run("SAVE"), ok());
        drop(wire);
        server.stop(libc::SIGTERM);
        std::thread::sleep(Duration::from_millis(400));
        server.begin();
        let mut wire = server.wire();
        eventually("expired keys to go", || wire.run("DBSIZE") == integer(1));
    }
}

//! Keys that end by themselves.

use std::time::{Duration, Instant};

use crate::kit::{Server, Value, bulk, command, eventually, field, integer, ok, on_each};

/// How long the keys live that are read until they are due.
const LIFE: Duration = Duration::from_millis(1500);

#[test]
fn a_key_past_due_is_absent_at_once() {
    on_each(|server| {
        let mut wire = server.wire();
        let begun = Instant::now();
        for number in 0..50 {
            let key = format!("brief:{number}");
            assert_eq!(
                wire.call(&["SET", &key, "x", "PX", &LIFE.as_millis().to_string()]),
                ok()
            );
        }
        let (value, left) = (wire.run("GET brief:1"), wire.run("PTTL brief:2"));
        // Unless the machine stood still until they were due.
        if begun.elapsed() < LIFE {
            assert_eq!(value, bulk("x"));
            assert!((1..=1500).contains(&left.int()), "{left:?}");
        }
        std::thread::sleep(LIFE);
        for number in 0..50 {
            assert_eq!(wire.run(&format!("GET brief:{number}")), Value::Nil);
            assert_eq!(wire.run(&format!("TTL brief:{number}")), integer(-2));
        }
        assert_eq!(wire.run("SET brief:1 y NX"), ok());
        assert_eq!(wire.run("TTL brief:1"), integer(-1));
        assert_eq!(wire.run("APPEND brief:3 z"), integer(1));
    });
}

#[test]
fn keys_nobody_asks_for_are_removed() {
    on_each(|server| {
        let mut wire = server.wire();
        for number in 0..2000 {
            wire.send(command(&[
                "SET",
                &format!("gone:{number}"),
                "x",
                "PX",
                "100",
            ]));
            wire.send(command(&[
                "SET",
                &format!("kept:{number}"),
                "x",
                "EX",
                "1000",
            ]));
        }
        wire.replies(4000);
        eventually("expired keys are removed", || {
            wire.run("DBSIZE") == integer(2000)
        });
        let info = wire.run("INFO stats").text();
        assert_eq!(field(&info, "expired_keys"), Some("2000"));
        let keyspace = wire.run("INFO keyspace").text();
        assert!(
            keyspace.contains("db0:keys=2000,expires=2000"),
            "{keyspace}"
        );
    });
}

#[test]
fn an_expiry_outlives_a_restart() {
    for cores in crate::kit::CORES {
        let mut server = Server::start(cores, &[]);
        let mut wire = server.wire();
        wire.run("SET long x EX 1000");
        wire.run("SET brief x PX 300");
        wire.run("SET forever x");
        server.stop(libc::SIGTERM);
        std::thread::sleep(Duration::from_millis(300));
        server.begin();
        let mut wire = server.wire();
        assert!((900..=1000).contains(&wire.run("TTL long").int()));
        assert_eq!(wire.run("TTL brief"), integer(-2));
        assert_eq!(wire.run("TTL forever"), integer(-1));
        eventually("it is removed", || wire.run("DBSIZE") == integer(2));
    }
}

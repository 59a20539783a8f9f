//! CONFIG, INFO, COMMAND, WAIT: what operators and clients ask about.

use std::time::{Duration, Instant};

use crate::kit::on_each;
use crate::kit::{PATIENCE, Server, Value, bulk, command, error, eventually, field, integer, ok};

#[test]
fn settings_change_while_it_runs() {
    on_each(|server| {
        let mut wire = server.wire();
        let mut other = server.wire();
        assert_eq!(wire.run("CONFIG SET timeout 100 maxclients 500"), ok());
        let all = other.run("CONFIG GET timeout maxclients");
        assert_eq!(all.elements().len(), 4);
        assert!(all.elements().contains(&bulk("100")) && all.elements().contains(&bulk("500")));
        // One wrong value: none is taken.
        let refused = wire.run("CONFIG SET timeout 7 maxclients nonsense");
        assert!(matches!(refused, Value::Error(_)));
        assert_eq!(
            wire.run("CONFIG GET timeout"),
            Value::Array(vec![bulk("timeout"), bulk("100")])
        );
        assert!(matches!(wire.run("CONFIG SET nosuch 1"), Value::Error(_)));
        assert_eq!(wire.run("CONFIG GET nosuch"), Value::Array(vec![]));
        let many = wire.run("CONFIG GET *");
        assert!(many.elements().len() > 40);
        assert_eq!(wire.run("CONFIG SET durability medium"), ok());
        let shown = other.run("CONFIG GET durability");
        assert_eq!(shown.elements()[1], bulk("medium"));
        assert_eq!(wire.run("CONFIG RESETSTAT"), ok());
    });
}

#[test]
fn levels_of_a_connection_and_of_a_command() {
    on_each(|server| {
        let mut wire = server.wire();
        assert_eq!(wire.run("CLIENT DURABILITY high"), ok());
        assert_eq!(wire.run("SET a 1"), ok());
        assert_eq!(wire.run("WITH DURABILITY all SET b 2"), ok());
        assert_eq!(wire.run("WITH CONSISTENCY stale GET b"), bulk("2"));
        assert_eq!(
            wire.run("WITH DURABILITY medium CONSISTENCY leader INCR b"),
            integer(3)
        );
        assert!(matches!(
            wire.run("WITH DURABILITY tall SET a 1"),
            Value::Error(_)
        ));
        assert!(matches!(
            wire.run("CLIENT DURABILITY tall"),
            Value::Error(_)
        ));
        assert!(matches!(wire.run("WITH DURABILITY high"), Value::Error(_)));
        assert_eq!(wire.run("WITH DURABILITY low GET a"), bulk("1"));
    });
}

#[test]
fn wait_and_waitaof_know_the_log() {
    on_each(|server| {
        let mut wire = server.wire();
        wire.run("SET a 1");
        assert_eq!(wire.run("WAIT 0 100"), integer(0));
        // Nobody else is there to wait for.
        assert_eq!(wire.run("WAIT 1 150"), integer(0));
        assert_eq!(
            wire.run("WAITAOF 1 0 5000"),
            Value::Array(vec![integer(1), integer(0)])
        );
        assert!(matches!(wire.run("WAIT x 1"), Value::Error(_)));
    });
}

#[test]
fn info_has_redis_sections_and_fields() {
    on_each(|server| {
        let mut wire = server.wire();
        for number in 0..100 {
            wire.run(&format!("SET info:{number} x"));
            wire.run(&format!("GET info:{}", number * 2));
        }
        let info = wire.run("INFO").text();
        for section in [
            "Server",
            "Clients",
            "Memory",
            "Persistence",
            "Stats",
            "Replication",
            "CPU",
            "Keyspace",
        ] {
            assert!(
                info.contains(&format!("# {section}\r\n")),
                "{section} in {info}"
            );
        }
        let field = |name: &str| {
            let found = field(&info, name);
            found.unwrap_or_else(|| panic!("{name} in {info}"))
        };
        assert_eq!(field("tcp_port"), server.port().to_string());
        assert_eq!(field("process_id"), server.pid().to_string());
        assert_eq!(field("role"), "master");
        assert_eq!(field("connected_clients"), "1");
        assert_eq!(field("db0"), "keys=100,expires=0,avg_ttl=0");
        assert!(field("used_memory").parse::<u64>().unwrap() > 0);
        for name in [
            "redis_version",
            "uptime_in_seconds",
            "instantaneous_ops_per_sec",
            "loading",
            "used_cpu_sys",
        ] {
            assert!(!field(name).is_empty(), "{name}");
        }
        let two = wire.run("INFO server keyspace").text();
        assert!(two.contains("# Server") && two.contains("# Keyspace") && !two.contains("# Stats"));
        let counts = wire.run("INFO commandstats").text();
        assert!(counts.contains("cmdstat_set:calls=100,"), "{counts}");
    });
}

#[test]
fn info_counts_hits_and_misses() {
    on_each(|server| {
        let mut wire = server.wire();
        wire.run("SET there x");
        wire.run("GET there");
        wire.run("MGET there missing");
        wire.run("EXISTS missing");
        let info = wire.run("INFO stats").text();
        assert!(!info.contains("total_commands_processed:0\r\n"), "{info}");
        assert!(
            info.contains("keyspace_hits:2\r\nkeyspace_misses:2"),
            "{info}"
        );
    });
}

#[test]
fn command_describes_itself() {
    let server = Server::start(1, &[]);
    let mut wire = server.wire();
    let count = wire.run("COMMAND COUNT").int();
    assert_eq!(wire.run("COMMAND").elements().len() as i64, count);
    let listed = wire.run("COMMAND LIST");
    let whole = listed
        .elements()
        .iter()
        .filter(|name| !name.text().contains('|'));
    assert_eq!(whole.count() as i64, count);
    let get = wire.run("COMMAND INFO get nosuch");
    let get = get.elements();
    assert_eq!(get[0].elements()[0], bulk("get"));
    assert_eq!(get[0].elements()[1], integer(2));
    assert_eq!(get[1], Value::Nil);
    let keys = wire.run("COMMAND GETKEYS MSET a 1 b 2");
    assert_eq!(keys, Value::Array(vec![bulk("a"), bulk("b")]));
    assert!(matches!(wire.run("COMMAND GETKEYS PING"), Value::Error(_)));
    let docs = wire.run("COMMAND DOCS get");
    assert_eq!(docs.elements()[0], bulk("get"));
    assert!(
        format!("{:?}", docs.elements()[1]).contains("summary")
            || !docs.elements()[1].elements().is_empty()
    );
}

#[test]
fn scan_meets_every_key_that_stays() {
    on_each(|server| {
        let mut wire = server.wire();
        for number in 0..3000 {
            wire.send(command(&["SET", &format!("stays:{number}"), "x"]));
        }
        wire.replies(3000);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (server, done) = (&server, &done);
            let changing = scope.spawn(move || {
                let mut wire = server.wire();
                let mut round = 0;
                let begun = Instant::now();
                while begun.elapsed() < PATIENCE && !done.load(std::sync::atomic::Ordering::Relaxed)
                {
                    // The tables grow and shrink meanwhile.
                    for number in 0..2000 {
                        wire.send(command(&["SET", &format!("comes:{round}:{number}"), "x"]));
                    }
                    for number in 0..2000 {
                        wire.send(command(&["DEL", &format!("comes:{round}:{number}")]));
                    }
                    wire.replies(4000);
                    round += 1;
                }
                round
            });
            for count in ["1", "10", "100", "1000"] {
                let mut seen = std::collections::HashSet::new();
                let mut cursor = "0".to_string();
                let mut calls = 0;
                loop {
                    let reply = wire.call(&["SCAN", &cursor, "MATCH", "stays:*", "COUNT", count]);
                    calls += 1;
                    assert!(calls < 100_000, "SCAN does not end");
                    seen.extend(reply.elements()[1].elements().iter().map(Value::text));
                    cursor = reply.elements()[0].text();
                    if cursor == "0" {
                        break;
                    }
                }
                let missing = (0..3000).filter(|number| !seen.contains(&format!("stays:{number}")));
                assert_eq!(missing.count(), 0, "COUNT {count}");
                assert_eq!(seen.len(), 3000);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(changing.join().unwrap() > 0);
        });
        eventually("only what stays is left", || {
            wire.run("DBSIZE") == integer(3000)
        });
        wire.run("SADD types a");
        let sets = wire.run("SCAN 0 COUNT 100000 TYPE set");
        assert_eq!(sets.elements()[1], Value::Array(vec![bulk("types")]));
        assert!(matches!(wire.run("SCAN nonsense"), Value::Error(_)));
        assert_eq!(wire.run("KEYS stays:12?").elements().len(), 10);
        assert!(
            wire.run("RANDOMKEY").text().contains(':') || wire.run("RANDOMKEY") == bulk("types")
        );
    });
}

#[test]
fn databases_are_apart() {
    on_each(|server| {
        let mut wire = server.wire();
        for db in 0..16 {
            assert_eq!(wire.run(&format!("SELECT {db}")), ok());
            assert_eq!(wire.run(&format!("SET mine {db}")), ok());
        }
        assert_eq!(wire.run("SELECT 16"), error("ERR DB index is out of range"));
        assert_eq!(wire.run("GET mine"), bulk("15"));
        assert_eq!(wire.run("MOVE mine 3"), integer(0));
        wire.run("SET moved x");
        assert_eq!(wire.run("MOVE moved 3"), integer(1));
        assert_eq!(wire.run("SWAPDB 3 15"), ok());
        assert_eq!(wire.run("GET mine"), bulk("3"));
        assert_eq!(wire.run("GET moved"), bulk("x"));
        assert_eq!(wire.run("FLUSHDB"), ok());
        assert_eq!(wire.run("DBSIZE"), integer(0));
        wire.run("SELECT 3");
        assert_eq!(wire.run("GET mine"), bulk("15"));
        assert_eq!(wire.run("FLUSHALL"), ok());
        wire.run("SELECT 0");
        assert_eq!(wire.run("DBSIZE"), integer(0));
    });
}

#[test]
fn debug_sleep_holds_only_its_client() {
    let server = Server::start(5, &[]);
    let mut sleeper = server.wire();
    let begun = Instant::now();
    sleeper.send(command(&["DEBUG", "SLEEP", "0.3"]));
    assert_eq!(sleeper.reply(), ok());
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

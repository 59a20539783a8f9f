//! Start, stop, and what stays.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::kit::{CORES, Server, Value, Wire, bulk, command, eventually, integer, ok, program};

fn fill(server: &Server) {
    let mut wire = server.wire();
    for number in 0..500 {
        wire.send(command(&[
            "SET",
            &format!("string:{number}"),
            &"v".repeat(number),
        ]));
        wire.send(command(&[
            "RPUSH",
            &format!("list:{}", number % 20),
            &number.to_string(),
        ]));
        wire.send(command(&[
            "SADD",
            &format!("set:{}", number % 20),
            &number.to_string(),
        ]));
        wire.send(command(&[
            "HSET",
            &format!("hash:{}", number % 20),
            &number.to_string(),
            "x",
        ]));
        let score = (number * 7 % 13).to_string();
        wire.send(command(&[
            "ZADD",
            &format!("zset:{}", number % 20),
            &score,
            &number.to_string(),
        ]));
    }
    wire.replies(2500);
    wire.run("SELECT 5");
    wire.run("SET elsewhere 5");
}

fn digest(server: &Server) -> Value {
    let value = server.wire().run("DEBUG DIGEST");
    assert_eq!(value.text().len(), 40, "{value:?}");
    value
}

#[test]
fn a_signal_stops_it_and_the_data_stays() {
    for cores in CORES {
        let mut server = Server::start(cores, &[]);
        fill(&server);
        let before = digest(&server);
        for signal in [libc::SIGTERM, libc::SIGINT] {
            server.stop(signal);
            server.begin();
            assert_eq!(digest(&server), before);
        }
        let mut wire = server.wire();
        assert_eq!(wire.run("DBSIZE"), integer(580));
        assert_eq!(
            wire.run("LRANGE list:3 0 1"),
            Value::Array(vec![bulk("3"), bulk("23")])
        );
        wire.run("SELECT 5");
        assert_eq!(wire.run("GET elsewhere"), bulk("5"));
    }
}

#[test]
fn shutdown_stops_it_and_the_data_stays() {
    for cores in CORES {
        for word in ["SHUTDOWN", "SHUTDOWN NOSAVE", "SHUTDOWN SAVE"] {
            let mut server = Server::start(cores, &[]);
            fill(&server);
            let before = digest(&server);
            let mut wire = server.wire();
            wire.send(format!("{word}\r\n"));
            wire.expect_close();
            server.expect_stop();
            server.begin();
            assert_eq!(digest(&server), before);
        }
    }
}

fn amid(writer: usize) -> String {
    format!("amid:{writer}")
}

#[test]
fn a_stop_amid_writes_keeps_what_was_acknowledged() {
    for cores in CORES {
        let mut server = Server::start(cores, &[]);
        let port = server.port();
        let acknowledged: [AtomicU32; 4] = Default::default();
        std::thread::scope(|scope| {
            for (writer, acknowledged) in acknowledged.iter().enumerate() {
                scope.spawn(move || {
                    let mut wire = Wire::connect(port);
                    loop {
                        let next = acknowledged.load(Ordering::SeqCst).to_string();
                        let sent = wire.try_send(command(&["SET", &amid(writer), &next]));
                        if !sent || wire.try_line().as_deref() != Some("+OK") {
                            return;
                        }
                        acknowledged.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            eventually("all of them write", || {
                let has_begun = |count: &AtomicU32| count.load(Ordering::SeqCst) >= 50;
                acknowledged.iter().all(has_begun)
            });
            server.stop(libc::SIGTERM);
        });
        server.begin();
        for (writer, count) in acknowledged.into_iter().enumerate() {
            let count = count.into_inner();
            let value = server.wire().call(&["GET", &amid(writer)]).text();
            let value: u32 = value.parse().unwrap();
            // The last write may have happened and its reply been lost.
            assert!(value + 1 == count || value == count, "{value} of {count}");
        }
    }
}

#[test]
fn a_stop_with_idle_and_stalled_clients_is_quick() {
    for cores in CORES {
        let mut server = Server::start(cores, &[]);
        let mut idle: Vec<_> = (0..20).map(|_| server.wire()).collect();
        for (number, wire) in idle.iter_mut().enumerate() {
            if number % 2 == 0 {
                wire.run("PING");
            } else {
                wire.send(b"*3\r\n$3\r\nSET\r\n$1\r\n");
            }
        }
        let begun = std::time::Instant::now();
        server.stop(libc::SIGTERM);
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            begun.elapsed()
        );
        for wire in &mut idle {
            wire.expect_close();
        }
    }
}

#[test]
fn a_checkpoint_stays_too() {
    for cores in CORES {
        let mut server = Server::start(
            cores,
            &["--checkpoint-log-size", "1mb", "--log-segment-size", "1mb"],
        );
        fill(&server);
        let mut wire = server.wire();
        for round in 0..3 {
            for number in 0..200 {
                let value = vec![b'a' + round; 10_000];
                wire.send(command(&[
                    &b"SET"[..],
                    format!("big:{number}").as_bytes(),
                    &value,
                ]));
            }
            wire.replies(200);
        }
        eventually("no other checkpoint is under way", || {
            wire.run("SAVE") == ok()
        });
        wire.run("SET after checkpoint");
        let before = digest(&server);
        server.stop(libc::SIGTERM);
        server.begin();
        assert_eq!(digest(&server), before);
        assert_eq!(server.wire().run("GET after"), bulk("checkpoint"));
    }
}

#[test]
fn both_log_backends_keep_the_data() {
    for backend in ["segment", "fjall"] {
        for durability in ["low", "medium", "high", "all"] {
            let mut server =
                Server::start(2, &["--log-backend", backend, "--durability", durability]);
            fill(&server);
            let before = digest(&server);
            server.stop(libc::SIGTERM);
            server.begin();
            assert_eq!(digest(&server), before, "{backend} {durability}");
        }
    }
}

#[test]
fn the_number_of_cores_may_change() {
    let mut server = Server::start(1, &[]);
    fill(&server);
    let before = digest(&server);
    for cores in [4, 3, 8, 1] {
        server.stop(libc::SIGTERM);
        server.begin_with(cores);
        assert_eq!(digest(&server), before, "{cores} cores");
        let mut wire = server.wire();
        assert_eq!(wire.run("DBSIZE"), integer(580));
        assert!(wire.run("INCR restarts").int() > 0);
        wire.run("DEL restarts");
    }
}

#[test]
fn what_it_says_at_its_command_line() {
    let run = |args: &[&str]| Command::new(program()).args(args).output().unwrap();
    let help = run(&["--help"]);
    assert!(help.status.success());
    assert!(String::from_utf8_lossy(&help.stdout).contains("--durability"));
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert!(String::from_utf8_lossy(&version.stdout).contains(env!("CARGO_PKG_VERSION")));
    let wrong = run(&["--durabilty", "low"]);
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("durability"));
    let value = run(&["--durability", "tall"]);
    assert!(!value.status.success());
}

#[test]
fn a_configuration_file_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("quorate.conf");
    std::fs::write(
        &path,
        "# a comment\nmaxclients 77\ntimeout 0\nappendfsync no\n",
    )
    .unwrap();
    // The file comes first on the command line, as Redis has it.
    let server = Server::start_from(&path, 1);
    let mut wire = server.wire();
    assert_eq!(
        wire.run("CONFIG GET maxclients"),
        Value::Array(vec![bulk("maxclients"), bulk("77")])
    );
    eventually("it serves", || {
        wire.run("PING") == Value::Simple("PONG".into())
    });
}

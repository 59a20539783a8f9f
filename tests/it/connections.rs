//! Connections: how many, how long, how full, and who ends them.

use std::time::{Duration, Instant};

use crate::kit::on_each;
use crate::kit::{Server, Value, Wire, bulk, command, error, eventually, field, integer, ok};

fn pong() -> Value {
    Value::Simple("PONG".into())
}

/// Open descriptors of the server.
fn descriptors(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
        .unwrap()
        .count()
}

fn connected(wire: &mut Wire) -> u64 {
    let info = wire.run("INFO clients").text();
    let count = field(&info, "connected_clients");
    count.expect("connected_clients").parse().unwrap()
}

#[test]
fn many_come_and_go_and_nothing_is_left() {
    on_each(|server| {
        let mut wire = server.wire();
        wire.run("PING");
        let before = descriptors(&server);
        for round in 0..20 {
            let mut wires: Vec<Wire> = (0..100).map(|_| server.wire()).collect();
            for (number, wire) in wires.iter_mut().enumerate() {
                match (round + number) % 5 {
                    0 => drop(wire.run("PING")),
                    // Left midway.
                    1 => wire.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk"),
                    // Left with replies unread.
                    2 => wire.send(command(&["INFO"])),
                    3 => wire.send(command(&["SET", "k", "v"])),
                    _ => {}
                }
            }
        }
        eventually("their descriptors are closed", || {
            descriptors(&server) <= before
        });
        eventually("their places are free", || connected(&mut wire) == 1);
        let listed = wire.run("CLIENT LIST").text();
        assert_eq!(listed.lines().count(), 1, "{listed}");
    });
}

#[test]
fn a_thousand_at_once() {
    on_each(|server| {
        let mut wires: Vec<Wire> = (0..1000).map(|_| server.wire()).collect();
        for (number, wire) in wires.iter_mut().enumerate() {
            wire.send(command(&[
                "SET",
                &format!("many:{number}"),
                &number.to_string(),
            ]));
        }
        for wire in &mut wires {
            assert_eq!(wire.reply(), ok());
        }
        assert_eq!(connected(&mut wires[0]), 1000);
        for (number, wire) in wires.iter_mut().enumerate() {
            let read = wire.run(&format!("GET many:{}", 999 - number));
            assert_eq!(read, bulk((999 - number).to_string()));
        }
    });
}

#[test]
fn no_more_than_maxclients() {
    on_each(|server| {
        let mut wires: Vec<Wire> = (0..10).map(|_| server.wire()).collect();
        for wire in &mut wires {
            assert_eq!(wire.run("PING"), pong());
        }
        assert_eq!(wires[0].run("CONFIG SET maxclients 10"), ok());
        for _ in 0..5 {
            let mut refused = server.wire();
            assert_eq!(refused.reply(), error("ERR max number of clients reached"));
            refused.expect_close();
        }
        assert_eq!(wires[9].run("PING"), pong());
        wires.truncate(8);
        eventually("their places are free", || {
            let mut wire = server.wire();
            wire.try_send(b"PING\r\n") && wire.try_line().as_deref() == Some("+PONG")
        });
    });
}

#[test]
fn silent_clients_are_closed_after_the_timeout() {
    on_each(|server| {
        let mut wire = server.wire();
        let mut silent = server.wire();
        let mut midway = server.wire();
        silent.run("PING");
        midway.send(b"*2\r\n$3\r\n");
        assert_eq!(wire.run("CONFIG SET timeout 1"), ok());
        let begun = Instant::now();
        let mut asked = begun;
        while begun.elapsed() < Duration::from_millis(2500) {
            let before = std::mem::replace(&mut asked, Instant::now());
            let answered =
                wire.try_send(b"PING\r\n") && wire.try_line().as_deref() == Some("+PONG");
            if !answered {
                // This machine stood still for as long: it was silent, too.
                let silence = before.elapsed();
                assert!(
                    silence >= Duration::from_secs(1),
                    "closed after {silence:?}"
                );
                wire = server.wire();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        silent.expect_close();
        midway.expect_close();
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn a_client_that_never_reads_is_closed_at_its_limit() {
    on_each(|server| {
        let mut wire = server.wire();
        assert_eq!(
            wire.run("CONFIG SET client-output-buffer-limit normal_is_missing"),
            {
                let again = wire.run("CONFIG SET client-output-buffer-limit normal_is_missing");
                assert!(matches!(again, Value::Error(_)));
                again
            }
        );
        let limit = "normal 2097152 0 0";
        assert_eq!(
            wire.call(&["CONFIG", "SET", "client-output-buffer-limit", limit]),
            ok()
        );
        let value = vec![b'v'; 1 << 20];
        wire.call(&[&b"SET"[..], b"large", &value]);
        let mut deaf = server.wire();
        for _ in 0..64 {
            if !deaf.try_send(command(&["GET", "large"])) {
                break;
            }
        }
        eventually("it is closed", || connected(&mut wire) == 1);
        assert!(deaf.rest().len() < 64 << 20);
        assert!(server.said().contains("client-output-buffer-limit"));
        assert_eq!(wire.run("PING"), pong());
    });
}

/// What a client sends and never reads the replies of does not pile up in the server.
#[test]
fn a_deaf_client_fills_no_memory() {
    let server = Server::start(1, &[]);
    let mut wire = server.wire();
    let value = vec![b'v'; 1 << 20];
    wire.call(&[&b"SET"[..], b"large", &value]);
    let mut deaf = server.wire();
    for _ in 0..2000 {
        deaf.send(command(&["GET", "large"]));
    }
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(20));
        let rss = wire.memory_bytes();
        assert!(rss < 300 << 20, "{rss}");
    }
}

#[test]
fn client_knows_and_names_itself() {
    on_each(|server| {
        let mut one = server.wire();
        let mut two = server.wire();
        let ids = [one.run("CLIENT ID").int(), two.run("CLIENT ID").int()];
        assert!(ids[0] != ids[1] && ids[0] > 0 && ids[1] > 0);
        assert_eq!(one.run("CLIENT GETNAME"), Value::Nil);
        assert_eq!(one.run("CLIENT SETNAME one"), ok());
        assert_eq!(one.run("CLIENT SETINFO LIB-NAME mine"), ok());
        assert_eq!(one.run("CLIENT SETINFO LIB-VER 1.2"), ok());
        two.run("SELECT 3");
        two.run("MULTI");
        two.run("PING");
        let list = one.run("CLIENT LIST").text();
        assert_eq!(list.lines().count(), 2);
        let line = list
            .lines()
            .find(|line| line.contains(" name=one "))
            .expect("one");
        assert!(line.contains("lib-name=mine lib-ver=1.2"), "{line}");
        assert!(line.contains("cmd=client|list"), "{line}");
        let other = list
            .lines()
            .find(|line| line.starts_with(&format!("id={} ", ids[1])))
            .expect("two");
        assert!(
            other.contains(" db=3 ") && other.contains(" multi=1 "),
            "{other}"
        );
        assert!(
            one.run("CLIENT INFO")
                .text()
                .starts_with(&format!("id={} ", ids[0]))
        );
        let by_id = one
            .call(&["CLIENT", "LIST", "ID", &ids[1].to_string()])
            .text();
        assert_eq!(by_id.lines().count(), 1);
        assert!(matches!(
            one.call(&["CLIENT", "SETNAME", "a b"]),
            Value::Error(_)
        ));
        assert_eq!(two.run("RESET"), Value::Simple("RESET".into()));
        assert_eq!(two.run("EXEC"), error("ERR EXEC without MULTI"));
    });
}

#[test]
fn clients_are_killed() {
    on_each(|server| {
        let mut killer = server.wire();
        let mut victims: Vec<Wire> = (0..4).map(|_| server.wire()).collect();
        let ids: Vec<i64> = victims
            .iter_mut()
            .map(|wire| wire.run("CLIENT ID").int())
            .collect();
        assert_eq!(
            killer.call(&["CLIENT", "KILL", "ID", &ids[0].to_string()]),
            integer(1)
        );
        victims[0].expect_close();
        assert_eq!(
            killer.call(&["CLIENT", "KILL", "ID", &ids[0].to_string()]),
            integer(0)
        );
        let line = killer
            .call(&["CLIENT", "LIST", "ID", &ids[1].to_string()])
            .text();
        let address = line
            .split(' ')
            .find_map(|field| field.strip_prefix("addr="))
            .unwrap();
        assert_eq!(killer.call(&["CLIENT", "KILL", address]), ok());
        victims[1].expect_close();
        assert_eq!(
            killer.call(&["CLIENT", "KILL", "127.0.0.1:1"]),
            error("ERR No such client")
        );
        assert_eq!(killer.run("CLIENT KILL TYPE normal"), integer(2));
        victims[2].expect_close();
        victims[3].expect_close();
        assert_eq!(killer.run("PING"), pong());
        let own = killer.run("CLIENT ID").int().to_string();
        assert_eq!(
            killer.call(&["CLIENT", "KILL", "ID", &own, "SKIPME", "yes"]),
            integer(0)
        );
        assert_eq!(
            killer.call(&["CLIENT", "KILL", "ID", &own, "SKIPME", "no"]),
            integer(1)
        );
        killer.expect_close();
        eventually("their places are free", || {
            connected(&mut server.wire()) == 1
        });
    });
}

#[test]
fn replies_can_be_turned_off() {
    on_each(|server| {
        let mut wire = server.wire();
        wire.send(command(&["CLIENT", "REPLY", "SKIP"]));
        wire.send(command(&["SET", "a", "1"]));
        wire.send(command(&["GET", "a"]));
        assert_eq!(wire.reply(), bulk("1"));
        wire.send(command(&["CLIENT", "REPLY", "OFF"]));
        for number in 0..100 {
            wire.send(command(&["SET", &format!("off:{number}"), "x"]));
            wire.send(command(&["GET", &format!("off:{number}")]));
        }
        wire.send(command(&["NOSUCH"]));
        assert!(wire.is_silent_for(Duration::from_millis(200)));
        wire.send(command(&["CLIENT", "REPLY", "ON"]));
        assert_eq!(wire.reply(), ok());
        assert_eq!(wire.run("DBSIZE"), integer(101));
    });
}

//! Bytes in every shape: split, piled up, stalled, malformed.

use std::io::Write;
use std::time::Duration;

use crate::kit::{Server, Value, Wire, bulk, command, error, integer, ok, on_each};

#[test]
fn a_request_may_be_split_at_every_byte() {
    on_each(|server| {
        let mut bytes = command(&["SET", "split", "a value"]);
        bytes.extend(command(&["GET", "split"]));
        bytes.extend(b"ECHO \"in line\"\r\n");
        let mut wire = server.wire();
        for at in 1..bytes.len() {
            wire.send(&bytes[..at]);
            // Long enough that the server sees two pieces, most of the time.
            std::thread::sleep(Duration::from_micros(500));
            wire.send(&bytes[at..]);
            assert_eq!(wire.replies(3), [ok(), bulk("a value"), bulk("in line")]);
        }
        for byte in bytes.iter() {
            wire.send([*byte]);
        }
        assert_eq!(wire.replies(3), [ok(), bulk("a value"), bulk("in line")]);
    });
}

fn values_of(server: &Server, sizes: &[usize]) {
    let mut wire = server.wire();
    for (number, &size) in sizes.iter().enumerate() {
        let value: Vec<u8> = (0..size).map(|at| (at * 31 + number) as u8).collect();
        let key = format!("value:{number}");
        assert_eq!(wire.call(&[b"SET", key.as_bytes(), &value]), ok(), "{size}");
        assert_eq!(wire.call(&["STRLEN", &key]), integer(size as i64));
        let Value::Bulk(read) = wire.call(&["GET", &key]) else {
            panic!("no value of {size}");
        };
        assert!(read == value, "a value of {size} bytes came back changed");
        assert_eq!(wire.call(&["DEL", &key]), integer(1));
    }
}

#[test]
fn values_from_nothing_to_64_mb() {
    const MIB: usize = 1 << 20;
    let sizes = [
        0,
        1,
        15,
        16,
        17,
        63,
        64,
        255,
        256,
        4095,
        4096,
        4097,
        16_383,
        16_384,
        65_535,
        65_536,
        100_000,
        MIB - 1,
        MIB,
        3 * MIB,
        16 * MIB,
        17 * MIB,
        64 * MIB,
    ];
    on_each(|server| values_of(&server, &sizes));
}

#[test]
#[ignore = "long: moves two gigabytes"]
fn a_value_of_512_mb() {
    let mut server = Server::start(4, &["--durability", "high"]);
    values_of(&server, &[512 << 20]);
    server.stop(libc::SIGTERM);
}

#[test]
fn an_argument_above_512_mb_is_refused() {
    let server = Server::start(1, &[]);
    let mut wire = server.wire();
    wire.send(b"*2\r\n$4\r\nECHO\r\n$536870913\r\n");
    assert_eq!(
        wire.reply(),
        error("ERR Protocol error: invalid bulk length")
    );
    wire.expect_close();
}

#[test]
fn a_client_that_reads_late_gets_all_replies_in_order() {
    const COUNT: usize = 100_000;
    on_each(|server| {
        let mut requests = Vec::new();
        for number in 0..COUNT {
            let key = format!("late:{}", number % 1000);
            if number % 3 == 0 {
                requests.extend(command(&["SET", &key, &number.to_string()]));
            } else {
                requests.extend(command(&["ECHO", &number.to_string()]));
            }
        }
        let mut wire = server.wire();
        let mut writer = wire.writer();
        let sending = std::thread::spawn(move || writer.write_all(&requests).unwrap());
        // Another client is served meanwhile.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(server.wire().run("PING"), Value::Simple("PONG".into()));
        for number in 0..COUNT {
            let expected = if number % 3 == 0 {
                ok()
            } else {
                bulk(number.to_string())
            };
            assert_eq!(wire.reply(), expected, "reply {number}");
        }
        sending.join().unwrap();
        let last = (0..COUNT)
            .rev()
            .find(|number| number % 3 == 0 && number % 1000 == 7);
        assert_eq!(wire.run("GET late:7"), bulk(last.unwrap().to_string()));
    });
}

/// More replies than any socket's buffers hold: the server must wait, not lose or pile up.
#[test]
fn large_replies_wait_for_a_client_that_reads_late() {
    on_each(|server| {
        let value = vec![b'v'; 1 << 20];
        let mut wire = server.wire();
        assert_eq!(wire.call(&[&b"SET"[..], b"large", &value]), ok());
        for _ in 0..64 {
            wire.send(command(&["GET", "large"]));
        }
        std::thread::sleep(Duration::from_millis(500));
        for _ in 0..64 {
            assert!(wire.reply() == Value::Bulk(value.clone()));
        }
        assert_eq!(wire.run("PING"), Value::Simple("PONG".into()));
    });
}

#[test]
fn a_client_that_stalls_midway_holds_nobody_up() {
    on_each(|server| {
        let stalls: [&[u8]; 6] = [
            b"*",
            b"*3\r\n$3\r\nSET",
            b"*3\r\n$3\r\nSET\r\n$5\r\nstall\r\n$10\r\n12345",
            b"*1000000\r\n$536870912\r\nabc",
            b"SET half",
            b"*2\r\n$4\r\nECHO\r\n$536870912\r\n",
        ];
        let mut stalled: Vec<Wire> = stalls
            .iter()
            .map(|bytes| {
                let mut wire = server.wire();
                wire.send(bytes);
                wire
            })
            .collect();
        let mut wire = server.wire();
        for number in 0..200 {
            assert_eq!(wire.call(&["SET", &format!("free:{number}"), "x"]), ok());
        }
        let bytes = wire.memory_bytes();
        assert!(bytes < 256 << 20, "claims reserved memory: {bytes}");
        stalled[2].send(b"67890\r\n");
        assert_eq!(stalled[2].reply(), ok());
        assert_eq!(wire.run("GET stall"), bulk("1234567890"));
    });
}

#[test]
fn a_pipeline_is_answered_after_the_client_has_said_all() {
    on_each(|server| {
        for count in [1, 100, 20_000] {
            let mut requests = Vec::new();
            for number in 0..count {
                requests.extend(command(&["SET", &format!("half:{number}"), "x"]));
                requests.extend(command(&["GET", &format!("half:{number}")]));
            }
            let mut wire = server.wire();
            let mut writer = wire.writer();
            let sending = std::thread::spawn(move || {
                writer.write_all(&requests).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            for number in 0..count {
                assert_eq!(wire.replies(2), [ok(), bulk("x")], "{number} of {count}");
            }
            sending.join().unwrap();
            wire.expect_close();
        }
        assert_eq!(server.wire().run("DBSIZE"), integer(20_000));
    });
}

/// What a client that sends everything at once and reads nothing until it closed its half gets.
#[test]
fn half_closed_before_anything_is_read() {
    on_each(|server| {
        let mut wire = server.wire();
        let mut requests = Vec::new();
        for _ in 0..3000 {
            requests.extend(command(&["ECHO", "0123456789"]));
        }
        wire.send(&requests);
        wire.finish();
        std::thread::sleep(Duration::from_millis(200));
        for _ in 0..3000 {
            assert_eq!(wire.reply(), bulk("0123456789"));
        }
        wire.expect_close();
    });
}

#[test]
fn malformed_input_gets_redis_error_and_a_close() {
    let long_line = vec![b'x'; 70 * 1024];
    let long_count = [b"*".to_vec(), vec![b'1'; 70 * 1024]].concat();
    let long_length = [b"*1\r\n$".to_vec(), vec![b'1'; 70 * 1024]].concat();
    let cases: [(&[u8], &str); 14] = [
        (b"*abc\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n:5\r\n", "expected '$', got ':'"),
        (b"*2\r\n$4\r\nECHO\r\n*1\r\n", "expected '$', got '*'"),
        (b"*1\r\n$abc\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$4294967296\r\n", "invalid bulk length"),
        (b"SET \"a\r\n", "unbalanced quotes in request"),
        (b"SET 'a'b\r\n", "unbalanced quotes in request"),
        (b"SET \"a\"b c\r\n", "unbalanced quotes in request"),
        (&long_line, "too big inline request"),
        (&long_count, "too big mbulk count string"),
        (&long_length, "too big bulk count string"),
    ];
    on_each(|server| {
        for (bytes, text) in cases {
            let mut wire = server.wire();
            // What came before is answered.
            wire.send(b"PING\r\n");
            wire.send(command(&["SET", "before", "1"]));
            wire.try_send(bytes);
            assert_eq!(wire.replies(2), [Value::Simple("PONG".into()), ok()]);
            assert_eq!(wire.reply(), error(&format!("ERR Protocol error: {text}")));
            wire.expect_close();
        }
        assert_eq!(server.wire().run("PING"), Value::Simple("PONG".into()));
    });
}

#[test]
fn odd_input_that_redis_takes() {
    on_each(|server| {
        let mut wire = server.wire();
        wire.send(b"*0\r\n*-1\r\n\r\n   \r\n\n");
        wire.send(b"ping\r\nPiNg\n");
        wire.send(b"ECHO \"a\\x41\\n\\\"b\" \r\nECHO 'it\\'s'\r\nECHO \"\"\r\n");
        let pong = Value::Simple("PONG".into());
        assert_eq!(wire.replies(2), [pong.clone(), pong]);
        assert_eq!(wire.replies(3), [bulk("aA\n\"b"), bulk("it's"), bulk("")]);
        assert_eq!(
            wire.run("nosuch a b"),
            error("ERR unknown command 'nosuch', with args beginning with: 'a' 'b' ")
        );
        assert_eq!(
            wire.run("GET"),
            error("ERR wrong number of arguments for 'get' command")
        );
        assert_eq!(wire.run("GET a b"), wire.run("GET a b"));
        let binary = b"\0\r\n$5\r\n\xff\xfe";
        assert_eq!(wire.call(&[&b"SET"[..], binary, binary]), ok());
        assert_eq!(wire.call(&[&b"GET"[..], binary]), bulk(binary));
    });
}

#[test]
fn random_bytes_never_hurt() {
    use rand::{Rng, RngExt, SeedableRng};
    let server = Server::start(1, &[]);
    for seed in 0..200 {
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let mut bytes = vec![0; random.random_range(1..3000)];
        random.fill_bytes(&mut bytes);
        if seed % 2 == 0 {
            bytes.splice(0..0, *b"*3\r\n$3\r\nSET\r\n$");
        }
        let mut wire = server.wire();
        wire.try_send(&bytes);
        let _ = wire.shut_if_open();
        wire.rest();
        assert_eq!(
            server.wire().run("PING"),
            Value::Simple("PONG".into()),
            "seed {seed}"
        );
    }
}

#[test]
fn resp3_has_its_own_shapes() {
    on_each(|server| {
        let mut wire = server.wire();
        assert_eq!(
            wire.run("HELLO 4"),
            error("NOPROTO unsupported protocol version")
        );
        let Value::Map(fields) = wire.run("HELLO 3 SETNAME shapes") else {
            panic!("no map");
        };
        assert_eq!(fields[0], bulk("server"));
        assert_eq!(wire.run("CLIENT GETNAME"), bulk("shapes"));
        assert_eq!(wire.run("GET none"), Value::Nil);
        wire.run("HSET h f v");
        assert_eq!(
            wire.run("HGETALL h"),
            Value::Map(vec![bulk("f"), bulk("v")])
        );
        wire.run("SADD s m");
        assert_eq!(wire.run("SMEMBERS s"), Value::Set(vec![bulk("m")]));
        wire.run("ZADD z 1.5 m");
        assert_eq!(wire.run("ZSCORE z m"), Value::Double("1.5".into()));
        assert!(matches!(wire.run("INFO server"), Value::Verbatim(_)));
        // Replies that were asked for before keep the shape of their time.
        wire.send(command(&["SET", "a", "1"]));
        wire.send(command(&["HGETALL", "h"]));
        wire.send(command(&["HELLO", "2"]));
        wire.send(command(&["HGETALL", "h"]));
        assert_eq!(wire.reply(), ok());
        assert_eq!(wire.reply(), Value::Map(vec![bulk("f"), bulk("v")]));
        assert!(matches!(wire.reply(), Value::Array(_)));
        assert_eq!(wire.reply(), Value::Array(vec![bulk("f"), bulk("v")]));
    });
}

#[test]
fn quit_answers_then_closes() {
    on_each(|server| {
        let mut wire = server.wire();
        wire.send(command(&["SET", "last", "word"]));
        wire.send(command(&["QUIT"]));
        wire.send(command(&["SET", "last", "never"]));
        assert_eq!(wire.replies(2), [ok(), ok()]);
        wire.expect_close();
        assert_eq!(server.wire().run("GET last"), bulk("word"));
    });
}

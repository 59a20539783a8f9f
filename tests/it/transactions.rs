//! MULTI, EXEC and WATCH between connections and over shards.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::kit::{PATIENCE, Server, Value, bulk, error, eventually, integer, ok, on_each};

fn queued() -> Value {
    Value::Simple("QUEUED".into())
}

#[test]
fn a_transaction_over_all_shards_is_one() {
    on_each(|server| {
        let mut wire = server.wire();
        assert_eq!(wire.run("MULTI"), ok());
        for number in 0..64 {
            assert_eq!(wire.run(&format!("INCRBY sum:{number} {number}")), queued());
        }
        assert_eq!(wire.run("MGET sum:1 sum:2 sum:63"), queued());
        assert_eq!(wire.run("PING"), queued());
        // Nothing of it is to be seen before.
        assert_eq!(server.wire().run("EXISTS sum:1 sum:2"), integer(0));
        let Value::Array(replies) = wire.run("EXEC") else {
            panic!("no replies");
        };
        assert_eq!(replies.len(), 66);
        for (number, reply) in replies[..64].iter().enumerate() {
            assert_eq!(*reply, integer(number as i64));
        }
        assert_eq!(
            replies[64],
            Value::Array(vec![bulk("1"), bulk("2"), bulk("63")])
        );
        assert_eq!(replies[65], Value::Simple("PONG".into()));
    });
}

#[test]
fn errors_of_a_transaction() {
    on_each(|server| {
        let mut wire = server.wire();
        assert_eq!(wire.run("EXEC"), error("ERR EXEC without MULTI"));
        assert_eq!(wire.run("DISCARD"), error("ERR DISCARD without MULTI"));
        assert_eq!(wire.run("MULTI"), ok());
        assert_eq!(
            wire.run("MULTI"),
            error("ERR MULTI calls can not be nested")
        );
        assert_eq!(
            wire.run("WATCH a"),
            error("ERR WATCH inside MULTI is not allowed")
        );
        assert_eq!(wire.run("SET a 1"), queued());
        assert_eq!(wire.run("DISCARD"), ok());
        assert_eq!(wire.run("EXISTS a"), integer(0));
        // An error while queueing aborts it all.
        assert_eq!(wire.run("MULTI"), ok());
        assert_eq!(wire.run("SET a 1"), queued());
        assert!(matches!(wire.run("NOSUCH"), Value::Error(_)));
        assert_eq!(
            wire.run("EXEC"),
            error("EXECABORT Transaction discarded because of previous errors.")
        );
        assert_eq!(wire.run("EXISTS a"), integer(0));
        // An error while running is that command's own.
        wire.run("MULTI");
        wire.run("SET a text");
        wire.run("INCR a");
        wire.run("SET b 2");
        assert_eq!(
            wire.run("EXEC"),
            Value::Array(vec![
                ok(),
                error("ERR value is not an integer or out of range"),
                ok()
            ])
        );
        assert_eq!(wire.run("GET b"), bulk("2"));
        wire.run("MULTI");
        assert_eq!(wire.run("EXEC"), Value::Array(vec![]));
    });
}

#[test]
fn a_watched_key_that_changes_undoes_the_transaction() {
    on_each(|server| {
        let mut one = server.wire();
        let mut two = server.wire();
        for number in 0..32 {
            let key = format!("w:{number}");
            let attempt = |one: &mut crate::kit::Wire| {
                one.run("MULTI");
                one.run(&format!("SET {key} one"));
                one.run(&format!("SET other:{number} one"));
                one.run("EXEC")
            };
            // Changed by another connection.
            assert_eq!(one.run(&format!("WATCH {key} unrelated:{number}")), ok());
            two.run(&format!("SET {key} two"));
            assert_eq!(attempt(&mut one), Value::Nil);
            assert_eq!(one.run(&format!("GET {key}")), bulk("two"));
            // The watch is gone now.
            assert_eq!(attempt(&mut one), Value::Array(vec![ok(), ok()]));
            // Touched in vain: no change.
            one.run(&format!("WATCH {key}"));
            two.run(&format!("GET {key}"));
            two.run("DEL nosuch");
            assert_eq!(attempt(&mut one), Value::Array(vec![ok(), ok()]));
            // Let go of.
            one.run(&format!("WATCH {key}"));
            two.run(&format!("SET {key} two"));
            one.run("UNWATCH");
            assert_eq!(attempt(&mut one), Value::Array(vec![ok(), ok()]));
            // Deleted, and made anew with the same value.
            one.run(&format!("WATCH {key}"));
            two.run(&format!("DEL {key}"));
            two.run(&format!("SET {key} one"));
            assert_eq!(attempt(&mut one), Value::Nil);
            // Created.
            one.run(&format!("WATCH new:{number}"));
            two.run(&format!("SET new:{number} x"));
            assert_eq!(attempt(&mut one), Value::Nil);
            // Changed by the watcher itself.
            one.run(&format!("WATCH {key}"));
            one.run(&format!("SET {key} self"));
            assert_eq!(attempt(&mut one), Value::Nil);
        }
        // All at once.
        one.run("WATCH w:1");
        two.run("FLUSHALL");
        one.run("MULTI");
        one.run("SET w:1 x");
        assert_eq!(one.run("EXEC"), Value::Nil);
    });
}

#[test]
fn a_watched_key_that_expires_undoes_the_transaction() {
    on_each(|server| {
        let mut wire = server.wire();
        eventually("it is watched before it is due", || {
            wire.run("UNWATCH");
            wire.run("SET brief x PX 1000");
            wire.run("WATCH brief");
            wire.run("PTTL brief").int() > 0
        });
        std::thread::sleep(Duration::from_millis(1000));
        wire.run("MULTI");
        wire.run("SET mark x");
        assert_eq!(wire.run("EXEC"), Value::Nil);
        // One that was past due when it was watched is absent, then and now.
        wire.run("WATCH brief");
        wire.run("MULTI");
        wire.run("SET mark x");
        assert_eq!(wire.run("EXEC"), Value::Array(vec![ok()]));
    });
}

/// Many connections move money between accounts on all shards, optimistically (WATCH) and in one
/// go (MULTI); readers see the same sum at all times.
#[test]
fn money_moves_and_none_is_lost() {
    const ACCOUNTS: usize = 16;
    const EACH: usize = 150;
    on_each(|server| {
        let mut wire = server.wire();
        for account in 0..ACCOUNTS {
            wire.run(&format!("SET account:{account} 100"));
        }
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let server = &server;
                scope.spawn(move || move_money(server, worker, EACH, ACCOUNTS));
            }
            let all: Vec<String> = (0..ACCOUNTS).map(|at| format!("account:{at}")).collect();
            let mut reader = server.wire();
            for _ in 0..300 {
                let sum = reader.run(&format!("MGET {}", all.join(" ")));
                let sum: i64 = sum
                    .elements()
                    .iter()
                    .map(|value| value.text().parse::<i64>().unwrap())
                    .sum();
                assert_eq!(sum, 100 * ACCOUNTS as i64);
            }
        });
    });
}

fn move_money(server: &Server, worker: usize, times: usize, accounts: usize) {
    let mut wire = server.wire();
    let mut done = 0;
    let mut attempt = worker;
    while done < times {
        attempt += 7;
        let (from, to) = (attempt % accounts, (attempt / 3 + 1 + worker) % accounts);
        if from == to {
            continue;
        }
        if done % 2 == 0 {
            wire.run("MULTI");
            wire.run(&format!("DECRBY account:{from} 3"));
            wire.run(&format!("INCRBY account:{to} 3"));
            assert_eq!(wire.run("EXEC").elements().len(), 2);
            done += 1;
        } else {
            wire.run(&format!("WATCH account:{from} account:{to}"));
            let read = wire.run(&format!("MGET account:{from} account:{to}"));
            let held: Vec<i64> = read
                .elements()
                .iter()
                .map(|value| value.text().parse().unwrap())
                .collect();
            wire.run("MULTI");
            wire.run(&format!("SET account:{from} {}", held[0] - 5));
            wire.run(&format!("SET account:{to} {}", held[1] + 5));
            done += usize::from(wire.run("EXEC") != Value::Nil);
        }
    }
}

#[test]
fn multi_key_commands_over_shards() {
    on_each(|server| {
        let mut wire = server.wire();
        let pairs: String = (0..50).map(|at| format!(" k:{at} v:{at}")).collect();
        let keys: String = (0..50).map(|at| format!(" k:{at}")).collect();
        assert_eq!(wire.run(&format!("MSET{pairs}")), ok());
        let expected: Vec<Value> = (0..50).map(|at| bulk(format!("v:{at}"))).collect();
        assert_eq!(wire.run(&format!("MGET{keys}")), Value::Array(expected));
        assert_eq!(wire.run("MSETNX k:3 x fresh y"), integer(0));
        assert_eq!(wire.run("EXISTS fresh"), integer(0));
        assert_eq!(wire.run("MSETNX f:1 x f:2 y f:3 z"), integer(1));
        for at in 0..20 {
            assert_eq!(wire.run(&format!("RENAME k:{at} r:{at}")), ok());
            assert_eq!(wire.run(&format!("COPY r:{at} c:{at}")), integer(1));
        }
        assert_eq!(wire.run("RENAME nosuch x"), error("ERR no such key"));
        assert_eq!(wire.run("RENAMENX r:1 r:2"), integer(0));
        assert_eq!(wire.run("DBSIZE"), integer(50 + 3 + 20));
        let gone: String = (0..50).map(|at| format!(" k:{at} r:{at} c:{at}")).collect();
        assert_eq!(wire.run(&format!("EXISTS{gone}")), integer(70));
        assert_eq!(wire.run(&format!("DEL{gone}")), integer(70));
        assert_eq!(wire.run("UNLINK f:1 f:2 f:3 f:4"), integer(3));
        assert_eq!(wire.run("DBSIZE"), integer(0));
        for at in 0..10 {
            wire.run(&format!("SADD s:{at} all only:{at} pair:{}", at / 2));
        }
        assert_eq!(
            wire.run("SINTER s:0 s:1 s:2 s:9"),
            Value::Array(vec![bulk("all")])
        );
        assert_eq!(wire.run("SUNIONSTORE u s:0 s:1 s:2 s:3"), integer(7));
        assert_eq!(wire.run("SDIFFSTORE d u s:0 s:1"), integer(3));
        assert_eq!(wire.run("SMOVE s:0 s:5 only:0"), integer(1));
        assert_eq!(wire.run("SISMEMBER s:5 only:0"), integer(1));
        wire.run("RPUSH l:1 a b c");
        assert_eq!(wire.run("LMOVE l:1 l:2 LEFT RIGHT"), bulk("a"));
        assert_eq!(wire.run("RPOPLPUSH l:1 l:3"), bulk("c"));
    });
}

/// Registers written in pairs on different shards by one command are never seen apart.
#[test]
fn a_read_over_shards_sees_one_cut() {
    on_each(|server| {
        let (server, read_enough, begun) = (&server, &AtomicBool::new(false), Instant::now());
        let over = move || read_enough.load(Ordering::SeqCst) || begun.elapsed() > PATIENCE;
        std::thread::scope(|scope| {
            for writer in 0..3 {
                scope.spawn(move || {
                    let mut wire = server.wire();
                    let mut at = 0;
                    while !over() {
                        at += 1;
                        let value = format!("{writer}:{at}");
                        wire.run(&format!("MSET cut:a {value} cut:b {value} cut:c {value}"));
                    }
                });
            }
            let mut wire = server.wire();
            let (mut reads, mut seen) = (0, HashSet::new());
            while !over() {
                let read = wire.run("MGET cut:a cut:b cut:c");
                let read = read.elements();
                assert!(read[0] == read[1] && read[1] == read[2], "torn: {read:?}");
                reads += 1;
                seen.insert(format!("{:?}", read[0]));
                read_enough.store(reads >= 600 && seen.len() >= 100, Ordering::SeqCst);
            }
            assert!(
                seen.len() >= 100,
                "{} different ones in {reads} reads",
                seen.len()
            );
        });
    });
}

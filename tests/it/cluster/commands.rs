//! Any node takes any command.

use crate::kit::{Cluster, Value, bulk, error, integer, ok};

#[test]
fn pipelines_are_answered_in_order_everywhere() {
    for cores in [1, 5] {
        let mut cluster = Cluster::together(3, cores, &[]);
        cluster.begin(3);
        for node in 0..3 {
            // Writes, reads, and what a node answers by itself.
            let mut lines = Vec::new();
            let mut expected = Vec::new();
            for step in 0..400 {
                let key = format!("p:{node}:{}", step % 7);
                let written = step + 1;
                lines.push(format!("SET {key} {written}"));
                expected.push(ok());
                lines.push(format!("GET {key}"));
                expected.push(bulk(written.to_string()));
                lines.push(format!("ECHO {step}"));
                expected.push(bulk(step.to_string()));
                lines.push(format!("INCR count:{node}"));
                expected.push(integer(written));
                lines.push(format!("WITH CONSISTENCY stale ECHO {step}"));
                expected.push(bulk(step.to_string()));
            }
            let replies = cluster.connect(node).pipeline(&lines);
            assert_eq!(replies.expect("replies"), expected, "through {node}");
        }
        cluster.expect_equal_digests();
    }
}

#[test]
fn transactions_run_through_any_node() {
    let cluster = Cluster::of_three(&[]);
    for node in 0..3 {
        let other = (node + 1) % 3;
        let mut one = cluster.connect(node);
        let mut two = cluster.connect(other);
        let key = format!("t:{node}");
        assert_eq!(one.ask("MULTI"), ok());
        assert_eq!(
            one.ask(&format!("SET {key} 1")),
            Value::Simple("QUEUED".into())
        );
        assert_eq!(
            one.ask(&format!("INCR {key}")),
            Value::Simple("QUEUED".into())
        );
        assert_eq!(
            one.ask(&format!("GET {key}")),
            Value::Simple("QUEUED".into())
        );
        let done = Value::Array(vec![ok(), integer(2), bulk("2")]);
        assert_eq!(one.ask("EXEC"), done);
        // What another node's client changes in between is seen.
        assert_eq!(one.ask(&format!("WATCH {key}")), ok());
        assert_eq!(one.ask(&format!("GET {key}")), bulk("2"));
        assert_eq!(two.ask(&format!("SET {key} 9")), ok());
        one.ask("MULTI");
        one.ask(&format!("INCR {key}"));
        assert_eq!(one.ask("EXEC"), Value::Nil);
        // And what it does not is not.
        assert_eq!(one.ask(&format!("WATCH {key}")), ok());
        assert_eq!(two.ask(&format!("GET {key}")), bulk("9"));
        one.ask("MULTI");
        one.ask(&format!("INCR {key}"));
        assert_eq!(one.ask("EXEC"), Value::Array(vec![integer(10)]));
        assert_eq!(two.ask(&format!("GET {key}")), bulk("10"));
    }
}

/// WATCH holds across a change of the leader, and so does a pipeline.
#[test]
fn a_watch_outlives_a_transfer() {
    let cluster = Cluster::of_three(&[]);
    for round in 0..4 {
        let (leader, follower) = (cluster.leader(), cluster.follower());
        let mut one = cluster.connect(follower);
        let mut two = cluster.connect(leader);
        assert_eq!(one.ask("SET w 1"), ok());
        assert_eq!(one.ask("WATCH w"), ok());
        let touched = round % 2 == 0;
        if touched {
            assert_eq!(two.ask("SET w 5"), ok());
        }
        assert_eq!(two.ask("RAFT TRANSFER"), ok());
        cluster.await_some("another leads", |cluster| {
            (cluster.leader() != leader).then_some(())
        });
        one.ask("MULTI");
        one.ask("INCR w");
        let expected = match touched {
            true => Value::Nil,
            false => Value::Array(vec![integer(2)]),
        };
        assert_eq!(one.ask("EXEC"), expected, "touched: {touched}");
    }
}

#[test]
fn every_level_is_served_everywhere() {
    let cluster = Cluster::of_three(&[]);
    for node in 0..3 {
        let mut connection = cluster.connect(node);
        for durability in ["low", "medium", "high", "all"] {
            let key = format!("level:{durability}:{node}");
            let set = format!("WITH DURABILITY {durability} SET {key} {node}");
            assert_eq!(connection.ask(&set), ok(), "{set}");
            for level in ["linearizable", "stale", "bounded 10000"] {
                let get = format!("WITH CONSISTENCY {level} GET {key}");
                // On its own node a written value is there at any level.
                assert_eq!(connection.ask(&get), bulk(node.to_string()), "{get}");
            }
            for other in 0..3 {
                let get = format!("WITH CONSISTENCY linearizable GET {key}");
                assert_eq!(cluster.connect(other).ask(&get), bulk(node.to_string()));
            }
        }
    }
}

#[test]
fn large_values_travel() {
    let cluster = Cluster::of_three(&[]);
    let value = "x".repeat(3 << 20);
    for node in 0..3 {
        let mut connection = cluster.connect(node);
        let set = connection.call(&["SET", &format!("large:{node}"), &value]);
        assert_eq!(set.expect("a reply"), ok());
        let other = (node + 1) % 3;
        let length = cluster.connect(other).ask(&format!("STRLEN large:{node}"));
        assert_eq!(length, integer(value.len() as i64));
    }
}

#[test]
fn a_follower_may_redirect() {
    let cluster = Cluster::of_three(&["--follower-mode", "redirect"]);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut connection = cluster.connect(follower);
    let moved = error(&format!("MOVED 12182 {}", cluster.address(leader)));
    // What comes while it does not hear its leader waits, and goes to it when it does.
    for line in ["SET foo 1", "GET foo", "WITH DURABILITY low SET foo 1"] {
        cluster.await_some("it redirects", |cluster| {
            (cluster.ask(follower, line) == Some(moved.clone())).then_some(())
        });
    }
    assert_eq!(connection.ask("PING"), Value::Simple("PONG".into()));
    assert_eq!(cluster.connect(leader).ask("SET foo 1"), ok());
    // Whoever asks for stale reads has them here.
    cluster.await_some("it is there", |cluster| {
        let read = cluster.ask(follower, "WITH CONSISTENCY stale GET foo");
        (read == Some(bulk("1"))).then_some(())
    });
    assert_eq!(connection.ask("CONFIG SET follower-mode forward"), ok());
    assert_eq!(connection.ask("SET foo 2"), ok());
    assert_eq!(connection.ask("GET foo"), bulk("2"));
}

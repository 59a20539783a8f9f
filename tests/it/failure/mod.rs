//! What goes wrong around a node: each time a message that says what to do, no panic, and nothing
//! that was acknowledged is lost.

mod disk;
mod kernel;
mod start;

pub use disk::Mounted;

use std::path::Path;

use crate::kit::{Connection, Node, Value, bulk, ok};

/// One core, and small files so that disks fill soon.
const ARGS: [&str; 4] = ["--cores", "1", "--log-segment-size", "1mb"];

/// Whether the test may mount, change users and the like; says so where it may not.
pub fn is_root(test: &str) -> bool {
    // SAFETY: geteuid only reads.
    let root = unsafe { libc::geteuid() } == 0;
    if !root {
        eprintln!("{test}: skipped, it has to be run by root");
    }
    root
}

fn set(connection: &mut Connection, number: usize) -> Value {
    connection.ask(&format!("SET key:{number} value:{number}"))
}

/// Sets keys until the node refuses, at most `count`: how many were acknowledged, and the refusal.
fn set_until_refused(connection: &mut Connection, count: usize) -> (usize, Option<Value>) {
    let value = "x".repeat(8000);
    for number in 0..count {
        let reply = connection.ask(&format!("SET key:{number} value:{number}:{value}"));
        if reply != ok() {
            return (number, Some(reply));
        }
    }
    (count, None)
}

/// Checks that the first `count` keys are there.
fn check(connection: &mut Connection, count: usize) {
    for number in 0..count {
        let value = connection.ask(&format!("GETRANGE key:{number} 0 {}", 6 + digits(number)));
        let expected = format!("value:{number}");
        let found = value.bytes();
        assert!(
            found.starts_with(expected.as_bytes()),
            "key {number}: {value:?}"
        );
    }
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

/// A node on `directory` that has nothing to complain about serves the first `count` keys.
fn check_restarted(directory: &Path, count: usize) {
    let mut node = Node::start(directory, &ARGS);
    let mut connection = node.connect();
    check(&mut connection, count);
    assert_eq!(connection.ask("SET another one"), ok());
    assert_eq!(connection.ask("GET another"), bulk("one"));
    node.stop();
}

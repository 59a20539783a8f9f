//! Starts that must be refused.

use std::fs;
use std::net::TcpListener;

use super::{ARGS, check, set};
use crate::kit::{Node, free_port, ok, run_to_end};

/// Runs the binary with these arguments, which must end it with status 1 and this in its output.
fn refused(args: &[&str], expected: &[&str]) {
    let directory = tempfile::tempdir().expect("a directory");
    let ended = run_to_end(directory.path(), free_port(), args);
    assert_eq!(ended.status.code(), Some(1), "{args:?}: {}", ended.output);
    for part in expected {
        assert!(
            ended.output.contains(part),
            "{args:?}, {part}: {}",
            ended.output
        );
    }
}

#[test]
fn wrong_settings_are_named() {
    refused(
        &["--prot", "1"],
        &["unknown directive 'prot'", "did you mean 'port'"],
    );
    refused(&["--durabilty", "low"], &["did you mean 'durability'"]);
    refused(
        &["--durability", "extreme"],
        &["durability", "low", "medium", "high"],
    );
    refused(
        &["--log-backend", "paper"],
        &["log-backend", "segment", "fjall"],
    );
    refused(&["--port", "65536"], &["port", "65535"]);
    refused(&["--cores", "-1"], &["cores"]);
    refused(&["--cores", "many"], &["cores"]);
    refused(&["--log-segment-size", "1kb"], &["log-segment-size"]);
    refused(&["--maxmemory", "1gb"], &["maxmemory", "no eviction"]);
    refused(
        &["--requirepass", "secret"],
        &["requirepass", "not supported"],
    );
    refused(&["--core-list", "0-"], &["core-list"]);
    refused(&["--loglevel", "loud"], &["loglevel", "notice"]);
}

#[test]
fn a_wrong_line_of_a_file_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("quorate.conf");
    fs::write(&file, "# a comment\ncores 1\ntimeuot 5\n").expect("a file");
    let output = std::process::Command::new(crate::kit::program())
        .arg(&file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["quorate.conf", "3", "timeuot", "did you mean 'timeout'"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).expect("a listener");
    let port = listener.local_addr().expect("its address").port();
    let directory = tempfile::tempdir().expect("a directory");
    let ended = run_to_end(directory.path(), port, &ARGS);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(ended.output.contains("is in use"), "{}", ended.output);
    assert!(ended.output.contains("--port"), "{}", ended.output);
}

/// Listeners of one node share their port; those of two nodes must not.
#[test]
fn a_port_of_another_node_is_in_use() {
    let (one, other) = (tempfile::tempdir(), tempfile::tempdir());
    let (one, other) = (one.expect("a directory"), other.expect("a directory"));
    let mut node = Node::start(one.path(), &ARGS);
    assert_eq!(set(&mut node.connect(), 0), ok());
    let ended = run_to_end(other.path(), node.port, &ARGS);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    assert!(ended.output.contains("is in use"), "{}", ended.output);
    check(&mut node.connect(), 1);
    node.stop();
}

#[test]
fn a_directory_has_one_node() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(directory.path(), &ARGS);
    let mut connection = node.connect();
    assert_eq!(set(&mut connection, 0), ok());
    let ended = run_to_end(directory.path(), free_port(), &ARGS);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    let holder = node.process_id().to_string();
    assert!(ended.output.contains(&holder), "{}", ended.output);
    assert_eq!(set(&mut connection, 1), ok());
    node.kill();
    super::check_restarted(directory.path(), 2);
}

#[test]
fn an_address_of_another_machine_is_named() {
    // Of the block that is kept for documentation.
    refused(&["--bind", "192.0.2.1"], &["192.0.2.1"]);
}

#[test]
fn a_file_in_place_of_the_directory_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    fs::write(&file, "no directory").expect("a file");
    for path in [file.clone(), file.join("below")] {
        let ended = run_to_end(&path, free_port(), &ARGS);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        let named = ended.output.contains("cannot use the directory");
        assert!(named, "{}", ended.output);
    }
}

#[test]
fn the_log_of_the_other_backend_is_refused() {
    for (first, second) in [("segment", "fjall"), ("fjall", "segment")] {
        let directory = tempfile::tempdir().expect("a directory");
        let with = |backend| [&ARGS[..], &["--log-backend", backend]].concat();
        let mut node = Node::start(directory.path(), &with(first));
        assert_eq!(set(&mut node.connect(), 0), ok());
        node.stop();
        let ended = run_to_end(directory.path(), free_port(), &with(second));
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(ended.output.contains("log-backend"), "{}", ended.output);
        let mut node = Node::start(directory.path(), &with(first));
        check(&mut node.connect(), 1);
        node.stop();
    }
}

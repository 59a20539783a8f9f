//! Cluster clients: a single node is a cluster of one, and whoever asks it finds all slots there.

use std::path::Path;

use crate::kit::{Server, on_each};

use super::{program, python, run, run_script};

#[test]
fn redis_py_cluster() {
    on_each(|server| run_script(&python(), "redis_py_cluster.py", &server));
}

#[test]
fn ioredis_cluster() {
    on_each(|server| run_script(Path::new("node"), "ioredis_cluster.js", &server));
}

#[test]
fn node_redis_cluster() {
    on_each(|server| run_script(Path::new("node"), "node_redis_cluster.js", &server));
}

#[test]
fn redis_cli_follows_a_cluster() {
    on_each(|server| {
        let port = server.port().to_string();
        let cli = |words: &[&str]| {
            let mut all = ["-c", "-p", &port].map(String::from).to_vec();
            all.extend(words.iter().map(ToString::to_string));
            run(Path::new("redis-cli"), &all, None)
        };
        assert_eq!(cli(&["SET", "foo", "1"]), "OK\n");
        assert_eq!(cli(&["MGET", "foo", "bar"]), "1\n\n");
        let address = format!("127.0.0.1:{port}");
        let shown = cli(&["--cluster", "info", &address]);
        assert!(shown.contains("[OK] 1 keys in 1 masters."), "{shown}");
        let checked = cli(&["--cluster", "check", &address]);
        assert!(
            checked.contains("[OK] All 16384 slots covered."),
            "{checked}"
        );
        let called = cli(&["--cluster", "call", &address, "DBSIZE"]);
        assert!(called.contains(&format!("{address}: 1")), "{called}");
    });
}

/// Up to Redis 8, redis-benchmark refuses a cluster with one master, whoever has it
/// (redis/redis#13129): until then it must at least understand what it is told.
#[test]
fn redis_benchmark_reads_the_cluster() {
    let server = Server::start(1, &[]);
    let port = server.port().to_string();
    let output = program(Path::new("redis-benchmark"))
        .args(["--cluster", "-p", &port])
        .args(["-n", "1000", "-c", "10", "-q", "-t", "set,get"])
        .output()
        .expect("coreutils' timeout runs");
    let said =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let said = said.concat();
    let refused = said.contains("Invalid cluster: 1 node(s).");
    let ran = said.contains("Cluster has 1 ") && said.contains("requests per second");
    assert!(refused || ran, "{said}");
}

//! Tests of `INFO`'s sections and fields.

use super::*;
use crate::metrics::{CommandStats, KeyspaceInfo, Stage};

fn snapshot() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.server.port = 7000;
    snapshot.server.now_us = 1_000_000_000;
    snapshot.counters.commands_processed = 42;
    snapshot.errors.record("WRONGTYPE Operation");
    let mut get = CommandStats {
        calls: 4,
        ns: 10_000,
        rejected: 1,
        ..CommandStats::default()
    };
    get.latency.get_or_insert_default().record(2_500);
    snapshot.commands = vec![("get", get)];
    snapshot.stages.record(Stage::Sync, 90_000);
    snapshot.keyspace = vec![
        KeyspaceInfo {
            database: 0,
            keys: 3,
            expires: 1,
            ttl_ms_mean: 500,
        },
        KeyspaceInfo::default(),
    ];
    snapshot.replication = vec![("role".into(), "master".into())];
    snapshot.raft = vec![("raft_voters".into(), "1,2,3".into())];
    snapshot
}

fn headings(sections: &[&str]) -> Vec<String> {
    info(sections, &snapshot())
        .lines()
        .filter_map(|line| line.strip_prefix("# ").map(String::from))
        .collect()
}

#[test]
fn sections_are_redis() {
    let default = [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "Raft",
        "CPU",
        "Modules",
        "Errorstats",
        "Cluster",
        "Keyspace",
    ];
    assert_eq!(headings(&[]), default);
    assert_eq!(headings(&["DEFAULT"]), default);
    assert_eq!(headings(&["everything"]).len(), SECTIONS.len());
    assert_eq!(headings(&["all"]).len(), SECTIONS.len() - 1);
    assert_eq!(headings(&["keyspace", "Server"]), ["Server", "Keyspace"]);
    assert_eq!(info(&["nosuch"], &snapshot()), "");
}

#[test]
fn every_line_is_a_heading_a_field_or_empty() {
    let text = info(&["everything"], &snapshot());
    assert!(text.ends_with("\r\n") && !text.contains("\r\n\r\n\r\n"));
    let mut names = std::collections::HashSet::new();
    for line in text
        .split("\r\n")
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        assert!(names.insert(name.to_string()), "{name} twice");
    }
    // What redis-benchmark, redis-py, exporters and `redis-cli --stat` look for.
    for name in [
        "redis_version",
        "redis_mode",
        "run_id",
        "tcp_port",
        "uptime_in_seconds",
        "connected_clients",
        "blocked_clients",
        "used_memory",
        "used_memory_human",
        "used_memory_rss",
        "maxmemory",
        "loading",
        "aof_enabled",
        "rdb_bgsave_in_progress",
        "rdb_last_save_time",
        "total_commands_processed",
        "instantaneous_ops_per_sec",
        "keyspace_hits",
        "expired_keys",
        "total_connections_received",
        "role",
        "used_cpu_sys",
        "cluster_enabled",
        "db0",
    ] {
        assert!(names.contains(name), "{name} is missing");
    }
    assert!(!names.contains("db1"));
}

#[test]
fn values() {
    let text = info(&["everything"], &snapshot());
    for line in [
        "tcp_port:7000",
        "uptime_in_seconds:1000",
        "total_commands_processed:42",
        "errorstat_WRONGTYPE:count=1",
        "cmdstat_get:calls=4,usec=10,usec_per_call=2.50,rejected_calls=1,failed_calls=0",
        "latency_percentiles_usec_get:p50=2.500,p99=2.500,p99.9=2.500",
        "write_sync_usec:p50=90.000,p99=90.000,p99.9=90.000",
        "write_apply_usec:p50=0.000,p99=0.000,p99.9=0.000",
        "db0:keys=3,expires=1,avg_ttl=500",
        "role:master",
        "raft_voters:1,2,3",
        "rdb_current_bgsave_time_sec:-1",
    ] {
        assert!(
            text.contains(&format!("\r\n{line}\r\n")),
            "{line} not in\n{text}"
        );
    }
}

#[test]
fn bytes_for_people() {
    for (bytes, text) in [
        (0, "0B"),
        (1023, "1023B"),
        (1536, "1.50K"),
        (1_385_368, "1.32M"),
        (25_276_514_304, "23.54G"),
    ] {
        assert_eq!(human(bytes), text);
    }
}

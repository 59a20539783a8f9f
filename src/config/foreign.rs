//! Redis' directives that have no counterpart: taken, so that its files and tools work, noted at
//! the start, and not shown.

/// Names, and why they have no effect.
const FOREIGN: &[(&[&str], &str)] = &[
    (
        &["acllog-max-len", "acl-pubsub-default"],
        "there are no ACLs yet",
    ),
    (
        &[
            "repl-backlog-size",
            "repl-backlog-ttl",
            "repl-disable-tcp-nodelay",
            "repl-diskless-load",
            "repl-diskless-sync",
            "repl-diskless-sync-delay",
            "repl-diskless-sync-max-replicas",
            "repl-diskless-sync-period",
            "repl-ping-replica-period",
            "repl-timeout",
            "replica-announce-ip",
            "replica-announce-port",
            "replica-announced",
            "replica-ignore-disk-write-errors",
            "replica-ignore-maxmemory",
            "replica-priority",
            "replica-read-only",
            "replica-serve-stale-data",
            "min-replicas-max-lag",
            "min-replicas-to-write",
        ],
        "replicas are members of the Raft group",
    ),
    (
        &[
            "cluster-allow-pubsubshard-when-down",
            "cluster-allow-reads-when-down",
            "cluster-allow-replica-migration",
            "cluster-announce-bus-port",
            "cluster-announce-hostname",
            "cluster-announce-human-nodename",
            "cluster-announce-ip",
            "cluster-announce-port",
            "cluster-announce-tls-port",
            "cluster-config-file",
            "cluster-link-sendbuf-limit",
            "cluster-migration-barrier",
            "cluster-node-timeout",
            "cluster-port",
            "cluster-preferred-endpoint-type",
            "cluster-replica-no-failover",
            "cluster-replica-validity-factor",
            "cluster-require-full-coverage",
        ],
        "the cluster is a Raft group; see cluster-peers, join and announce-address",
    ),
    (
        &[
            "aof-load-truncated",
            "aof-rewrite-incremental-fsync",
            "aof-timestamp-enabled",
            "aof-use-rdb-preamble",
            "appenddirname",
            "appendfilename",
            "auto-aof-rewrite-min-size",
            "auto-aof-rewrite-percentage",
            "no-appendfsync-on-rewrite",
        ],
        "there is no AOF; see log-backend and checkpoint-log-size",
    ),
    (
        &[
            "dbfilename",
            "rdb-del-sync-files",
            "rdb-save-incremental-fsync",
            "rdbchecksum",
            "rdbcompression",
            "sanitize-dump-payload",
        ],
        "there is no RDB file",
    ),
    (
        &["stop-writes-on-bgsave-error"],
        "a log that cannot be written always stops writes",
    ),
    (
        &[
            "lazyfree-lazy-eviction",
            "lazyfree-lazy-expire",
            "lazyfree-lazy-server-del",
            "lazyfree-lazy-user-del",
            "lazyfree-lazy-user-flush",
            "replica-lazy-flush",
        ],
        "freeing has one way",
    ),
    (
        &[
            "active-expire-effort",
            "activedefrag",
            "activerehashing",
            "dynamic-hz",
            "jemalloc-bg-thread",
            "maxmemory-clients",
            "maxmemory-eviction-tenacity",
            "maxmemory-samples",
            "lfu-decay-time",
            "lfu-log-factor",
        ],
        "memory is managed otherwise",
    ),
    (
        &[
            "hash-max-listpack-entries",
            "hash-max-listpack-value",
            "hash-max-ziplist-entries",
            "hash-max-ziplist-value",
            "hll-sparse-max-bytes",
            "list-compress-depth",
            "list-max-listpack-size",
            "list-max-ziplist-size",
            "set-max-intset-entries",
            "set-max-listpack-entries",
            "set-max-listpack-value",
            "stream-node-max-bytes",
            "stream-node-max-entries",
            "zset-max-listpack-entries",
            "zset-max-listpack-value",
            "zset-max-ziplist-entries",
            "zset-max-ziplist-value",
        ],
        "the limits of small forms are fixed",
    ),
    (
        &[
            "always-show-logo",
            "crash-log-enabled",
            "crash-memcheck-enabled",
            "disable-thp",
            "ignore-warnings",
            "io-threads-do-reads",
            "locale-collate",
            "lua-time-limit",
            "busy-reply-threshold",
            "oom-score-adj",
            "oom-score-adj-values",
            "pidfile",
            "proc-title-template",
            "set-proc-title",
            "syslog-enabled",
            "syslog-facility",
            "syslog-ident",
        ],
        "it concerns what this server does not do",
    ),
];

/// Why a directive of Redis has no effect here; `None` for a name that Redis has not either, or
/// that the table has.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    FOREIGN
        .iter()
        .find(|(names, _)| names.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Name};

    #[test]
    fn none_is_in_the_table() {
        for name in FOREIGN.iter().flat_map(|(names, _)| *names) {
            assert_eq!(Name::find(name), None, "{name}");
        }
    }

    #[test]
    fn they_are_taken_and_noted() {
        let mut config = Config::default();
        let text = "repl-diskless-sync yes\nRDBcompression no\nsave 900 1\n";
        config.read_text(text, "f", 0).unwrap();
        assert_eq!(config.notices().len(), 3, "{:?}", config.notices());
        assert_eq!(config.rewritten(text), text);
        assert_eq!(
            config.set(&[("hash-max-listpack-entries", "1")]).unwrap().0,
            []
        );
        assert!(config.get("hash*").is_empty());
        assert_eq!(config.notices().len(), 3);
    }
}

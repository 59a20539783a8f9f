//! The directives: the one place that says what can be set.

use crate::limits::{CORES_MAX, MEMBERS_MAX};

use super::directive::{Directive, Effect, Kind};
use super::value::Value;

use Effect::{Ignored, Live, Only, Start};
use Kind::{Addresses, CoreList, Flag, List, SavePoints, Text, Word};

/// A directive's place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Name {
    Port,
    Bind,
    ProtectedMode,
    TcpBacklog,
    TcpKeepalive,
    Timeout,
    Maxclients,
    ClientOutputBufferLimit,
    ClientQueryBufferLimit,
    ProtoMaxBulkLen,
    Cores,
    CoreList,
    RaftCore,
    SpinUs,
    Durability,
    Consistency,
    Dir,
    LogBackend,
    LogSegmentSize,
    CheckpointLogSize,
    CheckpointSliceUs,
    CheckpointSendRate,
    FollowerMode,
    ReadLease,
    ClusterPeers,
    Expect,
    Join,
    ClusterSecret,
    AnnounceAddress,
    PeerPort,
    ClusterHeartbeatMs,
    ClusterElectionMs,
    ClusterVoteAfterLoss,
    TlsCluster,
    TlsCertFile,
    TlsKeyFile,
    TlsCaCertFile,
    Loglevel,
    Logfile,
    SlowlogLogSlowerThan,
    SlowlogMaxLen,
    Databases,
    Save,
    Appendonly,
    Appendfsync,
    Maxmemory,
    MaxmemoryPolicy,
    Daemonize,
    Supervised,
    Requirepass,
    Aclfile,
    User,
    TlsPort,
    Unixsocket,
    Replicaof,
    ClusterEnabled,
    IoThreads,
    Hz,
    LatencyMonitorThreshold,
    LatencyTracking,
    NotifyKeyspaceEvents,
    EnableDebugCommand,
}

impl Name {
    /// The directive of this name, in any case.
    pub fn find(name: &str) -> Option<Name> {
        DIRECTIVES
            .iter()
            .find(|directive| directive.name.eq_ignore_ascii_case(name))
            .map(|directive| directive.id)
    }

    pub fn as_str(self) -> &'static str {
        self.directive().name
    }

    pub(super) fn directive(self) -> &'static Directive {
        &DIRECTIVES[self as usize]
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

const fn int(min: i64, max: i64) -> Kind {
    Kind::Int { min, max }
}

const fn memory(min: i64, max: i64) -> Kind {
    Kind::Memory { min, max }
}

const fn directive(
    id: Name,
    name: &'static str,
    default: &'static str,
    kind: Kind,
    effect: Effect,
    help: &'static str,
) -> Directive {
    Directive {
        id,
        name,
        default,
        kind,
        effect,
        help,
    }
}

/// Headings of `--help`, each with the first directive under it.
pub(super) const SECTIONS: &[(&str, Name)] = &[
    ("Network", Name::Port),
    ("Cores", Name::Cores),
    ("Durability and consistency", Name::Durability),
    ("Cluster", Name::FollowerMode),
    ("Messages", Name::Loglevel),
    ("As in Redis, fixed or without effect", Name::Databases),
];

/// In the order of [`Name`], and of `--help`.
#[rustfmt::skip]
pub(super) const DIRECTIVES: &[Directive] = &[
    directive(Name::Port, "port", "6379", int(0, 65535), Start, "TCP port; 0 listens on none."),
    directive(Name::Bind, "bind", "127.0.0.1", List, Start, "Addresses to listen on; a leading - makes one optional."),
    directive(Name::ProtectedMode, "protected-mode", "yes", Flag, Live, "Refuse clients from other hosts while no password is set."),
    directive(Name::TcpBacklog, "tcp-backlog", "511", int(0, 65535), Start, "Connections that the kernel queues before they are accepted."),
    directive(Name::TcpKeepalive, "tcp-keepalive", "300", int(0, 86400), Live, "Seconds between probes of a silent peer; 0 sends none."),
    directive(Name::Timeout, "timeout", "0", int(0, i32::MAX as i64), Live, "Seconds after which an idle client is closed; 0 never."),
    directive(Name::Maxclients, "maxclients", "10000", int(1, u32::MAX as i64), Live, "Clients at a time; further ones are refused."),
    directive(Name::ClientOutputBufferLimit, "client-output-buffer-limit", "normal 1gb 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60", Kind::OutputLimits, Live, "Unread replies at which a slow client is closed; 0 is no limit."),
    directive(Name::ClientQueryBufferLimit, "client-query-buffer-limit", "1gb", memory(1 << 20, i64::MAX), Live, "Bytes of one client's unfinished requests at which it is closed."),
    directive(Name::ProtoMaxBulkLen, "proto-max-bulk-len", "512mb", memory(1 << 20, i64::MAX), Only("the decoder's bound is fixed"), "Largest argument."),
    directive(Name::Cores, "cores", "0", int(0, CORES_MAX as i64), Start, "Executors, one shard each; 0 takes every CPU that the process may use."),
    directive(Name::CoreList, "core-list", "\"\"", CoreList, Start, "CPUs to pin the executors to, in order; empty: all allowed, or none for fewer cores."),
    directive(Name::RaftCore, "raft-core", "auto", Word(&["auto", "shared", "dedicated"]), Start, "Whether the Raft tasks have a core of their own; auto: from three cores on."),
    directive(Name::SpinUs, "spin-us", "0", int(0, 1_000_000), Start, "Microseconds that an idle core looks for work before it sleeps."),
    directive(Name::Durability, "durability", "high", Kind::Durability, Live, "What a write waits for: memory, a sync a second, a synced quorum, every voter."),
    directive(Name::Consistency, "consistency", "linearizable", Kind::Consistency, Live, "How fresh a read is."),
    directive(Name::Dir, "dir", "./quorate-data", Text, Start, "Where the data lies."),
    directive(Name::LogBackend, "log-backend", "segment", Word(&["segment", "fjall"]), Start, "What holds the replicated log."),
    directive(Name::LogSegmentSize, "log-segment-size", "64mb", memory(1 << 20, 1 << 30), Start, "Bytes of one file of the log."),
    directive(Name::CheckpointLogSize, "checkpoint-log-size", "512mb", memory(1 << 20, 1 << 40), Live, "Bytes of log, or as many as the last checkpoint has, at which one is taken."),
    directive(Name::CheckpointSliceUs, "checkpoint-slice-us", "500", int(50, 100_000), Live, "Longest that a checkpoint keeps a shard from serving, in microseconds."),
    directive(Name::CheckpointSendRate, "checkpoint-send-rate", "32mb", memory(0, 1 << 40), Live, "Bytes a second of a checkpoint that another node is sent; 0: as fast as it goes."),
    directive(Name::FollowerMode, "follower-mode", "forward", Word(&["forward", "redirect"]), Live, "What a follower does with commands: has the leader do them, or answers MOVED."),
    directive(Name::ReadLease, "read-lease", "no", Flag, Live, "Linearizable reads without a round: for nodes whose clocks run at the same pace."),
    directive(Name::ClusterPeers, "cluster-peers", "\"\"", Addresses(MEMBERS_MAX), Start, "Nodes that start a cluster together, this one included; host:port@peerport too."),
    directive(Name::Expect, "expect", "0", int(0, MEMBERS_MAX as i64), Start, "How many of cluster-peers become the first voters; 0: all of them."),
    directive(Name::Join, "join", "\"\"", Addresses(MEMBERS_MAX), Start, "Members of a cluster to join; a node that is a member already asks nobody."),
    directive(Name::ClusterSecret, "cluster-secret", "\"\"", Text, Start, "What the nodes of a cluster prove to each other that they know."),
    directive(Name::AnnounceAddress, "announce-address", "\"\"", Addresses(1), Start, "Where clients and peers reach this node, if not at bind and port."),
    directive(Name::PeerPort, "peer-port", "0", int(0, 65535), Start, "TCP port for the other nodes; 0: port + 10000."),
    directive(Name::ClusterHeartbeatMs, "cluster-heartbeat-ms", "50", int(5, 60_000), Start, "Milliseconds between a leader's signs of life."),
    directive(Name::ClusterElectionMs, "cluster-election-ms", "300", int(15, 300_000), Start, "Milliseconds without a leader before an election; more than twice with the lease."),
    directive(Name::ClusterVoteAfterLoss, "cluster-vote-after-loss", "no", Flag, Start, "Vote though a machine crash may have taken writes acknowledged at low or medium."),
    directive(Name::TlsCluster, "tls-cluster", "no", Flag, Start, "Encrypt what nodes say to each other; each proves itself by its certificate."),
    directive(Name::TlsCertFile, "tls-cert-file", "\"\"", Text, Start, "This node's certificate, with its chain, PEM."),
    directive(Name::TlsKeyFile, "tls-key-file", "\"\"", Text, Start, "The certificate's private key, PEM."),
    directive(Name::TlsCaCertFile, "tls-ca-cert-file", "\"\"", Text, Start, "The authorities that stand behind the other nodes' certificates, PEM."),
    directive(Name::Loglevel, "loglevel", "notice", Word(&["debug", "verbose", "notice", "warning"]), Live, "What is worth a line."),
    directive(Name::Logfile, "logfile", "\"\"", Text, Start, "Where the lines go; empty: standard error."),
    directive(Name::SlowlogLogSlowerThan, "slowlog-log-slower-than", "10000", int(-1, i64::MAX), Live, "Microseconds from which a command is kept in the slow log; -1 keeps none."),
    directive(Name::SlowlogMaxLen, "slowlog-max-len", "128", int(0, 100_000), Live, "Commands that the slow log keeps."),
    directive(Name::Databases, "databases", "16", int(1, i32::MAX as i64), Only("the number of databases is fixed"), "Databases that SELECT reaches."),
    directive(Name::Save, "save", "\"\"", SavePoints, Ignored("every write is in the log, checkpoints are taken by checkpoint-log-size"), "Redis' snapshots."),
    directive(Name::Appendonly, "appendonly", "yes", Flag, Only("every write goes through the log; for the least waiting use durability low"), "Whether writes are logged."),
    directive(Name::Appendfsync, "appendfsync", "always", Word(&["always", "everysec", "no"]), Live, "Redis' name for durability: high, medium, low."),
    directive(Name::Maxmemory, "maxmemory", "0", memory(0, i64::MAX), Only("there is no eviction yet"), "Bytes of data at which keys are evicted."),
    directive(Name::MaxmemoryPolicy, "maxmemory-policy", "noeviction", Word(&["noeviction"]), Only("there is no eviction yet"), "Which keys are evicted."),
    directive(Name::Daemonize, "daemonize", "no", Flag, Only("run it under a service manager"), "Go to the background."),
    directive(Name::Supervised, "supervised", "no", Word(&["no", "upstart", "systemd", "auto"]), Only("readiness is not signalled yet"), "Tell a service manager when ready."),
    directive(Name::Requirepass, "requirepass", "\"\"", Text, Only("passwords and ACLs are not supported yet; keep it behind bind or a firewall"), "Password of clients."),
    directive(Name::Aclfile, "aclfile", "\"\"", Text, Only("passwords and ACLs are not supported yet"), "File of users."),
    directive(Name::User, "user", "\"\"", List, Only("passwords and ACLs are not supported yet"), "A user and what it may."),
    directive(Name::TlsPort, "tls-port", "0", int(0, 65535), Only("TLS is not supported for clients yet, between nodes by tls-cluster"), "TLS port."),
    directive(Name::Unixsocket, "unixsocket", "\"\"", Text, Only("Unix sockets are not supported yet"), "Path of a Unix socket."),
    directive(Name::Replicaof, "replicaof", "\"\"", List, Only("replicas are members of the Raft group"), "Redis' replication."),
    directive(Name::ClusterEnabled, "cluster-enabled", "yes", Flag, Only("every node is a cluster, of one at the least"), "Redis Cluster, as its clients see it."),
    directive(Name::IoThreads, "io-threads", "1", int(1, 128), Ignored("every core reads and writes its own clients; see cores"), "Redis' I/O threads."),
    directive(Name::Hz, "hz", "10", int(1, 500), Ignored("nothing is polled"), "Redis' background cycle."),
    directive(Name::LatencyMonitorThreshold, "latency-monitor-threshold", "0", int(0, i64::MAX), Ignored("stages are always measured; see LATENCY DOCTOR"), "Redis' latency monitor."),
    directive(Name::LatencyTracking, "latency-tracking", "yes", Flag, Only("it is always on"), "Latency per command."),
    directive(Name::NotifyKeyspaceEvents, "notify-keyspace-events", "\"\"", Text, Only("there is no pub/sub yet"), "Messages about changes of keys."),
    directive(Name::EnableDebugCommand, "enable-debug-command", "yes", Word(&["no", "yes", "local"]), Ignored("DEBUG answers what is harmless only"), "Whether DEBUG is answered."),
];

/// Every directive's default, in the order of the table.
pub(super) fn defaults() -> Vec<Value> {
    DIRECTIVES
        .iter()
        .map(|directive| {
            let words = super::words::split(directive.default).unwrap_or_default();
            let none = Value::OutputLimits(Default::default());
            directive.read(&words, &none).unwrap_or_else(|error| {
                // Only a mistake in the table above comes here; the test below reads it all.
                unreachable!("default of {}: {error}", directive.name)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_itself() {
        for (at, directive) in DIRECTIVES.iter().enumerate() {
            assert_eq!(directive.id as usize, at, "{}", directive.name);
            assert_eq!(
                Name::find(&directive.name.to_uppercase()),
                Some(directive.id)
            );
            assert!(directive.help.ends_with('.') && directive.help.len() < 90);
        }
        let values = defaults();
        assert_eq!(values.len(), DIRECTIVES.len());
        for (directive, value) in DIRECTIVES.iter().zip(&values) {
            let lines = value.lines(directive.kind);
            let mut again = value.clone();
            for line in lines {
                let words = super::super::words::split(&line).unwrap();
                again = directive.read(&words, &again).unwrap();
            }
            assert_eq!(again, *value, "{}", directive.name);
        }
    }
}

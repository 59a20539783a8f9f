//! Typed access to the settings.

use std::path::Path;
use std::time::Duration;

use super::level::{Consistency, Durability};
use super::output_limit::OutputLimits;
use super::settings::Config;
use super::table::Name;
use super::value::{Value, parse_core_list};

/// Where the Raft tasks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaftCore {
    /// Their own core from three cores on.
    Auto,
    /// On the executor of shard 0.
    Shared,
    /// On a core of their own.
    Dedicated,
}

/// What holds the replicated log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogBackend {
    Segment,
    Fjall,
}

/// What is worth a line, from much to little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}

/// The table's kinds make the variants certain; a mismatch would be a mistake in
/// the table, which the test of all accessors finds.
impl Config {
    fn int(&self, name: Name) -> i64 {
        match self.value(name) {
            Value::Int(value) => *value,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    fn text(&self, name: Name) -> &str {
        match self.value(name) {
            Value::Text(text) => text,
            Value::Word(word) => word,
            other => unreachable!("{name} is {other:?}"),
        }
    }

    fn seconds(&self, name: Name) -> Option<Duration> {
        let seconds = self.int(name) as u64;
        (seconds != 0).then(|| Duration::from_secs(seconds))
    }

    pub fn port(&self) -> u16 {
        self.int(Name::Port) as u16
    }

    /// Addresses to listen on, `*` and a leading `-` as in Redis.
    pub fn bind(&self) -> &[String] {
        match self.value(Name::Bind) {
            Value::List(items) => items,
            other => unreachable!("bind is {other:?}"),
        }
    }

    pub fn protected_mode(&self) -> bool {
        matches!(self.value(Name::ProtectedMode), Value::Flag(true))
    }

    pub fn tcp_backlog(&self) -> u32 {
        self.int(Name::TcpBacklog) as u32
    }

    /// Time between probes of a silent peer.
    pub fn tcp_keepalive(&self) -> Option<Duration> {
        self.seconds(Name::TcpKeepalive)
    }

    /// Idle time after which a client is closed.
    pub fn timeout(&self) -> Option<Duration> {
        self.seconds(Name::Timeout)
    }

    pub fn clients_max(&self) -> usize {
        self.int(Name::Maxclients) as usize
    }

    pub fn output_limits(&self) -> OutputLimits {
        match self.value(Name::ClientOutputBufferLimit) {
            Value::OutputLimits(limits) => *limits,
            other => unreachable!("client-output-buffer-limit is {other:?}"),
        }
    }

    pub fn query_bytes_max(&self) -> usize {
        self.int(Name::ClientQueryBufferLimit) as usize
    }

    /// Executors; `None` takes every CPU that the process may use. A `core-list` alone says it.
    pub fn cores(&self) -> Option<usize> {
        match (self.int(Name::Cores), self.core_list().len()) {
            (0, 0) => None,
            (0, listed) => Some(listed),
            (cores, _) => Some(cores as usize),
        }
    }

    /// CPUs to pin to, in order; empty when none were named.
    pub fn core_list(&self) -> Vec<usize> {
        parse_core_list(self.text(Name::CoreList)).unwrap_or_default()
    }

    pub fn raft_core(&self) -> RaftCore {
        match self.text(Name::RaftCore) {
            "shared" => RaftCore::Shared,
            "dedicated" => RaftCore::Dedicated,
            _ => RaftCore::Auto,
        }
    }

    /// How long an idle core looks for work before it sleeps.
    pub fn spin(&self) -> Duration {
        Duration::from_micros(self.int(Name::SpinUs) as u64)
    }

    pub fn durability(&self) -> Durability {
        match self.value(Name::Durability) {
            Value::Durability(level) => *level,
            other => unreachable!("durability is {other:?}"),
        }
    }

    pub fn consistency(&self) -> Consistency {
        match self.value(Name::Consistency) {
            Value::Consistency(level) => *level,
            other => unreachable!("consistency is {other:?}"),
        }
    }

    /// Where the data lies, as it was given.
    pub fn dir(&self) -> &Path {
        Path::new(self.text(Name::Dir))
    }

    pub fn log_backend(&self) -> LogBackend {
        match self.text(Name::LogBackend) {
            "fjall" => LogBackend::Fjall,
            _ => LogBackend::Segment,
        }
    }

    pub fn log_segment_bytes(&self) -> u64 {
        self.int(Name::LogSegmentSize) as u64
    }

    /// Bytes of log at which a checkpoint is taken.
    pub fn checkpoint_log_bytes(&self) -> u64 {
        self.int(Name::CheckpointLogSize) as u64
    }

    /// Longest that a checkpoint keeps a shard from serving.
    pub fn checkpoint_slice(&self) -> Duration {
        Duration::from_micros(self.int(Name::CheckpointSliceUs) as u64)
    }

    /// Bytes a second of a checkpoint on its way to another node; 0: as fast as it goes.
    pub fn checkpoint_send_bytes_per_second(&self) -> u64 {
        self.int(Name::CheckpointSendRate) as u64
    }

    pub fn log_level(&self) -> LogLevel {
        match self.text(Name::Loglevel) {
            "debug" => LogLevel::Debug,
            "verbose" => LogLevel::Verbose,
            "warning" => LogLevel::Warning,
            _ => LogLevel::Notice,
        }
    }

    /// Where log lines go; `None` is standard error.
    pub fn log_file(&self) -> Option<&Path> {
        Some(self.text(Name::Logfile))
            .filter(|path| !path.is_empty())
            .map(Path::new)
    }

    /// Microseconds from which a command is kept in the slow log; `None` keeps none.
    pub fn slowlog_us_min(&self) -> Option<u64> {
        u64::try_from(self.int(Name::SlowlogLogSlowerThan)).ok()
    }

    pub fn slowlog_len_max(&self) -> usize {
        self.int(Name::SlowlogMaxLen) as usize
    }
}

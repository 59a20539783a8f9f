//! What `INFO` shows, as plain data. The node fills it.

use super::commands::CommandStats;
use super::counters::{Counters, ErrorCounts};
use super::stages::Stages;

/// Names and values of a section.
pub type Fields = Vec<(String, String)>;

/// A node at one moment. Times are Unix times, `_ms` in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub server: ServerInfo,
    pub clients: ClientsInfo,
    pub memory: MemoryInfo,
    pub persistence: PersistenceInfo,
    pub stats: StatsInfo,
    /// What the section shows, made by the node.
    pub replication: Fields,
    pub raft: Fields,
    pub cpu: CpuInfo,
    /// All cores' counters together.
    pub counters: Counters,
    pub errors: ErrorCounts,
    /// By name, `config|get` for subcommands.
    pub commands: Vec<(&'static str, CommandStats)>,
    pub stages: Stages,
    /// Databases by number; empty ones are not shown.
    pub keyspace: Vec<KeyspaceInfo>,
}

#[derive(Debug, Clone, Default)]
pub struct ServerInfo {
    /// 40 hexadecimal digits, drawn at the start.
    pub run_id: String,
    pub process_id: u32,
    pub port: u16,
    pub now_us: u64,
    pub started_ms: u64,
    pub executable: String,
    /// Empty when there is none.
    pub config_file: String,
    /// As `uname`: system, release, machine.
    pub os: String,
    /// Executors with a shard each, and whether the Raft tasks have one of their own.
    pub cores: usize,
    pub raft_core_dedicated: bool,
    pub durability: String,
    pub consistency: String,
}

#[derive(Debug, Clone, Default)]
pub struct ClientsInfo {
    pub connected: usize,
    pub clients_max: usize,
    pub blocked: usize,
    /// Largest input and output buffer of the clients that are there, in bytes.
    pub input_bytes_max: u64,
    pub output_bytes_max: u64,
}

#[derive(Debug, Clone, Default)]
pub struct MemoryInfo {
    /// Bytes of keys, values and tables, as counted.
    pub dataset_bytes: u64,
    /// Bytes that the allocator has handed out; 0 when it is not known.
    pub used_bytes: u64,
    pub used_bytes_peak: u64,
    /// Resident set of the process.
    pub rss_bytes: u64,
    pub system_bytes: u64,
    /// Bytes of log entries kept in memory for followers.
    pub log_bytes: u64,
}

#[derive(Debug, Clone, Default)]
pub struct PersistenceInfo {
    /// Whether the data is still being read.
    pub loading: bool,
    /// Log entries since the last checkpoint's.
    pub entries_since_checkpoint: u64,
    /// Since when a checkpoint is being written.
    pub checkpoint_began_ms: Option<u64>,
    /// When the last one was complete; 0: none yet.
    pub checkpoint_last_ms: u64,
    pub checkpoint_last_took_ms: Option<u64>,
    pub checkpoint_last_failed: bool,
    /// Complete ones since the start.
    pub checkpoints: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// `segment` or `fjall`.
    pub log_backend: &'static str,
    /// Why the log cannot be written, when it cannot.
    pub log_failure: Option<String>,
}

/// Rates over the last second or two.
#[derive(Debug, Clone, Default)]
pub struct StatsInfo {
    pub commands_per_second: f64,
    pub input_bytes_per_second: f64,
    pub output_bytes_per_second: f64,
}

/// Processor time in seconds.
#[derive(Debug, Clone, Default)]
pub struct CpuInfo {
    pub system: f64,
    pub user: f64,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct KeyspaceInfo {
    pub database: usize,
    pub keys: u64,
    pub expires: u64,
    /// Average time to live of those that expire; 0 when it is not known.
    pub ttl_ms_mean: u64,
}

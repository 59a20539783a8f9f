//! What a node counts and measures, and how `INFO` shows it.
//!
//! Invariants
//! - Each core owns its [`CoreMetrics`]: plain numbers, no atomics, no locks. Who wants to see
//!   them asks the core by message and [merges](CoreMetrics::merge) the copies.
//! - Memory is fixed: a histogram per command that was called, a bounded number of error codes.
//! - `INFO` shows fields that are true; what Redis reports and this node has not is left out.
//!
//! Not done here: reading clocks, `/proc` or the Raft state (`node/` fills the [`Snapshot`]);
//! `LATENCY`'s replies (`command/latency`); Prometheus (`http/`).

mod commands;
mod counters;
mod doctor;
mod histogram;
mod info;
mod rate;
mod sections;
mod slowlog;
mod snapshot;
mod stages;
mod timing;

pub use commands::{CommandMetrics, CommandStats};
pub use counters::{CoreMetrics, Counters, ErrorCounts};
pub use doctor::doctor;
pub use histogram::Histogram;
pub use info::info;
pub use rate::Rate;
pub use slowlog::{SlowEntry, SlowLog};
pub use snapshot::{
    ClientsInfo, CpuInfo, Fields, KeyspaceInfo, MemoryInfo, PersistenceInfo, ServerInfo, Snapshot,
    StatsInfo,
};
pub use stages::{Stage, Stages};
pub use timing::Timing;

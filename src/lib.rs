//! quorate: a Redis-protocol server in which an acknowledged write is on a quorum's disks and a
//! read is never stale unless asked.
//!
//! Modules are ranked; each imports only from strictly lower ranks (`tests/tidy` checks it). The
//! table of ranks stands in `ARCHITECTURE.md`.

pub mod clock;
pub mod error;
pub mod glob;
pub mod limits;
pub mod slot;

pub mod config;
pub mod metrics;
pub mod resp;
pub mod rt;

pub mod checkpoint;
pub mod log;
pub mod value;

pub mod keyspace;
pub mod session;

pub mod command;
pub mod raft;

pub mod shard;

pub mod node;

#[cfg(feature = "server")]
pub mod server;

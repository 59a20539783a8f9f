//! quorate: a Redis-protocol server in which an acknowledged write is on a quorum's disks and a
//! read is never stale unless asked.
//!
//! The binary is `src/main.rs` over this crate. [`node::start`] runs a node: cores, log, Raft group,
//! shards, checkpoints; what stands in front of it on each core is a [`node::Front`], of which
//! `server::Connections` (feature `server`) speaks RESP over TCP. Typed calls without sockets, and
//! nodes of several members, come with the cluster.
//!
//! Where to begin to read: [`command`] says what the commands are, [`node`] how a request goes its
//! way, [`shard`] how commands over several cores become one point in time, [`log`](mod@log) what
//! lies on disk.
//!
//! Modules are ranked; each imports only from strictly lower ranks (`tests/tidy` checks it). The
//! table of ranks, and the way of a GET and of a SET by file name, stand in `ARCHITECTURE.md`.

pub mod address;
pub mod clock;
pub mod error;
pub mod glob;
pub mod limits;
pub mod slot;

pub mod config;
pub mod database;
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

mod embed;

pub use config::{Consistency, Durability};
pub use embed::{Builder, Call, Ending, Error, Node, Ready, Reply, Session};

#[cfg(feature = "server")]
pub mod server;

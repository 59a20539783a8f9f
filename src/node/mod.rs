//! The engine: joins the shards and Raft, and is what a connection, an HTTP handler or an
//! embedding application talks to.
//!
//! ```text
//! request -> dispatch   command table, arity, transaction queue; the one place where paths fork
//!            session    answered here (PING, HELLO, SELECT ..)
//!            read       this core's shard at once; another's by one message a turn and core
//!            write      the turn's batch -> sequencer -> Raft -> delivery -> shards -> reply
//! ```
//!
//! Invariants
//! - Every change of a keyspace is a mutation in a batch; there is no other way.
//! - Replies leave a connection in the order of its requests.
//! - A connection's read that stands behind its own write runs behind it: it travels with the
//!   batch. A write that stands behind a read on another core waits for that read.
//! - What one core has between its connections and the log, or a read index, is bounded in bytes;
//!   past the bound, connections are not read.
//! - The sequencer delivers entries, and reads between entries, to all shards in one order.
//!
//! Not done here: sockets (`server/`), an application's calls (`embed/`), agreement (`raft/`).

mod admin;
mod answering;
mod boot;
mod change;
mod client;
mod cluster;
mod cluster_command;
mod cluster_id;
mod cluster_reply;
mod cluster_view;
mod connection;
mod copies;
mod core;
mod digests;
mod dispatch;
mod engine;
#[cfg(test)]
mod engine_tests;
mod entry;
mod forming;
mod forward;
mod front;
mod gather;
mod growth;
mod inbox;
mod install;
#[cfg(test)]
mod install_tests;
#[cfg(test)]
mod lagging_tests;
mod layout;
mod message;
mod outbox;
mod queue;
mod raft_reply;
mod raft_side;
mod raft_start;
mod relay;
mod replace;
mod report;
mod sequencer;
#[cfg(test)]
mod sequencer_model_tests;
#[cfg(test)]
mod sequencer_tests;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod simulated;
mod slot_scan;
mod standing;
mod timed_log;
mod transaction;
mod waiting;

pub use boot::{Event, Running, start};
pub use client::{Client, ClientView, Clients};
pub use cluster_view::{Change, ClusterCounters, ClusterView, DigestView, Indexes, MemberView};
pub use core::Core;
pub use dispatch::{Flow, Resolved};
pub use engine::Engine;
pub use front::Front;
pub use layout::Layout;
pub use message::Message;
pub use sequencer::Sequencer;

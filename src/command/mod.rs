//! The commands: the table that says what each one is, and what each does to a keyspace.
//!
//! Invariants
//! - [`Spec`] is the one source of truth: arity, flags, keys, categories, route, documentation.
//!   Routing, `COMMAND`, ACLs and tests read it; nothing restates it.
//! - A handler is a synchronous function of (context, arguments): no clock, no randomness but the
//!   context's, no client, no Raft. The same one runs in apply, in a transaction, in an embedder.
//! - A handler whose spec does not say `WRITE` changes nothing.
//! - Ids are written to the log: an id is never changed nor used again.
//!
//! One file per family. Not done here: what acts on connections, cores or the node (`node/`);
//! those commands have a spec here and no handler.

mod access;
mod argument;
mod bitmap;
mod cluster;
pub mod configure;
mod connection;
mod context;
mod diagnostics;
mod draw;
mod expiry;
#[cfg(test)]
pub(crate) mod golden;
mod hash;
mod help;
mod introspect;
mod keys;
pub mod latency;
mod levels;
mod list;
pub mod memory;
mod multi;
pub mod mutation;
mod resolve;
mod scan;
mod server;
mod set;
mod spec;
mod string;
mod table;
mod transaction;
mod zset;

pub use access::Access;
pub use context::{Context, Rng};
pub use help::help;
pub use introspect::command;
pub use keys::{EXPIRE, cursor_shard};
pub use levels::{Levels, read_consistency, read_durability, split_with};
pub use resolve::resolve;
pub use spec::{Arity, Category, Combine, Flags, Group, Handler, Keys, Outcome, Route, Spec};
pub use table::{by_id, by_name, public, table};
pub use transaction::{
    DIGEST, EXEC, FIXED_REPLY, VERSION, each_place, run_transaction, write_watched,
};

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

mod argument;
mod context;
mod draw;
pub mod glob;
mod hash;
mod keys;
mod list;
pub mod mutation;
mod scan;
mod set;
mod spec;
mod string;
mod table;
mod transaction;
mod zset;

pub use context::{Context, Rng};
pub use keys::{EXPIRE, cursor_shard};
pub use spec::{Arity, Category, Combine, Flags, Group, Handler, Keys, Outcome, Route, Spec};
pub use table::{by_id, by_name, table};
pub use transaction::{EXEC, FIXED_REPLY, VERSION, Watched, each_place, run_transaction, write_watched};

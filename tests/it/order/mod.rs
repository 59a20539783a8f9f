//! The order of things: what one connection may rely on, and what many may.
//!
//! - `pipeline`: random requests of one connection, exact replies from a sequential model.
//! - `session`: what belongs to a connection stays in its place, and nothing is lost by a restart.
//! - `registers`: single keys under many connections are linearizable (checked by `porcupine`).
//! - `histories`: transactions over several shards under many connections are strictly
//!   serializable (checked by `adya`).
//!
//! `key` and `transaction` are what the last two do and check; `cluster` does it under faults.
//!
//! Each also shows that its checker bites: a history into which a stale read or half a transaction
//! was written is refused.

mod histories;
pub mod key;
mod model;
mod pipeline;
mod registers;
mod session;
pub mod transaction;

use crate::kit::Server;

/// The layouts that an order has to hold on: one shard, three and a core for Raft, four that share.
fn on_each_layout(args: &[&str], test: impl Fn(&Server)) {
    for (cores, placement) in [(1, "auto"), (4, "dedicated"), (4, "shared")] {
        let mut args = args.to_vec();
        if placement != "auto" {
            args.extend(["--raft-core", placement]);
        }
        test(&Server::start(cores, &args));
    }
}

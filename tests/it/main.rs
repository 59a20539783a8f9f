//! The server as its users meet it: the real binary, real sockets, real clients.
//!
//! One binary holds every test (linking is what costs). Each test starts its own servers on free
//! ports of the loopback, in a directory of its own, and ends them by process id; `kit` does that.
//! Most run at one core and at four shards (unpinned where the machine has fewer CPUs). Tests that
//! take long are ignored; `scripts/test --long` runs them.

mod kit;

mod clients;
mod cluster;
mod cluster_commands;
mod cluster_levels;
mod connections;
mod crash;
mod embedded;
mod expiry;
mod failure;
#[path = "../history/mod.rs"]
mod history;
mod lifecycle;
mod order;
mod protocol;
mod settings;
mod transactions;

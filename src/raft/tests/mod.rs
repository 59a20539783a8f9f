//! A group over logs, votes and appliers that live in memory.
//!
//! `memory` and `applier` are the parts, `lan` a network between groups of one executor that can
//! be cut, `nodes` several of them on it; the other files are the tests.

mod applier;
mod cluster;
mod cost;
mod lan;
mod loopback;
mod members;
mod memory;
mod nemesis;
mod nodes;
mod partitions;
mod retention;
mod rounds;
mod single;
mod voting;

pub use applier::{Event, TestApplier};
pub use lan::{Lan, start_on};
pub use memory::{MemoryLog, MemoryVotes};

//! A group over logs, votes and appliers that live in memory.
//!
//! `memory` and `applier` are the parts, `lan` a network between groups of one executor that can
//! be cut; the other files are the tests.

mod applier;
mod cluster;
mod cost;
mod lan;
mod memory;
mod single;

pub use applier::{Event, TestApplier};
pub use memory::{MemoryLog, MemoryVotes};

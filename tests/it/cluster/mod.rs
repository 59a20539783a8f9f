//! Several nodes as one: real processes, real faults.
//!
//! - `start`: how a cluster begins, grows, shrinks and comes back.
//! - `commands`: any node takes any command.
//! - `clients`: clients that people have follow the leader.
//! - `minority`: what is left of a cluster without a quorum, and who is refused.
//! - `faults`: histories under everything that goes wrong, checked.
//! - `failover`, `heartbeats`: how long a cluster is without a leader, and that it is not without
//!   a reason.
//!
//! Not done here: lost power (`crash` and the simulation do), more than one machine.

mod client;
mod clients;
mod commands;
mod failover;
mod faults;
mod heartbeats;
mod ledger;
mod minority;
mod nemesis;
mod registers;
mod start;
mod transactions;

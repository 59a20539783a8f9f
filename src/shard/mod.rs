//! A shard: hosts a keyspace on a core and runs commands on it in the order of the log.
//!
//! Deliveries come in log order, the same ones to every shard of a node; each shard runs what
//! belongs to it. A command whose keys lie on several shards runs on one of them, the coordinator
//! (the shard of its first key): when the others come to that position they lend it the keys (the
//! entries move), and get them home when it is through.
//!
//! Invariants
//! - Every shard goes through the same deliveries in the same order; a loan is asked for by
//!   nobody: it follows from the position. So the earliest unfinished command always has all its
//!   loans under way, and no shards wait for each other in a circle.
//! - While a key is lent, whatever touches it waits: later deliveries and reads alike. That is
//!   what makes a command over several shards one point in time for every reader.
//! - While a keyspace is replaced by another node's checkpoint, everything waits, until every shard
//!   has its part: nobody sees the new state of one and then the old state of another.
//! - Nothing here knows of Raft or of sockets.
//!
//! Not done here: which shard a request goes to, and the reply's way home (`node/`).

mod across;
mod capture;
mod delivery;
mod execute;
mod loan;
mod replace;
mod whole;
mod worker;

#[cfg(test)]
mod tests;

pub use capture::Captured;
pub use delivery::{Delivery, Item, Local, Part};
pub use execute::Host;
pub use loan::{Lent, Loan, LoanId, ShardMessage};
pub use replace::Replaced;
pub use worker::Shard;

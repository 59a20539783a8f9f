//! Keys that one shard lends another while a command runs over both.

use crate::keyspace::{Entry, Keyspace};
use crate::resp::Reply;

/// Names a loan: the delivery, and the command's place in it.
pub type LoanId = (u64, u32);

/// A lent key: database, key, and its entry if the key is there.
pub type Lent = (u8, Vec<u8>, Option<Entry>);

/// What a participant lends.
pub enum Loan {
    /// Some keys.
    Keys(Vec<Lent>),
    /// Everything it has, for a transaction that looks at all keys.
    Whole(Box<Keyspace>),
}

/// What shards tell each other.
pub enum ShardMessage {
    /// Participant to coordinator: what the command needs.
    Lend { id: LoanId, from: usize, loan: Loan },
    /// Coordinator to participant: the loan, as the command left it.
    Home { id: LoanId, loan: Loan },
    /// Participant to coordinator: this shard's part of a command that ran on every shard.
    Share { id: LoanId, reply: Reply<'static> },
    /// Coordinator to participants: all have run; go on.
    Release { id: LoanId },
}

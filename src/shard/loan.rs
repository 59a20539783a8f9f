//! Keys that one shard lends another while a command runs over both.

use crate::keyspace::{Entry, Keyspace};
use crate::resp::Reply;

/// Names a loan: the delivery, and the command's place in it.
pub type LoanId = (u64, u32);

/// A lent key.
pub struct Lent {
    pub db: u8,
    pub key: Vec<u8>,
    /// Its entry, if the key is there.
    pub entry: Option<Entry>,
    /// When a key of its slot was last deleted: what WATCH compares for an absent key.
    pub removed_version: u64,
}

impl Lent {
    /// Takes a key out of a keyspace.
    pub fn take(keyspace: &mut Keyspace, db: u8, key: &[u8]) -> Lent {
        let database = keyspace.db_mut(db as usize);
        let removed_version = database.removed_version(key);
        Lent {
            db,
            key: key.to_vec(),
            entry: database.take_entry(key),
            removed_version,
        }
    }

    /// Puts a key into a keyspace that does not have it.
    pub fn put(self, keyspace: &mut Keyspace) {
        let database = keyspace.db_mut(self.db as usize);
        database.note_removed(&self.key, self.removed_version);
        if let Some(entry) = self.entry {
            database.put_entry(entry);
        }
    }
}

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

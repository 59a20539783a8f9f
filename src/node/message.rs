//! What cores tell each other. A message carries a batch.

use std::sync::Arc;

use super::digests::Point;
use super::gather::{Answer, Question};
use super::standing::Stand;
use crate::error::Unavailable;
use crate::shard::{Delivery, Item, Local, ShardMessage};

/// A message between two cores of a node.
pub enum Message {
    /// Reads for the receiver's shard.
    Reads(Box<Reads>),
    /// Replies for the receiver's connections.
    Replies(Box<Replies>),
    /// A turn's batch, for the Raft core.
    Submit(Box<Submission>),
    /// The next delivery, for the receiver's shard.
    Deliver(Arc<Delivery>),
    /// A batch of the receiver's that was refused.
    Refused(Arc<Local>, Unavailable),
    /// The replies to a batch of the receiver's may leave, or it is not known whether every voter
    /// has it.
    Released(Arc<Local>, bool),
    /// The sender's shard has captured its part of the checkpoint, or could not.
    Captured(Result<(), String>),
    /// To the Raft core: the sender's shard has taken its part of a digest, in so many
    /// microseconds.
    Digested(Point, u64),
    /// From the Raft core: all that the log held before this start has been delivered.
    Replayed,
    /// To the Raft core: the sender's shard has run all of that.
    Recovered,
    /// The node serves from now on.
    Open,
    /// From the Raft core: how the node stands.
    Standing(Stand),
    /// A question, with the number that its answer bears.
    Question(u64, Box<Question>),
    Answer(u64, Box<Answer>),
    /// From shard to shard.
    Shard(ShardMessage),
}

/// Reads that need no place in the log.
#[derive(Default)]
pub struct Reads {
    pub items: Vec<Item>,
    /// The reads as mutations, one after the other.
    pub commands: Vec<u8>,
}

/// Encoded replies, one after the other.
#[derive(Default)]
pub struct Replies {
    /// Whom to answer, with the length of the reply in bytes.
    pub items: Vec<(Item, u32)>,
    pub bytes: Vec<u8>,
}

/// What one core hands the sequencer in one turn.
#[derive(Default)]
pub struct Submission {
    /// Room for the entry's head (`entry::HEAD_BYTES`), then the writes; empty when there are
    /// none.
    pub commands: Vec<u8>,
    pub local: Local,
    /// Whether the writes must be on disk before they are acknowledged.
    pub sync: bool,
    /// Reads that stand behind no write of their connection: they run at the present position.
    pub at_once: bool,
}

impl Submission {
    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.commands.len() + self.local.reads.len()
    }
}

//! What the log hands to the shards.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::checkpoint::{Feeder, Supply};
use crate::keyspace::OrderSlice;
use crate::resp::Protocol;

/// One committed entry, or a position between two entries at which reads run.
pub struct Delivery {
    /// Counts deliveries on this node; part of a loan's name.
    pub id: u64,
    /// Index in the log; of the entry before, where there is no entry.
    pub index: u64,
    /// The leader's time stamp.
    pub now_ms: u64,
    /// The leader's seed for randomness.
    pub seed: u64,
    /// The entry's bytes.
    pub payload: Bytes,
    /// One for each core that contributed.
    pub parts: Vec<Part>,
    /// The keyspace as it is here is to be captured for a checkpoint, and brought to this.
    pub capture: Option<Feeder>,
    /// The digest of this part of the keyspace as it is behind this is to be told ([`Host::digested`]).
    ///
    /// [`Host::digested`]: super::Host::digested
    pub digest: Option<OrderSlice>,
    /// The keyspace becomes what this holds: the state at `index`, from another node.
    pub replace: Option<Arc<Supply>>,
}

/// The commands of one core in an entry.
#[derive(Debug)]
pub struct Part {
    /// Where they stand in the payload.
    pub commands: Range<usize>,
    /// What the node that proposed them knows besides.
    pub local: Option<Arc<Local>>,
}

/// What the node that proposed a batch keeps of it: whom to answer, and the reads in between.
#[derive(Debug, Default)]
pub struct Local {
    /// Core that holds the connections.
    pub origin: usize,
    /// Counts the batches of that core.
    pub number: u64,
    /// The replies to its writes wait until every voter has them on disk.
    pub all: bool,
    /// Bytes of its writes and reads: what its core counts as under way until this is delivered or
    /// refused.
    pub bytes: usize,
    /// Writes and reads in the order of the batch.
    pub items: Vec<Item>,
    /// The reads as mutations, not part of the log.
    pub reads: Vec<u8>,
}

impl Local {
    /// The reads alone.
    pub fn only_reads(&self) -> Local {
        Local {
            origin: self.origin,
            number: self.number,
            all: false,
            bytes: self.reads.len(),
            items: self
                .items
                .iter()
                .filter(|item| item.read)
                .copied()
                .collect(),
            reads: self.reads.clone(),
        }
    }
}

/// One command of a batch: whom to answer.
#[derive(Debug, Clone, Copy)]
pub struct Item {
    /// Connection on the origin core.
    pub client: u64,
    /// Place among the connection's outstanding replies.
    pub seq: u32,
    /// Core that holds the connection.
    pub core: u8,
    /// A read, from [`Local::reads`]; else a write, from the payload.
    pub read: bool,
    /// Part of a batch, in the order of the log; else a read that was sent to the shard directly.
    pub ordered: bool,
    pub protocol: Protocol,
}

impl Item {
    /// Core that holds the connection.
    pub fn origin(&self) -> usize {
        self.core as usize
    }
}

//! A keyspace replaced by its part of another node's checkpoint, at one delivery.
//!
//! From the shard's own begin on, whatever reads waits. The old keyspace goes first: both at once
//! may not fit into memory. Deliveries behind this one run when every shard has its part.

use std::sync::Arc;

use crate::checkpoint::{Supplied, Supply};

use super::execute::Host;
use super::worker::Shard;

/// What a turn of the replacement came to.
pub enum Replaced {
    /// Nothing is being replaced.
    Nothing,
    /// A chunk was taken in.
    Chunk,
    /// There is nothing to take in: go on when the supply is ready for this shard.
    NotYet(Arc<Supply>),
    /// The new keyspace is whole, on every shard, and work goes on; or the shard has a fault.
    End,
}

impl Shard {
    /// Gives the old keyspace away and lets everything wait, unless that is done or keys are
    /// lent: those would come home into the new one.
    pub(super) fn begin_replace(&mut self) {
        if self.replacing || !self.lent.is_empty() {
            return;
        }
        self.replacing = true;
        // Its checkpoint was given up: the one that comes is newer.
        self.capture = None;
        let old = self.keyspace.take();
        // Dropping a large keyspace takes long: not on this core's time, where a thread can be had.
        let _ = std::thread::Builder::new().spawn(move || drop(old));
    }

    /// Whether the keyspace is being replaced.
    pub fn is_replacing(&self) -> bool {
        self.replacing
    }

    /// Takes the next chunk in, if there is one; behind the last one on every shard, goes on with
    /// what waited.
    pub fn replace_turn(&mut self, now_ms: u64, host: &mut impl Host) -> Replaced {
        if !self.replacing || self.fault.is_some() {
            return Replaced::Nothing;
        }
        let Some(supply) = self.stream.front().and_then(|front| front.replace.clone()) else {
            return Replaced::Nothing;
        };
        match supply.take(self.id) {
            Supplied::NotYet => return Replaced::NotYet(supply),
            Supplied::Chunk(chunk) => match self.keyspace.install_chunk(&chunk) {
                Ok(_) => return Replaced::Chunk,
                Err(error) => {
                    let why = format!("the checkpoint that was received: {}", error.0);
                    supply.fail(why.clone());
                    self.fault = Some(why);
                }
            },
            Supplied::Failed(why) => self.fault = Some(why),
            Supplied::Whole => {
                self.replacing = false;
                self.end_delivery();
                self.go_on(now_ms, host);
            }
        }
        Replaced::End
    }
}

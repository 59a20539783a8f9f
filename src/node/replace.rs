//! The core's part when the node is given another node's checkpoint: its shard, chunk by chunk.

use crate::rt::{self, Parker};
use crate::shard::Replaced;

use super::client::Clients;
use super::engine::Engine;
use super::outbox::Link;

impl Engine {
    /// Goes on with a keyspace that is being replaced: one chunk a turn, so that connections and
    /// the Raft tasks of this core have theirs. Answers whether it took time.
    pub fn replace_turn(&mut self, clients: &mut impl Clients, parker: &Parker) -> bool {
        let Some(shard) = self.shard.as_mut().filter(|shard| shard.is_replacing()) else {
            return false;
        };
        let mut link = Link {
            out: &mut self.out,
            metrics: &mut self.metrics,
            clients,
        };
        match shard.replace_turn(self.now_ms, &mut link) {
            Replaced::Nothing => return false,
            Replaced::Chunk => {}
            Replaced::NotYet(supply) => {
                // One waits for the next chunk, however many turns come before it.
                if !self.supply_awaited.replace(true) {
                    let (awaited, parker) = (self.supply_awaited.clone(), parker.clone());
                    let shard = shard.id();
                    rt::spawn(async move {
                        supply.ready(shard).await;
                        awaited.set(false);
                        parker.notify();
                    });
                }
                return false;
            }
            Replaced::End => self.forget_delivered(),
        }
        true
    }
}

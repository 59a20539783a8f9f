//! Commands on the cluster: what they ask of the Raft core, and of a shard's.

use crate::command::Spec;
use crate::resp::{Args, Error, Reply, parse_int};
use crate::slot::{SLOTS, shard_of, slot_of};

use super::client::Client;
use super::cluster_reply::ClusterQuery;
use super::cluster_view::Change;
use super::dispatch::Flow;
use super::engine::Engine;
use super::gather::{Purpose, Question};

impl Engine {
    /// `CLUSTER ..`, `RAFT ..` and the flat names of the latter, `ROLE`, `ASKING`.
    pub(super) fn cluster_command(
        &mut self,
        client: &mut Client,
        id: u64,
        spec: &'static Spec,
        args: Args<'_>,
    ) -> Flow {
        let query = match spec.name {
            "asking" => {
                client.reply(&Reply::Ok);
                return Flow::Continue;
            }
            "cluster|keyslot" => {
                client.reply(&Reply::Int(i64::from(slot_of(args.get(2)))));
                return Flow::Continue;
            }
            "cluster|countkeysinslot" | "cluster|getkeysinslot" => {
                return self.keys_in_slot(client, id, args);
            }
            "raft|snapshot" | "raftsnapshot" => {
                self.ask_raft(client, id, Question::Checkpoint, Purpose::Done);
                return Flow::Continue;
            }
            "role" => ClusterQuery::Role,
            "cluster|info" => ClusterQuery::ClusterInfo,
            "cluster|slots" => ClusterQuery::ClusterSlots,
            "cluster|shards" => ClusterQuery::ClusterShards,
            "cluster|nodes" => ClusterQuery::ClusterNodes,
            "cluster|myid" => ClusterQuery::ClusterMyId,
            "cluster|myshardid" => ClusterQuery::ClusterMyShardId,
            "raft|leader" | "raftleader" => ClusterQuery::RaftLeader,
            "raft|state" | "raftstate" => ClusterQuery::RaftState,
            "raft|stats" | "raftstats" => ClusterQuery::RaftStats,
            "raft|peers" | "raftpeers" => ClusterQuery::RaftPeers,
            "raft|digest" => ClusterQuery::RaftDigest,
            name => return self.change_cluster(client, id, name, args),
        };
        self.ask_raft(client, id, Question::Cluster, Purpose::Cluster(query));
        Flow::Continue
    }

    /// `RAFT ADDPEER|REMOVEPEER|PROMOTE|DEMOTE|TRANSFER ..`: answered once it holds.
    fn change_cluster(&mut self, client: &mut Client, id: u64, name: &str, args: Args<'_>) -> Flow {
        // `raft|addpeer` and `raftaddpeer` are the same, one word apart.
        let (kind, first) = match name.split_once('|') {
            Some((_, kind)) => (kind, 2),
            None => (name.trim_start_matches("raft"), 1),
        };
        let words = args.iter_from(first).map(String::from_utf8_lossy);
        let request = words.fold(kind.to_string(), |request, word| request + " " + &word);
        match request.parse::<Change>() {
            Ok(change) => self.ask_raft(client, id, Question::Change(change), Purpose::Done),
            Err(why) => return self.refuse(client, Error::new(format!("ERR {why}"))),
        }
        Flow::Continue
    }

    /// `CLUSTER COUNTKEYSINSLOT slot`, `CLUSTER GETKEYSINSLOT slot count`: of the connection's
    /// database, behind its writes.
    fn keys_in_slot(&mut self, client: &mut Client, id: u64, args: Args<'_>) -> Flow {
        let numbers: Option<Vec<i64>> = args.iter_from(2).map(parse_int).collect();
        let (slot, keys_max) = match numbers.as_deref() {
            Some([slot]) => (*slot, None),
            Some([slot, keys_max]) => (*slot, Some(*keys_max)),
            _ => return self.refuse(client, Error::NOT_INTEGER),
        };
        let is_slot = (0..SLOTS as i64).contains(&slot);
        let keys_max = match keys_max.map(usize::try_from) {
            None if is_slot => None,
            Some(Ok(keys_max)) if is_slot => Some(keys_max),
            None => return self.refuse(client, Error::fixed("ERR Invalid slot")),
            Some(_) => {
                let text = "ERR Invalid slot or number of keys";
                return self.refuse(client, Error::fixed(text));
            }
        };
        if client.has_ordered() {
            return Flow::Wait;
        }
        let question = Question::SlotKeys {
            db: client.session.db,
            slot: slot as u16,
            keys_max,
        };
        let core = self
            .layout
            .core_of(shard_of(slot as u16, self.layout.shards));
        self.ask_core(client, id, core, question, Purpose::SlotKeys);
        Flow::Continue
    }
}

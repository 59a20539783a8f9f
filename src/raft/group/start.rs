//! From what lies on disk to a running group.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use futures::channel::oneshot;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal as RaftFatal;
use openraft::impls::BasicNode;
use openraft::{AsyncRuntime, Config, EntryPayload, Raft, SnapshotPolicy};

use super::Group;
use crate::error::Fatal;
use crate::limits::{
    PROPOSALS_QUEUED_MAX, RAFT_NOTIFICATIONS_QUEUED_MAX, REPLICATE_ENTRIES_MAX,
    STATE_MACHINE_QUEUED_MAX,
};
use crate::log::{Log, Position};
use crate::raft::applier::{Applier, VoteStore};
use crate::raft::machine::Machine;
use crate::raft::network::{Network, NoPeers, Peers};
use crate::raft::proposals::Proposals;
use crate::raft::runtime::Glommio;
use crate::raft::store::LogStore;
use crate::raft::types::{self, Entry, Membership};

/// A node of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    /// Where its peers reach it.
    pub address: String,
}

/// What a member of a group needs to know to start.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// This node. An id must never come back without the log and the vote that it left.
    pub node_id: u64,
    /// The first voters, used only where this node's log is empty; every one of them is given the
    /// same list. Empty: this node waits until a leader adds it.
    pub first_voters: Vec<Member>,
    /// How often a leader tells its followers that it is there; a fifth of it is the period of
    /// the group's clock. In a cluster, start from 50, 300 and 600.
    pub heartbeat_ms: u64,
    /// Bounds of the time without a leader after which a follower stands for election.
    pub election_ms_min: u64,
    pub election_ms_max: u64,
}

impl GroupOptions {
    /// A group of one voter. With nobody to tell that it leads, its clock goes slowly: an idle
    /// node should hardly wake. (At the 50 ms of a cluster, 0.9 % of a core went into waking.)
    pub fn single(node_id: u64, address: impl Into<String>) -> Self {
        let address = address.into();
        GroupOptions {
            node_id,
            first_voters: vec![Member {
                id: node_id,
                address,
            }],
            heartbeat_ms: 200,
            election_ms_min: 1000,
            election_ms_max: 2000,
        }
    }

    fn config(&self) -> Result<Arc<Config>, Fatal> {
        let config = Config {
            cluster_name: "quorate".to_string(),
            heartbeat_interval: self.heartbeat_ms,
            heartbeat_min_interval: Some(self.heartbeat_ms),
            election_timeout_min: self.election_ms_min,
            election_timeout_max: self.election_ms_max,
            enable_pre_vote: Some(true),
            // Without it, a leader that has lost its quorum can keep others from electing one.
            quorum_loss_probe_interval: Some(2 * self.election_ms_max + self.election_ms_min),
            // A restarted leader stands for election again: only that tells it what is committed.
            enable_leader_restore: Some(false),
            // Checkpoints are made by bytes and time, by the node.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: 0,
            max_payload_entries: REPLICATE_ENTRIES_MAX,
            api_channel_size: Some(PROPOSALS_QUEUED_MAX),
            notification_channel_size: Some(RAFT_NOTIFICATIONS_QUEUED_MAX),
            state_machine_channel_size: Some(STATE_MACHINE_QUEUED_MAX),
            ..Config::default()
        };
        let config = config
            .validate()
            .map_err(|error| Fatal::Setup(format!("heartbeat and election times: {error}")))?;
        Ok(Arc::new(config))
    }
}

impl Group {
    /// Starts this member on the calling executor, in the calling task's queue.
    ///
    /// A single voter stands for election at once. The applier's state must be that of its
    /// checkpoint; the log behind it is applied again before
    /// [`wait_leader_and_recovered`](Group::wait_leader_and_recovered) resolves.
    ///
    /// # Errors
    /// [`Fatal::Corrupt`] where log, vote and checkpoint contradict each other, [`Fatal::Setup`]
    /// where the options do.
    pub async fn start(
        options: GroupOptions,
        log: Rc<dyn Log>,
        votes: Rc<dyn VoteStore>,
        applier: Rc<dyn Applier>,
    ) -> Result<Group, Fatal> {
        Self::start_with(options, log, votes, applier, Rc::new(NoPeers)).await
    }

    /// [`start`](Group::start) with a transport to other nodes.
    pub(in crate::raft) async fn start_with(
        options: GroupOptions,
        log: Rc<dyn Log>,
        votes: Rc<dyn VoteStore>,
        applier: Rc<dyn Applier>,
        peers: Rc<dyn Peers>,
    ) -> Result<Group, Fatal> {
        let config = options.config()?;
        let proposals = Proposals::new(applier.clone());
        let store = LogStore::open(log.clone(), votes, proposals.clone()).await;
        let store = store.map_err(|error| corrupt("the vote", &error))?;
        let empty = refuse_holes(&*log, &*applier)?;
        if empty && !options.first_voters.is_empty() {
            if store.vote().is_some() {
                let what = "the log is empty though this node has voted: its log was lost".into();
                return Err(Fatal::Corrupt { what });
            }
            let written = write_first_membership(&*log, &options.first_voters).await;
            written.map_err(|error| Fatal::Setup(format!("cannot write the log: {error}")))?;
        }
        let machine = Machine::open(applier.clone(), proposals.clone())
            .map_err(|error| corrupt("the checkpoint's membership", &error))?;

        let raft = Raft::new(options.node_id, config, Network(peers), store, machine).await;
        let raft = raft.map_err(|fatal| match fatal {
            RaftFatal::StorageError(error) => corrupt("the log", &error),
            other => Fatal::Setup(format!("raft does not start: {other}")),
        })?;
        let group = Group {
            raft,
            applier,
            proposals,
            stopping: Rc::new(Cell::new(false)),
        };
        group.watch_core();
        group.elect_if_alone().await;
        Ok(group)
    }

    /// Stands for election at once where no other vote is needed.
    async fn elect_if_alone(&self) {
        let id = *self.raft.node_id();
        let alone = self.raft.with_raft_state(move |state| {
            let effective = state.membership_state.effective();
            effective.voter_ids().eq([id])
        });
        if alone.await == Ok(true) {
            // Failing means that the core stopped: the first proposal will say so.
            self.raft.trigger().elect(false).await.ok();
        }
    }

    /// Notices that the core is gone without having said why: it panicked.
    fn watch_core(&self) {
        let (raft, proposals) = (self.raft.clone(), self.proposals.clone());
        let mut server = raft.server_metrics();
        drop(Glommio::spawn(async move {
            while server.changed().await.is_ok() {}
            if raft.metrics().borrow_watched().running_state.is_ok() {
                proposals.poison(&"the raft core panicked");
            }
        }));
    }
}

fn corrupt(what: &str, error: &dyn std::fmt::Display) -> Fatal {
    Fatal::Corrupt {
        what: format!("{what}: {error}"),
    }
}

/// Whether nothing was ever logged here. Refuses a log that begins behind the checkpoint's end.
fn refuse_holes(log: &dyn Log, applier: &dyn Applier) -> Result<bool, Fatal> {
    let checkpoint = applier.checkpoint().map(|meta| meta.position);
    let purged = log.purged();
    if purged > checkpoint {
        let what = format!(
            "the log begins behind {purged:?} but the newest checkpoint ends at {checkpoint:?}: \
             the entries between are gone"
        );
        return Err(Fatal::Corrupt { what });
    }
    Ok(log.last().is_none() && purged.is_none() && checkpoint.is_none())
}

/// Writes a group's very first record, on disk before anything else may happen: the same on each
/// of the first voters, so that their logs agree.
async fn write_first_membership(log: &dyn Log, voters: &[Member]) -> io::Result<()> {
    let ids: BTreeSet<u64> = voters.iter().map(|member| member.id).collect();
    let nodes: BTreeMap<u64, BasicNode> = voters
        .iter()
        .map(|member| (member.id, BasicNode::new(&member.address)))
        .collect();
    let membership = Membership::new(vec![ids], nodes).map_err(io::Error::other)?;
    let entry = Entry {
        log_id: Position::default().into(),
        payload: EntryPayload::Membership(membership),
    };
    let (done, written) = oneshot::channel();
    let done = move |result| {
        // The receiver waits below; it cannot be gone.
        let _ = done.send(result);
    };
    log.append(vec![types::record(entry)], Box::new(done));
    written
        .await
        .map_err(|_| io::Error::other("the log dropped the write"))?
}

//! From what lies on disk to a running group.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use futures::channel::oneshot;
use openraft::errors::Fatal as RaftFatal;
use openraft::impls::BasicNode;
use openraft::{AsyncRuntime, EntryPayload, Raft};

use super::conduct::Conduct;
use super::{Group, GroupOptions, Member};
use crate::error::Fatal;
use crate::log::{Log, Position};
use crate::raft::applier::{Applier, VoteStore};
use crate::raft::machine::Machine;
use crate::raft::network::{Addresses, Network, NoPeers, Peers, Transport};
use crate::raft::proposals::Proposals;
use crate::raft::runtime::Glommio;
use crate::raft::store::LogStore;
use crate::raft::types::{self, Entry, Membership};

impl Group {
    /// Starts this member on the calling executor, in the calling task's queue. `transport` is its
    /// way to other nodes, [`serve`](Transport::serve) theirs to it.
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
        transport: Option<Transport>,
    ) -> Result<Group, Fatal> {
        let peers: Rc<dyn Peers> = match transport {
            Some(transport) => Rc::new(transport),
            None => Rc::new(NoPeers),
        };
        Self::start_with(options, log, votes, applier, peers).await
    }

    /// [`start`](Group::start) with any way to other nodes.
    pub(in crate::raft) async fn start_with(
        options: GroupOptions,
        log: Rc<dyn Log>,
        votes: Rc<dyn VoteStore>,
        applier: Rc<dyn Applier>,
        peers: Rc<dyn Peers>,
    ) -> Result<Group, Fatal> {
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

        let quiet = store.vote().is_some();
        let term = store.vote().map_or(0, |vote| vote.leader_id.term);
        let conduct = Conduct::new(&options, quiet, term);
        let config = options.config(conduct.votes())?;
        let addresses = Addresses::default();
        let network = Network {
            peers,
            addresses: addresses.clone(),
            answered: conduct.answered.clone(),
        };
        let raft = Raft::new(options.node_id, config, network, store, machine).await;
        let raft = raft.map_err(|fatal| match fatal {
            RaftFatal::StorageError(error) => corrupt("the log", &error),
            other => Fatal::Setup(format!("raft does not start: {other}")),
        })?;
        let group = Group {
            raft,
            applier,
            proposals,
            stopping: Rc::new(Cell::new(false)),
            conduct,
        };
        group.elect_if_alone().await;
        group.watch(addresses);
        Ok(group)
    }

    /// Stands for election at once where no other vote is needed. Others that are needed may have
    /// been promised to a leader before this node's restart: it stays quiet while one may count on
    /// that.
    async fn elect_if_alone(&self) {
        let id = *self.raft.node_id();
        let alone = self.raft.with_raft_state(move |state| {
            let effective = state.membership_state.effective();
            effective.voter_ids().eq([id])
        });
        if alone.await == Ok(true) {
            self.conduct.quiet_until.set(None);
            // Failing means that the core stopped: the first proposal will say so.
            self.raft.trigger().elect(false).await.ok();
        } else if let Some(until) = self.conduct.quiet_until.get() {
            let group = self.clone();
            drop(Glommio::spawn(async move {
                if group.rest_until(until).await.is_err() {
                    return;
                }
                group.conduct.quiet_until.set(None);
                group.stand_as_allowed();
            }));
        }
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

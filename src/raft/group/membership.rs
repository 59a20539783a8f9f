//! Changes of who belongs to a group, one at a time.
//!
//! Every change is made on the leader and is committed when it returns `Ok`. A voter is always a
//! learner first, and a learner again before it goes: a change that was cut short by a failure
//! leaves one of these states, and making it again finishes it. A joint configuration that a
//! failure leaves is completed by whoever leads then, see `watch`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use openraft::impls::BasicNode;
use openraft::{AsyncRuntime, ChangeMembers};

use super::conduct::Changing;
use super::{Group, Member};
use crate::error::Unavailable;
use crate::limits::{CATCH_UP_MS_MAX, MEMBERSHIP_CHANGE_MS_MAX};
use crate::raft::runtime::Glommio;
use crate::raft::types::{self, StoredMembership, Types};

/// Why a change of membership was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeError {
    /// It cannot be made as things stand; the text says why. Nothing was done.
    Invalid(String),
    /// Something that it needs did not happen in time; the text says what. It may be tried again.
    Late(String),
    /// As for a proposal: refused, or uncertain.
    Unavailable(Unavailable),
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChangeError::Invalid(why) => write!(f, "ERR {why}"),
            ChangeError::Late(why) => write!(f, "TRYAGAIN {why}"),
            ChangeError::Unavailable(why) => why.fmt(f),
        }
    }
}

impl From<Unavailable> for ChangeError {
    fn from(why: Unavailable) -> Self {
        ChangeError::Unavailable(why)
    }
}

pub(super) fn invalid<T>(why: impl Into<String>) -> Result<T, ChangeError> {
    Err(ChangeError::Invalid(why.into()))
}

type Changes = ChangeMembers<u64, BasicNode>;

impl Group {
    /// Begins a group whose first voters are `voters`, this node among them. To be called on one
    /// node only; the others, started without first voters, hear of it from this one.
    ///
    /// # Errors
    /// [`ChangeError::Invalid`] where this node belongs to a group already or is not among them.
    pub async fn initialize(&self, voters: &[Member]) -> Result<(), ChangeError> {
        let nodes: BTreeMap<u64, BasicNode> = voters
            .iter()
            .map(|member| (member.id, BasicNode::new(&member.address)))
            .collect();
        match self.raft.initialize(nodes).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {
                invalid("this node belongs to a group already")
            }
            Err(RaftError::APIError(InitializeError::NotInMembers(_))) => {
                invalid("this node is not among the first voters")
            }
            Err(RaftError::Fatal(fatal)) => Err(self.explain(&fatal).into()),
        }
    }

    /// Adds a node that receives the log and has no vote. Does nothing where it is a member at
    /// that address already.
    ///
    /// # Errors
    /// [`ChangeError::Invalid`] where the id is a member's at another address, or the address
    /// another member's.
    pub async fn add_learner(&self, member: Member) -> Result<(), ChangeError> {
        let _changing = self.begin_change().await?;
        let members = self.members_now();
        match members.get_node(&member.id) {
            Some(known) if known.addr == member.address => return Ok(()),
            Some(known) => return invalid(format!("node {} is at {}", member.id, known.addr)),
            None => refuse_taken(&members, &member)?,
        }
        let node = BasicNode::new(&member.address);
        self.change(Changes::AddNodes([(member.id, node)].into()))
            .await
    }

    /// Makes a learner a voter once it has nearly all of the log. Does nothing to a voter.
    ///
    /// # Errors
    /// [`ChangeError::Late`] where it has not caught up within a minute, or the voters that can be
    /// reached would be no quorum; [`ChangeError::Invalid`] where it is no member.
    pub async fn promote(&self, id: u64) -> Result<(), ChangeError> {
        self.promote_within(id, Duration::from_millis(CATCH_UP_MS_MAX))
            .await
    }

    pub(in crate::raft) async fn promote_within(
        &self,
        id: u64,
        patience: Duration,
    ) -> Result<(), ChangeError> {
        self.refuse_elsewhere()?;
        if self.members_now().get_node(&id).is_none() {
            return invalid(format!("node {id} is no member"));
        }
        // Others may change the membership while this one waits.
        self.wait_caught_up(id, patience).await?;
        let _changing = self.begin_change().await?;
        let members = self.members_now();
        if members.voter_ids().any(|voter| voter == id) {
            return Ok(());
        }
        let voters = members.voter_ids().chain([id]).collect();
        self.refuse_lost_quorum(voters).await?;
        self.change(Changes::AddVoterIds([id].into())).await
    }

    /// Takes a voter its vote; it goes on receiving the log. Does nothing to a learner. The leader
    /// hands over first.
    ///
    /// # Errors
    /// [`ChangeError::Invalid`] where it is no member or the only voter; [`ChangeError::Late`]
    /// where the voters that can be reached would be no quorum; [`Unavailable::NotLeader`] where it
    /// was the leader: ask the new one.
    pub async fn demote(&self, id: u64) -> Result<(), ChangeError> {
        let changing = self.begin_change().await?;
        self.take_vote(id, &changing).await
    }

    /// Removes a node, voter or learner. The leader hands over first. A node that can be reached
    /// hears that it has no vote any more; one that cannot does no harm when it comes back, as it
    /// gets no pre-vote from those who hear their leader, nor from those who have a newer log. Its
    /// id must not be used again.
    ///
    /// # Errors
    /// As [`demote`](Group::demote).
    pub async fn remove(&self, id: u64) -> Result<(), ChangeError> {
        let changing = self.begin_change().await?;
        self.take_vote(id, &changing).await?;
        self.let_know(id).await?;
        self.change(Changes::RemoveNodes([id].into())).await
    }

    /// Takes note that a member is at another address. Does nothing where it is there already.
    ///
    /// # Errors
    /// [`ChangeError::Invalid`] where it is no member, or the address another member's.
    pub async fn replace_address(&self, member: Member) -> Result<(), ChangeError> {
        let _changing = self.begin_change().await?;
        let members = self.members_now();
        match members.get_node(&member.id) {
            None => return invalid(format!("node {} is no member", member.id)),
            Some(known) if known.addr == member.address => return Ok(()),
            Some(_) => refuse_taken(&members, &member)?,
        }
        let node = BasicNode::new(&member.address);
        self.change(Changes::SetNodes([(member.id, node)].into()))
            .await
    }

    /// Takes the one place of who changes the membership, on a leader, and completes what a
    /// failure may have left.
    pub(super) async fn begin_change(&self) -> Result<Changing, ChangeError> {
        self.refuse_elsewhere()?;
        let busy = Unavailable::Busy("another change of membership is under way");
        let changing = self.conduct.begin_change().ok_or(busy)?;
        if self.members_now().get_joint_config().len() > 1 {
            self.complete_joint().await?;
        }
        Ok(changing)
    }

    /// Refuses what only the leader can do.
    fn refuse_elsewhere(&self) -> Result<(), Unavailable> {
        if self.stopping.get() || self.failure().is_some() {
            return Err(self.down());
        }
        match self.raft.as_leader() {
            Ok(_leader) => Ok(()),
            Err(forward) => Err(types::not_leader(&forward)),
        }
    }

    /// Leaves a joint configuration for the newer of its two.
    pub(super) async fn complete_joint(&self) -> Result<(), ChangeError> {
        self.change(Changes::AddVoterIds(BTreeSet::new())).await
    }

    async fn take_vote(&self, id: u64, changing: &Changing) -> Result<(), ChangeError> {
        let members = self.members_now();
        if members.get_node(&id).is_none() {
            return invalid(format!("node {id} is no member"));
        }
        if !members.voter_ids().any(|voter| voter == id) {
            return Ok(());
        }
        let rest: BTreeSet<u64> = members.voter_ids().filter(|voter| *voter != id).collect();
        if rest.is_empty() {
            return invalid(format!("node {id} is the only voter"));
        }
        if id == *self.raft.node_id() {
            let next = self.hand_over(None, changing).await?;
            let (leader, address) = (next.id, next.address);
            return Err(Unavailable::NotLeader { leader, address }.into());
        }
        self.refuse_lost_quorum(rest).await?;
        self.change(Changes::RemoveVoters([id].into())).await
    }

    pub(super) fn members_now(&self) -> Arc<StoredMembership> {
        let metrics = self.raft.metrics();
        metrics.borrow_watched().membership_config.clone()
    }

    /// Makes a change, through a joint configuration where votes change.
    async fn change(&self, changes: Changes) -> Result<(), ChangeError> {
        let before = *self.members_now().log_id();
        let patience = Duration::from_millis(MEMBERSHIP_CHANGE_MS_MAX);
        let change = self.raft.change_membership(changes, true);
        let refusal = match Glommio::timeout(patience, change).await {
            Ok(Ok(_committed)) => return Ok(()),
            Ok(Err(RaftError::APIError(error))) => refused(&error),
            Ok(Err(RaftError::Fatal(fatal))) => self.explain(&fatal).into(),
            Err(_elapsed) => Unavailable::Uncertain.into(),
        };
        // A joint configuration may be there already, whatever became of the second step.
        if *self.members_now().log_id() == before {
            return Err(refusal);
        }
        Err(Unavailable::Uncertain.into())
    }
}

fn refused(error: &ClientWriteError<Types>) -> ChangeError {
    match error {
        ClientWriteError::ForwardToLeader(forward) => types::not_leader(forward).into(),
        ClientWriteError::LogEntryDiscarded(_) => Unavailable::Uncertain.into(),
        ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_)) => {
            Unavailable::Busy("another change of membership is under way").into()
        }
        other => ChangeError::Invalid(other.to_string()),
    }
}

/// Two members at one address would be one node that votes twice.
fn refuse_taken(members: &StoredMembership, member: &Member) -> Result<(), ChangeError> {
    let mut others = members.nodes().filter(|(id, _)| **id != member.id);
    match others.find(|(_, node)| node.addr == member.address) {
        Some((id, _)) => invalid(format!("{} is the address of node {id}", member.address)),
        None => Ok(()),
    }
}

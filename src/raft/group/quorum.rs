//! Who leads, whether a quorum is there, and whether this member may vote.

use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{AsyncRuntime, ServerState};

use super::{Group, Member};
use crate::error::Unavailable;
use crate::log::Position;
use crate::raft::runtime::Glommio;
use crate::raft::types::LogId;

/// Who leads as far as a member knows. Cheap to take and to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    /// The term's leader. It stays here until the next term, also where it is gone.
    pub leader: Option<u64>,
}

impl Group {
    /// Who leads, as far as this member knows. Costs a few loads: fit to be asked once a turn.
    pub fn leadership(&self) -> Leadership {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        Leadership {
            term: server.vote.leader_id.term,
            leader: server.current_leader,
        }
    }

    /// Resolves as soon as the leadership is another than `known`, to the new one.
    ///
    /// # Errors
    /// Where the group stopped instead.
    pub async fn leadership_changed(&self, known: Leadership) -> Result<Leadership, Unavailable> {
        let mut server = self.raft.server_metrics();
        loop {
            let now = self.leadership();
            if now != known {
                return Ok(now);
            }
            server.changed().await.map_err(|_| self.down())?;
        }
    }

    /// The leader with its address, where it is known and a member. Copies the address.
    pub fn leader(&self) -> Option<Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let id = metrics.current_leader?;
        let node = metrics.membership_config.get_node(&id)?;
        Some(Member {
            id,
            address: node.addr.clone(),
        })
    }

    /// Whether a quorum is there as far as this member can know: on the leader, whether one has
    /// answered within the longest election timeout; on a follower, whether the leader was heard
    /// within it. Costs a few loads and a look at the clock.
    ///
    /// Where it is false, nothing proposed now is committed soon, and reads other than stale ones
    /// will fail.
    pub fn has_quorum(&self) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        match metrics.state {
            ServerState::Leader => {
                let acked = metrics.last_quorum_acked.map(|at| *at);
                self.is_sole_voter() || self.conduct.is_recent(acked)
            }
            ServerState::Follower | ServerState::Learner => {
                self.conduct.is_recent(self.conduct.leader_heard.get())
            }
            ServerState::Candidate | ServerState::Shutdown => false,
        }
    }

    /// For how many ms this member has not heard of a leader; 0 on the leader itself, `None` where
    /// it never did. For people: how old the state here is does not follow from it, as what is
    /// heard may have been on its way for long.
    pub fn last_contact_ms(&self) -> Option<u64> {
        if self.is_leader() {
            return Some(0);
        }
        let heard = self.conduct.leader_heard.get()?;
        Some(heard.elapsed().as_millis() as u64)
    }

    /// Whether this node votes and stands for election; kept nowhere, it is the starter's to say.
    ///
    /// A node that may have lost entries that it had acknowledged (a machine crash at a durability
    /// below `high`) must not vote before it has caught up with a leader: together with others that
    /// never had them it could elect one that lacks them too. It follows and acknowledges as usual.
    /// Being the only voter is the exception: there is nobody to catch up with.
    pub fn may_vote(&self, may: bool) {
        self.conduct.may_vote.set(may);
        self.conduct.vote_floor.set(None);
        self.stand_as_allowed();
    }

    /// Lets a node that may not vote do so for candidates whose log reaches `end`, and vote as
    /// others do once its own log does.
    ///
    /// `end` is the largest [`log_end`](Group::log_end) of all voters that this node knows, each
    /// asked after this node's start: then who has that has everything that anybody still has.
    /// Without this, a group in which no quorum of others is left (all lost power, or one of two
    /// did) would wait for ever for a leader to catch up with.
    pub fn may_vote_for(&self, end: Option<Position>) {
        if self.conduct.may_vote.get() {
            return;
        }
        let Some(end) = end.map(LogId::from) else {
            return self.may_vote(true);
        };
        self.conduct.vote_floor.set(Some(end));
        let group = self.clone();
        drop(Glommio::spawn(async move {
            let mut data = group.raft.data_metrics();
            // Another word on who votes ends this one.
            while group.conduct.vote_floor.get() == Some(end) {
                if data.borrow_watched().last_log >= Some(end) {
                    return group.may_vote(true);
                }
                if data.changed().await.is_err() {
                    return;
                }
            }
        }));
    }

    /// Where this node's log ends.
    pub fn log_end(&self) -> Option<Position> {
        let data = self.raft.data_metrics();
        let data = data.borrow_watched();
        data.last_log.map(Position::from)
    }

    /// Whether this node votes as others do, and would take the lead. See
    /// [`may_vote`](Group::may_vote); for a moment after a restart it does not either.
    pub fn may_answer_votes(&self) -> bool {
        self.conduct.votes()
    }

    /// Lets openraft stand for election, or keeps it from that.
    pub(super) fn stand_as_allowed(&self) {
        let stands = self.conduct.votes() || self.is_sole_voter();
        self.raft.runtime_config().elect(stands);
    }

    /// Whether no other vote than this node's counts.
    pub(super) fn is_sole_voter(&self) -> bool {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        let configs = server.membership_config.get_joint_config();
        let alone = |config: &std::collections::BTreeSet<u64>| {
            config.len() == 1 && config.contains(&server.id)
        };
        !configs.is_empty() && configs.iter().all(alone)
    }

    /// How long a leader may count on a quorum that answered.
    pub(super) fn lease(&self) -> Duration {
        self.conduct.lease
    }
}

//! How a group stands, for `INFO raft` and for people.

use std::fmt;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::{Group, Member};

/// What a member does in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Receives the log, has no vote.
    Learner,
    Follower,
    Candidate,
    Leader,
    /// Stopped, or failed.
    Down,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Learner => "learner",
            Role::Follower => "follower",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
            Role::Down => "down",
        })
    }
}

/// A member's view of its group. An index is `None` where there is no such entry yet; the very
/// first entry has index 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub node_id: u64,
    pub role: Role,
    pub term: u64,
    /// The leader, as far as this member knows.
    pub leader: Option<u64>,
    pub last_index: Option<u64>,
    pub committed_index: Option<u64>,
    pub applied_index: Option<u64>,
    /// The end of the newest checkpoint.
    pub checkpoint_index: Option<u64>,
    /// The last entry that the log no longer has.
    pub purged_index: Option<u64>,
    pub voters: Vec<Member>,
    pub learners: Vec<Member>,
    /// Why this member no longer works.
    pub failure: Option<String>,
}

impl Group {
    /// How this group stands. Copies the membership: for people, not for a hot path.
    pub fn state(&self) -> State {
        let failure = self.failure();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let member = |id: &u64| Member {
            id: *id,
            address: membership
                .get_node(id)
                .map_or(String::new(), |node| node.addr.clone()),
        };
        let role = match metrics.state {
            _ if failure.is_some() => Role::Down,
            ServerState::Learner => Role::Learner,
            ServerState::Follower => Role::Follower,
            ServerState::Candidate => Role::Candidate,
            ServerState::Leader => Role::Leader,
            ServerState::Shutdown => Role::Down,
        };
        State {
            node_id: metrics.id,
            role,
            term: metrics.current_term,
            leader: metrics.current_leader,
            last_index: metrics.last_log_index,
            committed_index: metrics.local_committed.map(|id| id.index),
            applied_index: metrics.last_applied.map(|id| id.index),
            checkpoint_index: metrics.snapshot.map(|id| id.index),
            purged_index: metrics.purged.map(|id| id.index),
            voters: membership.voter_ids().map(|id| member(&id)).collect(),
            learners: membership.learner_ids().map(|id| member(&id)).collect(),
            failure,
        }
    }
}

//! How a group stands, for `INFO raft` and for people.

use std::fmt;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;

use super::followers::{answered, matched};
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

/// One member of a group as another sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberState {
    pub member: Member,
    pub is_voter: bool,
    /// The last entry that it is known to have. Only the leader knows of others.
    pub matched_index: Option<u64>,
    /// For how many ms it has not answered the leader, or, where it leads, been heard; 0 for the
    /// member that is asked. `None` where it never did, and between followers.
    pub last_contact_ms: Option<u64>,
    /// Whether it was in contact within the longest election timeout.
    pub is_reachable: bool,
}

/// A member's view of its group. An index is `None` where there is no such entry yet; the very
/// first entry has index 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub node_id: u64,
    pub role: Role,
    pub term: u64,
    /// Terms that began since this member started: elections, by whomever.
    pub terms_begun: u64,
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
    /// All voters and learners by id.
    pub members: Vec<MemberState>,
    /// See [`Group::has_quorum`] and [`Group::may_answer_votes`].
    pub has_quorum: bool,
    pub votes: bool,
    /// Whether a change of votes is half made.
    pub is_changing: bool,
    /// Why this member no longer works.
    pub failure: Option<String>,
}

impl Group {
    /// How this group stands. Copies the membership: for people, not for a hot path.
    pub fn state(&self) -> State {
        let failure = self.failure();
        let (has_quorum, votes) = (self.has_quorum(), self.may_answer_votes());
        let members = self.member_states();
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
            terms_begun: metrics
                .current_term
                .saturating_sub(self.conduct.term_at_start),
            leader: metrics.current_leader,
            last_index: metrics.last_log_index,
            committed_index: metrics.local_committed.map(|id| id.index),
            applied_index: metrics.last_applied.map(|id| id.index),
            checkpoint_index: metrics.snapshot.map(|id| id.index),
            purged_index: metrics.purged.map(|id| id.index),
            voters: membership.voter_ids().map(|id| member(&id)).collect(),
            learners: membership.learner_ids().map(|id| member(&id)).collect(),
            members,
            has_quorum,
            votes,
            is_changing: membership.get_joint_config().len() > 1,
            failure,
        }
    }

    fn member_states(&self) -> Vec<MemberState> {
        let heard_ms = self.last_contact_ms();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
        let is_leader = metrics.state.is_leader();
        let lease_ms = self.lease().as_millis() as u64;
        let state = |id: u64, address: &str| {
            let (own, leads) = (id == metrics.id, metrics.current_leader == Some(id));
            let last_contact_ms = match is_leader {
                _ if own => Some(0),
                true => answered(&metrics, id).map(|at| at.elapsed().as_millis() as u64),
                false if leads => heard_ms,
                false => None,
            };
            let matched_index = match own {
                true => metrics.last_log_index,
                false => matched(&metrics, id).map(|at| at.index),
            };
            let address = address.to_string();
            MemberState {
                member: Member { id, address },
                is_voter: voters.contains(&id),
                matched_index,
                last_contact_ms,
                is_reachable: last_contact_ms.is_some_and(|ms| ms < lease_ms),
            }
        };
        let nodes = metrics.membership_config.nodes();
        nodes.map(|(id, node)| state(*id, &node.addr)).collect()
    }
}

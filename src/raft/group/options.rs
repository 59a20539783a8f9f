//! What a member of a group is told at its start.

use std::sync::Arc;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};

use crate::error::Fatal;
use crate::limits::{
    PROPOSALS_QUEUED_MAX, RAFT_NOTIFICATIONS_QUEUED_MAX, REPLICATE_ENTRIES_MAX,
    STATE_MACHINE_QUEUED_MAX,
};

/// A node of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: u64,
    /// Where its clients and, derived from that, its peers reach it.
    pub address: String,
}

/// What a member of a group needs to know to start.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// This node. An id must never come back without the log and the vote that it left.
    pub node_id: u64,
    /// The first voters, used only where this node's log is empty; every one of them is given the
    /// same list. Empty: this node waits until a leader adds it, or for
    /// [`initialize`](super::Group::initialize).
    pub first_voters: Vec<Member>,
    /// How often a leader tells its followers that it is there; a fifth of it is the period of
    /// the group's clock. It has to be longer than a round trip: a heartbeat that is not answered
    /// before the next one is due does not count. A group of one node has no clock at all.
    pub heartbeat_ms: u64,
    /// Bounds of the time without a leader after which a follower stands for election. The upper
    /// one is also how long a leader may count on a quorum that answered, and how long a quorum
    /// that stays silent leaves it the lead.
    pub election_ms_min: u64,
    pub election_ms_max: u64,
    /// Whether this node votes and stands for election from its start on; see
    /// [`may_vote`](super::Group::may_vote). A node that is the only voter does in any case.
    pub may_vote: bool,
}

impl GroupOptions {
    /// A member of a cluster, at the default times: the next leader is known half a second to a
    /// second after the last one has fallen silent.
    pub fn member(node_id: u64, first_voters: Vec<Member>) -> Self {
        GroupOptions {
            node_id,
            first_voters,
            heartbeat_ms: 50,
            election_ms_min: 300,
            election_ms_max: 600,
            may_vote: true,
        }
    }

    /// A group of one voter, that others may join later.
    pub fn single(node_id: u64, address: impl Into<String>) -> Self {
        let address = address.into();
        let alone = Member {
            id: node_id,
            address,
        };
        Self::member(node_id, vec![alone])
    }

    /// How long a leader may count on a quorum that answered.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_millis(self.election_ms_max)
    }

    /// `stands` says whether this node stands for election from the start on.
    pub(super) fn config(&self, stands: bool) -> Result<Arc<Config>, Fatal> {
        let config = Config {
            cluster_name: "quorate".to_string(),
            heartbeat_interval: self.heartbeat_ms,
            heartbeat_min_interval: Some(self.heartbeat_ms),
            election_timeout_min: self.election_ms_min,
            election_timeout_max: self.election_ms_max,
            enable_elect: stands,
            enable_pre_vote: Some(true),
            // Without it, a leader that has lost its quorum can keep others from electing one.
            quorum_loss_probe_interval: Some(2 * self.election_ms_max + self.election_ms_min),
            // A restarted leader stands for election again: only that tells it what is committed.
            enable_leader_restore: Some(false),
            // Below `high`, a machine crash takes acknowledged entries from a follower's log. The
            // leader sends them again; until then that node must not vote, see `may_vote`.
            allow_log_reversion: Some(true),
            // A follower that comes back is behind by what it has missed, not by what it waits.
            backoff: self.backoff(),
            // Checkpoints are made by bytes and time, by the node.
            snapshot_policy: SnapshotPolicy::Never,
            // What goes is said each time, see `retention`.
            max_in_snapshot_log_to_keep: u64::MAX,
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

    /// How long replication to an unreachable node waits before it tries again, time after time.
    fn backoff(&self) -> String {
        let (first, last) = (self.heartbeat_ms, self.election_ms_max);
        format!("{first}ms {}ms ..{last}ms", 2 * first)
    }
}

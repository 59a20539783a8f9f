//! How a member stands in its group, as often as anybody likes to know.

use openraft::async_runtime::watch::WatchReceiver;

use super::Group;
use crate::address::NodeAddress;

/// A member's own view, cheap to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub term: u64,
    /// Who leads in this term, as far as this member knows.
    pub leader: Option<u64>,
    pub leads: bool,
    /// It is the group's only member and leads, with an entry of its own term applied (and so
    /// everything before it): nobody else can have acknowledged a write. So it stays after a
    /// failure.
    pub alone: bool,
    /// It no longer works.
    pub failed: bool,
    /// A quorum is there, as far as this member can know.
    pub has_quorum: bool,
}

impl Group {
    /// Where a member is reached.
    pub fn address_of(&self, id: u64) -> Option<NodeAddress> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.get_node(&id)?.addr.parse().ok()
    }

    /// How this member stands. A few dozen nanoseconds.
    pub fn standing(&self) -> Standing {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let works = metrics.running_state.is_ok();
        let leads = works && metrics.state.is_leader();
        let only = || metrics.membership_config.membership().nodes().count() == 1;
        Standing {
            term: metrics.current_term,
            leader: metrics.current_leader.filter(|_| works),
            leads,
            failed: !works,
            has_quorum: self.has_quorum(),
            alone: (leads || !works)
                && metrics
                    .last_applied
                    .is_some_and(|applied| applied.leader_id.term == metrics.current_term)
                && only(),
        }
    }
}

//! What a leader knows of its followers, and waiting for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;

use super::Group;
use super::membership::ChangeError;
use crate::limits::CAUGHT_UP_ENTRIES_MAX;
use crate::raft::types::{LogId, Types};

impl Group {
    /// Gives a node that can be reached the time to receive the change that took its vote.
    pub(super) async fn let_know(&self, id: u64) -> Result<(), ChangeError> {
        let changed = self.members_now().log_id().map(|at| at.index);
        let lease = self.lease();
        let informed = |now: &RaftMetrics<Types>| {
            let gone = !is_reachable(now, id, lease);
            (gone || matched(now, id).map(|at| at.index) >= changed).then_some(())
        };
        self.watch_until(Instant::now() + lease, informed).await?;
        Ok(())
    }

    /// Waits until `id` has nearly all of the log, or this node no longer leads.
    pub(super) async fn wait_caught_up(
        &self,
        id: u64,
        patience: Duration,
    ) -> Result<(), ChangeError> {
        let caught_up = |now: &RaftMetrics<Types>| {
            let last = now.last_log_index.unwrap_or(0);
            let near = matched(now, id)
                .is_some_and(|at| at.index.saturating_add(CAUGHT_UP_ENTRIES_MAX) >= last);
            (near || !now.state.is_leader()).then_some(())
        };
        let deadline = Instant::now() + patience;
        if self.watch_until(deadline, caught_up).await?.is_some() {
            return Ok(());
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let has = matched(&metrics, id).map_or("nothing".to_string(), |at| at.index.to_string());
        let why = format!(
            "node {id} has not caught up: it has {has} of a log that ends at {}",
            metrics.last_log_index.unwrap_or(0)
        );
        Err(ChangeError::Late(why))
    }

    /// Refuses voters of whom no quorum can be reached: the group would stand still with them. A
    /// new leader is given the time to hear of its followers.
    pub(super) async fn refuse_lost_quorum(
        &self,
        voters: BTreeSet<u64>,
    ) -> Result<(), ChangeError> {
        let lease = self.lease();
        let mut reached = 0;
        let quorum = |now: &RaftMetrics<Types>| {
            reached = voters
                .iter()
                .filter(|id| is_reachable(now, **id, lease))
                .count();
            (reached > voters.len() / 2).then_some(())
        };
        match self.watch_until(Instant::now() + lease, quorum).await? {
            Some(()) => Ok(()),
            None => Err(ChangeError::Late(format!(
                "of the {} voters that there would be, only {reached} can be reached",
                voters.len()
            ))),
        }
    }
}

/// How much of the leader's log `id` has, as far as the leader knows.
pub(super) fn matched(leader: &RaftMetrics<Types>, id: u64) -> Option<LogId> {
    *leader.replication.as_ref()?.get(&id)?
}

/// When the newest request was sent to `id` that it has answered, as far as the leader knows.
pub(super) fn answered(leader: &RaftMetrics<Types>, id: u64) -> Option<Instant> {
    let heard = leader.heartbeat.as_ref()?.get(&id)?;
    heard.map(|at| *at)
}

/// Whether `id` has answered the leader lately; the leader reaches itself.
pub(super) fn is_reachable(leader: &RaftMetrics<Types>, id: u64, lease: Duration) -> bool {
    id == leader.id || answered(leader, id).is_some_and(|at| at.elapsed() < lease)
}

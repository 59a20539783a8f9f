//! What a leader knows of its followers, and waiting for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;

use super::Group;
use super::membership::ChangeError;
use crate::error::Unavailable;
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

impl Group {
    /// What the other members have, as far as this one knows; `None` where it does not lead.
    pub fn copies(&self) -> Option<Vec<MemberCopy>> {
        let metrics = self.raft.metrics();
        copies_of(&metrics.borrow_watched())
    }

    /// As [`copies`](Group::copies), once `enough` says so of it or, at the latest, at `deadline`. It
    /// is asked whenever something has changed.
    ///
    /// # Errors
    /// Where this member does not lead, or the group stopped.
    pub async fn copies_once(
        &self,
        deadline: Instant,
        mut enough: impl FnMut(&[MemberCopy]) -> bool,
    ) -> Result<Vec<MemberCopy>, Unavailable> {
        let ready = |now: &RaftMetrics<Types>| match copies_of(now) {
            Some(copies) => enough(&copies).then_some(Some(copies)),
            None => Some(None),
        };
        let found = self.watch_until(deadline, ready).await?;
        let found = found.unwrap_or_else(|| self.copies());
        found.ok_or(Unavailable::NoLeader)
    }
}

/// What a leader knows of another member's copy of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberCopy {
    pub id: u64,
    pub is_voter: bool,
    /// The last entry that it has; on disk, where the entry was proposed to be synced.
    pub matched_index: Option<u64>,
    /// When the newest request was sent that it has answered.
    pub answered: Option<Instant>,
}

impl MemberCopy {
    pub fn has(&self, index: u64) -> bool {
        self.matched_index >= Some(index)
    }
}

fn copies_of(now: &RaftMetrics<Types>) -> Option<Vec<MemberCopy>> {
    if !now.state.is_leader() || now.running_state.is_err() {
        return None;
    }
    let membership = &now.membership_config;
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let others = membership.nodes().filter(|(id, _)| **id != now.id);
    let copies = others.map(|(id, _)| MemberCopy {
        id: *id,
        is_voter: voters.contains(id),
        matched_index: matched(now, *id).map(|at| at.index),
        answered: answered(now, *id),
    });
    Some(copies.collect())
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

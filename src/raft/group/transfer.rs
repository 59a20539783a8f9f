//! Handing leadership over to another node.

use std::time::Instant;

use openraft::metrics::RaftMetrics;

use super::conduct::Changing;
use super::followers::{answered, is_reachable, matched};
use super::membership::{ChangeError, invalid};
use super::{Group, Member};
use crate::raft::types::Types;

impl Group {
    /// Hands leadership over to the voter `to`, or to the one that has the most of the log, and
    /// resolves to the new leader. What is proposed meanwhile is refused as without a leader, for
    /// a few round trips where the successor is up to date.
    ///
    /// # Errors
    /// [`ChangeError::Invalid`] where `to` is no other voter; [`ChangeError::Late`] where it
    /// cannot be reached or did not take over: then this node leads on, or any of them.
    pub async fn transfer(&self, to: Option<u64>) -> Result<Member, ChangeError> {
        let changing = self.begin_change().await?;
        self.hand_over(to, &changing).await
    }

    /// `_changing` ends the pause of proposals when the caller drops it, at the latest.
    pub(super) async fn hand_over(
        &self,
        to: Option<u64>,
        _changing: &Changing,
    ) -> Result<Member, ChangeError> {
        let to = self.successor(to).await?;
        self.conduct.handing_over.set(true);
        let handed = self.hand_over_to(to).await;
        self.conduct.handing_over.set(false);
        handed
    }

    async fn hand_over_to(&self, to: u64) -> Result<Member, ChangeError> {
        // openraft sends its word once only, and a node that lacks an entry then does nothing.
        let complete = |now: &RaftMetrics<Types>| {
            let has = matched(now, to).map(|at| at.index);
            (has >= now.last_log_index || !now.state.is_leader()).then_some(())
        };
        let deadline = Instant::now() + self.conduct.handover;
        if self.watch_until(deadline, complete).await?.is_none() {
            let why = format!("node {to} does not keep up with the log");
            return Err(ChangeError::Late(why));
        }
        self.conduct.gave_up_lease_in.set(self.standing().term);
        let triggered = self.raft.trigger().transfer_leader(to).await;
        triggered.map_err(|fatal| self.explain(&fatal))?;
        let me = *self.raft.node_id();
        let taken_over = |now: &RaftMetrics<Types>| {
            let leader = now.current_leader.filter(|leader| *leader != me)?;
            let address = now.membership_config.get_node(&leader)?.addr.clone();
            let id = leader;
            Some(Member { id, address })
        };
        let deadline = Instant::now() + 2 * self.lease();
        let late = || ChangeError::Late(format!("node {to} has not taken over yet"));
        self.watch_until(deadline, taken_over)
            .await?
            .ok_or_else(late)
    }

    /// Who takes over: `to`, or the voter that has the most of the log of those that can be
    /// reached. A new leader is given the time to hear of its followers.
    async fn successor(&self, to: Option<u64>) -> Result<u64, ChangeError> {
        let me = *self.raft.node_id();
        let voters: Vec<u64> = self.members_now().voter_ids().collect();
        match to {
            Some(to) if to == me => return invalid("this node leads already"),
            Some(to) if !voters.contains(&to) => return invalid(format!("node {to} is no voter")),
            _ => {}
        }
        let lease = self.lease();
        let best = |now: &RaftMetrics<Types>| {
            let fits = |voter: &&u64| **voter != me && to.is_none_or(|to| to == **voter);
            let candidates = voters.iter().filter(fits);
            let reachable = candidates.filter(|voter| is_reachable(now, **voter, lease));
            let best =
                reachable.max_by_key(|voter| (matched(now, **voter), answered(now, **voter)));
            best.copied()
        };
        let late = || match to {
            Some(to) => ChangeError::Late(format!("node {to} cannot be reached")),
            None => ChangeError::Late("no other voter can be reached".to_string()),
        };
        self.watch_until(Instant::now() + lease, best)
            .await?
            .ok_or_else(late)
    }
}

//! What a read has to wait for.

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Instant;

use futures::future::{Either, select};
use openraft::AsyncRuntime;
use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::metrics::RaftMetrics;

use super::Group;
use crate::error::Unavailable;
use crate::raft::network::Mark;
use crate::raft::runtime::Glommio;
use crate::raft::types::{self, Types};

impl Group {
    /// The index that has to be applied where a linearizable read is served, on this node or on
    /// any other ([`wait_applied`](Group::wait_applied)): what is read behind it is no older than
    /// what was acknowledged anywhere before this was called. At once for a group of one node, a
    /// round to a quorum otherwise, and one round serves all who wait for it. Still, one call for
    /// many reads costs less than many calls.
    ///
    /// # Errors
    /// [`Unavailable::NotLeader`] where another node leads, [`Unavailable::NoLeader`] where none is
    /// known or no quorum answered within the longest election timeout what was sent to it since
    /// this was called.
    pub async fn read_index(&self) -> Result<u64, Unavailable> {
        match self.index_alone() {
            Some(index) => Ok(index),
            None => self.read_round().await,
        }
    }

    /// [`read_index`](Group::read_index) without the round, where a quorum has answered recently
    /// enough that no other leader can have been elected since. With the round for the rest of a term
    /// in which this node has asked another one to take over.
    ///
    /// That holds as long as no clock of the cluster runs away from the others', by more than the
    /// time between the leader's sending and a follower's receiving: for those who trust theirs.
    ///
    /// # Errors
    /// As [`read_index`](Group::read_index); [`Unavailable::NoLeader`] at once where the lease has
    /// run out.
    pub async fn read_lease(&self) -> Result<u64, Unavailable> {
        match self.index_alone() {
            Some(index) => Ok(index),
            None if self.has_asked_for_a_successor() => self.read_round().await,
            None if !self.holds_lease() => Err(Unavailable::NoLeader),
            None => self.linearize(ReadPolicy::LeaseRead).await,
        }
    }

    /// The last entry applied here. What is applied has been handed to the applier.
    pub fn applied_index(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.last_applied.map(|id| id.index)
    }

    /// Waits until `index` is applied here.
    ///
    /// # Errors
    /// [`Unavailable::Busy`] where it is not by `deadline`; where the group stopped.
    pub async fn wait_applied(&self, index: u64, deadline: Instant) -> Result<(), Unavailable> {
        if self.applied_index() >= Some(index) {
            return Ok(());
        }
        let applied = |now: &RaftMetrics<Types>| {
            let applied = now.last_applied.map(|id| id.index);
            (applied >= Some(index)).then_some(())
        };
        let behind = Unavailable::Busy("this node has not caught up in time");
        self.watch_until(deadline, applied).await?.ok_or(behind)
    }

    /// Whether a quorum has promised, to this node, to grant nobody else a vote yet.
    fn holds_lease(&self) -> bool {
        let answered = &self.conduct.answered;
        self.is_quorum(|voter| self.conduct.is_recent(answered.at(voter)))
    }

    /// A round to a quorum, held to this node's own account of what was answered: openraft begins
    /// it, and may take it for answered too early (see [`Answered`]). Where it is not mistaken the
    /// answers it heard are in that account when it is done, and nothing is waited for.
    ///
    /// A quorum of which each has obeyed this node since the call had elected nobody else by then.
    ///
    /// [`Answered`]: crate::raft::network::Answered
    async fn read_round(&self) -> Result<u64, Unavailable> {
        let mark = self.conduct.answered.mark();
        let deadline = Instant::now() + self.lease();
        let index = self.linearize(ReadPolicy::ReadIndex).await?;
        if !self.is_confirmed(mark) {
            let confirmed = Glommio::timeout_at(deadline, self.confirmed(mark));
            confirmed.await.unwrap_or(Err(Unavailable::NoLeader))?;
        }
        Ok(index)
    }

    async fn confirmed(&self, mark: Mark) -> Result<(), Unavailable> {
        let mut news = self.conduct.answered.news();
        let mut server = self.raft.server_metrics();
        while !self.is_confirmed(mark) {
            if !self.is_leader() {
                return Err(Unavailable::NoLeader);
            }
            let (answer, change) = (pin!(news.next()), pin!(server.changed()));
            if let Either::Right((Err(_stopped), _)) = select(answer, change).await {
                return Err(self.down());
            }
        }
        Ok(())
    }

    /// Whether a quorum has obeyed what was sent behind `mark`.
    fn is_confirmed(&self, mark: Mark) -> bool {
        #[cfg(feature = "sim")]
        if crate::rt::sim::has(crate::rt::sim::Bug::BelieveOldAnswers) {
            return true;
        }
        let answered = &self.conduct.answered;
        self.is_quorum(|voter| answered.is_behind(voter, mark))
    }

    /// Whether those voters of whom `counts` holds are a quorum together with this node.
    fn is_quorum(&self, counts: impl Fn(u64) -> bool) -> bool {
        let server = self.raft.server_metrics();
        let server = server.borrow_watched();
        let counts = |voter: &&u64| **voter == server.id || counts(**voter);
        let configs = server.membership_config.get_joint_config();
        let is_quorum =
            |voters: &BTreeSet<u64>| voters.iter().filter(counts).count() > voters.len() / 2;
        !configs.is_empty() && configs.iter().all(is_quorum)
    }

    fn has_asked_for_a_successor(&self) -> bool {
        self.conduct.gave_up_lease_in.get() == self.standing().term
    }

    async fn linearize(&self, policy: ReadPolicy) -> Result<u64, Unavailable> {
        let linearizer = self.raft.get_read_linearizer(policy).await;
        let linearizer = linearizer.map_err(|error| match error {
            RaftError::Fatal(fatal) => self.explain(&fatal),
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                types::not_leader(&forward)
            }
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => Unavailable::NoLeader,
        })?;
        Ok(linearizer.read_log_id().index())
    }

    /// The index to read at where nobody else can have acknowledged a write: this node is the only
    /// one of the group, leads, and has applied an entry of its own term, so everything before it.
    fn index_alone(&self) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let alone = metrics.membership_config.nodes().count() == 1
            && metrics.membership_config.voter_ids().eq([metrics.id]);
        let applied = metrics.last_applied?;
        let serves = metrics.running_state.is_ok() && metrics.state.is_leader();
        let own = applied.leader_id.term == metrics.current_term;
        (alone && serves && own).then_some(applied.index)
    }

    /// What `ready` makes of the group's standing, as soon as it makes anything of it; `None` where
    /// that is not before `deadline`.
    pub(super) async fn watch_until<T>(
        &self,
        deadline: Instant,
        mut ready: impl FnMut(&RaftMetrics<Types>) -> Option<T>,
    ) -> Result<Option<T>, Unavailable> {
        let mut metrics = self.raft.metrics();
        let watched = async {
            loop {
                if let Some(value) = ready(&metrics.borrow_watched()) {
                    return Ok(value);
                }
                metrics.changed().await?;
            }
        };
        match Glommio::timeout_at(deadline, watched).await {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err::<T, openraft_rt::watch::RecvError>(_stopped)) => Err(self.down()),
            Err(_elapsed) => Ok(None),
        }
    }

    /// Waits until `deadline`, for who comes back to something: a group that stops is not held for
    /// as long.
    ///
    /// # Errors
    /// Where the group stopped before.
    pub(super) async fn rest_until(&self, deadline: Instant) -> Result<(), Unavailable> {
        let mut server = self.raft.server_metrics();
        let stopped = async { while server.changed().await.is_ok() {} };
        match Glommio::timeout_at(deadline, stopped).await {
            Ok(()) => Err(self.down()),
            Err(_elapsed) => Ok(()),
        }
    }
}

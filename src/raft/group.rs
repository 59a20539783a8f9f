//! A Raft group's handle: start it, propose to it, read, change its members, ask how it stands.

mod conduct;
mod followers;
mod install;
mod membership;
mod options;
mod quorum;
mod reads;
mod retention;
mod serve;
mod standing;
mod start;
mod state;
mod transfer;
mod watch;

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures::FutureExt;
use openraft::Raft;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::Fatal as RaftFatal;

use super::applier::{Applier, CheckpointMeta};
use super::machine::Machine;
use super::proposals::Proposals;
use super::types::{LeaderId, Outcome, Proposal, Types};
use crate::error::Unavailable;

use conduct::Conduct;
pub use followers::MemberCopy;
pub use membership::ChangeError;
pub use options::{GroupOptions, Member};
pub use quorum::Leadership;
pub use standing::Standing;
pub use state::{MemberState, Role, State};

/// One member of one Raft group, running on the executor that started it.
///
/// Clones share it. It runs until [`stop`](Group::stop); dropping every clone does not end it.
#[derive(Clone)]
pub struct Group {
    pub(super) raft: Raft<Types, Machine>,
    applier: Rc<dyn Applier>,
    proposals: Rc<Proposals>,
    stopping: Rc<Cell<bool>>,
    conduct: Rc<Conduct>,
}

impl Group {
    /// Hands `payload` to the group and returns at once.
    ///
    /// `Ok` means that this proposal's end will be told: [`Applier::apply`] with `tag`, or
    /// [`Applier::failed`] with it. Proposals of one group are logged in the order they were made.
    /// `sync` says whether it counts on this node only once it is on disk. `tag` is the caller's
    /// and should not repeat among those in flight.
    ///
    /// # Errors
    /// Nothing was proposed and nothing more will be heard of `tag`. [`Unavailable::Busy`] when
    /// too many are in flight, [`Unavailable::NoLeader`] while leadership is handed over,
    /// [`Unavailable::Poisoned`] after a storage failure, [`Unavailable::Stopping`].
    pub fn propose(&self, tag: u64, payload: Bytes, sync: bool) -> Result<(), Unavailable> {
        self.propose_in(self.leadership().term, tag, payload, sync)
    }

    /// As [`propose`](Group::propose), where this node still leads in `term` when the group comes
    /// to it: logged in that term, or not at all.
    ///
    /// # Errors
    /// As [`propose`](Group::propose).
    pub fn propose_in(
        &self,
        term: u64,
        tag: u64,
        payload: Bytes,
        sync: bool,
    ) -> Result<(), Unavailable> {
        if self.stopping.get() {
            return Err(Unavailable::Stopping);
        }
        if self.proposals.is_poisoned() {
            return Err(self.down());
        }
        if self.conduct.handing_over.get() {
            return Err(Unavailable::NoLeader);
        }
        let outcome = Outcome::new(tag, self.proposals.clone());
        let node_id = *self.raft.node_id();
        let proposal = Proposal { payload, sync };
        // The future does nothing but put the proposal into the core's queue: it is ready at its
        // first poll, or the queue is full.
        let handed_over = self.proposals.hand_over(|| {
            let write = self.raft.write(proposal).responder(outcome);
            let write = write.with_leader(LeaderId { term, node_id });
            write.into_future().now_or_never()
        });
        match handed_over {
            Some(Ok(())) => Ok(()),
            Some(Err(fatal)) => Err(self.explain(&fatal)),
            None => Err(Unavailable::Busy("too many proposals in flight")),
        }
    }

    /// Whether this node leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }

    /// Waits until a leader is known and everything that was committed before this node started
    /// is applied here. Before that, state read here may be older than what was acknowledged.
    ///
    /// # Errors
    /// Where the group stopped instead.
    pub async fn wait_leader_and_recovered(&self) -> Result<(), Unavailable> {
        let wait = self.raft.wait(None);
        let led = wait.metrics(|now| now.current_leader.is_some(), "a leader is known");
        led.await.map_err(|_| self.down())?;
        // A node whose whole log is in its checkpoint counts as recovered without any leader: this
        // alone would not do.
        let recovered = self.raft.wait_for_recovery(None).await;
        recovered.map(|_metrics| ()).map_err(|_| self.down())
    }

    /// Has the applier complete a checkpoint, then forgets the log that it covers.
    ///
    /// The log goes soon after this resolves, but for what followers lack that can be reached, see
    /// `retention`; a follower that is further behind receives the checkpoint. One call at a time.
    ///
    /// # Errors
    /// Where the checkpoint could not be completed: the log stays, the group goes on.
    pub async fn checkpoint(&self) -> io::Result<CheckpointMeta> {
        let applied = self.raft.metrics().borrow_watched().last_applied;
        let applied = applied.ok_or_else(|| io::Error::other("nothing is applied yet"))?;
        let meta = self.applier.build_checkpoint(applied.into()).await?;
        // A group that stopped meanwhile purges nothing; the checkpoint stands all the same.
        self.raft.trigger().snapshot().await.ok();
        self.forget_log(meta.position.index).await;
        Ok(meta)
    }

    /// Why this group no longer works, if so: the first storage failure, or a panic.
    pub fn failure(&self) -> Option<String> {
        if let Some(poison) = self.proposals.poisoned() {
            return Some(poison);
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        match &metrics.running_state {
            Ok(()) | Err(RaftFatal::Stopped) => None,
            Err(fatal) => Some(fatal.to_string()),
        }
    }

    /// Stops this member. Proposals in flight fail as uncertain. The log and the vote store are
    /// no longer used once this resolves; syncing the log is left to its owner.
    pub async fn stop(&self) {
        self.stopping.set(true);
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!("raft did not stop cleanly: {error}");
        }
    }

    /// The reason why nothing can be proposed any more.
    fn down(&self) -> Unavailable {
        match self.failure() {
            Some(why) => Unavailable::Poisoned(why),
            None => Unavailable::Stopping,
        }
    }

    fn explain(&self, fatal: &RaftFatal<Types>) -> Unavailable {
        match (self.proposals.poisoned(), fatal) {
            (Some(why), _) => Unavailable::Poisoned(why),
            (None, RaftFatal::Stopped) => Unavailable::Stopping,
            (None, fatal) => Unavailable::Poisoned(fatal.to_string()),
        }
    }
}

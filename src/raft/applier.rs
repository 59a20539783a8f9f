//! The two seams below and above a group: who applies what is agreed on, and who keeps its vote.

use std::io;

use bytes::Bytes;
use futures::future::{LocalBoxFuture, ready};
use futures::stream::LocalBoxStream;

use crate::error::Unavailable;
use crate::log::Position;

/// A checkpoint's content on its way between nodes: opaque chunks, in order.
pub type Chunks = LocalBoxStream<'static, io::Result<Bytes>>;

/// What identifies a complete checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointMeta {
    /// The checkpoint is the state after exactly this entry.
    pub position: Position,
    /// The newest membership at or before `position`, as [`Applier::skip`] handed it over. Empty
    /// where there was none.
    pub membership: Bytes,
}

/// Applies what a group has agreed on. Lives on the group's executor; nothing here is `Send`.
///
/// Every committed index is seen exactly once and in order, by [`apply`](Applier::apply) or by
/// [`skip`](Applier::skip), beginning behind the checkpoint that the group was started from.
pub trait Applier {
    /// The normal entry at `position` is committed. `tag` is the proposal's, where it was
    /// proposed through this group since it started. Nothing may be awaited here. A panic stops
    /// the group as a storage failure does; it does not reach the executor.
    fn apply(&self, position: Position, tag: Option<u64>, payload: Bytes);

    /// A blank entry or a change of membership took `position`. The newest `membership` has to be
    /// kept with the next checkpoint; its bytes are opaque.
    fn skip(&self, position: Position, membership: Option<Bytes>);

    /// Whether more can be applied now. While it is false the group lets the executor's other
    /// tasks run and asks again: what keeps recovery from piling up a whole log.
    fn has_room(&self) -> bool {
        true
    }

    /// The newest complete checkpoint, if there is one.
    fn checkpoint(&self) -> Option<CheckpointMeta>;

    /// Makes a checkpoint at `position`, the last applied one, or behind it, and completes it:
    /// from then on [`checkpoint`](Applier::checkpoint) names it, also after a crash.
    ///
    /// # Errors
    /// Whatever kept it from being completed. The previous one then still stands.
    fn build_checkpoint(
        &self,
        position: Position,
    ) -> LocalBoxFuture<'_, io::Result<CheckpointMeta>>;

    /// The newest complete checkpoint with its content, for a node whose log ends before ours
    /// begins. The content has to stay that checkpoint's however long reading it takes. Nothing is
    /// read before the first chunk is asked for.
    fn export(&self) -> Option<(CheckpointMeta, Chunks)>;

    /// Takes in a checkpoint that another node sends, beside the state, which does not change.
    /// What this resolves to stands for it, for [`install`](Applier::install); dropped instead,
    /// the checkpoint is given up. Where nothing is done here, it is received while it is
    /// installed.
    ///
    /// # Errors
    /// It did not come to its end, or is damaged, or the disk fails: nothing has changed, and the
    /// group goes on. One at a time: `WouldBlock` for another.
    fn receive(
        &self,
        _meta: CheckpointMeta,
        chunks: Chunks,
    ) -> LocalBoxFuture<'_, io::Result<Chunks>> {
        Box::pin(ready(Ok(chunks)))
    }

    /// Replaces the whole state by a received checkpoint, durably, before it resolves. Applying
    /// goes on behind `meta.position`.
    ///
    /// # Errors
    /// Stop the group: a half replaced state must not be served.
    fn install(&self, meta: CheckpointMeta, chunks: Chunks) -> LocalBoxFuture<'_, io::Result<()>>;

    /// The proposal with this tag will not be applied here under this tag: it was refused
    /// ([`Unavailable::NoLeader`]), or its outcome is not known ([`Unavailable::Uncertain`]).
    /// Called once at most for a tag, and never for one that [`apply`](Applier::apply) has seen.
    /// It must not panic.
    fn failed(&self, tag: u64, why: Unavailable);
}

/// Keeps a node's vote: the term, who got its vote in it, and whether that one leads.
pub trait VoteStore {
    /// Keeps `vote`, opaque and of a few dozen bytes, in place of the last. It is on disk, at any
    /// level of durability, when the future resolves.
    fn save(&self, vote: Bytes) -> LocalBoxFuture<'_, io::Result<()>>;

    /// The vote saved last.
    fn read(&self) -> LocalBoxFuture<'_, io::Result<Option<Bytes>>>;
}

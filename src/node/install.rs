//! Another node's checkpoint takes the place of this node's state.
//!
//! First it is received: written beside this node's own, checked, durable. Nothing of the node
//! changes, and one that is damaged or does not come to its end costs nothing. Then it is installed: the manifest names it, every shard's keyspace is replaced at one delivery, and
//! what is committed later is delivered behind that.
//!
//! A checkpoint of the node's own that is under way gives way to one that comes: it would be
//! older. None begins until the other is installed or let go.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::channel::oneshot;
use futures::stream::{self, Stream, StreamExt};

use crate::checkpoint::{Import, Origin};
use crate::raft::{CheckpointMeta, Chunks};

use super::raft_side::Joint;

/// What is on its way from another node.
#[derive(Default)]
pub struct Incoming {
    /// It is being received or installed.
    busy: Cell<bool>,
    staged: Rc<Staged>,
    next_number: Cell<u64>,
    /// Who waits for the end of the node's own checkpoint.
    own_ends: RefCell<Vec<oneshot::Sender<()>>>,
}

/// A checkpoint that was received to its end, under the number that its stream bears.
#[derive(Default)]
struct Staged(RefCell<Option<(u64, Import)>>);

impl Staged {
    fn claim(&self, token: &[u8]) -> Option<Import> {
        let mut place = self.0.borrow_mut();
        let (number, import) = place.take()?;
        if token == number.to_le_bytes() {
            return Some(import);
        }
        *place = Some((number, import));
        None
    }
}

/// Stands for a checkpoint that was received: one item, the number. Dropped before it is
/// installed, the checkpoint is given up.
struct Token {
    number: u64,
    given: bool,
    staged: Rc<Staged>,
}

impl Stream for Token {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let first = !std::mem::replace(&mut self.given, true);
        Poll::Ready(first.then(|| Ok(Bytes::copy_from_slice(&self.number.to_le_bytes()))))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        drop(self.staged.claim(&self.number.to_le_bytes()));
    }
}

/// Keeps others from receiving.
struct Receiving<'j>(&'j Incoming);

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.busy.set(false);
    }
}

impl Incoming {
    /// Whether the node's own checkpoints have to wait.
    pub fn is_under_way(&self) -> bool {
        self.busy.get() || self.staged.0.borrow().is_some()
    }

    fn begin(&self) -> io::Result<Receiving<'_>> {
        if self.busy.replace(true) {
            return Err(refused());
        }
        Ok(Receiving(self))
    }

    /// The node's own checkpoint has ended.
    pub fn own_ended(&self) {
        for waiting in self.own_ends.take() {
            // Who does not wait any more was cancelled.
            let _ = waiting.send(());
        }
    }
}

fn refused() -> io::Error {
    let why = "a checkpoint of another node is being received";
    io::Error::new(io::ErrorKind::WouldBlock, why)
}

impl Joint {
    /// Makes room for a checkpoint of the node's own.
    ///
    /// # Errors
    /// While one of another node is under way.
    pub(super) async fn clear_the_way(&self) -> io::Result<()> {
        if self.incoming.is_under_way() {
            return Err(refused());
        }
        // What was written before may still be cleared away.
        self.store.idle().await;
        // One may have begun to come meanwhile: it waits for this one's end.
        if self.incoming.is_under_way() {
            return Err(refused());
        }
        Ok(())
    }

    /// Ends a checkpoint of the node's own that is under way, and waits until it has.
    async fn give_up_own(&self) {
        if !self.is_writing() {
            return;
        }
        let (ended, end) = oneshot::channel();
        self.incoming.own_ends.borrow_mut().push(ended);
        self.give_up_capture();
        // The sender goes only with the node.
        let _ = end.await;
    }

    /// Writes what another node sends beside this node's own checkpoint. Answers with a stream
    /// that stands for it, for [`Joint::install_received`].
    pub(super) async fn receive_pieces(
        &self,
        meta: CheckpointMeta,
        pieces: Chunks,
    ) -> io::Result<Chunks> {
        if self.incoming.staged.0.borrow().is_some() {
            return Err(refused());
        }
        let _receiving = self.incoming.begin()?;
        self.give_up_own().await;
        self.store.idle().await;
        let mut import = self.store.import(self.origin_of(&meta))?;
        import.take_all(pieces).await?;
        let number = self.incoming.next_number.get();
        self.incoming.next_number.set(number + 1);
        let staged = self.incoming.staged.clone();
        *staged.0.borrow_mut() = Some((number, import));
        let token = Token {
            number,
            given: false,
            staged,
        };
        Ok(token.boxed_local())
    }

    fn origin_of(&self, meta: &CheckpointMeta) -> Origin {
        Origin {
            term: meta.position.term,
            leader: meta.position.leader,
            index: meta.position.index,
            membership: meta.membership.to_vec(),
            seed: self.seed,
        }
    }

    /// Replaces the state by a checkpoint that was received, or is received now.
    ///
    /// # Errors
    /// The state may be replaced in part: the node must not go on.
    pub(super) async fn install_received(
        &self,
        meta: CheckpointMeta,
        mut pieces: Chunks,
    ) -> io::Result<()> {
        let first = pieces.next().await;
        let token = first.as_ref().and_then(|first| first.as_deref().ok());
        let staged = token.and_then(|token| self.incoming.staged.claim(token));
        let import = match staged {
            Some(import) => import,
            None => {
                let pieces = stream::iter(first).chain(pieces).boxed_local();
                let mut token = self.receive_pieces(meta.clone(), pieces).await?;
                let number = token.next().await.transpose()?.unwrap_or_default();
                self.incoming.staged.claim(&number).ok_or_else(refused)?
            }
        };
        // Until the shards have it: a checkpoint of their old state would come behind this one.
        let _receiving = self.incoming.begin()?;
        import.finish().await?;
        *self.membership.borrow_mut() = meta.membership;
        let supply = Arc::new(self.store.supply(self.shards)?);
        self.sequencer.replace(meta.position, supply.clone());
        supply.whole().await?;
        self.note_installed(meta.position.index);
        tracing::info!(
            index = meta.position.index,
            "the state was replaced by another node's checkpoint"
        );
        Ok(())
    }
}

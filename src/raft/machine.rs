//! openraft's state machine over an [`Applier`].
//!
//! Applying starts behind the applier's checkpoint; the log behind it is applied again as soon as
//! a leader commits it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use futures::stream::{Stream, StreamExt, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine, Snapshot, SnapshotMeta};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};

use super::applier::{Applier, CheckpointMeta, Chunks};
use super::codec;
use super::proposals::Proposals;
use super::runtime::JoinError;
use super::types::{Entry, LeaderId, LogId, StoredMembership, Types};
use crate::log::Position;

type Meta = SnapshotMeta<LeaderId, u64, openraft::impls::BasicNode>;
type Checkpoint = Snapshot<LeaderId, u64, openraft::impls::BasicNode, Chunks>;

/// The applier as openraft sees it.
pub(super) struct Machine {
    applier: Rc<dyn Applier>,
    proposals: Rc<Proposals>,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Machine {
    /// Begins at the applier's checkpoint.
    ///
    /// # Errors
    /// Where the membership kept with it cannot be read.
    pub(super) fn open(applier: Rc<dyn Applier>, proposals: Rc<Proposals>) -> io::Result<Self> {
        let mut machine = Machine {
            applied: None,
            membership: StoredMembership::default(),
            applier,
            proposals,
        };
        if let Some(checkpoint) = machine.applier.checkpoint() {
            machine.membership = codec::decode_kept(&checkpoint.membership)?;
            machine.applied = Some(checkpoint.position.into());
        }
        Ok(machine)
    }

    fn apply_entry(&mut self, entry: Entry, tag: Option<u64>) {
        let position = Position::from(entry.log_id);
        match entry.payload {
            EntryPayload::Normal(proposal) => {
                self.applier.apply(position, tag, proposal.payload);
            }
            EntryPayload::Blank => self.applier.skip(position, None),
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                let kept = codec::encode_kept(&self.membership);
                self.applier.skip(position, Some(kept));
            }
        }
        self.applied = Some(entry.log_id);
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = Chunks;
    type SnapshotBuilder = CheckpointBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            while !self.applier.has_room() {
                crate::rt::yield_now().await;
            }
            let tag = responder
                .as_ref()
                .and_then(|_| self.proposals.take_committed(entry.log_id.index));
            let applied = catch_unwind(AssertUnwindSafe(|| self.apply_entry(entry, tag)));
            if let Err(panic) = applied {
                let error = io::Error::other(JoinError::from_panic(panic).to_string());
                self.proposals.poison(&error);
                return Err(error);
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    /// Unforced, openraft is being told of a checkpoint that is complete already
    /// (`Group::checkpoint`): there is nothing to tell where there is none.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<CheckpointBuilder> {
        if !force && self.applier.checkpoint().is_none() {
            return None;
        }
        let build_at = if force { self.applied } else { None };
        Some(CheckpointBuilder {
            applier: self.applier.clone(),
            build_at,
        })
    }

    async fn get_snapshot_builder(&mut self) -> CheckpointBuilder {
        CheckpointBuilder {
            applier: self.applier.clone(),
            build_at: self.applied,
        }
    }

    async fn install_snapshot(&mut self, meta: &Meta, chunks: Chunks) -> io::Result<()> {
        let position = meta.last_log_id.map(Position::from).unwrap_or_default();
        let membership = codec::encode_kept(&meta.last_membership);
        let checkpoint = CheckpointMeta {
            position,
            membership,
        };
        let installed = self.applier.install(checkpoint, chunks).await;
        installed.inspect_err(|error| self.proposals.poison(error))?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Checkpoint>> {
        let exported = self.applier.export();
        exported
            .map(|(meta, chunks)| checkpoint(&meta, chunks))
            .transpose()
    }
}

/// Hands openraft the newest checkpoint.
pub(super) struct CheckpointBuilder {
    applier: Rc<dyn Applier>,
    /// Where to build one first, if it has to.
    build_at: Option<LogId>,
}

impl RaftSnapshotBuilder<Types> for CheckpointBuilder {
    type SnapshotData = Chunks;

    async fn build_snapshot(&mut self) -> io::Result<Checkpoint> {
        let meta = match self.build_at {
            Some(at) => Some(self.applier.build_checkpoint(at.into()).await?),
            None => self.applier.checkpoint(),
        };
        // Only the meta is used of a checkpoint that was built here; content is asked for when a
        // node needs it.
        let no_chunks = futures::stream::empty().boxed_local();
        match meta {
            Some(meta) => checkpoint(&meta, no_chunks),
            // Nothing was ever applied.
            None => Ok(Snapshot {
                meta: Meta::default(),
                snapshot: no_chunks,
            }),
        }
    }
}

fn checkpoint(meta: &CheckpointMeta, chunks: Chunks) -> io::Result<Checkpoint> {
    Ok(Snapshot {
        meta: SnapshotMeta {
            last_log_id: Some(meta.position.into()),
            last_membership: codec::decode_kept(&meta.membership)?,
        },
        snapshot: chunks,
    })
}

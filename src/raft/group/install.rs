//! A checkpoint that a leader sends.

use std::io;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::SnapshotResponse;
use openraft::storage::Snapshot;

use super::Group;
use crate::log::Position;
use crate::raft::applier::CheckpointMeta;
use crate::raft::codec;
use crate::raft::network::Checkpoint;
use crate::raft::types::{Types, Vote};

impl Group {
    /// Takes in a checkpoint that `vote`'s leader sends, then installs it.
    ///
    /// It is received to its end before openraft hears of it: from then on an error stops the
    /// group, and a connection that breaks is none.
    ///
    /// # Errors
    /// It could not be received: nothing has changed, the sender may try again. Or the group has
    /// stopped.
    pub(in crate::raft) async fn answer_install(
        &self,
        vote: Vote,
        checkpoint: Checkpoint,
    ) -> io::Result<SnapshotResponse<Types>> {
        let Snapshot { meta, snapshot } = checkpoint;
        let wanted = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            // Neither goes back: openraft will say no to what is not wanted here.
            meta.last_log_id > metrics.last_applied && vote >= metrics.vote
        };
        let snapshot = if wanted {
            let received = CheckpointMeta {
                position: meta.last_log_id.map(Position::from).unwrap_or_default(),
                membership: codec::encode_kept(&meta.last_membership),
            };
            self.applier.receive(received, snapshot).await?
        } else {
            snapshot
        };
        let checkpoint = Snapshot { meta, snapshot };
        let installed = self.raft.install_full_snapshot(vote, checkpoint).await;
        installed.map_err(|error| io::Error::other(error.to_string()))
    }
}

//! When a node makes a checkpoint by itself: once its log has grown past a bound since the last one
//! began, and past the size of that one. Writing the whole image then costs no more than the log did.
//!
//! What the log had grown by counts on where the checkpoint comes to nothing: the next is due at
//! once, and is tried a second later.

use super::raft_side::Joint;

/// How long after the last try the next may begin, in ms.
const TRY_AGAIN_MS: u64 = 1000;

/// How far the log has come, and when to look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Growth {
    /// The log's size when it was last looked at, and by how much it has grown since the last
    /// checkpoint began. What a checkpoint covers may stay in the log for a while.
    log_bytes: u64,
    grown_bytes: u64,
    try_after_ms: u64,
}

impl Growth {
    fn look(&mut self, log_bytes: u64) {
        self.grown_bytes += log_bytes.saturating_sub(self.log_bytes);
        self.log_bytes = log_bytes;
    }

    /// A checkpoint begins, by itself or because somebody asked for it. Answers what it covers, for
    /// [`Growth::count_again`].
    pub(super) fn begin(&mut self) -> u64 {
        std::mem::take(&mut self.grown_bytes)
    }

    /// It came to nothing.
    pub(super) fn count_again(&mut self, covered_bytes: u64, now_ms: u64) {
        self.grown_bytes += covered_bytes;
        self.try_after_ms = now_ms + TRY_AGAIN_MS;
    }

    /// Another node's checkpoint covers all that the log has.
    pub(super) fn forget(&mut self) {
        self.grown_bytes = 0;
    }
}

impl Joint {
    /// Whether a checkpoint is to begin, with a log of so many bytes. It then counts as tried. To
    /// be asked about ten times a second.
    pub(super) fn take_due(&self, log_bytes: u64, log_bytes_max: u64, now_ms: u64) -> bool {
        let image_bytes = self.store.newest().map_or(0, |meta| meta.bytes);
        let mut status = self.status.borrow_mut();
        status.growth.look(log_bytes);
        let is_idle = !self.is_writing() && !self.incoming.is_under_way();
        let is_due = status.growth.grown_bytes > log_bytes_max.max(image_bytes)
            && self.sequencer.position().index > status.last_index
            && now_ms >= status.growth.try_after_ms;
        if is_idle && is_due {
            status.growth.try_after_ms = now_ms + TRY_AGAIN_MS;
        }
        is_idle && is_due
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::checkpoint::Store;
    use crate::clock;
    use crate::keyspace::{Keyspace, Slice};
    use crate::log::Position;
    use crate::node::Sequencer;
    use crate::node::sequencer::Outgoing;
    use crate::raft::Applier;
    use crate::rt::net::run_test;
    use crate::rt::{self, Doorbell, Parker};

    const LOG_BYTES_MAX: u64 = 1000;

    fn joint(store: Store) -> Joint {
        let parker = Parker::new(Doorbell::new().unwrap());
        let sequencer = Rc::new(Sequencer::new(7, parker));
        Joint::new(sequencer, Arc::new(store), 1, 3, Rc::default())
    }

    /// Makes a checkpoint of nothing at `index`, or gives it up.
    async fn checkpoint(joint: &Joint, index: u64, gives_up: bool) -> bool {
        let position = Position {
            term: 1,
            leader: 7,
            index,
        };
        joint.sequencer.begin_at(position);
        let shard = async {
            let delivery = loop {
                match joint.sequencer.next_outgoing() {
                    Some(Outgoing::Deliver(delivery)) => break delivery,
                    _ => rt::sleep(Duration::from_millis(1)).await,
                }
            };
            if gives_up {
                joint.give_up_capture();
            } else {
                let (mut keyspace, mut chunk) = (Keyspace::new(3), Vec::new());
                keyspace.begin_capture(1 << 20);
                assert!(keyspace.capture_slice(1 << 20, &mut chunk) == Slice::Last);
                delivery.capture.as_ref().unwrap().put(chunk).await.unwrap();
            }
            joint.captured(Ok(()));
        };
        let (made, ()) = futures::join!(joint.build_checkpoint(position), shard);
        made.is_ok()
    }

    /// One that comes to nothing is due again after a second, not when the log has grown by as much
    /// once more; one that was asked for, and one that another node sent, count as any.
    #[test]
    fn what_no_checkpoint_covers_stays_due() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        run_test(async move {
            let joint = joint(store);
            let mut log_bytes = LOG_BYTES_MAX;
            let due = |log_bytes, in_ms| {
                joint.take_due(log_bytes, LOG_BYTES_MAX, clock::steady_ms() + in_ms)
            };
            joint.sequencer.begin_at(Position {
                index: 1,
                ..Position::default()
            });
            assert!(!due(log_bytes, 0));
            log_bytes += 1;
            assert!(due(log_bytes, 0));
            assert!(!due(log_bytes, 0), "one at a time");
            assert!(!checkpoint(&joint, 2, true).await);
            assert!(!due(log_bytes, 100), "not so soon");
            assert!(due(log_bytes, 2000));
            assert!(!checkpoint(&joint, 3, true).await);
            // One that is asked for covers it as well.
            assert!(checkpoint(&joint, 4, false).await);
            joint.sequencer.begin_at(Position {
                index: 5,
                ..Position::default()
            });
            let image_bytes = joint.store.newest().unwrap().bytes;
            let grown = LOG_BYTES_MAX.max(image_bytes);
            log_bytes += grown;
            assert!(!due(log_bytes, 4000));
            log_bytes += 1;
            assert!(due(log_bytes, 6000));
            joint.note_installed(4);
            assert!(!due(log_bytes, 8000), "the other node's covers it");
        });
    }
}

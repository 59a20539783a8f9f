//! How much of the log is kept behind a checkpoint that covers it.
//!
//! All of it goes where nobody lacks it. On the leader, a follower that can be reached and is not
//! that far yet keeps what it lacks, for some checkpoints: one that was just given a checkpoint would
//! otherwise find the log behind it gone, and be given the next, and so on for as long as there is
//! load. One that cannot be reached keeps nothing: it is given a checkpoint when it is back.
//!
//! Who does not lead knows of nobody's log and forgets its own up to its checkpoint. A new leader
//! gives a checkpoint to whoever lacks what it forgot as a follower.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use openraft::metrics::RaftMetrics;

use super::Group;
use crate::limits::{CHECKPOINT_KNOWN_MS_MAX, FOLLOWER_HEARD_LEASES, LAGGING_CHECKPOINTS_MAX};
use crate::raft::types::Types;
use crate::rt;

/// What follows from the last checkpoints.
#[derive(Default)]
pub(super) struct Retention {
    /// Where they end, as many as a follower may lag behind.
    ends: RefCell<VecDeque<u64>>,
    /// How many were completed.
    completed: Cell<u64>,
}

/// A complete checkpoint, as far as the log before it goes.
#[derive(Debug, Clone, Copy)]
struct Completed {
    /// Where it ends.
    index: u64,
    /// Up to here the log goes, whoever lacks it.
    floor: u64,
    /// Counts the completed ones.
    number: u64,
}

impl Retention {
    /// A checkpoint that ends at `index` is complete.
    fn complete(&self, index: u64) -> Completed {
        let mut ends = self.ends.borrow_mut();
        // Another one of the same state leaves nobody further behind.
        if ends.back() != Some(&index) {
            ends.push_back(index);
        }
        let floor = match ends.len() > LAGGING_CHECKPOINTS_MAX {
            true => ends.pop_front().unwrap_or(0),
            false => 0,
        };
        let number = self.completed.get() + 1;
        self.completed.set(number);
        Completed {
            index,
            floor,
            number,
        }
    }

    fn is_newest(&self, one: Completed) -> bool {
        self.completed.get() == one.number
    }
}

impl Group {
    /// Forgets the log up to `index`, where a checkpoint ends, as far as nobody lacks it: that
    /// is done after this resolves.
    pub(super) async fn forget_log(&self, index: u64) {
        let completed = self.conduct.retention.complete(index);
        // Nothing goes that is not in a checkpoint of which openraft knows.
        let known = |now: &RaftMetrics<Types>| {
            let end = now.snapshot.as_ref().map(|end| end.index);
            (end >= Some(index)).then_some(())
        };
        let deadline = Instant::now() + Duration::from_millis(CHECKPOINT_KNOWN_MS_MAX);
        self.watch_until(deadline, known).await.ok();
        let group = self.clone();
        rt::spawn(async move { group.forget_before(completed).await });
    }

    /// Forgets more and more of the log that a checkpoint covers, as followers come to have it or go
    /// away, until another checkpoint is complete.
    async fn forget_before(&self, checkpoint: Completed) {
        let Completed { index, floor, .. } = checkpoint;
        let is_newest = || self.conduct.retention.is_newest(checkpoint);
        let mut gone = 0;
        while is_newest() && !self.stopping.get() {
            let upto = index.min(self.needed_behind()).max(floor);
            // A group that stopped meanwhile forgets nothing; the checkpoint stands all the same.
            if upto > gone && self.raft.trigger().purge_log(upto).await.is_err() {
                return;
            }
            gone = upto.max(gone);
            let again = Instant::now() + self.lease();
            if gone >= index || self.rest_until(again).await.is_err() {
                return;
            }
        }
    }

    /// What every follower that can be reached has; without end where there is none.
    fn needed_behind(&self) -> u64 {
        let heard = self.lease() * FOLLOWER_HEARD_LEASES;
        let is_reachable =
            |answered: Option<Instant>| answered.is_some_and(|at| at.elapsed() < heard);
        let copies = self.copies().unwrap_or_default();
        let reachable = copies.iter().filter(|copy| is_reachable(copy.answered));
        let matched = reachable.map(|copy| copy.matched_index.unwrap_or(0));
        matched.min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_keeps_more_than_some_checkpoints() {
        let retention = Retention::default();
        let floor = |end| retention.complete(end).floor;
        let floors: Vec<u64> = (1..=8).map(|end| floor(end * 10)).collect();
        assert_eq!(floors, [0, 0, 0, 0, 10, 20, 30, 40]);
    }

    #[test]
    fn checkpoints_of_the_same_state_take_nothing_from_who_lags() {
        let retention = Retention::default();
        let all: Vec<Completed> = (0..9).map(|_| retention.complete(10)).collect();
        assert!(all.iter().all(|one| one.floor == 0), "{all:?}");
        // One task at a time forgets, also where the end is the same.
        let newest = all.iter().filter(|one| retention.is_newest(**one));
        assert_eq!(newest.count(), 1);
    }
}

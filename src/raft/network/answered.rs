//! Which appends the other nodes have answered, by when they were sent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

/// For each node, when the last append that it obeyed was sent. From then on it grants nobody else a
/// vote for the length of a lease.
///
/// openraft keeps the like; but it takes an answer for one to every append in flight that ends at the
/// same entry, and so a heartbeat for answered that was never received.
#[derive(Clone, Default)]
pub(in crate::raft) struct Answered(Rc<RefCell<BTreeMap<u64, Instant>>>);

impl Answered {
    pub(super) fn note(&self, node: u64, sent: Instant) {
        let mut answered = self.0.borrow_mut();
        let last = answered.entry(node).or_insert(sent);
        *last = sent.max(*last);
    }

    /// When the last append that `node` obeyed was sent.
    pub(in crate::raft) fn at(&self, node: u64) -> Option<Instant> {
        self.0.borrow().get(&node).copied()
    }
}

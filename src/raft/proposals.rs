//! What a group knows about its own proposals and about its health.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use super::applier::Applier;
use crate::error::Unavailable;

/// Shared by the group's handle, its log store, its state machine and every proposal in flight.
pub(super) struct Proposals {
    applier: Rc<dyn Applier>,
    /// Log index and tag of own proposals that are committed and not applied yet, in log order.
    committed: RefCell<VecDeque<(u64, u64)>>,
    /// Why storage can no longer be trusted, from the first failure on.
    poison: RefCell<Option<String>>,
    /// Set while a proposal is handed over: the caller is told the outcome by value then.
    handing_over: Cell<bool>,
}

impl Proposals {
    pub(super) fn new(applier: Rc<dyn Applier>) -> Rc<Self> {
        Rc::new(Proposals {
            applier,
            committed: RefCell::new(VecDeque::new()),
            poison: RefCell::new(None),
            handing_over: Cell::new(false),
        })
    }

    /// The proposal `tag` is committed at `index` and about to be applied.
    pub(super) fn committed(&self, index: u64, tag: u64) {
        self.committed.borrow_mut().push_back((index, tag));
    }

    /// The tag of the own proposal at `index`. Indexes are asked for in rising order.
    pub(super) fn take_committed(&self, index: u64) -> Option<u64> {
        let mut committed = self.committed.borrow_mut();
        while let Some((at, tag)) = committed.front().copied() {
            if at > index {
                return None;
            }
            committed.pop_front();
            if at == index {
                return Some(tag);
            }
        }
        None
    }

    /// Tells the applier that `tag` will not be applied, or that nobody knows.
    pub(super) fn failed(&self, tag: u64, why: Unavailable) {
        if !self.handing_over.get() {
            self.applier.failed(tag, why);
        }
    }

    /// Runs `hand_over`, during which a dropped proposal is not reported to the applier.
    pub(super) fn hand_over<T>(&self, hand_over: impl FnOnce() -> T) -> T {
        self.handing_over.set(true);
        let result = hand_over();
        self.handing_over.set(false);
        result
    }

    /// Remembers the first reason for which storage failed.
    pub(super) fn poison(&self, why: &dyn std::fmt::Display) {
        let mut poison = self.poison.borrow_mut();
        if poison.is_none() {
            tracing::error!("the log can no longer be trusted: {why}");
            *poison = Some(why.to_string());
        }
    }

    pub(super) fn poisoned(&self) -> Option<String> {
        self.poison.borrow().clone()
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poison.borrow().is_some()
    }
}

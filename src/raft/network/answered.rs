//! Which appends the other nodes have answered, by when they were sent.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use openraft_rt::{Watch as _, WatchReceiver, WatchSender};

use crate::raft::runtime::watch::{Receiver, Sender, Watch};

/// For each node, the last append that it obeyed. When that was sent, the node had voted in no later
/// term; and for the length of a lease from then on it grants nobody else a vote.
///
/// openraft keeps the like; but it takes an answer for one to every append in flight that ends at the
/// same entry, and so one for answered that was never received: the word of a commit, which carries
/// no entry and leaves while the answer to the entry itself is still on its way.
#[derive(Clone)]
pub(in crate::raft) struct Answered(Rc<Account>);

struct Account {
    /// How many appends were sent, to anybody.
    sent: Cell<u64>,
    last: RefCell<BTreeMap<u64, Sent>>,
    /// Changes with every answer.
    news: Sender<()>,
}

/// An append that was sent: the how many-th, and when. Two may have left at the same time.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    number: u64,
    at: Instant,
}

/// Whatever was sent before it was taken. See [`Answered::mark`].
#[derive(Clone, Copy)]
pub(in crate::raft) struct Mark(u64);

impl Default for Answered {
    fn default() -> Self {
        let (news, _) = Watch::channel(());
        Answered(Rc::new(Account {
            sent: Cell::new(0),
            last: RefCell::default(),
            news,
        }))
    }
}

impl Answered {
    /// Counts an append that is sent now.
    pub(super) fn count(&self) -> Sent {
        let number = self.0.sent.get() + 1;
        self.0.sent.set(number);
        let at = Instant::now();
        Sent { number, at }
    }

    /// `node` has obeyed the append `sent`.
    pub(super) fn note(&self, node: u64, sent: Sent) {
        {
            let mut answered = self.0.last.borrow_mut();
            let last = answered.entry(node).or_insert(sent);
            if last.number < sent.number {
                *last = sent;
            }
        }
        self.0.news.send_if_modified(|()| true);
    }

    /// When the last append that `node` obeyed was sent.
    pub(in crate::raft) fn at(&self, node: u64) -> Option<Instant> {
        Some(self.last(node)?.at)
    }

    /// Stands between what was sent before and what will be.
    pub(in crate::raft) fn mark(&self) -> Mark {
        Mark(self.0.sent.get())
    }

    /// Whether `node` has obeyed an append that was sent behind `mark`.
    pub(in crate::raft) fn is_behind(&self, node: u64, mark: Mark) -> bool {
        self.last(node).is_some_and(|last| last.number > mark.0)
    }

    /// Tells of every answer that is noted from now on.
    pub(in crate::raft) fn news(&self) -> News {
        News(self.0.news.subscribe())
    }

    fn last(&self, node: u64) -> Option<Sent> {
        self.0.last.borrow().get(&node).copied()
    }
}

/// See [`Answered::news`].
pub(in crate::raft) struct News(Receiver<()>);

impl News {
    /// Resolves when an answer was noted since the last time. Never once nothing more can be.
    pub(in crate::raft) async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

//! What a member may do, and what it has heard, beside what openraft keeps.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::GroupOptions;
use super::retention::Retention;
use crate::raft::network::Answered;
use crate::raft::types::LogId;

/// Shared by a group's handle, its background task and whoever answers its peers.
pub(super) struct Conduct {
    /// How long a leader may count on a quorum that answered, and a follower on its leader.
    pub lease: Duration,
    /// How long a leader that hands over waits for its successor to have everything.
    pub handover: Duration,
    /// The term in which this member started.
    pub term_at_start: u64,
    /// See [`Group::may_vote`](super::Group::may_vote).
    pub may_vote: Cell<bool>,
    /// The end of the log that a candidate has to have for this node's vote, beside what openraft
    /// asks for. Only where `may_vote` is not set.
    pub vote_floor: Cell<Option<LogId>>,
    /// No vote is given and none is asked for before: a leader from before this node's restart may
    /// count on what this node has promised and forgotten.
    pub quiet_until: Cell<Option<Instant>>,
    /// When a leader was last obeyed.
    pub leader_heard: Cell<Option<Instant>>,
    /// What is kept of the log.
    pub retention: Retention,
    /// Set while this node changes the membership or hands over.
    changing: Cell<bool>,
    /// Set while leadership is handed over: nothing is proposed.
    pub handing_over: Cell<bool>,
    /// What the others answered to this member as their leader.
    pub answered: Answered,
    /// The last term in which this member, as its leader, asked another one to take over. That one
    /// may be elected whenever it hears of it, whatever quorum has promised to wait.
    pub gave_up_lease_in: Cell<u64>,
}

impl Conduct {
    pub fn new(options: &GroupOptions, quiet: bool, term_at_start: u64) -> Rc<Self> {
        let lease = options.lease();
        Rc::new(Conduct {
            lease,
            handover: Duration::from_millis(options.election_ms_min),
            term_at_start,
            may_vote: Cell::new(options.may_vote),
            vote_floor: Cell::new(None),
            quiet_until: Cell::new(quiet.then(|| Instant::now() + lease)),
            leader_heard: Cell::new(None),
            retention: Retention::default(),
            changing: Cell::new(false),
            handing_over: Cell::new(false),
            answered: Answered::default(),
            gave_up_lease_in: Cell::new(0),
        })
    }

    /// Whether this node may answer who asks for its vote, and ask for one itself.
    pub fn votes(&self) -> bool {
        self.may_vote.get() && !self.is_quiet()
    }

    /// Whether a candidate whose log ends at `last` may be answered.
    pub fn votes_for(&self, last: Option<LogId>) -> bool {
        let floor = self.vote_floor.get();
        let fits = floor.is_some_and(|floor| last >= Some(floor));
        (self.may_vote.get() || fits) && !self.is_quiet()
    }

    fn is_quiet(&self) -> bool {
        let quiet = self.quiet_until.get();
        quiet.is_some_and(|until| Instant::now() < until)
    }

    /// Whether `heard` is recent enough to count on.
    pub fn is_recent(&self, heard: Option<Instant>) -> bool {
        heard.is_some_and(|at| at.elapsed() < self.lease)
    }

    /// Takes the one place of who changes the membership, if it is free.
    pub fn begin_change(self: &Rc<Self>) -> Option<Changing> {
        if self.changing.replace(true) {
            return None;
        }
        Some(Changing(self.clone()))
    }

    pub fn is_changing(&self) -> bool {
        self.changing.get()
    }
}

/// The one place of who changes the membership; dropping it gives it back.
pub(super) struct Changing(Rc<Conduct>);

impl Drop for Changing {
    fn drop(&mut self) {
        self.0.changing.set(false);
        self.0.handing_over.set(false);
    }
}

//! What clients did and what came back, in the order of virtual time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use quorate::rt::sim;

use crate::history::{Event, Kind};

/// Keys in use at a time, of each kind; after their share of requests they make room for new ones,
/// the next generation.
pub const KEYS: u64 = 3;
const SHARE: usize = 40;

/// The generation of keys that is in use, of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Generations {
    pub singles: u64,
    pub lists: u64,
    pub texts: u64,
}

impl Generations {
    pub fn keys(generation: u64) -> std::ops::Range<u64> {
        generation * KEYS..(generation + 1) * KEYS
    }
}

/// What was done to one key, and what came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    Set(String),
    /// The length behind it, where it is known.
    Append(String, Option<i64>),
    Get(Option<String>),
}

/// One request for one key. `ended` is the end of time where its end was not heard of.
#[derive(Clone, Debug)]
pub struct Single {
    pub client: u64,
    pub key: u64,
    pub begun: u64,
    pub ended: u64,
    pub act: Act,
}

/// How many requests came to which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub acknowledged: u64,
    pub refused: u64,
    pub uncertain: u64,
}

impl Counts {
    /// Whether at least so many percent of the requests were acknowledged, and there were any.
    pub fn has_acknowledged(&self, percent: u64) -> bool {
        let asked = self.acknowledged + self.refused + self.uncertain;
        self.acknowledged > 0 && self.acknowledged * 100 >= asked * percent
    }

    pub fn add(&mut self, other: Counts) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.uncertain += other.uncertain;
    }
}

/// Everything that was recorded.
#[derive(Default)]
pub struct History {
    pub singles: RefCell<Vec<Single>>,
    pub lists: RefCell<Vec<Event>>,
    pub texts: RefCell<Vec<Event>>,
    pub counts: Cell<Counts>,
    next: Cell<u64>,
}

impl History {
    pub fn new() -> Rc<History> {
        Rc::default()
    }

    /// A number that was never given before.
    pub fn unique(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    pub fn generations(&self) -> Generations {
        // A transaction is two events.
        let transactions = |events: &RefCell<Vec<Event>>| events.borrow().len() / 2;
        Generations {
            singles: (self.singles.borrow().len() / SHARE) as u64,
            lists: (transactions(&self.lists) / SHARE) as u64,
            texts: (transactions(&self.texts) / SHARE) as u64,
        }
    }

    pub fn now() -> u64 {
        sim::now_ns().unwrap_or(0)
    }

    pub fn count(&self, kind: Kind) {
        let mut counts = self.counts.get();
        match kind {
            Kind::Ok => counts.acknowledged += 1,
            Kind::Fail => counts.refused += 1,
            Kind::Info | Kind::Invoke => counts.uncertain += 1,
        }
        self.counts.set(counts);
    }
}

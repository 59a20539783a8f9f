//! What clients did and what came back, in the order of virtual time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use quorate::rt::sim;

use crate::history::{Event, Kind};

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

/// Everything that was recorded.
#[derive(Default)]
pub struct History {
    pub singles: RefCell<Vec<Single>>,
    pub lists: RefCell<Vec<Event>>,
    pub texts: RefCell<Vec<Event>>,
    pub acknowledged: Cell<u64>,
    pub refused: Cell<u64>,
    pub uncertain: Cell<u64>,
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

    pub fn now() -> u64 {
        sim::now_ns().unwrap_or(0)
    }

    pub fn count(&self, kind: Kind) {
        let counter = match kind {
            Kind::Ok => &self.acknowledged,
            Kind::Fail => &self.refused,
            Kind::Info | Kind::Invoke => &self.uncertain,
        };
        counter.set(counter.get() + 1);
    }
}

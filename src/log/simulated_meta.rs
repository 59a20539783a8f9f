//! The meta store in a simulation: rows in memory, with a disk's delays.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::error::Fatal;
use crate::rt::sim;

type Rows = BTreeMap<String, Vec<u8>>;

/// The disk of a node's meta store, which outlives its processes.
#[derive(Default)]
pub struct MetaDisk {
    rows: RefCell<Rows>,
    /// What a crash leaves.
    platter: RefCell<Rows>,
    /// Defect on purpose: a vote counts as synced when the operating system has it. The first one
    /// is synced, and each other one once the next is written: a crash leaves an older vote, where
    /// none at all would be refused at the start.
    pub is_unsynced: Cell<bool>,
}

impl MetaDisk {
    /// The machine went down.
    pub fn machine_ended(&self) {
        if self.is_unsynced.get() {
            *self.rows.borrow_mut() = self.platter.borrow().clone();
        }
    }

    /// Nothing is left.
    pub fn wipe(&self) {
        self.rows.take();
        self.platter.take();
    }

    fn keep(&self, key: String, value: Vec<u8>) {
        let before = self.rows.borrow_mut().insert(key.clone(), value.clone());
        let synced = match before {
            Some(before) if self.is_unsynced.get() && key == "vote" => before,
            _ => value,
        };
        self.platter.borrow_mut().insert(key, synced);
    }
}

/// As the meta store on a disk.
pub struct Meta(Rc<MetaDisk>);

impl Meta {
    /// For who has no simulation: an empty one.
    ///
    /// # Errors
    /// None.
    pub fn open(_directory: &Path) -> Result<Meta, Fatal> {
        Ok(Meta::on(Rc::default()))
    }

    /// The store on this disk.
    pub fn on(disk: Rc<MetaDisk>) -> Meta {
        Meta(disk)
    }

    /// The value last written under `key`.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.0.rows.borrow().get(key).cloned()
    }

    /// Writes and syncs. A crash may come before it is there, or before anybody hears that it is.
    ///
    /// # Errors
    /// None.
    pub fn put(&self, key: &str, value: Vec<u8>) -> impl Future<Output = io::Result<()>> + use<> {
        let (disk, key) = (self.0.clone(), key.to_owned());
        async move {
            let half = Duration::from_micros(20 + sim::below(1500));
            sim::Sleep::new(half).await;
            disk.keep(key, value);
            sim::Sleep::new(half).await;
            Ok(())
        }
    }
}

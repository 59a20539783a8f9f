//! Lists to which one client each appends in order: none of what was acknowledged may be missing.

use std::collections::BTreeSet;
use std::time::Duration;

use super::client::{Client, Outcome, Run};
use crate::kit::{Cluster, Entrance, Value};

/// What a client wrote.
pub struct Ledger {
    name: String,
    /// Numbers that were acknowledged, and those of which nobody knows, ascending.
    acknowledged: Vec<u64>,
    unknown: BTreeSet<u64>,
    pub acknowledged_us: Vec<i64>,
}

/// One client's part, until it is over. Bytes beside each number make the log long enough that
/// nodes which were away need a checkpoint.
pub fn act(entrance: Entrance, number: usize, bytes: usize, pause: Duration, run: &Run) -> Ledger {
    let mut client = Client::of(entrance, run);
    let mut ledger = Ledger {
        name: format!("ledger:{number}"),
        acknowledged: Vec::new(),
        unknown: BTreeSet::new(),
        acknowledged_us: Vec::new(),
    };
    let filler = "x".repeat(bytes);
    let mut next = 0;
    while client.connect() {
        std::thread::sleep(pause);
        next += 1;
        let append = [
            "MULTI".to_string(),
            format!("RPUSH {} {next}", ledger.name),
            format!("SET filler:{number}:{} {filler}", next % 64),
            "EXEC".to_string(),
        ];
        match client.ask(&append) {
            Outcome::Done(_) => {
                client.acknowledged();
                ledger.acknowledged.push(next);
            }
            Outcome::Unknown => drop(ledger.unknown.insert(next)),
            Outcome::Refused => {}
        }
    }
    ledger.acknowledged_us = std::mem::take(&mut client.acknowledged_us);
    ledger
}

impl Ledger {
    /// How many acknowledged appends are missing on a node. Everything else must be as it was
    /// written: in order, nothing twice, and nothing that was refused.
    pub fn missing(&self, cluster: &Cluster, node: usize) -> usize {
        let found = cluster
            .connect(node)
            .ask(&format!("LRANGE {} 0 -1", self.name));
        let found: Vec<u64> = found.elements().iter().map(number).collect();
        let ascending = found.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(ascending, "{} is out of order on node {node}", self.name);
        let found: BTreeSet<u64> = found.into_iter().collect();
        let acknowledged: BTreeSet<u64> = self.acknowledged.iter().copied().collect();
        for one in found.difference(&acknowledged) {
            let is_unknown = self.unknown.contains(one);
            assert!(is_unknown, "{}: {one} was refused and is there", self.name);
        }
        acknowledged.difference(&found).count()
    }

    pub fn count(&self) -> usize {
        self.acknowledged.len()
    }
}

fn number(value: &Value) -> u64 {
    value.text().parse().expect("a number that was appended")
}

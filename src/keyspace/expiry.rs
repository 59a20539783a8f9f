//! When keys fall due: a heap of (time, key), kept lazily.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::value::Text;

/// Due times of keys. A key whose time was moved or that was deleted leaves a stale item behind;
/// whoever takes an item looks at the key. Derived from the table, so no replica depends on it.
#[derive(Default)]
pub struct Expiry {
    due: BinaryHeap<Reverse<Due>>,
}

struct Due {
    at_ms: u64,
    key: Text,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.at_ms == other.at_ms
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at_ms.cmp(&other.at_ms)
    }
}

impl Expiry {
    /// Notes that `key` falls due at `at_ms`. O(log n).
    pub fn push(&mut self, at_ms: u64, key: &[u8]) {
        self.due.push(Reverse(Due {
            at_ms,
            key: Text::key(key),
        }));
    }

    /// Items, stale ones included.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Takes the earliest item that is due at `now_ms`. It may be stale.
    pub fn pop_due(&mut self, now_ms: u64) -> Option<Text> {
        if self.due.peek()?.0.at_ms > now_ms {
            return None;
        }
        self.due.pop().map(|due| due.0.key)
    }

    /// Drops everything, for a rebuild.
    pub fn clear(&mut self) {
        self.due.clear();
    }
}

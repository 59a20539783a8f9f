//! The slow log: commands that took longer than a threshold.

use std::collections::VecDeque;

/// Arguments of an entry, and bytes of each, as Redis keeps them.
const ARGUMENTS_MAX: usize = 32;
const ARGUMENT_BYTES_MAX: usize = 128;

/// A command that was slow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowEntry {
    pub id: u64,
    /// Unix time in s.
    pub time_s: u64,
    pub us: u64,
    /// Name first; long ones are cut, as Redis does.
    pub arguments: Vec<Vec<u8>>,
    pub address: String,
    pub name: Vec<u8>,
}

/// One core's slow log, bounded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SlowLog {
    entries: VecDeque<SlowEntry>,
    logged: u64,
}

impl SlowLog {
    /// Keeps an entry, whose id is made of its number and `core` of `cores`; at most `len_max`
    /// stay.
    pub fn push(&mut self, mut entry: SlowEntry, core: usize, cores: usize, len_max: usize) {
        entry.id = self.logged * cores as u64 + core as u64;
        self.logged += 1;
        let count = entry.arguments.len();
        if count > ARGUMENTS_MAX {
            entry.arguments.truncate(ARGUMENTS_MAX - 1);
            let more = count - entry.arguments.len();
            entry
                .arguments
                .push(format!("... ({more} more arguments)").into_bytes());
        }
        for argument in &mut entry.arguments {
            if argument.len() > ARGUMENT_BYTES_MAX {
                let more = argument.len() - ARGUMENT_BYTES_MAX;
                argument.truncate(ARGUMENT_BYTES_MAX);
                argument.extend_from_slice(format!("... ({more} more bytes)").as_bytes());
            }
        }
        self.entries.push_front(entry);
        self.entries.truncate(len_max);
    }

    /// The entries, newest first.
    pub fn entries(&self) -> impl Iterator<Item = &SlowEntry> {
        self.entries.iter()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_bounded_and_cut() {
        let mut log = SlowLog::default();
        for us in 0..5 {
            let arguments = vec![vec![b'x'; 200]; 40];
            let entry = SlowEntry {
                id: 0,
                time_s: 1,
                us,
                arguments,
                address: String::new(),
                name: Vec::new(),
            };
            log.push(entry, 1, 4, 3);
        }
        let kept: Vec<(u64, u64)> = log.entries().map(|entry| (entry.id, entry.us)).collect();
        assert_eq!(kept, [(17, 4), (13, 3), (9, 2)]);
        let arguments = &log.entries().next().unwrap().arguments;
        assert_eq!(arguments.len(), 32);
        assert!(arguments[0].ends_with(b"... (72 more bytes)"));
        assert_eq!(arguments[31], b"... (9 more arguments)");
    }
}

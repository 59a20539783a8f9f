//! The log as its readers see it at once: where it begins and ends, and its recent records.
//!
//! Runs ahead of the disk: an append, truncation or purge shows here from the call on.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Position, Record};

/// Bytes that a record costs in memory besides its payload, roughly.
const RECORD_OVERHEAD_BYTES: usize = 96;

pub(crate) struct Memory {
    purged: Option<Position>,
    last: Option<Position>,
    /// Index of the first record, where there is one.
    start: u64,
    /// The records from some index to the last one, without a gap.
    recent: VecDeque<Record>,
    recent_bytes: usize,
    recent_bytes_max: usize,
}

fn cost(record: &Record) -> usize {
    record.payload.len() + RECORD_OVERHEAD_BYTES
}

impl Memory {
    /// A log whose records, where it has any, begin at index `start` and are all on disk only.
    pub(crate) fn new(
        purged: Option<Position>,
        last: Option<Position>,
        start: Option<u64>,
        recent_bytes_max: usize,
    ) -> Self {
        let last = last.max_by_index(purged);
        Memory {
            purged,
            last,
            start: start.unwrap_or(last.map_or(0, |last| last.index + 1)),
            recent: VecDeque::new(),
            recent_bytes: 0,
            recent_bytes_max,
        }
    }

    pub(crate) fn last(&self) -> Option<Position> {
        self.last
    }

    pub(crate) fn purged(&self) -> Option<Position> {
        self.purged
    }

    /// Appends; panics when an index does not follow the last one.
    pub(crate) fn append(&mut self, records: &[Record]) {
        for record in records {
            match self.last {
                Some(last) => assert_eq!(
                    record.position.index,
                    last.index + 1,
                    "a log record must follow the last one"
                ),
                None => self.start = record.position.index,
            }
            self.last = Some(record.position);
            self.recent_bytes += cost(record);
            self.recent.push_back(record.clone());
        }
    }

    /// Removes what lies behind `last`; a `last` beyond the end, or purged, changes nothing more
    /// than it can.
    pub(crate) fn truncate_after(&mut self, last: Option<Position>) {
        let last = last.max_by_index(self.purged);
        let Some(end) = self.last else { return };
        if last.is_some_and(|last| last.index >= end.index) {
            return;
        }
        let keep = last.map_or(0, |last| last.index + 1);
        while let Some(record) = self.recent.back() {
            if record.position.index < keep {
                break;
            }
            self.recent_bytes -= cost(record);
            self.recent.pop_back();
        }
        self.start = self.start.min(keep);
        self.last = last;
    }

    /// Forgets everything up to and including `through`.
    pub(crate) fn purge(&mut self, through: Position) {
        if self.purged.is_some_and(|old| old.index >= through.index) {
            return;
        }
        self.purged = Some(through);
        self.start = self.start.max(through.index + 1);
        self.last = self.last.max_by_index(self.purged);
        self.forget_before(through.index + 1);
    }

    /// Lets go of the oldest records above the bound in bytes, as far as index `written`, up to
    /// which (inclusive) they can be read from the disk.
    pub(crate) fn evict(&mut self, written: u64) {
        while self.recent_bytes > self.recent_bytes_max {
            match self.recent.front() {
                Some(record) if record.position.index <= written => {
                    self.forget_before(record.position.index + 1);
                }
                _ => break,
            }
        }
    }

    fn forget_before(&mut self, index: u64) {
        while let Some(record) = self.recent.front() {
            if record.position.index >= index {
                break;
            }
            self.recent_bytes -= cost(record);
            self.recent.pop_front();
        }
    }

    /// `range` narrowed to what the log holds.
    pub(crate) fn clamp(&self, range: Range<u64>) -> Range<u64> {
        let start = range.start.max(self.start);
        let end = self.last.map_or(0, |last| range.end.min(last.index + 1));
        start..end.max(start)
    }

    /// Index of the oldest record in memory; the end of the log when there is none.
    pub(crate) fn recent_start(&self) -> u64 {
        match self.recent.front() {
            Some(record) => record.position.index,
            None => self.last.map_or(0, |last| last.index + 1),
        }
    }

    /// The records from `start` on that are in memory, ending before `end` and where payloads
    /// would exceed `bytes_max` (one at least, unless `first` already is).
    pub(crate) fn collect(&self, range: Range<u64>, bytes_max: usize, records: &mut Vec<Record>) {
        let base = self.recent_start();
        if range.start < base {
            return;
        }
        let mut bytes: usize = records.iter().map(|record| record.payload.len()).sum();
        let skip = (range.start - base) as usize;
        let count = range.end.saturating_sub(range.start) as usize;
        for record in self.recent.iter().skip(skip).take(count) {
            bytes += record.payload.len();
            if bytes > bytes_max && !records.is_empty() {
                break;
            }
            records.push(record.clone());
        }
    }
}

/// The position that lies further, by index: terms of truncated records do not count.
pub(crate) trait MaxByIndex {
    fn max_by_index(self, other: Self) -> Self;
}

impl MaxByIndex for Option<Position> {
    fn max_by_index(self, other: Self) -> Self {
        match (self, other) {
            (Some(a), Some(b)) => Some(if b.index >= a.index { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

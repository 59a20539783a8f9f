//! Where each live record lies on disk: the log as the frames written so far add up to it.

use std::collections::VecDeque;

use super::super::Position;
use super::super::memory::MaxByIndex;
use super::format::{ALIGNMENT_BYTES, Change};

/// Segment offsets are kept in units of the alignment, so that a location fits 8 bytes and a
/// segment may reach 32 GiB.
pub(super) const OFFSET_MAX: u64 = u32::MAX as u64 * ALIGNMENT_BYTES as u64;

#[derive(Debug, Clone, Copy)]
struct Location {
    segment: u32,
    offset_units: u32,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    purged: Option<Position>,
    last: Option<Position>,
    /// Index of the first location.
    start: u64,
    locations: VecDeque<Location>,
}

impl Index {
    pub(super) fn purged(&self) -> Option<Position> {
        self.purged
    }

    pub(super) fn last(&self) -> Option<Position> {
        self.last
    }

    pub(super) fn len(&self) -> u64 {
        self.locations.len() as u64
    }

    /// Index of the first live record.
    pub(super) fn start(&self) -> Option<u64> {
        (!self.locations.is_empty()).then_some(self.start)
    }

    /// Takes over a change that lies at `offset` of the segment `sequence`.
    ///
    /// # Errors
    /// A record whose index does not follow gives the index that should have come; nothing is
    /// changed then.
    pub(super) fn apply(
        &mut self,
        change: &Change<'_>,
        sequence: u64,
        offset: u64,
    ) -> Result<(), u64> {
        match *change {
            Change::Record { position, .. } => {
                if let Some(last) = self.last
                    && position.index != last.index + 1
                {
                    return Err(last.index + 1);
                }
                if self.locations.is_empty() {
                    self.start = position.index;
                }
                self.locations.push_back(Location {
                    segment: sequence as u32,
                    offset_units: (offset / ALIGNMENT_BYTES as u64) as u32,
                });
                self.last = Some(position);
            }
            Change::Truncate { last } => self.truncate_after(last),
            Change::Purge { through, last, .. } => {
                let begins_here = self.last.is_none();
                self.purge(through);
                if begins_here {
                    // The records up to `last` were in segments that have been dropped since.
                    self.last = Some(last);
                }
            }
        }
        Ok(())
    }

    fn truncate_after(&mut self, last: Option<Position>) {
        let last = last.max_by_index(self.purged);
        let Some(end) = self.last else { return };
        if last.is_some_and(|last| last.index >= end.index) {
            return;
        }
        let keep = last.map_or(0, |last| (last.index + 1).saturating_sub(self.start));
        self.locations.truncate(keep as usize);
        self.last = last;
    }

    fn purge(&mut self, through: Position) {
        if self.purged.is_some_and(|old| old.index >= through.index) {
            return;
        }
        self.purged = Some(through);
        let drop = (through.index + 1)
            .saturating_sub(self.start)
            .min(self.len());
        self.locations.drain(..drop as usize);
        self.start += drop;
        self.last = self.last.max_by_index(self.purged);
    }

    /// Sequence number and offset of the record at `index`.
    pub(super) fn locate(&self, index: u64) -> Option<(u64, u64)> {
        let at = usize::try_from(index.checked_sub(self.start)?).ok()?;
        let location = self.locations.get(at)?;
        let offset = u64::from(location.offset_units) * ALIGNMENT_BYTES as u64;
        Some((u64::from(location.segment), offset))
    }

    /// The segment of the oldest live record.
    pub(super) fn oldest_segment(&self) -> Option<u64> {
        self.locations
            .front()
            .map(|location| u64::from(location.segment))
    }
}

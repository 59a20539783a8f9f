//! What is counted of each command.

use super::histogram::Histogram;

/// What one command did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommandStats {
    /// Times that it was executed.
    pub calls: u64,
    /// Nanoseconds that the executions took.
    pub ns: u64,
    /// Times that it was refused before it was executed (arity, a state that forbids it).
    pub rejected: u64,
    /// Executions that answered with an error.
    pub failed: u64,
    /// How long the executions took; there from the first one on.
    pub latency: Option<Box<Histogram>>,
}

impl CommandStats {
    /// Adds what another core counted of the same command.
    pub fn merge(&mut self, other: &CommandStats) {
        self.calls += other.calls;
        self.ns = self.ns.saturating_add(other.ns);
        self.rejected += other.rejected;
        self.failed += other.failed;
        if let Some(latency) = &other.latency {
            self.latency.get_or_insert_default().merge(latency);
        }
    }

    fn is_empty(&self) -> bool {
        self.calls == 0 && self.rejected == 0
    }
}

/// The statistics of every command, by its id in the command table.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommandMetrics {
    by_id: Vec<CommandStats>,
}

impl CommandMetrics {
    /// Counts an execution of `ns` nanoseconds.
    #[inline]
    pub fn executed(&mut self, id: u16, ns: u64, failed: bool) {
        let stats = self.of(id);
        stats.calls += 1;
        stats.ns += ns;
        stats.failed += failed as u64;
        stats.latency.get_or_insert_default().record(ns);
    }

    /// Counts an execution, and its time where it was taken.
    #[inline]
    pub fn ran(&mut self, id: u16, failed: bool, time: Option<(u64, u64)>) {
        let stats = self.of(id);
        stats.calls += 1;
        stats.failed += failed as u64;
        if let Some((ns, weight)) = time {
            stats.ns += ns * weight;
            stats
                .latency
                .get_or_insert_default()
                .record_many(ns, weight);
        }
    }

    /// Counts a batch of executions of one command that were timed together: `count` of them took
    /// `ns` in all. For hot loops that do not read the clock for every command.
    #[inline]
    pub fn executed_many(&mut self, id: u16, count: u64, ns: u64) {
        if count == 0 {
            return;
        }
        let stats = self.of(id);
        stats.calls += count;
        stats.ns += ns;
        let latency = stats.latency.get_or_insert_default();
        latency.record_many(ns / count, count);
    }

    /// Counts one that was refused before it was executed.
    #[inline]
    pub fn rejected(&mut self, id: u16) {
        self.of(id).rejected += 1;
    }

    #[inline]
    fn of(&mut self, id: u16) -> &mut CommandStats {
        let at = id as usize;
        if at >= self.by_id.len() {
            self.grow(at);
        }
        &mut self.by_id[at]
    }

    #[cold]
    fn grow(&mut self, at: usize) {
        self.by_id.resize_with(at + 1, CommandStats::default);
    }

    /// Ids and statistics of the commands that came, in the order of the ids.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &CommandStats)> {
        self.by_id
            .iter()
            .enumerate()
            .filter(|(_, stats)| !stats.is_empty())
            .map(|(id, stats)| (id as u16, stats))
    }

    pub fn merge(&mut self, other: &CommandMetrics) {
        for (id, stats) in other.iter() {
            self.of(id).merge(stats);
        }
    }

    /// Forgets latencies and keeps the counts (`LATENCY RESET`).
    pub fn reset_latencies(&mut self) {
        for stats in &mut self.by_id {
            stats.latency = None;
        }
    }

    pub fn reset(&mut self) {
        self.by_id.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_counted_by_id() {
        let mut core = CommandMetrics::default();
        core.executed(7, 1_000, false);
        core.executed(7, 3_000, true);
        core.rejected(400);
        let mut other = CommandMetrics::default();
        other.executed_many(7, 4, 8_000);
        other.executed_many(9, 0, 0);
        core.merge(&other);
        let seen: Vec<_> = core.iter().map(|(id, stats)| (id, stats.clone())).collect();
        assert_eq!(seen.len(), 2);
        let (id, get) = &seen[0];
        assert_eq!((*id, get.calls, get.ns, get.failed), (7, 6, 12_000, 1));
        assert_eq!(get.latency.as_ref().unwrap().count(), 6);
        assert_eq!((seen[1].0, seen[1].1.rejected), (400, 1));
        core.reset_latencies();
        assert!(core.iter().all(|(_, stats)| stats.latency.is_none()));
        core.reset();
        assert_eq!(core.iter().count(), 0);
    }
}

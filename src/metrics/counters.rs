//! What one core counts.

use std::collections::BTreeMap;

use crate::limits::ERROR_CODES_MAX;

use super::commands::CommandMetrics;
use super::slowlog::SlowLog;
use super::stages::Stages;
use super::timing::Timing;

/// Plain counters, since the start or `CONFIG RESETSTAT`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub connections_received: u64,
    /// Refused for `maxclients` or protected mode.
    pub connections_rejected: u64,
    /// Closed because they read too slowly (`client-output-buffer-limit`).
    pub connections_overflowed: u64,
    pub commands_processed: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
    /// Completed receives and sends.
    pub socket_reads: u64,
    pub socket_writes: u64,
    /// Keys that reads found, and did not.
    pub keyspace_hits: u64,
    pub keyspace_misses: u64,
    pub keys_expired: u64,
    pub errors_replied: u64,
    /// Entries that the Raft core proposed, and the commands in them.
    pub entries_proposed: u64,
    pub commands_proposed: u64,
    /// Messages to other cores, and the commands in them.
    pub messages_sent: u64,
    pub commands_sent: u64,
}

impl Counters {
    /// Adds what another core counted.
    pub fn merge(&mut self, other: &Counters) {
        // Named one by one, so that a new field cannot be forgotten.
        let Counters {
            connections_received,
            connections_rejected,
            connections_overflowed,
            commands_processed,
            input_bytes,
            output_bytes,
            socket_reads,
            socket_writes,
            keyspace_hits,
            keyspace_misses,
            keys_expired,
            errors_replied,
            entries_proposed,
            commands_proposed,
            messages_sent,
            commands_sent,
        } = other;
        self.connections_received += connections_received;
        self.connections_rejected += connections_rejected;
        self.connections_overflowed += connections_overflowed;
        self.commands_processed += commands_processed;
        self.input_bytes += input_bytes;
        self.output_bytes += output_bytes;
        self.socket_reads += socket_reads;
        self.socket_writes += socket_writes;
        self.keyspace_hits += keyspace_hits;
        self.keyspace_misses += keyspace_misses;
        self.keys_expired += keys_expired;
        self.errors_replied += errors_replied;
        self.entries_proposed += entries_proposed;
        self.commands_proposed += commands_proposed;
        self.messages_sent += messages_sent;
        self.commands_sent += commands_sent;
    }
}

/// Error replies by their code word (`ERR`, `WRONGTYPE` ..).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorCounts(BTreeMap<String, u64>);

impl ErrorCounts {
    /// Counts an error reply by its text (without the leading `-`): its first word.
    pub fn record(&mut self, text: &str) {
        let code = text.split(' ').next().unwrap_or("ERR");
        self.add(code, 1);
    }

    fn add(&mut self, code: &str, count: u64) {
        if let Some(counted) = self.0.get_mut(code) {
            *counted += count;
        } else if self.0.len() < ERROR_CODES_MAX {
            self.0.insert(code.to_string(), count);
        }
    }

    /// Code words and counts, by word.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(code, count)| (code.as_str(), *count))
    }

    pub fn merge(&mut self, other: &ErrorCounts) {
        for (code, count) in other.iter() {
            self.add(code, count);
        }
    }
}

/// All that one core counts and measures. Owned by it; others get copies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CoreMetrics {
    pub counters: Counters,
    pub commands: CommandMetrics,
    pub errors: ErrorCounts,
    pub stages: Stages,
    pub slow: SlowLog,
    /// Commands of constant time, for [`Timing`].
    sampled: u32,
}

impl CoreMetrics {
    /// Begins to time a command, if it is to be timed.
    #[inline]
    pub fn time(&mut self, constant: bool) -> Timing {
        Timing::begin(constant, &mut self.sampled)
    }

    /// Counts a command that ran, with its error if it failed. Answers the microseconds that it
    /// took, where they were taken.
    #[inline]
    pub fn ran(&mut self, id: u16, timing: Timing, error: Option<&str>) -> Option<u64> {
        let time = timing.end();
        self.counters.commands_processed += 1;
        self.commands.ran(id, error.is_some(), time);
        if let Some(error) = error {
            self.error_replied(error);
        }
        time.map(|(ns, _)| ns / 1000)
    }

    /// Adds what another core counted. O(commands x places of a histogram): for `INFO`, not for a
    /// hot path.
    pub fn merge(&mut self, other: &CoreMetrics) {
        self.counters.merge(&other.counters);
        self.commands.merge(&other.commands);
        self.errors.merge(&other.errors);
        self.stages.merge(&other.stages);
    }

    /// Counts an error reply.
    #[cold]
    pub fn error_replied(&mut self, text: &str) {
        self.counters.errors_replied += 1;
        self.errors.record(text);
    }

    /// Back to nothing (`CONFIG RESETSTAT`).
    pub fn reset(&mut self) {
        *self = CoreMetrics::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Stage;

    #[test]
    fn cores_add_up() {
        let mut sum = CoreMetrics::default();
        for core in 1..=3u64 {
            let mut metrics = CoreMetrics::default();
            metrics.counters.commands_processed = core;
            metrics.counters.commands_sent = 10 * core;
            metrics.commands.executed(1, 100 * core, false);
            metrics.error_replied("WRONGTYPE Operation ..");
            metrics.stages.record(Stage::Sync, core);
            sum.merge(&metrics);
        }
        assert_eq!(sum.counters.commands_processed, 6);
        assert_eq!(
            (sum.counters.commands_sent, sum.counters.errors_replied),
            (60, 3)
        );
        assert_eq!(sum.commands.iter().next().unwrap().1.ns, 600);
        assert_eq!(sum.errors.iter().collect::<Vec<_>>(), [("WRONGTYPE", 3)]);
        assert_eq!(sum.stages.of(Stage::Sync).count(), 3);
        sum.reset();
        assert_eq!(sum, CoreMetrics::default());
    }

    #[test]
    fn error_codes_are_bounded() {
        let mut errors = ErrorCounts::default();
        for made_up in 0..1000 {
            errors.record(&format!("CODE{made_up} text"));
        }
        assert_eq!(errors.iter().count(), ERROR_CODES_MAX);
        errors.record("CODE0 again");
        assert_eq!(errors.iter().next(), Some(("CODE0", 2)));
    }
}

//! What a transport has seen.

use std::cell::Cell;

/// Counts since the transport began to listen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TransportCounters {
    /// Connections dropped before they had shown that they know the cluster's secret: garbage,
    /// another secret, silence, or one too many at a time.
    pub strangers_dropped: u64,
    /// Of these, the ones that spoke our protocol with another secret.
    pub wrong_secrets: u64,
    /// Connections of peers dropped for bytes that made no sense.
    pub garbage_dropped: u64,
    /// Connections to peers made anew after one broke.
    pub reconnects: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// Checkpoints sent to their end, and installed where they went.
    pub checkpoints_sent: u64,
    /// Of the checkpoints' chunks sent, and of those kept here.
    pub checkpoint_bytes_sent: u64,
    pub checkpoint_bytes_received: u64,
    /// Chunks that did not have to be sent again after a connection broke.
    pub checkpoint_chunks_resumed: u64,
}

#[derive(Default)]
pub(super) struct Counters(Cell<TransportCounters>);

impl Counters {
    pub(super) fn read(&self) -> TransportCounters {
        self.0.get()
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut TransportCounters)) {
        let mut counters = self.0.get();
        change(&mut counters);
        self.0.set(counters);
    }

    pub(super) fn sent(&self, bytes: usize) {
        self.change(|counters| counters.bytes_sent += bytes as u64);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.change(|counters| counters.bytes_received += bytes as u64);
    }
}

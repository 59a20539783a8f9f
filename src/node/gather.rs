//! Questions that every core answers, and what is made of the answers: `INFO`, `CLIENT LIST`,
//! `CONFIG SET` and the like. Far from the path of a request.

use std::collections::{HashMap, VecDeque};

use super::cluster_reply::ClusterQuery;
use super::cluster_view::{Change, ClusterView};
use super::slot_scan::SlotScan;
use crate::config::Name;
use crate::metrics::{CoreMetrics, KeyspaceInfo, PersistenceInfo, SlowEntry};
use crate::resp::Error;

/// What one core asks another.
#[derive(Debug, Clone)]
pub enum Question {
    /// What is measured.
    Report,
    /// The connections that the filter selects, as lines of `CLIENT LIST`.
    Clients(Filter),
    /// Close the connections that the filter selects.
    Kill(Filter),
    /// Settings as pairs of name and value, and the names of those that change.
    Configure(Vec<(String, String)>, Vec<Name>),
    /// Forget what was counted.
    ResetCounts,
    ResetLatencies,
    /// The slow log, or that it be emptied.
    SlowLog,
    ResetSlowLog,
    /// Raft core: how many other nodes have a write, once they are enough or after so many ms.
    Copies(Awaited, u64),
    /// Raft core: write a checkpoint.
    Checkpoint,
    /// Raft core: how it sees the cluster.
    Cluster,
    /// Raft core: change the cluster.
    Change(Change),
    /// The shard's core: keys of its own that lie in a slot, or how many.
    SlotKeys {
        db: u8,
        slot: u16,
        keys_max: Option<usize>,
    },
}

/// What `WAIT` or `WAITAOF` wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// The connection's last write.
    pub index: u64,
    /// So many other nodes are to have it.
    pub replicas: u8,
    /// `WAITAOF`: on their disks, and on this node's.
    pub on_disk: bool,
    /// The timeout, on the steady clock.
    pub until_ms: u64,
    /// So many were found to have it so far.
    pub found: usize,
}

/// What a core answers.
#[derive(Debug)]
pub enum Answer {
    Report(Box<Report>),
    Lines(Vec<String>),
    Slow(Vec<SlowEntry>),
    Count(usize),
    Cluster(Box<ClusterView>),
    /// So many other nodes have it.
    Copies(usize),
    Keys(Vec<Vec<u8>>),
    /// Done, or why not.
    Done(Result<(), String>),
    /// Not done, with an error that has its code word.
    Refused(Error),
}

/// What a core measures.
#[derive(Debug, Default)]
pub struct Report {
    pub metrics: CoreMetrics,
    pub clients: usize,
    pub input_bytes_max: u64,
    pub output_bytes_max: u64,
    pub dataset_bytes: u64,
    pub keyspace: Vec<KeyspaceInfo>,
    /// From the Raft core.
    pub raft: Option<Box<(ClusterView, PersistenceInfo)>>,
}

/// Which connections `CLIENT LIST` and `CLIENT KILL` mean. Empty: all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub ids: Vec<u64>,
    pub address: Option<String>,
    pub local_address: Option<String>,
    pub user: Option<String>,
    /// `normal` is the only type that there is.
    pub kind: Option<String>,
    /// Connections at least this old, in seconds.
    pub age_s_min: Option<u64>,
    /// Not this one.
    pub except: Option<u64>,
}

/// Questions under way that this core asked.
#[derive(Default)]
pub struct Gathers {
    next: u64,
    under_way: HashMap<u64, Gather>,
    /// Walks of this core's shard, for any core, oldest first. Each is one that a client waits
    /// for, and what a client may wait for is bounded.
    pub(super) scans: VecDeque<SlotScan>,
}

/// One question: who wants to know, and what came so far.
pub struct Gather {
    pub client: u64,
    pub seq: u32,
    pub purpose: Purpose,
    pub answers: Vec<Answer>,
    missing: usize,
}

/// What is made of the answers.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// `INFO` with these sections.
    Info(Vec<String>),
    MemoryStats,
    MemoryDoctor,
    LatencyDoctor,
    LatencyStages,
    /// `LATENCY HISTOGRAM` with these commands.
    LatencyHistogram(Vec<Vec<u8>>),
    ClientLines,
    /// `SLOWLOG GET` with at most so many entries; `SLOWLOG LEN`.
    SlowEntries(usize),
    SlowCount,
    /// `CLIENT KILL` in its old form answers OK, in its new one a count.
    Killed {
        old_form: bool,
    },
    Done,
    /// `WAIT`, `WAITAOF`
    Copies(Awaited),
    /// `BGSAVE`: a status line once it has begun.
    Status(&'static str),
    LastSave,
    Cluster(ClusterQuery),
    /// `CLUSTER COUNTKEYSINSLOT`, `GETKEYSINSLOT`
    SlotKeys,
}

impl Gathers {
    /// Notes a question to `cores` cores and gives it a number.
    pub fn begin(&mut self, client: u64, seq: u32, purpose: Purpose, cores: usize) -> u64 {
        self.next += 1;
        let gather = Gather {
            client,
            seq,
            purpose,
            answers: Vec::new(),
            missing: cores,
        };
        self.under_way.insert(self.next, gather);
        self.next
    }

    /// Takes an answer. Gives the question back when it was the last one.
    pub fn answered(&mut self, number: u64, answer: Answer) -> Option<Gather> {
        let gather = self.under_way.get_mut(&number)?;
        gather.answers.push(answer);
        gather.missing -= 1;
        if gather.missing > 0 {
            return None;
        }
        self.under_way.remove(&number)
    }
}

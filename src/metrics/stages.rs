//! The microscope: where the time of a write goes.

use super::histogram::Histogram;

/// The stages of one write, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From the request to the entry that carries it: waiting for the batch.
    Queue,
    /// Handing the entry to the log.
    Append,
    /// From there until it is as durable as asked.
    Sync,
    /// From there until a quorum has it.
    Commit,
    /// From there until the shards have executed it.
    Apply,
    /// From there until the reply is handed to the socket.
    Reply,
}

impl Stage {
    pub const ALL: [Stage; 6] = [
        Stage::Queue,
        Stage::Append,
        Stage::Sync,
        Stage::Commit,
        Stage::Apply,
        Stage::Reply,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Stage::Queue => "queue",
            Stage::Append => "append",
            Stage::Sync => "sync",
            Stage::Commit => "commit",
            Stage::Apply => "apply",
            Stage::Reply => "reply",
        }
    }
}

/// How long each stage took, per batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stages {
    stages: [Histogram; 6],
}

impl Stages {
    /// Counts one passage of a stage.
    #[inline]
    pub fn record(&mut self, stage: Stage, ns: u64) {
        self.stages[stage as usize].record(ns);
    }

    pub fn of(&self, stage: Stage) -> &Histogram {
        &self.stages[stage as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (Stage, &Histogram)> {
        Stage::ALL.into_iter().zip(&self.stages)
    }

    pub fn merge(&mut self, other: &Stages) {
        for (to, from) in self.stages.iter_mut().zip(&other.stages) {
            to.merge(from);
        }
    }

    pub fn reset(&mut self) {
        self.stages.iter_mut().for_each(Histogram::reset);
    }
}

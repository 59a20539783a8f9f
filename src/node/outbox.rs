//! What leaves a core: replies and messages.

use std::collections::VecDeque;

use crate::clock;
use crate::command::Spec;
use crate::config::Config;
use crate::keyspace::OrderSlice;
use crate::metrics::{CoreMetrics, SlowEntry, Timing};
use crate::resp::{Args, Reply};
use crate::rt::mesh::Mesh;
use crate::session::Session;
use crate::shard::{Host, Item, ShardMessage};
use crate::value::Digest;

use super::client::Clients;
use super::digests::Point;
use super::engine::NOBODY;
use super::gather::{Answer, Question};
use super::layout::Layout;
use super::message::{Message, Reads, Replies};

/// What leaves this core at the end of the turn.
pub(super) struct Outboxes {
    core: usize,
    layout: Layout,
    pub mesh: Mesh<Message>,
    pub reads: Vec<Reads>,
    replies: Vec<Replies>,
    /// `slowlog-log-slower-than` (never: the largest number), `slowlog-max-len`.
    pub slow_us_min: u64,
    pub slow_len_max: usize,
    /// What this core asks itself.
    pub to_self: VecDeque<Message>,
}

impl Outboxes {
    /// Empty ones of core `mesh.core()`.
    pub fn new(layout: Layout, mesh: Mesh<Message>, config: &Config) -> Self {
        Outboxes {
            core: mesh.core(),
            layout,
            mesh,
            reads: (0..layout.cores).map(|_| Reads::default()).collect(),
            replies: (0..layout.cores).map(|_| Replies::default()).collect(),
            slow_us_min: config.slowlog_us_min().unwrap_or(u64::MAX),
            slow_len_max: config.slowlog_len_max(),
            to_self: VecDeque::new(),
        }
    }

    /// Keeps a command in the slow log.
    #[cold]
    pub fn note_slow(
        &self,
        metrics: &mut CoreMetrics,
        spec: &Spec,
        args: Args<'_>,
        us: u64,
        session: Option<&Session>,
    ) {
        let name = std::iter::once(spec.name.as_bytes().to_vec());
        let entry = SlowEntry {
            id: 0,
            time_s: clock::now_ms() / 1000,
            us,
            arguments: name.chain(args.iter_from(1).map(<[u8]>::to_vec)).collect(),
            address: session
                .map(|session| session.address.clone())
                .unwrap_or_default(),
            name: session
                .map(|session| session.name.clone())
                .unwrap_or_default(),
        };
        metrics
            .slow
            .push(entry, self.core, self.layout.cores, self.slow_len_max);
    }

    /// Sends to any core, this one included.
    pub(super) fn send(&mut self, core: usize, message: Message) {
        if core == self.core {
            self.to_self.push_back(message);
        } else {
            self.mesh.send(core, message);
        }
    }

    /// Asks a core.
    pub fn ask(&mut self, core: usize, number: u64, question: Question) {
        self.send(core, Message::Question(number, Box::new(question)));
    }

    /// Answers a core's question.
    pub fn answer(&mut self, core: usize, number: u64, answer: Answer) {
        self.send(core, Message::Answer(number, Box::new(answer)));
    }

    pub(super) fn flush(&mut self) {
        if self.layout.cores == 1 {
            return;
        }
        for core in 0..self.layout.cores {
            if !self.reads[core].items.is_empty() {
                let reads = std::mem::take(&mut self.reads[core]);
                self.mesh.send(core, Message::Reads(reads.into()));
            }
            if !self.replies[core].items.is_empty() {
                let replies = std::mem::take(&mut self.replies[core]);
                self.mesh.send(core, Message::Replies(replies.into()));
            }
        }
        self.mesh.flush();
    }
}

/// Where a shard's replies and messages go while it runs.
pub(super) struct Link<'l, C> {
    pub out: &'l mut Outboxes,
    pub metrics: &'l mut CoreMetrics,
    pub clients: &'l mut C,
}

impl<C: Clients> Host for Link<'_, C> {
    #[inline]
    fn reply(&mut self, origin: usize, item: &Item, write: &mut dyn FnMut(&mut Vec<u8>)) {
        if origin == self.out.core {
            if let Some(client) = self.clients.client(item.client) {
                client.complete(item.seq, item.ordered, write);
            }
            return;
        }
        if item.client == NOBODY {
            return;
        }
        let replies = &mut self.out.replies[origin];
        let before = replies.bytes.len();
        write(&mut replies.bytes);
        replies
            .items
            .push((*item, (replies.bytes.len() - before) as u32));
    }

    fn send(&mut self, shard: usize, message: ShardMessage) {
        let core = self.out.layout.core_of(shard);
        self.out.send(core, Message::Shard(message));
    }

    fn digested(&mut self, index: u64, slice: OrderSlice, digest: Digest, us: u64) {
        let part = Point {
            index,
            slice,
            digest,
        };
        let raft_core = self.out.layout.raft_core;
        self.out.send(raft_core, Message::Digested(part, us));
    }

    #[inline]
    fn time(&mut self, spec: &Spec) -> Timing {
        self.metrics.time(spec.is_constant_time())
    }

    #[inline]
    fn ran(
        &mut self,
        spec: &Spec,
        args: Args<'_>,
        item: Option<&Item>,
        timing: Timing,
        reply: &Reply<'_>,
    ) {
        let error = match reply {
            Reply::Error(error) => Some(&*error.0),
            _ => None,
        };
        self.metrics.counters.keys_expired +=
            u64::from(spec.id == crate::command::EXPIRE && *reply == Reply::Int(1));
        let us = self.metrics.ran(spec.id, timing, error);
        if let (Some(us), Some(item)) = (us, item)
            && us >= self.out.slow_us_min
        {
            let own = item.origin() == self.out.core;
            let session = if own {
                self.clients.client(item.client)
            } else {
                None
            };
            let session = session.map(|client| &client.session);
            self.out.note_slow(self.metrics, spec, args, us, session);
        }
    }
}

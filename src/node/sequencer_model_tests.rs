//! The sequencers of three nodes over a model of a Raft log, under random leaders, losses and
//! delays.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};

use bytes::Bytes;
use futures::channel::oneshot;

use crate::command::Rng;
use crate::error::Unavailable;
use crate::limits::{BATCH_PATIENCE_MS, ENTRY_BYTES_SOFT};
use crate::log::Position;
use crate::shard::Local;

use super::entry::{self, HEAD_BYTES};
use super::forward::{Foreign, ForeignAnswer, Forward, Forwarded};
use super::message::Submission;
use super::sequencer::{Outgoing, State};
use super::standing::{Proposer, Seat, Standing};

const NODES: usize = 3;

/// Every so many worlds have large batches.
const LARGE_EVERY: u64 = 25;

/// What a node's group takes, and how the node believes to stand.
struct Group {
    standing: Cell<Standing>,
    taken: RefCell<Vec<(u64, Bytes)>>,
    /// It hands the lead over, or tries to: nothing is taken.
    handing_over: Cell<bool>,
}

impl Proposer for Group {
    fn standing(&self) -> Standing {
        self.standing.get()
    }

    fn propose(&self, term: u64, tag: u64, payload: Bytes, _sync: bool) -> Result<(), Unavailable> {
        assert_eq!(term, self.standing.get().term);
        if self.handing_over.get() {
            return Err(Unavailable::NoLeader);
        }
        self.taken.borrow_mut().push((tag, payload));
        Ok(())
    }
}

/// An entry: its term and, where it holds batches, who proposed it.
#[derive(Clone)]
struct Entry {
    term: u64,
    proposer: Option<(usize, u64)>,
    payload: Bytes,
}

struct Node {
    state: State,
    group: Group,
    /// Entries of the log that it has applied.
    applied: usize,
    /// Own entries that were overtaken by another leader and that it has not heard of.
    overtaken: Vec<u64>,
}

/// A call on its way to a leader, or its answer on its way back.
enum Call {
    To(usize, usize, Forward),
    Answer(usize, u64, oneshot::Receiver<Result<(), Unavailable>>),
}

/// What was handed over as number `origin` of a node.
struct Handed {
    node: usize,
    reads: bool,
    /// Committed entries when it was handed over.
    committed: usize,
    /// How it was answered: applied or read at this many entries, or refused.
    end: Option<Result<usize, Unavailable>>,
}

struct World {
    rng: Rng,
    /// Some batches are so large that an entry takes a few only.
    is_large: bool,
    now_ms: u64,
    log: Vec<Entry>,
    leader: usize,
    term: u64,
    /// Entries of the leader that are not committed.
    open: VecDeque<Entry>,
    nodes: Vec<Node>,
    calls: Vec<Call>,
    rounds: Vec<(usize, u64)>,
    handed: Vec<Handed>,
}

impl World {
    fn new(seed: u64) -> Self {
        let node = |id: usize| Node {
            state: State::new(id as u64 + 1),
            group: Group {
                standing: Cell::default(),
                taken: RefCell::default(),
                handing_over: Cell::default(),
            },
            applied: 0,
            overtaken: Vec::new(),
        };
        let mut world = World {
            rng: Rng::new(seed),
            is_large: seed.is_multiple_of(LARGE_EVERY),
            now_ms: 1,
            log: Vec::new(),
            leader: 0,
            term: 0,
            open: VecDeque::new(),
            nodes: (0..NODES).map(node).collect(),
            calls: Vec::new(),
            rounds: Vec::new(),
            handed: Vec::new(),
        };
        world.elect();
        world
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.rng.number() % bound as u64) as usize
    }

    /// Another node leads. It has some of what the last one had not committed.
    fn elect(&mut self) {
        let kept = self.below(self.open.len() + 1);
        for (place, entry) in std::mem::take(&mut self.open).into_iter().enumerate() {
            if let Some((node, tag)) = entry.proposer {
                self.nodes[node].overtaken.push(tag);
            }
            if place < kept {
                self.log.push(Entry {
                    proposer: None,
                    ..entry
                });
            }
        }
        self.leader = self.below(NODES);
        self.term += 1;
        for node in &self.nodes {
            node.group.handing_over.set(false);
        }
        self.log.push(Entry {
            term: self.term,
            proposer: None,
            payload: Bytes::new(),
        });
        for node in 0..NODES {
            // The others hear of it sooner or later.
            if node == self.leader || self.below(2) == 0 {
                self.hear(node);
            }
        }
    }

    fn hear(&mut self, node: usize) {
        let seat = if node == self.leader {
            Seat::Leader { has_quorum: true }
        } else {
            Seat::Follower {
                leader: self.leader as u64 + 1,
            }
        };
        let term = self.term;
        self.nodes[node].group.standing.set(Standing { term, seat });
        for tag in std::mem::take(&mut self.nodes[node].overtaken) {
            self.nodes[node].state.failed(tag, &Unavailable::Uncertain);
        }
    }

    fn submit(&mut self) {
        let (node, reads) = (self.below(NODES), self.below(3) == 0);
        let mut commands = Vec::new();
        if !reads {
            commands.resize(HEAD_BYTES, 0);
            commands.extend((self.handed.len() as u64).to_le_bytes());
            if self.is_large && self.below(6) == 0 {
                commands.resize(ENTRY_BYTES_SOFT / 3, 0);
            }
        }
        let local = Local {
            origin: self.handed.len(),
            ..Local::default()
        };
        self.handed.push(Handed {
            node,
            reads,
            committed: self.log.len(),
            end: None,
        });
        let submission = Submission {
            commands,
            local,
            ..Submission::default()
        };
        self.nodes[node].state.submit(submission, self.now_ms);
    }

    /// One node's turn.
    fn turn(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.state.turn(&node.group, self.now_ms);
        for (tag, payload) in node.group.taken.take() {
            let standing = node.group.standing.get();
            if at == self.leader && standing.term == self.term {
                self.open.push_back(Entry {
                    term: self.term,
                    proposer: Some((at, tag)),
                    payload,
                });
            } else {
                // It does not lead any more: its group refuses, or logs what will be overtaken.
                node.overtaken.push(tag);
            }
        }
        if let Some(forward) = node.state.take_forward() {
            let leader = forward.leader as usize - 1;
            self.calls.push(Call::To(at, leader, forward));
        }
        if let Some(round) = node.state.take_round(self.now_ms) {
            self.rounds.push((at, round));
        }
        self.collect(at);
    }

    /// Takes note of what a node has answered.
    fn collect(&mut self, at: usize) {
        let mut applied_now = Vec::new();
        for outgoing in self.nodes[at].state.outgoing.drain(..) {
            match outgoing {
                Outgoing::Deliver(delivery) => {
                    let locals = delivery.parts.iter().flat_map(|part| &part.local);
                    let index = delivery.index as usize;
                    applied_now.extend(locals.map(|local| (local.origin, Ok(index))));
                }
                Outgoing::Release(..) => panic!("nothing is written at `all` here"),
                Outgoing::Refuse(local, why) => applied_now.push((local.origin, Err(why))),
            }
        }
        for (origin, end) in applied_now {
            let handed = &mut self.handed[origin];
            assert_eq!(handed.node, at);
            assert!(handed.end.is_none(), "{origin} was answered twice");
            handed.end = Some(end);
        }
    }

    fn apply(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let Some(entry) = self.log.get(node.applied) else {
            return;
        };
        node.applied += 1;
        let position = Position {
            term: entry.term,
            leader: 1,
            index: node.applied as u64,
        };
        if entry.payload.is_empty() {
            node.state.skipped(position);
        } else {
            let own = entry.proposer.filter(|(proposer, _)| *proposer == at);
            let tag = own.map(|(_, tag)| tag);
            node.state.committed(position, tag, entry.payload.clone());
        }
        self.collect(at);
    }

    fn carry(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let place = self.below(self.calls.len());
        let lost = self.below(6);
        match self.calls.swap_remove(place) {
            Call::To(from, _, forward) if lost == 0 => {
                let result = if self.below(2) == 0 {
                    Forwarded::Refused
                } else {
                    Forwarded::Unknown
                };
                let state = &mut self.nodes[from].state;
                state.forward_ended(forward.call, &result, self.now_ms);
            }
            Call::To(from, to, forward) => {
                let leads = matches!(
                    self.nodes[to].group.standing.get().seat,
                    Seat::Leader { .. }
                );
                if !leads {
                    let state = &mut self.nodes[from].state;
                    state.forward_ended(forward.call, &Forwarded::Refused, self.now_ms);
                    return;
                }
                let parts = entry::parts(&forward.batches).unwrap();
                let (sender, ended) = oneshot::channel();
                let answer = ForeignAnswer::new(sender, parts.len());
                for (name, range) in parts {
                    self.nodes[to].state.submit_foreign(Foreign {
                        name,
                        commands: forward.batches.slice(range),
                        sync: false,
                        term: forward.term,
                        answer: answer.clone(),
                    });
                }
                self.calls.push(Call::Answer(from, forward.call, ended));
            }
            Call::Answer(from, call, mut ended) => {
                let result = match ended.try_recv() {
                    _ if lost == 0 => Forwarded::Unknown,
                    Ok(None) => return self.calls.push(Call::Answer(from, call, ended)),
                    Ok(Some(Ok(()))) => Forwarded::Done,
                    Ok(Some(Err(why))) if why.is_refusal() => Forwarded::Refused,
                    _ => Forwarded::Unknown,
                };
                let state = &mut self.nodes[from].state;
                state.forward_ended(call, &result, self.now_ms);
            }
        }
    }

    fn end_round(&mut self) {
        if self.rounds.is_empty() {
            return;
        }
        let place = self.below(self.rounds.len());
        let (at, round) = self.rounds.swap_remove(place);
        let index = (self.below(5) > 0).then_some(self.log.len() as u64);
        let now_ms = self.now_ms;
        self.nodes[at].state.round_ended(round, index, now_ms);
        self.collect(at);
    }

    fn step(&mut self) {
        self.now_ms += self.below(3) as u64;
        let at = self.below(NODES);
        match self.below(40) {
            0..8 => self.submit(),
            8..18 => self.turn(at),
            18..26 => self.apply(at),
            26..32 => {
                if let Some(entry) = self.open.pop_front() {
                    self.log.push(entry);
                }
            }
            32..36 => self.carry(),
            36..38 => self.end_round(),
            38 => match self.below(8) {
                0 => self.nodes[at].group.handing_over.set(true),
                1..4 => self.nodes[at].group.handing_over.set(false),
                _ => self.hear(at),
            },
            _ if self.below(4) == 0 => self.elect(),
            _ => {}
        }
    }

    /// Lets everything come to its end, with a leader that stays.
    fn settle(&mut self) {
        self.elect();
        for node in 0..NODES {
            self.hear(node);
        }
        for turn in 0..400 {
            self.now_ms += 5;
            self.log.extend(self.open.drain(..));
            for node in 0..NODES {
                self.hear(node);
                while self.nodes[node].applied < self.log.len() {
                    self.apply(node);
                }
                self.turn(node);
            }
            for _ in 0..4 {
                self.carry();
                self.end_round();
            }
            if turn == 300 {
                self.now_ms += 2 * BATCH_PATIENCE_MS;
                for node in 0..NODES {
                    self.nodes[node].state.give_up(self.now_ms);
                    self.collect(node);
                }
            }
        }
    }

    fn check(&self) {
        let mut places: HashMap<usize, usize> = HashMap::new();
        let mut order = vec![Vec::new(); NODES];
        let mut names = HashSet::new();
        for (index, entry) in self.log.iter().enumerate() {
            for (name, range) in entry::parts(&entry.payload).unwrap_or_default() {
                assert!(names.insert((name.node, name.number)), "logged twice");
                let bytes = entry.payload[range][..8].try_into().unwrap();
                let origin = u64::from_le_bytes(bytes) as usize;
                places.insert(origin, index + 1);
                order[name.node as usize - 1].push(origin);
            }
        }
        for origins in order {
            assert!(origins.is_sorted(), "out of order: {origins:?}");
        }
        let mut before = [0; NODES];
        for (origin, handed) in self.handed.iter().enumerate() {
            let end = handed.end.as_ref().expect("an answer to everything");
            match end {
                Ok(index) => {
                    assert!(*index >= handed.committed.min(*index), "{origin}");
                    assert!(
                        *index >= before[handed.node],
                        "{origin} ran before its time"
                    );
                    before[handed.node] = *index;
                    if handed.reads {
                        // A batch behind it may have let it run at the place before its own.
                        assert!(index + 1 >= handed.committed, "{origin} read what was old");
                    } else {
                        assert_eq!(places.get(&origin), Some(index), "{origin}");
                    }
                }
                Err(Unavailable::Uncertain) => assert!(!handed.reads),
                Err(why) => {
                    assert_eq!(*why, Unavailable::NoLeader);
                    assert_eq!(places.get(&origin), None, "{origin} was refused and logged");
                }
            }
        }
        let served = self
            .handed
            .iter()
            .filter(|one| matches!(one.end, Some(Ok(_))));
        assert!(2 * served.count() > self.handed.len(), "most are served");
    }
}

#[test]
fn every_batch_is_logged_once_in_order_or_not_at_all() {
    for seed in 1..=300 {
        let mut world = World::new(seed);
        for _ in 0..2000 {
            world.step();
        }
        world.settle();
        world.check();
    }
}

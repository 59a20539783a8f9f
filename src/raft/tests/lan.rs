//! A network between the groups of one executor, that can be cut, slowed and made lossy, one way
//! or both.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use openraft::AsyncRuntime;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::log::Log;
use crate::raft::network::{Answer, Checkpoint, Peer, Peers};
use crate::raft::runtime::Glommio;
use crate::raft::types::{Types, Vote};
use crate::raft::{Applier, Group, GroupOptions, VoteStore};

/// The way from one node to another. What is lost is noticed after a while, as by a deadline.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way {
    pub is_cut: bool,
    pub delay: Duration,
    /// How many of a hundred messages are lost.
    pub loss_percent: u8,
    /// Answers wait, as in a connection that nothing gets through, and come when it is over.
    pub holds_answers: bool,
}

/// A kind of message on its way from one node to another.
type Line = (u64, u64, &'static str);

/// All nodes, and the ways between them. A node is reached by its address.
#[derive(Default)]
pub struct Lan {
    nodes: RefCell<HashMap<String, (u64, Group)>>,
    ways: RefCell<HashMap<(u64, u64), Way>>,
    /// The end of the last message of each kind on each way: messages of a kind keep their order.
    lines: RefCell<HashMap<Line, oneshot::Receiver<()>>>,
    /// Requests that reached their node, by the kind's name.
    served: RefCell<HashMap<&'static str, u64>>,
    /// Answers that are held look again when theirs is dropped.
    held: RefCell<Vec<oneshot::Sender<()>>>,
    /// State of the generator that decides what is lost.
    dice: Cell<u64>,
}

impl Lan {
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }

    /// The network as node `id` sees it.
    pub fn port(self: &Rc<Self>, id: u64) -> Rc<Port> {
        Rc::new(Port {
            id,
            lan: self.clone(),
        })
    }

    /// Lets `group`, node `id`, be reached at `address`.
    pub fn connect(&self, id: u64, address: impl Into<String>, group: &Group) {
        let mut nodes = self.nodes.borrow_mut();
        nodes.retain(|_, (known, _)| *known != id);
        nodes.insert(address.into(), (id, group.clone()));
    }

    /// Changes the way from `from` to `to`.
    pub fn set(&self, from: u64, to: u64, way: Way) {
        self.ways.borrow_mut().insert((from, to), way);
        self.held.take();
    }

    /// Lets answers from `from` to `to` wait until another word on that way.
    pub fn hold_answers(&self, from: u64, to: u64) {
        let holds_answers = true;
        self.set(
            from,
            to,
            Way {
                holds_answers,
                ..self.way(from, to)
            },
        );
    }

    pub fn cut_way(&self, from: u64, to: u64) {
        let is_cut = true;
        self.set(
            from,
            to,
            Way {
                is_cut,
                ..self.way(from, to)
            },
        );
    }

    /// Cuts all ways between one side and the other.
    pub fn part(&self, one: &[u64], other: &[u64]) {
        for a in one {
            for b in other {
                self.cut_way(*a, *b);
                self.cut_way(*b, *a);
            }
        }
    }

    /// Cuts `id` off from everybody.
    pub fn cut(&self, id: u64) {
        let others: Vec<u64> = self
            .ids()
            .into_iter()
            .filter(|other| *other != id)
            .collect();
        self.part(&[id], &others);
    }

    /// Heals all ways of `id`.
    pub fn heal(&self, id: u64) {
        self.ways
            .borrow_mut()
            .retain(|(from, to), _| *from != id && *to != id);
        self.held.take();
    }

    pub fn heal_all(&self) {
        self.ways.borrow_mut().clear();
        self.held.take();
    }

    pub fn ids(&self) -> Vec<u64> {
        self.nodes.borrow().values().map(|(id, _)| *id).collect()
    }

    pub fn served(&self, kind: &'static str) -> u64 {
        self.served.borrow().get(kind).copied().unwrap_or(0)
    }

    fn way(&self, from: u64, to: u64) -> Way {
        let ways = self.ways.borrow();
        ways.get(&(from, to)).copied().unwrap_or_default()
    }

    fn is_lost(&self, percent: u8) -> bool {
        let dice = self.dice.get();
        let dice = dice
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        self.dice.set(dice);
        (dice >> 33) % 100 < u64::from(percent)
    }

    async fn hold(&self, from: u64, to: u64) {
        while self.way(from, to).holds_answers {
            let (held, over) = oneshot::channel();
            self.held.borrow_mut().push(held);
            // It is dropped, never sent.
            let _ = over.await;
        }
    }

    /// Takes a message from one node to another, behind those of its kind before it.
    async fn carry(&self, from: u64, to: u64, kind: &'static str) -> io::Result<()> {
        let (ended, end) = oneshot::channel();
        let before = self.lines.borrow_mut().insert((from, to, kind), end);
        let way = self.way(from, to);
        if !way.delay.is_zero() {
            Glommio::sleep(way.delay).await;
        }
        if let Some(before) = before {
            // Its sender is dropped, there as here.
            let _ = before.await;
        }
        drop(ended);
        if self.way(from, to).is_cut || self.is_lost(way.loss_percent) {
            Glommio::sleep(Duration::from_millis(10)).await;
            return Err(io::ErrorKind::HostUnreachable.into());
        }
        Ok(())
    }
}

/// Starts a member that the others reach at `node-<id>`.
pub async fn start_on(
    lan: &Rc<Lan>,
    options: GroupOptions,
    log: Rc<dyn Log>,
    votes: Rc<dyn VoteStore>,
    applier: Rc<dyn Applier>,
) -> Group {
    let id = options.node_id;
    let started = Group::start_with(options, log, votes, applier, lan.port(id)).await;
    let group = started.expect("it starts");
    lan.connect(id, format!("node-{id}"), &group);
    group
}

pub struct Port {
    id: u64,
    lan: Rc<Lan>,
}

impl Port {
    /// Both ways have to be open: where only the way back is cut, the request is served and its
    /// answer lost. It is on its way at once, like those before it.
    fn call<T, E, F>(
        &self,
        kind: &'static str,
        to: &Peer,
        request: impl FnOnce(Group) -> F + 'static,
    ) -> Answer<T>
    where
        T: 'static,
        E: std::fmt::Display,
        F: Future<Output = Result<T, E>> + 'static,
    {
        let (lan, from, to) = (self.lan.clone(), self.id, to.clone());
        // It leaves at once, whether or not anybody looks for the answer.
        let called = Glommio::spawn(async move {
            let node = lan.nodes.borrow().get(&to.address).cloned();
            let reached = node.filter(|(id, _)| *id == to.id);
            let (id, node) = reached.ok_or(io::ErrorKind::HostUnreachable)?;
            lan.carry(from, id, kind).await?;
            *lan.served.borrow_mut().entry(kind).or_default() += 1;
            let answer = request(node)
                .await
                .map_err(|error| io::Error::other(error.to_string()));
            lan.hold(id, from).await;
            lan.carry(id, from, kind).await?;
            answer
        });
        Box::pin(async {
            called
                .await
                .map_err(|error| io::Error::other(error.to_string()))?
        })
    }
}

impl Peers for Port {
    fn append(
        &self,
        to: &Peer,
        request: AppendEntriesRequest<Types>,
    ) -> Answer<AppendEntriesResponse<Types>> {
        self.call("append", to, |node| async move {
            node.answer_append(request).await
        })
    }

    fn vote(&self, to: &Peer, request: VoteRequest<Types>) -> Answer<VoteResponse<Types>> {
        self.call(
            "vote",
            to,
            |node| async move { node.answer_vote(request).await },
        )
    }

    fn pre_vote(&self, to: &Peer, request: VoteRequest<Types>) -> Answer<VoteResponse<Types>> {
        self.call("pre-vote", to, |node| async move {
            node.answer_pre_vote(request).await
        })
    }

    fn install(
        &self,
        to: &Peer,
        vote: Vote,
        checkpoint: Checkpoint,
    ) -> Answer<SnapshotResponse<Types>> {
        self.call("install", to, move |node| async move {
            node.raft.install_full_snapshot(vote, checkpoint).await
        })
    }

    fn transfer(
        &self,
        to: &Peer,
        request: TransferLeaderRequest<Types>,
    ) -> Answer<TransferLeaderResponse<Types>> {
        self.call("transfer", to, |node| async move {
            node.answer_transfer(request).await
        })
    }
}

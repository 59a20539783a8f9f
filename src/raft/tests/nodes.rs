//! Several members of a group on one executor, over a [`Lan`].

use std::ops::Range;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::AsyncRuntime;

use super::lan::Lan;
use super::{Event, MemoryLog, MemoryVotes, TestApplier};
use crate::error::Unavailable;
use crate::raft::runtime::Glommio;
use crate::raft::{Group, GroupOptions, Member};

/// The longest election timeout of the members here.
pub const LEASE: Duration = Duration::from_millis(200);

/// One node: what survives its restarts, and what runs now.
pub struct Node {
    pub id: u64,
    pub log: Rc<MemoryLog>,
    pub votes: Rc<MemoryVotes>,
    pub applier: Rc<TestApplier>,
    pub group: Group,
}

impl Node {
    pub fn fate(&self, tag: u64) -> Option<Event> {
        self.applier.events().into_iter().find(|event| match event {
            Event::Applied(_, of, _) => *of == Some(tag),
            Event::Failed(of, _) => *of == tag,
            Event::Skipped(_) => false,
        })
    }

    /// Proposes and waits for the end of it.
    pub async fn outcome(&self, tag: u64) -> Result<u64, Unavailable> {
        let payload = Bytes::from(format!("entry {tag}"));
        self.group.propose(tag, payload, true)?;
        match until(|| self.fate(tag)).await {
            Event::Applied(index, ..) => Ok(index),
            Event::Failed(_, why) => Err(why),
            Event::Skipped(_) => unreachable!("a proposal is never skipped"),
        }
    }
}

pub struct Cluster {
    pub lan: Rc<Lan>,
    pub nodes: Vec<Node>,
}

pub fn member(id: u64) -> Member {
    let address = format!("node-{id}");
    Member { id, address }
}

/// Fast times, so that tests are; the first voters are 1 to `voters`.
fn options(id: u64, voters: u64) -> GroupOptions {
    GroupOptions {
        heartbeat_ms: 20,
        election_ms_min: 100,
        election_ms_max: LEASE.as_millis() as u64,
        ..GroupOptions::member(id, (1..=voters).map(member).collect())
    }
}

impl Cluster {
    /// Three voters.
    pub async fn start() -> Self {
        Self::of(3).await
    }

    pub async fn of(voters: u64) -> Self {
        let mut cluster = Cluster {
            lan: Lan::new(),
            nodes: Vec::new(),
        };
        for id in 1..=voters {
            cluster.add(options(id, voters)).await;
        }
        cluster
    }

    /// A node that waits to be added.
    pub async fn add_waiting(&mut self, id: u64) {
        self.add(options(id, 0)).await;
    }

    async fn add(&mut self, options: GroupOptions) {
        let (log, votes, applier) = (MemoryLog::new(), MemoryVotes::new(), TestApplier::new());
        let id = options.node_id;
        let group = start_member(&self.lan, options, &log, &votes, &applier).await;
        self.nodes.push(Node {
            id,
            log,
            votes,
            applier,
            group,
        });
    }

    pub async fn restart(&mut self, id: u64) {
        self.restart_with(id, |_| ()).await;
    }

    pub async fn restart_with(&mut self, id: u64, adjust: impl Fn(&mut GroupOptions)) {
        let mut options = options(id, 3);
        adjust(&mut options);
        let node = self.nodes.iter_mut().find(|node| node.id == id);
        let node = node.expect("a node");
        node.applier = node.applier.restart();
        node.group = start_member(&self.lan, options, &node.log, &node.votes, &node.applier).await;
    }

    pub fn node(&self, id: u64) -> &Node {
        let node = self.nodes.iter().find(|node| node.id == id);
        node.expect("a node")
    }

    /// All nodes but `id`.
    pub fn others(&self, id: u64) -> Vec<&Node> {
        self.nodes.iter().filter(|node| node.id != id).collect()
    }

    /// Waits for a leader among the nodes of which `eligible` holds.
    pub async fn leader(&self, eligible: impl Fn(u64) -> bool) -> &Node {
        until(|| {
            self.nodes
                .iter()
                .find(|node| eligible(node.id) && node.group.is_leader())
        })
        .await
    }

    /// Waits until every node's state is `expected`.
    pub async fn agree(&self, expected: &[Bytes]) {
        until(|| {
            let all = self
                .nodes
                .iter()
                .all(|node| node.applier.state() == expected);
            all.then_some(())
        })
        .await;
    }

    pub async fn stop(&self) {
        for node in &self.nodes {
            node.group.stop().await;
        }
    }
}

async fn start_member(
    lan: &Rc<Lan>,
    options: GroupOptions,
    log: &Rc<MemoryLog>,
    votes: &Rc<MemoryVotes>,
    applier: &Rc<TestApplier>,
) -> Group {
    let id = options.node_id;
    let (log, votes, applier) = (log.clone(), votes.clone(), applier.clone());
    let group = Group::start_with(options, log, votes, applier, lan.port(id)).await;
    let group = group.expect("a start");
    lan.connect(id, member(id).address, &group);
    group
}

pub async fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "nothing for ten seconds");
        Glommio::sleep(Duration::from_millis(2)).await;
    }
}

pub fn payloads(numbers: Range<u64>) -> Vec<Bytes> {
    numbers
        .map(|number| Bytes::from(format!("entry {number}")))
        .collect()
}

pub async fn propose(node: &Node, numbers: Range<u64>) {
    // A new leader refuses what is proposed before a quorum has answered it.
    while node.group.read_index().await.is_err() {
        Glommio::sleep(Duration::from_millis(2)).await;
    }
    let last = numbers.end - 1;
    for (number, payload) in numbers.clone().zip(payloads(numbers)) {
        node.group
            .propose(number, payload, true)
            .expect("room in the queue");
    }
    let applied = |event: &Event| matches!(event, Event::Applied(_, Some(tag), _) if *tag == last);
    until(|| node.applier.events().iter().any(applied).then_some(())).await;
}

//! Three members of a group on one executor: election, commit, failover, catching up.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::AsyncRuntime;

use super::lan::Lan;
use super::{Event, MemoryLog, MemoryVotes, TestApplier};
use crate::error::Unavailable;
use crate::raft::runtime::Glommio;
use crate::raft::{Group, GroupOptions, Member, Role};

/// One node: what survives its restarts, and what runs now.
struct Node {
    id: u64,
    log: Rc<MemoryLog>,
    votes: Rc<MemoryVotes>,
    applier: Rc<TestApplier>,
    group: Group,
}

struct Cluster {
    lan: Rc<Lan>,
    nodes: Vec<Node>,
}

impl Cluster {
    async fn start() -> Self {
        let lan = Lan::new();
        let mut nodes = Vec::new();
        for id in 1..=3 {
            let (log, votes, applier) = (MemoryLog::new(), MemoryVotes::new(), TestApplier::new());
            let group = start_member(&lan, id, &log, &votes, &applier).await;
            nodes.push(Node {
                id,
                log,
                votes,
                applier,
                group,
            });
        }
        Cluster { lan, nodes }
    }

    async fn restart(&mut self, id: u64) {
        let node = self
            .nodes
            .iter_mut()
            .find(|node| node.id == id)
            .expect("a node");
        node.applier = node.applier.restart();
        node.group = start_member(&self.lan, id, &node.log, &node.votes, &node.applier).await;
    }

    fn node(&self, id: u64) -> &Node {
        self.nodes
            .iter()
            .find(|node| node.id == id)
            .expect("a node")
    }

    /// Waits for a leader among the nodes of which `eligible` holds.
    async fn leader(&self, eligible: impl Fn(u64) -> bool) -> &Node {
        until(|| {
            self.nodes
                .iter()
                .find(|node| eligible(node.id) && node.group.is_leader())
        })
        .await
    }

    /// Waits until every node's state is `expected`.
    async fn agree(&self, expected: &[Bytes]) {
        until(|| {
            let all = self
                .nodes
                .iter()
                .all(|node| node.applier.state() == expected);
            all.then_some(())
        })
        .await;
    }

    async fn stop(&self) {
        for node in &self.nodes {
            node.group.stop().await;
        }
    }
}

async fn start_member(
    lan: &Rc<Lan>,
    id: u64,
    log: &Rc<MemoryLog>,
    votes: &Rc<MemoryVotes>,
    applier: &Rc<TestApplier>,
) -> Group {
    let member = |id| Member {
        id,
        address: format!("node-{id}"),
    };
    let options = GroupOptions {
        heartbeat_ms: 20,
        election_ms_min: 100,
        election_ms_max: 200,
        ..GroupOptions::member(id, (1..=3).map(member).collect())
    };
    let (log, votes, applier) = (log.clone(), votes.clone(), applier.clone());
    let group = Group::start_with(options, log, votes, applier, lan.port(id)).await;
    let group = group.expect("a start");
    lan.connect(id, format!("node-{id}"), &group);
    group
}

async fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "nothing for ten seconds");
        Glommio::sleep(Duration::from_millis(2)).await;
    }
}

fn payloads(numbers: std::ops::Range<u64>) -> Vec<Bytes> {
    numbers
        .map(|number| Bytes::from(format!("entry {number}")))
        .collect()
}

async fn propose(node: &Node, numbers: std::ops::Range<u64>) {
    let last = numbers.end - 1;
    for (number, payload) in numbers.clone().zip(payloads(numbers)) {
        node.group
            .propose(number, payload, true)
            .expect("room in the queue");
    }
    let applied = |event: &Event| matches!(event, Event::Applied(_, Some(tag), _) if *tag == last);
    until(|| node.applier.events().iter().any(applied).then_some(())).await;
}

#[test]
fn elects_commits_and_fails_over() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let old = cluster.leader(|_| true).await;
        old.group
            .wait_leader_and_recovered()
            .await
            .expect("a leader");
        propose(old, 0..50).await;
        cluster.agree(&payloads(0..50)).await;
        old.group.read_index().await.expect("a quorum is there");
        let follower = cluster
            .nodes
            .iter()
            .find(|node| node.id != old.id)
            .expect("three");
        assert_eq!(follower.group.state().role, Role::Follower);
        assert_eq!(follower.group.state().leader, Some(old.id));
        let term = old.group.state().term;
        assert_eq!(
            follower.group.read_index().await,
            Err(Unavailable::NoLeader)
        );

        // What the old leader takes after the cut is nobody's: it must not be acknowledged.
        cluster.lan.cut(old.id);
        old.group
            .propose(999, Bytes::from_static(b"lost"), true)
            .expect("it still leads");
        assert!(old.group.read_index().await.is_err(), "no quorum, no read");
        let new = cluster.leader(|id| id != old.id).await;
        assert!(new.group.state().term > term);
        propose(new, 50..60).await;
        assert_eq!(old.applier.state(), payloads(0..50));

        cluster.lan.heal(old.id);
        cluster.agree(&payloads(0..60)).await;
        assert!(!old.group.is_leader());
        let lost = Event::Failed(999, Unavailable::Uncertain);
        assert!(old.applier.events().contains(&lost));
        old.group
            .propose(1000, Bytes::new(), true)
            .expect("it can be asked");
        let refused = Event::Failed(1000, Unavailable::NoLeader);
        until(|| old.applier.events().contains(&refused).then_some(())).await;
        cluster.stop().await;
    });
}

#[test]
fn a_node_behind_the_purged_log_receives_the_checkpoint() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await.id;
        propose(cluster.node(leader), 0..10).await;
        cluster.agree(&payloads(0..10)).await;

        let away = 1 + leader % 3;
        cluster.lan.cut(away);
        cluster.node(away).group.stop().await;
        propose(cluster.node(leader), 10..40).await;
        let meta = cluster
            .node(leader)
            .group
            .checkpoint()
            .await
            .expect("a checkpoint");
        let purged = || cluster.node(leader).group.state().purged_index;
        until(|| (purged() == Some(meta.position.index)).then_some(())).await;

        cluster.restart(away).await;
        cluster.lan.heal(away);
        cluster.agree(&payloads(0..40)).await;
        propose(cluster.leader(|_| true).await, 40..45).await;
        cluster.agree(&payloads(0..45)).await;
        let state = cluster.node(away).group.state();
        assert_eq!(state.checkpoint_index, Some(meta.position.index));
        assert_eq!(state.voters.len(), 3);
        cluster.stop().await;
    });
}

#[test]
fn a_whole_cluster_restarts_with_everything_it_acknowledged() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        propose(cluster.leader(|_| true).await, 0..30).await;
        cluster.stop().await;
        for id in 1..=3 {
            cluster.restart(id).await;
        }
        for node in &cluster.nodes {
            node.group
                .wait_leader_and_recovered()
                .await
                .expect("a leader");
            assert_eq!(node.applier.state(), payloads(0..30));
        }
        cluster.stop().await;
    });
}

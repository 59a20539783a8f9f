//! The log behind a checkpoint, and what a group that stops still holds.

use std::rc::Rc;

use openraft::AsyncRuntime;

use super::lan::{Lan, start_on};
use super::nodes::{Node, member, propose, until};
use super::{MemoryLog, MemoryVotes, TestApplier};
use crate::raft::GroupOptions;
use crate::raft::runtime::Glommio;

/// So long that [`until`] does not wait for a group that waits for it.
const LEASE_MS: u64 = 60_000;

/// Starts a voter of `voters`, over what lies in `log` and `votes`.
async fn start(
    lan: &Rc<Lan>,
    (id, voters): (u64, u64),
    (log, votes): (&Rc<MemoryLog>, &Rc<MemoryVotes>),
) -> Node {
    let options = GroupOptions {
        election_ms_max: LEASE_MS,
        ..GroupOptions::member(id, (1..=voters).map(member).collect())
    };
    let (log, votes, applier) = (log.clone(), votes.clone(), TestApplier::new());
    let group = start_on(lan, options, log.clone(), votes.clone(), applier.clone()).await;
    Node {
        id,
        log,
        votes,
        applier,
        group,
    }
}

/// Stops the nodes and waits until nothing holds what their logs were applied to.
async fn end(lan: Rc<Lan>, nodes: Vec<Node>) {
    let appliers: Vec<_> = nodes.iter().map(|node| node.applier.clone()).collect();
    let ended = Glommio::spawn(async move {
        for node in &nodes {
            node.group.stop().await;
        }
        // It knows the groups, and they know it.
        drop((lan, nodes));
    });
    let is_free = |applier: &Rc<TestApplier>| Rc::strong_count(applier) == 1;
    until(|| appliers.iter().all(is_free).then_some(())).await;
    ended.await.expect("an end");
}

fn disks() -> (Rc<MemoryLog>, Rc<MemoryVotes>) {
    (MemoryLog::new(), MemoryVotes::new())
}

#[test]
fn a_group_whose_log_is_gone_is_let_go() {
    Glommio::run(async {
        let lan = Lan::new();
        let (log, votes) = disks();
        let node = start(&lan, (1, 1), (&log, &votes)).await;
        propose(&node, 0..10).await;
        let meta = node.group.checkpoint().await.expect("a checkpoint");
        let end_of_it = Some(meta.position.index);
        until(|| (node.group.state().purged_index == end_of_it).then_some(())).await;
        end(lan, vec![node]).await;
    });
}

#[test]
fn a_group_that_keeps_the_log_for_a_follower_is_let_go() {
    Glommio::run(async {
        let lan = Lan::new();
        let (first, second) = (disks(), disks());
        let leader = start(&lan, (1, 1), (&first.0, &first.1)).await;
        let follower = start(&lan, (2, 0), (&second.0, &second.1)).await;
        let added = leader.group.add_learner(member(2)).await;
        added.expect("it can be reached");
        propose(&leader, 0..10).await;
        until(|| (follower.applier.state().len() == 10).then_some(())).await;
        follower.log.stall();
        propose(&leader, 10..20).await;
        let meta = leader.group.checkpoint().await.expect("a checkpoint");
        let purged = || leader.group.state().purged_index;
        until(|| purged().is_some().then_some(())).await;
        assert!(purged() < Some(meta.position.index), "{:?}", purged());
        follower.log.resume();
        end(lan, vec![leader, follower]).await;
    });
}

#[test]
fn a_group_that_is_quiet_after_its_start_is_let_go() {
    Glommio::run(async {
        let lan = Lan::new();
        let (log, votes) = disks();
        let node = start(&lan, (1, 2), (&log, &votes)).await;
        let stood = node.group.raft.trigger().elect(false).await;
        stood.expect("it runs");
        until(|| (node.group.state().term > 0).then_some(())).await;
        end(lan, vec![node]).await;
        let lan = Lan::new();
        let node = start(&lan, (1, 2), (&log, &votes)).await;
        assert!(!node.group.may_answer_votes(), "it has voted");
        end(lan, vec![node]).await;
    });
}

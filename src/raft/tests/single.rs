//! A group of one voter.

use std::rc::Rc;

use bytes::Bytes;
use openraft::AsyncRuntime;

use super::{Event, MemoryLog, MemoryVotes, TestApplier};
use crate::error::{Fatal, Unavailable};
use crate::raft::runtime::Glommio;
use crate::raft::{Group, GroupOptions, Member, Role};

/// What survives a restart of the one node.
struct Node {
    log: Rc<MemoryLog>,
    votes: Rc<MemoryVotes>,
}

impl Node {
    fn new() -> Self {
        Node {
            log: MemoryLog::new(),
            votes: MemoryVotes::new(),
        }
    }

    async fn try_start(&self, applier: &Rc<TestApplier>) -> Result<Group, Fatal> {
        let options = GroupOptions::single(1, "127.0.0.1:7000");
        Group::start(
            options,
            self.log.clone(),
            self.votes.clone(),
            applier.clone(),
            None,
        )
        .await
    }

    async fn start(&self, applier: &Rc<TestApplier>) -> Group {
        let group = self.try_start(applier).await.expect("a start");
        group.wait_leader_and_recovered().await.expect("a leader");
        group
    }
}

fn payload(number: u64) -> Bytes {
    Bytes::from(format!("entry {number}"))
}

async fn propose(group: &Group, tags: std::ops::Range<u64>) {
    for tag in tags {
        group
            .propose(tag, payload(tag), true)
            .expect("room in the queue");
    }
    settle(group).await;
}

/// Waits until everything proposed so far has met its end and shows in the group's state.
async fn settle(group: &Group) {
    if let Ok(blank) = group.raft.write_blank().await {
        let index = Some(blank.log_id.index);
        let wait = group.raft.wait(None);
        let shown = wait.applied_index_at_least(index, "settle").await;
        shown.expect("the group runs");
    }
}

fn applied_tags(applier: &TestApplier) -> Vec<(Option<u64>, Bytes)> {
    let events = applier.events();
    let applied = events.into_iter().filter_map(|event| match event {
        Event::Applied(_, tag, payload) => Some((tag, payload)),
        _ => None,
    });
    applied.collect()
}

#[test]
fn starts_leads_and_applies_in_order() {
    Glommio::run(async {
        let node = Node::new();
        let applier = TestApplier::new();
        let began = std::time::Instant::now();
        let group = node.start(&applier).await;
        assert!(
            began.elapsed().as_millis() < 100,
            "no election timeout is waited for"
        );
        assert!(group.is_leader());
        group
            .read_index()
            .await
            .expect("the only voter may read at once");

        propose(&group, 0..100).await;
        let expected: Vec<_> = (0..100).map(|tag| (Some(tag), payload(tag))).collect();
        assert_eq!(applied_tags(&applier), expected);

        let state = group.state();
        assert_eq!((state.role, state.leader), (Role::Leader, Some(1)));
        assert_eq!(state.applied_index, state.last_index);
        let voter = Member {
            id: 1,
            address: "127.0.0.1:7000".into(),
        };
        assert_eq!((state.voters, state.learners), (vec![voter], vec![]));

        group.stop().await;
        assert_eq!(
            group.propose(7, payload(7), true),
            Err(Unavailable::Stopping)
        );
        assert_eq!(group.failure(), None);
    });
}

#[test]
fn a_restart_applies_the_log_again_without_tags() {
    Glommio::run(async {
        let node = Node::new();
        let group = node.start(&TestApplier::new()).await;
        propose(&group, 0..10).await;
        let term = group.state().term;
        group.stop().await;

        let applier = TestApplier::new();
        let group = node.start(&applier).await;
        assert!(group.state().term > term);
        let expected: Vec<_> = (0..10).map(|number| (None, payload(number))).collect();
        assert_eq!(applied_tags(&applier), expected);

        propose(&group, 10..12).await;
        assert_eq!(
            applied_tags(&applier)[10..],
            [(Some(10), payload(10)), (Some(11), payload(11)),]
        );
        group.stop().await;
    });
}

#[test]
fn a_checkpoint_purges_the_log_and_a_restart_begins_at_it() {
    Glommio::run(async {
        let node = Node::new();
        let applier = TestApplier::new();
        let group = node.start(&applier).await;
        propose(&group, 0..20).await;
        let meta = group.checkpoint().await.expect("a checkpoint");
        propose(&group, 20..25).await;
        let state = group.state();
        assert_eq!(state.purged_index, Some(meta.position.index));
        assert_eq!(state.checkpoint_index, Some(meta.position.index));
        assert!(node.log.records()[0].position > meta.position);
        group.stop().await;

        let applier = applier.restart();
        let group = node.start(&applier).await;
        let expected: Vec<_> = (0..25).map(payload).collect();
        assert_eq!(applier.state(), expected);
        assert_eq!(
            applied_tags(&applier).len(),
            5,
            "only what is behind it is applied again"
        );
        assert_eq!(
            group.state().voters.len(),
            1,
            "the membership came with the checkpoint"
        );
        propose(&group, 25..26).await;
        assert_eq!(applier.state().len(), 26);
        group.stop().await;
    });
}

#[test]
fn a_node_that_is_all_checkpoint_recovers_and_leads() {
    Glommio::run(async {
        let node = Node::new();
        let applier = TestApplier::new();
        let group = node.start(&applier).await;
        propose(&group, 0..3).await;
        group.checkpoint().await.expect("a checkpoint");
        let wait = group.raft.wait(None);
        let purged = |now: &openraft::RaftMetrics<_>| now.purged == now.last_applied;
        wait.metrics(purged, "purged")
            .await
            .expect("the group runs");
        group.stop().await;
        assert!(node.log.records().is_empty());

        let applier = applier.restart();
        let group = node.start(&applier).await;
        propose(&group, 3..4).await;
        assert_eq!(applied_tags(&applier), [(Some(3), payload(3))]);
        assert_eq!(applier.state().len(), 4);
        group.stop().await;
    });
}

#[test]
fn a_log_behind_the_checkpoint_is_refused() {
    Glommio::run(async {
        let node = Node::new();
        let applier = TestApplier::new();
        let group = node.start(&applier).await;
        propose(&group, 0..5).await;
        group.checkpoint().await.expect("a checkpoint");
        propose(&group, 5..6).await;
        group.stop().await;

        let lost_checkpoint = node.try_start(&TestApplier::new()).await;
        assert!(matches!(lost_checkpoint, Err(Fatal::Corrupt { .. })));
        let lost_log = Node {
            log: MemoryLog::new(),
            votes: node.votes,
        };
        let lost_log = lost_log.try_start(&TestApplier::new()).await;
        assert!(matches!(lost_log, Err(Fatal::Corrupt { .. })));
    });
}

#[test]
fn a_failed_write_fails_everything_and_nothing_panics() {
    Glommio::run(async {
        let node = Node::new();
        let applier = TestApplier::new();
        let group = node.start(&applier).await;
        propose(&group, 0..3).await;

        node.log.stall();
        group.propose(3, payload(3), true).expect("room");
        Glommio::sleep(std::time::Duration::from_millis(5)).await;
        group.propose(4, payload(4), true).expect("room");
        node.log.poison("disk on fire");
        node.log.resume();
        settle(&group).await;

        let events = applier.events();
        assert!(events.contains(&Event::Failed(3, Unavailable::Uncertain)));
        assert!(events.contains(&Event::Failed(4, Unavailable::Uncertain)));
        assert_eq!(applied_tags(&applier).len(), 3);
        let refused = group.propose(5, payload(5), true);
        assert!(
            matches!(&refused, Err(Unavailable::Poisoned(why)) if why.contains("disk on fire")),
            "{refused:?}"
        );
        assert!(matches!(
            group.read_index().await,
            Err(Unavailable::Poisoned(_))
        ));
        assert_eq!(group.state().role, Role::Down);
        group.stop().await;
        let failures = applier
            .events()
            .iter()
            .filter(|e| matches!(e, Event::Failed(..)))
            .count();
        assert_eq!(failures, 2, "a refused proposal is told by value only");
    });
}

#[test]
fn a_panic_while_applying_poisons_and_spares_the_executor() {
    Glommio::run(async {
        let node = Node::new();
        let applier = TestApplier::new();
        *applier.poison_pill.borrow_mut() = Some(payload(1));
        let group = node.start(&applier).await;
        propose(&group, 0..3).await;
        assert_eq!(applied_tags(&applier).len(), 1);
        let why = group.failure().expect("a failure");
        assert!(why.contains("poison pill"), "{why}");
        assert!(group.propose(9, payload(9), true).is_err());
        group.stop().await;
    });
}

#[test]
fn a_panic_in_the_core_poisons_and_spares_the_executor() {
    Glommio::run(async {
        let node = Node::new();
        let applier = TestApplier::new();
        let group = node.start(&applier).await;
        propose(&group, 0..2).await;
        node.log.trapped.set(true);
        propose(&group, 2..3).await;
        let lost = Event::Failed(2, Unavailable::Uncertain);
        assert!(applier.events().contains(&lost));
        // Seen without anybody proposing anything.
        Glommio::sleep(std::time::Duration::from_millis(5)).await;
        assert!(group.failure().is_some());
        assert_eq!(group.state().role, Role::Down);
        assert!(matches!(
            group.propose(9, payload(9), true),
            Err(Unavailable::Poisoned(_))
        ));
        group.stop().await;
    });
}

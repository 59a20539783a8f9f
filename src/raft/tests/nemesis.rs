//! A seeded run of everything that can happen to a group at once: partitions, loss, restarts, lost
//! tails of logs, changes of membership and of leadership, under writes from all sides.
//!
//! Time is the machine's, so a seed gives the same plan and not the same run. More of them:
//! `NEMESIS_SEEDS=100..200 cargo test --lib nemesis`

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::FutureExt;
use openraft::AsyncRuntime;

use super::lan::Way;
use super::nodes::{Cluster, LEASE, member, until};
use super::{Event, TestApplier};
use crate::error::Unavailable;
use crate::raft::runtime::Glommio;

/// Founders, and nodes that come and go as members.
const FOUNDERS: u64 = 3;
const NODES: u64 = 5;
const STEPS: u64 = 60;

struct Nemesis {
    cluster: Cluster,
    dice: Cell<u64>,
    /// What the appliers of former lives were told.
    past: Vec<Rc<TestApplier>>,
    /// A node that has lost entries and has not caught up yet.
    lossy: Option<u64>,
    tag_next: u64,
    refused: Vec<u64>,
}

impl Nemesis {
    async fn start(seed: u64) -> Self {
        let mut cluster = Cluster::of(FOUNDERS).await;
        for id in FOUNDERS + 1..=NODES {
            cluster.add_waiting(id).await;
        }
        Nemesis {
            cluster,
            dice: Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            past: Vec::new(),
            lossy: None,
            tag_next: 0,
            refused: Vec::new(),
        }
    }

    fn below(&self, bound: u64) -> u64 {
        let mut dice = self.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.dice.set(dice);
        (dice >> 16) % bound
    }

    fn any(&self) -> u64 {
        1 + self.below(NODES)
    }

    async fn step(&mut self) {
        let id = self.any();
        match self.below(14) {
            0 => self.cluster.lan.cut(id),
            1 => self.cluster.lan.cut_way(id, self.any()),
            2..=4 => self.cluster.lan.heal_all(),
            5 => self.make_lossy(),
            6 => self.restart(id, None).await,
            7 if self.lossy.is_none() => {
                let lost = self.below(8);
                self.restart(id, Some(lost)).await;
            }
            8..=11 => self.change(id).await,
            _ => {}
        }
        for _ in 0..self.below(10) {
            self.write();
        }
        self.readmit().await;
        Glommio::sleep(Duration::from_millis(self.below(40))).await;
    }

    fn make_lossy(&self) {
        for from in 1..=NODES {
            let delay = Duration::from_millis(self.below(8));
            let way = Way {
                delay,
                loss_percent: 5,
                ..Way::default()
            };
            self.cluster.lan.set(from, self.any(), way);
        }
    }

    /// Begins a change on whoever leads, and lets it go on by itself.
    async fn change(&self, id: u64) {
        let leading = |node: &&super::nodes::Node| node.group.is_leader();
        let Some(leader) = self.cluster.nodes.iter().find(leading) else {
            return;
        };
        let group = leader.group.clone();
        let kind = self.below(5);
        drop(Glommio::spawn(async move {
            let changed = match kind {
                0 => group.transfer(None).await.map(|_| ()),
                1 => group.demote(id).await,
                2 => group.add_learner(member(id)).await,
                _ => {
                    group.add_learner(member(id)).await.ok();
                    group.promote_within(id, LEASE * 2).await
                }
            };
            // Whatever comes of it must be safe.
            changed.ok();
        }));
    }

    /// Stops a node and starts it again, without the last `lost` entries of its log that are not
    /// on disk.
    async fn restart(&mut self, id: u64, lost: Option<u64>) {
        let node = self.cluster.node(id);
        node.group.stop().await;
        self.past.push(node.applier.clone());
        let records = node.log.records();
        if let (Some(lost), Some(last)) = (lost, records.last()) {
            let mut synced = records.iter().rev().filter(|record| record.sync);
            let synced = synced.next().map_or(0, |record| record.position.index);
            let kept = last.position.index.saturating_sub(lost).max(synced);
            node.log.lose_after(kept);
            self.lossy = Some(id);
        }
        let may_vote = self.lossy != Some(id);
        let adjust = |options: &mut crate::raft::GroupOptions| {
            if id > FOUNDERS {
                options.first_voters.clear();
            }
            options.may_vote = may_vote;
        };
        self.cluster.restart_with(id, adjust).await;
    }

    fn write(&mut self) {
        let node = self.cluster.node(self.any());
        let tag = self.tag_next;
        self.tag_next += 1;
        let payload = Bytes::from(format!("entry {tag}"));
        if node
            .group
            .propose(tag, payload, tag.is_multiple_of(4))
            .is_err()
        {
            self.refused.push(tag);
        }
    }

    /// Lets the node that lost entries vote once it has what a leader has had since.
    async fn readmit(&mut self) {
        let Some(lossy) = self.lossy else {
            return;
        };
        let leading = |node: &&super::nodes::Node| node.group.is_leader();
        let Some(leader) = self.cluster.nodes.iter().find(leading) else {
            return;
        };
        let node = self.cluster.node(lossy);
        if node.group.may_answer_votes() {
            self.lossy = None;
            return;
        }
        let Ok(index) = leader.group.read_index().await else {
            return;
        };
        let soon = Instant::now() + Duration::from_millis(5);
        if node.group.wait_applied(index, soon).await.is_ok() {
            node.group.may_vote(true);
            self.lossy = None;
        }
    }

    /// Where no leader is left to catch up with: asks all voters how far their logs go.
    fn readmit_by_all(&self) {
        let Some(lossy) = self.lossy.map(|id| self.cluster.node(id)) else {
            return;
        };
        let voters = lossy.group.state().voters;
        let ends = voters
            .iter()
            .map(|voter| self.cluster.node(voter.id).group.log_end());
        if let Some(end) = ends.max() {
            lossy.group.may_vote_for(end);
        }
    }

    /// What each proposal came to, by tag, over all lives of all nodes.
    fn fates(&self) -> HashMap<u64, Event> {
        let mut fates = HashMap::new();
        let now = self.cluster.nodes.iter().map(|node| &node.applier);
        for event in now.chain(&self.past).flat_map(|applier| applier.events()) {
            let tag = match &event {
                Event::Applied(_, Some(tag), _) | Event::Failed(tag, _) => *tag,
                _ => continue,
            };
            let before = fates.insert(tag, event);
            assert_eq!(before, None, "proposal {tag} has ended twice");
        }
        fates
    }

    /// Heals everything, and returns what the leader's state is once all members have it.
    async fn settle(&mut self) -> Vec<Bytes> {
        self.cluster.lan.heal_all();
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.lossy.is_some() {
            assert!(
                Instant::now() < deadline,
                "no leader after everything is healed"
            );
            self.readmit().await;
            self.readmit_by_all();
            Glommio::sleep(Duration::from_millis(5)).await;
        }
        let last = loop {
            let leader = self.cluster.leader(|_| true).await;
            let tag = self.tag_next;
            self.tag_next += 1;
            let outcome = leader.outcome(tag).await;
            if outcome.is_ok() {
                break Bytes::from(format!("entry {tag}"));
            }
            if leader.fate(tag).is_none() {
                self.refused.push(tag);
            }
            assert!(Instant::now() < deadline, "nothing is taken: {outcome:?}");
            Glommio::sleep(Duration::from_millis(5)).await;
        };
        let leader = self.cluster.leader(|_| true).await;
        until(|| {
            let members = leader.group.state().members;
            let state = leader.applier.state();
            let same = |id: u64| self.cluster.node(id).applier.state() == state;
            let all = members.iter().all(|state| same(state.member.id));
            (all && state.contains(&last)).then_some(state)
        })
        .await
    }

    async fn check(mut self, seed: u64) {
        let state = self.settle().await;
        let mut times: HashMap<&Bytes, u64> = HashMap::new();
        for payload in &state {
            *times.entry(payload).or_default() += 1;
        }
        let fates = self.fates();
        let mut acknowledged = 0;
        for tag in 0..self.tag_next {
            let payload = Bytes::from(format!("entry {tag}"));
            let times = times.get(&payload).copied().unwrap_or(0);
            let expected = match fates.get(&tag) {
                _ if self.refused.contains(&tag) => 0..=0,
                Some(Event::Applied(..)) => {
                    acknowledged += 1;
                    1..=1
                }
                Some(Event::Failed(_, Unavailable::Uncertain)) => 0..=1,
                Some(Event::Failed(..)) => 0..=0,
                other => panic!("seed {seed}: proposal {tag} has not ended: {other:?}"),
            };
            let fate = fates.get(&tag);
            assert!(
                expected.contains(&times),
                "seed {seed}: {tag} {times} times: {fate:?}"
            );
        }
        assert!(acknowledged > 0, "seed {seed}: nothing was acknowledged");
        self.cluster.stop().await;
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_refused_happens() {
    let seeds = std::env::var("NEMESIS_SEEDS").unwrap_or_default();
    let bounds = seeds.split_once("..");
    let bound = |text: &str| text.parse::<u64>().expect("a seed");
    let (first, end) = bounds.map_or((1, 4), |(first, end)| (bound(first), bound(end)));
    for seed in first..end {
        println!("seed {seed}");
        Glommio::run(
            async move {
                let mut nemesis = Nemesis::start(seed).await;
                for _ in 0..STEPS {
                    nemesis.step().await;
                }
                nemesis.check(seed).await;
            }
            .boxed_local(),
        );
    }
}

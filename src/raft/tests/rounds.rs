//! Reads by rounds, where an old answer comes late.

use std::time::{Duration, Instant};

use openraft::AsyncRuntime;

use super::lan::Way;
use super::nodes::{Cluster, LEASE, Node, payloads, propose, until};
use crate::error::Unavailable;
use crate::raft::MemberCopy;
use crate::raft::runtime::Glommio;

/// A leader whose disk holds an entry back that both others have; one has said so, the other's
/// answer is on its way for long.
struct Scene {
    cluster: Cluster,
    leader: u64,
    told: u64,
    late: u64,
    /// The entry that the disk holds back.
    index: u64,
}

impl Scene {
    async fn set() -> Self {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        let (told, late) = match cluster.others(leader.id)[..] {
            [told, late] => (told, late),
            _ => unreachable!("three nodes"),
        };
        propose(leader, 0..5).await;
        cluster.agree(&payloads(0..5)).await;
        late.group.raft.runtime_config().elect(false);
        cluster.lan.hold_answers(late.id, leader.id);
        leader.log.stall();
        let last = |node: &Node| node.log.records().last().map(|one| one.position.index);
        let index = last(leader).expect("entries") + 1;
        let payload = payloads(5..6).remove(0);
        let taken = leader.group.propose(5, payload, true);
        taken.expect("it leads");
        let known = || {
            let copies = leader.group.copies().unwrap_or_default();
            let has = |copy: &MemberCopy| copy.id == told.id && copy.has(index);
            copies.iter().any(has)
        };
        until(|| (known() && last(late) >= Some(index)).then_some(())).await;
        let (leader, told, late) = (leader.id, told.id, late.id);
        Scene {
            cluster,
            leader,
            told,
            late,
            index,
        }
    }

    /// Asks the leader for a read index. What comes of it is there later.
    async fn ask(&self) -> impl Future<Output = Result<u64, Unavailable>> {
        let leader = self.cluster.node(self.leader).group.clone();
        let asked = Glommio::spawn(async move { leader.read_index().await });
        // The round has begun.
        Glommio::sleep(Duration::from_millis(5)).await;
        async { asked.await.expect("no panic") }
    }

    /// The leader's disk comes to an end with the entry, which completes its commit: the others are
    /// told. Only then the late answer comes.
    async fn commit_then_let_come(&self) {
        let leader = self.cluster.node(self.leader);
        leader.log.resume();
        until(|| (leader.group.applied_index() == Some(self.index)).then_some(())).await;
        Glommio::sleep(Duration::from_millis(3)).await;
        self.cluster.lan.set(self.late, self.leader, Way::default());
    }
}

#[test]
fn an_answer_from_before_another_leader_confirms_no_read() {
    Glommio::run(async {
        let scene = Scene::set().await;
        let cluster = &scene.cluster;
        cluster.lan.cut(scene.leader);
        let new = cluster.leader(|id| id == scene.told).await;
        propose(new, 6..7).await;

        let asked = scene.ask().await;
        scene.commit_then_let_come().await;
        // What has been acknowledged elsewhere is not in this node's log.
        assert_eq!(asked.await, Err(Unavailable::NoLeader));
        cluster.lan.heal_all();
        cluster.agree(&payloads(0..7)).await;
        cluster.stop().await;
    });
}

#[test]
fn a_read_waits_for_the_answer_to_its_own_round() {
    Glommio::run(async {
        let scene = Scene::set().await;
        let cluster = &scene.cluster;
        let delay = LEASE / 20;
        let slow = Way {
            delay,
            ..Way::default()
        };
        cluster.lan.set(scene.leader, scene.told, slow);
        cluster.lan.cut_way(scene.leader, scene.late);

        let began = Instant::now();
        let asked = scene.ask().await;
        scene.commit_then_let_come().await;
        let index = asked.await.expect("one of the others answers");
        assert!(index >= scene.index - 1, "{index}");
        assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
        cluster.lan.heal_all();
        cluster.agree(&payloads(0..6)).await;
        cluster.stop().await;
    });
}

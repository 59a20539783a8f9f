//! Who may vote, and what a restart may not forget.

use std::time::Instant;

use openraft::AsyncRuntime;

use super::nodes::{Cluster, LEASE, payloads, propose, until};
use crate::raft::runtime::Glommio;

#[test]
fn a_node_that_may_not_vote_follows_and_elects_nobody() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        propose(leader, 0..10).await;
        let (silent, other) = (cluster.others(leader.id)[0], cluster.others(leader.id)[1]);
        silent.group.may_vote(false);
        assert!(!silent.group.may_answer_votes());
        assert!(!silent.group.state().votes);
        // It counts for what is committed.
        cluster.lan.cut(other.id);
        propose(leader, 10..20).await;
        cluster.lan.heal(other.id);
        cluster.agree(&payloads(0..20)).await;

        // Without the leader it takes both of the others, and one does not.
        cluster.lan.cut(leader.id);
        let votes = cluster.lan.served("vote");
        Glommio::sleep(LEASE * 6).await;
        assert_eq!(cluster.lan.served("vote"), votes);
        assert!(!silent.group.is_leader() && !other.group.is_leader());
        silent.group.may_vote(true);
        let new = cluster.leader(|id| id != leader.id).await;
        propose(new, 20..30).await;
        cluster.lan.heal(leader.id);
        cluster.agree(&payloads(0..30)).await;
        cluster.stop().await;
    });
}

#[test]
fn leadership_is_not_taken_by_who_may_not_vote() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        propose(leader, 0..10).await;
        let silent = cluster.others(leader.id)[0];
        silent.group.may_vote(false);
        // It ignores the word, and the third takes over in its place sooner or later.
        leader.group.transfer(Some(silent.id)).await.ok();
        let new = cluster.leader(|_| true).await;
        assert_ne!(new.id, silent.id);
        propose(new, 10..20).await;
        cluster.agree(&payloads(0..20)).await;
        cluster.stop().await;
    });
}

#[test]
fn a_follower_that_lost_acknowledged_entries_gets_them_again() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await.id;
        propose(cluster.node(leader), 0..50).await;
        cluster.agree(&payloads(0..50)).await;
        let crashed = cluster.others(leader)[0].id;
        cluster.node(crashed).group.stop().await;
        cluster.node(crashed).log.lose_after(20);
        cluster
            .restart_with(crashed, |options| options.may_vote = false)
            .await;
        cluster.agree(&payloads(0..50)).await;
        propose(cluster.node(leader), 50..60).await;
        cluster.agree(&payloads(0..60)).await;
        assert!(cluster.node(leader).group.is_leader());
        assert_eq!(cluster.node(leader).group.failure(), None);
        cluster.stop().await;
    });
}

#[test]
fn what_two_acknowledged_and_one_forgot_is_not_voted_away() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await.id;
        propose(cluster.node(leader), 0..20).await;
        cluster.agree(&payloads(0..20)).await;
        // The last ten are on the leader and on one that forgets them.
        let (crashed, behind) = (cluster.others(leader)[0].id, cluster.others(leader)[1].id);
        cluster.lan.cut(behind);
        propose(cluster.node(leader), 20..30).await;
        let kept = cluster.node(behind).log.records().len() as u64;
        cluster.node(crashed).group.stop().await;
        cluster.lan.cut(leader);
        cluster.node(crashed).log.lose_after(kept - 1);
        cluster
            .restart_with(crashed, |options| options.may_vote = false)
            .await;
        cluster.lan.heal(behind);
        cluster.lan.cut(leader);
        Glommio::sleep(LEASE * 6).await;
        assert!(!cluster.node(crashed).group.is_leader());
        assert!(!cluster.node(behind).group.is_leader());

        cluster.lan.heal(leader);
        cluster.agree(&payloads(0..30)).await;
        propose(cluster.leader(|_| true).await, 30..40).await;
        cluster.agree(&payloads(0..40)).await;
        cluster.stop().await;
    });
}

#[test]
fn a_restarted_follower_keeps_quiet_while_its_leader_may_count_on_it() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await.id;
        propose(cluster.node(leader), 0..10).await;
        let follower = cluster.others(leader)[0].id;
        cluster.node(follower).group.stop().await;
        cluster.lan.cut(leader);
        let restarted = Instant::now();
        cluster.restart(follower).await;
        assert!(!cluster.node(follower).group.may_answer_votes());
        let new = cluster.leader(|id| id != leader).await;
        assert!(restarted.elapsed() >= LEASE, "{:?}", restarted.elapsed());
        until(|| {
            cluster
                .node(follower)
                .group
                .may_answer_votes()
                .then_some(())
        })
        .await;
        propose(new, 10..20).await;
        cluster.stop().await;
    });
}

#[test]
fn after_everybody_lost_power_who_has_most_leads() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await.id;
        propose(cluster.node(leader), 0..30).await;
        cluster.agree(&payloads(0..30)).await;
        cluster.stop().await;
        for (id, left) in [(1, 12), (2, 20), (3, 16)] {
            cluster.node(id).log.lose_after(left);
        }
        for id in 1..=3 {
            cluster
                .restart_with(id, |options| options.may_vote = false)
                .await;
        }
        Glommio::sleep(LEASE * 4).await;
        assert!(cluster.nodes.iter().all(|node| !node.group.is_leader()));
        let ends = cluster.nodes.iter().map(|node| node.group.log_end());
        let end = ends.max().expect("three");
        assert_eq!(end.map(|end| end.index), Some(20));
        for node in &cluster.nodes {
            node.group.may_vote_for(end);
        }
        let new = cluster.leader(|_| true).await;
        assert_eq!(new.id, 2);
        // The first entries are the membership and a leader's blank.
        until(|| {
            cluster
                .nodes
                .iter()
                .all(|node| node.group.may_answer_votes())
                .then_some(())
        })
        .await;
        let kept = new.applier.state().len() as u64;
        assert!((17..=19).contains(&kept), "{kept}");
        propose(new, 100..110).await;
        let state = new.applier.state();
        assert_eq!(state[..kept as usize], payloads(0..kept));
        cluster.agree(&state).await;
        cluster.stop().await;
    });
}

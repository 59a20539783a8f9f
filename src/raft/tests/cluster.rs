//! Three members of a group on one executor: election, commit, failover, catching up.

use bytes::Bytes;
use openraft::AsyncRuntime;

use super::Event;
use super::nodes::{Cluster, payloads, propose, until};
use crate::error::Unavailable;
use crate::raft::Role;
use crate::raft::runtime::Glommio;

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
        let elsewhere = Unavailable::NotLeader {
            leader: old.id,
            address: format!("node-{}", old.id),
        };
        assert_eq!(follower.group.read_index().await, Err(elsewhere));

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
        let elsewhere = Unavailable::NotLeader {
            leader: new.id,
            address: format!("node-{}", new.id),
        };
        let refused = Event::Failed(1000, elsewhere);
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

//! What becomes of proposals, reads and leaders where the network is in parts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use openraft::AsyncRuntime;

use super::Event;
use super::lan::Way;
use super::nodes::{Cluster, LEASE, member, payloads, propose, until};
use crate::error::Unavailable;
use crate::raft::runtime::Glommio;

#[test]
fn a_proposal_of_a_deposed_leader_is_uncertain_until_it_is_discarded() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let old = cluster.leader(|_| true).await;
        propose(old, 0..10).await;
        cluster.lan.cut(old.id);
        // Taken while the lease lasts: in this log only, and nobody can say yet.
        old.group
            .propose(900, Bytes::from_static(b"lost"), true)
            .expect("it still leads");
        let new = cluster.leader(|id| id != old.id).await;
        propose(new, 10..20).await;
        assert_eq!(old.fate(900), None);
        // Once its lease has run out it takes nothing more, and says so at once.
        until(|| (!old.group.has_quorum()).then_some(())).await;
        assert_eq!(old.outcome(901).await, Err(Unavailable::NoLeader));

        cluster.lan.heal(old.id);
        cluster.agree(&payloads(0..20)).await;
        let unknown = Event::Failed(900, Unavailable::Uncertain);
        assert_eq!(until(|| old.fate(900)).await, unknown);
        let elsewhere = Unavailable::NotLeader {
            leader: new.id,
            address: member(new.id).address,
        };
        assert_eq!(old.outcome(902).await, Err(elsewhere));
        cluster.stop().await;
    });
}

#[test]
fn a_proposal_of_a_deposed_leader_that_the_next_one_commits_has_happened() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let old = cluster.leader(|_| true).await;
        propose(old, 0..10).await;
        // Nothing comes back from the followers: they take the entry, and their leader does not
        // hear that they have.
        let others = cluster.others(old.id);
        for other in &others {
            cluster.lan.cut_way(other.id, old.id);
        }
        let length = old.log.records().len();
        old.group
            .propose(900, payloads(10..11).remove(0), true)
            .expect("it still leads");
        let taken = || others.iter().any(|node| node.log.records().len() > length);
        until(|| taken().then_some(())).await;
        cluster.lan.cut(old.id);
        assert_eq!(old.fate(900), None);
        let new = cluster.leader(|id| id != old.id).await;
        propose(new, 11..20).await;
        assert_eq!(old.fate(900), None, "it may have happened or not");

        cluster.lan.heal(old.id);
        cluster.agree(&payloads(0..20)).await;
        let fate = until(|| old.fate(900)).await;
        assert!(matches!(fate, Event::Applied(..)), "{fate:?}");
        cluster.stop().await;
    });
}

#[test]
fn a_leader_without_its_quorum_knows_it_and_reads_nothing() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let old = cluster.leader(|_| true).await;
        propose(old, 0..10).await;
        assert!(old.group.has_quorum());
        assert_eq!(old.group.last_contact_ms(), Some(0));
        let other = cluster.others(old.id)[0];
        assert!(other.group.has_quorum());
        assert!(other.group.last_contact_ms() < Some(LEASE.as_millis() as u64));

        cluster.lan.cut(old.id);
        let began = Instant::now();
        // A lease read may still be answered, for as long as nobody else can lead.
        let leased = old.group.read_lease().await;
        assert_eq!(leased, Ok(old.group.applied_index().expect("entries")));
        assert_eq!(old.group.read_index().await, Err(Unavailable::NoLeader));
        assert!(began.elapsed() < LEASE * 3, "{:?}", began.elapsed());
        until(|| (!old.group.has_quorum()).then_some(())).await;
        assert!(began.elapsed() >= LEASE - Duration::from_millis(60));
        assert_eq!(old.group.read_lease().await, Err(Unavailable::NoLeader));
        let new = cluster.leader(|id| id != old.id).await;
        until(|| new.group.has_quorum().then_some(())).await;
        let states = old.group.state().members;
        let reachable = states.iter().filter(|state| state.is_reachable);
        assert_eq!(reachable.count(), 1, "itself");

        cluster.lan.heal(old.id);
        until(|| old.group.has_quorum().then_some(())).await;
        assert!(!old.group.is_leader());
        assert!(old.group.last_contact_ms() < Some(LEASE.as_millis() as u64));
        cluster.stop().await;
    });
}

#[test]
fn a_lease_is_over_before_anybody_else_leads() {
    Glommio::run(async {
        for _ in 0..5 {
            let cluster = Cluster::start().await;
            let old = cluster.leader(|_| true).await;
            propose(old, 0..3).await;
            cluster.lan.cut(old.id);
            loop {
                let elected = cluster
                    .others(old.id)
                    .iter()
                    .any(|node| node.group.is_leader());
                let lease = old.group.read_lease().await;
                if elected {
                    assert_eq!(lease, Err(Unavailable::NoLeader));
                    break;
                }
                Glommio::sleep(Duration::from_micros(200)).await;
            }
            cluster.stop().await;
        }
    });
}

#[test]
fn one_round_to_a_quorum_serves_all_reads_that_wait() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        propose(leader, 0..10).await;
        let delay = LEASE / 20;
        for other in cluster.others(leader.id) {
            cluster.lan.set(
                leader.id,
                other.id,
                Way {
                    delay,
                    ..Way::default()
                },
            );
        }
        let before = cluster.lan.served("append");
        let began = Instant::now();
        let reads = (0..500).map(|_| leader.group.read_index());
        let acknowledged = leader.group.applied_index();
        for index in join_all(reads).await {
            assert_eq!(index.ok(), acknowledged);
        }
        assert!(began.elapsed() < LEASE, "{:?}", began.elapsed());
        let rounds = cluster.lan.served("append") - before;
        assert!(rounds <= 12, "{rounds} requests");
        cluster.stop().await;
    });
}

#[test]
fn a_follower_reads_what_was_acknowledged_before_behind_a_read_index() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        let follower = cluster.others(leader.id)[0];
        let delay = LEASE / 20;
        cluster.lan.set(
            leader.id,
            follower.id,
            Way {
                delay,
                ..Way::default()
            },
        );
        for tag in 0..20 {
            leader.outcome(tag).await.expect("a quorum is there");
            let index = leader.group.read_index().await.expect("it leads");
            let deadline = Instant::now() + Duration::from_secs(5);
            let waited = follower.group.wait_applied(index, deadline).await;
            waited.expect("it catches up");
            assert_eq!(follower.applier.state(), payloads(0..tag + 1));
        }
        let last = leader.group.applied_index().expect("entries");
        let soon = Instant::now() + Duration::from_millis(20);
        let never = follower.group.wait_applied(last + 100, soon).await;
        assert!(matches!(never, Err(Unavailable::Busy(_))), "{never:?}");
        cluster.stop().await;
    });
}

#[test]
fn a_leader_that_is_heard_and_hears_nothing_gives_way() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let old = cluster.leader(|_| true).await;
        propose(old, 0..5).await;
        for other in cluster.others(old.id) {
            cluster.lan.cut_way(other.id, old.id);
        }
        let new = cluster.leader(|id| id != old.id).await;
        propose(new, 5..10).await;
        cluster.lan.heal_all();
        cluster.agree(&payloads(0..10)).await;
        cluster.stop().await;
    });
}

#[test]
fn a_bridge_between_two_that_cannot_see_each_other_keeps_a_leader() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        propose(leader, 0..5).await;
        let cut_off = cluster.others(leader.id)[0];
        cluster.lan.part(&[leader.id], &[cut_off.id]);
        let term = leader.group.state().term;
        let mut next = 5;
        let until_then = Instant::now() + LEASE * 8;
        while Instant::now() < until_then {
            propose(leader, next..next + 1).await;
            next += 1;
            Glommio::sleep(LEASE / 10).await;
        }
        // The bridge hears its leader, and gives the one that does not no pre-vote.
        assert_eq!(leader.group.state().term, term);
        cluster.lan.heal_all();
        cluster.agree(&payloads(0..next)).await;
        cluster.stop().await;
    });
}

#[test]
fn a_lossy_and_slow_network_delays_and_loses_nothing() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        cluster.leader(|_| true).await;
        for from in 1..=3 {
            for to in 1..=3 {
                let delay = Duration::from_millis(from + to);
                let loss_percent = 10;
                cluster.lan.set(
                    from,
                    to,
                    Way {
                        delay,
                        loss_percent,
                        ..Way::default()
                    },
                );
            }
        }
        let mut acknowledged = Vec::new();
        for tag in 0..60 {
            let leader = cluster.leader(|_| true).await;
            if let Ok(index) = leader.outcome(tag).await {
                acknowledged.push((index, Bytes::from(format!("entry {tag}"))));
            }
        }
        assert!(acknowledged.len() > 30, "{}", acknowledged.len());
        cluster.lan.heal_all();
        let ends = || {
            let states = cluster.nodes.iter().map(|node| node.applier.state());
            let states: Vec<_> = states.collect();
            (states[0] == states[1] && states[1] == states[2]).then(|| states[0].clone())
        };
        let last = acknowledged.last().expect("some").1.clone();
        let state = until(|| ends().filter(|state| state.contains(&last))).await;
        for (_, payload) in &acknowledged {
            assert!(state.contains(payload), "{payload:?}");
        }
        cluster.stop().await;
    });
}

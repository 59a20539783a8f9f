//! Changes of membership and of leadership.

use std::time::{Duration, Instant};

use futures::future::join;
use openraft::AsyncRuntime;

use super::lan::Way;
use super::nodes::{Cluster, LEASE, Node, member, payloads, propose, until};
use crate::error::Unavailable;
use crate::raft::runtime::Glommio;
use crate::raft::{ChangeError, Member, Role};

fn voters(node: &Node) -> Vec<u64> {
    let members = node.group.state().members;
    let voters = members.iter().filter(|state| state.is_voter);
    voters.map(|state| state.member.id).collect()
}

fn all(node: &Node) -> Vec<u64> {
    let members = node.group.state().members;
    members.iter().map(|state| state.member.id).collect()
}

#[test]
fn one_node_grows_to_three_and_shrinks_to_one() {
    Glommio::run(async {
        let mut cluster = Cluster::of(1).await;
        propose(cluster.leader(|_| true).await, 0..20).await;
        cluster.add_waiting(2).await;
        cluster.add_waiting(3).await;
        let first = cluster.node(1);
        for id in [2, 3] {
            first.group.add_learner(member(id)).await.expect("added");
            assert_eq!(all(first).len() as u64, id);
            assert!(!voters(first).contains(&id));
            first.group.promote(id).await.expect("promoted");
            first.group.promote(id).await.expect("once is enough");
        }
        assert_eq!(voters(first), [1, 2, 3]);
        propose(first, 20..30).await;
        cluster.agree(&payloads(0..30)).await;
        until(|| (cluster.node(3).group.state().role == Role::Follower).then_some(())).await;

        // The others can go on without the first.
        cluster.lan.cut(1);
        let next = cluster.leader(|id| id != 1).await;
        propose(next, 30..35).await;
        cluster.lan.heal(1);
        cluster.agree(&payloads(0..35)).await;

        let leader = cluster.leader(|id| id == next.id).await;
        for other in cluster.others(leader.id) {
            leader.group.remove(other.id).await.expect("removed");
        }
        assert_eq!(
            (voters(leader), all(leader)),
            (vec![leader.id], vec![leader.id])
        );
        assert!(leader.group.has_quorum());
        propose(leader, 35..40).await;
        let last = leader.group.remove(leader.id).await;
        assert!(matches!(last, Err(ChangeError::Invalid(_))), "{last:?}");
        cluster.stop().await;
    });
}

#[test]
fn alone_there_is_no_clock_and_with_others_there_is() {
    Glommio::run(async {
        let mut cluster = Cluster::of(1).await;
        cluster.leader(|_| true).await;
        cluster.add_waiting(2).await;
        let first = cluster.node(1);
        Glommio::sleep(LEASE).await;
        assert_eq!(cluster.lan.served("append"), 0);
        first.group.add_learner(member(2)).await.expect("added");
        let added = cluster.lan.served("append");
        Glommio::sleep(LEASE).await;
        let heartbeats = cluster.lan.served("append") - added;
        assert!((3..=12).contains(&heartbeats), "{heartbeats} in {LEASE:?}");
        first.group.remove(2).await.expect("removed");
        Glommio::sleep(LEASE / 2).await;
        let removed = cluster.lan.served("append");
        Glommio::sleep(LEASE).await;
        assert_eq!(cluster.lan.served("append"), removed);
        cluster.stop().await;
    });
}

#[test]
fn one_node_initializes_and_the_others_hear_of_it() {
    Glommio::run(async {
        let mut cluster = Cluster::of(0).await;
        for id in 1..=3 {
            cluster.add_waiting(id).await;
        }
        Glommio::sleep(LEASE * 2).await;
        assert!(cluster.nodes.iter().all(|node| !node.group.is_leader()));
        let founders: Vec<Member> = (1..=3).map(member).collect();
        let stranger = cluster.node(1).group.initialize(&founders[1..]).await;
        assert!(matches!(stranger, Err(ChangeError::Invalid(_))));
        let founded = cluster.node(2).group.initialize(&founders).await;
        founded.expect("it is new");
        propose(cluster.leader(|_| true).await, 0..5).await;
        cluster.agree(&payloads(0..5)).await;
        let again = cluster.node(1).group.initialize(&founders).await;
        assert!(matches!(again, Err(ChangeError::Invalid(_))));
        cluster.stop().await;
    });
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        let (me, other) = (leader.id, cluster.others(leader.id)[0]);
        propose(leader, 0..1).await;
        let group = &leader.group;
        let before = group.state().last_index;
        let refusals = [
            group.promote(9).await,
            group.demote(9).await,
            group.remove(9).await,
            group
                .add_learner(Member {
                    id: 9,
                    address: member(me).address,
                })
                .await,
            group
                .add_learner(Member {
                    id: me,
                    address: "elsewhere".into(),
                })
                .await,
            group.replace_address(member(9)).await,
            group
                .replace_address(Member {
                    id: me,
                    ..member(other.id)
                })
                .await,
            group.transfer(Some(9)).await.map(|_| ()),
            group.transfer(Some(me)).await.map(|_| ()),
        ];
        for refusal in refusals {
            assert!(
                matches!(refusal, Err(ChangeError::Invalid(_))),
                "{refusal:?}"
            );
        }
        group
            .add_learner(member(other.id))
            .await
            .expect("it is a member");
        assert_eq!(group.state().last_index, before);

        let elsewhere = Unavailable::NotLeader {
            leader: me,
            address: member(me).address,
        };
        let follower = other.group.promote(me).await;
        assert_eq!(follower, Err(elsewhere.into()));
        cluster.stop().await;
    });
}

#[test]
fn a_second_change_at_the_same_time_is_busy() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        cluster.add_waiting(4).await;
        let leader = cluster.leader(|_| true).await;
        propose(leader, 0..1).await;
        let both = join(
            leader.group.add_learner(member(4)),
            leader.group.transfer(None),
        );
        let (first, second) = both.await;
        first.expect("the first goes through");
        assert!(matches!(
            second,
            Err(ChangeError::Unavailable(Unavailable::Busy(_)))
        ));
        cluster.stop().await;
    });
}

#[test]
fn a_learner_is_promoted_only_once_it_has_caught_up() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        cluster.add_waiting(4).await;
        let leader = cluster.leader(|_| true).await;
        propose(leader, 0..200).await;
        cluster.lan.cut(4);
        leader.group.add_learner(member(4)).await.expect("added");
        let began = Instant::now();
        let early = leader.group.promote_within(4, LEASE).await;
        let Err(ChangeError::Late(why)) = early else {
            panic!("{early:?}");
        };
        assert!(
            why.contains("node 4 has not caught up: it has nothing"),
            "{why}"
        );
        assert!((LEASE..LEASE * 5).contains(&began.elapsed()));
        assert_eq!(voters(leader), [1, 2, 3]);

        cluster.lan.heal(4);
        leader.group.promote(4).await.expect("it catches up now");
        assert_eq!(voters(leader), [1, 2, 3, 4]);
        let state = leader.group.state();
        let fourth = &state.members[3];
        assert!(fourth.is_reachable && fourth.matched_index >= Some(200));
        cluster.stop().await;
    });
}

#[test]
fn the_leader_hands_over_before_it_loses_its_vote() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let old = cluster.leader(|_| true).await;
        propose(old, 0..10).await;
        let handed = old.group.remove(old.id).await;
        let Err(ChangeError::Unavailable(Unavailable::NotLeader { leader, address })) = handed
        else {
            panic!("{handed:?}");
        };
        assert_ne!(leader, old.id);
        assert_eq!(address, member(leader).address);
        let new = cluster.leader(|id| id == leader).await;
        // The others have the change long before it does.
        let delay = LEASE / 8;
        let slow = Way {
            delay,
            ..Way::default()
        };
        cluster.lan.set(new.id, old.id, slow);
        new.group.remove(old.id).await.expect("removed");
        assert!(!all(new).contains(&old.id));
        propose(new, 10..20).await;
        // It has heard that it has no vote, and does not stand for election.
        assert_eq!(old.group.state().role, Role::Learner);
        let term = new.group.state().term;
        Glommio::sleep(LEASE * 4).await;
        assert_eq!(new.group.state().term, term);
        assert!(new.group.is_leader());
        cluster.stop().await;
    });
}

#[test]
fn a_node_removed_while_away_disturbs_nobody_when_it_comes_back() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        propose(leader, 0..10).await;
        let gone = cluster.others(leader.id)[0];
        cluster.lan.cut(gone.id);
        leader.group.remove(gone.id).await.expect("removed");
        propose(leader, 10..20).await;
        let term = leader.group.state().term;
        Glommio::sleep(LEASE * 3).await;
        cluster.lan.heal(gone.id);
        // It believes that it is a voter, and asks.
        let asked = cluster.lan.served("pre-vote");
        until(|| (cluster.lan.served("pre-vote") > asked + 2).then_some(())).await;
        propose(leader, 20..30).await;
        assert!(leader.group.is_leader());
        assert_eq!(leader.group.state().term, term);

        // Nor where its former peers look for a leader themselves.
        leader.group.transfer(None).await.expect("handed over");
        let next = cluster.leader(|id| id != leader.id && id != gone.id).await;
        propose(next, 30..40).await;
        assert!(!gone.group.is_leader());
        cluster.stop().await;
    });
}

#[test]
fn leadership_goes_to_the_most_caught_up_voter_and_loses_nothing() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let old = cluster.leader(|_| true).await;
        let (near, far) = (cluster.others(old.id)[0], cluster.others(old.id)[1]);
        let delay = LEASE / 8;
        cluster.lan.set(
            old.id,
            far.id,
            Way {
                delay,
                ..Way::default()
            },
        );
        propose(old, 0..50).await;
        let known = near.group.leadership();
        let (new, seen) = join(
            old.group.transfer(None),
            near.group.leadership_changed(known),
        )
        .await;
        assert_eq!(new.expect("handed over"), member(near.id));
        assert!(seen.expect("the group runs").term > known.term);
        assert_eq!(near.group.leader(), Some(member(near.id)));
        propose(near, 50..60).await;
        cluster.agree(&payloads(0..60)).await;

        // To a named one, while writes come in: each is either refused or comes out.
        let delay = LEASE / 40;
        let behind = Way {
            delay,
            ..Way::default()
        };
        cluster.lan.set(near.id, old.id, behind);
        let mut refused = 0;
        let pushing = async {
            for tag in 100..400 {
                let payload = payloads(tag..tag + 1).remove(0);
                refused += u64::from(near.group.propose(tag, payload, true).is_err());
                Glommio::sleep(Duration::from_micros(500)).await;
            }
        };
        let handing = async {
            Glommio::sleep(delay * 4).await;
            near.group.transfer(Some(old.id)).await
        };
        let (_, new) = join(pushing, handing).await;
        assert_eq!(new.expect("handed over").id, old.id);
        assert!(refused < 300);
        let fates = || (100..400).filter(|tag| near.fate(*tag).is_some()).count() as u64;
        until(|| (fates() == 300 - refused).then_some(())).await;
        let uncertain = |tag: &u64| {
            let fate = near.fate(*tag);
            matches!(fate, Some(super::Event::Failed(_, Unavailable::Uncertain)))
        };
        assert_eq!((100..400).filter(uncertain).count(), 0);
        cluster.stop().await;
    });
}

#[test]
fn a_transfer_to_an_unreachable_voter_leaves_the_leader_leading() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        let away = cluster.others(leader.id)[0];
        cluster.lan.cut(away.id);
        Glommio::sleep(LEASE * 2).await;
        let refused = leader.group.transfer(Some(away.id)).await;
        assert!(matches!(refused, Err(ChangeError::Late(_))), "{refused:?}");
        propose(leader, 0..5).await;
        // With it away, taking the other's vote would leave a quorum that cannot be reached.
        let other = cluster.others(leader.id)[1];
        let refused = leader.group.demote(other.id).await;
        assert!(matches!(refused, Err(ChangeError::Late(_))), "{refused:?}");
        leader.group.demote(away.id).await.expect("demoted");
        propose(leader, 5..10).await;
        cluster.stop().await;
    });
}

#[test]
fn a_member_that_moved_is_reached_at_its_new_address() {
    Glommio::run(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader(|_| true).await;
        propose(leader, 0..5).await;
        let moved = cluster.others(leader.id)[0];
        cluster.lan.connect(moved.id, "elsewhere", &moved.group);
        let address = "elsewhere".to_string();
        let member = Member {
            id: moved.id,
            address,
        };
        leader
            .group
            .replace_address(member.clone())
            .await
            .expect("noted");
        propose(leader, 5..10).await;
        cluster.agree(&payloads(0..10)).await;
        until(|| {
            let states = leader.group.state().members;
            let state = states.into_iter().find(|state| state.member == member)?;
            state.is_reachable.then_some(())
        })
        .await;
        cluster.stop().await;
    });
}

#[test]
fn a_change_of_votes_that_its_leader_left_half_made_is_completed_by_the_next() {
    Glommio::run(async {
        let mut cluster = Cluster::start().await;
        cluster.add_waiting(4).await;
        let old = cluster.leader(|_| true).await;
        propose(old, 0..5).await;
        old.group.add_learner(member(4)).await.expect("added");
        let delay = LEASE / 10;
        for other in cluster.others(old.id) {
            cluster.lan.set(
                old.id,
                other.id,
                Way {
                    delay,
                    ..Way::default()
                },
            );
            cluster.lan.set(
                other.id,
                old.id,
                Way {
                    delay,
                    ..Way::default()
                },
            );
        }
        let change = old.group.promote(4);
        let cut = async {
            until(|| old.group.state().is_changing.then_some(())).await;
            let log = &old.log;
            let length = log.records().len();
            let others = cluster.others(old.id);
            until(|| {
                others
                    .iter()
                    .all(|node| node.log.records().len() >= length)
                    .then_some(())
            })
            .await;
            cluster.lan.cut(old.id);
        };
        let completed = async {
            cut.await;
            let next = cluster.leader(|id| id != old.id).await;
            until(|| (!next.group.state().is_changing).then_some(())).await;
            assert_eq!(voters(next), [1, 2, 3, 4]);
            cluster.lan.heal(old.id);
            next
        };
        let (changed, next) = join(change, completed).await;
        let unknown = Err(ChangeError::Unavailable(Unavailable::Uncertain));
        assert!(changed.is_ok() || changed == unknown, "{changed:?}");
        propose(next, 5..10).await;
        cluster.agree(&payloads(0..10)).await;
        cluster.stop().await;
    });
}

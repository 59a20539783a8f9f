//! Faults that follow each other as in a story, told of three nodes. Each answers `None` where the
//! cluster was in no state for it.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use quorate::rt::{self, sim};

use crate::cluster::{Cluster, Machine};
use crate::nemesis::{
    all_are_voters, cut, cut_between, cut_off, heal, heal_between, heal_cuts, pause,
};
use crate::workload::Worker;

/// Lets one node vote for a second one, that then is alone; takes the voter's power at once; lets
/// it vote for a third one, and brings the second one back.
pub async fn forgotten_vote(cluster: &Rc<Cluster>) -> Option<()> {
    let leader = leader(cluster)?;
    let voter = cluster.machine(1 + leader.number % 3).clone();
    let next = cluster.machine(1 + voter.number % 3).clone();
    // The voter hears of the leader no more, and the other one of nobody but the voter.
    cut_between(leader.number, voter.number);
    cut_between(leader.number, next.number);
    let mut told = None;
    for _ in 0..4000 {
        pause(0, 2).await;
        let elected = [&voter, &next].into_iter().find(|one| one.leads()).cloned();
        let Some(elected) = elected else { continue };
        let gave = if elected.number == voter.number {
            &next
        } else {
            &voter
        };
        cut_off(cluster, elected.number);
        cluster.crash(gave);
        pause(50, 300).await;
        cluster.power_up(gave);
        if !gave.is_up() {
            cluster.start(gave);
        }
        // The one that led before was not asked for its vote: its term is older.
        heal_between(leader.number, gave.number);
        pause(1500, 4000).await;
        told = Some(());
        break;
    }
    heal_cuts(cluster);
    pause(500, 2000).await;
    told
}

/// Lets the leader and one node acknowledge what a third one lacks, takes that node's power, and
/// starts it three times, without the leader: it must not make the third one leader.
pub async fn forgotten_tail(cluster: &Rc<Cluster>) -> Option<()> {
    let leader = leader(cluster)?;
    let holder = cluster.machine(1 + leader.number % 3).clone();
    let third = cluster.machine(1 + holder.number % 3).clone();
    if !all_are_voters(cluster) {
        return None;
    }
    cut_off(cluster, third.number);
    pause(300, 900).await;
    cut_off(cluster, leader.number);
    cluster.crash(&holder);
    let told = holder.disk.may_have_lost().then_some(());
    heal_between(holder.number, third.number);
    for _ in 0..3 {
        // Some starts are cut short while they are about to say what they found.
        match sim::below(2) {
            0 => rt::sleep(Duration::from_micros(sim::below(3000))).await,
            _ => pause(20, 100).await,
        }
        cluster.power_up(&holder);
        if holder.is_up() {
            cluster.kill(&holder);
        }
        cluster.start(&holder);
    }
    pause(2000, 4000).await;
    heal_cuts(cluster);
    pause(500, 1500).await;
    told
}

/// Holds back that an entry is on its leader's disk, and one node's answer to it, until the other
/// one leads and is written to. Then the disk comes to an end, so that the old leader commits the
/// entry and says so; then that answer comes. Who reads there must not get what was before.
pub async fn late_answer(cluster: &Rc<Cluster>, reader: &impl Fn(u64) -> Worker) -> Option<()> {
    let leader = leader(cluster)?;
    if !all_are_voters(cluster) {
        return None;
    }
    let late = cluster
        .machine(1 + (leader.number + sim::below(2)) % 3)
        .clone();
    let next = cluster.machine(6 - leader.number - late.number).clone();
    cut(late.number, leader.number);
    leader.disk.is_stalled.set(true);
    pause(20, 150).await;
    cut_off(cluster, leader.number);
    for _ in 0..200 {
        if next.leads() || late.leads() {
            break;
        }
        pause(5, 15).await;
    }
    let told = (next.leads() || late.leads()).then_some(());
    pause(100, 400).await;
    read_at(&leader, reader);
    pause(20, 60).await;
    leader.disk.is_stalled.set(false);
    pause(2, 10).await;
    heal(late.number, leader.number);
    pause(5, 30).await;
    heal_cuts(cluster);
    pause(300, 1000).await;
    told
}

fn leader(cluster: &Cluster) -> Option<Rc<Machine>> {
    cluster.machines.iter().find(|one| one.leads()).cloned()
}

/// Reads the keys that were asked for last, each over a connection of its own.
fn read_at(machine: &Rc<Machine>, reader: &impl Fn(u64) -> Worker) {
    let history = reader(machine.number).history;
    let singles = history.singles.borrow();
    let keys: BTreeSet<u64> = singles.iter().rev().map(|one| one.key).take(8).collect();
    for key in keys {
        let Some(session) = machine.connect() else {
            return;
        };
        let reader = reader(machine.number);
        rt::spawn(async move {
            // A replaced leader may refuse; what it answers is in the history.
            let _ = reader.read_single(&session, key).await;
        });
    }
}

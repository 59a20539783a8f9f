//! Faults that follow each other as in a story, told of three nodes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use quorate::rt::{self, sim};

use crate::cluster::{Cluster, Machine};
use crate::nemesis::{all_are_voters, change_way, cut, cut_off, heal_cuts, pause};
use crate::record::{Act, History};
use crate::workload::Worker;

/// Lets one node vote for a second one, that then is alone; takes the voter's power at once; lets
/// it vote for a third one, and brings the second one back.
pub async fn forgotten_vote(cluster: &Rc<Cluster>) {
    let Some(leader) = cluster.machines.iter().find(|one| one.leads()).cloned() else {
        return;
    };
    let voter = cluster.machine(1 + leader.number % 3).clone();
    let next = cluster.machine(1 + voter.number % 3).clone();
    // The voter hears of the leader no more, and the other one of nobody but the voter.
    cut(leader.number, voter.number);
    cut(voter.number, leader.number);
    cut(leader.number, next.number);
    cut(next.number, leader.number);
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
        cluster.start(gave);
        // The one that led before was not asked for its vote: its term is older.
        change_way(leader.number, gave.number, |way| way.is_cut = false);
        change_way(gave.number, leader.number, |way| way.is_cut = false);
        pause(1500, 4000).await;
        break;
    }
    heal_cuts(cluster);
    pause(500, 2000).await;
}

/// Lets the leader and one node acknowledge what a third one lacks, takes that node's power, and
/// lets it come back twice, without the leader: it must not make the third one leader.
pub async fn forgotten_tail(cluster: &Rc<Cluster>) {
    let Some(leader) = cluster.machines.iter().find(|one| one.leads()).cloned() else {
        return;
    };
    let holder = cluster.machine(1 + leader.number % 3).clone();
    let third = cluster.machine(1 + holder.number % 3).clone();
    if !all_are_voters(cluster) {
        return;
    }
    cut_off(cluster, third.number);
    pause(300, 900).await;
    cut_off(cluster, leader.number);
    cluster.crash(&holder);
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
}

/// Holds back that an entry is on its leader's disk, and one node's answer to it, until the other
/// one leads and is written to. Then the disk comes to an end, so that the old leader commits the
/// entry and says so; then that answer comes. Who reads there must not get what was before.
pub async fn late_answer(cluster: &Rc<Cluster>, history: &Rc<History>, stop: &Rc<Cell<bool>>) {
    let Some(leader) = cluster.machines.iter().find(|one| one.leads()).cloned() else {
        return;
    };
    if cluster.machines.len() != 3 || !all_are_voters(cluster) {
        return;
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
    pause(100, 400).await;
    let keys = history
        .singles
        .borrow()
        .iter()
        .rev()
        .map(|one| one.key)
        .take(8)
        .collect();
    read_at(&leader, cluster, history, stop, keys);
    pause(20, 60).await;
    leader.disk.is_stalled.set(false);
    pause(2, 10).await;
    change_way(late.number, leader.number, |way| way.is_cut = false);
    pause(5, 30).await;
    heal_cuts(cluster);
    pause(300, 1000).await;
}

/// Reads keys at one machine, each over a connection of its own.
fn read_at(
    machine: &Rc<Machine>,
    cluster: &Rc<Cluster>,
    history: &Rc<History>,
    stop: &Rc<Cell<bool>>,
    keys: BTreeSet<u64>,
) {
    for key in keys {
        let Some(session) = machine.connect() else {
            return;
        };
        let reader = Worker {
            cluster: cluster.clone(),
            history: history.clone(),
            home: machine.number,
            stop: stop.clone(),
            name: 1000 + history.unique(),
        };
        rt::spawn(async move {
            let request = format!("GET k{key}");
            let asked = reader.record_single(&session, key, &request, Act::Get(None));
            // A replaced leader may refuse; what it answers is in the history.
            let _ = asked.await;
        });
    }
}

fn heal_between(one: u64, other: u64) {
    change_way(one, other, |way| way.is_cut = false);
    change_way(other, one, |way| way.is_cut = false);
}

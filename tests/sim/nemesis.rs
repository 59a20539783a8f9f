//! What goes wrong.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use quorate::rt::sim::net::{self, Way};
use quorate::rt::{self, sim};

use crate::cluster::{Cluster, Machine};
use crate::record::{Act, History};
use crate::workload::Worker;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Some ways are cut, for a while: a machine alone, one way only, a bridge, two sides.
    Partition,
    /// Ways are slow, or lose much.
    Weather,
    /// Connections break.
    Breaks,
    /// kill -9, of one or of all.
    Kill,
    /// Power failures, of a minority or, at `high`, of all.
    Crash,
    /// A disk is slow, or full until the next start.
    Disk,
    /// A wall clock jumps.
    Clock,
    /// Checkpoints, behind which the log is forgotten.
    Checkpoint,
    /// The lead is handed over.
    Transfer,
    /// Votes are taken and given.
    Members,
    /// A machine loses its disk and joins anew.
    Wipe,
    /// Power failures of who has just voted, while those who want to lead do not hear each other.
    ForgottenVote,
    /// A power failure of who has acknowledged the most, and a restart before it has that again.
    ForgottenTail,
    /// What a leader hears when another one has been elected, but not of that, while it is asked.
    LateAnswer,
}

pub const ALL: &[Fault] = &[
    Fault::Partition,
    Fault::Weather,
    Fault::Breaks,
    Fault::Kill,
    Fault::Crash,
    Fault::Disk,
    Fault::Clock,
    Fault::Checkpoint,
    Fault::Transfer,
    Fault::Members,
    Fault::Wipe,
];

/// Does harm until `stop`.
pub async fn rage(
    cluster: Rc<Cluster>,
    history: Rc<History>,
    faults: Vec<Fault>,
    stop: Rc<Cell<bool>>,
) {
    while !stop.get() {
        pause(20, 600).await;
        let fault = faults[sim::below(faults.len() as u64) as usize];
        if stop.get() {
            return;
        }
        match fault {
            Fault::Partition => partition(&cluster).await,
            Fault::Weather => weather(&cluster),
            Fault::Breaks => break_some(&cluster),
            Fault::Kill => kill(&cluster),
            Fault::Crash => crash(&cluster),
            Fault::Disk => disk(&cluster),
            Fault::Clock => clock(&cluster),
            Fault::Checkpoint => checkpoint(&cluster),
            Fault::Transfer => transfer(&cluster),
            Fault::Members => members(&cluster).await,
            Fault::Wipe => wipe(&cluster),
            Fault::ForgottenTail => forgotten_tail(&cluster).await,
            Fault::ForgottenVote => forgotten_vote(&cluster).await,
            Fault::LateAnswer => late_answer(&cluster, &history, &stop).await,
        }
    }
}

pub async fn pause(ms_min: u64, ms_max: u64) {
    let ms = ms_min + sim::below(ms_max - ms_min);
    rt::sleep(Duration::from_millis(ms)).await;
}

fn change_way(from: u64, to: u64, change: impl Fn(&mut Way)) {
    let mut way = net::way(from, to);
    change(&mut way);
    net::set_way(from, to, way);
}

pub fn cut(from: u64, to: u64) {
    change_way(from, to, |way| way.is_cut = true);
}

pub fn cut_off(cluster: &Cluster, machine: u64) {
    for other in 1..=cluster.setup.nodes {
        cut(machine, other);
        cut(other, machine);
    }
}

pub fn heal_all(cluster: &Cluster) {
    for from in 1..=cluster.setup.nodes {
        for to in 1..=cluster.setup.nodes {
            net::set_way(from, to, Way::default());
        }
    }
}

fn heal_cuts(cluster: &Cluster) {
    for from in 1..=cluster.setup.nodes {
        for to in 1..=cluster.setup.nodes {
            change_way(from, to, |way| way.is_cut = false);
        }
    }
}

async fn partition(cluster: &Cluster) {
    let nodes = cluster.setup.nodes;
    let one = cluster.any().number;
    match sim::below(5) {
        // Everybody else's words reach nobody, or its own.
        0 => (1..=nodes)
            .filter(|other| *other != one)
            .for_each(|other| cut(other, one)),
        1 => (1..=nodes)
            .filter(|other| *other != one)
            .for_each(|other| cut(one, other)),
        2 => cut_off(cluster, one),
        // Two that see everybody but each other.
        3 => {
            let other = 1 + one % nodes;
            cut(one, other);
            cut(other, one);
        }
        _ => {
            for from in 1..=nodes {
                for to in 1..=nodes {
                    let sides = ((from * 7 + one) % 2, (to * 7 + one) % 2);
                    if sides.0 != sides.1 {
                        cut(from, to);
                    }
                }
            }
        }
    }
    pause(50, 2500).await;
    heal_cuts(cluster);
}

fn weather(cluster: &Cluster) {
    let nodes = cluster.setup.nodes;
    let (from, to) = (1 + sim::below(nodes), 1 + sim::below(nodes));
    let bad = sim::below(3);
    change_way(from, to, |way| {
        way.delay_us_max = [400, 5000, 80_000][bad as usize];
        way.loss_permille = [0, 10, 100][bad as usize];
    });
}

fn break_some(cluster: &Cluster) {
    let (one, other) = (cluster.any().number, cluster.any().number);
    net::break_between(one, other);
}

/// Starts the machine's node again after a while, whatever happens meanwhile.
fn come_back(cluster: &Rc<Cluster>, machine: &Rc<Machine>, ms_max: u64) {
    let (cluster, machine) = (cluster.clone(), machine.clone());
    rt::spawn(async move {
        pause(20, ms_max).await;
        cluster.power_up(&machine);
        machine.disk.is_full.set(false);
        if !machine.is_up() {
            cluster.start(&machine);
        }
    });
}

fn kill(cluster: &Rc<Cluster>) {
    let machines: Vec<Rc<Machine>> = match sim::below(6) {
        0 => cluster.machines.clone(),
        1 | 2 => cluster
            .machines
            .iter()
            .filter(|one| one.leads())
            .cloned()
            .collect(),
        _ => vec![cluster.any().clone()],
    };
    for machine in machines.iter().filter(|one| one.is_up()) {
        cluster.kill(machine);
        come_back(cluster, machine, 2500);
    }
}

/// Whether `victim` may lose what it did not sync: the rest is a majority that has everything.
fn may_crash(cluster: &Cluster, victim: &Machine) -> bool {
    let level = cluster.setup.durability;
    let rest = cluster.machines.iter();
    level == "high"
        || rest
            .filter(|one| one.number != victim.number)
            .all(|one| one.is_sound())
}

fn crash(cluster: &Rc<Cluster>) {
    let all = sim::below(4) == 0 && cluster.setup.durability == "high";
    let machines = match all {
        true => cluster.machines.clone(),
        false => vec![cluster.any().clone()],
    };
    for machine in machines.iter().filter(|one| one.is_up()) {
        if may_crash(cluster, machine) {
            cluster.crash(machine);
            come_back(cluster, machine, 3000);
        }
    }
}

fn disk(cluster: &Rc<Cluster>) {
    let machine = cluster.any();
    match sim::below(5) {
        0 => {
            machine.disk.is_full.set(true);
            let (cluster, machine) = (cluster.clone(), machine.clone());
            rt::spawn(async move {
                pause(100, 1500).await;
                cluster.kill(&machine);
                come_back(&cluster, &machine, 500);
            });
        }
        1 => machine.disk.sync_us_max.set(400_000),
        2 => machine.disk.sync_us_max.set(30_000),
        _ => machine.disk.sync_us_max.set(2000),
    }
}

fn clock(cluster: &Cluster) {
    let off_ms = [0, 5000, -5000, 3_600_000, -3_600_000, 40, -40][sim::below(7) as usize];
    sim::set_clock(cluster.any().number, off_ms);
}

/// Asks a node for something that may take its time, and may never come to an end.
fn on_node<F>(machine: &Rc<Machine>, ask: impl FnOnce(Rc<quorate::node::simulated::Running>) -> F)
where
    F: Future<Output = ()> + 'static,
{
    if let Some(running) = machine.running() {
        rt::spawn(ask(running));
    }
}

fn checkpoint(cluster: &Cluster) {
    on_node(cluster.any(), |running| async move {
        // One may be under way, or the node ends meanwhile.
        let _ = running.checkpoint().await;
    });
}

fn transfer(cluster: &Cluster) {
    for machine in cluster.machines.iter().filter(|one| one.leads()) {
        on_node(machine, |running| async move {
            let _ = running.transfer().await;
        });
    }
}

async fn members(cluster: &Rc<Cluster>) {
    // Two voters of three bear no loss: no other change beside one.
    if !all_are_voters(cluster) || cluster.changes.get() > 0 {
        return;
    }
    cluster.changes.set(cluster.changes.get() + 1);
    let kept = cluster.clone();
    let id = cluster.any().node_id();
    let asked = cluster.any().clone();
    on_node(&asked, move |running| async move {
        let _ = running.change(&format!("DEMOTE {id}")).await;
        pause(100, 2000).await;
        let promoted = running.change(&format!("PROMOTE {id}")).await;
        // Otherwise nobody knows how far it has come.
        if promoted.is_ok() {
            kept.changes.set(kept.changes.get() - 1);
        }
    });
}

fn wipe(cluster: &Rc<Cluster>) {
    let victim = cluster.any().clone();
    if !victim.is_up() || !all_are_voters(cluster) || cluster.changes.get() > 0 {
        return;
    }
    cluster.wipe(&victim);
    come_back(cluster, &victim, 2000);
}

/// Whether every machine's node runs, and is a voter in the eyes of a leader that has a quorum.
pub fn all_are_voters(cluster: &Cluster) -> bool {
    let leader = cluster.machines.iter().find(|one| one.leads());
    let Some(running) = leader.and_then(|leader| leader.running()) else {
        return false;
    };
    let state = running.state();
    let is_voter = |machine: &Rc<Machine>| {
        let id = machine.node_id();
        machine.is_sound() && state.voters.iter().any(|voter| voter.id == id)
    };
    let whole = state.has_quorum && !state.is_changing;
    whole && cluster.machines.iter().all(is_voter) && state.voters.len() == cluster.machines.len()
}

/// Lets one node vote for a second one, that then is alone; takes the voter's power at once; lets
/// it vote for a third one, and brings the second one back.
async fn forgotten_vote(cluster: &Rc<Cluster>) {
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
async fn forgotten_tail(cluster: &Rc<Cluster>) {
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
async fn late_answer(cluster: &Rc<Cluster>, history: &Rc<History>, stop: &Rc<Cell<bool>>) {
    let Some(leader) = cluster.machines.iter().find(|one| one.leads()).cloned() else {
        return;
    };
    let late = cluster
        .machine(1 + (leader.number + sim::below(2)) % 3)
        .clone();
    let next = cluster.machine(6 - leader.number - late.number).clone();
    if !all_are_voters(cluster) {
        return;
    }
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
            reader
                .record_single(&session, key, &format!("GET k{key}"), Act::Get(None))
                .await;
        });
    }
}

fn heal_between(one: u64, other: u64) {
    change_way(one, other, |way| way.is_cut = false);
    change_way(other, one, |way| way.is_cut = false);
}

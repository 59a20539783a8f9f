//! What goes wrong.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use quorate::rt::sim::net::{self, Way};
use quorate::rt::{self, sim};

use crate::cluster::{Cluster, Machine};
use crate::stories;
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

/// Faults that are a whole story, told of three nodes: for tests of their own.
pub const STORIES: &[Fault] = &[
    Fault::ForgottenVote,
    Fault::ForgottenTail,
    Fault::LateAnswer,
];

/// Does harm until `stop`, and ends what it has begun. Answers how many stories it told; who reads
/// in them is made by `reader`, for a machine.
pub async fn rage(
    cluster: &Rc<Cluster>,
    faults: &[Fault],
    stop: &Cell<bool>,
    reader: impl Fn(u64) -> Worker,
) -> u64 {
    let mut told = 0;
    let mut count = |story: Option<()>| told += u64::from(story.is_some());
    while !stop.get() {
        pause(20, 600).await;
        let fault = faults[sim::below(faults.len() as u64) as usize];
        if stop.get() {
            break;
        }
        match fault {
            Fault::Partition => partition(cluster).await,
            Fault::Weather => weather(cluster),
            Fault::Breaks => break_some(cluster),
            Fault::Kill => kill(cluster),
            Fault::Crash => crash(cluster),
            Fault::Disk => disk(cluster),
            Fault::Clock => clock(cluster),
            Fault::Checkpoint => checkpoint(cluster),
            Fault::Transfer => transfer(cluster),
            Fault::Members => members(cluster).await,
            Fault::Wipe => wipe(cluster),
            Fault::ForgottenTail => count(stories::forgotten_tail(cluster).await),
            Fault::ForgottenVote => count(stories::forgotten_vote(cluster).await),
            Fault::LateAnswer => count(stories::late_answer(cluster, &reader).await),
        }
    }
    told
}

pub async fn pause(ms_min: u64, ms_max: u64) {
    let ms = ms_min + sim::below(ms_max - ms_min);
    rt::sleep(Duration::from_millis(ms)).await;
}

pub fn change_way(from: u64, to: u64, change: impl Fn(&mut Way)) {
    let mut way = net::way(from, to);
    change(&mut way);
    net::set_way(from, to, way);
}

pub fn cut(from: u64, to: u64) {
    change_way(from, to, |way| way.is_cut = true);
}

pub fn heal(from: u64, to: u64) {
    change_way(from, to, |way| way.is_cut = false);
}

pub fn cut_between(one: u64, other: u64) {
    cut(one, other);
    cut(other, one);
}

pub fn heal_between(one: u64, other: u64) {
    heal(one, other);
    heal(other, one);
}

pub fn cut_off(cluster: &Cluster, machine: u64) {
    for other in 1..=cluster.setup.nodes {
        cut_between(machine, other);
    }
}

pub fn heal_all(cluster: &Cluster) {
    for from in 1..=cluster.setup.nodes {
        for to in 1..=cluster.setup.nodes {
            net::set_way(from, to, Way::default());
        }
    }
}

pub fn heal_cuts(cluster: &Cluster) {
    for from in 1..=cluster.setup.nodes {
        for to in 1..=cluster.setup.nodes {
            heal(from, to);
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
            cut_between(one, 1 + one % nodes);
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

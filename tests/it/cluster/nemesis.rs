//! What goes wrong, one thing at a time: brought about, kept up for a while, mended.

use std::path::Path;
use std::time::Duration;

use super::client::Run;
use crate::kit::{Cluster, Seed, Way};

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    KillLeader,
    KillFollower,
    KillAll,
    PauseLeader,
    PauseFollower,
    /// Nothing from or to it.
    IsolateLeader,
    IsolateFollower,
    /// What the leader sends is lost; it hears the others.
    MuteLeader,
    /// It is heard by all, and hears nobody.
    DeafLeader,
    MuteFollower,
    /// The leader and one follower do not hear each other; both hear the third.
    Bridge,
    /// The followers do not hear each other.
    SplitFollowers,
    /// Packets are lost and late, everywhere.
    PoorNetwork,
    RollingRestart,
    /// The last node's disk is full, and then it is not.
    FullDisk,
    /// It comes back without its data.
    WipeFollower,
    Transfer,
}

/// Those that need nothing but processes.
pub const OF_PROCESSES: [Fault; 8] = [
    Fault::KillLeader,
    Fault::KillFollower,
    Fault::PauseLeader,
    Fault::Transfer,
    Fault::KillAll,
    Fault::WipeFollower,
    Fault::PauseFollower,
    Fault::RollingRestart,
];

/// Those of the network between nodes that live apart.
pub const OF_NETWORK: [Fault; 8] = [
    Fault::IsolateLeader,
    Fault::MuteLeader,
    Fault::Bridge,
    Fault::PoorNetwork,
    Fault::DeafLeader,
    Fault::IsolateFollower,
    Fault::SplitFollowers,
    Fault::MuteFollower,
];

impl Fault {
    /// Whether a quorum stays, so that somebody should lead soon.
    pub fn leaves_a_quorum(self) -> bool {
        self != Fault::KillAll
    }
}

/// Brings faults about, and keeps count.
pub struct Nemesis<'run> {
    pub cluster: Cluster,
    pub run: &'run Run,
    pub seed: Seed,
    /// A small disk below the last node.
    pub disk: Option<&'run Path>,
    /// What was done when, in microseconds of the run.
    pub struck: Vec<(Fault, i64, i64)>,
    pub checkpoints_taken: usize,
    pub taken_before: [usize; 3],
}

impl Nemesis<'_> {
    /// One fault, from its beginning until all nodes serve again.
    pub fn strike(&mut self, fault: Fault, hold: Duration) {
        let begun = self.run.now_us();
        let leader = self.cluster.leader();
        let node = self.bring_about(fault, leader);
        std::thread::sleep(hold + Duration::from_millis(self.seed.below(400)));
        self.mend(fault, node);
        self.cluster.wait_for_all(self.cluster.count());
        self.struck.push((fault, begun, self.run.now_us()));
        for node in 0..self.cluster.count() {
            let said = self.cluster.said(node);
            let taken = said
                .matches("replaced by another node's checkpoint")
                .count();
            // A node that is started anew begins to count from none.
            self.checkpoints_taken += taken.saturating_sub(self.taken_before[node]);
            self.taken_before[node] = taken;
        }
        let took_ms = (self.run.now_us() - begun) / 1000;
        eprintln!("{fault:?} of node {node} (leader {leader}): {took_ms} ms");
    }

    /// Answers which node it met.
    fn bring_about(&mut self, fault: Fault, leader: usize) -> usize {
        let follower = self.cluster.follower();
        let other = self.cluster.count() - leader - follower;
        let cluster = &mut self.cluster;
        match fault {
            Fault::KillLeader => cluster.kill(leader),
            Fault::KillFollower => cluster.kill(follower),
            Fault::WipeFollower => {
                cluster.kill(follower);
                cluster.wipe(follower);
            }
            Fault::KillAll => (0..cluster.count()).for_each(|node| cluster.kill(node)),
            Fault::PauseLeader => cluster.pause(leader),
            Fault::PauseFollower => cluster.pause(follower),
            Fault::IsolateLeader => cluster.network().isolate(leader),
            Fault::IsolateFollower => cluster.network().isolate(follower),
            Fault::MuteLeader => {
                cluster.network().cut_one_way(leader, follower);
                cluster.network().cut_one_way(leader, other);
            }
            Fault::DeafLeader => {
                cluster.network().cut_one_way(follower, leader);
                cluster.network().cut_one_way(other, leader);
            }
            Fault::MuteFollower => {
                cluster.network().cut_one_way(follower, leader);
                cluster.network().cut_one_way(follower, other);
            }
            Fault::Bridge => cluster.network().cut(leader, follower),
            Fault::SplitFollowers => cluster.network().cut(follower, other),
            Fault::PoorNetwork => cluster.network().make_all(Way {
                is_cut: false,
                lost_permille: 50,
                delay: Duration::from_millis(10),
                jitter: Duration::from_millis(20),
            }),
            Fault::Transfer => drop(cluster.ask(follower, "RAFT TRANSFER")),
            Fault::RollingRestart => self.restart_all(),
            Fault::FullDisk => {
                let junk = self.disk.expect("a small disk").join("junk");
                // As much as goes on it.
                let _full = std::fs::write(junk, vec![1; 64 << 20]);
                return cluster.count() - 1;
            }
        }
        match fault {
            Fault::KillLeader | Fault::PauseLeader | Fault::IsolateLeader => leader,
            Fault::MuteLeader | Fault::DeafLeader | Fault::Bridge => leader,
            _ => follower,
        }
    }

    fn mend(&mut self, fault: Fault, node: usize) {
        let cluster = &mut self.cluster;
        match fault {
            Fault::KillLeader | Fault::KillFollower => cluster.start(node, &[]),
            Fault::KillAll => (0..cluster.count()).for_each(|node| cluster.start(node, &[])),
            Fault::WipeFollower => {
                // However little was written: it is to need a checkpoint.
                cluster.await_some("a log without its beginning", |cluster| {
                    let leader = cluster.leader();
                    cluster.ask(leader, "RAFT SNAPSHOT")?;
                    (cluster.number(leader, "raft_purged_index") > 0).then_some(())
                });
                let member = cluster.address(cluster.leader());
                cluster.start(node, &["--join", &member]);
            }
            Fault::PauseLeader | Fault::PauseFollower => cluster.resume(node),
            Fault::FullDisk => {
                let junk = self.disk.expect("a small disk").join("junk");
                std::fs::remove_file(junk).expect("room");
                // What failed to write stays silent until it is started anew.
                cluster.kill(node);
                cluster.start(node, &[]);
            }
            Fault::Transfer | Fault::RollingRestart => {}
            _ => cluster.network().heal(),
        }
    }

    fn restart_all(&mut self) {
        for node in 0..self.cluster.count() {
            self.cluster.stop(node);
            self.cluster.start(node, &[]);
            self.cluster.wait_for_all(self.cluster.count());
        }
    }
}

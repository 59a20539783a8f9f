//! Histories under everything that goes wrong.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use adya::Workload;

use super::client::Run;
use super::ledger::{self, Ledger};
use super::nemesis::{Fault, Nemesis, OF_NETWORK, OF_PROCESSES};
use super::{registers, transactions};
use crate::failure::Mounted;
use crate::kit::{Cluster, SMALL, Seed, seed_of};
use crate::order::key::Key;
use crate::order::transaction::{Recorder, expect_valid};

/// Names the seed of a run that is to be repeated, as far as it can be.
const SEED_VARIABLE: &str = "QUORATE_FAULTS_SEED";

/// The longest that a cluster with a quorum may be without a leader, in ms: far above what it
/// takes, as a crowded machine makes everything take.
const LEADERLESS_MS_MAX: i64 = 20_000;

/// Room of the small disk.
const DISK_KIB: usize = 64 * 1024;

/// Everything that the clients saw.
struct Seen {
    registers: Vec<porcupine_rs::Operation<Key>>,
    appends: Recorder,
    texts: Recorder,
    ledgers: Vec<Ledger>,
    acknowledged_us: Vec<i64>,
}

/// Runs clients on every node while `plan` does its worst.
fn record<'run>(
    nemesis: &mut Nemesis<'run>,
    run: &'run Run,
    seed: u64,
    plan: impl FnOnce(&mut Nemesis<'run>),
) -> Seen {
    let count = nemesis.cluster.count();
    let mut seen = Seen {
        registers: Vec::new(),
        appends: Recorder::default(),
        texts: Recorder::default(),
        ledgers: Vec::new(),
        acknowledged_us: Vec::new(),
    };
    let Seen { appends, texts, .. } = &seen;
    let (registers, ledgers) = std::thread::scope(|scope| {
        let (mut keys, mut lists) = (Vec::new(), Vec::new());
        for node in 0..count {
            let entrance = nemesis.cluster.entrance(node);
            let client = move |number: usize| (entrance.clone(), (node + number * count) as u64);
            for number in 1..3 {
                let (entrance, number) = client(number);
                keys.push(scope.spawn(move || registers::act(entrance, number, seed, run)));
            }
            let (entrance, number) = client(3);
            scope.spawn(move || {
                transactions::act(entrance, number, Workload::ListAppend, seed, appends, run);
            });
            let (entrance, number) = client(4);
            scope.spawn(move || {
                transactions::act(entrance, number, Workload::RwRegister, seed, texts, run);
            });
            let (entrance, _) = client(5);
            let pause = Duration::from_millis(8);
            lists.push(scope.spawn(move || ledger::act(entrance, node, 3000, pause, run)));
        }
        // Also when the plan fails: nobody is to wait for it forever.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| plan(nemesis)));
        run.ending.store(true, Ordering::SeqCst);
        let keys: Vec<_> = keys.into_iter().map(|one| one.join()).collect();
        let lists: Vec<_> = lists.into_iter().map(|one| one.join()).collect();
        if let Err(failure) = result {
            std::panic::resume_unwind(failure);
        }
        let keys: Vec<_> = keys
            .into_iter()
            .map(|one| one.expect("a history"))
            .collect();
        let lists: Vec<_> = lists
            .into_iter()
            .map(|one| one.expect("a ledger"))
            .collect();
        (keys, lists)
    });
    for (operations, acknowledged_us) in registers {
        seen.registers.extend(operations);
        seen.acknowledged_us.extend(acknowledged_us);
    }
    for ledger in ledgers {
        seen.acknowledged_us.extend(&ledger.acknowledged_us);
        seen.ledgers.push(ledger);
    }
    seen
}

/// The longest time in which nothing was acknowledged although there was a quorum, in ms, and what
/// was done meanwhile.
fn leaderless_ms_max(
    acknowledged_us: &mut [i64],
    struck: &[(Fault, i64, i64)],
) -> (i64, Vec<Fault>) {
    acknowledged_us.sort_unstable();
    let gaps = acknowledged_us.windows(2).map(|pair| (pair[0], pair[1]));
    let during = |gap: (i64, i64)| {
        let overlaps = |one: &&(Fault, i64, i64)| gap.0 < one.2 && one.1 < gap.1;
        let faults = struck.iter().filter(overlaps).map(|one| one.0);
        ((gap.1 - gap.0) / 1000, faults.collect())
    };
    let gaps = gaps.map(during);
    let unexplained = gaps
        .filter(|(_, faults): &(i64, Vec<Fault>)| faults.iter().all(|one| one.leaves_a_quorum()));
    unexplained.max_by_key(|gap| gap.0).unwrap_or_default()
}

/// Checks everything that was seen, and tells it.
fn judge(name: &str, nemesis: &Nemesis<'_>, mut seen: Seen) {
    let (run, cluster) = (nemesis.run, &nemesis.cluster);
    cluster.expect_equal_digests();
    let mut lost = 0;
    for node in 0..cluster.count() {
        lost += seen
            .ledgers
            .iter()
            .map(|one| one.missing(cluster, node))
            .sum::<usize>();
    }
    let (leaderless_ms, meanwhile) = leaderless_ms_max(&mut seen.acknowledged_us, &nemesis.struck);
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "{name}: {} operations ({} refused, {} uncertain), {} faults in {} s, {} lost acknowledged \
         writes of {}, longest without an acknowledged write {leaderless_ms} ms ({meanwhile:?}), \
         {} checkpoints taken over",
        count(&run.done),
        count(&run.refused),
        count(&run.unknown),
        nemesis.struck.len(),
        run.begun.elapsed().as_secs(),
        lost,
        seen.ledgers.iter().map(Ledger::count).sum::<usize>(),
        nemesis.checkpoints_taken,
    );
    assert_eq!(lost, 0, "acknowledged writes are missing");
    assert!(leaderless_ms < LEADERLESS_MS_MAX);
    let begun = Instant::now();
    registers::check(&seen.registers);
    let keys = begun.elapsed();
    expect_valid(&seen.appends.into_events(), Workload::ListAppend);
    let lists = begun.elapsed() - keys;
    expect_valid(&seen.texts.into_events(), Workload::RwRegister);
    let texts = begun.elapsed() - keys - lists;
    eprintln!("{name}: 0 stale reads; checked in {keys:.1?}, {lists:.1?}, {texts:.1?}");
}

/// Starts three nodes, has `plan` done to them, and checks what was seen.
fn suffer(
    name: &str,
    cluster: Cluster,
    disk: Option<&Mounted>,
    plan: impl FnOnce(&mut Nemesis<'_>),
) {
    let seed = seed_of(SEED_VARIABLE);
    eprintln!("{name}: {SEED_VARIABLE}={seed}");
    let mut cluster = cluster;
    if let Some(disk) = disk {
        cluster.move_directory(2, &disk.data());
    }
    cluster.begin(3);
    let run = Run::begin();
    let mut nemesis = Nemesis {
        cluster,
        run: &run,
        seed: Seed::new(seed),
        disk: disk.map(Mounted::place),
        struck: Vec::new(),
        checkpoints_taken: 0,
        taken_before: [0; 3],
    };
    let seen = record(&mut nemesis, &run, seed, plan);
    judge(name, &nemesis, seen);
}

/// One kind of fault again and again: `QUORATE_FAULT=MuteLeader`, as it is written in `nemesis`,
/// each time for `QUORATE_FAULT_MS`.
#[test]
#[ignore = "for one who looks at one kind of fault"]
fn one_kind() {
    let wanted = std::env::var("QUORATE_FAULT").unwrap_or_default();
    let all = [&OF_PROCESSES[..], &OF_NETWORK].concat();
    let Some(fault) = all.into_iter().find(|fault| format!("{fault:?}") == wanted) else {
        return;
    };
    let Some(cluster) = Cluster::apart(3, 1, &SMALL) else {
        return;
    };
    let hold_ms = std::env::var("QUORATE_FAULT_MS").ok();
    let hold_ms = hold_ms.and_then(|ms| ms.parse().ok()).unwrap_or(3000);
    suffer("one kind", cluster, None, |nemesis| {
        for _ in 0..6 {
            nemesis.strike(fault, Duration::from_millis(hold_ms));
        }
    });
}

#[test]
fn processes_that_die_and_stall() {
    suffer(
        "processes",
        Cluster::together(3, 1, &SMALL),
        None,
        |nemesis| {
            for fault in OF_PROCESSES {
                nemesis.strike(fault, Duration::from_millis(2500));
            }
            let taken = nemesis.checkpoints_taken;
            assert!(taken > 0, "nobody was far enough behind");
        },
    );
}

#[test]
fn networks_that_break() {
    let Some(cluster) = Cluster::apart(3, 1, &SMALL) else {
        return;
    };
    suffer("networks", cluster, None, |nemesis| {
        for fault in OF_NETWORK {
            nemesis.strike(fault, Duration::from_millis(2500));
        }
    });
}

/// Raft on a core of its own beside eight shards, three times on this machine.
#[test]
fn eight_shards_stay_one() {
    suffer(
        "nine cores",
        Cluster::together(3, 9, &SMALL),
        None,
        |nemesis| {
            for node in 0..3 {
                assert_eq!(nemesis.cluster.shards(node), 8, "node {node}");
            }
            for fault in [
                Fault::KillLeader,
                Fault::PauseLeader,
                Fault::KillFollower,
                Fault::KillLeader,
            ] {
                nemesis.strike(fault, Duration::from_millis(2000));
            }
        },
    );
}

#[test]
fn a_disk_that_fills() {
    if !crate::failure::is_root("a_disk_that_fills") {
        return;
    }
    let Some(disk) = Mounted::memory(DISK_KIB) else {
        return;
    };
    suffer(
        "a full disk",
        Cluster::together(3, 1, &SMALL),
        Some(&disk),
        |nemesis| {
            nemesis.strike(Fault::FullDisk, Duration::from_secs(5));
            // And on the leader.
            let id = nemesis.cluster.field(2, "raft_node_id");
            let asked = nemesis
                .cluster
                .connect(0)
                .ask(&format!("RAFT TRANSFER {id}"));
            eprintln!("{asked:?}");
            nemesis.strike(Fault::FullDisk, Duration::from_secs(5));
        },
    );
}

/// Whatever comes, for ten minutes; `scripts/test --long`.
#[test]
#[ignore = "takes ten minutes"]
fn long() {
    let length = Duration::from_secs(150);
    for (apart, cores) in [(true, 1), (false, 1), (true, 9), (false, 9)] {
        let cluster = match apart {
            true => Cluster::apart(3, cores, &SMALL),
            false => Some(Cluster::together(3, cores, &SMALL)),
        };
        let Some(cluster) = cluster else { continue };
        let disk = Mounted::memory(4 * DISK_KIB);
        suffer(
            &format!("long, {cores} cores"),
            cluster,
            disk.as_ref(),
            |nemesis| {
                let mut faults = OF_PROCESSES.to_vec();
                if apart {
                    faults.extend(OF_NETWORK);
                }
                if disk.is_some() {
                    faults.push(Fault::FullDisk);
                }
                let begun = Instant::now();
                while begun.elapsed() < length {
                    let fault = *nemesis.seed.pick(&faults);
                    let hold = Duration::from_millis(500 + nemesis.seed.below(4000));
                    nemesis.strike(fault, hold);
                }
            },
        );
    }
}

//! One run of a seed: a cluster, its clients, what goes wrong, and what has to hold at the end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::future::join;

use quorate::rt;
use quorate::rt::sim::{self, Bug};

use crate::check;
use crate::cluster::{Cluster, Setup};
use crate::ending;
use crate::nemesis::{self, Fault};
use crate::record::{Counts, History};
use crate::workload::Worker;

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub setup: Setup,
    pub faults: Vec<Fault>,
    /// Virtual time under load and faults.
    pub length: Duration,
    pub bug: Option<Bug>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub steps: u64,
    pub virtual_ms: u64,
    /// What became of what was asked before the end.
    pub asked: Counts,
    pub digest: String,
    pub elections: u64,
    /// Stories that were told to their point.
    pub stories: u64,
}

impl Plan {
    /// The plan that a seed stands for: what kinds of faults, how many nodes and cores, which
    /// level.
    pub fn of(seed: u64) -> Plan {
        let mut dice = seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ 0xA5A5;
        let mut below = |bound: u64| {
            dice = dice
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (dice >> 33) % bound
        };
        let (cores, dedicated) = [(1, false), (1, false), (3, false), (4, true)][below(4) as usize];
        let setup = Setup {
            nodes: [3, 3, 3, 5][below(4) as usize],
            cores,
            dedicated,
            durability: ["high", "high", "low", "medium"][below(4) as usize],
            votes_unsynced: false,
            reads_by_lease: false,
        };
        let mut faults: Vec<Fault> = nemesis::ALL.to_vec();
        faults.retain(|_| below(2) == 0);
        if faults.is_empty() {
            faults.push(Fault::Kill);
        }
        Plan {
            seed,
            setup,
            faults,
            length: Duration::from_secs(5),
            bug: None,
        }
    }

    /// These faults and nothing else, on three nodes.
    pub fn of_three(seed: u64, faults: &[Fault]) -> Plan {
        Plan {
            seed,
            setup: Setup {
                nodes: 3,
                cores: 1,
                dedicated: false,
                durability: "high",
                votes_unsynced: false,
                reads_by_lease: false,
            },
            faults: faults.to_vec(),
            length: Duration::from_secs(8),
            bug: None,
        }
    }

    /// Runs it on a thread of its own.
    ///
    /// # Errors
    /// What did not hold.
    pub fn run(&self) -> Result<Outcome, String> {
        let plan = self.clone();
        let thread = std::thread::Builder::new()
            .name(format!("seed {}", self.seed))
            .stack_size(16 * 1024 * 1024);
        let running = thread.spawn(move || plan.run_here()).expect("a thread");
        match running.join() {
            Ok(outcome) => outcome,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or(panic.downcast_ref::<&str>().map(|text| text.to_string()));
                Err(format!("a panic: {}", text.unwrap_or_default()))
            }
        }
    }

    fn run_here(&self) -> Result<Outcome, String> {
        let plan = self.clone();
        let slot = Rc::new(RefCell::new(None));
        let kept = slot.clone();
        let ended = sim::run(self.seed, async move {
            sim::put_in(plan.bug);
            let history = History::new();
            *kept.borrow_mut() = Some(history.clone());
            plan.act(history).await
        });
        let history = slot.take();
        // What the histories say comes first: it says more.
        if let Some(history) = history {
            check::all(&history)?;
        }
        ended
    }

    async fn act(self, history: Rc<History>) -> Result<Outcome, String> {
        let cluster = Cluster::new(self.setup.clone());
        let stop = Rc::new(Cell::new(false));
        for machine in &cluster.machines {
            cluster.start(machine);
        }
        let worker = |home, name| Worker {
            cluster: cluster.clone(),
            history: history.clone(),
            home,
            stop: stop.clone(),
            name,
        };
        let clients = Rc::new(Cell::new(0));
        for name in 1..=2 * self.setup.nodes {
            let worker = worker(1 + name % self.setup.nodes, name);
            let clients = clients.clone();
            clients.set(clients.get() + 1);
            rt::spawn(async move {
                worker.work().await;
                clients.set(clients.get() - 1);
            });
        }
        // A cluster has to be there before it can be broken.
        rt::sleep(Duration::from_millis(1500)).await;
        let watched = async {
            let begun = Instant::now();
            while begun.elapsed() < self.length && cluster.alarm.borrow().is_none() {
                rt::sleep(Duration::from_millis(50)).await;
                cluster.machines.iter().for_each(|one| cluster.look(one));
            }
            stop.set(true);
        };
        let reader = |home| worker(home, 1000 + history.unique());
        let rage = nemesis::rage(&cluster, &self.faults, &stop, reader);
        // Nothing is healed before the last fault has come to its end.
        let (stories, ()) = join(rage, watched).await;
        let settled = ending::settle(&cluster, &clients).await;
        let (asked, generations) = (history.counts.get(), history.generations());
        let last = |number| worker(number, 500 + number);
        ending::serve(&cluster, last, generations, settled.map(drop)).await?;
        // What was written just now is everywhere, too.
        let digest = ending::settle(&cluster, &clients).await?;
        let terms = cluster.machines.iter().filter_map(|one| one.running());
        Ok(Outcome {
            steps: sim::steps(),
            virtual_ms: History::now() / 1_000_000,
            asked,
            digest,
            elections: terms.map(|one| one.state().term).max().unwrap_or(0),
            stories,
        })
    }
}

//! The end of a run: all is healed, and the cluster has to come together and to serve.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use quorate::rt;

use crate::cluster::{Cluster, Machine, Session};
use crate::history::Kind;
use crate::nemesis;
use crate::record::Generations;
use crate::workload::{Refusal, Worker};

/// How long everything may take to come together once all is healed, and then each node to answer
/// all that it is asked, in virtual time.
const SETTLE: Duration = Duration::from_secs(90);

/// Between two looks or two tries.
const AGAIN: Duration = Duration::from_millis(100);

/// Heals everything, starts everybody and waits until all clients have ended and all nodes agree.
///
/// # Errors
/// Nodes differ, do not come together, or have seen what may never be.
pub async fn settle(cluster: &Rc<Cluster>, clients: &Cell<u64>) -> Result<String, String> {
    nemesis::heal_all(cluster);
    for machine in &cluster.machines {
        machine.disk.sync_us_max.set(2000);
        machine.disk.is_stalled.set(false);
    }
    let mut digests = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < SETTLE {
        rt::sleep(AGAIN).await;
        start_all(cluster)?;
        let digest = |one: &Rc<Machine>| one.running()?.digest();
        digests = cluster.machines.iter().map(digest).collect();
        let Some(Some((first, digest))) = digests.first() else {
            continue;
        };
        let same = |one: &Option<(u64, _)>| one.as_ref().is_some_and(|one| one.0 == *first);
        if clients.get() > 0 || *first == 0 || !digests.iter().all(same) {
            continue;
        }
        if let Some(place) = digests.iter().position(|one| *one != digests[0]) {
            return Err(format!(
                "nodes 1 and {} differ at index {first}: {digests:?}",
                place + 1
            ));
        }
        return Ok(digest.to_string());
    }
    Err(format!(
        "no agreement {SETTLE:?} after all was healed, {} clients wait: {digests:?}\n{}",
        clients.get(),
        states(cluster)
    ))
}

fn start_all(cluster: &Rc<Cluster>) -> Result<(), String> {
    for machine in &cluster.machines {
        cluster.look(machine);
        if machine.disk.is_full.replace(false) {
            cluster.kill(machine);
        }
        cluster.power_up(machine);
        if !machine.is_up() {
            cluster.start(machine);
        }
    }
    cluster.alarm.take().map_or(Ok(()), Err)
}

/// How every node stands, a line each.
fn states(cluster: &Cluster) -> String {
    let state = |one: &Rc<Machine>| {
        let state = one.running().map(|running| running.state());
        format!("{}: {state:?}", one.number)
    };
    let states: Vec<String> = cluster.machines.iter().map(state).collect();
    states.join("\n")
}

/// What every node is asked at the end.
#[derive(Debug, Clone, Copy)]
enum Last {
    Write,
    Single(u64),
    List(u64),
    Texts(u64),
}

impl Last {
    /// One write, and every key that was ever in use.
    fn all(generations: Generations) -> impl Iterator<Item = Last> {
        let singles = (0..=generations.singles).flat_map(Generations::keys);
        let lists = (0..=generations.lists).flat_map(Generations::keys);
        let texts = 0..=generations.texts;
        let reads = singles.map(Last::Single).chain(lists.map(Last::List));
        let reads = reads.chain(texts.map(Last::Texts));
        std::iter::once(Last::Write).chain(reads)
    }

    async fn ask(self, worker: &Worker, session: &Session) -> Result<(), Refusal> {
        match self {
            Last::Write => worker.write_last(session).await,
            Last::Single(key) => worker.read_single(session, key).await,
            Last::List(key) => worker.read_list(session, key).await,
            Last::Texts(generation) => worker.read_texts(session, generation).await,
        }
    }
}

impl fmt::Display for Last {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Last::Write => write!(out, "a write"),
            Last::Single(key) => write!(out, "a read of k{key}"),
            Last::List(key) => write!(out, "a read of l{key}"),
            Last::Texts(generation) => write!(out, "a read of texts, generation {generation}"),
        }
    }
}

/// Has every node answer one write and a read of every key, asked by a worker of its own. Of nodes
/// that did not settle, or behind the first that does not serve, takes what there is: what is
/// missing is then said by the histories.
///
/// # Errors
/// Why they did not settle, or what was not answered in time, and why.
pub async fn serve(
    cluster: &Rc<Cluster>,
    worker: impl Fn(u64) -> Worker,
    generations: Generations,
    settled: Result<(), String>,
) -> Result<(), String> {
    let mut served = settled;
    for machine in &cluster.machines {
        let one = serve_on(machine, worker(machine.number), generations, served.is_ok()).await;
        served = served.and(one);
    }
    served
}

/// Without `insists`, until the first that is not answered.
async fn serve_on(
    machine: &Rc<Machine>,
    mut worker: Worker,
    generations: Generations,
    insists: bool,
) -> Result<(), String> {
    let cluster = worker.cluster.clone();
    let begun = Instant::now();
    let mut session = machine.connect();
    for last in Last::all(generations) {
        let mut why = "no node runs there".to_string();
        loop {
            if let Some(open) = &session {
                let Err(refusal) = last.ask(&worker, open).await else {
                    break;
                };
                if refusal.kind == Kind::Info {
                    worker.take_new_name();
                }
                why = refusal.why;
            }
            if !insists || begun.elapsed() > SETTLE {
                let place = machine.number;
                return Err(format!(
                    "node {place} does not serve within {SETTLE:?}: {last}: {why}\n{}",
                    states(&cluster)
                ));
            }
            rt::sleep(AGAIN).await;
            start_all(&cluster)?;
            session = machine.connect();
        }
    }
    Ok(())
}

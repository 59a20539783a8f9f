//! A node that is killed at random moments loses nothing that it acknowledged.
//!
//! Several connections write over all shards and know what was acknowledged; the node is killed,
//! while it writes a checkpoint or recovers too; then everything is read back. Each connection's
//! keys must be what its acknowledged commands, and a prefix of those that were not answered,
//! make them.

mod check;
mod commands;
mod damage;
mod model;
mod writer;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::kit::{Node, SMALL, Seed, Value, ok, seed_of};
use commands::{FLEETING_MS_MAX, Source};
use model::Model;
use writer::Writer;

/// Names the seed of a run that is to be repeated.
const SEED_VARIABLE: &str = "QUORATE_CRASH_SEED";

/// The databases of the connections; the last one's is its alone.
const DATABASES: [usize; 5] = [0, 0, 0, 5, 9];

#[test]
fn low_on_segments() {
    lives("low", "segment", 5);
}

#[test]
fn medium_on_segments() {
    lives("medium", "segment", 5);
}

#[test]
fn high_on_segments() {
    lives("high", "segment", 5);
}

#[test]
fn low_on_fjall() {
    lives("low", "fjall", 5);
}

#[test]
fn medium_on_fjall() {
    lives("medium", "fjall", 5);
}

#[test]
fn high_on_fjall() {
    lives("high", "fjall", 5);
}

/// Whatever a start left that was killed before it ever served, the next one copes with it.
#[test]
fn killed_while_it_makes_its_files() {
    let seed = seed_of(SEED_VARIABLE);
    eprintln!("first starts: {SEED_VARIABLE}={seed}");
    let mut random = Seed::new(seed);
    for backend in ["segment", "fjall"] {
        let args = [&SMALL[..], &["--cores", "1", "--log-backend", backend]].concat();
        for _ in 0..6 {
            let directory = Evidence(Some(tempfile::tempdir().expect("a directory")));
            for _ in 0..4 {
                let node = Node::start(directory.path(), &args);
                std::thread::sleep(Duration::from_micros(random.below(60_000)));
                node.kill();
            }
            let mut node = Node::start(directory.path(), &args);
            assert_eq!(node.connect().ask("SET a b"), ok());
            node.stop();
        }
    }
}

/// 300 rounds over everything; `scripts/test --long`.
#[test]
#[ignore = "takes half an hour"]
fn long() {
    for backend in ["segment", "fjall"] {
        for durability in ["low", "medium", "high"] {
            lives(durability, backend, 50);
        }
    }
}

/// A directory that stays when its test fails.
struct Evidence(Option<tempfile::TempDir>);

impl Evidence {
    fn path(&self) -> &Path {
        self.0
            .as_ref()
            .map_or(Path::new(""), |directory| directory.path())
    }
}

impl Drop for Evidence {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(directory) = self.0.take()
        {
            eprintln!("the files are kept in {}", directory.keep().display());
        }
    }
}

/// One directory through `rounds` lives of its node.
fn lives(durability: &str, backend: &str, rounds: u64) {
    let seed = seed_of(SEED_VARIABLE);
    eprintln!("{durability} on {backend}: {SEED_VARIABLE}={seed}");
    let directory = Evidence(Some(tempfile::tempdir().expect("a directory")));
    let mut random = Seed::new(seed);
    let mut writers: Vec<Writer> = DATABASES
        .iter()
        .enumerate()
        .map(|(number, database)| Writer {
            name: format!("c{number}"),
            database: *database,
            model: Model::default(),
            source: Source::new(random.next(), number, number == DATABASES.len() - 1),
            unanswered: Vec::new(),
            sent_ms: 0,
            acknowledged: 0,
        })
        .collect();
    for round in 0..rounds {
        // One core, and four; the layout may change from life to life.
        let cores: &[&str] = match (round % 2, random.below(3)) {
            (0, _) => &["--cores", "1"],
            (_, 0) => &["--cores", "5"],
            (..) => &["--cores", "4", "--raft-core", "shared"],
        };
        let levels = ["--durability", durability, "--log-backend", backend];
        let args = [&levels[..], &SMALL, cores].concat();
        let result = life(directory.path(), &args, &mut writers, &mut random);
        if let Err(why) = result {
            panic!(
                "{durability} on {backend}, round {round}, {args:?}, {SEED_VARIABLE}={seed}: {why}"
            );
        }
    }
    let acknowledged: u64 = writers.iter().map(|writer| writer.acknowledged).sum();
    eprintln!("{durability} on {backend}: {acknowledged} steps acknowledged in {rounds} rounds");
    assert!(acknowledged > rounds * 20, "hardly anything was written");
}

/// Writes until a kill, recovers through further kills, and compares.
fn life(
    directory: &Path,
    args: &[&str],
    writers: &mut [Writer],
    random: &mut Seed,
) -> Result<(), String> {
    let mut node = Node::start(directory, args);
    let mut control = node.connect();
    let port = node.port;
    let ending = AtomicBool::new(false);
    let results: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let running: Vec<_> = writers
            .iter_mut()
            .map(|writer| scope.spawn(|| writer.run(port, &ending)))
            .collect();
        let moments = 1 + random.below(3);
        for _ in 0..moments {
            std::thread::sleep(Duration::from_millis(random.below(700)));
            if random.one_in(2) {
                let status = control.ask("BGSAVE");
                assert!(matches!(status, Value::Simple(_)), "BGSAVE: {status:?}");
            }
        }
        if random.one_in(2) {
            // Into the midst of what the checkpoint does.
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
        }
        ending.store(true, Ordering::SeqCst);
        if random.one_in(8) {
            node.stop();
        } else {
            node.kill();
        }
        let joined = running.into_iter().map(|writer| writer.join());
        joined
            .map(|result| result.unwrap_or(Err("a writer panicked".into())))
            .collect()
    });
    results.into_iter().collect::<Result<(), String>>()?;
    for _ in 0..random.below(4) {
        let recovering = Node::start(directory, args);
        std::thread::sleep(Duration::from_micros(random.below(300_000)));
        recovering.kill();
    }
    compare_all(directory, args, writers, random)
}

fn compare_all(
    directory: &Path,
    args: &[&str],
    writers: &mut [Writer],
    random: &mut Seed,
) -> Result<(), String> {
    std::thread::sleep(Duration::from_millis(FLEETING_MS_MAX));
    let mut node = Node::start(directory, args);
    let mut connection = node.connect();
    for database in BTreeSet::from(DATABASES) {
        let dataset = check::read_back(&mut connection, database)?;
        let mut here: Vec<&mut Writer> = writers
            .iter_mut()
            .filter(|writer| writer.database == database)
            .collect();
        check::compare(&dataset, &mut here)
            .map_err(|why| format!("{why}\nThe node said:\n{}", node.output()))?;
        check::wait_for_expiry(&mut connection, dataset.len())?;
    }
    // What was recovered and compared comes back once more, unchanged.
    let digest = connection.ask("DEBUG DIGEST");
    if random.one_in(2) {
        node.stop();
    } else {
        node.kill();
    }
    let mut node = Node::start(directory, args);
    let again = node.connect().ask("DEBUG DIGEST");
    match digest == again {
        true => Ok(()),
        false => Err(format!("digest {digest:?} became {again:?}")),
    }
}

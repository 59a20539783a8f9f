//! Cuts and flips in the files of a node that is down: a write that was never finished is cut,
//! anything else that is not as it was written is refused, with its place named.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use memchr::memmem::{find, rfind};

use super::SEED_VARIABLE;
use crate::kit::{Ended, Node, Seed, Value, bulk, free_port, ok, run_to_end, seed_of};

const ARGS: [&str; 6] = [
    "--cores",
    "1",
    "--log-segment-size",
    "1mb",
    "--durability",
    "high",
];

/// How the node that wrote the files ended.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Kill,
    Stop,
}

/// A directory in which keys 0 to `count` were set one by one, with a checkpoint behind the first
/// `saved` of them.
fn written(saved: usize, count: usize, end: End) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let mut node = Node::start(directory.path(), &ARGS);
    let mut connection = node.connect();
    for number in 0..count {
        if number == saved && saved > 0 {
            assert_eq!(connection.ask("SAVE"), ok());
        }
        let reply = connection.ask(&format!("SET key:{number} value:{number}:"));
        assert_eq!(reply, ok());
    }
    match end {
        End::Kill => node.kill(),
        End::Stop => drop(node.stop()),
    }
    directory
}

fn copy_of(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    let status = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(directory.join("."))
        .arg(copy.path())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "a copy");
    copy
}

fn refused(directory: &Path) -> Ended {
    let ended = run_to_end(directory, free_port(), &ARGS);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    ended
}

/// The keys that a node on `directory` serves, which must be the first so many; and what it said.
fn served(directory: &Path) -> (usize, String) {
    let mut node = Node::start(directory, &ARGS);
    let mut connection = node.connect();
    let size = connection.ask("DBSIZE");
    let Value::Int(count) = size else {
        panic!("DBSIZE is {size:?}:\n{}", node.output());
    };
    for number in 0..count {
        let value = connection.ask(&format!("GET key:{number}"));
        assert_eq!(value, bulk(format!("value:{number}:")));
    }
    (count as usize, node.stop())
}

fn segment(directory: &Path) -> PathBuf {
    directory.join("log/0000000000000001.segment")
}

/// Where the record of a key lies in the segment.
fn place_of(path: &Path, number: usize) -> u64 {
    let bytes = fs::read(path).expect("a segment");
    let value = format!("value:{number}:");
    rfind(&bytes, value.as_bytes()).expect("the record") as u64
}

fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path);
    let file = file.expect("a file to damage");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("a byte");
    file.write_all_at(&[byte[0] ^ 0x10], offset)
        .expect("a flipped byte");
}

#[test]
fn a_cut_tail_is_recovered_with_a_notice() {
    let written = written(0, 50, End::Kill);
    let tail = place_of(&segment(written.path()), 49);
    for cut in [tail - 60, tail, tail + 3] {
        let copy = copy_of(written.path());
        let path = segment(copy.path());
        let file = File::options().write(true).open(&path).expect("a segment");
        file.set_len(cut).expect("a cut");
        let (count, output) = served(copy.path());
        assert_eq!(count, 49, "{output}");
        assert!(output.contains("the end of the log was cut"), "{output}");
        assert!(output.contains("0000000000000001.segment"), "{output}");
        assert!(output.contains("offset="), "{output}");
        // What is written behind the cut stays.
        let mut node = Node::start(copy.path(), &ARGS);
        let reply = node.connect().ask("SET key:49 value:49:");
        assert_eq!(reply, ok());
        node.kill();
        assert_eq!(served(copy.path()).0, 50);
    }
}

#[test]
fn a_torn_last_write_is_cut() {
    let written = written(0, 50, End::Kill);
    let path = segment(written.path());
    flip(&path, place_of(&path, 49));
    let (count, output) = served(written.path());
    assert_eq!(count, 49, "{output}");
    assert!(output.contains("the end of the log was cut"), "{output}");
}

#[test]
fn a_flip_in_the_middle_is_refused_with_the_record_named() {
    let written = written(0, 50, End::Kill);
    for number in [0, 1, 20, 48] {
        let copy = copy_of(written.path());
        let path = segment(copy.path());
        flip(&path, place_of(&path, number));
        let output = refused(copy.path()).output;
        for part in ["damaged", "0000000000000001.segment", "byte", "index"] {
            assert!(output.contains(part), "record {number}, {part}: {output}");
        }
        // A refusal changes nothing: the next start says the same.
        let again = refused(copy.path()).output;
        let last = |output: &str| output.lines().last().map(String::from);
        assert_eq!(last(&output), last(&again));
    }
}

#[test]
fn what_was_closed_cleanly_may_not_be_cut() {
    let written = written(0, 20, End::Stop);
    let path = segment(written.path());
    let cut = place_of(&path, 19);
    let file = File::options().write(true).open(&path).expect("a segment");
    file.set_len(cut).expect("a cut");
    let output = refused(written.path()).output;
    assert!(output.contains("closed cleanly"), "{output}");
}

#[test]
fn a_flip_in_a_checkpoint_is_refused_with_the_row_named() {
    let written = written(30, 40, End::Kill);
    let mut damaged = 0;
    for file in files(&written.path().join("checkpoint")) {
        let bytes = fs::read(&file).expect("a file");
        let Some(at) = find(&bytes, b"value:17:") else {
            continue;
        };
        flip(&file, at as u64);
        damaged += 1;
    }
    assert_eq!(damaged, 1, "one table has the row");
    let output = refused(written.path()).output;
    for part in ["damaged", "checkpoint", "row"] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

#[test]
fn a_missing_checkpoint_behind_a_purged_log_is_refused() {
    let written = written(30, 40, End::Kill);
    fs::remove_dir_all(written.path().join("checkpoint")).expect("it goes");
    let output = refused(written.path()).output;
    assert!(output.contains("what lay between is missing"), "{output}");
}

#[test]
fn a_missing_log_behind_a_checkpoint_is_refused() {
    let written = written(30, 40, End::Kill);
    fs::remove_dir_all(written.path().join("log")).expect("it goes");
    let output = refused(written.path()).output;
    assert!(output.contains("files of the log are missing"), "{output}");
}

/// Wherever a bit flips: the node serves everything, or cuts a last write that it says was torn,
/// or refuses. It never serves anything else.
#[test]
fn a_flip_anywhere_is_harmless_or_refused() {
    let seed = seed_of(SEED_VARIABLE);
    eprintln!("flips: {SEED_VARIABLE}={seed}");
    let mut random = Seed::new(seed);
    let written = written(30, 60, End::Kill);
    let (mut refusals, mut cuts) = (0, 0);
    for _ in 0..24 {
        let copy = copy_of(written.path());
        let (path, offset) = somewhere(copy.path(), &mut random);
        flip(&path, offset);
        let place = format!("{} at {offset}", path.display());
        let mut node = Node::start(copy.path(), &ARGS);
        if let Err(ended) = node.serve_or_end() {
            assert_eq!(ended.status.code(), Some(1), "{place}: {}", ended.output);
            assert!(ended.output.contains("quorate: "), "{}", ended.output);
            refusals += 1;
            continue;
        }
        drop(node);
        let (count, output) = served(copy.path());
        // The second start finds the cut made.
        cuts += usize::from(count == 59);
        assert!(matches!(count, 59 | 60), "{count} keys, {place}: {output}");
    }
    eprintln!("flips: {refusals} refused, {cuts} cut");
}

/// fjall takes a row whose end is damaged for the torn end of its journal: the row and all behind it
/// are gone.
#[test]
fn a_node_that_forgot_who_it_was_or_its_vote_is_refused() {
    let written = written(3, 6, End::Kill);
    for (row, missing) in [
        ("node-id", "this node's id is missing"),
        ("vote", "the vote is missing"),
    ] {
        let copy = copy_of(written.path());
        let path = copy.path().join("meta/0.jnl");
        let bytes = fs::read(&path).expect("a journal");
        let row = find(&bytes, row.as_bytes()).expect("the row");
        let end = find(&bytes[row..], b"FJL").expect("the mark at its end");
        flip(&path, (row + end) as u64);
        let tells = |what: &str| {
            let output = refused(copy.path()).output;
            let told = output.contains("damaged: ") && output.contains(what);
            assert!(told, "{what}: {output}");
        };
        tells("are there");
        // Without the count, by what is missing.
        fs::remove_file(copy.path().join("meta.count")).expect("it goes");
        tells(missing);
    }
}

/// A byte that means something: zeros that were never written are left out.
fn somewhere(directory: &Path, random: &mut Seed) -> (PathBuf, u64) {
    let files = files(directory);
    loop {
        let path = random.pick(&files);
        let bytes = fs::read(path).expect("a file");
        let end = bytes.iter().rposition(|byte| *byte != 0);
        let Some(end) = end else { continue };
        let offset = random.below(end as u64 + 1);
        if bytes[offset as usize] != 0 || random.one_in(20) {
            return (path.clone(), offset);
        }
    }
}

/// All files below a directory, in a settled order.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

//! Disks that fill, fail, or cannot be written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ARGS, check, check_restarted, is_root, set_until_refused};
use crate::kit::{Node, Value, free_port, ok, run_to_end};

/// Something mounted below a directory of the test.
pub struct Mounted {
    place: PathBuf,
    _directory: tempfile::TempDir,
    /// What it lies on.
    _below: Option<Box<Mounted>>,
}

fn run(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program).args(args).status();
    status.is_ok_and(|status| status.success())
}

fn path(place: &Path) -> &str {
    place.to_str().expect("a path in UTF-8")
}

impl Mounted {
    /// A file system in memory of so many KiB; none where that is not allowed.
    pub fn memory(kib: usize) -> Option<Mounted> {
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().to_path_buf();
        let size = format!("size={kib}k");
        let done = run(
            "mount",
            &["-t", "tmpfs", "-o", &size, "tmpfs", path(&place)],
        );
        if !done {
            eprintln!("skipped: nothing can be mounted");
        }
        done.then_some(Mounted {
            place,
            _directory: directory,
            _below: None,
        })
    }

    /// A disk whose blocks come from a file system in memory that is smaller than it.
    fn disk(kib: usize, below: Mounted) -> Option<Mounted> {
        let image = below.place.join("image");
        let file = fs::File::create(&image).expect("an image");
        file.set_len(kib as u64 * 1024).expect("an image");
        let directory = tempfile::tempdir().expect("a directory");
        let place = directory.path().to_path_buf();
        let done = run("mkfs.ext4", &["-q", "-O", "^has_journal", path(&image)])
            && run("mount", &["-o", "loop", path(&image), path(&place)]);
        if !done {
            eprintln!("skipped: no disk can be made");
        }
        done.then_some(Mounted {
            place,
            _directory: directory,
            _below: Some(below.into()),
        })
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(run("mount", &["-o", &options, path(&self.place)]));
    }

    pub fn place(&self) -> &Path {
        &self.place
    }

    pub fn data(&self) -> PathBuf {
        self.place.join("data")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // At the latest when the last node on it is gone.
        run("umount", &["-l", path(&self.place)]);
    }
}

/// A node that wrote until its disk took no more, how many keys it acknowledged, and what
/// it answers to writes since. It goes on reading.
fn filled(disk: &Mounted, durability: &str) -> (Node, usize, String) {
    let args = [&ARGS[..], &["--durability", durability]].concat();
    let mut node = Node::start(&disk.data(), &args);
    let mut connection = node.connect();
    let (count, refusal) = set_until_refused(&mut connection, 10_000);
    let Some(Value::Error(refusal)) = refusal else {
        panic!("{durability}: {count} writes of 8 KB, then {refusal:?}");
    };
    assert!(count > 100, "{durability}: only {count} writes: {refusal}");
    // That one had begun; whether it comes back is open.
    assert!(refusal.starts_with("UNCERTAIN"), "{durability}: {refusal}");
    check(&mut connection, count);
    let Value::Error(again) = connection.ask("SET a b") else {
        panic!("{durability}: a write was acknowledged after the failure");
    };
    check(&mut connection, count);
    (node, count, again)
}

#[test]
fn a_full_disk_refuses_writes_and_loses_none() {
    if !is_root("a_full_disk_refuses_writes_and_loses_none") {
        return;
    }
    for durability in ["low", "high"] {
        let Some(disk) = Mounted::memory(12 * 1024) else {
            return;
        };
        let (mut node, count, again) = filled(&disk, durability);
        assert!(again.contains("No space left"), "{durability}: {again}");
        check(&mut node.connect(), count);
        assert!(node.output().contains("No space left"), "{}", node.output());
        node.kill();
        // Without room it says so; with room it has everything.
        disk.remount("size=64m");
        check_restarted(&disk.data(), count);
    }
}

#[test]
fn a_checkpoint_without_room_leaves_the_node_as_it_was() {
    if !is_root("a_checkpoint_without_room_leaves_the_node_as_it_was") {
        return;
    }
    let Some(disk) = Mounted::memory(24 * 1024) else {
        return;
    };
    let mut node = Node::start(&disk.data(), &ARGS);
    let mut connection = node.connect();
    let (count, refusal) = set_until_refused(&mut connection, 500);
    assert_eq!((count, refusal), (500, None));
    // The log has a segment ahead; nothing is left for anybody else.
    let junk = disk.place.join("junk");
    drop(fs::write(&junk, vec![1; 24 << 20]));
    let reply = connection.ask("SAVE");
    assert!(matches!(reply, Value::Error(_)), "{reply:?}");
    check(&mut connection, count);
    assert!(node.output().contains("No space left"), "{}", node.output());
    fs::remove_file(&junk).expect("room");
    assert_eq!(connection.ask("SAVE"), ok());
    node.kill();
    check_restarted(&disk.data(), count);
}

#[test]
fn a_start_on_a_full_disk_is_refused() {
    if !is_root("a_start_on_a_full_disk_is_refused") {
        return;
    }
    for kib in [4, 64, 512] {
        let Some(disk) = Mounted::memory(kib) else {
            return;
        };
        let ended = run_to_end(&disk.data(), free_port(), &ARGS);
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        let named = ended.output.contains("No space left");
        assert!(named, "{kib} KiB: {}", ended.output);
    }
}

#[test]
fn a_read_only_disk_is_named() {
    if !is_root("a_read_only_disk_is_named") {
        return;
    }
    let Some(disk) = Mounted::memory(16 * 1024) else {
        return;
    };
    let mut node = Node::start(&disk.data(), &ARGS);
    let (count, _) = set_until_refused(&mut node.connect(), 20);
    node.stop();
    disk.remount("ro");
    let ended = run_to_end(&disk.data(), free_port(), &ARGS);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
    for part in ["Read-only", "writable", "data"] {
        assert!(ended.output.contains(part), "{part}: {}", ended.output);
    }
    disk.remount("rw");
    check_restarted(&disk.data(), count);
}

/// The disk takes no more writes, and syncs fail, while the file system believes in room.
#[test]
fn a_failing_disk_is_told_and_nothing_is_acknowledged_after_it() {
    if !is_root("a_failing_disk_is_told_and_nothing_is_acknowledged_after_it") {
        return;
    }
    for durability in ["low", "high"] {
        let Some(below) = Mounted::memory(12 * 1024) else {
            return;
        };
        let Some(disk) = Mounted::disk(48 * 1024, below) else {
            return;
        };
        let (node, _, again) = filled(&disk, durability);
        assert!(
            again.starts_with("MISCONF the log cannot be written"),
            "{durability}: {again}"
        );
        node.kill();
    }
}

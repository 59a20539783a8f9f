//! What a kernel may refuse: privileges, lockable memory, io_uring, descriptors.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ARGS, check, is_root, set};
use crate::kit::{Node, Value, ok, program};

const NOBODY: u32 = 65534;

/// Starts a node that `prepare` restricts.
fn start(program: &Path, data: &Path, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Node {
    Node::start_prepared(program, data, args, prepare)
}

/// Has the child lower a limit of its own. Soft and hard alike.
fn limit(command: &mut Command, resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: setrlimit is async-signal-safe and reads a local.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(resource, &limit) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// The binary, and a directory, that an unprivileged user can use.
fn for_nobody() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
    open(directory.path()).expect("an open directory");
    let binary = directory.path().join("quorate");
    // By another process: a child that a test beside this one forks meanwhile would inherit a
    // descriptor that writes to the copy, and it could not be started.
    let copied = Command::new("cp").arg(program()).arg(&binary).status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "a copy of the binary"
    );
    open(&binary).expect("an executable");
    let data = directory.path().join("data");
    fs::create_dir(&data).expect("a directory");
    std::os::unix::fs::chown(&data, Some(NOBODY), Some(NOBODY)).expect("an owner");
    (directory, binary, data)
}

fn nobody_with(memlock: u64) -> impl Fn(&mut Command) {
    move |command| {
        command.uid(NOBODY).gid(NOBODY);
        limit(command, libc::RLIMIT_MEMLOCK, memlock);
    }
}

#[test]
fn nobody_serves_with_8_mib_of_lockable_memory() {
    if !is_root("nobody_serves_with_8_mib_of_lockable_memory") {
        return;
    }
    let (_directory, binary, data) = for_nobody();
    let args = ["--cores", "4", "--log-segment-size", "1mb"];
    // Again and again at once: the kernel gives locked memory back late.
    for round in 0..4 {
        let mut node = start(&binary, &data, &args, nobody_with(8 << 20));
        let mut connection = node.connect();
        check(&mut connection, round);
        assert_eq!(set(&mut connection, round), ok());
        assert_eq!(connection.ask("SAVE"), ok());
        node.kill();
    }
}

#[test]
fn too_little_lockable_memory_is_named() {
    if !is_root("too_little_lockable_memory_is_named") {
        return;
    }
    let (_directory, binary, data) = for_nobody();
    for kib in [0, 64, 600] {
        let mut node = start(&binary, &data, &["--cores", "8"], nobody_with(kib << 10));
        let ended = node.wait_for_end();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        for part in ["memory", "ulimit -l", "LimitMEMLOCK", "--cores"] {
            assert!(ended.output.contains(part), "{part}: {}", ended.output);
        }
    }
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    if !is_root("a_directory_that_cannot_be_written_is_named") {
        return;
    }
    let (_directory, binary, data) = for_nobody();
    std::os::unix::fs::chown(&data, Some(0), Some(0)).expect("an owner");
    for data in [data.clone(), data.join("below")] {
        let mut node = start(&binary, &data, &ARGS, nobody_with(8 << 20));
        let ended = node.wait_for_end();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        let named = ended.output.contains("writable for the user");
        assert!(named, "{}", ended.output);
    }
}

/// Has the kernel refuse io_uring_setup to the child with `errno`, as containers do.
fn forbid_rings(command: &mut Command, errno: i32) {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let filter = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, libc::SYS_io_uring_setup as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    // SAFETY: prctl is async-signal-safe; the filter is copied by the kernel.
    unsafe {
        command.pre_exec(move || {
            let program = libc::sock_fprog {
                len: filter.len() as u16,
                filter: filter.as_ptr().cast_mut(),
            };
            let mode = libc::SECCOMP_MODE_FILTER as libc::c_ulong;
            let one: libc::c_ulong = 1;
            let zero: libc::c_ulong = 0;
            if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, one, zero, zero, zero) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, mode, &program) == 0
            {
                return Ok(());
            }
            Err(io::Error::last_os_error())
        });
    }
}

#[test]
fn forbidden_rings_are_named() {
    for (errno, advice) in [
        (libc::EPERM, "kernel.io_uring_disabled=0"),
        (libc::EPERM, "seccomp"),
        (libc::ENOSYS, "Linux 6.1"),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut node = start(program(), directory.path(), &ARGS, |command| {
            forbid_rings(command, errno);
        });
        let ended = node.wait_for_end();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.output);
        assert!(ended.output.contains(advice), "{}", ended.output);
    }
}

#[test]
fn too_few_descriptors_to_start_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    for count in [8, 12, 16, 20, 24, 32] {
        let mut node = start(program(), directory.path(), &ARGS, |command| {
            limit(command, libc::RLIMIT_NOFILE, count);
        });
        match node.serve_or_end() {
            Ok(mut connection) => {
                assert_eq!(connection.ask("PING"), Value::Simple("PONG".into()));
                node.stop();
            }
            Err(ended) => {
                assert_eq!(ended.status.code(), Some(1), "{count}: {}", ended.output);
                let named = ended.output.contains("ulimit -n");
                assert!(named, "{count}: {}", ended.output);
            }
        }
    }
}

/// Descriptors run out while it serves: clients that came before stay, and new ones come again
/// when some have left.
#[test]
fn running_out_of_descriptors_harms_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut node = start(program(), directory.path(), &ARGS, |command| {
        limit(command, libc::RLIMIT_NOFILE, 96);
    });
    let mut first = node.connect();
    assert_eq!(set(&mut first, 0), ok());
    let crowd: Vec<_> = (0..150)
        .map(|_| std::net::TcpStream::connect(("127.0.0.1", node.port)))
        .collect();
    assert_eq!(set(&mut first, 1), ok());
    // Without descriptors there is no checkpoint, and no harm.
    let saved = first.ask("SAVE");
    assert!(matches!(saved, Value::Error(_)), "{saved:?}");
    let lines = node.output().lines().count();
    assert!(lines < 40, "{lines} lines of output");
    drop(crowd);
    let mut later = node.connect();
    check(&mut later, 2);
    assert_eq!(set(&mut later, 2), ok());
    node.kill();
    super::check_restarted(directory.path(), 3);
}

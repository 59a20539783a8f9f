//! Clients that people have find the leader, and follow it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::clients::{program, python};
use crate::kit::{Cluster, ok, signal};

/// A script that shows that its client works whenever it is asked.
struct Script {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Script {
    fn start(cluster: &Cluster, interpreter: &Path, name: &str) -> Script {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = program(interpreter);
        command.arg(root.join("tests/it/cluster").join(name));
        for node in 0..cluster.count() {
            command.arg(port(cluster, node));
        }
        // Where `scripts/install` puts the packages of the scripts beside it.
        command.env("NODE_PATH", root.join("tests/it/clients/node_modules"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        cluster.beside(0, &mut command);
        let mut child = command.spawn().expect("coreutils' timeout runs");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Script {
            child,
            input,
            output,
        }
    }

    /// The next line that it says.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a line");
        assert!(
            !line.is_empty(),
            "it ended; scripts/install installs the clients"
        );
        line.trim().to_string()
    }

    fn expect_it_works(&mut self) -> String {
        self.input.write_all(b"\n").expect("it listens");
        let line = self.line();
        assert!(line.starts_with("works"), "{line}");
        line
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // To `timeout`, which passes it on.
        signal(&self.child, libc::SIGTERM);
        let _ = self.child.wait();
    }
}

fn port(cluster: &Cluster, node: usize) -> String {
    let address = cluster.address(node);
    address.rsplit(':').next().unwrap_or_default().to_string()
}

fn follows(interpreter: &Path, name: &str) {
    for mode in ["forward", "redirect"] {
        let mut cluster = Cluster::of_three(&["--follower-mode", mode]);
        let leader = cluster.leader();
        let mut script = Script::start(&cluster, interpreter, name);
        assert_eq!(
            script.line(),
            format!("ready {}", port(&cluster, leader)),
            "{mode}"
        );
        cluster.kill(leader);
        script.expect_it_works();
        cluster.start(leader, &[]);
        cluster.wait_for_all(3);
        script.expect_it_works();
        let before = cluster.leader();
        let moved = cluster.ask(before, "RAFT TRANSFER");
        assert_eq!(moved, Some(ok()));
        script.expect_it_works();
        if mode == "redirect" {
            // It had to learn who leads.
            let line = script.expect_it_works();
            assert_eq!(line, format!("works {}", port(&cluster, cluster.leader())));
        }
    }
}

#[test]
fn redis_py_follows_the_leader() {
    follows(&python(), "follow.py");
}

#[test]
fn ioredis_follows_the_leader() {
    follows(Path::new("node"), "follow.js");
}

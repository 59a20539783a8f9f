//! The binary under test: started on a directory, watched, killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Connection, PATIENCE, Value, free_port};

/// The binary under test.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_quorate"))
}

/// Sends a signal to a child that was not waited for.
pub fn signal(child: &Child, number: i32) {
    // SAFETY: no memory is involved, and the id is still the child's own.
    unsafe { libc::kill(child.id() as i32, number) };
}

/// A running node; killed when it is dropped.
pub struct Node {
    child: Child,
    pub port: u16,
    output: PathBuf,
}

/// How a node ended that was expected to end by itself.
pub struct Ended {
    pub status: ExitStatus,
    pub output: String,
}

/// The command that starts a binary. What it says goes to a file of its own.
fn command(program: &Path, args: &[String]) -> (Command, PathBuf) {
    static OUTPUTS: AtomicU64 = AtomicU64::new(0);
    let number = OUTPUTS.fetch_add(1, Ordering::Relaxed);
    let name = format!("quorate-it-{}-{number}", std::process::id());
    let output = std::env::temp_dir().join(name);
    let file = File::create(&output).expect("a file for the output");
    let same = file.try_clone().expect("a file for the output");
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    command.stdout(file).stderr(same);
    // SAFETY: prctl is async-signal-safe and touches nothing of this process.
    unsafe {
        command.pre_exec(|| {
            // A test that dies leaves no node behind.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    (command, output)
}

fn arguments(directory: &Path, port: u16, args: &[&str]) -> Vec<String> {
    let port = port.to_string();
    let directory = directory.to_str().expect("a directory in UTF-8");
    ["--port", &port, "--dir", directory]
        .into_iter()
        .chain(args.iter().copied())
        .map(String::from)
        .collect()
}

/// Runs the binary until it ends by itself. See [`Node::start`].
///
/// # Panics
/// When it is still running after a while, or has panicked.
pub fn run_to_end(directory: &Path, port: u16, args: &[&str]) -> Ended {
    let (command, output) = command(program(), &arguments(directory, port, args));
    Node::spawn(command, port, output).wait_for_end()
}

impl Node {
    /// Starts a node on `directory` with `args` behind `--port` and `--dir`. Does not wait.
    pub fn start(directory: &Path, args: &[&str]) -> Node {
        Node::start_prepared(program(), directory, args, |_| {})
    }

    /// As [`Node::start`], of a copy of the binary, and with what `prepare` adds to the command.
    pub fn start_prepared(
        program: &Path,
        directory: &Path,
        args: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Node {
        let port = free_port();
        let (mut command, output) = command(program, &arguments(directory, port, args));
        prepare(&mut command);
        Node::spawn(command, port, output)
    }

    /// As [`Node::start`], on this port, and where there is one, with a configuration file.
    pub fn start_from(file: Option<&Path>, port: u16, directory: &Path, args: &[&str]) -> Node {
        // The file comes first, as Redis has it.
        let file = file.map(|file| file.to_str().expect("a path in UTF-8").to_string());
        let args = arguments(directory, port, args).into_iter();
        let (command, output) =
            command(program(), &file.into_iter().chain(args).collect::<Vec<_>>());
        Node::spawn(command, port, output)
    }

    /// As [`Node::start`], on this port, and with what `prepare` adds to the command.
    pub fn start_at(
        port: u16,
        directory: &Path,
        args: &[&str],
        prepare: impl FnOnce(&mut Command),
    ) -> Node {
        let (mut command, output) = command(program(), &arguments(directory, port, args));
        prepare(&mut command);
        Node::spawn(command, port, output)
    }

    fn spawn(mut command: Command, port: u16, output: PathBuf) -> Node {
        let child = command.spawn().expect("the binary starts");
        Node {
            child,
            port,
            output,
        }
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// A connection, as soon as the node answers on it.
    ///
    /// # Panics
    /// When it ends instead, or takes too long.
    pub fn connect(&mut self) -> Connection {
        match self.serve_or_end() {
            Ok(connection) => connection,
            Err(ended) => panic!("the node ended, {}:\n{}", ended.status, ended.output),
        }
    }

    /// A connection, as soon as the node answers on it; or how it ended instead.
    ///
    /// # Panics
    /// When it takes too long, or has panicked.
    pub fn serve_or_end(&mut self) -> Result<Connection, Ended> {
        let begun = Instant::now();
        loop {
            if let Ok(connection) = self.served() {
                return Ok(connection);
            }
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(self.wait_for_end());
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "the node does not serve:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn served(&self) -> io::Result<Connection> {
        let mut connection = Connection::open(self.port, PATIENCE)?;
        match connection.call(&["PING"])? == Value::Simple("PONG".into()) {
            true => Ok(connection),
            // It loads its dataset.
            false => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Everything that the node wrote so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Ends the node as a power switch for processes does.
    ///
    /// # Panics
    /// When it has ended or panicked before.
    pub fn kill(mut self) {
        let ended = self.child.try_wait().expect("the state of the node");
        assert!(ended.is_none(), "ended by itself:\n{}", self.output());
        self.child.kill().expect("a kill");
        self.child.wait().expect("the end of the node");
        self.check_output();
    }

    /// Stops the node as a service manager does.
    ///
    /// # Panics
    /// When it does not stop cleanly.
    pub fn stop(mut self) -> String {
        self.signal(libc::SIGTERM);
        self.expect_stop()
    }

    /// Waits until the node has stopped by itself. Answers what it said.
    ///
    /// # Panics
    /// When it does not stop cleanly.
    pub fn expect_stop(&mut self) -> String {
        let ended = self.wait_for_end();
        assert!(ended.status.success(), "a clean stop:\n{}", ended.output);
        ended.output
    }

    pub fn signal(&self, number: i32) {
        signal(&self.child, number);
    }

    /// Stops all of its threads until `SIGCONT`. On a busy machine that takes some ms, in which it
    /// would go on.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
        let (id, events) = (
            self.child.id(),
            libc::WSTOPPED | libc::WEXITED | libc::WNOWAIT,
        );
        // SAFETY: the child is our own and `info` is there to be written; zeros are a value of it.
        // `WNOWAIT` leaves an end to be collected by `Child::wait`.
        let waited = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(libc::P_PID, id, &mut info, events)
        };
        assert_eq!(waited, 0, "a stop of the node");
    }

    /// Waits until the node ends by itself.
    ///
    /// # Panics
    /// When it does not, or has panicked.
    pub fn wait_for_end(&mut self) -> Ended {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of the node") {
                self.check_output();
                let output = self.output();
                return Ended { status, output };
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "still running:\n{}", self.output());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Nothing that a node meets may make it panic.
    fn check_output(&self) {
        let output = self.output();
        let defect = output.contains("panicked") || output.contains("defect");
        assert!(!defect, "a panic:\n{output}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.output);
    }
}

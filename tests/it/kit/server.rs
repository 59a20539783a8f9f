//! The real binary, started and ended.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{PATIENCE, Wire};

/// Ports tried so far. They lie below those that the kernel gives to outgoing connections.
static PORT_NEXT: AtomicU16 = AtomicU16::new(0);

/// A server of this test.
pub struct Server {
    child: Option<Child>,
    port: u16,
    cores: usize,
    file: Option<PathBuf>,
    args: Vec<String>,
    dir: TempDir,
    starts: u32,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
}

impl Server {
    /// Starts a server with this many cores and these further arguments, and waits until it
    /// answers. The least durable level, unless `args` name another: most tests do not ask for
    /// the disk.
    pub fn start(cores: usize, args: &[&str]) -> Server {
        Server::begun(cores, args, None)
    }

    /// Starts a server that reads this configuration file.
    pub fn start_from(file: &Path, cores: usize) -> Server {
        Server::begun(cores, &[], Some(file))
    }

    fn begun(cores: usize, args: &[&str], file: Option<&Path>) -> Server {
        let mut server = Server {
            child: None,
            port: 0,
            cores,
            file: file.map(Path::to_path_buf),
            args: args.iter().map(ToString::to_string).collect(),
            dir: tempfile::tempdir().expect("a directory for the server"),
            starts: 0,
        };
        server.begin();
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Where the server keeps its data.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A connection that shows every byte.
    pub fn wire(&self) -> Wire {
        Wire::connect(self.port)
    }

    /// A connection of the crate `redis`.
    pub fn redis(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/", self.port)).unwrap();
        let connection = client.get_connection().expect("redis-rs connects");
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// Asks the server to stop by this signal, and waits until it did.
    pub fn stop(&mut self, signal: i32) -> Exit {
        // SAFETY: the process is our child and was not waited for.
        unsafe { libc::kill(self.pid() as i32, signal) };
        self.wait()
    }

    /// Waits until the server ended by itself.
    pub fn wait(&mut self) -> Exit {
        let mut child = self.child.take().expect("the server runs");
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return Exit {
                    code: status.code(),
                    signal: status.signal(),
                };
            }
            if begun.elapsed() > PATIENCE {
                self.child = Some(child);
                panic!("the server does not stop");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts the server again, with this many cores.
    pub fn begin_with(&mut self, cores: usize) {
        self.cores = cores;
        self.begin();
    }

    /// Starts the server again, on what it left in its directory.
    pub fn begin(&mut self) {
        assert!(self.child.is_none(), "the server runs");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.port = free_port();
            self.starts += 1;
            let child = self.spawn();
            self.child = Some(child);
            if self.is_up() {
                return;
            }
            // Another process may have taken the port in between.
            assert!(self.said().contains("in use"), "the server does not start");
            self.child = None;
        }
        panic!("no free port");
    }

    fn spawn(&self) -> Child {
        let said = File::create(self.log_path()).unwrap();
        let mut command = Command::new(program());
        command.args(&self.file);
        command
            .args(["--port", &self.port.to_string()])
            .args(["--cores", &self.cores.to_string()])
            .arg("--dir")
            .arg(self.data());
        if self.file.is_none() && !self.args.iter().any(|arg| arg == "--durability") {
            command.args(["--durability", "low"]);
        }
        command
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said);
        end_with_parent(&mut command);
        command.spawn().expect("the server's binary starts")
    }

    /// Waits until the server answers; false when it ended instead.
    fn is_up(&mut self) -> bool {
        let begun = Instant::now();
        loop {
            if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                return false;
            }
            if let Ok(mut wire) = Wire::try_connect(self.port)
                && wire.try_ping()
            {
                return true;
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join(format!("said-{}.log", self.starts))
    }

    /// What the server wrote to its standard error since it was started last.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- what the server said ---\n{}", self.said());
        }
    }
}

/// The server's binary.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_quorate"))
}

/// Kills the process that `command` starts when the thread that starts it ends.
fn end_with_parent(command: &mut Command) {
    // SAFETY: prctl is a plain system call, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// A port that nobody listens on, nor on its peer port.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    // Peer ports lie above by this much; both below those of outgoing connections.
    const PEERS: u16 = 10_000;
    const COUNT: u16 = 12_000;
    let offset = (std::process::id() % 997) as u16 * 20;
    for _ in 0..COUNT {
        let port = FIRST
            + PORT_NEXT
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_add(offset)
                % COUNT;
        let bind = |port| TcpListener::bind(("127.0.0.1", port));
        if bind(port).and(bind(port + PEERS)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

//! A server of a test's own, alone.

use std::path::{Path, PathBuf};
use std::time::Instant;

use tempfile::TempDir;

use super::{Node, PATIENCE, Wire, free_port};

/// A server of this test.
pub struct Server {
    node: Option<Node>,
    port: u16,
    cores: usize,
    file: Option<PathBuf>,
    args: Vec<String>,
    dir: TempDir,
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
        let mut args: Vec<String> = args.iter().map(ToString::to_string).collect();
        if file.is_none() && !args.iter().any(|arg| arg == "--durability") {
            args.extend(["--durability", "low"].map(String::from));
        }
        let mut server = Server {
            node: None,
            port: 0,
            cores,
            file: file.map(Path::to_path_buf),
            args,
            dir: tempfile::tempdir().expect("a directory for the server"),
        };
        server.begin();
        server
    }

    fn node(&self) -> &Node {
        self.node.as_ref().expect("the server runs")
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.node().process_id()
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
    ///
    /// # Panics
    /// When it does not stop cleanly.
    pub fn stop(&mut self, signal: i32) {
        self.node().signal(signal);
        self.expect_stop();
    }

    /// Waits until the server has stopped by itself.
    ///
    /// # Panics
    /// When it does not stop cleanly.
    pub fn expect_stop(&mut self) {
        let mut node = self.node.take().expect("the server runs");
        node.expect_stop();
    }

    /// Starts the server again, with this many cores.
    pub fn begin_with(&mut self, cores: usize) {
        self.cores = cores;
        self.begin();
    }

    /// Starts the server again, on what it left in its directory.
    pub fn begin(&mut self) {
        assert!(self.node.is_none(), "the server runs");
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            self.port = free_port();
            let mut node = self.spawn();
            match node.serve_or_end() {
                Ok(mut connection) => {
                    // Read to its end: the server has let go of the connection then.
                    let sent = connection.send(b"QUIT\r\n");
                    let rest = sent.and_then(|()| connection.rest());
                    assert_eq!(rest.expect("a farewell"), b"+OK\r\n");
                    self.node = Some(node);
                    return;
                }
                // Another process may have taken the port in between.
                Err(ended) if ended.output.contains("in use") => {}
                Err(ended) => panic!("the server does not start:\n{}", ended.output),
            }
        }
        panic!("no free port");
    }

    fn spawn(&self) -> Node {
        let cores = self.cores.to_string();
        let mut args = vec!["--cores", &cores];
        args.extend(self.args.iter().map(String::as_str));
        let data = self.dir.path().join("data");
        Node::start_from(self.file.as_deref(), self.port, &data, &args)
    }

    /// What the server wrote since it was started last.
    pub fn said(&self) -> String {
        self.node().output()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(node) = &self.node
            && std::thread::panicking()
        {
            eprintln!("--- what the server said ---\n{}", node.output());
        }
    }
}

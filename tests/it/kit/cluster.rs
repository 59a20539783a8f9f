//! Several nodes that are to be one cluster.
//!
//! They live together in a network namespace of their own, or each in one, joined by a switch that
//! the test controls; on the machine's loopback where no namespace can be made. A node keeps its
//! port and its directory over its lives. Nodes must be started by the thread that outlives them:
//! they end with it.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::network::{Namespace, Network, host};
use super::{Connection, Node, PATIENCE, PEER_OFFSET, Value, field};

/// Small files, so that a node that was away for a while needs a checkpoint.
pub const SMALL: [&str; 4] = ["--checkpoint-log-size", "1mb", "--log-segment-size", "1mb"];

/// Port of the first node, in a namespace of its own.
const PORT: u16 = 7001;

/// Where the clients of a node reach it: beside it.
#[derive(Clone)]
pub struct Entrance {
    namespace: Option<Arc<Namespace>>,
    address: SocketAddr,
}

impl Entrance {
    /// # Errors
    /// When nobody accepts.
    pub fn open(&self, patience: Duration) -> io::Result<Connection> {
        let connect = || TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        let stream = match &self.namespace {
            Some(namespace) => namespace.inside(connect)?,
            None => connect()?,
        };
        Connection::over(stream, patience)
    }
}

struct Seat {
    host: String,
    port: u16,
    namespace: Option<Arc<Namespace>>,
    node: Option<Node>,
    directory: PathBuf,
    cores: usize,
}

/// The nodes, by number from 0 on.
pub struct Cluster {
    seats: Vec<Seat>,
    network: Option<Network>,
    args: Vec<String>,
    home: Option<tempfile::TempDir>,
}

impl Cluster {
    /// Room for nodes that share a loopback.
    pub fn together(count: usize, cores: usize, args: &[&str]) -> Cluster {
        let namespace = match Namespace::make() {
            Ok(namespace) => Some(Arc::new(namespace)),
            Err(error) => {
                eprintln!("on the machine's loopback: no network namespace: {error}");
                None
            }
        };
        let place = |node: usize| match &namespace {
            Some(_) => PORT + node as u16,
            None => super::free_port(),
        };
        let seats = (0..count).map(|node| ("127.0.0.1".into(), place(node), namespace.clone()));
        Cluster::of(seats.collect(), None, cores, args)
    }

    /// Three nodes that share a loopback, begun, with one core each.
    pub fn of_three(args: &[&str]) -> Cluster {
        let mut cluster = Cluster::together(3, 1, args);
        cluster.begin(3);
        cluster
    }

    /// Room for nodes with a network between them that can be cut; none where that cannot be made.
    pub fn apart(count: usize, cores: usize, args: &[&str]) -> Option<Cluster> {
        match Network::make(count) {
            Ok(network) => {
                let seat = |node| (host(node), PORT, Some(network.namespace(node)));
                let seats = (0..count).map(seat).collect();
                Some(Cluster::of(seats, Some(network), cores, args))
            }
            Err(error) => {
                eprintln!("skipped: no network can be made: {error}");
                None
            }
        }
    }

    fn of(
        seats: Vec<(String, u16, Option<Arc<Namespace>>)>,
        network: Option<Network>,
        cores: usize,
        args: &[&str],
    ) -> Cluster {
        let home = tempfile::tempdir().expect("a directory");
        let seats = seats.into_iter().enumerate();
        let seats = seats.map(|(number, (host, port, namespace))| Seat {
            host,
            port,
            namespace,
            node: None,
            directory: home.path().join(format!("node{number}")),
            cores,
        });
        Cluster {
            seats: seats.collect(),
            network,
            args: args.iter().map(ToString::to_string).collect(),
            home: Some(home),
        }
    }

    /// Gives each node its own number of cores.
    pub fn with_cores(mut self, cores: &[usize]) -> Cluster {
        for (seat, cores) in self.seats.iter_mut().zip(cores) {
            seat.cores = *cores;
        }
        self
    }

    pub fn count(&self) -> usize {
        self.seats.len()
    }

    /// The network between the nodes.
    ///
    /// # Panics
    /// Where the nodes live together.
    pub fn network(&self) -> &Network {
        self.network.as_ref().expect("nodes that live apart")
    }

    pub fn address(&self, node: usize) -> String {
        format!("{}:{}", self.seats[node].host, self.seats[node].port)
    }

    /// The addresses of the first `count` nodes, as `--cluster-peers` has them.
    pub fn peers(&self, count: usize) -> String {
        let peers: Vec<String> = (0..count).map(|node| self.address(node)).collect();
        peers.join(",")
    }

    pub fn entrance(&self, node: usize) -> Entrance {
        let seat = &self.seats[node];
        Entrance {
            namespace: seat.namespace.clone(),
            address: SocketAddr::from(([127, 0, 0, 1], seat.port)),
        }
    }

    /// Starts the first `count` nodes as a cluster, and waits until all serve.
    pub fn begin(&mut self, count: usize) {
        let (peers, expected) = (self.peers(count), count.to_string());
        for node in 0..count {
            self.start(node, &["--cluster-peers", &peers, "--expect", &expected]);
        }
        self.wait_for_all(count);
    }

    /// Starts a node on what it has, with `args` behind those of all.
    pub fn start(&mut self, node: usize, args: &[&str]) {
        let cores = self.seats[node].cores.to_string();
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let core = (node % cpus).to_string();
        let seat = &mut self.seats[node];
        assert!(seat.node.is_none(), "node {node} runs");
        let mut all = vec!["--cores", &cores];
        if self.network.is_some() {
            // Peers come from elsewhere, clients from beside it.
            all.extend(["--bind", &seat.host, "127.0.0.1"]);
        }
        if seat.cores == 1 {
            // Spread over the machine, and in every run alike.
            all.extend(["--core-list", &core]);
        }
        all.extend(self.args.iter().map(String::as_str));
        all.extend(args);
        await_freed(seat);
        let entering = seat.namespace.as_ref().map(|one| one.entering());
        let prepare = |command: &mut Command| {
            if let Some(entering) = entering {
                // SAFETY: a system call that is allowed between fork and exec.
                unsafe { command.pre_exec(entering) };
            }
        };
        seat.node = Some(Node::start_at(seat.port, &seat.directory, &all, prepare));
    }

    /// Runs a program beside a node.
    pub fn beside(&self, node: usize, command: &mut Command) {
        if let Some(namespace) = &self.seats[node].namespace {
            // SAFETY: a system call that is allowed between fork and exec.
            unsafe { command.pre_exec(namespace.entering()) };
        }
    }

    pub fn is_running(&self, node: usize) -> bool {
        self.seats[node].node.is_some()
    }

    fn node(&mut self, node: usize) -> &mut Node {
        self.seats[node].node.as_mut().expect("a node that runs")
    }

    fn take(&mut self, node: usize) -> Node {
        self.seats[node].node.take().expect("a node that runs")
    }

    /// Ends a node as a power switch for processes does.
    pub fn kill(&mut self, node: usize) {
        self.take(node).kill();
    }

    /// Stops a node as a service manager does.
    pub fn stop(&mut self, node: usize) -> String {
        self.take(node).stop()
    }

    /// Halts a node in the midst of whatever it does.
    pub fn pause(&mut self, node: usize) {
        self.node(node).pause();
    }

    pub fn resume(&mut self, node: usize) {
        self.node(node).signal(libc::SIGCONT);
    }

    /// Gives a node that does not run another directory.
    pub fn move_directory(&mut self, node: usize, to: &Path) {
        self.seats[node].directory = to.to_path_buf();
    }

    /// Gives a node that does not run another port.
    pub fn move_port(&mut self, node: usize) {
        self.seats[node].port = match &self.seats[node].namespace {
            Some(_) => self.seats[node].port + 100,
            None => super::free_port(),
        };
    }

    /// Takes all data of a node that does not run.
    pub fn wipe(&mut self, node: usize) {
        assert!(!self.is_running(node), "node {node} runs");
        std::fs::remove_dir_all(&self.seats[node].directory).expect("the data go");
    }

    /// What a node wrote so far in this life.
    pub fn said(&self, node: usize) -> String {
        let seat = &self.seats[node];
        seat.node.as_ref().map(Node::output).unwrap_or_default()
    }

    /// A connection to a node that serves by then.
    pub fn connect(&self, node: usize) -> Connection {
        let entrance = self.entrance(node);
        let begun = Instant::now();
        loop {
            if let Ok(mut connection) = entrance.open(PATIENCE)
                && connection.call(&["PING"]).ok() == Some(Value::Simple("PONG".into()))
            {
                return connection;
            }
            let late = begun.elapsed() > PATIENCE;
            assert!(!late, "node {node} does not serve:\n{}", self.said(node));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks a node once, whatever state it is in.
    pub fn ask(&self, node: usize, line: &str) -> Option<Value> {
        let mut connection = self.entrance(node).open(Duration::from_secs(10)).ok()?;
        let words: Vec<&str> = line.split(' ').collect();
        connection.call(&words).ok()
    }

    /// A line of INFO; empty where the node does not answer.
    fn info(&self, node: usize, section: &str, name: &str) -> String {
        match self.ask(node, &format!("INFO {section}")) {
            Some(text @ Value::Bulk(_)) => field(&text.text(), name).unwrap_or_default().into(),
            _ => String::new(),
        }
    }

    /// A line of `INFO raft`; empty where the node does not answer.
    pub fn field(&self, node: usize, name: &str) -> String {
        self.info(node, "raft", name)
    }

    /// How many shards a node has: one on each core that is not Raft's own.
    pub fn shards(&self, node: usize) -> u64 {
        let number = |name| self.info(node, "server", name).parse::<u64>();
        let both = number("cores").and_then(|cores| Ok(cores - number("raft_core_dedicated")?));
        both.expect("a node that answers")
    }

    pub fn number(&self, node: usize, name: &str) -> u64 {
        self.field(node, name).parse().unwrap_or(0)
    }

    /// The node that leads and has a quorum, as soon as there is one.
    pub fn leader(&self) -> usize {
        self.await_some("a leader", |cluster| {
            (0..cluster.count()).find(|node| {
                let leads =
                    cluster.is_running(*node) && cluster.field(*node, "raft_role") == "leader";
                leads && cluster.field(*node, "raft_has_quorum") == "1"
            })
        })
    }

    /// A node that runs and does not lead.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        let mut others = (0..self.count()).map(|step| (leader + 1 + step) % self.count());
        let found = others.find(|node| *node != leader && self.is_running(*node));
        found.expect("a node beside the leader")
    }

    /// Waits until each of the first `count` nodes is a voter and takes writes.
    pub fn wait_for_all(&self, count: usize) {
        for node in 0..count {
            self.await_some(&format!("node {node} takes writes"), |cluster| {
                let written = match cluster.ask(node, "SET kit:alive 1") {
                    // It knows whom to ask.
                    Some(Value::Error(text)) => text.starts_with("MOVED "),
                    reply => reply == Some(super::ok()),
                };
                let voters = cluster.field(node, "raft_voters");
                let own = cluster.field(node, "raft_node_id");
                (written && voters.split(',').any(|voter| voter == own)).then_some(())
            });
        }
    }

    /// Waits until `found` finds something.
    ///
    /// # Panics
    /// When that takes longer than [`PATIENCE`].
    pub fn await_some<T>(&self, what: &str, found: impl Fn(&Cluster) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain for: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Checks that all nodes hold the same, once they are equally far.
    pub fn expect_equal_digests(&self) {
        self.await_some("equal digests", |cluster| {
            let digests: Vec<_> = (0..cluster.count())
                .filter(|node| cluster.is_running(*node))
                .map(|node| cluster.ask(node, "DEBUG DIGEST"))
                .collect();
            digests
                .windows(2)
                .all(|pair| pair[0] == pair[1] && pair[0].is_some())
                .then_some(())
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (number, seat) in self.seats.iter().enumerate() {
            if let Some(node) = &seat.node {
                eprintln!("--- what node {number} said ---\n{}", node.output());
            }
        }
        if let Some(home) = self.home.take() {
            eprintln!("the files are kept in {}", home.keep().display());
        }
    }
}

/// Waits until the kernel has let go of the ports of a node that was killed: rings are taken down
/// after their process is gone.
fn await_freed(seat: &Seat) {
    let bind = || {
        TcpListener::bind(("0.0.0.0", seat.port))
            .and(TcpListener::bind(("0.0.0.0", seat.port + PEER_OFFSET)))
    };
    super::eventually("the ports are free", || {
        let bound = match &seat.namespace {
            Some(namespace) => namespace.inside(bind),
            None => bind(),
        };
        bound.is_ok()
    });
}

//! Describing a node, and starting it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use crate::address::NodeAddress;
use crate::config::{Config, Consistency, Durability, RaftCore};
use crate::error::{Fatal, advice};
use crate::node::{self, Event, Layout};
use crate::rt::Doorbell;

use super::ending::Progress;
use super::handle::Node;
use super::lane::Lane;
use super::published::Published;
use super::seats::Seats;

/// What a node is to be. From [`Node::builder`].
#[derive(Clone, Default)]
pub struct Builder {
    address: Option<String>,
    /// Settings by their names in the configuration file; the last one of a name counts.
    settings: Vec<(String, String)>,
    /// What cannot be a setting.
    wrong: Option<String>,
}

impl Builder {
    /// Where its data lies; `./quorate-data` unless given. One node at a time has a directory. A
    /// node that finds its data there comes back as the member that it was.
    pub fn dir(mut self, dir: impl AsRef<Path>) -> Builder {
        match dir.as_ref().to_str() {
            Some(text) => self.setting("dir", text),
            None => {
                self.wrong = Some(format!("dir {:?} is not UTF-8", dir.as_ref()));
                self
            }
        }
    }

    /// The name that the cluster knows it by, `host:port` or `host:port@peerport`. No client port
    /// is opened; it listens for the other nodes at the peer port of that host, `port + 10000`
    /// where none is given. Without an address it stays alone and listens nowhere.
    pub fn address(mut self, address: impl Into<String>) -> Builder {
        self.address = Some(address.into());
        self
    }

    /// Begins a cluster with these nodes, itself among them, by their addresses: the same list on
    /// each. Not looked at once it has data.
    pub fn peers<I>(self, peers: I) -> Builder
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.setting("cluster-peers", &joined(peers))
    }

    /// How many of the [`peers`](Builder::peers) have to be there for the cluster to begin; all of
    /// them unless given.
    pub fn expect(self, count: usize) -> Builder {
        self.setting("expect", &count.to_string())
    }

    /// Joins the cluster that these nodes belong to, one of which has to answer. Not looked at once
    /// it has data.
    pub fn join<I>(self, members: I) -> Builder
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        self.setting("join", &joined(members))
    }

    /// Threads that it runs on, each with a part of the keys; 1 unless given. From three on, the
    /// first is Raft's own. Each is pinned only where the setting `core-list` names CPUs.
    pub fn cores(self, cores: usize) -> Builder {
        self.setting("cores", &cores.to_string())
    }

    /// When writes are answered, unless a session or a call says otherwise; `High` unless given.
    pub fn durability(self, level: Durability) -> Builder {
        self.setting("durability", level.name())
    }

    /// How fresh reads are, unless a session or a call says otherwise; `Linearizable` unless given.
    pub fn consistency(self, level: Consistency) -> Builder {
        self.setting("consistency", &level.to_string())
    }

    /// What the nodes of the cluster have in common and strangers have not; empty unless given.
    pub fn secret(self, secret: &str) -> Builder {
        self.setting("cluster-secret", secret)
    }

    /// Any setting of the configuration file, its value as `CONFIG SET` takes it. Those for client
    /// sockets (`maxclients`, ..) change nothing here; `port`, `peer-port`, `bind` and
    /// `announce-address` follow from [`address`](Builder::address) unless given.
    pub fn setting(mut self, name: &str, value: &str) -> Builder {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Starts the node, and waits until its cores run: its log is open, and it listens for its
    /// peers. Calls may be made at once; see [`Node::ready`] for when they are answered soon.
    ///
    /// It starts threads of its own and nothing else: no signal handlers, no subscriber for
    /// `tracing`, to which it logs.
    ///
    /// # Errors
    /// [`Fatal`] with what to change: a setting that is wrong, a directory that is in use, damaged
    /// or not writable, a peer port that is taken, a kernel without io_uring. Nothing runs then.
    pub fn start(self) -> Result<Node, Fatal> {
        let config = self.config()?;
        let (layout, cpus) = placement(&config);
        for notice in config.notices() {
            tracing::warn!("{notice}");
        }
        let lanes: Vec<Arc<Lane>> = (0..layout.cores).map(|_| Arc::default()).collect();
        let progress = Arc::new(Progress::default());
        let published = Arc::new(Published::default());
        let front = {
            let (lanes, progress) = (lanes.clone(), progress.clone());
            let published = published.clone();
            move |core: usize| {
                let published = (core == layout.raft_core).then(|| published.clone());
                let lane = lanes[core].clone();
                let seats = Seats::new(lane, published, progress.clone(), (core, layout.cores));
                Ok(seats)
            }
        };
        let start = move || node::start(config, layout, cpus, front);
        let (doorbells, events) = supervise(start, lanes.clone(), progress.clone())?;
        for (lane, doorbell) in lanes.iter().zip(doorbells) {
            lane.connect(doorbell);
        }
        progress.wait_begun(layout.cores)?;
        Ok(Node::new(lanes, layout, events, progress, published))
    }

    fn config(self) -> Result<Config, Fatal> {
        if let Some(wrong) = self.wrong {
            return Err(Fatal::Setup(wrong));
        }
        let mut pairs = match self.address {
            Some(text) => {
                let address: NodeAddress = text.parse().map_err(Fatal::Setup)?;
                vec![
                    ("port", address.port.to_string()),
                    ("peer-port", address.peer_port.to_string()),
                    ("announce-address", address.to_string()),
                    ("bind", address.host),
                ]
            }
            None => {
                let needs =
                    |(name, _): &(String, String)| name == "cluster-peers" || name == "join";
                if self.settings.iter().any(needs) {
                    let text = "a member of a cluster needs an address: Builder::address";
                    return Err(Fatal::Setup(text.into()));
                }
                vec![("port", "0".to_string())]
            }
        };
        let given = self.settings.iter();
        pairs.extend(given.map(|(name, value)| (name.as_str(), value.clone())));
        let pairs: Vec<(String, String)> = pairs
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect();
        Config::from_pairs(&pairs)
    }
}

impl fmt::Debug for Builder {
    /// Without the values: one of them may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.settings.iter().map(|(name, _)| &name[..]).collect();
        f.debug_struct("Builder")
            .field("address", &self.address)
            .field("settings", &names)
            .finish()
    }
}

fn joined<I>(addresses: I) -> String
where
    I: IntoIterator<Item: AsRef<str>>,
{
    let mut text = String::new();
    for address in addresses {
        text.push_str(address.as_ref());
        text.push(' ');
    }
    text
}

/// How many cores, and the CPU of each where they were named: an application's own threads run
/// beside them.
fn placement(config: &Config) -> (Layout, Vec<usize>) {
    let cores = config.cores().unwrap_or(1).max(1);
    let dedicated = match config.raft_core() {
        RaftCore::Auto => cores > 2,
        RaftCore::Shared => false,
        RaftCore::Dedicated => true,
    };
    let mut cpus = config.core_list();
    cpus.truncate(cores);
    if cpus.len() < cores {
        cpus.clear();
    }
    (Layout::new(cores, dedicated), cpus)
}

/// Starts the node on a thread that sees to its end. Answers how to wake its cores, and where to
/// send what happens to it.
fn supervise(
    start: impl FnOnce() -> Result<node::Running, Fatal> + Send + 'static,
    lanes: Vec<Arc<Lane>>,
    progress: Arc<Progress>,
) -> Result<(Vec<Doorbell>, Sender<Event>), Fatal> {
    let (started, outcome) = channel();
    let supervisor = move || {
        let running = match start() {
            Ok(running) => running,
            Err(error) => return drop(started.send(Err(error))),
        };
        let doorbells = running.doorbells().to_vec();
        // The builder waits for it.
        drop(started.send(Ok((doorbells, running.sender()))));
        let result = running.wait().map_err(|error| error.to_string());
        if let Err(why) = &result {
            tracing::error!("the node has failed: {why}");
        }
        lanes.iter().for_each(|lane| lane.close());
        progress.end(result);
    };
    std::thread::Builder::new()
        .name("node".into())
        .spawn(supervisor)
        .map_err(|error| Fatal::Setup(format!("cannot start: {error}{}", advice(&error))))?;
    let died = || Fatal::Setup("the thread that starts the node died".into());
    outcome.recv().map_err(|_| died())?
}

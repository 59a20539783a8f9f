//! Starting a node: cores, log, group; and stopping it.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::LocalBoxFuture;

use crate::checkpoint::Store;
use crate::config::{Config, LogBackend};
use crate::error::{Fatal, advice};
use crate::log::directory::DirectoryLock;
use crate::log::meta::Meta;
use crate::log::{self, Log};
use crate::raft::{
    Group, GroupOptions, Member, PeerCertificates, Transport, TransportOptions, VoteStore,
};
use crate::rt::mesh::{Mesh, mesh};
use crate::rt::{self, Doorbell, Parker, Placement, Ring};
use crate::shard::Shard;

use super::cluster::{self, Beginning, Cluster};
use super::copies::Copies;
use super::core::Core;
use super::digests::Digests;
use super::engine::Engine;
use super::front::Front;
use super::layout::Layout;
use super::message::Message;
use super::raft_side::{Joint, Raft};
use super::relay::Relay;
use super::sequencer::Sequencer;
use super::timed_log::{Clockwork, TimedLog};

/// Chunks of the checkpoint that wait for a shard while it is loaded.
const CHUNKS_LOADING: usize = 16;

/// What happens to a running node.
#[derive(Debug)]
pub enum Event {
    /// A core ended: because the node was told to stop, or because of an error.
    CoreEnded(usize, Result<(), Fatal>),
    /// SHUTDOWN was asked for, or a signal came.
    StopAsked,
}

/// A running node.
pub struct Running {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    doorbells: Vec<Doorbell>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    _lock: DirectoryLock,
}

/// Starts the cores on `layout` with the CPUs `cpus` (empty: none is pinned). `front` makes the
/// wires of each, on its own thread.
///
/// # Errors
/// When the directory cannot be used, or the process has no descriptors or threads left.
/// Everything else ends the core that meets it, and [`Running::wait`] says so.
pub fn start<F, M>(
    config: Config,
    layout: Layout,
    cpus: Vec<usize>,
    front: M,
) -> Result<Running, Fatal>
where
    F: Front,
    M: Fn(usize) -> Result<F, Fatal> + Send + Sync + 'static,
{
    let directory = config.dir().to_path_buf();
    log::directory::create(&directory)?;
    let lock = DirectoryLock::acquire(&directory)?;
    let setup =
        |error: std::io::Error| Fatal::Setup(format!("cannot start: {error}{}", advice(&error)));
    let doorbells = (0..layout.cores)
        .map(|_| Doorbell::new())
        .collect::<Result<Vec<_>, _>>();
    let doorbells = doorbells.map_err(setup)?;
    let (sender, events) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let undrained = Arc::new(AtomicUsize::new(layout.cores));
    let front = Arc::new(front);
    let (mut loads, store) = spawn_load(directory.join("checkpoint"), layout)?;
    let mut store = Some(store);
    let mut threads = Vec::new();
    for (core, mesh) in mesh::<Message>(&doorbells).into_iter().enumerate() {
        let seat = Seat {
            core,
            layout,
            cpu: cpus.get(core).copied(),
            config: config.clone(),
            chunks: loads[core].take(),
            store: if core == layout.raft_core {
                store.take()
            } else {
                None
            },
            doorbell: doorbells[core].clone(),
            stop: stop.clone(),
            undrained: undrained.clone(),
            events: sender.clone(),
        };
        let (front, sender) = (front.clone(), sender.clone());
        let thread = std::thread::Builder::new()
            .name(format!("core-{core}"))
            .spawn(move || {
                let run = std::panic::AssertUnwindSafe(|| seat.run(mesh, &*front));
                let result = std::panic::catch_unwind(run).unwrap_or_else(|_| {
                    Err(Fatal::Setup(format!(
                        "core {core} died of a defect: the node stops"
                    )))
                });
                // The node is gone when nobody listens.
                let _ = sender.send(Event::CoreEnded(core, result));
            });
        threads.push(thread.map_err(setup)?);
    }
    spawn_watch(doorbells.clone(), stop.clone()).map_err(setup)?;
    Ok(Running {
        threads,
        stop,
        doorbells,
        events,
        sender,
        _lock: lock,
    })
}

/// How often it is looked whether a core that is not parked makes turns.
const WATCH_EVERY: Duration = Duration::from_millis(20);

/// Wakes executors that fell asleep with work waiting.
fn spawn_watch(doorbells: Vec<Doorbell>, stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let mut turns = vec![0; doorbells.len()];
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(WATCH_EVERY);
                for (doorbell, turns) in doorbells.iter().zip(&mut turns) {
                    if doorbell.is_stuck(turns) {
                        doorbell.rescue();
                    }
                }
            }
        })?;
    Ok(())
}

/// What a load hands each core, and its end.
type Load = (
    Vec<Option<Receiver<Vec<u8>>>>,
    Receiver<Result<Store, Fatal>>,
);

/// Reads the newest checkpoint on threads of its own, each shard's part to its core.
fn spawn_load(directory: PathBuf, layout: Layout) -> Result<Load, Fatal> {
    let (mut senders, mut receivers) = (Vec::new(), Vec::new());
    receivers.resize_with(layout.cores, || None);
    for shard in 0..layout.shards {
        let (sender, receiver) = sync_channel::<Vec<u8>>(CHUNKS_LOADING);
        senders.push(sender);
        receivers[layout.core_of(shard)] = Some(receiver);
    }
    let (done, store) = channel();
    let load = move || -> Result<Store, Fatal> {
        let store = Store::open(&directory)?;
        let shown = AtomicU64::new(0);
        let progress = |entries: u64, all: u64| {
            // A line for every tenth.
            let tenth = entries * 10 / all.max(1);
            if shown.fetch_max(tenth, Ordering::Relaxed) < tenth {
                tracing::info!("checkpoint: {entries} of {all} keys loaded");
            }
        };
        let sink = |shard: usize| {
            let sender: SyncSender<Vec<u8>> = senders[shard].clone();
            move |chunk| {
                let gone = |_| Fatal::Setup("a core ended while the checkpoint was loaded".into());
                sender.send(chunk).map_err(gone)
            }
        };
        store.load(layout.shards, sink, progress)?;
        Ok(store)
    };
    let run = move || drop(done.send(load()));
    std::thread::Builder::new()
        .name("load".into())
        .spawn(run)
        .map_err(|error| Fatal::Setup(format!("cannot start: {error}{}", advice(&error))))?;
    Ok((receivers, store))
}

impl Running {
    /// Where to send [`Event::StopAsked`].
    pub fn sender(&self) -> Sender<Event> {
        self.sender.clone()
    }

    /// How to wake each core, by its number.
    pub fn doorbells(&self) -> &[Doorbell] {
        &self.doorbells
    }

    /// Waits until the node stops: on request cleanly, or because a core failed.
    ///
    /// # Errors
    /// The first error of a core.
    pub fn wait(self) -> Result<(), Fatal> {
        let mut first = Ok(());
        let mut running = self.threads.len();
        while running > 0 {
            let Ok(event) = self.events.recv() else {
                break;
            };
            if let Event::CoreEnded(_, result) = event {
                running -= 1;
                if first.is_ok() {
                    first = result;
                }
            }
            self.stop.store(true, Ordering::SeqCst);
            self.doorbells.iter().for_each(Doorbell::ring);
        }
        for thread in self.threads {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
        first
    }
}

/// One core from its first breath to its last.
struct Seat {
    core: usize,
    layout: Layout,
    cpu: Option<usize>,
    config: Config,
    /// The shard's part of the checkpoint, where the core has a shard.
    chunks: Option<Receiver<Vec<u8>>>,
    /// The store, when it is loaded, on the Raft core.
    store: Option<Receiver<Result<Store, Fatal>>>,
    doorbell: Doorbell,
    stop: Arc<AtomicBool>,
    undrained: Arc<AtomicUsize>,
    events: Sender<Event>,
}

impl Seat {
    fn run<F: Front>(
        self,
        mesh: Mesh<Message>,
        front: &dyn Fn(usize) -> Result<F, Fatal>,
    ) -> Result<(), Fatal> {
        let no_ring = |error: std::io::Error| Fatal::Setup(rt::executor::explain(&error));
        // The listeners are made first: a port in use is said before anything is loaded.
        let front = front(self.core)?;
        let mut shard = self
            .layout
            .shard_on(self.core)
            .map(|shard| Shard::new(shard, self.layout.shards, SEED));
        if let (Some(shard), Some(chunks)) = (&mut shard, &self.chunks) {
            for chunk in chunks {
                shard
                    .keyspace_mut()
                    .install_chunk(&chunk)
                    .map_err(|error| Fatal::Corrupt {
                        what: format!("the checkpoint: {}", error.0),
                    })?;
            }
        }
        let store = match &self.store {
            None => None,
            Some(store) => Some(store.recv().unwrap_or_else(|_| {
                Err(Fatal::Setup(
                    "the thread that loads the checkpoint died".to_string(),
                ))
            })?),
        };
        let settings = rt::Settings {
            name: format!("core-{}", self.core),
            placement: self.cpu.map_or(Placement::Unbound, Placement::Pinned),
            spin_us: 0,
        };
        rt::executor::run(&settings, self.serve(mesh, shard, store, front)).map_err(no_ring)?
    }

    async fn serve<F: Front>(
        self,
        mesh: Mesh<Message>,
        shard: Option<Shard>,
        store: Option<Store>,
        front: F,
    ) -> Result<(), Fatal> {
        let no_ring = |error: std::io::Error| Fatal::Setup(rt::executor::explain(&error));
        let parker = Parker::new(self.doorbell).map_err(no_ring)?;
        let ring = Ring::new(parker.clone()).map_err(no_ring)?;
        let raft = match store {
            None => None,
            Some(store) => {
                let start = start_raft(&self.config, self.layout, Arc::new(store), parker.clone());
                Some(ring.drive(start).await?)
            }
        };
        let keeper = raft
            .as_ref()
            .map(|raft| (raft.group.clone(), raft.log.clone(), raft.cluster.clone()));
        let spin_us = self.config.spin().as_micros() as u64;
        let engine = Engine::new(self.layout, mesh, shard, raft, self.config, self.events);
        let mut running = Core {
            engine,
            front,
            ring,
            parker,
            stop: self.stop,
            undrained: self.undrained,
            spin_us,
        };
        let ran = running.run().await;
        let fault = running.engine.fault().map(|what| Fatal::Corrupt {
            what: what.to_string(),
        });
        if let Some((group, log, cluster)) = keeper {
            let stop = stop_raft(&group, &*log, cluster.as_deref());
            running.ring.drive(stop).await?;
        }
        let joint = running.engine.raft.as_ref();
        let joint = joint.map(|raft| Rc::downgrade(&raft.joint));
        drop(running);
        if let Some(joint) = joint {
            let_go(joint).await;
        }
        Ring::forget_current();
        ran.map_err(|error| Fatal::Setup(format!("the kernel gave up the ring: {error}")))?;
        fault.map_or(Ok(()), Err)
    }
}

/// Seed of the tables' order. One for all nodes, so that a cursor of SCAN, and a slice whose digest
/// is taken, mean the same on each.
pub(super) const SEED: u64 = 0x5EED_0F9A_7E5C_A95E;

/// Whether log and checkpoint make one history: what a checkpoint holds was in the log before, and
/// goes from the log only then. One that another node sent was not: until the log behind it is
/// forgotten, the log ends anywhere before it.
fn check_joined(
    log: &dyn Log,
    checkpoint_index: u64,
    may_be_shorter: bool,
    directory: &Path,
) -> Result<(), Fatal> {
    let purged_index = log.purged().map_or(0, |purged| purged.index);
    let log_index = log.last().map_or(0, |last| last.index);
    let directory = directory.display();
    let what = if purged_index > checkpoint_index {
        format!(
            "the log begins behind index {purged_index} and the newest checkpoint ends at \
             {checkpoint_index}: what lay between is missing; restore {directory} from a backup"
        )
    } else if log_index < checkpoint_index && !may_be_shorter {
        format!(
            "the newest checkpoint ends at index {checkpoint_index} and the log at {log_index}: \
             files of the log are missing; put them back, or restore {directory} from a backup"
        )
    } else {
        return Ok(());
    };
    Err(Fatal::Corrupt { what })
}

/// Opens the log, and refuses one that does not go with the checkpoint. Tells with it whether
/// acknowledged entries may be lost.
fn open_log(config: &Config, store: &Store) -> Result<(Rc<dyn Log>, bool), Fatal> {
    let backend = match config.log_backend() {
        LogBackend::Segment => log::Backend::Segment,
        LogBackend::Fjall => log::Backend::Fjall,
    };
    let log_options = log::Options {
        segment_bytes: config.log_segment_bytes(),
        ..log::Options::default()
    };
    let mut shown = 0;
    let mut progress = |progress: log::Progress| {
        // A line for every tenth.
        let tenth = progress.bytes_done * 10 / progress.bytes_total.max(1);
        if tenth > shown {
            shown = tenth;
            tracing::info!(
                "log: {} of {} bytes read",
                progress.bytes_done,
                progress.bytes_total
            );
        }
    };
    let directory = config.dir().join("log");
    let log_is_new = !directory.exists();
    let (log, recovery) = log::open(&directory, backend, log_options, &mut progress)?;
    let newest = store.newest();
    let checkpoint_index = newest.as_ref().map_or(0, |meta| meta.origin.index);
    // Only a machine crash takes the end of a log.
    let received = newest.is_some_and(|meta| meta.received);
    let may_be_shorter = (recovery.boot_changed || received) && !log_is_new;
    check_joined(&*log, checkpoint_index, may_be_shorter, config.dir())?;
    Ok((log, recovery.acknowledged_may_be_lost))
}

/// What a node's disk keeps between its starts.
pub(super) struct Kept {
    pub log: Rc<dyn Log>,
    /// Acknowledged entries may be missing from the log, by a crash before this start.
    pub may_have_lost: bool,
    pub meta: Rc<Meta>,
    pub store: Arc<Store>,
    pub backend: &'static str,
}

async fn start_raft(
    config: &Config,
    layout: Layout,
    store: Arc<Store>,
    parker: Parker,
) -> Result<Raft, Fatal> {
    // Said before anything is opened.
    cluster::own_address(config)?;
    let (log, may_have_lost) = open_log(config, &store)?;
    let kept = Kept {
        log,
        may_have_lost,
        meta: Rc::new(Meta::open(&config.dir().join("meta"))?),
        store,
        backend: match config.log_backend() {
            LogBackend::Segment => "segment",
            LogBackend::Fjall => "fjall",
        },
    };
    start_raft_on(config, layout, kept, parker).await
}

/// Starts the group on what the disk keeps, and enters the cluster.
pub(super) async fn start_raft_on(
    config: &Config,
    layout: Layout,
    kept: Kept,
    parker: Parker,
) -> Result<Raft, Fatal> {
    let Kept {
        log, meta, store, ..
    } = kept;
    let address = cluster::own_address(config)?;
    let is_new = log.last().is_none() && log.purged().is_none() && store.newest().is_none();
    let is_behind = cluster::is_behind(&meta, kept.may_have_lost, config).await?;
    let own = Member {
        id: cluster::identity(&meta).await?,
        address: match &address {
            Some(address) => address.to_string(),
            None => format!("127.0.0.1:{}", config.port()),
        },
    };
    let sequencer = Rc::new(Sequencer::new(own.id, parker.clone()));
    let clockwork = Rc::new(Clockwork::default());
    let log: Rc<dyn Log> = Rc::new(TimedLog {
        log,
        clockwork: clockwork.clone(),
    });
    let joint = Rc::new(Joint::new(
        sequencer.clone(),
        store,
        layout.shards,
        SEED,
        clockwork.clone(),
    ));
    let beginning = Beginning::of(config);
    let first_voters = match beginning {
        Beginning::Alone if is_new => vec![own.clone()],
        _ => Vec::new(),
    };
    let options = GroupOptions {
        may_vote: !is_behind,
        ..group_options(config, own.id, first_voters)
    };
    let transport = listen(config, own.id, address.is_some()).await?;
    let votes = Rc::new(Votes(meta.clone()));
    let group = Group::start(
        options,
        log.clone(),
        votes,
        joint.clone(),
        transport.clone(),
    );
    let group = group.await?;
    let copies = Rc::new(Copies::new(group.clone(), log.clone(), transport.clone()));
    let digests = Rc::new(Digests::new(layout.shards));
    let cluster = transport.zip(address).map(|(transport, address)| {
        let relay = Rc::new(Relay {
            sequencer: sequencer.clone(),
            group: group.clone(),
            transport,
            digests: digests.clone(),
            copies: copies.clone(),
        });
        let cluster = Rc::new(Cluster {
            relay,
            own,
            address,
            is_new,
            meta,
        });
        cluster.clone().enter(beginning, is_behind);
        cluster
    });
    let raft = Raft {
        sequencer,
        recovered: recovery(&group, &parker),
        group,
        log,
        joint,
        cluster,
        digests,
        copies,
        answers: Rc::default(),
        parker,
        backend: kept.backend,
        clockwork,
    };
    raft.spawn_syncs();
    Ok(raft)
}

fn group_options(config: &Config, node_id: u64, first_voters: Vec<Member>) -> GroupOptions {
    GroupOptions {
        heartbeat_ms: config.cluster_heartbeat().as_millis() as u64,
        election_ms_min: config.cluster_election().as_millis() as u64,
        election_ms_max: config.cluster_election_max().as_millis() as u64,
        ..GroupOptions::member(node_id, first_voters)
    }
}

/// Listens for peers, where the node is reached by them.
async fn listen(
    config: &Config,
    node_id: u64,
    is_reached: bool,
) -> Result<Option<Transport>, Fatal> {
    if !is_reached {
        return Ok(None);
    }
    let bind = config.bind();
    let host = bind
        .first()
        .map_or("127.0.0.1", |host| host.trim_start_matches('-'));
    let bind = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let transport = Transport::listen(TransportOptions {
        node_id,
        bind: bind.to_string(),
        peer_port: config.peer_port().unwrap_or_default(),
        secret: config.cluster_secret().into_bytes(),
        certificates: config
            .cluster_certificates()
            .map(|[certificate, key, authorities]| PeerCertificates {
                certificate,
                key,
                authorities,
            }),
        scratch: config.dir().to_path_buf(),
    })
    .await?;
    Ok(Some(transport))
}

/// Set once the node may serve. One that is alone has to have applied all that its log holds; a
/// member of a cluster asks the leader before each read that must be new.
fn recovery(group: &Group, parker: &Parker) -> Rc<Cell<bool>> {
    let recovered = Rc::new(Cell::new(false));
    let state = group.state();
    let only = matches!(&state.members[..], [only] if only.member.id == state.node_id);
    if !only {
        recovered.set(true);
        return recovered;
    }
    let (waiting, flag, waker) = (group.clone(), recovered.clone(), parker.clone());
    rt::spawn(async move {
        match waiting.wait_leader_and_recovered().await {
            Ok(()) => flag.set(true),
            Err(why) => tracing::error!("the group did not come up: {why}"),
        }
        waker.notify();
    });
    recovered
}

async fn stop_raft(group: &Group, log: &dyn Log, cluster: Option<&Cluster>) -> Result<(), Fatal> {
    group.stop().await;
    if let Some(cluster) = cluster {
        cluster.relay.transport.stop().await;
    }
    log.close()
        .await
        .map_err(|error| Fatal::Setup(format!("the log did not close: {error}")))
}

/// How long tasks that hold the store of checkpoints may take to end once the group has stopped.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);

/// Waits until no task holds the store of checkpoints: its directory is free then for the next node
/// of this process. An executor that ends does not drop the tasks that sleep on it.
async fn let_go(joint: Weak<Joint>) {
    let begun = Instant::now();
    while joint.strong_count() > 0 {
        if begun.elapsed() > LET_GO_WITHIN {
            tracing::warn!("the node has stopped and something still holds its checkpoints");
            return;
        }
        rt::sleep(Duration::from_millis(2)).await;
    }
}

/// The vote in the meta store: always synced.
struct Votes(Rc<Meta>);

/// Key of the vote in the meta store.
const VOTE: &str = "vote";

impl VoteStore for Votes {
    fn save(&self, vote: Bytes) -> LocalBoxFuture<'_, std::io::Result<()>> {
        Box::pin(self.0.put(VOTE, vote.to_vec()))
    }

    fn read(&self) -> LocalBoxFuture<'_, std::io::Result<Option<Bytes>>> {
        let vote = self.0.get(VOTE).map(Bytes::from);
        Box::pin(async move { Ok(vote) })
    }
}

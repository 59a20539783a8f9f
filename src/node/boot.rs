//! Starting a node: its cores; and stopping it.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use crate::checkpoint::Store;
use crate::config::Config;
use crate::error::{Fatal, advice};
use crate::log;
use crate::log::directory::DirectoryLock;
use crate::rt::mesh::{Mesh, mesh};
use crate::rt::{self, Doorbell, Parker, Placement, Ring};
use crate::shard::Shard;

use super::core::Core;
use super::engine::Engine;
use super::front::Front;
use super::layout::Layout;
use super::message::Message;
use super::raft_start::{SEED, let_go, start_raft, stop_raft};

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
    Ok(Running {
        threads,
        stop,
        doorbells,
        events,
        sender,
        _lock: lock,
    })
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
        let parker = Parker::new(self.doorbell);
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
        let ring = running.ring.clone();
        drop(running);
        if let Some(joint) = joint {
            ring.drive(let_go(joint)).await;
        }
        Ring::forget_current();
        ran.map_err(|error| Fatal::Setup(format!("the kernel gave up the ring: {error}")))?;
        fault.map_or(Ok(()), Err)
    }
}

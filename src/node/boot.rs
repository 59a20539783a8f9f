//! Starting a node: cores, log, group; and stopping it.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use futures::future::LocalBoxFuture;

use crate::error::{Fatal, Unavailable};
use crate::log::{self, Log, Position};
use crate::raft::{Applier, CheckpointMeta, Chunks, Group, GroupOptions, VoteStore};
use crate::rt::mesh::{Mesh, mesh};
use crate::rt::{self, Doorbell, Parker, Placement, Ring};
use crate::shard::Shard;

use super::core::Core;
use super::engine::{Engine, Layout, Raft};
use super::front::Front;
use super::message::Message;
use super::sequencer::Sequencer;

/// What a node needs to know to start.
#[derive(Debug, Clone)]
pub struct Options {
    pub directory: PathBuf,
    pub layout: Layout,
    /// CPU of each core; empty: none is pinned.
    pub cpus: Vec<usize>,
    pub spin_us: u64,
    pub durability: crate::config::Durability,
    pub consistency: crate::config::Consistency,
    pub backend: log::Backend,
}

/// What happens to a running node.
#[derive(Debug)]
pub enum Event {
    /// A core ended: because the node was told to stop, or because of an error.
    CoreEnded(usize, Result<(), Fatal>),
    /// SHUTDOWN was asked for, or a signal came.
    StopAsked,
}

/// A running node.
pub struct Node {
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    doorbells: Vec<Doorbell>,
    events: Receiver<Event>,
    sender: Sender<Event>,
}

/// Starts the cores. `front` makes the wires of each, on its own thread.
///
/// # Errors
/// When the process has no descriptors or threads left. Everything else ends the core that meets
/// it, as [`Event::CoreEnded`].
pub fn start<F, M>(options: Options, front: M) -> Result<Node, Fatal>
where
    F: Front,
    M: Fn(usize) -> F + Send + Sync + 'static,
{
    let setup = |error: std::io::Error| Fatal::Setup(format!("cannot start: {error}"));
    let cores = options.layout.cores;
    let doorbells = (0..cores).map(|_| Doorbell::new()).collect::<Result<Vec<_>, _>>();
    let doorbells = doorbells.map_err(setup)?;
    let (sender, events) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let front = Arc::new(front);
    let mut threads = Vec::new();
    for (core, mesh) in mesh::<Message>(&doorbells).into_iter().enumerate() {
        let (options, front, sender) = (options.clone(), front.clone(), sender.clone());
        let (doorbell, stop) = (doorbells[core].clone(), stop.clone());
        let thread = std::thread::Builder::new().name(format!("core-{core}")).spawn(move || {
            let result = run_core(core, &options, mesh, doorbell, stop, &*front);
            // The node is gone when nobody listens.
            let _ = sender.send(Event::CoreEnded(core, result));
        });
        threads.push(thread.map_err(setup)?);
    }
    Ok(Node { threads, stop, doorbells, events, sender })
}

impl Node {
    /// Where to send [`Event::StopAsked`].
    pub fn sender(&self) -> Sender<Event> {
        self.sender.clone()
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
fn run_core<F: Front>(
    core: usize,
    options: &Options,
    mesh: Mesh<Message>,
    doorbell: Doorbell,
    stop: Arc<AtomicBool>,
    front: &dyn Fn(usize) -> F,
) -> Result<(), Fatal> {
    let placement = options.cpus.get(core).map_or(Placement::Unbound, |cpu| Placement::Pinned(*cpu));
    let settings = rt::Settings { name: format!("core-{core}"), placement, spin_us: 0 };
    let no_ring = |error: std::io::Error| Fatal::Setup(rt::executor::explain(&error));
    let result = rt::executor::run(&settings, async move {
        let parker = Parker::new(doorbell).map_err(no_ring)?;
        let ring = Ring::new(parker.clone()).map_err(no_ring)?;
        let layout = options.layout;
        let shard = layout.shard_on(core).map(|shard| Shard::new(shard, layout.shards, SEED));
        let raft = if core == layout.raft_core {
            Some(ring.drive(start_raft(options, parker.clone())).await?)
        } else {
            None
        };
        let keeper = raft.as_ref().map(|(raft, log)| (raft.group.clone(), log.clone()));
        let mut engine = Engine::new(layout, mesh, shard, raft.map(|(raft, _)| raft));
        engine.set_levels(options.durability, options.consistency);
        let spin_us = options.spin_us;
        let mut running = Core { engine, front: front(core), ring, parker, stop, spin_us };
        let ran = running.run().await;
        let fault = running.engine.fault().map(|fault| Fatal::Corrupt { what: fault.to_string() });
        if let Some((group, log)) = keeper {
            running.ring.drive(stop_raft(&group, &*log)).await?;
        }
        drop(running);
        Ring::forget_current();
        ran.map_err(|error| Fatal::Setup(format!("the kernel gave up the ring: {error}")))?;
        fault.map_or(Ok(()), Err)
    });
    result.map_err(no_ring)?
}

/// Seed of the tables' order. One for all nodes, so that a cursor of SCAN means the same on each.
const SEED: u64 = 0x5EED_0F9A_7E5C_A95E;

async fn start_raft(options: &Options, parker: Parker) -> Result<(Raft, Rc<dyn Log>), Fatal> {
    let (log, _recovery) = log::open(
        &options.directory,
        options.backend,
        log::Options::default(),
        &mut |progress| {
            tracing::info!("log: {} of {} bytes read", progress.bytes_done, progress.bytes_total);
        },
    )?;
    let sequencer = Rc::new(Sequencer::new(parker.clone()));
    let applier = Rc::new(Joint { sequencer: sequencer.clone(), parker: parker.clone() });
    let votes = Rc::new(Votes::default());
    let group =
        Group::start(GroupOptions::single(1, "127.0.0.1:0"), log.clone(), votes, applier).await?;
    let recovered = Rc::new(Cell::new(false));
    let (waiting, flag) = (group.clone(), recovered.clone());
    rt::spawn(async move {
        match waiting.wait_leader_and_recovered().await {
            Ok(()) => flag.set(true),
            Err(why) => tracing::error!("the group did not come up: {why}"),
        }
        parker.notify();
    });
    Ok((Raft { sequencer, group, recovered }, log))
}

async fn stop_raft(group: &Group, log: &dyn Log) -> Result<(), Fatal> {
    group.stop().await;
    log.close().await.map_err(|error| Fatal::Setup(format!("the log did not close: {error}")))
}

/// Joins the group to the sequencer.
struct Joint {
    sequencer: Rc<Sequencer>,
    parker: Parker,
}

impl Applier for Joint {
    fn apply(&self, position: Position, tag: Option<u64>, payload: Bytes) {
        self.sequencer.committed(position.index, tag, payload);
    }

    fn skip(&self, position: Position, _membership: Option<Bytes>) {
        self.sequencer.skipped(position.index);
        self.parker.notify();
    }

    fn checkpoint(&self) -> Option<CheckpointMeta> {
        None
    }

    fn build_checkpoint(
        &self,
        _position: Position,
    ) -> LocalBoxFuture<'_, std::io::Result<CheckpointMeta>> {
        Box::pin(async { Err(std::io::Error::other("not yet")) })
    }

    fn export(&self) -> Option<(CheckpointMeta, Chunks)> {
        None
    }

    fn install(
        &self,
        _meta: CheckpointMeta,
        _chunks: Chunks,
    ) -> LocalBoxFuture<'_, std::io::Result<()>> {
        Box::pin(async { Err(std::io::Error::other("not yet")) })
    }

    fn failed(&self, tag: u64, why: Unavailable) {
        self.sequencer.failed(tag, why);
    }
}

#[derive(Default)]
struct Votes(RefCell<Option<Bytes>>);

impl VoteStore for Votes {
    fn save(&self, vote: Bytes) -> LocalBoxFuture<'_, std::io::Result<()>> {
        *self.0.borrow_mut() = Some(vote);
        Box::pin(async { Ok(()) })
    }

    fn read(&self) -> LocalBoxFuture<'_, std::io::Result<Option<Bytes>>> {
        let vote = self.0.borrow().clone();
        Box::pin(async move { Ok(vote) })
    }
}

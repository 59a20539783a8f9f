//! A node in a simulation: its engine, group and cluster as they are, on a virtual disk, with the
//! turns of [`Core`](super::Core) driven without a kernel's ring.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::checkpoint::{Shelf, Store};
use crate::config::Config;
use crate::error::Fatal;
use crate::log::Log;
use crate::log::meta::{Meta, MetaDisk};
use crate::raft::{ChangeError, Group, State};
use crate::rt::mesh::{Mesh, mesh};
use crate::rt::{self, Doorbell, Parker};
use crate::shard::Shard;
use crate::value::Digest;

use super::boot::Event;
use super::client::Clients;
use super::cluster::Cluster;
use super::engine::Engine;
use super::layout::Layout;
use super::message::Message;
use super::raft_start::{Kept, SEED, start_raft_on};

/// How often a core looks after expiry, in ms; as in `core`.
const TICK_MS: u64 = 100;

/// As in `core`.
const RAFT_YIELDS_MAX: usize = 12;

/// What outlives a node's processes.
pub struct Disks {
    pub log: Rc<dyn Log>,
    /// Acknowledged entries may be missing from the log, by a crash before this start.
    pub may_have_lost: bool,
    pub meta: Rc<MetaDisk>,
    pub shelf: Arc<Shelf>,
    /// Set by the log when one of its writes has ended.
    pub write_ended: Rc<Cell<bool>>,
}

/// The clients of one core.
pub trait Wires: Clients {
    /// The node serves from now on.
    fn open(&mut self);

    /// Takes requests that wait. Answers whether it took any.
    fn resume(&mut self, engine: &mut Engine) -> bool;

    /// Takes the replies of the turn.
    fn flush(&mut self);
}

/// One core.
struct Seat<W> {
    engine: Rc<RefCell<Engine>>,
    wires: Rc<RefCell<W>>,
    parker: Parker,
    write_ended: Rc<Cell<bool>>,
    fault: Rc<RefCell<Option<String>>>,
}

/// A running node.
pub struct Running {
    engines: Vec<Rc<RefCell<Engine>>>,
    parkers: Vec<Parker>,
    group: Group,
    cluster: Option<Rc<Cluster>>,
    fault: Rc<RefCell<Option<String>>>,
    _events: Receiver<Event>,
}

impl Running {
    /// Starts a node on the running process; `wires` makes each core's clients.
    ///
    /// # Errors
    /// As the start of any node.
    pub async fn start<W: Wires + 'static>(
        config: Config,
        layout: Layout,
        disks: Disks,
        wires: impl Fn(usize) -> Rc<RefCell<W>>,
    ) -> Result<Running, Fatal> {
        let setup = |error: std::io::Error| Fatal::Setup(error.to_string());
        let store = Arc::new(Store::on(disks.shelf));
        let mut shards = load(&store, layout)?;
        let doorbells: Vec<Doorbell> = (0..layout.cores)
            .map(|_| Doorbell::new())
            .collect::<Result<_, _>>()
            .map_err(setup)?;
        let parkers: Vec<Parker> = doorbells.iter().cloned().map(Parker::new).collect();
        let kept = Kept {
            log: disks.log,
            may_have_lost: disks.may_have_lost,
            meta: Rc::new(Meta::on(disks.meta)),
            store,
            backend: "simulated",
        };
        let parker = parkers[layout.raft_core].clone();
        let raft = start_raft_on(&config, layout, kept, parker).await?;
        let (group, cluster) = (raft.group.clone(), raft.cluster.clone());
        let (events, listener) = channel();
        let fault = Rc::new(RefCell::new(None));
        let mut raft = Some(raft);
        let mut engines = Vec::new();
        for (mesh, parker) in mesh::<Message>(&doorbells).into_iter().zip(&parkers) {
            let core = mesh.core();
            let shard = layout.shard_on(core).and_then(|shard| shards[shard].take());
            let raft = raft.take_if(|_| core == layout.raft_core);
            let engine = make_engine(layout, mesh, shard, raft, &config, &events);
            engines.push(engine.clone());
            let seat = Seat {
                engine,
                wires: wires(core),
                parker: parker.clone(),
                write_ended: disks.write_ended.clone(),
                fault: fault.clone(),
            };
            rt::spawn(seat.run());
            spawn_ticks(parker.clone());
        }
        Ok(Running {
            engines,
            parkers,
            group,
            cluster,
            fault,
            _events: listener,
        })
    }

    /// Lets a core see that its clients have something to ask.
    pub fn wake(&self, core: usize) {
        self.parkers[core].notify();
    }

    /// The digest of the whole dataset, with the log index that it belongs to: `None` while a
    /// shard is not through with what was committed.
    pub fn digest(&self) -> Option<(u64, Digest)> {
        let mut sum = Digest::default();
        let index = self.group.applied_index()?;
        for engine in &self.engines {
            let engine = engine.borrow();
            if let Some(shard) = &engine.shard {
                if shard.backlog() > 0 || !shard.is_free() {
                    return None;
                }
                sum += shard.keyspace().digest();
            }
            if engine
                .raft
                .as_ref()
                .is_some_and(|raft| raft.sequencer.has_work())
            {
                return None;
            }
        }
        Some((index, sum))
    }

    /// How the node stands in its group.
    pub fn state(&self) -> State {
        self.group.state()
    }

    /// Makes a checkpoint and forgets the log that it covers.
    ///
    /// # Errors
    /// Why not.
    pub async fn checkpoint(&self) -> std::io::Result<u64> {
        let group = self.group.clone();
        Ok(group.checkpoint().await?.position.index)
    }

    /// Hands the lead to another voter.
    ///
    /// # Errors
    /// Why not.
    pub async fn transfer(&self) -> Result<(), ChangeError> {
        let group = self.group.clone();
        group.transfer(None).await.map(drop)
    }

    /// Changes the members; `change` is the words behind `RAFT`.
    ///
    /// # Errors
    /// Why not.
    pub async fn change(&self, change: &str) -> Result<(), String> {
        let cluster = self.cluster.clone().ok_or("no cluster")?;
        let changed = cluster.change(change).await;
        changed.map_err(|error| error.0.to_string())
    }

    /// Why a core of the node cannot go on.
    pub fn fault(&self) -> Option<String> {
        self.fault.borrow().clone()
    }
}

fn load(store: &Store, layout: Layout) -> Result<Vec<Option<Shard>>, Fatal> {
    let shards: Vec<_> = (0..layout.shards)
        .map(|shard| std::sync::Mutex::new(Shard::new(shard, layout.shards, SEED)))
        .collect();
    let sink = |shard: usize| {
        let shard = &shards[shard];
        move |chunk: Vec<u8>| {
            let mut shard = shard.lock().map_err(|_| Fatal::Setup("poisoned".into()))?;
            let installed = shard.keyspace_mut().install_chunk(&chunk);
            installed.map(drop).map_err(|error| Fatal::Corrupt {
                what: error.0.to_string(),
            })
        }
    };
    store.load(layout.shards, sink, |_, _| {})?;
    let whole = shards.into_iter().map(|shard| shard.into_inner().ok());
    Ok(whole.collect())
}

fn make_engine(
    layout: Layout,
    mesh: Mesh<Message>,
    shard: Option<Shard>,
    raft: Option<super::raft_side::Raft>,
    config: &Config,
    events: &Sender<Event>,
) -> Rc<RefCell<Engine>> {
    let engine = Engine::new(layout, mesh, shard, raft, config.clone(), events.clone());
    Rc::new(RefCell::new(engine))
}

fn spawn_ticks(parker: Parker) {
    rt::spawn(async move {
        loop {
            rt::sleep(std::time::Duration::from_millis(TICK_MS)).await;
            parker.notify();
        }
    });
}

impl<W: Wires> Seat<W> {
    /// The turns of a core's main task, until its process ends or the engine has a fault.
    async fn run(self) {
        let mut next_tick_ms = 0;
        loop {
            let (mut busy, proposed) = self.turn(&mut next_tick_ms);
            if proposed {
                busy |= self.let_raft_run().await;
            }
            self.wires.borrow_mut().flush();
            self.engine.borrow_mut().flushed();
            if let Some(fault) = self.engine.borrow().fault() {
                *self.fault.borrow_mut() = Some(fault.to_string());
                return;
            }
            if busy {
                rt::yield_now().await;
                continue;
            }
            self.parker.arm();
            if self.engine.borrow().has_work() {
                self.parker.disarm();
                rt::yield_now().await;
            } else {
                self.parker.park().await;
            }
        }
    }

    fn turn(&self, next_tick_ms: &mut u64) -> (bool, bool) {
        let (mut engine, mut wires) = (self.engine.borrow_mut(), self.wires.borrow_mut());
        let (engine, wires) = (&mut *engine, &mut *wires);
        engine.begin_turn();
        let now_ms = engine.now_ms();
        let mut busy = engine.receive(wires);
        busy |= engine.capture_turn(wires, &self.parker);
        busy |= engine.slot_scan_turn();
        busy |= engine.replace_turn(wires, &self.parker);
        busy |= wires.resume(engine);
        if engine.take_open() {
            wires.open();
            busy = true;
        }
        if now_ms >= *next_tick_ms || *next_tick_ms - now_ms > TICK_MS {
            *next_tick_ms = now_ms + TICK_MS;
            engine.tick();
        }
        let ended = engine.raft.is_some() && self.write_ended.take();
        if ended {
            engine.log_write_ended();
        }
        (busy, engine.end_turn() | ended)
    }

    async fn let_raft_run(&self) -> bool {
        let mut any = false;
        for _ in 0..RAFT_YIELDS_MAX {
            if !self.engine.borrow().is_proposing() {
                break;
            }
            rt::yield_now().await;
            let mut engine = self.engine.borrow_mut();
            if engine.receive(&mut *self.wires.borrow_mut()) {
                any = true;
                engine.end_turn();
            }
        }
        any
    }
}

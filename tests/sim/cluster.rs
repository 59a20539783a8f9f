//! The machines, what runs on them, and starting, killing and asking them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use quorate::checkpoint::Shelf;
use quorate::config::{Config, Startup};
use quorate::log::meta::MetaDisk;
use quorate::node::Layout;
use quorate::node::simulated::{Disks, Running};
use quorate::raft::Role;
use quorate::rt;
use quorate::rt::sim::{self, Process};

use crate::client::Desk;
use crate::disk::{Disk, DiskLog};
use crate::reply::Reply;

/// How a run is set up.
#[derive(Debug, Clone)]
pub struct Setup {
    pub nodes: u64,
    pub cores: usize,
    pub dedicated: bool,
    pub durability: &'static str,
    pub votes_unsynced: bool,
    pub reads_by_lease: bool,
}

/// One machine.
pub struct Machine {
    pub number: u64,
    pub disk: Rc<Disk>,
    shelf: RefCell<Arc<Shelf>>,
    meta: Rc<MetaDisk>,
    process: Cell<Option<Process>>,
    running: RefCell<Option<Rc<Running>>>,
    desks: RefCell<Vec<Rc<RefCell<Desk>>>>,
    /// Counts the starts.
    pub starts: Cell<u64>,
    /// It joins a cluster that is there, instead of beginning one.
    pub joins: Cell<bool>,
    pub is_away: Cell<bool>,
}

pub struct Cluster {
    pub setup: Setup,
    pub machines: Vec<Rc<Machine>>,
    /// Changes of the members that are under way, or were cut short.
    pub changes: Cell<u64>,
    /// Why the run has failed, if something was seen that may never be.
    pub alarm: RefCell<Option<String>>,
}

impl Cluster {
    pub fn new(setup: Setup) -> Rc<Cluster> {
        let machine = |number| {
            let disk = Disk::new();
            let meta = Rc::new(MetaDisk::default());
            meta.is_unsynced.set(setup.votes_unsynced);
            Rc::new(Machine {
                number,
                disk,
                shelf: RefCell::default(),
                meta,
                process: Cell::new(None),
                running: RefCell::new(None),
                desks: RefCell::default(),
                starts: Cell::new(0),
                joins: Cell::new(false),
                is_away: Cell::new(false),
            })
        };
        Rc::new(Cluster {
            machines: (1..=setup.nodes).map(machine).collect(),
            setup,
            changes: Cell::new(0),
            alarm: RefCell::new(None),
        })
    }

    pub fn machine(&self, number: u64) -> &Rc<Machine> {
        &self.machines[number as usize - 1]
    }

    pub fn any(&self) -> &Rc<Machine> {
        let place = sim::below(self.machines.len() as u64) as usize;
        &self.machines[place]
    }

    pub fn alarm(&self, why: String) {
        self.alarm.borrow_mut().get_or_insert(why);
    }

    fn config(&self, machine: &Machine) -> Config {
        let address = |number: u64| format!("10.0.0.{number}:7000");
        let all: Vec<String> = (1..=self.setup.nodes).map(address).collect();
        let mut line = format!(
            "--dir /nowhere --port 7000 --bind 10.0.0.{} --durability {}",
            machine.number, self.setup.durability
        );
        if self.setup.reads_by_lease {
            line += " --read-lease yes";
        }
        if machine.joins.get() {
            let others = all.iter().filter(|one| **one != address(machine.number));
            line += &format!(" --join {}", others.cloned().collect::<Vec<_>>().join(","));
        } else {
            line += &format!(" --cluster-peers {} --expect {}", all.join(","), all.len());
        }
        let args: Vec<String> = line.split(' ').map(String::from).collect();
        match Config::from_args(&args) {
            Ok(Startup::Run(config)) => config,
            other => panic!("{other:?}"),
        }
    }

    /// Starts the node of a machine that runs none.
    pub fn start(self: &Rc<Self>, machine: &Rc<Machine>) {
        assert!(machine.process.get().is_none());
        let (cluster, started) = (self.clone(), machine.clone());
        machine.starts.set(machine.starts.get() + 1);
        let start = machine.starts.get();
        let config = self.config(machine);
        let layout = Layout::new(self.setup.cores, self.setup.dedicated);
        let desks: Vec<_> = (0..layout.cores).map(|_| Desk::new()).collect();
        *machine.desks.borrow_mut() = desks.clone();
        let process = sim::start_process(machine.number, async move {
            let machine = started;
            let write_ended = Rc::new(Cell::new(false));
            let disks = Disks {
                log: DiskLog::open(&machine.disk, write_ended.clone()),
                may_have_lost: machine.disk.may_have_lost(),
                meta: machine.meta.clone(),
                shelf: machine.shelf.borrow().clone(),
                write_ended,
            };
            match Running::start(config, layout, disks, |core| desks[core].clone()).await {
                Ok(running) if machine.starts.get() == start => {
                    *machine.running.borrow_mut() = Some(Rc::new(running));
                }
                Ok(_) => {}
                Err(error) => {
                    cluster.alarm(format!("node {} did not start: {error}", machine.number))
                }
            }
        });
        machine.process.set(Some(process));
    }

    /// Kills the node of a machine, as kill -9 does.
    pub fn kill(&self, machine: &Machine) {
        if self.take_process(machine, false) {
            machine.disk.process_ended();
        }
    }

    /// Takes the power from a machine.
    pub fn crash(&self, machine: &Machine) {
        if self.take_process(machine, true) {
            machine.is_away.set(true);
        }
        machine.disk.machine_ended();
        machine.meta.machine_ended();
    }

    /// Gives a machine without power its power back; its node is to be started.
    pub fn power_up(&self, machine: &Machine) {
        if machine.is_away.replace(false) {
            sim::net::machine_is_back(machine.number);
        }
    }

    fn take_process(&self, machine: &Machine, silently: bool) -> bool {
        self.look(machine);
        let Some(process) = machine.process.take() else {
            return false;
        };
        let running = machine.running.take();
        let desks = machine.desks.take();
        sim::kill(process, silently);
        drop((running, desks));
        true
    }

    /// A machine loses its disk, and with it who it was: its node joins anew.
    pub fn wipe(&self, machine: &Rc<Machine>) {
        self.crash(machine);
        machine.disk.wipe();
        machine.shelf.take();
        machine.meta.wipe();
        machine.joins.set(true);
    }

    /// Looks for what may never be.
    pub fn look(&self, machine: &Machine) {
        let Some(running) = machine.running() else {
            return;
        };
        let failure = running.state().failure;
        let failure = failure.filter(|_| !machine.disk.has_failed());
        if let Some(why) = running.fault().or(failure) {
            self.alarm(format!("node {}: {why}", machine.number));
        }
    }
}

impl Machine {
    pub fn is_up(&self) -> bool {
        self.process.get().is_some()
    }

    pub fn running(&self) -> Option<Rc<Running>> {
        self.running.borrow().clone()
    }

    /// Who it is; 0 while it does not run.
    pub fn node_id(&self) -> u64 {
        self.running().map_or(0, |running| running.state().node_id)
    }

    pub fn leads(&self) -> bool {
        let running = self.running();
        running.is_some_and(|running| running.state().role == Role::Leader)
    }

    /// Whether it runs and is a voter that may vote: nothing that it acknowledged is missing.
    pub fn is_sound(&self) -> bool {
        self.running().is_some_and(|running| {
            let state = running.state();
            state.votes && state.voters.iter().any(|voter| voter.id == self.node_id())
        })
    }

    /// A connection to any core of the node; `None` where none runs.
    pub fn connect(self: &Rc<Self>) -> Option<Session> {
        self.process.get()?;
        let desks = self.desks.borrow();
        let core = sim::below(desks.len() as u64) as usize;
        let desk = desks.get(core)?.clone();
        let id = desk.borrow_mut().connect();
        Some(Session {
            machine: self.clone(),
            start: self.starts.get(),
            core,
            desk: Rc::downgrade(&desk),
            id,
        })
    }
}

/// A client's connection to a process.
pub struct Session {
    machine: Rc<Machine>,
    start: u64,
    core: usize,
    desk: std::rc::Weak<RefCell<Desk>>,
    id: u64,
}

impl Session {
    /// Whether the process that it was made to still runs.
    pub fn is_alive(&self) -> bool {
        self.machine.is_up() && self.machine.starts.get() == self.start
    }

    /// Sends all of `requests` and waits for the last one's reply.
    ///
    /// # Errors
    /// Why none came.
    pub async fn ask_all(&self, requests: &[String], patience: Duration) -> Result<Reply, String> {
        let closed = || "the connection was closed".to_string();
        let last = {
            let desk = self.desk.upgrade().ok_or_else(closed)?;
            let mut desk = desk.borrow_mut();
            let asked = requests.iter().map(|request| desk.ask(self.id, request));
            asked.last().expect("a request")
        };
        if self.machine.starts.get() == self.start
            && let Some(running) = self.machine.running()
        {
            running.wake(self.core);
        }
        let timer = std::pin::pin!(rt::sleep(patience));
        match select(last, timer).await {
            Either::Left((reply, _)) => reply.map_err(|_dropped| closed()),
            Either::Right(_) => Err(format!("no reply within {patience:?}")),
        }
    }
}

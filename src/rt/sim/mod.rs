//! A machine room in one thread: every node's tasks, timers, sockets and clocks under one seed.
//!
//! With the cargo feature `sim` (only the test target `sim` turns it on) this stands in for glommio
//! and the kernel: [`spawn`](super::spawn), [`sleep`](super::sleep), [`net`](super::net) and the
//! parker come to it. Everything above runs as it is in the product.
//!
//! Invariants
//! - The order in which ready tasks run, how late timers fire and how long bytes travel follow from
//!   the seed alone.
//! - Time stands still but for [`POLL_NS`] a poll, and goes to the next timer where nothing is
//!   ready.
//! - A task belongs to the process whose task spawned it. A process that was killed never runs
//!   again; its sockets end as a kernel, or a dead machine, ends them.
//!
//! Not done here: the log's disk (an implementation of `log::Log` in the tests), and the clock that
//! `std` reads (the tests take `clock_gettime` in hand and ask [`clock_ns`]).

pub mod net;
pub mod park;
pub mod scratch;
mod tasks;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tasks::Tasks;

/// What running a task once takes, at most, in virtual ns.
const POLL_NS: u64 = 1000;

/// How much later than asked for a timer may fire, in ns.
const LATE_NS: u64 = 300_000;

/// When a simulation begins, Unix ns.
const EPOCH_NS: u64 = 1_800_000_000_000_000_000;

/// A process: the tasks that die together. 0 is the simulation's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Process {
    /// The machine it runs on; 0 is nowhere.
    pub machine: u64,
    /// Never used twice.
    pub number: u64,
}

/// Faults that the product does not have, put in to show that they are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A follower acknowledges entries that it does not have yet.
    AcknowledgeBeforeCommit,
    /// Reads do not ask a quorum how new they have to be.
    ReadWithoutIndex,
    /// A read's round takes openraft's word that a quorum has answered it.
    BelieveOldAnswers,
    /// No node finds out how new a read has to be once a second leader was elected.
    NoReadsAfterElection,
}

struct World {
    tasks: RefCell<Tasks>,
    timers: RefCell<BTreeMap<(u64, u64), Waker>>,
    timer_next: Cell<u64>,
    now_ns: Cell<u64>,
    dice: Cell<u64>,
    /// Whose task runs.
    current: Cell<Process>,
    process_next: Cell<u64>,
    /// By how much a machine's wall clock is off, in ns.
    clocks: RefCell<BTreeMap<u64, i64>>,
    steps: Cell<u64>,
    bug: Cell<Option<Bug>>,
    net: net::Net,
}

thread_local! {
    static WORLD: RefCell<Option<&'static World>> = const { RefCell::new(None) };
    static CLOCK_NS: Cell<Option<u64>> = const { Cell::new(None) };
}

fn world() -> &'static World {
    let found = WORLD.with(|world| *world.borrow());
    found.expect("only inside of a simulation")
}

fn active() -> Option<&'static World> {
    WORLD.try_with(|world| *world.borrow()).ok().flatten()
}

/// Runs `future`, the simulation's own task, and all that it spawns, until it ends. One simulation
/// a thread: what `std` draws from the system once a thread must be this seed's too.
pub fn run<T: 'static>(seed: u64, future: impl Future<Output = T> + 'static) -> T {
    let world: &'static World = Box::leak(Box::new(World {
        tasks: RefCell::default(),
        timers: RefCell::default(),
        timer_next: Cell::new(0),
        now_ns: Cell::new(1_000_000_000),
        dice: Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5EED),
        current: Cell::default(),
        process_next: Cell::new(1),
        clocks: RefCell::default(),
        steps: Cell::new(0),
        bug: Cell::new(None),
        net: net::Net::default(),
    }));
    WORLD.with(|slot| *slot.borrow_mut() = Some(world));
    CLOCK_NS.set(Some(world.now_ns.get()));
    let ended = std::rc::Rc::new(Cell::new(None));
    let slot = ended.clone();
    spawn(async move { slot.set(Some(future.await)) });
    let value = loop {
        if let Some(value) = ended.take() {
            break value;
        }
        world.step();
    };
    world.end();
    CLOCK_NS.set(None);
    WORLD.with(|slot| slot.borrow_mut().take());
    value
}

impl World {
    /// Runs one ready task, or goes to the next timer.
    fn step(&self) {
        let draw = draw();
        let next = self.tasks.borrow_mut().take_ready(draw);
        let Some((id, process, mut future, waker)) = next else {
            return self.next_timer();
        };
        self.steps.set(self.steps.get() + 1);
        self.pass(draw % POLL_NS);
        self.current.set(process);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        if polled.is_pending() {
            let dead = self.tasks.borrow_mut().put_back(id, future);
            drop(dead);
        } else {
            self.tasks.borrow_mut().forget(id);
            drop(future);
        }
        self.current.set(Process::default());
        self.fire();
    }

    fn pass(&self, ns: u64) {
        self.now_ns.set(self.now_ns.get() + ns);
        CLOCK_NS.set(Some(self.now_ns.get()));
    }

    fn next_timer(&self) {
        let first = self.timers.borrow().keys().next().copied();
        let (at, _) = first.expect("a simulation in which nothing can happen any more");
        self.pass(at.saturating_sub(self.now_ns.get()));
        self.fire();
    }

    fn fire(&self) {
        loop {
            let mut timers = self.timers.borrow_mut();
            match timers.first_entry() {
                Some(first) if first.key().0 <= self.now_ns.get() => {
                    let waker = first.remove();
                    drop(timers);
                    waker.wake();
                }
                _ => return,
            }
        }
    }

    /// Drops every task while the world still stands.
    fn end(&self) {
        loop {
            let all = self.tasks.borrow_mut().take_all();
            if all.is_empty() {
                break;
            }
            drop(all);
        }
        self.timers.take();
        self.net.clear();
    }
}

/// Starts a task of the running process.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    if let Some(world) = active() {
        let refused = {
            let mut tasks = world.tasks.borrow_mut();
            tasks.add(world.current.get(), Box::pin(future))
        };
        drop(refused);
    }
}

/// Starts a process on `machine` with `future` as its first task.
pub fn start_process(machine: u64, future: impl Future<Output = ()> + 'static) -> Process {
    let world = world();
    let number = world.process_next.get();
    world.process_next.set(number + 1);
    let process = Process { machine, number };
    let refused = world.tasks.borrow_mut().add(process, Box::pin(future));
    drop(refused);
    process
}

/// Ends a process where it stands. Its kernel closes its sockets; where the whole machine goes
/// (`silently`) nobody does, and its peers hear nothing until the machine is back.
pub fn kill(process: Process, silently: bool) {
    let world = world();
    let dead = world.tasks.borrow_mut().kill(process);
    // First: what the tasks' destructors would say, a dead machine does not say.
    net::process_ended(process, silently);
    drop(dead);
}

/// The process whose task runs.
pub fn current() -> Process {
    active()
        .map(|world| world.current.get())
        .unwrap_or_default()
}

/// Virtual ns since long before the simulation began: what a monotonic clock shows. `None` outside.
pub fn now_ns() -> Option<u64> {
    CLOCK_NS.try_with(Cell::get).ok().flatten()
}

/// What the wall clock of the running task's machine shows, in Unix ns. `None` outside.
pub fn clock_ns() -> Option<u64> {
    let now_ns = now_ns()?;
    let world = active()?;
    let off = world.clocks.try_borrow().ok();
    let off = off.and_then(|clocks| clocks.get(&world.current.get().machine).copied());
    Some((EPOCH_NS + now_ns).saturating_add_signed(off.unwrap_or(0)))
}

/// Sets a machine's wall clock, `off_ms` from the true time.
pub fn set_clock(machine: u64, off_ms: i64) {
    let mut clocks = world().clocks.borrow_mut();
    clocks.insert(machine, off_ms * 1_000_000);
}

/// Polls made so far.
pub fn steps() -> u64 {
    world().steps.get()
}

/// The next number of the seed; also what `getrandom` gives. 0 outside of a simulation.
pub fn draw() -> u64 {
    let Some(world) = active() else { return 0 };
    let state = world.dice.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
    world.dice.set(state);
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number in `0..bound`.
pub fn below(bound: u64) -> u64 {
    draw() % bound.max(1)
}

/// Puts `bug` into the product, for the rest of this simulation.
pub fn put_in(bug: Option<Bug>) {
    world().bug.set(bug);
}

/// Whether the product has `bug`.
pub fn has(bug: Bug) -> bool {
    active().is_some_and(|world| world.bug.get() == Some(bug))
}

/// Resolves once its time has come.
pub struct Sleep {
    until_ns: u64,
    timer: Option<(u64, u64)>,
}

impl Sleep {
    /// Short ones as asked for; longer ones may be late.
    pub fn new(duration: Duration) -> Sleep {
        let asked = duration.as_nanos() as u64;
        let late = if asked < 50_000 { 0 } else { below(LATE_NS) };
        Sleep {
            until_ns: now_ns()
                .unwrap_or(0)
                .saturating_add(asked)
                .saturating_add(late),
            timer: None,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(world) = active() else {
            return Poll::Pending;
        };
        if world.now_ns.get() >= self.until_ns {
            return Poll::Ready(());
        }
        let number = match self.timer {
            Some((_, number)) => number,
            None => {
                let number = world.timer_next.get();
                world.timer_next.set(number + 1);
                number
            }
        };
        let key = (self.until_ns, number);
        self.timer = Some(key);
        world
            .timers
            .borrow_mut()
            .insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some(key), Some(world)) = (self.timer, active()) {
            let waker = world.timers.borrow_mut().remove(&key);
            drop(waker);
        }
    }
}

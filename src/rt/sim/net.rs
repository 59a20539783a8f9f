//! TCP between nodes, in a simulation: as `rt/net.rs`, over ways that can be cut, slow and lossy.
//!
//! A connection is two pipes. Bytes of a pipe arrive in order; how long each piece takes is drawn,
//! so that pieces of different connections overtake each other. What is lost comes later, as TCP
//! sends it again. Over a way that is cut nothing comes until it is healed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::future::{Either, select};

use super::{Process, Sleep, below, current, now_ns, world};

/// Bytes under way on a pipe at which a sender waits.
const PIPE_BYTES_MAX: usize = 256 * 1024;

/// How long what was lost is missed before it is sent again, in us.
const AGAIN_US: u64 = 200_000;

/// The way from one machine to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    pub is_cut: bool,
    pub delay_us_min: u64,
    pub delay_us_max: u64,
    /// How many of a thousand pieces are lost at first.
    pub loss_permille: u64,
}

impl Default for Way {
    fn default() -> Self {
        Way {
            is_cut: false,
            delay_us_min: 50,
            delay_us_max: 400,
            loss_permille: 0,
        }
    }
}

/// The network of a simulation.
#[derive(Default)]
pub(super) struct Net {
    listeners: RefCell<BTreeMap<SocketAddr, Rc<Port>>>,
    ways: RefCell<BTreeMap<(u64, u64), Way>>,
    pipes: RefCell<Vec<std::rc::Weak<Pipe>>>,
}

impl Net {
    pub(super) fn clear(&self) {
        self.listeners.take();
        self.pipes.take();
    }
}

struct Port {
    owner: Process,
    waiting: RefCell<VecDeque<Stream>>,
    acceptor: RefCell<Option<Waker>>,
    closed: Cell<bool>,
}

/// Bytes on their way in one direction.
struct Pipe {
    from: Process,
    to: Process,
    /// Pieces with the time of their arrival, ns.
    pieces: RefCell<VecDeque<(u64, Vec<u8>)>>,
    bytes: Cell<usize>,
    last_ns: Cell<u64>,
    /// The sender has ended: the receiver hears of it at this time, behind the bytes.
    ended_ns: Cell<Option<u64>>,
    /// Nothing comes or goes any more.
    reset: Cell<bool>,
    /// The receiver's machine is gone: what is sent is lost.
    unheard: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

impl Pipe {
    fn new(from: Process, to: Process) -> Rc<Pipe> {
        let pipe = Rc::new(Pipe {
            from,
            to,
            pieces: RefCell::default(),
            bytes: Cell::new(0),
            last_ns: Cell::new(0),
            ended_ns: Cell::new(None),
            reset: Cell::new(false),
            unheard: Cell::new(false),
            reader: RefCell::new(None),
            writer: RefCell::new(None),
        });
        let mut pipes = world().net.pipes.borrow_mut();
        if pipes.len() % 64 == 63 {
            pipes.retain(|pipe| pipe.strong_count() > 0);
        }
        pipes.push(Rc::downgrade(&pipe));
        pipe
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    /// When something sent now arrives.
    fn arrival_ns(&self) -> u64 {
        let at = now_ns().unwrap_or(0) + way(self.from.machine, self.to.machine).travel_ns();
        let at = at.max(self.last_ns.get());
        self.last_ns.set(at);
        at
    }

    fn end(&self) {
        if self.ended_ns.get().is_none() {
            self.ended_ns.set(Some(self.arrival_ns()));
        }
        self.wake();
    }

    fn break_off(&self) {
        self.reset.set(true);
        self.wake();
    }
}

impl Way {
    fn travel_ns(&self) -> u64 {
        let spread = self.delay_us_max.saturating_sub(self.delay_us_min);
        let mut us = self.delay_us_min + below(spread + 1);
        if below(1000) < self.loss_permille {
            us += AGAIN_US * (1 + below(3));
        }
        us * 1000
    }
}

/// The way from one machine to another as it is now.
pub fn way(from: u64, to: u64) -> Way {
    let ways = world().net.ways.borrow();
    ways.get(&(from, to)).copied().unwrap_or_default()
}

/// Changes the way from one machine to another.
pub fn set_way(from: u64, to: u64, way: Way) {
    world().net.ways.borrow_mut().insert((from, to), way);
    for pipe in pipes(|pipe| pipe.from.machine == from && pipe.to.machine == to) {
        pipe.wake();
    }
}

/// Breaks every connection between two machines.
pub fn break_between(one: u64, other: u64) {
    let between = |pipe: &Pipe| {
        let (from, to) = (pipe.from.machine, pipe.to.machine);
        (from, to) == (one, other) || (from, to) == (other, one)
    };
    for pipe in pipes(between) {
        pipe.break_off();
    }
}

/// A machine that was gone is back: it knows nothing of its connections of before.
pub fn machine_is_back(machine: u64) {
    for pipe in pipes(|pipe| pipe.unheard.get() && pipe.to.machine == machine) {
        pipe.break_off();
    }
    for pipe in pipes(|pipe| pipe.unheard.get() && pipe.from.machine == machine) {
        pipe.break_off();
    }
}

pub(super) fn process_ended(process: Process, silently: bool) {
    let ports: BTreeMap<_, _> = {
        let mut listeners = world().net.listeners.borrow_mut();
        let (ended, left) = std::mem::take(&mut *listeners)
            .into_iter()
            .partition(|(_, port)| port.owner == process);
        *listeners = left;
        ended
    };
    drop(ports);
    for pipe in pipes(|pipe| pipe.from == process || pipe.to == process) {
        if silently {
            pipe.unheard.set(true);
        } else if pipe.from == process {
            pipe.end();
        } else {
            pipe.break_off();
        }
    }
}

fn pipes(select: impl Fn(&Pipe) -> bool) -> Vec<Rc<Pipe>> {
    let pipes = world().net.pipes.borrow();
    let alive = pipes.iter().filter_map(std::rc::Weak::upgrade);
    alive.filter(|pipe| select(pipe)).collect()
}

/// One connection. Clones share it.
#[derive(Clone)]
pub struct Stream(Rc<Ends>);

struct Ends {
    outgoing: Rc<Pipe>,
    incoming: Rc<Pipe>,
    peer: SocketAddr,
    shut: Cell<bool>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        if super::active().is_some() {
            self.close();
        }
    }
}

impl Ends {
    fn close(&self) {
        // A machine that is gone closes nothing.
        if !self.shut.replace(true) && !self.incoming.unheard.get() {
            self.outgoing.end();
            self.incoming.wake();
        }
    }
}

impl Stream {
    fn new(outgoing: &Rc<Pipe>, incoming: &Rc<Pipe>, peer: SocketAddr) -> Stream {
        Stream(Rc::new(Ends {
            outgoing: outgoing.clone(),
            incoming: incoming.clone(),
            peer,
            shut: Cell::new(false),
        }))
    }

    /// # Errors
    /// Where nobody listens. No answer at all where the way is cut or the machine gone.
    pub async fn connect(address: SocketAddr) -> io::Result<Stream> {
        let (me, machine) = (current(), machine_of(address));
        travel(me.machine, machine).await;
        let port = world().net.listeners.borrow().get(&address).cloned();
        travel(machine, me.machine).await;
        let Some(port) = port.filter(|port| !port.closed.get()) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let (there, back) = (Pipe::new(me, port.owner), Pipe::new(port.owner, me));
        let accepted = Stream::new(&back, &there, address_of(me.machine));
        port.waiting.borrow_mut().push_back(accepted);
        if let Some(acceptor) = port.acceptor.take() {
            acceptor.wake();
        }
        Ok(Stream::new(&there, &back, address))
    }

    /// # Errors
    /// None.
    pub fn set_patience(&self, _silence: Duration) -> io::Result<()> {
        Ok(())
    }

    /// # Errors
    /// Where the connection broke.
    pub async fn receive(&self, buffer: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        let mut buffer = buffer;
        loop {
            match self.try_receive(&mut buffer) {
                Next::Came(result) => return (result, buffer),
                Next::At(None) => {
                    let mut waited = false;
                    poll_fn(|context| {
                        if std::mem::replace(&mut waited, true) {
                            return Poll::Ready(());
                        }
                        *self.0.incoming.reader.borrow_mut() = Some(context.waker().clone());
                        Poll::Pending
                    })
                    .await;
                }
                Next::At(Some(ns)) => {
                    let left = ns.saturating_sub(now_ns().unwrap_or(0));
                    let pause = std::pin::pin!(exactly(left));
                    let mut waited = false;
                    let changed = std::pin::pin!(poll_fn(|context| {
                        if std::mem::replace(&mut waited, true)
                            && self.0.incoming.reader.borrow().is_none()
                        {
                            return Poll::Ready(());
                        }
                        *self.0.incoming.reader.borrow_mut() = Some(context.waker().clone());
                        Poll::Pending
                    }));
                    select(pause, changed).await;
                }
            }
        }
    }

    fn try_receive(&self, buffer: &mut [u8]) -> Next {
        let pipe = &self.0.incoming;
        if pipe.reset.get() {
            return Next::Came(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.0.shut.get() {
            return Next::Came(Ok(0));
        }
        if way(pipe.from.machine, pipe.to.machine).is_cut {
            return Next::At(None);
        }
        let now = now_ns().unwrap_or(0);
        let mut pieces = pipe.pieces.borrow_mut();
        let Some((at, piece)) = pieces.front_mut() else {
            return match pipe.ended_ns.get() {
                Some(at) if at <= now => Next::Came(Ok(0)),
                at => Next::At(at),
            };
        };
        if *at > now {
            return Next::At(Some(*at));
        }
        let count = piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&piece[..count]);
        if count == piece.len() {
            pieces.pop_front();
        } else {
            piece.drain(..count);
        }
        drop(pieces);
        pipe.bytes.set(pipe.bytes.get() - count);
        if let Some(writer) = pipe.writer.take() {
            writer.wake();
        }
        Next::Came(Ok(count))
    }

    /// # Errors
    /// Where the connection broke. Any part may have been sent.
    pub async fn send(&self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        let pipe = &self.0.outgoing;
        let sent = poll_fn(|context| {
            if pipe.reset.get() || self.0.shut.get() || pipe.ended_ns.get().is_some() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if pipe.bytes.get() > PIPE_BYTES_MAX {
                *pipe.writer.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await;
        if sent.is_ok() && !bytes.is_empty() {
            // Some pieces come in two.
            let cut = match below(8) {
                0 => 1 + below(bytes.len() as u64) as usize,
                _ => bytes.len(),
            };
            for piece in [&bytes[..cut], &bytes[cut..]] {
                if !piece.is_empty() {
                    let piece = (pipe.arrival_ns(), piece.to_vec());
                    pipe.pieces.borrow_mut().push_back(piece);
                }
            }
            pipe.bytes.set(pipe.bytes.get() + bytes.len());
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
        }
        (sent, bytes)
    }

    pub fn shutdown(&self) {
        self.0.close();
    }

    pub fn peer(&self) -> Option<SocketAddr> {
        Some(self.0.peer)
    }
}

enum Next {
    Came(io::Result<usize>),
    /// Nothing before this time, as far as is known.
    At(Option<u64>),
}

/// Machine n is reached at 10.0.0.n.
fn machine_of(address: SocketAddr) -> u64 {
    match address.ip() {
        IpAddr::V4(ip) => u64::from(ip.octets()[3]),
        IpAddr::V6(_) => 0,
    }
}

fn address_of(machine: u64) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, machine as u8], 1))
}

/// Takes a word from one machine to another, when the way is open.
async fn travel(from: u64, to: u64) {
    exactly(way(from, to).travel_ns()).await;
    while way(from, to).is_cut {
        exactly(AGAIN_US * 1000).await;
    }
}

async fn exactly(ns: u64) {
    let mut sleep = Sleep::new(Duration::ZERO);
    sleep.until_ns = now_ns().unwrap_or(0) + ns;
    sleep.await;
}

/// A socket that peers connect to. Clones share it.
#[derive(Clone)]
pub struct Listener(SocketAddr, Rc<Port>);

impl Listener {
    /// # Errors
    /// `AddrInUse`.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let mut listeners = world().net.listeners.borrow_mut();
        if listeners.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let port = Rc::new(Port {
            owner: current(),
            waiting: RefCell::default(),
            acceptor: RefCell::new(None),
            closed: Cell::new(false),
        });
        listeners.insert(address, port.clone());
        Ok(Listener(address, port))
    }

    /// # Errors
    /// None.
    pub fn address(&self) -> io::Result<SocketAddr> {
        Ok(self.0)
    }

    /// # Errors
    /// Once it was closed.
    pub async fn accept(&self) -> io::Result<Stream> {
        poll_fn(|context| {
            if self.1.closed.get() {
                return Poll::Ready(Err(io::ErrorKind::InvalidInput.into()));
            }
            match self.1.waiting.borrow_mut().pop_front() {
                Some(stream) => Poll::Ready(Ok(stream)),
                None => {
                    *self.1.acceptor.borrow_mut() = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    pub fn close(&self) {
        self.1.closed.set(true);
        world().net.listeners.borrow_mut().remove(&self.0);
        if let Some(acceptor) = self.1.acceptor.take() {
            acceptor.wake();
        }
    }
}

/// # Errors
/// Where `host` is no address: there are no names.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let address = host.parse().map_err(io::Error::other)?;
    Ok(vec![SocketAddr::new(address, port)])
}

/// What `future` gives, if it takes no longer than `duration`.
pub async fn within<T>(duration: Duration, future: impl Future<Output = T>) -> Option<T> {
    let future = std::pin::pin!(future);
    let timer = std::pin::pin!(Sleep::new(duration));
    match select(future, timer).await {
        Either::Left((value, _timer)) => Some(value),
        Either::Right(_) => None,
    }
}

//! The transport: one port, lanes to every peer.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::LocalBoxFuture;

use super::channel::{PeerCertificates, Tls};
use super::counters::{Counters, TransportCounters};
use super::lane::{Kind, Lane};
use super::link::{Link, Own, Target, Waiting, answered};
use super::receiving::Receiver;
use super::{CallError, PeerHandler};
use crate::address::NodeAddress;
use crate::error::Fatal;
use crate::limits::PEER_SWEEP_MS;
use crate::raft::Group;
use crate::raft::types::Vote;
use crate::rt::net::{self, Listener, Stream};

/// What a node's transport needs to know.
#[derive(Debug, Clone)]
pub struct TransportOptions {
    /// This node.
    pub node_id: u64,
    /// The host, a name or an address, at which peers reach this node.
    pub bind: String,
    /// 0: any free one ([`Transport::peer_port`] tells).
    pub peer_port: u16,
    /// What all nodes of the cluster know and nobody else does. May be empty.
    pub secret: Vec<u8>,
    /// Secures connections by TLS, at both ends of each. Beside the secret, not in its place.
    pub certificates: Option<PeerCertificates>,
    /// The folder on whose disk a checkpoint lies that is being received, without a name.
    pub scratch: PathBuf,
}

/// Carries requests between this node and its peers. Lives on one executor, that of its group;
/// clones share it.
#[derive(Clone)]
pub struct Transport(pub(super) Rc<Shared>);

pub(super) struct Shared {
    pub own: Rc<Own>,
    listener: RefCell<Option<Listener>>,
    peer_port: u16,
    links: RefCell<HashMap<Target, Rc<Link>>>,
    pub serving: RefCell<Option<Serving>>,
    /// Connections from peers, by number.
    pub accepted: RefCell<HashMap<u64, Stream>>,
    pub accepted_next: Cell<u64>,
    /// Those of them that have not yet shown that they know the secret.
    pub strangers: Cell<usize>,
    pub receiver: Rc<Receiver>,
    pub checkpoint_bytes_per_second: Cell<u64>,
    stopping: Cell<bool>,
    /// Tasks that hold the port or a peer's connection, and who waits for their end.
    running: Cell<usize>,
    stopped: RefCell<Option<Waker>>,
}

/// Who answers what peers ask.
#[derive(Clone)]
pub(super) struct Serving {
    pub group: Group,
    pub handler: Rc<dyn PeerHandler>,
    /// The vote under which an append was answered last: it is on disk.
    pub kept_vote: Rc<Cell<Option<Vote>>>,
    /// The last entry that [`Bug::AcknowledgeBeforeCommit`](crate::rt::sim::Bug) acknowledged.
    #[cfg(feature = "sim")]
    pub acknowledged_early: Rc<Cell<Option<u64>>>,
}

impl Transport {
    /// Listens, on an executor whose core has a [`Ring`](crate::rt::Ring). Nothing is served until
    /// [`serve`](Transport::serve): peers that ask before are told to come again.
    ///
    /// # Errors
    /// [`Fatal::Setup`] where the port cannot be had or the certificates cannot be used.
    pub async fn listen(options: TransportOptions) -> Result<Transport, Fatal> {
        let tls = options.certificates.as_ref().map(Tls::read).transpose();
        let tls = tls.map_err(|error| Fatal::Setup(format!("TLS between nodes: {error}")))?;
        let (host, port) = (&options.bind, options.peer_port);
        let setup =
            |error| Fatal::Setup(format!("cannot listen for peers at {host}:{port}: {error}"));
        let found = net::resolve(host, port).await.map_err(setup)?;
        let nowhere = || std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
        let address = found.first().ok_or_else(nowhere).map_err(setup)?;
        let listener = Listener::bind(*address).map_err(setup)?;
        let peer_port = listener.address().map_err(setup)?.port();
        let counters = Rc::new(Counters::default());
        let transport = Transport(Rc::new(Shared {
            receiver: Receiver::new(options.scratch, counters.clone()),
            own: Rc::new(Own {
                node_id: options.node_id,
                secret: options.secret,
                tls,
                counters,
            }),
            listener: RefCell::new(Some(listener.clone())),
            peer_port,
            links: RefCell::default(),
            serving: RefCell::default(),
            accepted: RefCell::default(),
            accepted_next: Cell::new(0),
            strangers: Cell::new(0),
            checkpoint_bytes_per_second: Cell::new(0),
            stopping: Cell::new(false),
            running: Cell::new(0),
            stopped: RefCell::new(None),
        }));
        crate::rt::spawn(super::serving::accept(transport.0.clone(), listener));
        crate::rt::spawn(look_after(transport.0.clone()));
        Ok(transport)
    }

    /// Where it listens.
    pub fn peer_port(&self) -> u16 {
        self.0.peer_port
    }

    /// From now on serves the group's requests, and `handler` those of other nodes.
    pub fn serve(&self, group: &Group, handler: Rc<dyn PeerHandler>) {
        *self.0.serving.borrow_mut() = Some(Serving {
            group: group.clone(),
            handler,
            kept_vote: Rc::default(),
            #[cfg(feature = "sim")]
            acknowledged_early: Rc::default(),
        });
    }

    /// One request to a node by its address, also before ids are known. Requests to one address
    /// arrive in the order of the calls. The future need not be polled for the request to leave;
    /// dropping it drops the answer.
    ///
    /// # Errors
    /// [`CallError`] says whether the request may have arrived. While the node cannot be reached it
    /// is refused at once: trying again is the caller's.
    pub fn call(
        &self,
        to: &NodeAddress,
        request: Bytes,
    ) -> LocalBoxFuture<'static, Result<Bytes, CallError>> {
        let target = Target {
            id: 0,
            address: to.clone(),
            lane: Lane::Node,
        };
        let requested = self.request(target, Kind::Call, |out| out.extend_from_slice(&request));
        Box::pin(answered(requested))
    }

    /// What it has seen.
    pub fn counters(&self) -> TransportCounters {
        self.0.own.counters.read()
    }

    /// Sends checkpoints no faster than this from the next chunk on; 0: as fast as they go.
    pub fn set_checkpoint_bytes_per_second(&self, bytes_per_second: u64) {
        self.0.checkpoint_bytes_per_second.set(bytes_per_second);
    }

    /// Ends every connection and listens no more. What waits for an answer fails. The port is free
    /// once this resolves.
    pub async fn stop(&self) {
        self.0.stopping.set(true);
        if let Some(listener) = self.0.listener.borrow_mut().take() {
            listener.close();
        }
        let links = std::mem::take(&mut *self.0.links.borrow_mut());
        links.values().for_each(|link| link.close());
        let accepted = std::mem::take(&mut *self.0.accepted.borrow_mut());
        accepted.values().for_each(Stream::shutdown);
        // The group holds this transport: without this neither would ever be gone.
        self.0.serving.borrow_mut().take();
        self.0.receiver.forget();
        poll_fn(|context| match self.0.running.get() {
            0 => Poll::Ready(()),
            _ => {
                *self.0.stopped.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await;
    }

    pub(super) fn request(
        &self,
        target: Target,
        kind: Kind,
        write_payload: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Waiting, CallError> {
        if self.0.is_stopping() {
            return Err(CallError::NotSent("this node is stopping".into()));
        }
        let mut links = self.0.links.borrow_mut();
        let link = match links.get(&target) {
            Some(link) => link.clone(),
            None => {
                let link = Link::new(self.0.own.clone(), target.clone());
                links.insert(target, link.clone());
                link
            }
        };
        drop(links);
        link.request(kind, write_payload)
    }
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }
}

/// Counts a task until it ends.
pub(super) struct Running(Rc<Shared>);

impl Running {
    pub(super) fn new(shared: &Rc<Shared>) -> Self {
        shared.running.set(shared.running.get() + 1);
        Running(shared.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.set(self.0.running.get() - 1);
        if self.0.running.get() == 0
            && let Some(stopped) = self.0.stopped.borrow_mut().take()
        {
            stopped.wake();
        }
    }
}

/// Closes connections that are dead or not needed, until the transport stops.
async fn look_after(shared: Rc<Shared>) {
    while !shared.is_stopping() {
        crate::rt::sleep(Duration::from_millis(PEER_SWEEP_MS)).await;
        let now = Instant::now();
        let mut links = shared.links.borrow_mut();
        links.retain(|_, link| !link.look_after(now));
        drop(links);
        shared.receiver.look_after(now);
    }
}

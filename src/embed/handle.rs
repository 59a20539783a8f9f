//! What an application holds of its node.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::task::{Context, Poll};

use crate::command::Spec;
use crate::config::Consistency;
use crate::node::{ClusterView, Event, Layout};
use crate::slot::{shard_of, slot_of};

use super::builder::Builder;
use super::call::{Call, Origin};
use super::ending::{Ending, Progress};
use super::error::Error;
use super::lane::Lane;
use super::published::Published;
use super::request::Request;
use super::session::Session;
use super::wait;

/// A node that runs inside this process: an engine of its own cores, log and data, alone or as a
/// member of a cluster.
///
/// A handle, cheap to clone and usable from any thread. When the last one is dropped, and the last
/// [`Session`], the node is asked to stop; [`Node::stop`] also tells when it has.
#[derive(Clone)]
pub struct Node(Arc<Shared>);

struct Shared {
    /// By core.
    lanes: Vec<Arc<Lane>>,
    layout: Layout,
    events: Sender<Event>,
    progress: Arc<Progress>,
    published: Arc<Published>,
    /// Shares out what may go to any core.
    shard_next: AtomicUsize,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // It has stopped by itself when nobody listens.
        let _ = self.events.send(Event::StopAsked);
    }
}

impl Node {
    /// Begins to describe a node.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(super) fn new(
        lanes: Vec<Arc<Lane>>,
        layout: Layout,
        events: Sender<Event>,
        progress: Arc<Progress>,
        published: Arc<Published>,
    ) -> Node {
        Node(Arc::new(Shared {
            lanes,
            layout,
            events,
            progress,
            published,
            shard_next: AtomicUsize::new(0),
        }))
    }

    /// A command with its arguments, its name first: any that a server has, but those that mean a
    /// connection (`QUIT`, `CLIENT REPLY`), the process (`SHUTDOWN`) or a [`Session`] (`MULTI`,
    /// `SELECT`, ..).
    ///
    /// Calls that are under way at the same time stand in no order to each other; one that was
    /// made when another had been answered comes behind it, also from another node at
    /// `linearizable`. O(bytes of the arguments) here, and what the command costs on its core.
    pub fn execute<I>(&self, args: I) -> Call
    where
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let checked = Request::new(args).and_then(|request| {
            let spec = request.check(false)?;
            Ok((request, spec))
        });
        match checked {
            Ok((request, spec)) => {
                let lane = self.lane_of(&request, spec).clone();
                Call::new(Origin::Lane(lane), request)
            }
            Err(error) => Call::refused(error),
        }
    }

    /// Where the command's key lies, so that a read need not go on to another core.
    fn lane_of(&self, request: &Request, spec: Option<&Spec>) -> &Arc<Lane> {
        let shards = self.0.layout.shards;
        let shard = match spec {
            _ if shards == 1 => 0,
            Some(spec) if spec.is_single_key() => shard_of(slot_of(request.args().get(1)), shards),
            _ => self.next_shard(),
        };
        &self.0.lanes[self.0.layout.core_of(shard)]
    }

    fn next_shard(&self) -> usize {
        self.0.shard_next.fetch_add(1, Ordering::Relaxed) % self.0.layout.shards
    }

    /// Begins a session: calls in order, transactions, levels of their own.
    pub fn session(&self) -> Session {
        let core = self.0.layout.core_of(self.next_shard());
        Session::new(self.clone(), self.0.lanes[core].clone())
    }

    /// Waits until the cluster answers through this node: it has its data, is reached by a leader
    /// (or leads), and a read at `linearizable` works. However long that takes.
    pub fn ready(&self) -> Ready {
        Ready {
            call: self.probe(),
            node: self.clone(),
        }
    }

    fn probe(&self) -> Call {
        self.execute(["DBSIZE"]).at(Consistency::Linearizable)
    }

    /// Whether this node leads, and a quorum hears it, as it knew a moment ago. For decisions that
    /// must not be made twice, write something instead.
    pub fn is_leader(&self) -> bool {
        self.0.published.leads()
    }

    /// How this node saw its cluster at most some 100 ms ago: its own id and role, the leader, the
    /// members with their addresses. The role is `Down` once it has stopped.
    pub fn cluster(&self) -> ClusterView {
        self.0.published.view()
    }

    /// Stops the node. Calls not yet taken by their core are refused; those under way have two
    /// seconds to end; further ones are refused. Every future resolves. What was acknowledged stays
    /// in its directory, from where a node may be started again once the [`Ending`] has resolved.
    pub fn stop(&self) -> Ending {
        // It has stopped already when nobody listens.
        let _ = self.0.events.send(Event::StopAsked);
        self.ended()
    }

    /// The node's end, of whatever cause: how an application learns that it failed.
    pub fn ended(&self) -> Ending {
        Ending::of(self.0.progress.clone())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("layout", &self.0.layout)
            .finish_non_exhaustive()
    }
}

/// A node's readiness ([`Node::ready`]): a future of any executor, or [waited for](Ready::wait) by
/// a thread.
///
/// # Errors
/// [`Error::Stopped`] where the node has stopped or failed.
///
/// # Cancel safety
/// Dropping it changes nothing for the node.
#[must_use = "nothing is waited for until it is awaited"]
pub struct Ready {
    node: Node,
    call: Call,
}

impl Ready {
    /// Waits for it on this thread.
    ///
    /// # Errors
    /// See [`Ready`].
    pub fn wait(self) -> Result<(), Error> {
        wait::wait(self)
    }
}

impl Future for Ready {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let error = match Pin::new(&mut self.call).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => error,
            };
            // The engine has waited for a leader as long as it does: again. Where the node has
            // stopped meanwhile, the next probe says so.
            let again = error.text().starts_with("CLUSTERDOWN");
            if !again && !matches!(error, Error::Uncertain(_)) {
                let ended = self.node.0.progress.ended();
                let why = ended.and_then(Result::err).unwrap_or(error);
                return Poll::Ready(Err(why));
            }
            self.call = self.node.probe();
        }
    }
}

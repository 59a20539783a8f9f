//! A network between the groups of one executor, that can be cut.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::rc::Rc;

use openraft::Raft;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use crate::raft::Group;
use crate::raft::machine::Machine;
use crate::raft::network::{Answer, Checkpoint, Peer, Peers};
use crate::raft::types::{Types, Vote};

type Node = Raft<Types, Machine>;

/// All nodes, and who is cut off from the others.
#[derive(Default)]
pub struct Lan {
    nodes: RefCell<HashMap<u64, Node>>,
    cut: RefCell<HashSet<u64>>,
}

impl Lan {
    pub fn new() -> Rc<Self> {
        Rc::new(Self::default())
    }

    /// The network as node `id` sees it.
    pub fn port(self: &Rc<Self>, id: u64) -> Rc<Port> {
        Rc::new(Port {
            id,
            lan: self.clone(),
        })
    }

    pub fn connect(&self, id: u64, group: &Group) {
        self.nodes.borrow_mut().insert(id, group.raft.clone());
    }

    pub fn cut(&self, id: u64) {
        self.cut.borrow_mut().insert(id);
    }

    pub fn heal(&self, id: u64) {
        self.cut.borrow_mut().remove(&id);
    }

    fn route(&self, from: u64, to: u64) -> io::Result<Node> {
        let cut = self.cut.borrow();
        let node = self.nodes.borrow().get(&to).cloned();
        node.filter(|_| !cut.contains(&from) && !cut.contains(&to))
            .ok_or_else(|| io::Error::from(io::ErrorKind::HostUnreachable))
    }
}

pub struct Port {
    id: u64,
    lan: Rc<Lan>,
}

impl Port {
    /// Both ways have to be open: a cut while the other side works loses the answer.
    fn call<T, E, F>(&self, to: &Peer, request: impl FnOnce(Node) -> F + 'static) -> Answer<T>
    where
        T: 'static,
        E: std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + 'static,
    {
        let (lan, from, to) = (self.lan.clone(), self.id, to.id);
        Box::pin(async move {
            let node = lan.route(from, to)?;
            let answer = request(node)
                .await
                .map_err(|error| io::Error::other(error.to_string()));
            lan.route(from, to)?;
            answer
        })
    }
}

impl Peers for Port {
    fn append(
        &self,
        to: &Peer,
        request: AppendEntriesRequest<Types>,
    ) -> Answer<AppendEntriesResponse<Types>> {
        self.call(to, |node| async move { node.append_entries(request).await })
    }

    fn vote(&self, to: &Peer, request: VoteRequest<Types>) -> Answer<VoteResponse<Types>> {
        self.call(to, |node| async move { node.vote(request).await })
    }

    fn pre_vote(&self, to: &Peer, request: VoteRequest<Types>) -> Answer<VoteResponse<Types>> {
        self.call(to, |node| async move { node.pre_vote(request).await })
    }

    fn install(
        &self,
        to: &Peer,
        vote: Vote,
        checkpoint: Checkpoint,
    ) -> Answer<SnapshotResponse<Types>> {
        self.call(to, move |node| async move {
            node.install_full_snapshot(vote, checkpoint).await
        })
    }

    fn transfer(
        &self,
        to: &Peer,
        request: TransferLeaderRequest<Types>,
    ) -> Answer<TransferLeaderResponse<Types>> {
        self.call(to, |node| async move {
            node.handle_transfer_leader(request).await
        })
    }
}

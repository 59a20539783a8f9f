//! How nodes reach each other: openraft's requests over one trait object.
//!
//! A transport implements [`Peers`]; openraft sees a [`Network`] that makes a client for each
//! peer. Every client is cheap and shares the transport.
//!
//! Not done here: a wire format and a real transport. They come with the cluster.

mod frame;

use std::future::Future;
use std::io;
use std::rc::Rc;

use futures::future::{Either, LocalBoxFuture, select};
use openraft::RaftNetworkFactory;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{RPCOption, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot;

use super::applier::Chunks;
use super::types::{LeaderId, Types, Vote};

/// A checkpoint with its content, on its way to a peer.
pub(super) type Checkpoint = Snapshot<LeaderId, u64, BasicNode, Chunks>;

/// A peer's answer, or why there is none.
pub(super) type Answer<T> = LocalBoxFuture<'static, io::Result<T>>;

/// Carries requests to other nodes. Requests to one node arrive in the order they were made.
pub(super) trait Peers {
    fn append(
        &self,
        to: &Peer,
        request: AppendEntriesRequest<Types>,
    ) -> Answer<AppendEntriesResponse<Types>>;

    fn vote(&self, to: &Peer, request: VoteRequest<Types>) -> Answer<VoteResponse<Types>>;

    /// Asks whether `vote` would be granted, without anybody keeping a vote.
    fn pre_vote(&self, to: &Peer, request: VoteRequest<Types>) -> Answer<VoteResponse<Types>>;

    fn install(
        &self,
        to: &Peer,
        vote: Vote,
        checkpoint: Checkpoint,
    ) -> Answer<SnapshotResponse<Types>>;

    fn transfer(
        &self,
        to: &Peer,
        request: TransferLeaderRequest<Types>,
    ) -> Answer<TransferLeaderResponse<Types>>;
}

/// A node to reach.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub id: u64,
    pub address: String,
}

/// The transport of a group that has no peers: nobody can be reached.
pub(super) struct NoPeers;

impl NoPeers {
    fn unreachable<T: 'static>(to: &Peer) -> Answer<T> {
        let text = format!(
            "node {} at {}: this node has no transport",
            to.id, to.address
        );
        Box::pin(async { Err(io::Error::new(io::ErrorKind::NotConnected, text)) })
    }
}

impl Peers for NoPeers {
    fn append(
        &self,
        to: &Peer,
        _request: AppendEntriesRequest<Types>,
    ) -> Answer<AppendEntriesResponse<Types>> {
        Self::unreachable(to)
    }

    fn vote(&self, to: &Peer, _request: VoteRequest<Types>) -> Answer<VoteResponse<Types>> {
        Self::unreachable(to)
    }

    fn pre_vote(&self, to: &Peer, _request: VoteRequest<Types>) -> Answer<VoteResponse<Types>> {
        Self::unreachable(to)
    }

    fn install(
        &self,
        to: &Peer,
        _vote: Vote,
        _checkpoint: Checkpoint,
    ) -> Answer<SnapshotResponse<Types>> {
        Self::unreachable(to)
    }

    fn transfer(
        &self,
        to: &Peer,
        _request: TransferLeaderRequest<Types>,
    ) -> Answer<TransferLeaderResponse<Types>> {
        Self::unreachable(to)
    }
}

/// Makes openraft's clients.
pub(super) struct Network(pub Rc<dyn Peers>);

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Client {
        Client {
            peers: self.0.clone(),
            to: Peer {
                id: target,
                address: node.addr.clone(),
            },
        }
    }
}

/// One peer as openraft sees it.
pub(super) struct Client {
    peers: Rc<dyn Peers>,
    to: Peer,
}

fn unreachable(error: io::Error) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&error))
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = Chunks;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.peers
            .append(&self.to, request)
            .await
            .map_err(unreachable)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.peers
            .vote(&self.to, request)
            .await
            .map_err(unreachable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.peers
            .pre_vote(&self.to, request)
            .await
            .map_err(unreachable)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Checkpoint,
        cancel: impl Future<Output = ReplicationClosed> + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let installed = self.peers.install(&self.to, vote, snapshot);
        match select(installed, Box::pin(cancel)).await {
            Either::Left((answer, _)) => {
                answer.map_err(|error| StreamingError::Unreachable(Unreachable::new(&error)))
            }
            Either::Right((closed, _)) => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.peers
            .transfer(&self.to, request)
            .await
            .map_err(unreachable)
    }
}

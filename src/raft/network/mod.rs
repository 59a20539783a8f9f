//! How nodes reach each other: openraft's requests, and nodes' own, over TCP.
//!
//! ```text
//! openraft -> Network/Client -> Pipeline (appends in flight) -> Peers
//! Transport: Peers -> Link (a lane to one node) -> Outbox -> socket
//!            socket -> Reader -> Session (serving) -> the group, a PeerHandler, the Receiver
//! ```
//!
//! A node listens at one port. To each peer it makes up to four connections, one a [`lane`], so
//! that votes and heartbeats wait behind nothing; requests go from the side that connected, answers
//! come back. Each begins with a [`handshake`] by which both show that they know the cluster's
//! secret.
//!
//! Invariants
//! - Requests on one lane to one node arrive in the order they were made, or not at all.
//! - A request ends as answered, as refused, as surely not sent, or as unanswered: then it may have
//!   been served.
//! - Nothing is believed of a connection before its handshake, and nothing of a frame before its
//!   checksum. No bytes make this node panic, or take more memory than came.
//! - An append is answered once it is on disk, a heartbeat once it was heard.
//! - A checkpoint reaches the group when it is whole, and not before.
//! - Every queue has a bound: bytes to a node, requests in flight, requests served, strangers.
//!
//! Not done here: repeating requests (openraft does, and whoever calls), finding nodes
//! (`discovery/`), and noticing that certificates were renewed (a node reads them at its start).

mod addresses;
mod answered;
mod channel;
mod connection;
mod counters;
mod frame;
mod handshake;
mod lane;
mod link;
mod peers;
mod pipeline;
mod receiving;
#[cfg(test)]
mod secured_tests;
mod sending;
mod serving;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;

use bytes::Bytes;
use futures::future::{Either, LocalBoxFuture, select};
use futures::{Stream, StreamExt};
use openraft::RaftNetworkFactory;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::BasicNode;
use openraft::network::{RPCOption, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::storage::Snapshot;

use super::applier::Chunks;
use super::types::{LeaderId, Types, Vote};
use pipeline::Pipeline;

pub use channel::PeerCertificates;
pub use counters::TransportCounters;
pub use transport::{Transport, TransportOptions};

/// Why a call to a node brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallError {
    /// The request did not leave this node: it was surely not served.
    NotSent(String),
    /// No answer came: it may have been served.
    Unanswered(String),
    /// The node says no, and why: as its [`PeerHandler`] has it.
    Refused(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NotSent(why) => write!(f, "not sent: {why}"),
            CallError::Unanswered(why) => write!(f, "no answer: {why}"),
            CallError::Refused(why) => write!(f, "refused: {why}"),
        }
    }
}

impl std::error::Error for CallError {}

/// Answers what other nodes ask of this one.
pub trait PeerHandler {
    /// A request of node `from`. The call itself runs in the order of arrival and must not wait;
    /// its future may take its time, and goes on when the asking side is gone.
    ///
    /// # Errors
    /// The text that the asking side gets in [`CallError::Refused`].
    fn call(&self, from: u64, request: Bytes) -> LocalBoxFuture<'static, Result<Bytes, String>>;
}

pub(super) use addresses::Addresses;
pub(super) use answered::{Answered, Mark};

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

    /// An append without entries, by which a leader tells that it is there. It may be answered
    /// before what was accepted is on disk, and does not wait behind appends.
    fn heartbeat(
        &self,
        to: &Peer,
        request: AppendEntriesRequest<Types>,
    ) -> Answer<AppendEntriesResponse<Types>> {
        self.append(to, request)
    }

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
pub(super) struct Network {
    pub peers: Rc<dyn Peers>,
    pub addresses: Addresses,
    pub answered: Answered,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &BasicNode) -> Client {
        Client {
            peers: self.peers.clone(),
            addresses: self.addresses.clone(),
            answered: self.answered.clone(),
            first: Peer {
                id: target,
                address: node.addr.clone(),
            },
        }
    }
}

/// The answers to a stream of appends.
type Appended<'s> = BoxStream<'s, Result<StreamAppendResult<Types>, RPCError<Types>>>;

/// One peer as openraft sees it.
pub(super) struct Client {
    peers: Rc<dyn Peers>,
    addresses: Addresses,
    answered: Answered,
    /// The peer where it was when this client was made.
    first: Peer,
}

impl Client {
    /// The peer where it is now.
    fn to(&self) -> Peer {
        let id = self.first.id;
        match self.addresses.get(id) {
            Some(address) => Peer { id, address },
            None => self.first.clone(),
        }
    }
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
            .append(&self.to(), request)
            .await
            .map_err(unreachable)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<Appended<'s>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + Unpin + 'static,
    {
        let pipeline = Pipeline::new(self.peers.clone(), self.to(), self.answered.clone(), input);
        Box::pin(async { Ok(pipeline.boxed_local()) })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.peers
            .vote(&self.to(), request)
            .await
            .map_err(unreachable)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.peers
            .pre_vote(&self.to(), request)
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
        let installed = self.peers.install(&self.to(), vote, snapshot);
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
            .transfer(&self.to(), request)
            .await
            .map_err(unreachable)
    }
}

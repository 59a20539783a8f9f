//! openraft's requests over the transport.

use std::io;

use futures::future::FutureExt;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::lane::{Kind, Lane};
use super::link::{Target, answered};
use super::transport::Transport;
use super::{Answer, CallError, Checkpoint, Peer, Peers, sending};
use crate::raft::types::{Types, Vote};
use crate::raft::wire;

impl From<CallError> for io::Error {
    fn from(error: CallError) -> Self {
        io::Error::other(error.to_string())
    }
}

impl Transport {
    /// # Errors
    /// Where the peer's address is none.
    pub(super) fn target(&self, to: &Peer, lane: Lane) -> Result<Target, CallError> {
        let address = to.address.parse().map_err(CallError::NotSent)?;
        let id = to.id;
        Ok(Target { id, address, lane })
    }

    fn ask<T: 'static>(
        &self,
        to: &Peer,
        lane: Lane,
        kind: Kind,
        write: impl FnOnce(&mut Vec<u8>),
        read: fn(&[u8]) -> io::Result<T>,
    ) -> Answer<T> {
        let target = self.target(to, lane);
        let requested = target.and_then(|target| self.request(target, kind, write));
        let answer = answered(requested);
        answer
            .map(move |answer| read(&answer.map_err(io::Error::from)?))
            .boxed_local()
    }
}

impl Peers for Transport {
    fn append(
        &self,
        to: &Peer,
        request: AppendEntriesRequest<Types>,
    ) -> Answer<AppendEntriesResponse<Types>> {
        let write = |out: &mut Vec<u8>| wire::put_append(out, &request);
        self.ask(to, Lane::Entries, Kind::Append, write, wire::appended)
    }

    fn heartbeat(
        &self,
        to: &Peer,
        request: AppendEntriesRequest<Types>,
    ) -> Answer<AppendEntriesResponse<Types>> {
        let write = |out: &mut Vec<u8>| wire::put_append(out, &request);
        self.ask(to, Lane::Votes, Kind::Heartbeat, write, wire::appended)
    }

    fn vote(&self, to: &Peer, request: VoteRequest<Types>) -> Answer<VoteResponse<Types>> {
        let write = |out: &mut Vec<u8>| wire::put_ask(out, &request);
        self.ask(to, Lane::Votes, Kind::Vote, write, wire::voted)
    }

    fn pre_vote(&self, to: &Peer, request: VoteRequest<Types>) -> Answer<VoteResponse<Types>> {
        let write = |out: &mut Vec<u8>| wire::put_ask(out, &request);
        self.ask(to, Lane::Votes, Kind::PreVote, write, wire::voted)
    }

    fn install(
        &self,
        to: &Peer,
        vote: Vote,
        checkpoint: Checkpoint,
    ) -> Answer<SnapshotResponse<Types>> {
        let (transport, to) = (self.clone(), to.clone());
        Box::pin(async move { sending::send(&transport, &to, vote, checkpoint).await })
    }

    fn transfer(
        &self,
        to: &Peer,
        request: TransferLeaderRequest<Types>,
    ) -> Answer<TransferLeaderResponse<Types>> {
        let write = |out: &mut Vec<u8>| wire::put_transfer(out, &request);
        self.ask(to, Lane::Votes, Kind::Transfer, write, wire::transferred)
    }
}

/// A request's answer, read.
pub(super) async fn read_answer<T>(
    requested: Result<super::link::Waiting, CallError>,
    read: impl FnOnce(&[u8]) -> io::Result<T>,
) -> io::Result<T> {
    let answer = answered(requested).await?;
    read(&answer)
}

//! Peers' requests on their way into the core. Whoever receives them hands them over here, so that
//! a member that may not vote does not, and hears its leader.

use std::io;
use std::time::Instant;

use openraft::errors::RaftError;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};

use super::Group;
use crate::raft::types::Types;

impl Group {
    /// Entries, or a heartbeat, of a leader.
    pub(in crate::raft) async fn answer_append(
        &self,
        request: AppendEntriesRequest<Types>,
    ) -> Result<AppendEntriesResponse<Types>, RaftError<Types>> {
        let answer = self.raft.append_entries(request).await?;
        if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
            self.hear_leader();
        }
        Ok(answer)
    }

    /// A candidate's request for this node's vote.
    ///
    /// # Errors
    /// Where there is to be no answer.
    pub(in crate::raft) async fn answer_vote(
        &self,
        request: VoteRequest<Types>,
    ) -> io::Result<VoteResponse<Types>> {
        self.refuse_votes(self.conduct.votes_for(request.last_log_id))?;
        self.raft.vote(request).await.map_err(unanswered)
    }

    /// A future candidate's question whether it would get this node's vote.
    ///
    /// # Errors
    /// Where there is to be no answer.
    pub(in crate::raft) async fn answer_pre_vote(
        &self,
        request: VoteRequest<Types>,
    ) -> io::Result<VoteResponse<Types>> {
        self.refuse_votes(self.conduct.votes_for(request.last_log_id))?;
        self.raft.pre_vote(request).await.map_err(unanswered)
    }

    /// A leader's word that it leaves the lead to a node, this one or another.
    ///
    /// # Errors
    /// Where there is to be no answer.
    pub(in crate::raft) async fn answer_transfer(
        &self,
        request: TransferLeaderRequest<Types>,
    ) -> io::Result<TransferLeaderResponse<Types>> {
        if request.to_node_id() == self.raft.node_id() {
            self.refuse_votes(self.may_answer_votes())?;
        }
        let answer = self.raft.handle_transfer_leader(request).await;
        answer.map_err(unanswered)
    }

    fn refuse_votes(&self, may: bool) -> io::Result<()> {
        if may {
            return Ok(());
        }
        Err(io::Error::other("this node does not vote at present"))
    }

    /// A leader was obeyed, as by [`answer_append`](Group::answer_append): for who asks the core
    /// itself.
    pub(in crate::raft) fn hear_leader(&self) {
        self.conduct.leader_heard.set(Some(Instant::now()));
    }
}

fn unanswered(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

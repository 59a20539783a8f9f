//! Appends in flight: the next one leaves before the last is answered.

use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::{FutureExt, Stream, StreamExt};
use openraft::errors::RPCError;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
};

use super::answered::Sent;
use super::{Answer, Answered, Peer, Peers, unreachable};
use crate::limits::{PEER_APPEND_BYTES_IN_FLIGHT, PEER_APPENDS_IN_FLIGHT};
use crate::raft::types::{LogId, Types};
use crate::raft::wire;

/// The answers to the appends of `input`, in their order. Ends with the input, or behind the first
/// answer that is no success.
pub(super) struct Pipeline<S> {
    peers: Rc<dyn Peers>,
    to: Peer,
    answered: Answered,
    /// `None` once it has ended.
    input: Option<S>,
    in_flight: VecDeque<InFlight>,
    bytes_in_flight: usize,
    /// A heartbeat comes alone: its stream says that it holds one item.
    is_heartbeat: bool,
}

struct InFlight {
    sent: Sent,
    previous: Option<LogId>,
    last: Option<LogId>,
    bytes: usize,
    answer: Answer<AppendEntriesResponse<Types>>,
}

impl<S: Stream<Item = AppendEntriesRequest<Types>> + Unpin> Pipeline<S> {
    pub(super) fn new(peers: Rc<dyn Peers>, to: Peer, answered: Answered, input: S) -> Self {
        let is_heartbeat = input.size_hint() == (1, Some(1));
        Pipeline {
            peers,
            to,
            answered,
            input: Some(input),
            in_flight: VecDeque::new(),
            bytes_in_flight: 0,
            is_heartbeat,
        }
    }

    fn has_room(&self) -> bool {
        self.in_flight.len() < PEER_APPENDS_IN_FLIGHT
            && self.bytes_in_flight < PEER_APPEND_BYTES_IN_FLIGHT
    }

    fn begin(&mut self, request: AppendEntriesRequest<Types>) {
        let sent = self.answered.count();
        let previous = request.prev_log_id;
        let last = request.entries.last().map(|entry| entry.log_id);
        let bytes = request.entries.iter().map(wire::entry_bytes).sum();
        let answer = match self.is_heartbeat && request.entries.is_empty() {
            true => self.peers.heartbeat(&self.to, request),
            false => self.peers.append(&self.to, request),
        };
        self.bytes_in_flight += bytes;
        self.in_flight.push_back(InFlight {
            sent,
            previous,
            last: last.or(previous),
            bytes,
            answer,
        });
    }
}

impl<S: Stream<Item = AppendEntriesRequest<Types>> + Unpin> Stream for Pipeline<S> {
    type Item = Result<StreamAppendResult<Types>, RPCError<Types>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        while this.has_room()
            && let Some(input) = &mut this.input
        {
            match input.poll_next_unpin(context) {
                Poll::Ready(Some(request)) => this.begin(request),
                Poll::Ready(None) => this.input = None,
                Poll::Pending => break,
            }
        }
        let Some(first) = this.in_flight.front_mut() else {
            return match this.input {
                Some(_) => Poll::Pending,
                None => Poll::Ready(None),
            };
        };
        let Poll::Ready(answer) = first.answer.poll_unpin(context) else {
            return Poll::Pending;
        };
        let (sent, previous, last, bytes) = (first.sent, first.previous, first.last, first.bytes);
        this.in_flight.pop_front();
        this.bytes_in_flight -= bytes;
        let result = match answer {
            Ok(answer) => outcome(answer, previous, last),
            Err(error) => Err(unreachable(error)),
        };
        if matches!(result, Ok(Ok(_))) {
            this.answered.note(this.to.id, sent);
        } else {
            // What follows was made in the belief that this one would do.
            this.input = None;
            this.in_flight.clear();
        }
        Poll::Ready(Some(result))
    }
}

fn outcome(
    answer: AppendEntriesResponse<Types>,
    previous: Option<LogId>,
    last: Option<LogId>,
) -> Result<StreamAppendResult<Types>, RPCError<Types>> {
    match (answer, previous) {
        (AppendEntriesResponse::Success, _) => Ok(Ok(last)),
        (AppendEntriesResponse::PartialSuccess(upto), _) if upto >= previous && upto <= last => {
            Ok(Ok(upto))
        }
        (AppendEntriesResponse::Conflict, Some(previous)) => {
            Ok(Err(StreamAppendError::Conflict(previous)))
        }
        (AppendEntriesResponse::HigherVote(vote), _) => {
            Ok(Err(StreamAppendError::HigherVote(vote)))
        }
        // Nothing precedes the first entry, so nothing can conflict with it.
        (AppendEntriesResponse::Conflict | AppendEntriesResponse::PartialSuccess(_), _) => {
            let text = "an answer that does not fit what was sent";
            Err(unreachable(std::io::Error::other(text)))
        }
    }
}

//! What nodes say to each other about membership, and how the other nodes' calls are answered.
//!
//! | first byte of a call | then | answer |
//! |---|---|---|
//! | 3 hello | | 0, node id u64, 1 where it is a member of a cluster already, cluster id u64 or 0; older versions leave it out |
//! | 4 admit | node id u64, 1 where it has begun without data, its address | 0 it is a voter, or what is said in `relay` |
//! | 5 change | the words behind `RAFT` | 0, or what is said in `relay` |
//! | 9 log end | | 0, then term, leader and index of its last entry, u64 each, if it has one |
//!
//! Any other call is `relay`'s.

use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use futures::future::LocalBoxFuture;

use crate::address::NodeAddress;
use crate::log::Position;
use crate::raft::{Member, PeerHandler};

use super::cluster::{Cluster, NotChanged};
use super::relay;

pub(super) const HELLO: u8 = 3;
pub(super) const ADMIT: u8 = 4;
pub(super) const CHANGE: u8 = 5;
pub(super) const LOG_END: u8 = 9;

/// What a node says of itself to whoever asks.
pub(super) struct Introduction {
    pub node_id: u64,
    /// It belongs to some cluster, this one or another.
    pub is_member: bool,
    /// 0: it does not know.
    pub cluster_id: u64,
}

/// Who a node is, as its answer says.
pub(super) fn introduction(answer: &[u8]) -> Option<Introduction> {
    let (node_id, rest) = relay::done(answer)?.split_first_chunk::<8>()?;
    let (is_member, cluster_id) = rest.split_first()?;
    // An older version's answer ends before it.
    let cluster_id = cluster_id
        .first_chunk()
        .map_or(0, |id| u64::from_le_bytes(*id));
    Some(Introduction {
        node_id: u64::from_le_bytes(*node_id),
        is_member: *is_member != 0,
        cluster_id,
    })
}

/// The end of a log, as an answer says it; the inner `None` is that of an empty one.
pub(super) fn position(bytes: &[u8]) -> Option<Option<Position>> {
    let mut numbers = bytes.chunks_exact(8).map(|bytes| {
        let bytes = bytes.try_into().unwrap_or_default();
        u64::from_le_bytes(bytes)
    });
    match (numbers.next(), numbers.next(), numbers.next()) {
        (None, ..) => Some(None),
        (Some(term), Some(leader), Some(index)) => Some(Some(Position {
            term,
            leader,
            index,
        })),
        _ => None,
    }
}

/// Who asks to be admitted, and whether it has begun without data.
fn candidate(request: &[u8]) -> Option<(Member, bool)> {
    let (id, rest) = request.get(1..)?.split_first_chunk::<8>()?;
    let (is_new, address) = rest.split_first()?;
    let address: NodeAddress = std::str::from_utf8(address).ok()?.parse().ok()?;
    let node = Member {
        id: u64::from_le_bytes(*id),
        address: address.to_string(),
    };
    Some((node, *is_new != 0))
}

/// Answers the other nodes' calls.
pub(super) struct Answering(pub(super) Rc<Cluster>);

impl PeerHandler for Answering {
    fn call(&self, _from: u64, request: Bytes) -> LocalBoxFuture<'static, Result<Bytes, String>> {
        let cluster = self.0.clone();
        match request.first() {
            Some(&HELLO) => {
                let state = cluster.relay.group.state();
                let mut answer = BytesMut::from(&relay::ok()[..]);
                answer.put_u64_le(cluster.own.id);
                answer.put_u8((!state.members.is_empty()).into());
                answer.put_u64_le(cluster.cluster_id.known());
                Box::pin(async move { Ok(answer.freeze()) })
            }
            Some(&LOG_END) => {
                let mut answer = BytesMut::from(&relay::ok()[..]);
                if let Some(end) = cluster.relay.group.log_end() {
                    answer.put_u64_le(end.term);
                    answer.put_u64_le(end.leader);
                    answer.put_u64_le(end.index);
                }
                Box::pin(async move { Ok(answer.freeze()) })
            }
            Some(&ADMIT) => Box::pin(async move {
                Ok(match candidate(&request) {
                    Some((node, is_new)) => cluster.admit(node, is_new).await,
                    None => relay::text("a call was cut"),
                })
            }),
            Some(&CHANGE) => Box::pin(async move {
                let words = String::from_utf8_lossy(&request[1..]).into_owned();
                if !cluster.relay.group.is_leader() {
                    return Ok(relay::not_leader(None));
                }
                Ok(match cluster.try_change(&words).await {
                    Ok(()) => relay::ok(),
                    Err(NotChanged::Elsewhere) => relay::not_leader(None),
                    Err(NotChanged::Refused(error)) => relay::text(&error.0),
                })
            }),
            _ => {
                let answer = cluster.relay.serve(&request);
                Box::pin(async move { Ok(answer.await) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_an_older_version_introduces_itself_without_a_cluster() {
        let mut answer = relay::ok().to_vec();
        answer.extend(7u64.to_le_bytes());
        assert!(introduction(&answer).is_none());
        answer.push(1);
        let told = introduction(&answer).unwrap();
        assert_eq!(
            (told.node_id, told.is_member, told.cluster_id),
            (7, true, 0)
        );
        answer.extend(9u64.to_le_bytes());
        let told = introduction(&answer).unwrap();
        assert_eq!(
            (told.node_id, told.is_member, told.cluster_id),
            (7, true, 9)
        );
        assert!(introduction(&relay::text("no")).is_none());
    }
}

//! Replies of `CLUSTER` and `ROLE`: pure functions of a [`ClusterView`], in Redis' shapes.
//!
//! To a cluster client all slots lie on one node, the leader, and the other members are its
//! replicas. While no leader is known, or it is silent, the node that is asked stands in for it,
//! so that clients keep a node to talk to: it forwards, redirects or refuses as it can, and says
//! `fail` in `CLUSTER INFO` meanwhile.

use crate::resp::Reply;
use crate::slot::SLOTS;

use super::cluster_view::{ClusterView, MemberView};

/// What is asked of a [`ClusterView`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterQuery {
    Role,
    ClusterInfo,
    ClusterSlots,
    ClusterShards,
    ClusterNodes,
    ClusterMyId,
    ClusterMyShardId,
    RaftLeader,
    RaftState,
    RaftStats,
    RaftPeers,
    RaftDigest,
}

impl ClusterQuery {
    /// The answer. `now_ms` is the Unix time in ms.
    pub(super) fn answer(self, view: &ClusterView, now_ms: u64) -> Reply<'static> {
        match self {
            ClusterQuery::Role => role(view),
            ClusterQuery::ClusterInfo => Reply::Verbatim(info(view)),
            ClusterQuery::ClusterSlots => slots(view),
            ClusterQuery::ClusterShards => shards(view),
            ClusterQuery::ClusterNodes => Reply::Verbatim(nodes(view, now_ms)),
            ClusterQuery::ClusterMyId => text(digits(view.node_id)),
            ClusterQuery::ClusterMyShardId => text(digits(view.cluster_id)),
            ClusterQuery::RaftLeader => super::raft_reply::leader(view),
            ClusterQuery::RaftState => text(view.role.to_string()),
            ClusterQuery::RaftStats => super::raft_reply::stats(view),
            ClusterQuery::RaftPeers => super::raft_reply::peers(view),
            ClusterQuery::RaftDigest => super::raft_reply::digest(view),
        }
    }
}

pub(super) fn text(text: impl Into<String>) -> Reply<'static> {
    Reply::bulk_owned(text.into())
}

pub(super) fn named<const N: usize>(fields: [(&str, Reply<'static>); N]) -> Reply<'static> {
    Reply::Map(
        fields
            .into_iter()
            .flat_map(|(name, value)| [text(name), value])
            .collect(),
    )
}

/// An id as Redis writes those of nodes.
pub(super) fn digits(id: u64) -> String {
    format!("{id:040x}")
}

const SLOT_LAST: usize = SLOTS - 1;

/// The member that stands as owner of all slots.
fn owner(view: &ClusterView) -> Option<&MemberView> {
    view.leader().or_else(|| view.own())
}

/// The others, in the order of their ids.
fn replicas(view: &ClusterView) -> impl Iterator<Item = &MemberView> {
    let owner_id = owner(view).map(|owner| owner.id);
    view.members
        .iter()
        .filter(move |member| Some(member.id) != owner_id)
}

/// The last entry that a member is known to have. Of others a follower knows nothing.
pub(super) fn offset(view: &ClusterView, member: &MemberView) -> u64 {
    match member.matched_index {
        _ if member.id == view.node_id && view.is_leader() => view.indexes.last,
        _ if member.id == view.node_id => view.indexes.applied,
        Some(matched) => matched,
        None => 0,
    }
}

/// How a follower stands to its leader, in the words of Redis' `ROLE`.
fn link_state(view: &ClusterView) -> &'static str {
    match (view.leader(), view.leader_id) {
        (Some(_), _) => "connected",
        (None, Some(_)) => "connecting",
        (None, None) => "connect",
    }
}

/// `ROLE`. Offsets are indexes of the log.
fn role(view: &ClusterView) -> Reply<'static> {
    let own_offset = Reply::Int(view.own().map_or(0, |own| offset(view, own)) as i64);
    if !view.is_leader() {
        let leader = view.leader_id.and_then(|id| view.member(id));
        let leader = leader.map(|leader| &leader.address);
        return Reply::Array(vec![
            text("slave"),
            text(leader.map_or("", |address| &address.host)),
            Reply::Int(leader.map_or(0, |address| i64::from(address.port))),
            text(link_state(view)),
            own_offset,
        ]);
    }
    let followers = replicas(view).filter(|member| member.reachable);
    let followers = followers.map(|member| {
        Reply::bulks([
            member.address.host.clone(),
            member.address.port.to_string(),
            offset(view, member).to_string(),
        ])
    });
    Reply::Array(vec![
        text("master"),
        own_offset,
        Reply::Array(followers.collect()),
    ])
}

fn info(view: &ClusterView) -> String {
    let serves = view.has_quorum;
    let (state, served) = if serves { ("ok", SLOTS) } else { ("fail", 0) };
    let (nodes, term, failed) = (view.members.len(), view.term, SLOTS - served);
    format!(
        "cluster_enabled:1\r\n\
         cluster_state:{state}\r\n\
         cluster_slots_assigned:{SLOTS}\r\n\
         cluster_slots_ok:{served}\r\n\
         cluster_slots_pfail:0\r\n\
         cluster_slots_fail:{failed}\r\n\
         cluster_known_nodes:{nodes}\r\n\
         cluster_size:1\r\n\
         cluster_current_epoch:{term}\r\n\
         cluster_my_epoch:{term}\r\n"
    )
}

/// Where clients reach a member, as an entry of `CLUSTER SLOTS`.
fn place(member: &MemberView) -> Reply<'static> {
    Reply::Array(vec![
        text(&member.address.host),
        Reply::Int(i64::from(member.address.port)),
        text(digits(member.id)),
        Reply::Map(Vec::new()),
    ])
}

/// `CLUSTER SLOTS`. As in Redis, replicas that are not reachable are left out.
fn slots(view: &ClusterView) -> Reply<'static> {
    let Some(owner) = owner(view) else {
        return Reply::Array(Vec::new());
    };
    let mut range = vec![Reply::Int(0), Reply::Int(SLOT_LAST as i64), place(owner)];
    range.extend(replicas(view).filter(|member| member.reachable).map(place));
    Reply::Array(vec![Reply::Array(range)])
}

/// `CLUSTER SHARDS`
fn shards(view: &ClusterView) -> Reply<'static> {
    let Some(owner) = owner(view) else {
        return Reply::Array(Vec::new());
    };
    let members = std::iter::once(owner).chain(replicas(view));
    let nodes = members.map(|member| {
        let role = if member.id == owner.id {
            "master"
        } else {
            "replica"
        };
        let health = if member.reachable { "online" } else { "failed" };
        named([
            ("id", text(digits(member.id))),
            ("port", Reply::Int(i64::from(member.address.port))),
            ("ip", text(&member.address.host)),
            ("endpoint", text(&member.address.host)),
            ("role", text(role)),
            (
                "replication-offset",
                Reply::Int(offset(view, member) as i64),
            ),
            ("health", text(health)),
        ])
    });
    let range = Reply::Array(vec![Reply::Int(0), Reply::Int(SLOT_LAST as i64)]);
    let shard = named([("slots", range), ("nodes", Reply::Array(nodes.collect()))]);
    Reply::Array(vec![shard])
}

/// `CLUSTER NODES`: a line for each member, in the fields of Redis Cluster's configuration.
fn nodes(view: &ClusterView, now_ms: u64) -> String {
    let owner_id = owner(view).map(|owner| owner.id);
    let line = |member: &MemberView| {
        let owns = Some(member.id) == owner_id;
        let myself = if member.id == view.node_id {
            "myself,"
        } else {
            ""
        };
        let role = if owns { "master" } else { "slave" };
        let failed = if member.reachable { "" } else { ",fail" };
        let master = match owner_id {
            Some(id) if !owns => digits(id),
            _ => "-".to_string(),
        };
        // Of itself a node has no word, as in Redis.
        let heard_ms = match member.last_contact_ms {
            Some(ago_ms) if member.id != view.node_id => now_ms.saturating_sub(ago_ms),
            _ => 0,
        };
        let link = if member.reachable {
            "connected"
        } else {
            "disconnected"
        };
        let address = &member.address;
        format!(
            "{} {}:{}@{} {myself}{role}{failed} {master} 0 {heard_ms} {} {link}{}\n",
            digits(member.id),
            address.host,
            address.port,
            address.peer_port,
            view.term,
            if owns {
                format!(" 0-{SLOT_LAST}")
            } else {
                String::new()
            },
        )
    };
    view.members.iter().map(line).collect()
}

#[cfg(test)]
#[path = "cluster_reply_tests.rs"]
mod tests;

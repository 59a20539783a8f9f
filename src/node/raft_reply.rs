//! Replies of `RAFT`, and the fields of `INFO raft` and `INFO replication`: pure functions of a
//! [`ClusterView`].

use crate::metrics::Fields;
use crate::raft::Role;
use crate::resp::Reply;

use super::cluster_reply::{digits, named, offset, text};
use super::cluster_view::{ClusterView, MemberView};

/// `RAFT LEADER`
pub(super) fn leader(view: &ClusterView) -> Reply<'static> {
    let leader = view.leader();
    leader.map_or(Reply::Null, |leader| text(leader.address.client()))
}

/// `RAFT STATS`: the fields of `INFO raft` without their prefix.
pub(super) fn stats(view: &ClusterView) -> Reply<'static> {
    let fields = raft_fields(view).into_iter().flat_map(|(name, value)| {
        let name = name.strip_prefix("raft_").unwrap_or(&name).to_string();
        [text(name), text(value)]
    });
    Reply::Map(fields.collect())
}

/// `RAFT PEERS`: a map for each member, itself included.
pub(super) fn peers(view: &ClusterView) -> Reply<'static> {
    let number = |value: Option<u64>| value.map_or(Reply::Null, |value| Reply::Int(value as i64));
    let members = view.members.iter().map(|member| {
        named([
            ("id", Reply::Int(member.id as i64)),
            ("address", text(member.address.to_string())),
            ("role", text(role_of(view, member).to_string())),
            ("reachable", Reply::flag(member.reachable)),
            ("last_contact_ms", number(member.last_contact_ms)),
            ("matched_index", number(member.matched_index)),
        ])
    });
    Reply::Array(members.collect())
}

/// `RAFT DIGEST`
pub(super) fn digest(view: &ClusterView) -> Reply<'static> {
    let (agreed, mismatch) = (view.digest.agreed_index, &view.digest.mismatch);
    let state = match (agreed, mismatch) {
        (_, Some(_)) => "alarm",
        (Some(_), None) => "ok",
        (None, None) => "unknown",
    };
    named([
        ("state", text(state)),
        (
            "agreed_index",
            agreed.map_or(Reply::Null, |index| Reply::Int(index as i64)),
        ),
        ("mismatch", mismatch.as_ref().map_or(Reply::Null, text)),
    ])
}

/// What a member does, as far as this node can tell.
fn role_of(view: &ClusterView, member: &MemberView) -> Role {
    match member {
        _ if member.id == view.node_id => view.role,
        _ if Some(member.id) == view.leader_id => Role::Leader,
        _ if member.voter => Role::Follower,
        _ => Role::Learner,
    }
}

/// The fields of `INFO raft`.
pub(super) fn raft_fields(view: &ClusterView) -> Fields {
    let ids = |voters: bool| {
        let members = view.members.iter().filter(|member| member.voter == voters);
        let ids: Vec<String> = members.map(|member| member.id.to_string()).collect();
        ids.join(",")
    };
    let number = |value: Option<u64>| value.map_or("-1".to_string(), |value| value.to_string());
    let leader = view.leader().map(|leader| leader.address.client());
    let (indexes, counters, digest) = (&view.indexes, &view.counters, &view.digest);
    let flag = |yes: bool| u8::from(yes).to_string();
    let mut fields: Fields = [
        ("node_id", view.node_id.to_string()),
        ("cluster_id", digits(view.cluster_id)),
        ("role", view.role.to_string()),
        ("term", view.term.to_string()),
        ("leader_id", number(view.leader_id)),
        ("leader_address", leader.unwrap_or_default()),
        ("has_quorum", flag(view.has_quorum)),
        ("voters", ids(true)),
        ("learners", ids(false)),
        ("last_index", indexes.last.to_string()),
        ("synced_index", indexes.synced.to_string()),
        ("committed_index", indexes.committed.to_string()),
        ("applied_index", indexes.applied.to_string()),
        ("checkpoint_index", indexes.checkpoint.to_string()),
        ("purged_index", indexes.purged.to_string()),
        ("elections", counters.elections.to_string()),
        ("batches_forwarded", counters.batches_forwarded.to_string()),
        ("strangers_dropped", counters.strangers_dropped.to_string()),
        ("snapshots_sent", counters.snapshots_sent.to_string()),
        ("snapshots_taken", counters.snapshots_taken.to_string()),
        ("digest_agreed_index", number(digest.agreed_index)),
        ("digest_alarm", flag(digest.mismatch.is_some())),
        (
            "digest_mismatch",
            digest.mismatch.clone().unwrap_or_default(),
        ),
        ("failure", view.failure.clone().unwrap_or_default()),
    ]
    .map(|(name, value)| (format!("raft_{name}"), value))
    .into();
    for (at, member) in view.members.iter().enumerate() {
        let line = format!(
            "id={},address={},role={},reachable={},last_contact_ms={},matched_index={}",
            member.id,
            member.address,
            role_of(view, member),
            u8::from(member.reachable),
            number(member.last_contact_ms),
            number(member.matched_index),
        );
        fields.push((format!("raft_member{at}"), line));
    }
    fields
}

/// The fields of `INFO replication`, in Redis' names: the leader is the master, every other
/// member its slave, and offsets are indexes of the log.
pub(super) fn replication_fields(view: &ClusterView) -> Fields {
    let mut fields: Fields = Vec::new();
    let mut add = |name: &str, value: String| fields.push((name.to_string(), value));
    let own_offset = view.own().map_or(0, |own| offset(view, own));
    if view.is_leader() {
        let others = view
            .members
            .iter()
            .filter(|member| member.id != view.node_id);
        // As in Redis, a replica that is gone is not in the list.
        let others: Vec<&MemberView> = others.filter(|member| member.reachable).collect();
        add("role", "master".into());
        add("connected_slaves", others.len().to_string());
        for (at, member) in others.into_iter().enumerate() {
            let line = format!(
                "ip={},port={},state=online,offset={},lag={}",
                member.address.host,
                member.address.port,
                offset(view, member),
                member.last_contact_ms.unwrap_or(0) / 1000,
            );
            add(&format!("slave{at}"), line);
        }
    } else {
        let leader = view.leader_id.and_then(|id| view.member(id));
        let address = leader.map(|leader| &leader.address);
        let is_up = view.leader().is_some();
        let heard_s = leader
            .and_then(|leader| leader.last_contact_ms)
            .map_or("-1".to_string(), |ms| (ms / 1000).to_string());
        add("role", "slave".into());
        add(
            "master_host",
            address.map_or(String::new(), |address| address.host.clone()),
        );
        add(
            "master_port",
            address.map_or(0, |address| address.port).to_string(),
        );
        add(
            "master_link_status",
            if is_up { "up" } else { "down" }.into(),
        );
        add("master_last_io_seconds_ago", heard_s.clone());
        add("master_sync_in_progress", "0".into());
        add("slave_read_repl_offset", view.indexes.last.to_string());
        add("slave_repl_offset", own_offset.to_string());
        if !is_up {
            add("master_link_down_since_seconds", heard_s);
        }
        add("slave_priority", "100".into());
        add("replica_announced", "1".into());
        add("connected_slaves", "0".into());
    }
    add("master_failover_state", "no-failover".into());
    add("master_replid", digits(view.cluster_id));
    add("master_replid2", digits(0));
    add("master_repl_offset", own_offset.to_string());
    add("second_repl_offset", "-1".into());
    // The log is the backlog: what it still has can be sent to a follower that comes back.
    add("repl_backlog_active", "1".into());
    let first = view.indexes.purged + 1;
    add("repl_backlog_first_byte_offset", first.to_string());
    add(
        "repl_backlog_histlen",
        (view.indexes.last + 1).saturating_sub(first).to_string(),
    );
    fields
}

//! Tests of the renderings, on a made view of three members and a learner.

use super::super::cluster_view::{ClusterCounters, ClusterView, DigestView, Indexes, MemberView};
use super::super::raft_reply::{raft_fields, replication_fields};
use super::*;
use crate::raft::Role;
use crate::resp::{Protocol, encode};

const NOW_MS: u64 = 1_000_000;

/// Node 1 leads; it has not heard of 3 for long. Node 4 is a learner.
fn of_leader() -> ClusterView {
    let member = |id: u64, address: &str, contact_ms: u64, matched: u64| MemberView {
        id,
        address: address.parse().unwrap(),
        voter: id != 4,
        reachable: id != 3,
        last_contact_ms: Some(contact_ms),
        matched_index: Some(matched),
    };
    ClusterView {
        node_id: 1,
        cluster_id: 0xABC,
        role: Role::Leader,
        term: 7,
        leader_id: Some(1),
        has_quorum: true,
        members: vec![
            member(1, "10.0.0.1:6379", 0, 90),
            member(2, "10.0.0.2:6379@9000", 20, 88),
            member(3, "10.0.0.3:6379", 5000, 40),
            member(4, "[::1]:7000", 1500, 80),
        ],
        indexes: Indexes {
            last: 90,
            synced: 89,
            committed: 88,
            applied: 87,
            purged: 10,
            checkpoint: 12,
        },
        counters: ClusterCounters {
            elections: 2,
            batches_forwarded: 3,
            strangers_dropped: 4,
            snapshots_sent: 5,
            snapshots_taken: 6,
        },
        digest: DigestView {
            agreed_index: Some(64),
            mismatch: None,
        },
        failure: None,
    }
}

/// The same cluster as node 2 sees it.
fn of_follower() -> ClusterView {
    let mut view = of_leader();
    (view.node_id, view.role) = (2, Role::Follower);
    for member in &mut view.members {
        member.reachable = true;
        member.matched_index = (member.id == 2).then_some(90);
        member.last_contact_ms = (member.id <= 2).then(|| 40 * (2 - member.id));
    }
    view
}

/// Node 2 while nobody leads.
fn of_orphan() -> ClusterView {
    let mut view = of_follower();
    (view.leader_id, view.has_quorum, view.role) = (None, false, Role::Candidate);
    view
}

/// Node 2 when its leader has been silent for long.
fn of_abandoned() -> ClusterView {
    let mut view = of_follower();
    view.has_quorum = false;
    view.members[0].reachable = false;
    view.members[0].last_contact_ms = Some(7000);
    view
}

/// A reply in RESP3, blanks for line ends.
fn shown(query: ClusterQuery, view: &ClusterView) -> String {
    let mut out = Vec::new();
    encode(&query.answer(view, NOW_MS), Protocol::Resp3, &mut out);
    let text = String::from_utf8(out).unwrap().replace("\r\n", " ");
    // Ids of nodes shortened: all of theirs are small.
    text.replace(&"0".repeat(37), "")
}

#[test]
fn role_is_redis() {
    assert_eq!(
        shown(ClusterQuery::Role, &of_leader()),
        "*3 $6 master :90 *2 *3 $8 10.0.0.2 $4 6379 $2 88 *3 $3 ::1 $4 7000 $2 80 "
    );
    assert_eq!(
        shown(ClusterQuery::Role, &of_follower()),
        "*5 $5 slave $8 10.0.0.1 :6379 $9 connected :87 "
    );
    assert_eq!(
        shown(ClusterQuery::Role, &of_orphan()),
        "*5 $5 slave $0  :0 $7 connect :87 "
    );
    assert_eq!(
        shown(ClusterQuery::Role, &of_abandoned()),
        "*5 $5 slave $8 10.0.0.1 :6379 $10 connecting :87 "
    );
}

#[test]
fn all_slots_lie_at_the_leader() {
    let leader = "*4 $8 10.0.0.1 :6379 $40 001 %0 ";
    let follower = "*4 $8 10.0.0.2 :6379 $40 002 %0 ";
    let gone = "*4 $8 10.0.0.3 :6379 $40 003 %0 ";
    let learner = "*4 $3 ::1 :7000 $40 004 %0 ";
    assert_eq!(
        shown(ClusterQuery::ClusterSlots, &of_leader()),
        format!("*1 *5 :0 :16383 {leader}{follower}{learner}")
    );
    assert_eq!(
        shown(ClusterQuery::ClusterSlots, &of_follower()),
        format!("*1 *6 :0 :16383 {leader}{follower}{gone}{learner}")
    );
    // Where nobody leads, the node asked stands in.
    assert_eq!(
        shown(ClusterQuery::ClusterSlots, &of_orphan()),
        format!("*1 *6 :0 :16383 {follower}{leader}{gone}{learner}")
    );
    assert_eq!(
        shown(ClusterQuery::ClusterSlots, &of_abandoned()),
        format!("*1 *5 :0 :16383 {follower}{gone}{learner}")
    );
    let mut outside = of_orphan();
    outside.node_id = 9;
    assert_eq!(shown(ClusterQuery::ClusterSlots, &outside), "*0 ");
}

#[test]
fn nodes_are_lines_of_redis_cluster() {
    let lines = |view: &ClusterView| {
        let Reply::Verbatim(text) = ClusterQuery::ClusterNodes.answer(view, NOW_MS) else {
            panic!("no text");
        };
        let lines = text.lines().map(|line| line.replace(&"0".repeat(37), ""));
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&of_leader()),
        [
            "001 10.0.0.1:6379@16379 myself,master - 0 0 7 connected 0-16383",
            "002 10.0.0.2:6379@9000 slave 001 0 999980 7 connected",
            "003 10.0.0.3:6379@16379 slave,fail 001 0 995000 7 disconnected",
            "004 ::1:7000@17000 slave 001 0 998500 7 connected",
        ]
    );
    assert_eq!(
        lines(&of_follower())[..2],
        [
            "001 10.0.0.1:6379@16379 master - 0 999960 7 connected 0-16383",
            "002 10.0.0.2:6379@9000 myself,slave 001 0 0 7 connected",
        ]
    );
    assert_eq!(
        lines(&of_abandoned())[..2],
        [
            "001 10.0.0.1:6379@16379 slave,fail 002 0 993000 7 disconnected",
            "002 10.0.0.2:6379@9000 myself,master - 0 0 7 connected 0-16383",
        ]
    );
    assert_eq!(
        lines(&of_orphan())[..2],
        [
            "001 10.0.0.1:6379@16379 slave 002 0 999960 7 connected",
            "002 10.0.0.2:6379@9000 myself,master - 0 0 7 connected 0-16383",
        ]
    );
}

#[test]
fn shards_info_and_ids() {
    let shards = shown(ClusterQuery::ClusterShards, &of_leader());
    let first = "*1 %2 $5 slots *2 :0 :16383 $5 nodes *4 %7 $2 id $40 001 $4 port :6379 \
                 $2 ip $8 10.0.0.1 $8 endpoint $8 10.0.0.1 $4 role $6 master \
                 $18 replication-offset :90 $6 health $6 online %7 $2 id $40 002 ";
    assert!(shards.starts_with(first), "{shards}");
    assert!(shards.contains("$4 role $7 replica $18 replication-offset :40 $6 health $6 failed"));
    let info = shown(ClusterQuery::ClusterInfo, &of_leader());
    for line in [
        "cluster_state:ok",
        "cluster_slots_ok:16384",
        "cluster_slots_fail:0",
        "cluster_known_nodes:4",
        "cluster_size:1",
        "cluster_current_epoch:7",
    ] {
        assert!(info.contains(&format!("{line} ")), "{line} not in {info}");
    }
    let info = shown(ClusterQuery::ClusterInfo, &of_orphan());
    assert!(info.contains("cluster_state:fail ") && info.contains("cluster_slots_ok:0 "));
    assert_eq!(shown(ClusterQuery::ClusterMyId, &of_follower()), "$40 002 ");
    assert_eq!(
        shown(ClusterQuery::ClusterMyShardId, &of_leader()),
        "$40 abc "
    );
}

#[test]
fn raft_tells_what_is_known() {
    let leader = of_leader();
    assert_eq!(
        shown(ClusterQuery::RaftLeader, &of_follower()),
        "$13 10.0.0.1:6379 "
    );
    assert_eq!(shown(ClusterQuery::RaftLeader, &of_orphan()), "_ ");
    assert_eq!(shown(ClusterQuery::RaftLeader, &of_abandoned()), "_ ");
    assert_eq!(shown(ClusterQuery::RaftState, &leader), "$6 leader ");
    assert_eq!(
        shown(ClusterQuery::RaftState, &of_orphan()),
        "$9 candidate "
    );
    let peers = shown(ClusterQuery::RaftPeers, &leader);
    let own = "*4 %6 $2 id :1 $7 address $13 10.0.0.1:6379 $4 role $6 leader \
               $9 reachable :1 $15 last_contact_ms :0 $13 matched_index :90 ";
    assert!(peers.starts_with(own), "{peers}");
    assert!(peers.contains("$7 address $18 10.0.0.2:6379@9000 $4 role $8 follower "));
    assert!(peers.contains("$7 address $10 [::1]:7000 $4 role $7 learner "));
    let peers = shown(ClusterQuery::RaftPeers, &of_follower());
    assert!(
        peers.ends_with("$15 last_contact_ms _ $13 matched_index _ "),
        "{peers}"
    );
    assert_eq!(
        shown(ClusterQuery::RaftDigest, &leader),
        "%3 $5 state $2 ok $12 agreed_index :64 $8 mismatch _ "
    );
    let mut alarmed = leader;
    alarmed.digest.mismatch = Some("node 3 at 70".into());
    assert_eq!(
        shown(ClusterQuery::RaftDigest, &alarmed),
        "%3 $5 state $5 alarm $12 agreed_index :64 $8 mismatch $12 node 3 at 70 "
    );
    alarmed.digest = DigestView::default();
    let unknown = "%3 $5 state $7 unknown $12 agreed_index _ $8 mismatch _ ";
    assert_eq!(shown(ClusterQuery::RaftDigest, &alarmed), unknown);
}

#[test]
fn info_shows_raft() {
    let fields = raft_fields(&of_leader());
    let value = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.as_str()).unwrap_or("missing")
    };
    for (name, expected) in [
        ("raft_node_id", "1"),
        ("raft_role", "leader"),
        ("raft_leader_id", "1"),
        ("raft_leader_address", "10.0.0.1:6379"),
        ("raft_has_quorum", "1"),
        ("raft_voters", "1,2,3"),
        ("raft_learners", "4"),
        ("raft_synced_index", "89"),
        ("raft_checkpoint_index", "12"),
        ("raft_elections", "2"),
        ("raft_strangers_dropped", "4"),
        ("raft_digest_agreed_index", "64"),
        ("raft_digest_alarm", "0"),
        (
            "raft_member2",
            "id=3,address=10.0.0.3:6379,role=follower,reachable=0,last_contact_ms=5000,matched_index=40",
        ),
    ] {
        assert_eq!(value(name), expected, "{name}");
    }
    let stats = shown(ClusterQuery::RaftStats, &of_leader());
    let begin = format!("%{} $7 node_id $1 1 ", fields.len());
    assert!(stats.starts_with(&begin), "{stats}");
    let orphan = raft_fields(&of_orphan());
    assert!(orphan.contains(&("raft_leader_id".to_string(), "-1".to_string())));
}

#[test]
fn info_shows_replication_as_redis() {
    let text = |view: &ClusterView| {
        let fields = replication_fields(view);
        let lines = fields
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"));
        lines.collect::<String>()
    };
    let leader = text(&of_leader());
    assert!(
        leader.starts_with(
            "role:master\nconnected_slaves:2\n\
             slave0:ip=10.0.0.2,port=6379,state=online,offset=88,lag=0\n\
             slave1:ip=::1,port=7000,state=online,offset=80,lag=1\n\
             master_failover_state:no-failover\n"
        ),
        "{leader}"
    );
    assert!(leader.contains("\nmaster_repl_offset:90\n"));
    assert!(leader.ends_with("repl_backlog_first_byte_offset:11\nrepl_backlog_histlen:80\n"));
    let follower = text(&of_follower());
    assert!(
        follower.starts_with(
            "role:slave\nmaster_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:up\n\
             master_last_io_seconds_ago:0\n"
        ),
        "{follower}"
    );
    assert!(follower.contains("\nslave_repl_offset:87\n"));
    let orphan = text(&of_orphan());
    assert!(orphan.starts_with("role:slave\nmaster_host:\nmaster_port:0\nmaster_link_status:down"));
    assert!(orphan.contains("\nmaster_link_down_since_seconds:-1\n"));
    let abandoned = text(&of_abandoned());
    assert!(
        abandoned.starts_with(
            "role:slave\nmaster_host:10.0.0.1\nmaster_port:6379\nmaster_link_status:down\n\
             master_last_io_seconds_ago:7\n"
        ),
        "{abandoned}"
    );
}

//! How a node sees its cluster: what `RAFT`, `CLUSTER`, `ROLE` and `INFO` are answered from.
//!
//! Plain data, made on the Raft core at the moment it was asked for; what it says of other nodes
//! is what this one last heard of them.

use std::fmt;
use std::str::FromStr;

use crate::address::NodeAddress;
use crate::raft::{Applier, Member, Role};

use super::raft_side::Raft;

/// A node's view of its cluster. An index is 0 where there is no such entry yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterView {
    /// This node.
    pub node_id: u64,
    /// Drawn where the cluster began, the same on every member; 0: not known.
    pub cluster_id: u64,
    pub role: Role,
    pub term: u64,
    /// The leader, as far as this node knows.
    pub leader_id: Option<u64>,
    /// Whether a write can be acknowledged, as far as this node knows: a leader is there, and was
    /// heard of (by the leader itself: a quorum of voters was) within an election timeout.
    pub has_quorum: bool,
    /// This node among them once it is a member, in the order of their ids.
    pub members: Vec<MemberView>,
    pub indexes: Indexes,
    pub counters: ClusterCounters,
    pub digest: DigestView,
    /// Why this node no longer takes part.
    pub failure: Option<String>,
}

/// One member as another sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    pub id: u64,
    pub address: NodeAddress,
    /// Whether it has a vote; a learner has none.
    pub voter: bool,
    /// Whether it was heard of within an election timeout. A follower knows it of its leader
    /// only, and takes the others for reachable.
    pub reachable: bool,
    /// How long ago it was last heard of, in ms; `None`: never, or it is not this node's to know.
    pub last_contact_ms: Option<u64>,
    /// The last entry that it is known to have; known to the leader, and of a node itself.
    pub matched_index: Option<u64>,
}

/// Positions in this node's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indexes {
    pub last: u64,
    /// On this node's disk.
    pub synced: u64,
    pub committed: u64,
    pub applied: u64,
    /// The last entry that the log no longer has.
    pub purged: u64,
    /// The end of the newest checkpoint.
    pub checkpoint: u64,
}

/// What was counted since this node started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClusterCounters {
    /// Terms that began, by whomever's election.
    pub elections: u64,
    /// Batches that this node sent to a leader.
    pub batches_forwarded: u64,
    /// Connections dropped at the peer port because who made them is no member.
    pub strangers_dropped: u64,
    /// Checkpoints sent to other nodes, and taken from them.
    pub snapshots_sent: u64,
    pub snapshots_taken: u64,
}

/// How the members' digests compare.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DigestView {
    /// The last index at which all members that answered had the same; `None`: not compared yet.
    pub agreed_index: Option<u64>,
    /// Set once digests differed, for as long as this node runs: where, and whose.
    pub mismatch: Option<String>,
}

/// A member as somebody names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberName {
    Id(u64),
    Address(NodeAddress),
}

/// A change of the cluster that somebody asks for. Written out and read as the words behind
/// `RAFT`, which is how one node passes it on to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Take a running node in: as a learner that becomes a voter once it has caught up, or one
    /// that stays a learner.
    AddPeer {
        address: NodeAddress,
        learner: bool,
    },
    Remove(MemberName),
    /// Give a learner a vote.
    Promote(MemberName),
    /// Take a voter's vote.
    Demote(MemberName),
    /// Hand leadership to this voter, or to the one that has most of the log.
    Transfer(Option<MemberName>),
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemberName::Id(id) => write!(f, "{id}"),
            MemberName::Address(address) => write!(f, "{address}"),
        }
    }
}

impl FromStr for MemberName {
    type Err = String;

    /// A number, 40 hexadecimal digits as `CLUSTER NODES` shows them, or an address.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 40
            && let Ok(id) = u64::from_str_radix(text, 16)
        {
            return Ok(MemberName::Id(id));
        }
        if let Ok(id) = text.parse() {
            return Ok(MemberName::Id(id));
        }
        let no_member = |_| format!("'{text}' names no member: write its id or host:port");
        text.parse().map(MemberName::Address).map_err(no_member)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::AddPeer { address, learner } => {
                write!(
                    f,
                    "ADDPEER {address}{}",
                    if *learner { " LEARNER" } else { "" }
                )
            }
            Change::Remove(name) => write!(f, "REMOVEPEER {name}"),
            Change::Promote(name) => write!(f, "PROMOTE {name}"),
            Change::Demote(name) => write!(f, "DEMOTE {name}"),
            Change::Transfer(None) => f.write_str("TRANSFER"),
            Change::Transfer(Some(name)) => write!(f, "TRANSFER {name}"),
        }
    }
}

impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split(' ').collect();
        let kind = words[0].to_ascii_lowercase();
        match (kind.as_str(), &words[1..]) {
            ("addpeer", [address]) => Ok(Change::AddPeer {
                address: address.parse()?,
                learner: false,
            }),
            ("addpeer", [address, kind]) if kind.eq_ignore_ascii_case("learner") => {
                Ok(Change::AddPeer {
                    address: address.parse()?,
                    learner: true,
                })
            }
            ("removepeer", [name]) => Ok(Change::Remove(name.parse()?)),
            ("promote", [name]) => Ok(Change::Promote(name.parse()?)),
            ("demote", [name]) => Ok(Change::Demote(name.parse()?)),
            ("transfer", []) => Ok(Change::Transfer(None)),
            ("transfer", [name]) => Ok(Change::Transfer(Some(name.parse()?))),
            _ => Err("syntax error".to_string()),
        }
    }
}

impl ClusterView {
    /// This node among the members.
    pub fn own(&self) -> Option<&MemberView> {
        self.member(self.node_id)
    }

    /// The term's leader, where it is known and was heard of lately: whom to ask.
    pub fn leader(&self) -> Option<&MemberView> {
        let leader = self.leader_id.and_then(|id| self.member(id))?;
        leader.reachable.then_some(leader)
    }

    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }

    pub fn member(&self, id: u64) -> Option<&MemberView> {
        self.members.iter().find(|member| member.id == id)
    }
}

/// The address that a member was taken in with. Groups made before peers had ports may hold one
/// that leaves no room for a peer port: 0 then.
fn address_of(member: &Member) -> NodeAddress {
    member.address.parse().unwrap_or_else(|_| {
        let (host, port) = member.address.rsplit_once(':').unwrap_or_default();
        NodeAddress {
            host: host.trim_matches(['[', ']']).to_string(),
            port: port.parse().unwrap_or(0),
            peer_port: 0,
        }
    })
}

impl Raft {
    /// How this node sees its cluster now.
    pub(super) fn cluster_view(&self) -> ClusterView {
        let state = self.group.state();
        let leads = state.role == Role::Leader;
        let members = state.members.iter().map(|member| {
            // Followers hear of their leader only.
            let is_heard_of = leads || state.leader == Some(member.member.id);
            MemberView {
                id: member.member.id,
                address: address_of(&member.member),
                voter: member.is_voter,
                reachable: member.is_reachable || !is_heard_of,
                last_contact_ms: member.last_contact_ms,
                matched_index: member.matched_index,
            }
        });
        let mut members: Vec<MemberView> = members.collect();
        members.sort_by_key(|member| member.id);
        let transport = self.cluster.as_ref();
        let transport = transport.map(|cluster| cluster.relay.transport.counters());
        let transport = transport.unwrap_or_default();
        ClusterView {
            node_id: state.node_id,
            cluster_id: self.cluster_id.known(),
            role: state.role,
            term: state.term,
            leader_id: state.leader,
            has_quorum: state.has_quorum && state.failure.is_none(),
            members,
            indexes: Indexes {
                last: state.last_index.unwrap_or(0),
                synced: self.log.synced(),
                committed: state.committed_index.unwrap_or(0),
                applied: state.applied_index.unwrap_or(0),
                purged: state.purged_index.unwrap_or(0),
                checkpoint: self
                    .joint
                    .checkpoint()
                    .map_or(0, |meta| meta.position.index),
            },
            counters: ClusterCounters {
                elections: state.terms_begun,
                batches_forwarded: self.sequencer.counts().forwarded,
                strangers_dropped: transport.strangers_dropped,
                snapshots_sent: transport.checkpoints_sent,
                snapshots_taken: self.joint.installed(),
            },
            digest: self.digests.view(),
            failure: state.failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_they_are_written() {
        for text in [
            "ADDPEER a:1",
            "ADDPEER a:1@2 LEARNER",
            "REMOVEPEER 7",
            "REMOVEPEER [::1]:6379",
            "PROMOTE 9007199254740991",
            "DEMOTE b:2",
            "TRANSFER",
            "TRANSFER 3",
        ] {
            assert_eq!(text.parse::<Change>().unwrap().to_string(), text);
        }
        let hex = format!("removepeer {:040x}", 255);
        assert_eq!(hex.parse(), Ok(Change::Remove(MemberName::Id(255))));
        for (text, why) in [
            (
                "ADDPEER here",
                "'here' is no node address: write host:port or host:port@peerport",
            ),
            ("ADDPEER a:1 VOTER", "syntax error"),
            ("REMOVEPEER", "syntax error"),
            (
                "REMOVEPEER x",
                "'x' names no member: write its id or host:port",
            ),
            ("TRANSFER 1 2", "syntax error"),
            ("", "syntax error"),
        ] {
            assert_eq!(text.parse::<Change>(), Err(why.to_string()), "{text}");
        }
    }
}

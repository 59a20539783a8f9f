//! How a node comes to be a member of a cluster: who it is, where it is reached, whom it asks.
//!
//! Of the nodes that are to start a cluster together, the one whose address sorts first begins the
//! group once it has heard of as many as are expected; the others hear of it by being sent its log.
//! Every other node asks to be admitted, again and again, until it is told that it was, or sees itself
//! among the voters: whatever fails in between, the next time finishes it.

use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

use crate::address::NodeAddress;
use crate::config::Config;
use crate::error::{Fatal, Unavailable};
use crate::log::Position;
use crate::log::meta::Meta;
use crate::raft::{CallError, ChangeError, Member, MemberState, Role};
use crate::resp::Error;
use crate::rt;

use super::answering::{self, ADMIT, Answering, CHANGE, HELLO, Introduction, LOG_END};
use super::cluster_id::{self, ClusterId};
use super::relay::{self, Relay};

/// Key of the node's id in the meta store.
pub(super) const NODE_ID: &str = "node-id";

/// Key of whether this node has to catch up with a leader before it votes: one byte, 1 if so.
const BEHIND: &str = "behind";

/// Ids fit into a double, so that every client can read them.
const ID_BITS: u32 = 53;

/// How often a node that is not where it wants to be asks again.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// How long a node that catches up waits before it asks the leader anew how far it has to come.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(10);

/// How often it says in the log that it still waits.
const TELL_EVERY: u32 = 50;

/// How often a change of the cluster is asked of whoever leads, and the pause between: a new leader
/// is known within an election or two.
const CHANGE_TRIES_MAX: usize = 50;
const CHANGE_AGAIN: Duration = Duration::from_millis(100);

/// Why a change of the cluster was not made.
pub(super) enum NotChanged {
    /// Another node leads by now.
    Elsewhere,
    /// For whoever asked.
    Refused(Error),
}

/// How a node begins that has no log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beginning {
    /// A cluster of its own.
    Alone,
    /// With these, itself among them, so many of them at first.
    With(Vec<NodeAddress>, usize),
    /// In the cluster that one of these belongs to.
    Joining(Vec<NodeAddress>),
}

impl Beginning {
    pub fn of(config: &Config) -> Beginning {
        let (peers, join) = (config.cluster_peers(), config.join());
        if !peers.is_empty() {
            Beginning::With(peers, config.expected_peers())
        } else if !join.is_empty() {
            Beginning::Joining(join)
        } else {
            Beginning::Alone
        }
    }
}

/// The id of this node, drawn at its first start.
///
/// # Errors
/// Where it cannot be kept, or what is kept is no id.
pub async fn identity(meta: &Meta) -> Result<u64, Fatal> {
    if let Some(bytes) = meta.get(NODE_ID) {
        let id = bytes.try_into().map(u64::from_le_bytes);
        return id.map_err(|_| Fatal::Corrupt {
            what: format!("the row `{NODE_ID}` of the meta store is no id"),
        });
    }
    let id = draw_id();
    let kept = meta.put(NODE_ID, id.to_le_bytes().to_vec()).await;
    kept.map_err(|error| Fatal::Setup(format!("cannot keep the node's id: {error}")))?;
    Ok(id)
}

pub(super) fn draw_id() -> u64 {
    let drawn: u64 = rand::random();
    (drawn >> (64 - ID_BITS)).max(1)
}

/// Whether this node may lack what it has acknowledged: since this start (`may_have_lost`), or
/// since an earlier one that did not catch up either.
///
/// # Errors
/// Where that cannot be kept.
pub async fn is_behind(meta: &Meta, may_have_lost: bool, config: &Config) -> Result<bool, Fatal> {
    let is_behind = may_have_lost || meta.get(BEHIND).is_some_and(|byte| byte == [1]);
    let accepted = is_behind && config.votes_after_loss();
    if may_have_lost || accepted {
        let kept = meta.put(BEHIND, vec![u8::from(!accepted)]).await;
        kept.map_err(|error| Fatal::Setup(format!("cannot keep that it is behind: {error}")))?;
    }
    if accepted {
        tracing::warn!(
            "votes though acknowledged writes may be lost, as cluster-vote-after-loss says"
        );
    }
    Ok(is_behind && !accepted)
}

/// Where this node is reached: as announced, else where it listens. `None` where no port is left
/// for its peers: it stays alone.
///
/// # Errors
/// Where it is to start a cluster and is not among its nodes.
pub fn own_address(config: &Config) -> Result<Option<NodeAddress>, Fatal> {
    let Some(peer_port) = config.peer_port() else {
        return Ok(None);
    };
    let own = config.announce_address().unwrap_or_else(|| NodeAddress {
        host: reachable_host(config),
        port: config.port(),
        peer_port,
    });
    let peers = config.cluster_peers();
    if !peers.is_empty() && !peers.contains(&own) {
        return Err(Fatal::Setup(format!(
            "this node is reached at {own} and cluster-peers does not name that: name it, or give \
             the node's announce-address"
        )));
    }
    Ok(Some(own))
}

/// The first address it listens at that others can use; this machine's name where it listens at
/// all of them.
fn reachable_host(config: &Config) -> String {
    let bind = config.bind();
    let host = bind
        .first()
        .map_or("127.0.0.1", |host| host.trim_start_matches('-'));
    match host {
        "*" | "0.0.0.0" | "::" | "::*" => machine_name().unwrap_or("127.0.0.1".to_string()),
        host => host.to_string(),
    }
}

fn machine_name() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_string()).filter(|name| !name.is_empty())
}

/// A node's dealings with its cluster. Lives on the Raft core.
pub struct Cluster {
    pub relay: Rc<Relay>,
    pub own: Member,
    pub address: NodeAddress,
    /// It has begun without any data.
    pub is_new: bool,
    pub meta: Rc<Meta>,
    pub cluster_id: Rc<ClusterId>,
}

impl Cluster {
    /// Answers the other nodes from now on, and brings this one to where it is to be.
    pub fn enter(self: Rc<Self>, beginning: Beginning, is_behind: bool) {
        let answering = Rc::new(Answering(self.clone()));
        self.relay.transport.serve(&self.relay.group, answering);
        if is_behind {
            rt::spawn(self.clone().vote_once_caught_up());
        }
        rt::spawn(cluster_id::learn(Rc::downgrade(&self)));
        rt::spawn(self.settle(beginning));
    }

    /// Brings this node to where it is to be, however long that takes.
    async fn settle(self: Rc<Self>, beginning: Beginning) {
        let mut tries = 0;
        while !self.is_settled(&beginning) {
            let taken_in = match &beginning {
                Beginning::Alone => self.ask_for_a_place(&[]).await,
                Beginning::With(peers, expected) => self.begin_with(peers, *expected).await,
                Beginning::Joining(members) => self.ask_for_a_place(members).await,
            };
            // Whoever takes it out again from now on means it.
            if taken_in {
                return;
            }
            tries += 1;
            if tries % TELL_EVERY == 0 && !self.is_settled(&beginning) {
                tracing::info!("still waiting to become a member of the cluster");
            }
            rt::sleep(ASK_EVERY).await;
        }
    }

    /// Lets a node vote that may have lost what it had acknowledged, once it has caught up with a
    /// leader.
    async fn vote_once_caught_up(self: Rc<Self>) {
        tracing::warn!(
            "the machine stopped while acknowledged writes were not on disk: this node does not \
             vote until it has caught up with a leader, or heard from every voter how far its log goes"
        );
        let mut told = None;
        loop {
            if self.relay.group.state().role == Role::Down {
                return;
            }
            let longest = self.longest_log().await;
            if let Some(end) = longest.filter(|_| longest != told) {
                told = longest;
                self.relay.group.may_vote_for(end);
            }
            if let Some(index) = self.relay.read_index().await {
                let patience = Instant::now() + CAUGHT_UP_WITHIN;
                let caught_up = self.relay.group.wait_applied(index, patience).await.is_ok();
                if caught_up && self.meta.put(BEHIND, vec![0]).await.is_ok() {
                    self.relay.group.may_vote(true);
                    tracing::info!("caught up: this node votes again");
                    return;
                }
            }
            rt::sleep(ASK_EVERY).await;
        }
    }

    /// Where the longest log of all voters ends, where every one of them answers: who has that
    /// has all that any of them still has, and there may be no leader to catch up with.
    async fn longest_log(&self) -> Option<Option<Position>> {
        let group = &self.relay.group;
        let mut longest = group.log_end();
        for voter in group.state().members.iter().filter(|one| one.is_voter) {
            if voter.member.id == self.own.id {
                continue;
            }
            let address = voter.member.address.parse().ok()?;
            let request = Bytes::from_static(&[LOG_END]);
            let answer = self.relay.transport.call(&address, request).await.ok()?;
            longest = longest.max(answering::position(relay::done(&answer)?)?);
        }
        Some(longest)
    }

    /// Whether this node is a member at its address; one that is to be a voter, a voter.
    fn is_settled(&self, beginning: &Beginning) -> bool {
        let state = self.relay.group.state();
        let own = |one: &MemberState| {
            one.member == self.own && (one.is_voter || *beginning == Beginning::Alone)
        };
        state.role == Role::Down || state.members.iter().any(own)
    }

    /// Begins a cluster, or asks for a place in the one that there is. Answers whether it was taken in.
    async fn begin_with(&self, peers: &[NodeAddress], expected: usize) -> bool {
        if self.relay.group.state().members.is_empty() {
            let mut answers = Vec::new();
            for peer in peers.iter().filter(|peer| **peer != self.address) {
                if let Some(told) = self.who_is_at(peer).await {
                    answers.push((peer, told));
                }
            }
            if answers.iter().all(|(_, told)| !told.is_member) {
                let first = peers.iter().min() == Some(&self.address);
                if first && answers.len() + 1 >= expected {
                    let others = answers.iter().map(|(peer, told)| Member {
                        id: told.node_id,
                        address: peer.to_string(),
                    });
                    let mut voters: Vec<Member> = others.take(expected - 1).collect();
                    voters.push(self.own.clone());
                    if let Err(error) = self.begin_cluster(&voters).await {
                        tracing::warn!("{error}");
                    }
                }
                return false;
            }
        }
        self.ask_for_a_place(peers).await
    }

    /// Begins a cluster of `voters`, unless this node was taken into another meanwhile.
    async fn begin_cluster(&self, voters: &[Member]) -> Result<(), Fatal> {
        let drawn = self.cluster_id.draw().await?;
        match self.relay.group.initialize(voters).await {
            Ok(()) => {
                self.cluster_id.begun(drawn);
                tracing::info!("a cluster of {} nodes begins", voters.len());
            }
            Err(error) => {
                tracing::debug!("no cluster begins here: {error}");
                // Whether it has begun is not known where the group failed at it.
                if matches!(error, ChangeError::Invalid(_)) {
                    self.cluster_id.not_begun().await?;
                }
            }
        }
        Ok(())
    }

    /// Asks the leader, as far as it is known here, then `others`, to make this node a voter at its
    /// address. Answers whether that was done.
    async fn ask_for_a_place(&self, others: &[NodeAddress]) -> bool {
        let mut request = BytesMut::new();
        request.put_u8(ADMIT);
        request.put_u64_le(self.own.id);
        request.put_u8(self.is_new.into());
        request.put_slice(self.own.address.as_bytes());
        let request = request.freeze();
        if self.relay.group.is_leader() {
            let answer = self.admit(self.own.clone(), false).await;
            return relay::done(&answer).is_some();
        }
        let leader = self.relay.group.leader();
        let leader = leader.and_then(|leader| leader.address.parse().ok());
        for to in leader
            .iter()
            .chain(others)
            .filter(|to| **to != self.address)
        {
            let Ok(mut answer) = self.relay.transport.call(to, request.clone()).await else {
                continue;
            };
            // A member that does not lead says who does.
            if let Some(leader) = relay::leader_named(&answer) {
                match self.relay.transport.call(&leader, request.clone()).await {
                    Ok(said) => answer = said,
                    Err(_) => continue,
                }
            }
            if relay::done(&answer).is_some() {
                return true;
            }
            if let Some(why) = relay::text_of(&answer) {
                tracing::info!("{to} does not take this node in yet: {why}");
            }
        }
        false
    }

    /// Makes a node a voter at its address, on the leader. A node that was at that address before
    /// has lost its data, id and all: it goes.
    pub(super) async fn admit(&self, node: Member, is_new: bool) -> Bytes {
        match self.try_admit(node, is_new).await {
            Ok(()) => relay::ok(),
            Err(error) => self.refusal(&error),
        }
    }

    async fn try_admit(&self, node: Member, is_new: bool) -> Result<(), ChangeError> {
        let group = &self.relay.group;
        let state = group.state();
        let mut members = state.members.iter().map(|one| &one.member);
        let known = members.clone().find(|member| member.id == node.id);
        let before = members.find(|member| member.address == node.address && member.id != node.id);
        if known.is_none() && !is_new {
            return Err(ChangeError::Invalid(format!(
                "node {} was removed from this cluster: it joins anew with an empty directory",
                node.id
            )));
        }
        if let Some(before) = before {
            tracing::info!("{} begins anew: node {} goes", node.address, before.id);
            group.remove(before.id).await?;
        }
        match known {
            Some(known) if known.address == node.address => {}
            Some(_) => group.replace_address(node.clone()).await?,
            None => {
                tracing::info!("node {} at {} joins", node.id, node.address);
                group.add_learner(node.clone()).await?;
            }
        }
        group.promote(node.id).await
    }

    fn refusal(&self, error: &ChangeError) -> Bytes {
        let group = &self.relay.group;
        match group.leader().filter(|_| !group.is_leader()) {
            Some(leader) => relay::not_leader(Some(&leader.address)),
            None => relay::text(&error.to_string()),
        }
    }

    /// Carries out `change`, the words behind `RAFT`, here or on the leader. A leader that is to go
    /// hands over first: then on the one that follows it.
    ///
    /// # Errors
    /// Why it was not made, for whoever asked.
    pub async fn change(&self, change: &str) -> Result<(), Error> {
        for _ in 0..CHANGE_TRIES_MAX {
            match self.try_change(change).await {
                Ok(()) => return Ok(()),
                Err(NotChanged::Refused(error)) => return Err(error),
                Err(NotChanged::Elsewhere) => {}
            }
            rt::sleep(CHANGE_AGAIN).await;
        }
        Err(Error::fixed("TRYAGAIN the leader has changed"))
    }

    pub(super) async fn try_change(&self, change: &str) -> Result<(), NotChanged> {
        let refused = |why: String| NotChanged::Refused(Error::new(why));
        let group = &self.relay.group;
        if group.is_leader() {
            let change = change
                .parse()
                .map_err(|why| refused(format!("ERR {why}")))?;
            return super::change::change(self, change).await;
        }
        let leader = group
            .leader()
            .and_then(|leader| leader.address.parse().ok());
        let nobody = || refused(Unavailable::NoLeader.to_string());
        let leader: NodeAddress = leader.ok_or_else(nobody)?;
        let mut request = BytesMut::new();
        request.put_u8(CHANGE);
        request.put_slice(change.as_bytes());
        let answer = self.relay.transport.call(&leader, request.freeze()).await;
        let answer = answer.map_err(|error| match error {
            CallError::NotSent(why) => {
                refused(format!("CLUSTERDOWN the leader cannot be reached: {why}"))
            }
            other => refused(format!("UNCERTAIN the leader did not answer: {other}")),
        })?;
        match (relay::done(&answer), relay::text_of(&answer)) {
            (Some(_), _) => Ok(()),
            (None, Some(why)) => Err(refused(why)),
            (None, None) => Err(NotChanged::Elsewhere),
        }
    }

    /// Who the node at an address is; `None` where none answers.
    pub(super) async fn who_is_at(&self, address: &NodeAddress) -> Option<Introduction> {
        let request = Bytes::from_static(&[HELLO]);
        let answer = self.relay.transport.call(address, request).await.ok()?;
        answering::introduction(&answer)
    }
}

//! Starting a node's Raft core: what its disk keeps, its group, its place in the cluster.

use std::cell::Cell;
use std::path::Path;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::LocalBoxFuture;

use crate::checkpoint::Store;
use crate::config::{Config, LogBackend};
use crate::error::Fatal;
use crate::log::meta::Meta;
use crate::log::{self, Log};
use crate::raft::{
    Group, GroupOptions, Member, PeerCertificates, Transport, TransportOptions, VoteStore,
};
use crate::rt::{self, Parker};

use super::cluster::{self, Beginning, Cluster};
use super::cluster_id::ClusterId;
use super::copies::Copies;
use super::digests::Digests;
use super::layout::Layout;
use super::raft_side::{Joint, Raft};
use super::relay::Relay;
use super::sequencer::Sequencer;
use super::timed_log::{Clockwork, TimedLog};

/// Seed of the tables' order. One for all nodes, so that a cursor of SCAN, and a slice whose digest
/// is taken, mean the same on each.
pub(super) const SEED: u64 = 0x5EED_0F9A_7E5C_A95E;

/// Whether log and checkpoint make one history: what a checkpoint holds was in the log before, and
/// goes from the log only then. One that another node sent was not: until the log behind it is
/// forgotten, the log ends anywhere before it.
fn check_joined(
    log: &dyn Log,
    checkpoint_index: u64,
    may_be_shorter: bool,
    directory: &Path,
) -> Result<(), Fatal> {
    let purged_index = log.purged().map_or(0, |purged| purged.index);
    let log_index = log.last().map_or(0, |last| last.index);
    let directory = directory.display();
    let what = if purged_index > checkpoint_index {
        format!(
            "the log begins behind index {purged_index} and the newest checkpoint ends at \
             {checkpoint_index}: what lay between is missing; restore {directory} from a backup"
        )
    } else if log_index < checkpoint_index && !may_be_shorter {
        format!(
            "the newest checkpoint ends at index {checkpoint_index} and the log at {log_index}: \
             files of the log are missing; put them back, or restore {directory} from a backup"
        )
    } else {
        return Ok(());
    };
    Err(Fatal::Corrupt { what })
}

/// Opens the log, and refuses one that does not go with the checkpoint. Tells with it whether
/// acknowledged entries may be lost.
fn open_log(config: &Config, store: &Store) -> Result<(Rc<dyn Log>, bool), Fatal> {
    let backend = match config.log_backend() {
        LogBackend::Segment => log::Backend::Segment,
        LogBackend::Fjall => log::Backend::Fjall,
    };
    let log_options = log::Options {
        segment_bytes: config.log_segment_bytes(),
        ..log::Options::default()
    };
    let mut shown = 0;
    let mut progress = |progress: log::Progress| {
        // A line for every tenth.
        let tenth = progress.bytes_done * 10 / progress.bytes_total.max(1);
        if tenth > shown {
            shown = tenth;
            tracing::info!(
                "log: {} of {} bytes read",
                progress.bytes_done,
                progress.bytes_total
            );
        }
    };
    let directory = config.dir().join("log");
    let log_is_new = !directory.exists();
    let (log, recovery) = log::open(&directory, backend, log_options, &mut progress)?;
    let newest = store.newest();
    let checkpoint_index = newest.as_ref().map_or(0, |meta| meta.origin.index);
    // Only a machine crash takes the end of a log.
    let received = newest.is_some_and(|meta| meta.received);
    let may_be_shorter = (recovery.boot_changed || received) && !log_is_new;
    check_joined(&*log, checkpoint_index, may_be_shorter, config.dir())?;
    Ok((log, recovery.acknowledged_may_be_lost))
}

/// Refuses a node that has a past and does not know who it was, or whom it voted for: fjall takes a
/// damaged row of its journal for the torn end of it, and drops all from there on.
fn check_remembered(
    meta: &Meta,
    log: &dyn Log,
    store: &Store,
    directory: &Path,
) -> Result<(), Fatal> {
    let past = log.last().or(log.purged()).map(|last| last.term);
    let past = past.max(store.newest().map(|meta| meta.origin.term));
    let missing = match past {
        Some(_) if meta.get(cluster::NODE_ID).is_none() => "this node's id",
        // What a group begins with is logged in term 0, before the first vote.
        Some(1..) if meta.get(VOTE).is_none() => "the vote",
        _ => return Ok(()),
    };
    let what = format!("{}: {missing} is missing", directory.join("meta").display());
    Err(Fatal::Corrupt { what })
}

/// What a node's disk keeps between its starts.
pub(super) struct Kept {
    pub log: Rc<dyn Log>,
    /// Acknowledged entries may be missing from the log, by a crash before this start.
    pub may_have_lost: bool,
    pub meta: Rc<Meta>,
    pub store: Arc<Store>,
    pub backend: &'static str,
}

pub(super) async fn start_raft(
    config: &Config,
    layout: Layout,
    store: Arc<Store>,
    parker: Parker,
) -> Result<Raft, Fatal> {
    // Said before anything is opened.
    cluster::own_address(config)?;
    let (log, may_have_lost) = open_log(config, &store)?;
    let meta = Meta::open(&config.dir().join("meta"))?;
    let kept = Kept {
        log,
        may_have_lost,
        meta: Rc::new(meta),
        store,
        backend: match config.log_backend() {
            LogBackend::Segment => "segment",
            LogBackend::Fjall => "fjall",
        },
    };
    start_raft_on(config, layout, kept, parker).await
}

/// Starts the group on what the disk keeps, and enters the cluster.
pub(super) async fn start_raft_on(
    config: &Config,
    layout: Layout,
    kept: Kept,
    parker: Parker,
) -> Result<Raft, Fatal> {
    let Kept {
        log, meta, store, ..
    } = kept;
    check_remembered(&meta, &*log, &store, config.dir())?;
    let address = cluster::own_address(config)?;
    let is_new = log.last().is_none() && log.purged().is_none() && store.newest().is_none();
    let is_behind = cluster::is_behind(&meta, kept.may_have_lost, config).await?;
    keep_no_longer(&*log)?;
    let nowhere = || format!("127.0.0.1:{}", config.port());
    let own = Member {
        id: cluster::identity(&meta).await?,
        address: address.as_ref().map_or_else(nowhere, ToString::to_string),
    };
    let sequencer = Rc::new(Sequencer::new(own.id, parker.clone()));
    let clockwork = Rc::new(Clockwork::default());
    let log: Rc<dyn Log> = Rc::new(TimedLog {
        log,
        clockwork: clockwork.clone(),
    });
    let joint = Rc::new(Joint::new(
        sequencer.clone(),
        store,
        layout.shards,
        SEED,
        clockwork.clone(),
    ));
    let beginning = Beginning::of(config);
    let begins_alone = is_new && beginning == Beginning::Alone;
    let first_voters = begins_alone.then(|| own.clone()).into_iter().collect();
    let options = GroupOptions {
        may_vote: !is_behind,
        ..group_options(config, own.id, first_voters)
    };
    let transport = listen(config, own.id, address.is_some()).await?;
    let votes = Rc::new(Votes(meta.clone()));
    let group = Group::start(
        options,
        log.clone(),
        votes,
        joint.clone(),
        transport.clone(),
    );
    let group = group.await?;
    let cluster_id = Rc::new(ClusterId::of(meta.clone(), &group).await?);
    let copies = Rc::new(Copies::new(group.clone(), log.clone(), transport.clone()));
    let digests = Rc::new(Digests::new(layout.shards));
    let cluster = transport.zip(address).map(|(transport, address)| {
        let relay = Rc::new(Relay {
            sequencer: sequencer.clone(),
            group: group.clone(),
            transport,
            digests: digests.clone(),
            copies: copies.clone(),
            reads_by_lease: Cell::new(false),
        });
        let cluster = Rc::new(Cluster {
            relay,
            own,
            address,
            is_new,
            meta,
            cluster_id: cluster_id.clone(),
        });
        cluster.clone().enter(beginning, is_behind);
        cluster
    });
    let raft = Raft {
        sequencer,
        recovered: recovery(&group, &parker),
        group,
        log,
        joint,
        cluster,
        cluster_id,
        digests,
        copies,
        answers: Rc::default(),
        parker,
        backend: kept.backend,
        clockwork,
    };
    raft.configure(config);
    raft.spawn_syncs();
    Ok(raft)
}

/// The loss that the log told of is kept elsewhere by now.
fn keep_no_longer(log: &dyn Log) -> Result<(), Fatal> {
    let marked = log.loss_kept();
    marked.map_err(|error| Fatal::Setup(format!("cannot write the log's mark: {error}")))
}

fn group_options(config: &Config, node_id: u64, first_voters: Vec<Member>) -> GroupOptions {
    GroupOptions {
        heartbeat_ms: config.cluster_heartbeat().as_millis() as u64,
        election_ms_min: config.cluster_election().as_millis() as u64,
        election_ms_max: config.cluster_election_max().as_millis() as u64,
        ..GroupOptions::member(node_id, first_voters)
    }
}

/// Listens for peers, where the node is reached by them.
async fn listen(
    config: &Config,
    node_id: u64,
    is_reached: bool,
) -> Result<Option<Transport>, Fatal> {
    if !is_reached {
        return Ok(None);
    }
    let bind = config.bind();
    let host = bind
        .first()
        .map_or("127.0.0.1", |host| host.trim_start_matches('-'));
    let bind = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let transport = Transport::listen(TransportOptions {
        node_id,
        bind: bind.to_string(),
        peer_port: config.peer_port().unwrap_or_default(),
        secret: config.cluster_secret().into_bytes(),
        certificates: config
            .cluster_certificates()
            .map(|[certificate, key, authorities]| PeerCertificates {
                certificate,
                key,
                authorities,
            }),
        scratch: config.dir().to_path_buf(),
    })
    .await?;
    Ok(Some(transport))
}

/// Set once the node may serve. One that is alone has to have applied all that its log holds; a
/// member of a cluster asks the leader before each read that must be new.
fn recovery(group: &Group, parker: &Parker) -> Rc<Cell<bool>> {
    let recovered = Rc::new(Cell::new(false));
    let state = group.state();
    let only = matches!(&state.members[..], [only] if only.member.id == state.node_id);
    if !only {
        recovered.set(true);
        return recovered;
    }
    let (waiting, flag, waker) = (group.clone(), recovered.clone(), parker.clone());
    rt::spawn(async move {
        match waiting.wait_leader_and_recovered().await {
            Ok(()) => flag.set(true),
            Err(why) => tracing::error!("the group did not come up: {why}"),
        }
        waker.notify();
    });
    recovered
}

pub(super) async fn stop_raft(
    group: &Group,
    log: &dyn Log,
    cluster: Option<&Cluster>,
) -> Result<(), Fatal> {
    group.stop().await;
    if let Some(cluster) = cluster {
        cluster.relay.transport.stop().await;
    }
    log.close()
        .await
        .map_err(|error| Fatal::Setup(format!("the log did not close: {error}")))
}

/// How long tasks that hold the store of checkpoints may take to end once the group has stopped.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);

/// Waits until no task holds the store of checkpoints: its directory is free then for the next node
/// of this process. An executor that ends does not drop the tasks that sleep on it.
pub(super) async fn let_go(joint: Weak<Joint>) {
    let begun = Instant::now();
    while joint.strong_count() > 0 {
        if begun.elapsed() > LET_GO_WITHIN {
            tracing::warn!("the node has stopped and something still holds its checkpoints");
            return;
        }
        rt::sleep(Duration::from_millis(2)).await;
    }
}

/// The vote in the meta store: always synced.
struct Votes(Rc<Meta>);

/// Key of the vote in the meta store.
const VOTE: &str = "vote";

impl VoteStore for Votes {
    fn save(&self, vote: Bytes) -> LocalBoxFuture<'_, std::io::Result<()>> {
        Box::pin(self.0.put(VOTE, vote.to_vec()))
    }

    fn read(&self) -> LocalBoxFuture<'_, std::io::Result<Option<Bytes>>> {
        let vote = self.0.get(VOTE).map(Bytes::from);
        Box::pin(async move { Ok(vote) })
    }
}

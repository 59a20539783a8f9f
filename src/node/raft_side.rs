//! What the Raft core has besides a shard core: the group, the log, the checkpoints.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::channel::oneshot;
use futures::future::LocalBoxFuture;
use futures::stream::StreamExt;

use crate::checkpoint::{Origin, Store, Writer};
use crate::clock;
use crate::config::Config;
use crate::error::Unavailable;
use crate::limits::ALL_VOTERS_MS;
use crate::log::{Log, Position};
use crate::metrics::PersistenceInfo;
use crate::raft::{Applier, CheckpointMeta, Chunks, Group};
use crate::resp::Error;
use crate::rt::{self, Parker};

use super::cluster::Cluster;
use super::cluster_id::ClusterId;
use super::copies::{Copies, Need, Want};
use super::digests::Digests;
use super::gather::{Answer, Question};
use super::growth::Growth;
use super::install::Incoming;
use super::sequencer::Sequencer;
use super::standing::{Proposer, Seat, Standing};
use super::timed_log::Clockwork;

/// How often what was written at `medium` is synced.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The Raft core's extra.
pub struct Raft {
    pub sequencer: Rc<Sequencer>,
    pub group: Group,
    pub log: Rc<dyn Log>,
    pub joint: Rc<Joint>,
    /// Absent where no port is left for peers.
    pub cluster: Option<Rc<Cluster>>,
    pub cluster_id: Rc<ClusterId>,
    pub digests: Rc<Digests>,
    pub copies: Rc<Copies>,
    /// Set once when everything in the log was applied and a leader is known.
    pub recovered: Rc<Cell<bool>>,
    /// Answers that were worked for: whom to, under which number.
    pub answers: Rc<RefCell<Vec<(usize, u64, Answer)>>>,
    pub parker: Parker,
    pub backend: &'static str,
    pub clockwork: Rc<Clockwork>,
}

/// Joins the group to the sequencer, and checkpoints to both.
pub struct Joint {
    pub(super) sequencer: Rc<Sequencer>,
    pub(super) store: Arc<Store>,
    /// The newest membership, opaque.
    pub(super) membership: RefCell<Bytes>,
    /// Shards that have not captured their part of the checkpoint under way, and who waits.
    capturing: RefCell<Option<Capturing>>,
    /// A checkpoint that another node sends.
    pub(super) incoming: Incoming,
    /// A checkpoint is being made, from its beginning to its end.
    writing: Cell<bool>,
    pub(super) shards: usize,
    pub(super) seed: u64,
    pub(super) status: RefCell<Status>,
    clockwork: Rc<Clockwork>,
}

struct Capturing {
    missing: usize,
    failed: Option<String>,
    /// Gone when the checkpoint was given up: the shards find that out.
    writer: Option<Writer>,
    done: oneshot::Sender<Result<Writer, String>>,
}

#[derive(Clone, Default)]
pub(super) struct Status {
    began_ms: Option<u64>,
    last_ms: u64,
    last_took_ms: Option<u64>,
    last_failed: bool,
    pub(super) growth: Growth,
    complete: u64,
    /// Of these none: another node's that took the place of the state.
    installed: u64,
    pub(super) last_index: u64,
}

impl Joint {
    /// `seed` fixes the order of the tables. Begins behind the store's newest checkpoint.
    pub fn new(
        sequencer: Rc<Sequencer>,
        store: Arc<Store>,
        shards: usize,
        seed: u64,
        clockwork: Rc<Clockwork>,
    ) -> Joint {
        let newest = store.newest();
        let membership = newest.as_ref().map(|meta| meta.origin.membership.clone());
        let status = Status {
            last_index: newest.as_ref().map_or(0, |meta| meta.origin.index),
            ..Status::default()
        };
        if let Some(meta) = &newest {
            sequencer.begin_at(position_of(&meta.origin));
        }
        Joint {
            sequencer,
            store,
            membership: RefCell::new(membership.unwrap_or_default().into()),
            capturing: RefCell::new(None),
            incoming: Incoming::default(),
            writing: Cell::new(false),
            shards,
            seed,
            status: RefCell::new(status),
            clockwork,
        }
    }

    /// A shard has captured its part, or could not.
    pub fn captured(&self, result: Result<(), String>) {
        let mut capturing = self.capturing.borrow_mut();
        let Some(under_way) = capturing.as_mut() else {
            return;
        };
        under_way.missing -= 1;
        under_way.failed = under_way.failed.take().or(result.err());
        if under_way.missing == 0
            && let Some(ended) = capturing.take()
        {
            let result = match (ended.writer, ended.failed) {
                (None, _) => Err("it was given up for another node's".to_string()),
                (Some(_), Some(why)) => Err(why),
                (Some(writer), None) => Ok(writer),
            };
            // Nobody waits any more when the group was stopped.
            let _ = ended.done.send(result);
        }
    }

    /// Whether a checkpoint of the node's own is under way.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.get()
    }

    /// Ends the shards' part of a checkpoint early. What is only being written goes on to its end.
    pub(super) fn give_up_capture(&self) {
        if let Some(under_way) = &mut *self.capturing.borrow_mut() {
            under_way.writer = None;
        }
    }

    /// The state is that of another node's checkpoint.
    pub(super) fn note_installed(&self, index: u64) {
        let mut status = self.status.borrow_mut();
        status.last_index = index;
        status.installed += 1;
        status.growth.forget();
        // One that gave way has not failed.
        status.last_failed = false;
    }

    /// Other nodes' checkpoints that took the place of this node's state.
    pub(super) fn installed(&self) -> u64 {
        self.status.borrow().installed
    }

    async fn write_checkpoint(&self) -> io::Result<CheckpointMeta> {
        self.clear_the_way().await?;
        let position = self.sequencer.position();
        let origin = Origin {
            term: position.term,
            leader: position.leader,
            index: position.index,
            membership: self.membership.borrow().to_vec(),
            seed: self.seed,
        };
        let writer = self.store.begin(origin)?;
        let (done, all_captured) = oneshot::channel();
        self.sequencer.capture(writer.feeder());
        *self.capturing.borrow_mut() = Some(Capturing {
            missing: self.shards,
            failed: None,
            writer: Some(writer),
            done,
        });
        let captured = all_captured
            .await
            .unwrap_or(Err("the node is stopping".to_string()));
        let writer = captured.map_err(io::Error::other)?;
        let meta = writer.finish().await?;
        Ok(meta_of(&meta.origin))
    }
}

/// A checkpoint of the node's own is under way, until this is dropped.
struct Writing<'j> {
    joint: &'j Joint,
    /// What the log had grown by: it counts again where the checkpoint comes to nothing.
    covered_bytes: u64,
    is_complete: bool,
}

impl<'j> Writing<'j> {
    /// `None` where one is under way already.
    fn begin(joint: &'j Joint) -> Option<Writing<'j>> {
        if joint.writing.replace(true) {
            return None;
        }
        let covered_bytes = joint.status.borrow_mut().growth.begin();
        Some(Writing {
            joint,
            covered_bytes,
            is_complete: false,
        })
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.is_complete {
            let growth = &mut self.joint.status.borrow_mut().growth;
            growth.count_again(self.covered_bytes, clock::steady_ms());
        }
        self.joint.writing.set(false);
        self.joint.incoming.own_ended();
    }
}

fn position_of(origin: &Origin) -> Position {
    Position {
        term: origin.term,
        leader: origin.leader,
        index: origin.index,
    }
}

fn meta_of(origin: &Origin) -> CheckpointMeta {
    CheckpointMeta {
        position: position_of(origin),
        membership: Bytes::from(origin.membership.clone()),
    }
}

impl Applier for Joint {
    fn apply(&self, position: Position, tag: Option<u64>, payload: Bytes) {
        self.clockwork.committed();
        self.sequencer.committed(position, tag, payload);
    }

    fn skip(&self, position: Position, membership: Option<Bytes>) {
        if let Some(membership) = membership {
            *self.membership.borrow_mut() = membership;
        }
        self.sequencer.skipped(position);
    }

    fn has_room(&self) -> bool {
        self.sequencer.has_room()
    }

    fn checkpoint(&self) -> Option<CheckpointMeta> {
        self.store.newest().map(|meta| meta_of(&meta.origin))
    }

    fn build_checkpoint(
        &self,
        _position: Position,
    ) -> LocalBoxFuture<'_, io::Result<CheckpointMeta>> {
        Box::pin(async move {
            let Some(mut writing) = Writing::begin(self) else {
                let why = "a checkpoint is being written already";
                return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
            };
            let began_ms = clock::now_ms();
            self.status.borrow_mut().began_ms = Some(began_ms);
            let result = self.write_checkpoint().await;
            writing.is_complete = result.is_ok();
            drop(writing);
            let mut status = self.status.borrow_mut();
            status.began_ms = None;
            status.last_failed = result.is_err();
            match &result {
                Ok(meta) => {
                    status.last_ms = clock::now_ms();
                    status.last_took_ms = Some(status.last_ms.saturating_sub(began_ms));
                    status.complete += 1;
                    status.last_index = meta.position.index;
                    tracing::info!(index = meta.position.index, "checkpoint complete");
                }
                Err(error) => tracing::error!("checkpoint failed, the one before stands: {error}"),
            }
            result
        })
    }

    fn export(&self) -> Option<(CheckpointMeta, Chunks)> {
        let (meta, chunks) = self.store.export()?;
        Some((meta_of(&meta.origin), chunks.boxed_local()))
    }

    fn receive(
        &self,
        meta: CheckpointMeta,
        chunks: Chunks,
    ) -> LocalBoxFuture<'_, io::Result<Chunks>> {
        Box::pin(self.receive_pieces(meta, chunks))
    }

    fn install(&self, meta: CheckpointMeta, chunks: Chunks) -> LocalBoxFuture<'_, io::Result<()>> {
        Box::pin(self.install_received(meta, chunks))
    }

    fn failed(&self, tag: u64, why: Unavailable) {
        self.sequencer.failed(tag, &why);
    }
}

impl Proposer for Group {
    fn standing(&self) -> Standing {
        let now = Group::standing(self);
        let seat = match now.leader {
            _ if now.alone => Seat::Alone,
            _ if now.failed => Seat::Down,
            _ if now.leads => Seat::Leader {
                has_quorum: now.has_quorum,
            },
            // One that is not heard any more is not asked either: what waits meanwhile was
            // certainly not done.
            Some(leader) if now.has_quorum => Seat::Follower { leader },
            _ => Seat::Lost,
        };
        Standing {
            term: now.term,
            seat,
        }
    }

    fn propose(&self, term: u64, tag: u64, payload: Bytes, sync: bool) -> Result<(), Unavailable> {
        self.propose_in(term, tag, payload, sync)
    }
}

impl Raft {
    /// Follows those settings that change while it runs.
    pub(super) fn configure(&self, config: &Config) {
        if let Some(cluster) = &self.cluster {
            let bytes_per_second = config.checkpoint_send_bytes_per_second();
            let transport = &cluster.relay.transport;
            transport.set_checkpoint_bytes_per_second(bytes_per_second);
            cluster.relay.reads_by_lease.set(config.reads_by_lease());
        }
    }

    /// Proposes what waits, or sends it to who leads. Answers whether it proposed.
    pub(super) fn send_on(&self) -> bool {
        let proposed = self.sequencer.propose(&self.group, clock::steady_ms());
        for (index, local) in self.sequencer.take_at_all() {
            let (copies, sequencer) = (self.copies.clone(), self.sequencer.clone());
            rt::spawn(async move {
                let need = Need::AllVoters;
                let patience = Duration::from_millis(ALL_VOTERS_MS);
                let found = copies.wait(Want { index, need }, patience).await;
                sequencer.release(local, found.is_enough);
            });
        }
        if let Some(cluster) = &self.cluster {
            cluster.relay.run();
        }
        proposed
    }

    /// Whether the main task has something to send.
    pub(super) fn has_work(&self) -> bool {
        self.sequencer.has_work() || !self.answers.borrow().is_empty() || self.recovered.get()
    }

    /// Works for a question that takes a while; the answer comes by [`Raft::answers`].
    pub(super) fn work_for(&self, from: usize, number: u64, question: &Question) {
        let answers = self.answers.clone();
        let (group, parker) = (self.group.clone(), self.parker.clone());
        if let Question::Copies(awaited, round_ms) = question {
            let (copies, awaited) = (self.copies.clone(), *awaited);
            let patience = Duration::from_millis(*round_ms);
            rt::spawn(async move {
                let answer = match copies.awaited(awaited, patience).await {
                    Ok(others) => Answer::Copies(others),
                    Err(error) => Answer::Done(Err(error.to_string())),
                };
                answers.borrow_mut().push((from, number, answer));
                parker.notify();
            });
            return;
        }
        if let Question::Change(asked) = question {
            let (cluster, asked) = (self.cluster.clone(), asked.to_string());
            rt::spawn(async move {
                let made = match cluster {
                    Some(cluster) => cluster.change(&asked).await,
                    None => Err(Error::fixed(
                        "ERR this node has no port for peers: give a peer-port",
                    )),
                };
                let answer = match made {
                    Ok(()) => Answer::Done(Ok(())),
                    Err(error) => Answer::Refused(error),
                };
                answers.borrow_mut().push((from, number, answer));
                parker.notify();
            });
            return;
        }
        if self.joint.status.borrow().began_ms.is_some() {
            let answer = Answer::Done(Err("Background save already in progress".to_string()));
            return answers.borrow_mut().push((from, number, answer));
        }
        rt::spawn(async move {
            let result = group.checkpoint().await.map(drop);
            let answer = Answer::Done(result.map_err(|error| error.to_string()));
            answers.borrow_mut().push((from, number, answer));
            parker.notify();
        });
    }

    /// As the leader of others, has digests taken and compared. About ten times a second.
    pub(super) fn watch_digests(&self) {
        let now_ms = clock::steady_ms();
        let (standing, _) = self.sequencer.standing();
        let leads = Seat::Leader { has_quorum: true };
        let Some(cluster) = self.cluster.as_ref().filter(|_| standing.seat == leads) else {
            return;
        };
        let (written, last) = (
            self.sequencer.written_index(),
            self.sequencer.position().index,
        );
        if let Some(slice) = self.digests.due(written, last, now_ms) {
            self.sequencer.ask_digest(slice);
        }
        if self.digests.begin_comparing(now_ms) {
            rt::spawn(cluster.relay.clone().compare_digests());
        }
    }

    /// Starts a checkpoint when the log has grown past `log_bytes_max`. About ten times a second.
    pub(super) fn checkpoint_when_due(&self, log_bytes_max: u64) {
        let now_ms = clock::steady_ms();
        if !self.joint.take_due(self.log.bytes(), log_bytes_max, now_ms) {
            return;
        }
        let group = self.group.clone();
        rt::spawn(async move {
            // What became of it was logged; one that failed is due again.
            let _ = group.checkpoint().await;
        });
    }

    /// Keeps the promise of `medium`: what was written is on disk within a second.
    pub(super) fn spawn_syncs(&self) {
        let log = Rc::downgrade(&self.log);
        rt::spawn(async move {
            loop {
                rt::sleep(SYNC_EVERY).await;
                let Some(log) = log.upgrade() else {
                    return;
                };
                let behind = log.last().is_some_and(|last| last.index > log.synced());
                if behind && let Err(error) = log.sync().await {
                    tracing::error!("the log cannot be synced: {error}");
                    return;
                }
            }
        });
    }

    pub(super) fn persistence(&self) -> PersistenceInfo {
        let status = self.joint.status.borrow().clone();
        PersistenceInfo {
            loading: false,
            entries_since_checkpoint: self
                .sequencer
                .position()
                .index
                .saturating_sub(status.last_index),
            checkpoint_began_ms: status.began_ms,
            checkpoint_last_ms: status.last_ms,
            checkpoint_last_took_ms: status.last_took_ms,
            checkpoint_last_failed: status.last_failed,
            checkpoints: status.complete,
            log_bytes: self.log.bytes(),
            log_backend: self.backend,
            log_failure: self.group.failure(),
        }
    }
}

//! A whole node without wires is given another node's checkpoint, on one shard and on four, and is
//! started again from what lies on its disk at each moment of that.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use bytes::Bytes;
use futures::future::LocalBoxFuture;
use futures::stream::{self, StreamExt};

use crate::checkpoint::tests::{copy_at_once, wait};
use crate::checkpoint::{Origin, Store};
use crate::command::{by_name, mutation};
use crate::config::{Config, Name, Startup};
use crate::error::Fatal;
use crate::keyspace::{Keyspace, Slice};
use crate::log::Position;
use crate::metrics::Counters;
use crate::raft::{Applier, CheckpointMeta, Chunks};
use crate::resp::Protocol;
use crate::rt::{self, Completion, Ring};
use crate::shard::Item;
use crate::slot::slot_of;
use crate::value::Digest;

use super::engine::NOBODY;
use super::entry::HEAD_BYTES;
use super::message::Submission;
use super::raft_side::Raft;
use super::*;

/// Something to do on the Raft core.
type Job = Box<dyn FnOnce(&Raft) -> LocalBoxFuture<'static, ()> + Send>;

/// Stands in front of each core and looks at it about ten times a second.
struct Probe {
    core: usize,
    open: bool,
    closed: bool,
    jobs: Arc<Mutex<Receiver<Job>>>,
    states: Arc<Mutex<Vec<State>>>,
}

/// What a shard last showed.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Looks so far, while the node served and nothing waited.
    looks: u64,
    digest: Digest,
}

impl Clients for Probe {
    fn client(&mut self, _id: u64) -> Option<&mut Client> {
        None
    }

    fn each(&mut self, _show: &mut dyn FnMut(ClientView<'_>)) {}

    fn count(&self, _counters: &mut Counters) {}

    fn kill(&mut self, _id: u64) {}

    fn configure(&mut self, _config: &Config, _names: &[Name]) {}
}

impl Front for Probe {
    fn open(&mut self, _ring: &Ring) {
        self.open = true;
    }

    fn complete(&mut self, _ring: &Ring, _completion: Completion, _engine: &mut Engine) {}

    fn resume(&mut self, _ring: &Ring, _engine: &mut Engine) -> bool {
        false
    }

    fn flush(&mut self, _ring: &Ring) {}

    fn tick(&mut self, _ring: &Ring, engine: &mut Engine) {
        if !self.open {
            return;
        }
        if let Some(raft) = &engine.raft
            && let Ok(job) = self.jobs.lock().unwrap().try_recv()
        {
            rt::spawn(job(raft));
        }
        let shard = engine.shard.as_ref().unwrap();
        if shard.backlog() == 0 {
            let state = &mut self.states.lock().unwrap()[self.core];
            state.looks += 1;
            state.digest = shard.keyspace().digest();
        }
    }

    fn close(&mut self, _ring: &Ring) {
        self.closed = true;
    }

    fn is_closed(&self) -> bool {
        self.closed
    }
}

/// A running node.
struct Running {
    node: super::Running,
    jobs: Sender<Job>,
    states: Arc<Mutex<Vec<State>>>,
}

impl Running {
    fn start(dir: &Path, shards: usize) -> Result<Running, Fatal> {
        let port = free_port().to_string();
        let args = ["--dir", dir.to_str().unwrap(), "--port", &port].map(String::from);
        let Startup::Run(config) = Config::from_args(&args).unwrap() else {
            panic!("nothing to print");
        };
        let (sender, jobs) = channel();
        let jobs = Arc::new(Mutex::new(jobs));
        let states = Arc::new(Mutex::new(vec![State::default(); shards]));
        let shown = states.clone();
        let front = move |core| {
            Ok(Probe {
                core,
                open: false,
                closed: false,
                jobs: jobs.clone(),
                states: shown.clone(),
            })
        };
        let node = start(config, Layout::new(shards, false), Vec::new(), front)?;
        Ok(Running {
            node,
            jobs: sender,
            states,
        })
    }

    /// Does something on the Raft core and waits for what it comes to.
    fn on_raft<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Raft) -> LocalBoxFuture<'static, T> + Send + 'static,
    ) -> T {
        let (sender, came) = mpsc::channel();
        let job = move |raft: &Raft| -> LocalBoxFuture<'static, ()> {
            let work = job(raft);
            Box::pin(async move { sender.send(work.await).unwrap() })
        };
        self.jobs.send(Box::new(job)).unwrap();
        came.recv_timeout(Duration::from_secs(30)).expect("an end")
    }

    /// Sets keys through the log, and waits until they are applied.
    fn write(&self, keys: std::ops::Range<usize>, value: &'static str) -> Position {
        self.on_raft(move |raft| {
            let sequencer = raft.sequencer.clone();
            let before = sequencer.position();
            let mut submission = Submission {
                commands: vec![0; HEAD_BYTES],
                sync: true,
                ..Submission::default()
            };
            let set = by_name(b"set").unwrap().id;
            for n in keys {
                let key = format!("key:{n}");
                let slot = slot_of(key.as_bytes());
                let arguments = [key.as_bytes(), value.as_bytes()];
                mutation::write_slices(&mut submission.commands, set, slot, 0, &arguments);
                submission.local.items.push(nobody());
            }
            sequencer.submit(submission);
            raft.parker.notify();
            Box::pin(async move {
                while sequencer.position() == before {
                    rt::sleep(Duration::from_millis(1)).await;
                }
                sequencer.position()
            })
        })
    }

    /// The digest of all shards, as soon as each has run all it was given.
    fn digest(&self) -> Digest {
        let first: Vec<u64> = self
            .states
            .lock()
            .unwrap()
            .iter()
            .map(|one| one.looks)
            .collect();
        for _ in 0..3000 {
            let states = self.states.lock().unwrap().clone();
            // The second look began after the question.
            if states
                .iter()
                .zip(&first)
                .all(|(one, first)| one.looks > first + 1)
            {
                let mut sum = Digest::default();
                states.iter().for_each(|one| sum += one.digest);
                return sum;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("a shard waits for ever");
    }

    fn stop(self) -> Result<(), Fatal> {
        // Gone where the node has stopped by itself.
        let _ = self.node.sender().send(Event::StopAsked);
        self.node.wait()
    }
}

/// A client port of which the peer port, 10000 above, is free. No two nodes of this process get
/// the same.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(11_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn nobody() -> Item {
    Item {
        client: NOBODY,
        seq: 0,
        core: 0,
        read: false,
        ordered: true,
        protocol: Protocol::Resp2,
    }
}

/// A checkpoint of another node at `position`: its pieces, and its digest.
fn other_state(position: Position, membership: &Bytes) -> (Vec<Bytes>, Digest) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let mut keyspace = Keyspace::new(3);
    for n in 0..20_000u64 {
        let value = format!("value {n}").repeat((n % 20) as usize);
        let db = keyspace.db_mut((n % 3) as usize);
        db.set_string(format!("key:{n}").as_bytes(), value.as_bytes(), n);
    }
    let writer = store
        .begin(Origin {
            term: position.term,
            leader: position.leader,
            index: position.index,
            membership: membership.to_vec(),
            seed: 3,
        })
        .unwrap();
    keyspace.begin_capture(1 << 40);
    let feeder = writer.feeder();
    loop {
        let mut chunk = Vec::new();
        let slice = keyspace.capture_slice(64 * 1024, &mut chunk);
        wait(feeder.put(chunk)).unwrap();
        if slice == Slice::Last {
            break;
        }
    }
    let digest = wait(writer.finish()).unwrap().digest;
    let (_, export) = store.export().unwrap();
    let pieces = export.map(|piece| piece.unwrap()).collect::<Vec<Bytes>>();
    (wait(pieces), digest)
}

fn chunks(pieces: &[Bytes]) -> Chunks {
    let pieces = pieces.to_vec();
    stream::iter(pieces.into_iter().map(Ok)).boxed_local()
}

/// Copies the node's directory as a crash would leave it.
fn copy_now(dir: &Path, to: PathBuf) -> PathBuf {
    loop {
        if let Some(copy) = copy_at_once(dir, &to) {
            return copy;
        }
    }
}

/// Far ahead of what the node has.
fn ahead_of(position: Position) -> Position {
    Position {
        index: position.index + 1000,
        ..position
    }
}

fn run_install(shards: usize) {
    let (dir, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let crash = |name: &str| copy_now(dir.path(), copies.path().join(name));
    let running = Running::start(dir.path(), shards).unwrap();
    let position = ahead_of(running.write(0..3000, "old"));
    let old = running.digest();
    let membership = running.on_raft(|raft| {
        let membership = raft.joint.membership.borrow().clone();
        Box::pin(async move { membership })
    });
    let (pieces, new) = other_state(position, &membership);
    let meta = CheckpointMeta {
        position,
        membership,
    };

    let mut crashes = vec![(crash("before"), old)];
    // What does not come to its end changes nothing.
    let half = (meta.clone(), pieces[..pieces.len() / 2].to_vec());
    running.on_raft(move |raft| {
        let joint = raft.joint.clone();
        Box::pin(async move {
            let (meta, pieces) = half;
            assert!(joint.receive(meta, chunks(&pieces)).await.is_err());
        })
    });
    crashes.push((crash("half"), old));
    assert_eq!(running.digest(), old);

    let whole = (meta.clone(), pieces.clone());
    let (go, gone) = mpsc::channel::<()>();
    let (received, is_received) = mpsc::channel::<()>();
    let job = move |raft: &Raft| -> LocalBoxFuture<'static, ()> {
        let joint = raft.joint.clone();
        Box::pin(async move {
            let token = joint
                .receive(whole.0.clone(), chunks(&whole.1))
                .await
                .unwrap();
            received.send(()).unwrap();
            while gone.try_recv().is_err() {
                rt::sleep(Duration::from_millis(5)).await;
            }
            joint.install(whole.0, token).await.unwrap();
            assert_eq!(joint.checkpoint().unwrap().position.index, position.index);
            received.send(()).unwrap();
        })
    };
    running.jobs.send(Box::new(job)).unwrap();
    is_received.recv().unwrap();
    crashes.push((crash("received"), old));
    assert_eq!(running.digest(), old);
    go.send(()).unwrap();
    is_received
        .recv_timeout(Duration::from_secs(30))
        .expect("installed");
    assert_eq!(running.digest(), new);
    // The log still has its old beginning and ends before the checkpoint.
    crashes.push((crash("installed"), new));
    running.on_raft(move |raft| {
        let log = raft.log.clone();
        Box::pin(async move { log.purge(position).await.unwrap() })
    });
    crashes.push((crash("purged"), new));
    running.stop().unwrap();

    for (dir, digest) in crashes {
        let name = dir.file_name().unwrap().to_owned();
        let running = Running::start(&dir, shards).unwrap();
        assert_eq!(running.digest(), digest, "{name:?}");
        let written = running.write(0..1, "later");
        assert_eq!(written.index > position.index, digest == new, "{name:?}");
        running.stop().unwrap();
    }
}

#[test]
fn one_shard_takes_over_a_checkpoint_and_starts_again_from_any_moment() {
    run_install(1);
}

#[test]
fn four_shards_take_over_a_checkpoint_and_start_again_from_any_moment() {
    run_install(4);
}

/// A checkpoint of the node's own ends early when another node's comes, and its next one is of the
/// state that came.
#[test]
fn a_checkpoint_of_the_nodes_own_gives_way() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path(), 2).unwrap();
    let position = ahead_of(running.write(0..20_000, "old"));
    let membership = running.on_raft(|raft| {
        let membership = raft.joint.membership.borrow().clone();
        Box::pin(async move { membership })
    });
    let (pieces, digest) = other_state(position, &membership);
    let meta = CheckpointMeta {
        position,
        membership,
    };
    let (own, next) = running.on_raft(move |raft| {
        let (joint, group) = (raft.joint.clone(), raft.group.clone());
        Box::pin(async move {
            let receive = joint.receive(meta.clone(), chunks(&pieces));
            let (own, token) = futures::join!(group.checkpoint(), receive);
            let token = token.unwrap();
            // Nor does one begin until the other is in place.
            let early = joint.build_checkpoint(position).await;
            assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
            assert!(joint.receive(meta.clone(), chunks(&pieces)).await.is_err());
            joint.install(meta.clone(), token).await.unwrap();
            let next = joint.build_checkpoint(position).await.unwrap();
            // What is let go makes room: not even its stream was looked at.
            drop(joint.receive(meta.clone(), chunks(&pieces)).await.unwrap());
            joint.build_checkpoint(position).await.unwrap();
            // So does what did not come to its end.
            assert!(joint.receive(meta, chunks(&pieces[..3])).await.is_err());
            joint.build_checkpoint(position).await.unwrap();
            (own.map(drop).map_err(|error| error.to_string()), next)
        })
    });
    assert!(own.unwrap_err().contains("given up"));
    assert_eq!(next.position, position);
    assert_eq!(running.digest(), digest);
    running.stop().unwrap();
}

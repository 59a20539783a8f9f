//! Three nodes on one executor, each a group, a sequencer, checkpoints and two shards: one that was
//! away comes back when the log it would need is gone.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checkpoint::Store;
use crate::checkpoint::tests::copy_at_once;
use crate::command::{Spec, by_name, mutation};
use crate::keyspace::OrderSlice;
use crate::metrics::Timing;
use crate::raft::tests::{Lan, MemoryLog, MemoryVotes, start_on};
use crate::raft::{Applier, Group, GroupOptions, Member};
use crate::resp::{Args, Reply};
use crate::rt::{self, Doorbell, Parker, Placement};
use crate::shard::{Captured, Host, Item, Shard, ShardMessage};
use crate::slot::slot_of;
use crate::value::Digest;

use super::Sequencer;
use super::engine::nobodys;
use super::entry::HEAD_BYTES;
use super::message::Submission;
use super::raft_side::Joint;
use super::sequencer::Outgoing;

const SHARDS: usize = 2;
const SEED: u64 = 5;

/// Nobody waits for replies, and no command here is over several shards.
struct Nowhere;

impl Host for Nowhere {
    fn reply(&mut self, _origin: usize, _item: &Item, _write: &mut dyn FnMut(&mut Vec<u8>)) {}

    fn send(&mut self, _shard: usize, _message: ShardMessage) {
        panic!("a command over several shards");
    }

    fn digested(&mut self, _index: u64, _slice: OrderSlice, _digest: Digest, _us: u64) {}

    fn time(&mut self, _spec: &Spec) -> Timing {
        Timing::begin(true, &mut 0)
    }

    fn ran(&mut self, _: &Spec, _: Args<'_>, _: Option<&Item>, _: Timing, _: &Reply<'_>) {}
}

/// What outlives a node's restarts.
struct Kept {
    id: u64,
    dir: RefCell<tempfile::TempDir>,
    log: Rc<MemoryLog>,
    votes: Rc<MemoryVotes>,
}

struct Running {
    group: Group,
    sequencer: Rc<Sequencer>,
    joint: Rc<Joint>,
    store: Arc<Store>,
    shards: Rc<RefCell<Vec<Shard>>>,
    stopped: Rc<Cell<bool>>,
}

impl Running {
    async fn start(lan: &Rc<Lan>, kept: &Kept) -> Running {
        let parker = Parker::new(Doorbell::new().unwrap());
        let sequencer = Rc::new(Sequencer::new(kept.id, parker));
        // What a crash leaves: the run before still has its files open.
        let left = tempfile::tempdir().unwrap();
        while copy_at_once(kept.dir.borrow().path(), left.path()).is_none() {}
        let store = Arc::new(Store::open(left.path()).unwrap());
        *kept.dir.borrow_mut() = left;
        let shards = load(&store);
        let joint = Rc::new(Joint::new(
            sequencer.clone(),
            store.clone(),
            SHARDS,
            SEED,
            Rc::default(),
        ));
        let members = (1..=3).map(|id| Member {
            id,
            address: format!("node-{id}"),
        });
        let options = GroupOptions::member(kept.id, members.collect());
        let (log, votes) = (kept.log.clone(), kept.votes.clone());
        let group = start_on(lan, options, log, votes, joint.clone()).await;
        let running = Running {
            group,
            sequencer,
            joint,
            store,
            shards: Rc::new(RefCell::new(shards)),
            stopped: Rc::default(),
        };
        running.spawn_turns();
        running
    }

    /// What the cores' main tasks do in a node.
    fn spawn_turns(&self) {
        let (group, sequencer) = (self.group.clone(), self.sequencer.clone());
        let (joint, shards) = (self.joint.clone(), self.shards.clone());
        let stopped = self.stopped.clone();
        rt::spawn(async move {
            while !stopped.get() {
                sequencer.propose(&group, crate::clock::steady_ms());
                let mut outgoing = Vec::new();
                while let Some(next) = sequencer.next_outgoing() {
                    outgoing.push(next);
                }
                for shard in shards.borrow_mut().iter_mut() {
                    for next in &outgoing {
                        if let Outgoing::Deliver(delivery) = next {
                            shard.deliver(delivery.clone());
                        }
                    }
                    shard.run(&mut Nowhere);
                    shard.replace_turn(0, &mut Nowhere);
                    if let Captured::End(result) = shard.capture_turn(16 * 1024) {
                        joint.captured(result);
                    }
                }
                rt::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    /// Runs one command for each of `keys`, and waits until they are applied here.
    async fn write(&self, name: &str, keys: std::ops::Range<usize>, value: &[&[u8]]) {
        let before = self.sequencer.position().index;
        let mut submission = Submission {
            commands: vec![0; HEAD_BYTES],
            sync: true,
            ..Submission::default()
        };
        let id = by_name(name.as_bytes()).unwrap().id;
        for n in keys {
            let key = format!("key:{n}");
            let arguments = [&[key.as_bytes()], value].concat();
            let slot = slot_of(key.as_bytes());
            mutation::write_slices(&mut submission.commands, id, slot, 0, &arguments);
            submission.local.items.push(nobodys(0));
        }
        self.sequencer.submit(submission);
        until("an entry", || self.sequencer.position().index > before).await;
    }

    /// The digest of all shards, unless they have something to run.
    fn digest(&self) -> Option<Digest> {
        let mut sum = Digest::default();
        for shard in self.shards.borrow().iter() {
            if shard.backlog() > 0 {
                return None;
            }
            sum += shard.keyspace().digest();
        }
        Some(sum)
    }

    async fn stop(self) {
        self.group.stop().await;
        self.stopped.set(true);
    }
}

/// The shards as a start loads them.
fn load(store: &Store) -> Vec<Shard> {
    let shards: Vec<_> = (0..SHARDS)
        .map(|id| std::sync::Mutex::new(Shard::new(id, SHARDS, SEED)))
        .collect();
    let sink = |shard: usize| {
        let shard = &shards[shard];
        move |chunk: Vec<u8>| {
            let mut shard = shard.lock().unwrap();
            shard.keyspace_mut().install_chunk(&chunk).unwrap();
            Ok(())
        }
    };
    store.load(SHARDS, sink, |_, _| {}).unwrap();
    let shards = shards.into_iter();
    shards.map(|shard| shard.into_inner().unwrap()).collect()
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        rt::sleep(Duration::from_millis(2)).await;
    }
}

async fn agree(nodes: &[&Running]) {
    let equal = || {
        let digests: Vec<_> = nodes.iter().map(|node| node.digest()).collect();
        digests[0].is_some() && digests.iter().all(|one| *one == digests[0])
    };
    until("equal digests", equal).await;
}

fn run(test: impl Future<Output = ()>) {
    let settings = rt::Settings {
        name: "nodes".into(),
        placement: Placement::Unbound,
    };
    rt::executor::run(&settings, test).unwrap();
}

#[test]
fn a_node_behind_the_purged_log_is_given_the_checkpoint_and_goes_on() {
    run(async {
        let lan = Lan::new();
        let kept: Vec<Kept> = (1..=3)
            .map(|id| Kept {
                id,
                dir: RefCell::new(tempfile::tempdir().unwrap()),
                log: MemoryLog::new(),
                votes: MemoryVotes::new(),
            })
            .collect();
        let mut nodes = Vec::new();
        for kept in &kept {
            nodes.push(Running::start(&lan, kept).await);
        }
        until("a leader", || nodes.iter().any(|one| one.group.is_leader())).await;
        let leads = nodes.iter().position(|one| one.group.is_leader()).unwrap();
        nodes[leads].write("set", 0..500, &[b"first"]).await;
        agree(&nodes.iter().collect::<Vec<_>>()).await;

        // One is away while keys change, come and go, and the log of that is forgotten.
        let away = (leads + 1) % 3;
        lan.cut(kept[away].id);
        let gone = nodes.remove(away);
        let old = gone.digest();
        gone.stop().await;
        let leads = nodes.iter().position(|one| one.group.is_leader()).unwrap();
        let leader = &nodes[leads];
        leader.write("set", 300..4000, &[&[7; 200]]).await;
        leader.write("del", 0..100, &[]).await;
        leader.write("expire", 100..200, &[b"1000000"]).await;
        let meta = leader.group.checkpoint().await.unwrap();
        let purged = || leader.group.state().purged_index == Some(meta.position.index);
        until("a purge", purged).await;
        leader
            .write("set", 4000..4100, &[b"behind the checkpoint"])
            .await;

        let back = Running::start(&lan, &kept[away]).await;
        lan.heal(kept[away].id);
        agree(&[leader, &back]).await;
        assert_ne!(back.digest(), old);
        let newest = back.store.newest().unwrap();
        assert!(newest.received && newest.origin.index == meta.position.index);
        leader.write("set", 0..50, &[b"later"]).await;
        agree(&[&nodes[0], &nodes[1], &back]).await;

        // It starts again from what it was given.
        back.stop().await;
        let again = Running::start(&lan, &kept[away]).await;
        assert_eq!(again.joint.checkpoint(), Some(meta));
        agree(&[leader, &again]).await;
        for node in nodes.into_iter().chain([again]) {
            node.stop().await;
        }
    });
}

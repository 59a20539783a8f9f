//! What one core counts as under way, without a group.

use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;

use crate::checkpoint::{Origin, Store};
use crate::command::{by_name, mutation};
use crate::config::{Config, Name};
use crate::error::Unavailable;
use crate::metrics::Counters;
use crate::rt::mesh::mesh;
use crate::rt::{self, Doorbell, Parker};
use crate::shard::{Delivery, Local, Part, Shard};
use crate::slot::slot_of;

use super::engine::nobodys;
use super::*;

/// Nobody is connected.
struct Empty;

impl Clients for Empty {
    fn client(&mut self, _id: u64) -> Option<&mut Client> {
        None
    }

    fn each(&mut self, _show: &mut dyn FnMut(ClientView<'_>)) {}

    fn count(&self, _counters: &mut Counters) {}

    fn kill(&mut self, _id: u64) {}

    fn configure(&mut self, _config: &Config, _names: &[Name]) {}
}

fn engine(doorbell: &Doorbell) -> Engine {
    let mesh = mesh::<Message>(std::slice::from_ref(doorbell)).remove(0);
    let shard = Shard::new(0, 1, 7);
    let (events, _) = channel();
    Engine::new(
        Layout::new(1, false),
        mesh,
        Some(shard),
        None,
        Config::default(),
        events,
    )
}

/// A batch of this core that sets `keys`, and its commands.
fn sets(keys: std::ops::Range<usize>, value: &[u8]) -> (Local, Vec<u8>) {
    let set = by_name(b"set").unwrap().id;
    let (mut local, mut commands) = (Local::default(), Vec::new());
    for n in keys {
        let key = format!("key:{n}");
        let slot = slot_of(key.as_bytes());
        mutation::write_slices(&mut commands, set, slot, 0, &[key.as_bytes(), value]);
        local.items.push(nobodys(0));
    }
    local.bytes = commands.len();
    (local, commands)
}

/// Counts a batch as under way and delivers it.
fn deliver(engine: &mut Engine, id: u64, (local, commands): (Local, Vec<u8>)) {
    engine.submitted_bytes += local.bytes;
    let delivery = Delivery {
        id,
        index: id,
        now_ms: 1,
        seed: 1,
        parts: vec![Part {
            commands: 0..commands.len(),
            local: Some(Arc::new(local)),
        }],
        payload: Bytes::from(commands),
        capture: None,
        digest: None,
        replace: None,
    };
    let message = Message::Deliver(Arc::new(delivery));
    engine.out.to_self.push_back(message);
    engine.receive(&mut Empty);
}

/// One batch that was refused gives back its own bytes: those of the others are under way still,
/// also those of its reads that go on.
#[test]
fn a_refused_batch_gives_back_its_own_bytes() {
    let mut engine = engine(&Doorbell::new().unwrap());
    let local = |bytes, reads| {
        Arc::new(Local {
            bytes,
            reads: vec![0; reads],
            ..Local::default()
        })
    };
    engine.submitted_bytes = 1000;
    for (refused, why, left) in [
        (local(100, 0), Unavailable::NoLeader, 900),
        (local(100, 30), Unavailable::Uncertain, 800),
        (local(100, 30), Unavailable::NoReplicas, 730),
        (local(30, 30), Unavailable::NoLeader, 700),
    ] {
        let message = Message::Refused(refused, why);
        engine.out.to_self.push_back(message);
        engine.receive(&mut Empty);
        assert_eq!(engine.submitted_bytes, left);
    }
}

/// What waited for a checkpoint and ran with one of its turns is under way no more: nothing else
/// may come that would say so.
#[test]
fn what_waited_for_a_checkpoint_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_path_buf();
    let settings = rt::Settings {
        name: "test".into(),
        placement: rt::Placement::Unbound,
    };
    let run = rt::executor::run(&settings, async move {
        let doorbell = Doorbell::new().unwrap();
        let parker = Parker::new(doorbell.clone());
        let mut engine = engine(&doorbell);
        let store = Store::open(&dir).unwrap();
        let writer = store.begin(Origin::default()).unwrap();
        deliver(&mut engine, 1, sets(0..8, &vec![1; 1 << 20]));
        let capture = Delivery {
            id: 2,
            index: 1,
            now_ms: 1,
            seed: 1,
            payload: Bytes::new(),
            parts: Vec::new(),
            capture: Some(writer.feeder()),
            digest: None,
            replace: None,
        };
        let message = Message::Deliver(Arc::new(capture));
        engine.out.to_self.push_back(message);
        // More than may be captured early is overwritten: the last batch waits.
        deliver(&mut engine, 3, sets(0..8, b"new"));
        deliver(&mut engine, 4, sets(0..8, b"newer"));
        assert_eq!(engine.shard.as_ref().unwrap().backlog(), 1);
        assert!(engine.submitted_bytes > 0);
        while engine.shard.as_ref().unwrap().backlog() > 0 {
            engine.capture_turn(&mut Empty, &parker);
            rt::yield_now().await;
        }
        assert_eq!(engine.submitted_bytes, 0);
    });
    run.unwrap();
}

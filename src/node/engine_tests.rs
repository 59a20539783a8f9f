//! What one core counts as under way, without a group.

use std::sync::Arc;
use std::sync::mpsc::channel;

use bytes::Bytes;

use crate::checkpoint::{Origin, Store};
use crate::command::{by_name, mutation};
use crate::config::{Config, Name};
use crate::error::Unavailable;
use crate::limits::{OUTPUT_BYTES_PAUSE, REPLIES_OUTSTANDING_MAX, TRANSACTION_BYTES_MAX};
use crate::metrics::Counters;
use crate::resp::{Args, Span};
use crate::rt::mesh::mesh;
use crate::rt::net::run_test;
use crate::rt::{self, Doorbell, Parker};
use crate::session::Watched;
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
    run_test(async move {
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
}

/// Has a connection ask for something.
fn ask(engine: &mut Engine, client: &mut Client, words: &[&str]) -> Flow {
    let (mut buffer, mut spans) = (Vec::new(), Vec::new());
    for word in words {
        let start = buffer.len() as u32;
        buffer.extend_from_slice(word.as_bytes());
        let end = buffer.len() as u32;
        spans.push(Span { start, end });
    }
    let args = Args::new(&buffer, &spans);
    let resolved = engine.resolve(client, args);
    engine.dispatch(client, 1, &resolved, args)
}

/// Answers the versions that were asked for, whose places begin at `first`.
fn answer_versions(client: &mut Client, first: u32, count: u32) {
    for number in first..first + count {
        client.complete(number, true, &mut |out| out.extend_from_slice(b":5\r\n"));
    }
}

const TOO_LARGE: &[u8] = b"-ERR the transaction is too large\r\n";

/// What is watched is bounded as the transaction is, with what was just asked for, and comes to
/// nothing with it.
#[test]
fn what_is_watched_has_a_bound() {
    let mut engine = engine(&Doorbell::new().unwrap());
    let mut client = Client::default();
    let room = 2 * Watched::bytes_of(b"key");
    let ends: [&[&[&str]]; 4] = [
        &[&["unwatch"]],
        &[&["multi"], &["discard"]],
        &[&["multi"], &["exec"]],
        &[&["reset"]],
    ];
    let mut place = 0;
    for end in ends {
        client.out.clear();
        client.session.watched_bytes = TRANSACTION_BYTES_MAX - room;
        for _ in 0..2 {
            assert_eq!(
                ask(&mut engine, &mut client, &["watch", "key"]),
                Flow::Continue
            );
        }
        // Neither version has come yet.
        ask(&mut engine, &mut client, &["watch", ""]);
        assert!(client.out.is_empty());
        answer_versions(&mut client, place, 2);
        place += 3;
        assert!(client.out.ends_with(TOO_LARGE), "{end:?}");
        assert_eq!(client.session.watched.len(), 2);
        for words in end {
            ask(&mut engine, &mut client, words);
        }
        assert_eq!(client.session.watched_bytes, 0, "{end:?}");
        assert!(client.session.watched.is_empty());
        if *end.last().unwrap() == ["exec"] {
            client.complete(place, true, &mut |_| {});
            place += 1;
        }
        assert!(client.is_idle());
    }
}

/// One WATCH awaits no more than any pipeline may.
#[test]
fn one_watch_awaits_no_more_than_a_pipeline() {
    let mut engine = engine(&Doorbell::new().unwrap());
    let mut client = Client::default();
    let mut words = vec!["key"; REPLIES_OUTSTANDING_MAX + 2];
    words[0] = "watch";
    ask(&mut engine, &mut client, &words);
    assert_eq!(std::mem::take(&mut client.out), TOO_LARGE);
    words.pop();
    ask(&mut engine, &mut client, &["watch", "key"]);
    assert_eq!(ask(&mut engine, &mut client, &words), Flow::Wait);
    answer_versions(&mut client, 0, 1);
    assert_eq!(ask(&mut engine, &mut client, &words), Flow::Continue);
    assert!(client.is_full());
    answer_versions(&mut client, 1, REPLIES_OUTSTANDING_MAX as u32);
    assert_eq!(client.session.watched.len(), REPLIES_OUTSTANDING_MAX + 1);
    assert_eq!(client.out, b"+OK\r\n+OK\r\n");
}

/// What is answered at once waits behind what is not, and is bounded as that is: in number, and in
/// bytes.
#[test]
fn replies_that_wait_for_an_older_one_are_bounded() {
    let mut engine = engine(&Doorbell::new().unwrap());
    let large = "x".repeat(1 << 20);
    for (words, fit) in [
        (&["ping"][..], REPLIES_OUTSTANDING_MAX - 1),
        (&["nonsense"], REPLIES_OUTSTANDING_MAX - 1),
        (&["echo", &large], OUTPUT_BYTES_PAUSE / large.len()),
    ] {
        let mut client = Client::default();
        let oldest = client.await_guarded();
        for _ in 0..fit {
            assert_eq!(ask(&mut engine, &mut client, words), Flow::Continue);
        }
        assert_eq!(ask(&mut engine, &mut client, words), Flow::Wait);
        client.complete(oldest, true, &mut |out| {
            out.extend_from_slice(large.as_bytes())
        });
        assert!(client.out.is_empty());
        assert_eq!(ask(&mut engine, &mut client, words), Flow::Wait);
        client.release(oldest, None);
        assert!(client.is_idle() && !client.is_full());
        assert_eq!(ask(&mut engine, &mut client, words), Flow::Continue);
    }
}

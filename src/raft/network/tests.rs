//! Two transports on loopback: calls, strangers, what comes when one goes away.

#[path = "checkpoint_tests.rs"]
mod checkpoints;

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{FutureExt, LocalBoxFuture, join_all};

use rand::RngExt;

use super::channel::Channel;
use super::connection::Reader;
use super::handshake::Introduction;
use super::lane::Lane;
use super::*;
use crate::address::NodeAddress;
use crate::raft::tests::{MemoryLog, MemoryVotes, TestApplier};
use crate::raft::types::{LogId, Membership, StoredMembership};
use crate::raft::{Group, GroupOptions, wire};
use crate::rt;
use crate::rt::net::{self, Stream as Socket, run_test};

/// Keeps what it was asked, and answers `from: request`, or not at all to `silence`.
#[derive(Default)]
pub(super) struct Echo {
    pub(super) asked: RefCell<Vec<Bytes>>,
}

impl PeerHandler for Echo {
    fn call(&self, from: u64, request: Bytes) -> LocalBoxFuture<'static, Result<Bytes, String>> {
        self.asked.borrow_mut().push(request.clone());
        async move {
            match &request[..] {
                b"refuse" => Err("as asked".to_string()),
                b"silence" => std::future::pending().await,
                b"late" => {
                    rt::sleep(Duration::from_millis(20)).await;
                    Ok(request)
                }
                _ => Ok(Bytes::from(
                    [format!("{from}: ").as_bytes(), &request].concat(),
                )),
            }
        }
        .boxed_local()
    }
}

/// A node whose group stands alone.
pub(super) struct Node {
    pub(super) transport: Transport,
    group: Group,
    pub(super) echo: Rc<Echo>,
    applier: Rc<TestApplier>,
    _folder: tempfile::TempDir,
}

pub(super) fn options(node_id: u64, secret: &[u8], scratch: &Path) -> TransportOptions {
    TransportOptions {
        node_id,
        bind: "127.0.0.1".to_string(),
        peer_port: 0,
        secret: secret.to_vec(),
        certificates: None,
        scratch: scratch.to_path_buf(),
    }
}

async fn listen(node_id: u64, peer_port: u16, secret: &[u8]) -> (Transport, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = TransportOptions {
        peer_port,
        ..options(node_id, secret, folder.path())
    };
    (Transport::listen(options).await.unwrap(), folder)
}

impl Node {
    async fn start(node_id: u64, peer_port: u16, secret: &[u8]) -> Node {
        let options = GroupOptions::single(node_id, "127.0.0.1:1");
        Self::with(options, peer_port, secret).await
    }

    async fn with(options: GroupOptions, peer_port: u16, secret: &[u8]) -> Node {
        let (transport, folder) = listen(options.node_id, peer_port, secret).await;
        Self::over(options, transport, folder).await
    }

    pub(super) async fn over(
        options: GroupOptions,
        transport: Transport,
        folder: tempfile::TempDir,
    ) -> Node {
        let (log, votes, applier) = (MemoryLog::new(), MemoryVotes::new(), TestApplier::new());
        let peers = Rc::new(transport.clone());
        let group = Group::start_with(options, log, votes, applier.clone(), peers).await;
        let (group, echo) = (group.unwrap(), Rc::new(Echo::default()));
        transport.serve(&group, echo.clone());
        Node {
            transport,
            group,
            echo,
            applier,
            _folder: folder,
        }
    }

    pub(super) fn address(&self) -> NodeAddress {
        NodeAddress {
            host: "127.0.0.1".to_string(),
            port: 1,
            peer_port: self.transport.peer_port(),
        }
    }

    fn peer(&self) -> Peer {
        Peer {
            id: self.transport.0.own.node_id,
            address: self.address().to_string(),
        }
    }

    async fn stop(self) -> u16 {
        self.group.stop().await;
        self.transport.stop().await;
        self.transport.peer_port()
    }
}

/// Two nodes, each of which leads a group of its own.
async fn two_nodes(secret: &[u8]) -> (Node, Node) {
    (
        Node::start(1, 0, secret).await,
        Node::start(2, 0, secret).await,
    )
}

/// A node that leads, and one that waits for a leader.
async fn leader_and_member() -> (Node, Node) {
    let member = GroupOptions::member(2, Vec::new());
    let two = Node::with(member, 0, b"").await;
    (Node::start(1, 0, b"").await, two)
}

pub(super) async fn stop<const COUNT: usize>(nodes: [Node; COUNT]) {
    for node in nodes {
        node.stop().await;
    }
}

pub(super) async fn until(mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ready() {
        assert!(Instant::now() < deadline, "nothing for ten seconds");
        rt::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn calls_arrive_in_order_and_each_gets_its_own_answer() {
    run_test(async {
        let (one, two) = two_nodes(b"s").await;
        let requests: Vec<Bytes> = (0..500)
            .map(|number| match number % 50 {
                7 => Bytes::from_static(b"late"),
                9 => Bytes::from(vec![number as u8; 300_000]),
                _ => Bytes::from(number.to_string()),
            })
            .collect();
        let calls = requests
            .iter()
            .map(|request| one.transport.call(&two.address(), request.clone()));
        // Dropped answers take nothing from the others.
        let calls: Vec<_> = calls.collect();
        let answers = join_all(calls).await;
        for (request, answer) in requests.iter().zip(answers) {
            let expected = match &request[..] {
                b"late" => b"late".to_vec(),
                _ => [b"1: ", &request[..]].concat(),
            };
            assert!(answer.unwrap() == expected);
        }
        assert!(*two.echo.asked.borrow() == requests);
        let refused = one.transport.call(&two.address(), "refuse".into()).await;
        assert_eq!(refused, Err(CallError::Refused("as asked".into())));
        // A node may ask itself, and both ask each other on connections of their own.
        let own = one.transport.call(&one.address(), "me".into()).await;
        assert_eq!(own, Ok("1: me".into()));
        let back = two.transport.call(&one.address(), "back".into()).await;
        assert_eq!(back, Ok("2: back".into()));
        let counters = one.transport.counters();
        assert_eq!(
            (counters.strangers_dropped, counters.garbage_dropped),
            (0, 0)
        );
        stop([one, two]).await;
    });
}

#[test]
fn a_node_that_went_away_is_told_and_found_again() {
    run_test(async {
        let (one, two) = two_nodes(b"").await;
        let address = two.address();
        assert!(one.transport.call(&address, "a".into()).await.is_ok());
        // What it may have served is uncertain, what never left is not.
        let silent = one.transport.call(&address, "silence".into());
        until(|| two.echo.asked.borrow().len() == 2).await;
        let port = two.stop().await;
        assert!(matches!(silent.await, Err(CallError::Unanswered(_))));
        until(|| {
            let call = one.transport.call(&address, "b".into());
            matches!(call.now_or_never(), Some(Err(CallError::NotSent(_))))
        })
        .await;
        let two = Node::start(2, port, b"").await;
        let begun = Instant::now();
        loop {
            match one.transport.call(&address, "c".into()).await {
                Ok(answer) => break assert_eq!(answer, "1: c"),
                Err(CallError::NotSent(_)) => rt::sleep(Duration::from_millis(2)).await,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert_eq!(*two.echo.asked.borrow(), ["c"]);
        assert_eq!(one.transport.counters().reconnects, 1);
        stop([one, two]).await;
    });
}

#[test]
fn strangers_are_dropped_and_counted() {
    run_test(async {
        let (one, two) = (Node::start(1, 0, b"s").await, Node::start(2, 0, b"t").await);
        let refused = one.transport.call(&two.address(), "a".into()).await;
        let Err(CallError::NotSent(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(why.contains("secret"), "{why}");
        assert_eq!(two.transport.counters().wrong_secrets, 1);
        assert_eq!(two.transport.counters().strangers_dropped, 1);
        assert!(two.echo.asked.borrow().is_empty());

        // Another protocol, noise, and a node that answers with what it was sent.
        let at = |port| format!("127.0.0.1:{port}").parse().unwrap();
        for noise in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 100], &[255; 3000]] {
            let socket = Socket::connect(at(two.transport.peer_port()))
                .await
                .unwrap();
            socket.send(noise.to_vec()).await.0.unwrap();
            // The end, or a reset where something was not read.
            let ended = socket.receive(vec![0; 100]).await.0;
            assert!(matches!(ended, Ok(0) | Err(_)));
        }
        until(|| two.transport.counters().strangers_dropped == 4).await;
        assert_eq!(two.transport.counters().wrong_secrets, 1);

        let mirror = net::Listener::bind(at(0)).unwrap();
        let address = NodeAddress {
            peer_port: mirror.address().unwrap().port(),
            ..two.address()
        };
        rt::spawn(async move {
            let socket = mirror.accept().await.unwrap();
            while let (Ok(count @ 1..), mut bytes) = socket.receive(vec![0; 1000]).await {
                bytes.truncate(count);
                socket.send(bytes).await.0.unwrap();
            }
        });
        let mirrored = one.transport.call(&address, "a".into()).await;
        assert!(
            matches!(mirrored, Err(CallError::NotSent(_))),
            "{mirrored:?}"
        );
        stop([one, two]).await;
    });
}

#[test]
fn a_raft_lane_reaches_only_the_node_it_was_meant_for() {
    run_test(async {
        let (one, two) = two_nodes(b"").await;
        let peer = |id| Peer { id, ..two.peer() };
        let request = VoteRequest::new(Vote::new(1, 1), None);
        let asked = one.transport.pre_vote(&peer(7), request.clone()).await;
        assert!(
            asked
                .unwrap_err()
                .to_string()
                .contains("node 2 lives there")
        );
        let asked = one.transport.pre_vote(&peer(2), request).await;
        assert!(!asked.unwrap().vote_granted, "it leads its own group");
        // Nobody speaks for another.
        let request = VoteRequest::new(Vote::new(1, 3), None);
        let asked = one.transport.pre_vote(&peer(2), request).await;
        assert!(asked.is_err());
        until(|| two.transport.counters().garbage_dropped == 1).await;
        stop([one, two]).await;
    });
}

#[test]
fn no_bytes_of_a_peer_stop_a_node() {
    run_test(async {
        let (one, two) = two_nodes(b"").await;
        let at = format!("127.0.0.1:{}", two.transport.peer_port());
        let mut rng = rand::rng();
        for round in 0..400u64 {
            let lane = [Lane::Votes, Lane::Entries, Lane::Bulk, Lane::Node][round as usize % 4];
            let socket = Socket::connect(at.parse().unwrap()).await.unwrap();
            let channel = Channel::accepted(socket.clone(), None).unwrap();
            let mut reader = Reader::new(channel.clone(), Rc::default());
            let introduction = Introduction {
                lane,
                from: 1,
                to: 2,
            };
            let let_in = handshake::present(&channel, &mut reader, b"", introduction).await;
            assert_eq!(let_in.unwrap(), 2);
            reader.admit(lane, lane.answer_bytes());
            let mut bytes = Vec::new();
            let kind = rng.random_range(0..12);
            // Half of them are plausible to the first field and beyond.
            let mut payload: Vec<u8> = (0..rng.random_range(0..200))
                .map(|_| rng.random())
                .collect();
            if round % 2 == 0 && payload.len() > 20 {
                payload[..20].fill(0);
                (payload[0], payload[8], payload[16]) = (3, 1, 1);
            }
            frame::put_frame(&mut bytes, kind, round, |out| {
                out.extend_from_slice(&payload)
            });
            if round % 8 == 7 {
                bytes[5] ^= 1;
            }
            socket.send(bytes).await.0.unwrap();
            // An answer, or the end of the connection.
            let _ = net::within(Duration::from_millis(50), reader.next()).await;
        }
        assert!(two.transport.counters().garbage_dropped > 100);
        assert_eq!(two.transport.counters().strangers_dropped, 0);
        let call = one.transport.call(&two.address(), "still there".into());
        assert_eq!(call.await, Ok("1: still there".into()));
        assert_eq!(two.group.failure(), None);
        stop([one, two]).await;
    });
}

#[test]
fn before_it_serves_and_after_it_stopped_a_node_refuses() {
    run_test(async {
        let one = Node::start(1, 0, b"").await;
        let (deaf, _folder) = listen(2, 0, b"").await;
        let address = NodeAddress {
            peer_port: deaf.peer_port(),
            ..one.address()
        };
        let call = || one.transport.call(&address, "a".into());
        assert!(matches!(call().await, Err(CallError::Refused(_))));
        let transport = one.transport.clone();
        one.stop().await;
        let late = transport.call(&address, "a".into()).await;
        assert!(matches!(late, Err(CallError::NotSent(_))));
        deaf.stop().await;
    });
}

#[test]
fn what_waits_for_a_node_is_bounded() {
    run_test(async {
        let one = Node::start(1, 0, b"").await;
        // Listens, and never reads.
        let mute = net::Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = NodeAddress {
            peer_port: mute.address().unwrap().port(),
            ..one.address()
        };
        let megabyte = Bytes::from(vec![0; 1 << 20]);
        let mut calls = Vec::new();
        let refused = loop {
            let mut call = one.transport.call(&address, megabyte.clone());
            match (&mut call).now_or_never() {
                None => calls.push(call),
                Some(answer) => break answer,
            }
        };
        let Err(CallError::NotSent(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(why.contains("too much"), "{why}");
        assert!((60..70).contains(&calls.len()));
        for call in calls {
            assert!(matches!(call.await, Err(CallError::NotSent(_))));
        }
        one.stop().await;
    });
}

//! Nodes inside this process: alone, three of them, and on their way down.

use std::net::TcpListener;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures::future::join_all;

use super::wait::wait;
use super::*;
use crate::address::{NodeAddress, PEER_PORT_OFFSET};
use crate::config::{Consistency, Durability};
use crate::raft::Role;

/// Nodes with addresses, each with its directory.
struct Cluster {
    addresses: Vec<String>,
    folder: tempfile::TempDir,
}

/// An address whose peer port is free; no two of this process are the same. Below the ports that
/// the kernel gives to outgoing connections.
fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(16_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port + PEER_PORT_OFFSET)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
}

impl Cluster {
    fn of(count: usize) -> Cluster {
        Cluster {
            addresses: (0..count).map(|_| free_address()).collect(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn builder(&self, number: usize) -> Builder {
        Node::builder()
            .dir(self.folder.path().join(number.to_string()))
            .address(&self.addresses[number])
            .peers(&self.addresses)
            .secret("s3")
    }

    fn start(&self) -> Vec<Node> {
        let count = self.addresses.len();
        (0..count)
            .map(|number| self.builder(number).start().unwrap())
            .collect()
    }
}

fn alone(directory: &Path, cores: usize) -> Node {
    let node = Node::builder().dir(directory).cores(cores).start();
    let node = node.unwrap();
    node.ready().wait().unwrap();
    node
}

fn bytes(text: &str) -> Result<Reply, Error> {
    Ok(Reply::Bytes(text.into()))
}

fn poll_once(call: &mut Call) -> Poll<Result<Reply, Error>> {
    std::pin::Pin::new(call).poll(&mut Context::from_waker(Waker::noop()))
}

fn is_send_and_static<T: Send + 'static>(_: &T) {}

#[test]
fn a_node_alone_keeps_what_it_was_told() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), 1);
    assert!(node.is_leader());
    let cluster = node.cluster();
    assert!(cluster.node_id != 0 && cluster.role == Role::Leader);
    let call = node.execute(["SET", "a", "1"]);
    is_send_and_static(&call);
    assert!(call.wait().unwrap().is_ok());
    let low = node.execute(["INCR", "a"]).with(Durability::Low);
    assert_eq!(low.wait(), Ok(Reply::Int(2)));
    assert_eq!(
        node.execute(["HSET", "h", "f", "v"]).wait(),
        Ok(Reply::Int(1))
    );
    let pair = (Reply::Bytes("f".into()), Reply::Bytes("v".into()));
    assert_eq!(
        node.execute(["HGETALL", "h"]).wait(),
        Ok(Reply::Map(vec![pair]))
    );
    let wrong = node.execute(["LPUSH", "a", "x"]).wait().unwrap_err();
    assert!(matches!(&wrong, Error::Command(text) if text.starts_with("WRONGTYPE")));
    let unknown = node.execute(["NONSENSE"]).wait().unwrap_err();
    assert!(matches!(&unknown, Error::Command(text) if text.starts_with("ERR unknown command")));
    assert!(matches!(
        node.execute(["MULTI"]).wait(),
        Err(Error::Command(_))
    ));
    assert_eq!(node.stop().wait(), Ok(()));
    assert_eq!(node.cluster().role, Role::Down);
    assert!(matches!(
        node.execute(["GET", "a"]).wait(),
        Err(Error::Stopped(_))
    ));
    let again = alone(folder.path(), 1);
    assert_eq!(again.cluster().node_id, cluster.node_id);
    assert_eq!(again.execute(["GET", "a"]).wait(), bytes("2"));
}

#[test]
fn a_directory_has_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), 1);
    let second = Node::builder().dir(folder.path()).start();
    let error = second.unwrap_err().to_string();
    assert!(error.contains("is using the directory"), "{error}");
    let member = Node::builder().peers(["a:1"]).start();
    assert!(member.unwrap_err().to_string().contains("address"));
    let ended = node.ended();
    drop(node);
    assert_eq!(ended.wait(), Ok(()));
}

#[test]
fn what_keeps_a_core_from_starting_is_told_by_start() {
    let cluster = Cluster::of(1);
    let address: NodeAddress = cluster.addresses[0].parse().unwrap();
    let _taken = TcpListener::bind(address.peer()).unwrap();
    let error = cluster.builder(0).start().unwrap_err().to_string();
    assert!(error.contains("cannot listen for peers"), "{error}");
}

#[test]
fn a_session_has_an_order_and_a_state() {
    let folder = tempfile::tempdir().unwrap();
    for cores in [1, 3] {
        let node = alone(&folder.path().join(cores.to_string()), cores);
        let session = node.session();
        let calls = (0..2000).map(|number: usize| match number % 4 {
            // Writes, reads behind them, reads of other shards, and what the session answers.
            0 => session.execute(["SET", "k", &number.to_string()]),
            1 => session.execute(["GET", "k"]),
            2 => session.execute(["MGET", "k", "other", "third"]),
            _ => session.execute(["ECHO", &number.to_string()]),
        });
        let replies = wait(join_all(calls));
        for (number, reply) in replies.into_iter().enumerate() {
            let last = |back: usize| Reply::Bytes((number - back).to_string().into());
            let expected = match number % 4 {
                0 => Reply::Status("OK".into()),
                1 => last(1),
                2 => Reply::Array(vec![last(2), Reply::Nil, Reply::Nil]),
                _ => last(0),
            };
            assert_eq!(reply, Ok(expected), "{number}");
        }
        let other = node.session();
        assert!(other.execute(["SELECT", "1"]).wait().unwrap().is_ok());
        assert_eq!(other.execute(["GET", "k"]).wait(), Ok(Reply::Nil));
        let own_level = session
            .execute(["CLIENT", "CONSISTENCY"])
            .at(Consistency::Stale);
        assert_eq!(own_level.wait(), bytes("stale"));
        let level = session.execute(["CLIENT", "CONSISTENCY"]).wait();
        assert_eq!(level, bytes("linearizable"));
    }
}

#[test]
fn transactions_see_what_others_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), 3);
    let session = node.session().with(Durability::Low);
    let run = |words: &str| session.execute(words.split(' ')).wait();
    assert!(run("WATCH a").unwrap().is_ok());
    assert!(run("MULTI").unwrap().is_ok());
    assert_eq!(run("INCR a").unwrap(), Reply::Status("QUEUED".into()));
    assert!(run("LPUSH b x").is_ok());
    let replies = Reply::Array(vec![Reply::Int(1), Reply::Int(1)]);
    assert_eq!(run("EXEC"), Ok(replies));
    assert!(run("WATCH a").unwrap().is_ok());
    assert_eq!(node.execute(["INCR", "a"]).wait(), Ok(Reply::Int(2)));
    assert!(run("MULTI").unwrap().is_ok());
    assert!(run("INCR a").is_ok());
    assert_eq!(run("EXEC"), Ok(Reply::Nil));
    assert!(run("MULTI").unwrap().is_ok());
    assert!(run("LPUSH a x").is_ok());
    let replies = run("EXEC").unwrap();
    assert!(matches!(&replies.items()[0], Reply::Error(text) if text.starts_with("WRONGTYPE")));
}

#[test]
fn a_dropped_call_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), 1);
    let session = node.session();
    // Never answered: its place in the session's row must come free all the same.
    let mut endless = session.execute(["WAIT", "1", "0"]);
    assert!(poll_once(&mut endless).is_pending());
    let mut behind = session.execute(["SET", "never", "1"]);
    assert!(poll_once(&mut behind).is_pending());
    drop((endless, session));
    let mut alone = node.execute(["WAIT", "1", "0"]);
    assert!(poll_once(&mut alone).is_pending());
    drop(alone);
    let session = node.session();
    for number in 0..3000 {
        let mut call = session.execute(["INCR", "n"]);
        if number % 3 == 0 {
            let _ = poll_once(&mut call);
        }
        drop(call);
        drop(node.execute(["INCR", "n"]));
    }
    let count = session.execute(["GET", "n"]).wait().unwrap();
    assert!(count.as_int().is_none_or(|count| count <= 1000));
    drop(behind);
    // WAIT would hold a stop up for as long as a stopping core waits.
    let begun = Instant::now();
    assert_eq!(node.stop().wait(), Ok(()));
    assert!(
        begun.elapsed() < Duration::from_millis(1900),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn calls_in_line_are_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), 1);
    let lane = Arc::new(lane::Lane::default());
    let mut calls: Vec<Call> = (0..1000)
        .map(|_| {
            let request = request::Request::new(["INCR", "n"]).unwrap();
            Call::new(call::Origin::Lane(lane.clone()), request)
        })
        .collect();
    calls
        .iter_mut()
        .for_each(|call| assert!(poll_once(call).is_pending()));
    assert_eq!(lane.in_line(), 1000);
    drop(calls.split_off(10));
    assert!(lane.in_line() < 200, "{}", lane.in_line());
    lane.close();
    for call in &mut calls {
        assert!(matches!(
            poll_once(call),
            Poll::Ready(Err(Error::Stopped(_)))
        ));
    }
    assert_eq!(node.execute(["GET", "n"]).wait(), Ok(Reply::Nil));
}

#[test]
fn thousands_of_calls_from_several_threads() {
    const THREADS: usize = 4;
    const CALLS: usize = 5000;
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), 3);
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let node = node.clone();
            std::thread::spawn(move || {
                let key = |number: usize| format!("{thread}:{}", number % 100);
                let calls = (0..CALLS).map(|number| node.execute(["INCR", &key(number)]));
                let done = wait(join_all(calls));
                assert!(done.iter().all(Result::is_ok));
                let calls = (0..100).map(|number| node.execute(["GET", &key(number)]));
                for reply in wait(join_all(calls)) {
                    assert_eq!(reply.unwrap().as_int(), Some(CALLS as i64 / 100));
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    assert_eq!(
        node.execute(["DBSIZE"]).wait(),
        Ok(Reply::Int(THREADS as i64 * 100))
    );
}

#[test]
fn a_stop_resolves_every_future() {
    let folder = tempfile::tempdir().unwrap();
    let node = alone(folder.path(), 3);
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (node, acknowledged) = (node.clone(), acknowledged.clone());
            std::thread::spawn(move || {
                let mut uncertain = 0;
                loop {
                    let calls = (0..200).map(|_| node.execute(["INCR", "n"]));
                    let mut stopped = false;
                    for reply in wait(join_all(calls)) {
                        match reply {
                            Ok(_) => _ = acknowledged.fetch_add(1, Ordering::Relaxed),
                            Err(Error::Stopped(_)) => stopped = true,
                            Err(Error::Uncertain(_)) => uncertain += 1,
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                    if stopped {
                        return uncertain;
                    }
                }
            })
        })
        .collect();
    while acknowledged.load(Ordering::Relaxed) < 1000 {
        std::thread::yield_now();
    }
    assert_eq!(node.stop().wait(), Ok(()));
    let uncertain: usize = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .sum();
    drop(node);
    let node = alone(folder.path(), 3);
    let count = node.execute(["GET", "n"]).wait().unwrap().as_int().unwrap() as usize;
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    assert!((acknowledged..=acknowledged + uncertain).contains(&count));
}

#[test]
fn one_of_three_has_no_quorum() {
    let cluster = Cluster::of(3);
    let node = cluster.builder(0).start().unwrap();
    assert!(!node.is_leader());
    let begun = Instant::now();
    let (write, read, stale) = wait(async {
        futures::join!(
            node.execute(["SET", "a", "1"]),
            node.execute(["GET", "a"]),
            node.execute(["GET", "a"]).at(Consistency::Stale),
        )
    });
    for outcome in [write, read] {
        let error = outcome.unwrap_err();
        assert!(error.text().starts_with("CLUSTERDOWN"), "{error}");
        assert!(error.is_safe_to_retry());
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(stale, Ok(Reply::Nil));
    let mut ready = pin!(node.ready());
    let mut context = Context::from_waker(Waker::noop());
    assert!(ready.as_mut().poll(&mut context).is_pending());
    assert_eq!(node.stop().wait(), Ok(()));
    assert!(matches!(wait(ready), Err(Error::Stopped(_))));
}

#[test]
fn three_in_one_process() {
    let cluster = Cluster::of(3);
    let nodes = cluster.start();
    nodes.iter().for_each(|node| node.ready().wait().unwrap());
    for (number, node) in nodes.iter().enumerate() {
        let text = number.to_string();
        assert!(node.execute(["SET", "a", &text]).wait().unwrap().is_ok());
        for other in &nodes {
            assert_eq!(other.execute(["GET", "a"]).wait(), bytes(&text));
        }
    }
    let all = nodes[1].execute(["INCR", "n"]).with(Durability::All);
    assert_eq!(all.wait(), Ok(Reply::Int(1)));
    let session = nodes[2].session().with(Durability::Low);
    assert_eq!(session.execute(["INCR", "n"]).wait(), Ok(Reply::Int(2)));
    let copies = session.execute(["WAIT", "2", "10000"]).wait();
    assert_eq!(copies, Ok(Reply::Int(2)));
    drop(session);
    let leader = nodes.iter().position(Node::is_leader).unwrap();
    let mut nodes = nodes;
    let stopped = nodes.remove(leader);
    let view = stopped.cluster();
    assert_eq!(view.members.len(), 3);
    assert_eq!(view.leader_id, Some(view.node_id));
    assert_eq!(stopped.stop().wait(), Ok(()));
    // One call waits for the next leader by itself, or says that it could not.
    let written = loop {
        match nodes[0].execute(["SET", "b", "1"]).wait() {
            Err(Error::Unavailable(_)) => {}
            other => break other,
        }
    };
    assert!(
        matches!(written, Ok(_) | Err(Error::Uncertain(_))),
        "{written:?}"
    );
    assert!(nodes[0].execute(["SET", "b", "2"]).wait().unwrap().is_ok());
    assert_eq!(nodes[1].execute(["GET", "b"]).wait(), bytes("2"));
    // The stopped one comes back as the member that it was.
    let back = cluster.builder(leader).start().unwrap();
    back.ready().wait().unwrap();
    assert_eq!(back.cluster().node_id, view.node_id);
    assert_eq!(back.execute(["GET", "b"]).wait(), bytes("2"));
}

#[test]
fn a_node_joins_another() {
    let cluster = Cluster::of(2);
    let build = |number: usize| {
        Node::builder()
            .dir(cluster.folder.path().join(number.to_string()))
            .address(&cluster.addresses[number])
    };
    let first = build(0).start().unwrap();
    assert!(first.execute(["SET", "a", "1"]).wait().unwrap().is_ok());
    let second = build(1).join([&cluster.addresses[0]]).start().unwrap();
    second.ready().wait().unwrap();
    assert_eq!(second.execute(["GET", "a"]).wait(), bytes("1"));
}

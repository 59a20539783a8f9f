//! Three members of a group over real connections on the loopback device.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::{FutureExt, LocalBoxFuture};

use super::{Event, MemoryLog, MemoryVotes, TestApplier};
use crate::raft::{
    Group, GroupOptions, Member, PeerHandler, Transport, TransportCounters, TransportOptions,
};
use crate::rt;
use crate::rt::net::{Listener, Stream, run_test};

struct NoCalls;

impl PeerHandler for NoCalls {
    fn call(&self, _from: u64, _request: Bytes) -> LocalBoxFuture<'static, Result<Bytes, String>> {
        async { Err("nothing is asked here".to_string()) }.boxed_local()
    }
}

/// What survives a node's restarts, and what runs now.
struct Node {
    id: u64,
    log: Rc<MemoryLog>,
    votes: Rc<MemoryVotes>,
    applier: Rc<TestApplier>,
    running: Option<(Group, Transport)>,
}

struct Cluster {
    nodes: Vec<Node>,
    members: Vec<Member>,
    folder: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let mut nodes = Vec::new();
        let mut members = Vec::new();
        for id in 1..=3 {
            nodes.push(Node {
                id,
                log: MemoryLog::new(),
                votes: MemoryVotes::new(),
                applier: TestApplier::new(),
                running: None,
            });
            let any = "127.0.0.1:0".parse().expect("an address");
            let port = Listener::bind(any).and_then(|listener| listener.address());
            let port = port.expect("a port").port();
            members.push(Member {
                id,
                address: format!("127.0.0.1:{id}@{port}"),
            });
        }
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = Cluster {
            nodes,
            members,
            folder,
        };
        for id in 1..=3 {
            cluster.run(id).await;
        }
        cluster
    }

    async fn run(&mut self, id: u64) {
        let at = id as usize - 1;
        let (_, peer_port) = self.members[at].address.split_once('@').expect("a port");
        let transport = Transport::listen(TransportOptions {
            node_id: id,
            bind: "127.0.0.1".to_string(),
            peer_port: peer_port.parse().expect("a port"),
            secret: b"of the test".to_vec(),
            certificates: None,
            scratch: self.folder.path().join(id.to_string()),
        });
        let transport = transport.await.expect("the port is free");
        let options = GroupOptions::member(id, self.members.clone());
        let node = &mut self.nodes[at];
        node.applier = node.applier.restart();
        let (log, votes, applier) = (node.log.clone(), node.votes.clone(), node.applier.clone());
        let peers = Rc::new(transport.clone());
        let group = Group::start_with(options, log, votes, applier, peers).await;
        let group = group.expect("a start");
        transport.serve(&group, Rc::new(NoCalls));
        node.running = Some((group, transport));
    }

    async fn halt(&mut self, id: u64) {
        let (group, transport) = self.nodes[id as usize - 1].running.take().expect("it runs");
        transport.stop().await;
        group.stop().await;
    }

    fn group(&self, id: u64) -> &Group {
        &self.nodes[id as usize - 1]
            .running
            .as_ref()
            .expect("it runs")
            .0
    }

    fn transport(&self, id: u64) -> &Transport {
        &self.nodes[id as usize - 1]
            .running
            .as_ref()
            .expect("it runs")
            .1
    }

    fn applier(&self, id: u64) -> &TestApplier {
        &self.nodes[id as usize - 1].applier
    }

    fn counters(&self, id: u64) -> TransportCounters {
        self.transport(id).counters()
    }

    /// It leads, and a quorum has heard it: one newly elected refuses writes until then.
    fn takes_writes(&self, id: u64) -> bool {
        let standing = self.group(id).standing();
        standing.leads && standing.has_quorum
    }

    async fn leader(&self) -> u64 {
        until(|| {
            let running = self.nodes.iter().filter(|node| node.running.is_some());
            running.map(|node| node.id).find(|id| {
                let standing = self.group(*id).standing();
                // Newly elected, it refuses writes until a quorum has heard it.
                standing.leads && standing.has_quorum
            })
        })
        .await
    }

    async fn propose(&self, leader: u64, payloads: impl IntoIterator<Item = Bytes>) {
        let mut tag = 0;
        for payload in payloads {
            tag += 1;
            let proposed = self.group(leader).propose(tag, payload, true);
            proposed.expect("room in the queue");
        }
        let applied =
            |event: &Event| matches!(event, Event::Applied(_, Some(last), _) if *last == tag);
        let applier = self.applier(leader);
        until(|| applier.events.borrow().iter().any(applied).then_some(())).await;
        applier.events.borrow_mut().clear();
    }

    async fn agree(&self, count: usize) {
        let state = |node: &Node| node.applier.state();
        until(|| {
            let first = state(&self.nodes[0]);
            let all = self.nodes.iter().all(|node| state(node) == first);
            (all && first.len() == count).then_some(())
        })
        .await;
    }

    async fn stop(mut self) {
        for id in 1..=3 {
            if self.nodes[id as usize - 1].running.is_some() {
                self.halt(id).await;
            }
        }
    }
}

async fn until<T>(mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(Instant::now() < deadline, "nothing for twenty seconds");
        rt::sleep(Duration::from_millis(2)).await;
    }
}

fn payloads(count: usize, bytes: usize) -> Vec<Bytes> {
    (0..count)
        .map(|number| Bytes::from(vec![number as u8; bytes]))
        .collect()
}

#[test]
fn elects_commits_and_fails_over() {
    run_test(async {
        let mut cluster = Cluster::start().await;
        let old = cluster.leader().await;
        cluster.propose(old, payloads(300, 100)).await;
        cluster.propose(old, payloads(20, 500_000)).await;
        cluster.agree(320).await;
        cluster
            .group(old)
            .read_index()
            .await
            .expect("a quorum is there");

        cluster.halt(old).await;
        let new = cluster.leader().await;
        cluster.propose(new, payloads(10, 10)).await;
        cluster.run(old).await;
        cluster.agree(330).await;
        cluster
            .propose(cluster.leader().await, payloads(10, 10))
            .await;
        cluster.agree(340).await;
        for id in 1..=3 {
            let counters = cluster.counters(id);
            assert_eq!(
                (counters.strangers_dropped, counters.garbage_dropped),
                (0, 0)
            );
        }
        cluster.stop().await;
    });
}

#[test]
fn leadership_is_transferred_over_the_wire() {
    run_test(async {
        let cluster = Cluster::start().await;
        let old = cluster.leader().await;
        cluster.propose(old, payloads(5, 10)).await;
        let new = 1 + old % 3;
        let trigger = cluster.group(old).raft.trigger();
        trigger.transfer_leader(new).await.expect("it leads");
        until(|| cluster.takes_writes(new).then_some(())).await;
        cluster.propose(new, payloads(5, 10)).await;
        cluster.agree(10).await;
        cluster.stop().await;
    });
}

#[test]
fn heartbeats_pass_stuffed_entries_and_a_stalled_disk() {
    run_test(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        cluster.propose(leader, payloads(5, 10)).await;
        cluster.agree(5).await;
        let term = cluster.group(leader).state().term;
        // Neither follower's disk answers; entries pile up in front of them, far more than may be
        // in flight, for many times what an election waits.
        for node in cluster.nodes.iter().filter(|node| node.id != leader) {
            node.log.stall();
        }
        for (payload, tag) in payloads(100, 1_000_000).into_iter().zip(1000..) {
            let proposed = cluster.group(leader).propose(tag, payload, true);
            proposed.expect("room in the queue");
        }
        let (begun, mut rounds) = (Instant::now(), 0);
        while begun.elapsed() < Duration::from_secs(2) {
            for id in 1..=3 {
                assert_eq!(cluster.group(id).state().term, term, "an election");
            }
            assert!(cluster.group(leader).is_leader());
            // A quorum is asked by heartbeats, which do not wait for any disk.
            let asked = cluster
                .group(leader)
                .raft
                .get_read_linearizer(openraft::ReadPolicy::ReadIndex);
            let asked = rt::net::within(Duration::from_secs(1), asked).await;
            rounds += u64::from(asked.is_some_and(|asked| asked.is_ok()));
        }
        assert!(rounds > 5, "{rounds} rounds");
        assert_eq!(cluster.applier(leader).state().len(), 5);
        for node in &cluster.nodes {
            node.log.resume();
        }
        cluster.agree(105).await;
        assert_eq!(cluster.group(leader).state().term, term);
        cluster.stop().await;
    });
}

/// CPU time of this thread: what else runs on the machine does not show in it.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of ours that outlives the call.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[test]
#[ignore = "a measurement"]
fn the_cost_of_a_round() {
    run_test(async {
        let cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        for node in &cluster.nodes {
            node.applier.counting.set(true);
        }
        for (in_flight, bytes) in [(1, 100), (2, 100), (2, 10_000), (2, 1_000_000), (16, 100)] {
            let rounds = if bytes > 100_000 { 200 } else { 10_000 };
            let applier = cluster.applier(leader);
            let before = applier.count.get();
            let payload = Bytes::from(vec![7; bytes]);
            let (began, cpu) = (Instant::now(), cpu_ns());
            let mut proposed = 0;
            std::future::poll_fn(|context| {
                let applied = applier.count.get() - before;
                while proposed < rounds && proposed < applied + in_flight {
                    let done = cluster
                        .group(leader)
                        .propose(proposed, payload.clone(), true);
                    done.expect("room in the queue");
                    proposed += 1;
                }
                *applier.waiting.borrow_mut() = Some(context.waker().clone());
                match applied == rounds {
                    true => std::task::Poll::Ready(()),
                    false => std::task::Poll::Pending,
                }
            })
            .await;
            let each = |total: u64| total as f64 / rounds as f64 / 1000.0;
            println!(
                "{in_flight} in flight of {bytes} bytes: {:.1} us CPU of three nodes, {:.1} us",
                each(cpu_ns() - cpu),
                each(began.elapsed().as_nanos() as u64)
            );
        }
        let begin = (Instant::now(), cpu_ns());
        for _ in 0..5000 {
            cluster.group(leader).read_index().await.expect("a quorum");
        }
        let cpu = (cpu_ns() - begin.1) / 5000;
        println!("a read index: {cpu} ns CPU, {:?}", begin.0.elapsed() / 5000);
        cluster.stop().await;
    });
}

/// Passes bytes between a leader and one follower, and breaks the connections that it is told to.
struct Proxy {
    passed_bytes: Cell<u64>,
    /// Connections that carried more than this are broken, once.
    break_at_bytes: Cell<u64>,
    broken: Cell<u64>,
}

impl Proxy {
    async fn pass(self: Rc<Self>, from: Stream, to: Stream) {
        let mut passed = 0;
        while let (Ok(count @ 1..), mut bytes) = from.receive(vec![0; 64 * 1024]).await {
            passed += count as u64;
            self.passed_bytes
                .set(self.passed_bytes.get() + count as u64);
            if passed > self.break_at_bytes.get() {
                self.break_at_bytes.set(u64::MAX);
                self.broken.set(self.broken.get() + 1);
                break;
            }
            bytes.truncate(count);
            if to.send(bytes).await.0.is_err() {
                break;
            }
        }
        from.shutdown();
        to.shutdown();
    }

    fn listen_at(port: u16, break_at_bytes: u64, to_port: u16) -> Rc<Self> {
        let listener = Listener::bind(([127, 0, 0, 1], port).into()).expect("the port is free");
        let proxy = Rc::new(Proxy {
            passed_bytes: Cell::new(0),
            break_at_bytes: Cell::new(break_at_bytes),
            broken: Cell::new(0),
        });
        let accepting = proxy.clone();
        let to = ([127, 0, 0, 1], to_port).into();
        rt::spawn(async move {
            while let Ok(one) = listener.accept().await {
                match Stream::connect(to).await {
                    Ok(other) => {
                        rt::spawn(accepting.clone().pass(one.clone(), other.clone()));
                        rt::spawn(accepting.clone().pass(other, one));
                    }
                    Err(_) => one.shutdown(),
                }
            }
        });
        proxy
    }
}

#[test]
fn a_checkpoint_goes_on_where_its_connection_broke() {
    run_test(async {
        let mut cluster = Cluster::start().await;
        let leader = cluster.leader().await;
        let away = 1 + leader % 3;
        cluster.halt(away).await;
        // 12 MB in chunks of 100 kB: three times the window.
        cluster.propose(leader, payloads(120, 100_000)).await;
        let checkpoint = cluster.group(leader).checkpoint().await;
        let index = checkpoint.expect("a checkpoint").position.index;
        let purged = || cluster.group(leader).state().purged_index;
        until(|| (purged() == Some(index)).then_some(())).await;

        // The node comes back at another port; at its known one there is a proxy.
        let known = cluster.members[away as usize - 1].address.clone();
        let (_, known_port) = known.split_once('@').expect("a port");
        let known_port: u16 = known_port.parse().expect("a port");
        let away_at = away as usize - 1;
        cluster.members[away_at].address = format!("127.0.0.1:{away}@0");
        cluster.run(away).await;
        let real_port = cluster.transport(away).peer_port();
        let proxy = Proxy::listen_at(known_port, 8_000_000, real_port);
        cluster.agree(120).await;

        assert_eq!(proxy.broken.get(), 1);
        let (sent, received) = (cluster.counters(leader), cluster.counters(away));
        assert_eq!(
            received.checkpoint_bytes_received, 12_000_000,
            "each chunk once"
        );
        assert!(sent.checkpoint_chunks_resumed >= 30, "{sent:?}");
        assert!(sent.checkpoint_bytes_sent < 20_000_000, "{sent:?}");
        assert_eq!(cluster.group(away).state().checkpoint_index, Some(index));
        cluster.propose(leader, payloads(3, 10)).await;
        cluster.agree(123).await;
        cluster.stop().await;
    });
}

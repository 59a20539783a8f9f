//! What a round costs with one voter: proposed, logged in memory, committed, applied.
//!
//! `cargo test --profile quick --lib raft::tests::cost -- --ignored --nocapture`

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use openraft::AsyncRuntime;

use super::{MemoryLog, MemoryVotes, TestApplier};
use crate::raft::runtime::Glommio;
use crate::raft::{Group, GroupOptions};

const ROUNDS: u64 = 300_000;

/// CPU time of this thread in nanoseconds: other work on the machine does not show in it.
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

/// Keeps `in_flight` proposals under way until `ROUNDS` are applied; nanoseconds for each.
async fn measure(group: &Group, applier: &Rc<TestApplier>, in_flight: u64) -> f64 {
    let payload = Bytes::from(vec![7; 100]);
    let begin = applier.count.get();
    let mut proposed = 0;
    let started = cpu_ns();
    poll_fn(|cx| {
        let applied = applier.count.get() - begin;
        while proposed < ROUNDS && proposed < applied + in_flight {
            let accepted = group.propose(proposed, payload.clone(), false);
            accepted.expect("room in the queue");
            proposed += 1;
        }
        if applied == ROUNDS {
            return Poll::Ready(());
        }
        *applier.waiting.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
    (cpu_ns() - started) as f64 / ROUNDS as f64
}

async fn start(applier: &Rc<TestApplier>) -> Group {
    applier.counting.set(true);
    let log = Rc::new(MemoryLog::forgetful());
    let options = GroupOptions::single(1, "127.0.0.1:7000");
    let group = Group::start(options, log, MemoryVotes::new(), applier.clone(), None).await;
    let group = group.expect("a start");
    group.wait_leader_and_recovered().await.expect("a leader");
    group
}

#[test]
#[ignore = "a measurement"]
fn an_idle_group() {
    Glommio::run(async {
        let group = start(&TestApplier::new()).await;
        let started = cpu_ns();
        Glommio::sleep(Duration::from_secs(5)).await;
        let percent = (cpu_ns() - started) as f64 / 5e9 * 100.0;
        println!("idle: {percent:.2} % of a core");
        group.stop().await;
    });
}

#[test]
#[ignore = "a measurement"]
fn a_round_of_one_voter() {
    Glommio::run(async {
        let applier = TestApplier::new();
        let group = start(&applier).await;
        measure(&group, &applier, 1).await;
        for in_flight in [1, 2, 16, 256] {
            let cost = measure(&group, &applier, in_flight).await;
            println!("{in_flight:>4} in flight: {cost:.0} ns CPU a proposal");
        }
        group.stop().await;
    });
}

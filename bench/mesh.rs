//! A message to another core and its answer: both awake, and both asleep in between.

use std::time::{Duration, Instant};

use criterion::Criterion;
use quorate::rt::mesh::{Mesh, mesh};
use quorate::rt::{self, Doorbell, Parker, Placement, Ring, Settings};

const LONGEST: Duration = Duration::from_secs(1);

/// Ends the other core.
const STOP: u64 = u64::MAX;

fn settings(name: &str) -> Settings {
    Settings {
        name: name.to_string(),
        placement: Placement::Unbound,
    }
}

fn ring(doorbell: Doorbell) -> Ring {
    Ring::new(Parker::new(doorbell)).expect("the kernel gives an io_uring")
}

/// The next message. Sleeps for it, or looks again and again.
async fn receive(mesh: &mut Mesh<u64>, ring: &Ring, sleeps: bool) -> u64 {
    loop {
        if let Some((_, message)) = mesh.receive() {
            return message;
        }
        if !sleeps {
            rt::yield_now().await;
            continue;
        }
        let (mut nothing, has_mail) = (Vec::new(), || mesh.has_mail());
        let rested = ring.rest(&mut nothing, false, LONGEST, has_mail);
        rested.await.expect("the ring works");
    }
}

/// Sends every message back until it is told to stop.
fn echo(mut mesh: Mesh<u64>, doorbell: Doorbell, sleeps: bool) {
    let ran = rt::executor::run(&settings("echo"), async move {
        let ring = ring(doorbell);
        loop {
            let message = receive(&mut mesh, &ring, sleeps).await;
            mesh.send(0, message);
            mesh.flush();
            if message == STOP {
                return Ring::forget_current();
            }
        }
    });
    ran.expect("the kernel gives an io_uring");
}

/// How long so many messages there and back take, one after the other.
fn round_trips(count: u64, sleeps: bool) -> Duration {
    let doorbells: Vec<Doorbell> = (0..2)
        .map(|_| Doorbell::new().expect("an eventfd is to be had"))
        .collect();
    let mut ends = mesh::<u64>(&doorbells);
    let (there, mut here) = (ends.pop().expect("two ends"), ends.pop().expect("two ends"));
    let bells = doorbells.clone();
    let thread = std::thread::spawn(move || echo(there, bells[1].clone(), sleeps));
    let took = rt::executor::run(&settings("hop"), async move {
        let ring = ring(doorbells[0].clone());
        // The first one waits for the other core to come up.
        let mut begun = Instant::now();
        for message in 0..=count {
            here.send(1, message);
            here.flush();
            receive(&mut here, &ring, sleeps).await;
            if message == 0 {
                begun = Instant::now();
            }
        }
        let took = begun.elapsed();
        here.send(1, STOP);
        here.flush();
        receive(&mut here, &ring, sleeps).await;
        Ring::forget_current();
        took
    });
    thread.join().expect("the other core ends");
    took.expect("the kernel gives an io_uring")
}

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mesh/round trip");
    group.sample_size(10);
    for (name, sleeps) in [("awake", false), ("asleep", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| round_trips(count, sleeps));
        });
    }
    group.finish();
}

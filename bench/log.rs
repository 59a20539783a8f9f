//! Appending to the log of segment files: into the page cache, and on disk.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use futures::channel::oneshot;
use quorate::log::{self, Backend, Log, Options, Position, Record};
use quorate::rt::{self, Doorbell, Parker, Placement, Ring, Settings};

/// Appends after which the log before them goes.
const PURGE_EVERY: u64 = 4096;

/// How long so many appends take, one after the other. What purging takes is left out.
fn appends(directory: &Path, count: u64, payload: &Bytes, sync: bool) -> Duration {
    let settings = Settings {
        name: "log".to_string(),
        placement: Placement::Unbound,
    };
    let took = rt::executor::run(&settings, async {
        let doorbell = Doorbell::new().expect("an eventfd is to be had");
        let ring = Ring::new(Parker::new(doorbell)).expect("the kernel gives an io_uring");
        let opened = log::open(directory, Backend::Segment, Options::default(), &mut |_| {});
        let (log, _) = opened.expect("the log opens");
        // The first one since the log was opened also notes on disk what it promises.
        ring.drive(append_all(&*log, 1, payload, sync)).await;
        let took = ring.drive(append_all(&*log, count, payload, sync)).await;
        let closed = ring.drive(log.close()).await;
        closed.expect("the log closes");
        drop(log);
        Ring::forget_current();
        took
    });
    took.expect("the kernel gives an io_uring")
}

async fn append_all(log: &dyn Log, count: u64, payload: &Bytes, sync: bool) -> Duration {
    let first = log.last().map_or(1, |last| last.index + 1);
    let mut took = Duration::ZERO;
    let mut begun = Instant::now();
    for index in first..first + count {
        let position = Position {
            term: 1,
            leader: 1,
            index,
        };
        let record = Record {
            position,
            kind: 1,
            sync,
            payload: payload.clone(),
        };
        let (done, appended) = oneshot::channel();
        let tell = move |result| {
            // The receiver waits below; it cannot be gone.
            let _ = done.send(result);
        };
        log.append(vec![record], Box::new(tell));
        let appended = appended.await.expect("the log answers");
        appended.expect("the disk takes it");
        if index % PURGE_EVERY == 0 {
            took += begun.elapsed();
            log.purge(position).await.expect("the log is purged");
            begun = Instant::now();
        }
    }
    took + begun.elapsed()
}

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log/append to segments");
    group.sample_size(10);
    for (level, sync) in [("low", false), ("high", true)] {
        for bytes in [100, 16 * 1024] {
            let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"));
            let directory = directory.expect("a directory for the log");
            let payload = Bytes::from(vec![b'v'; bytes]);
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(format!("{level}, {bytes} bytes"), |bencher| {
                bencher.iter_custom(|count| appends(directory.path(), count, &payload, sync));
            });
        }
    }
    group.finish();
}

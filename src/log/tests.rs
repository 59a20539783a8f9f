//! What both backends promise, against a model; and the tools that the backends' own tests share.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures::channel::oneshot;

use super::fault::Access;
use super::*;
use crate::rt::file::run_test;
use crate::rt::yield_now;

/// A directory of its own for one test, removed at its end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("quorate-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Scratch(path)
    }
}

impl std::ops::Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Random numbers by seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

/// Segments as small as they get, so that a test rotates often.
pub(crate) fn small() -> Options {
    Options {
        segment_bytes: 64 << 10,
        recent_bytes_max: 4 << 10,
        ..Options::default()
    }
}

pub(crate) fn record(term: u64, index: u64, payload: &[u8], sync: bool) -> Record {
    Record {
        position: Position {
            term,
            leader: 1,
            index,
        },
        kind: (index % 3) as u8,
        sync,
        payload: Bytes::copy_from_slice(payload),
    }
}

/// Appends; the answer resolves with `done`.
pub(crate) fn append(log: &dyn Log, records: Vec<Record>) -> oneshot::Receiver<io::Result<()>> {
    let (sender, receiver) = oneshot::channel();
    log.append(records, Box::new(move |result| drop(sender.send(result))));
    receiver
}

pub(crate) async fn append_all(log: &dyn Log, records: Vec<Record>) {
    append(log, records)
        .await
        .expect("done is called")
        .expect("the append succeeds");
}

/// Everything that the log holds.
pub(crate) async fn contents(log: &dyn Log) -> Vec<(Position, u8, Bytes)> {
    let mut all = Vec::new();
    let mut next = 0;
    loop {
        let records = log.read(next..u64::MAX, 20_000).await.expect("a read");
        let Some(last) = records.last() else {
            return all;
        };
        next = last.position.index + 1;
        all.extend(records.into_iter().map(|r| (r.position, r.kind, r.payload)));
    }
}

pub(crate) fn open_quietly(
    directory: &Path,
    backend: Backend,
    options: Options,
) -> Result<(Rc<dyn Log>, Recovery), Fatal> {
    open(directory, backend, options, &mut |_| {})
}

/// Drops a log as a kill would, and waits until its directory is free.
pub(crate) async fn kill(log: Rc<dyn Log>) {
    drop(log);
    for _ in 0..100 {
        yield_now().await;
    }
}

#[test]
fn a_loss_is_told_at_every_open_until_somebody_has_kept_it() {
    run_test(async {
        for backend in [Backend::Segment, Backend::Fjall] {
            let directory = Scratch::new("told");
            let open = |boot: &str| {
                let options = Options {
                    boot_id: Some(boot.to_owned()),
                    ..small()
                };
                open_quietly(&directory, backend, options).expect("opens")
            };
            let (log, recovery) = open("first");
            assert!(!recovery.acknowledged_may_be_lost, "a new log has none");
            append_all(&*log, vec![record(1, 1, b"low", false)]).await;
            kill(log).await;
            let (log, recovery) = open("second");
            assert!(recovery.acknowledged_may_be_lost);
            kill(log).await;
            // Killed before it could keep that; also where the one after it stops in order.
            let (log, recovery) = open("second");
            assert!(recovery.acknowledged_may_be_lost && !recovery.boot_changed);
            log.close().await.expect("a clean stop");
            kill(log).await;
            let (log, recovery) = open("second");
            assert!(recovery.acknowledged_may_be_lost && recovery.clean);
            log.loss_kept().expect("the mark");
            kill(log).await;
            let (log, recovery) = open("second");
            assert!(!recovery.acknowledged_may_be_lost);
            kill(log).await;
        }
    });
}

#[derive(Default)]
struct Model {
    purged: Option<Position>,
    records: Vec<Record>,
}

impl Model {
    fn last(&self) -> Option<Position> {
        self.records.last().map(|r| r.position).or(self.purged)
    }

    async fn check(&self, log: &dyn Log, when: &str) {
        assert_eq!(log.last(), self.last(), "last, {when}");
        assert_eq!(log.purged(), self.purged, "purged, {when}");
        let expected: Vec<_> = self
            .records
            .iter()
            .map(|r| (r.position, r.kind, r.payload.clone()))
            .collect();
        let found = contents(log).await;
        assert_eq!(found.len(), expected.len(), "records, {when}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.0, expected.0, "position, {when}");
            assert!(found == expected, "record {:?}, {when}", found.0);
        }
    }
}

async fn random_walk(backend: Backend, seed: u64, steps: u64) {
    let directory = Scratch::new("walk");
    let mut random = Random::new(seed);
    let mut model = Model::default();
    let mut term = 1;
    let (mut log, _) = open_quietly(&directory, backend, small()).expect("open");
    for step in 0..steps {
        let when = format!("{backend:?} seed {seed} step {step}");
        match random.below(100) {
            0..70 => {
                let count = 1 + random.below(4);
                let sync = random.below(3) == 0;
                let size = match random.below(40) {
                    0 => 100_000,
                    _ => random.below(3000),
                };
                let mut records = Vec::new();
                for _ in 0..count {
                    let index = model.last().map_or(random.below(2), |last| last.index + 1);
                    let payload = vec![random.below(256) as u8; size as usize];
                    let new = record(term, index, &payload, sync);
                    model.records.push(new.clone());
                    records.push(new);
                }
                let answer = append(&*log, records);
                if random.below(2) == 0 {
                    answer.await.expect("done is called").expect("append");
                }
            }
            70..80 => {
                term += 1;
                let keep = random.below(model.records.len() as u64 + 1) as usize;
                model.records.truncate(keep);
                let last = model.records.last().map(|r| r.position);
                let truncation = log.truncate_after(last);
                if random.below(2) == 0 {
                    truncation.await.expect("truncate");
                } else {
                    drop(truncation);
                }
            }
            80..86 => {
                let Some(last) = model.last() else { continue };
                let through = match random.below(8) {
                    0 => Position {
                        index: last.index + 10,
                        ..last
                    },
                    _ => match model.records.get(random.below(30) as usize) {
                        Some(record) => record.position,
                        None => continue,
                    },
                };
                model.records.retain(|r| r.position.index > through.index);
                model.purged = Some(through);
                log.purge(through).await.expect("purge");
            }
            86..90 => log.sync().await.expect("sync"),
            90..95 => model.check(&*log, &when).await,
            _ => {
                // Everything queued is to be written before the kill, or it may rightly be gone.
                log.sync().await.expect("sync");
                let clean = random.below(2) == 0;
                if clean {
                    log.close().await.expect("close");
                }
                kill(log).await;
                let (again, recovery) =
                    open_quietly(&directory, backend, small()).expect("open again");
                log = again;
                assert_eq!(recovery.clean, clean, "{when}");
                assert_eq!(recovery.cut, None, "{when}");
                assert_eq!(recovery.records, model.records.len() as u64, "{when}");
                model.check(&*log, &when).await;
            }
        }
    }
    model.check(&*log, "at the end").await;
}

#[test]
fn segment_log_is_its_model() {
    for seed in 1..=12 {
        run_test(random_walk(Backend::Segment, seed, 250));
    }
}

#[test]
fn fjall_log_is_its_model() {
    for seed in 1..=4 {
        run_test(random_walk(Backend::Fjall, seed, 150));
    }
}

#[test]
fn a_failed_write_or_sync_poisons_the_fjall_log() {
    run_test(async {
        poisons(Backend::Fjall, Access::WriteDurable, 3, libc::EIO, true).await;
        poisons(Backend::Fjall, Access::Write, 3, libc::ENOSPC, false).await;
        poisons(Backend::Fjall, Access::Sync, 3, libc::EIO, false).await;
    });
}

#[test]
fn done_is_called_in_append_order_and_at_once_where_nothing_waits() {
    run_test(async {
        let directory = Scratch::new("order");
        let (log, _) = open_quietly(&directory, Backend::Segment, small()).expect("open");
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        let push = |index: u64, sync: bool| {
            let order = order.clone();
            log.append(
                vec![record(1, index, b"x", sync)],
                Box::new(move |result| {
                    result.expect("append");
                    order.borrow_mut().push(index);
                }),
            );
        };
        push(1, false);
        push(2, false);
        assert_eq!(*order.borrow(), [1, 2], "plain appends need no turn");
        for index in 3..20 {
            push(index, index % 5 == 3);
        }
        assert_eq!(*order.borrow(), [1, 2], "behind a sync everything waits");
        append_all(&*log, vec![record(1, 20, b"x", true)]).await;
        assert_eq!(*order.borrow(), (1..20).collect::<Vec<_>>());
        assert_eq!(log.synced(), 20);
        push(21, false);
        assert_eq!(order.borrow().last(), Some(&21));
        assert_eq!(log.synced(), 20);
        log.sync().await.expect("sync");
        assert_eq!(log.synced(), 21);
    });
}

/// Faults that let `allowed` accesses of one kind through and then fail them all.
fn failing(access: Access, allowed: usize, code: i32) -> Options {
    let left = Arc::new(AtomicUsize::new(allowed));
    Options {
        faults: Some(Arc::new(move |now| {
            let counted = now == access;
            if counted
                && left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_err()
            {
                return Err(io::Error::from_raw_os_error(code));
            }
            Ok(())
        })),
        ..small()
    }
}

async fn poisons(backend: Backend, access: Access, allowed: usize, code: i32, sync: bool) {
    let directory = Scratch::new("poison");
    let options = failing(access, allowed, code);
    let (log, _) = open_quietly(&directory, backend, options).expect("open");
    let mut acknowledged = 0;
    let mut index = 1;
    let error = loop {
        assert!(index < 1000, "{access:?} never failed");
        let answer = append(&*log, vec![record(1, index, &[7; 3000], sync)]);
        let mut result = answer.await.expect("done is called");
        if !sync && access == Access::Sync && result.is_ok() {
            result = log.sync().await;
        }
        match result {
            Ok(()) => acknowledged = index,
            Err(error) => break error,
        }
        index += 1;
    };
    let reason = io::Error::from_raw_os_error(code).to_string();
    assert!(error.to_string().contains(&reason), "{error}");
    for later in index + 1..index + 4 {
        let later = append(&*log, vec![record(1, later, b"x", false)]);
        let error = later.await.expect("done is called").expect_err("poisoned");
        assert!(error.to_string().contains(&reason), "{error}");
    }
    log.sync().await.expect_err("poisoned");
    log.truncate_after(None).await.expect_err("poisoned");
    log.close().await.expect_err("poisoned");
    kill(log).await;
    let (_log, recovery) = open_quietly(&directory, backend, small()).expect("open again");
    assert!(
        recovery.records >= acknowledged,
        "acknowledged records are there"
    );
}

#[test]
fn a_failed_write_or_sync_poisons_the_segment_log() {
    run_test(async {
        poisons(Backend::Segment, Access::WriteDurable, 3, libc::EIO, true).await;
        poisons(Backend::Segment, Access::Write, 3, libc::ENOSPC, false).await;
        poisons(Backend::Segment, Access::Sync, 3, libc::EIO, false).await;
        poisons(Backend::Segment, Access::Sync, 3, libc::EIO, true).await;
        // The third segment finds the disk full.
        poisons(Backend::Segment, Access::Prepare, 2, libc::ENOSPC, true).await;
        poisons(Backend::Segment, Access::Prepare, 2, libc::ENOSPC, false).await;
    });
}

#[test]
fn second_open_of_a_directory_is_refused() {
    run_test(async {
        let directory = Scratch::new("twice");
        let (log, _) = open_quietly(&directory, Backend::Segment, small()).expect("open");
        let refusal = open_quietly(&directory, Backend::Segment, small())
            .err()
            .expect("refused");
        assert!(matches!(refusal, Fatal::Setup(_)), "{refusal}");
        drop(log);
    });
}

#[test]
fn a_large_record_makes_its_segment_longer() {
    run_test(async {
        let directory = Scratch::new("large");
        let (log, _) = open_quietly(&directory, Backend::Segment, small()).expect("open");
        let sizes = [10, 1 << 20, 100, 20 << 20, 5];
        for (index, size) in sizes.iter().enumerate() {
            let sync = index % 2 == 1;
            append_all(&*log, vec![record(1, index as u64, &vec![3; *size], sync)]).await;
        }
        kill(log).await;
        let (log, _) = open_quietly(&directory, Backend::Segment, small()).expect("open again");
        let read = contents(&*log).await;
        let found: Vec<_> = read.iter().map(|(_, _, payload)| payload.len()).collect();
        assert_eq!(found, sizes);
    });
}

//! The byte-level kit: cuts, flips, stale frames, missing files, machine crashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::super::tests::{
    Random, Scratch, append, append_all, contents, kill, open_quietly, record, small,
};
use super::super::{Backend, Log, Options, Recovery};
use super::format::{FrameHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::error::Fatal;
use crate::rt::file::run_test;

type Opened = Result<(Rc<dyn Log>, Recovery), Fatal>;

fn open(directory: &Path) -> Opened {
    open_quietly(directory, Backend::Segment, small())
}

/// Opens as if the machine had been started anew.
fn open_after_reboot(directory: &Path) -> Opened {
    let options = Options {
        boot_id: Some("another boot".to_owned()),
        ..small()
    };
    open_quietly(directory, Backend::Segment, options)
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|suffix| suffix == "segment"))
        .collect();
    paths.sort();
    paths
}

/// Offset, length and sequence number of every frame of a segment.
fn frames(path: &Path) -> Vec<(u64, u64, u64)> {
    let bytes = fs::read(path).expect("a segment");
    let seed = SegmentHeader::decode(&bytes).expect("a header").seed();
    let mut found = Vec::new();
    let mut at = SEGMENT_HEADER_BYTES;
    while at < bytes.len() as u64 {
        match FrameHeader::find(&bytes, at, seed) {
            Some(header) => {
                found.push((at, header.frame_bytes(), header.sequence));
                at += header.frame_bytes();
            }
            None => at += 8,
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        fs::copy(&path, to.join(name)).expect("a copy");
    }
}

/// A copy of `directory` with the segment `path` put through `change`.
fn changed(directory: &Path, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Scratch {
    let target = Scratch::new("changed");
    copy(directory, &target);
    let path = target.join(path.file_name().expect("a name"));
    let mut bytes = fs::read(&path).expect("a segment");
    change(&mut bytes);
    fs::write(&path, bytes).expect("a write");
    target
}

/// Writes `count` records, one frame each, and drops the log without a clean stop.
async fn written(directory: &Path, count: u64, sync: impl Fn(u64) -> bool) {
    let (log, _) = open(directory).expect("open");
    for index in 1..=count {
        let payload = format!("payload {index}").repeat(1 + index as usize % 3);
        append_all(
            &*log,
            vec![record(1, index, payload.as_bytes(), sync(index))],
        )
        .await;
    }
    kill(log).await;
}

fn damage(result: Opened) -> String {
    match result {
        Err(Fatal::Corrupt { what }) => what,
        Err(other) => panic!("another refusal: {other}"),
        Ok((_, recovery)) => panic!("opened, with {recovery:?}"),
    }
}

#[test]
fn a_tail_cut_at_every_byte_gives_back_all_earlier_records() {
    for (sync, by_zeros) in [(true, true), (false, true), (false, false)] {
        run_test(async {
            let directory = Scratch::new("cut");
            written(&directory, 6, |_| sync).await;
            let path = segments(&directory)[0].clone();
            let frames = frames(&path);
            assert_eq!(frames.len(), 6);
            let (start, bytes, _) = frames[4];
            let (last, last_bytes, _) = frames[5];
            let cuts = (start..=start + bytes)
                .step_by(5)
                .chain(last..last + last_bytes);
            for cut in cuts {
                let target = changed(&directory, &path, |bytes| {
                    if by_zeros {
                        bytes[cut as usize..].fill(0);
                    } else {
                        bytes.truncate(cut as usize);
                    }
                });
                let (log, recovery) = open(&target).expect("a torn tail opens");
                let whole = frames.iter().filter(|(at, bytes, _)| at + bytes <= cut);
                // Zeros may stand for the zeros that were there.
                let lost = 6 - recovery.records;
                assert!(recovery.records >= whole.count() as u64, "cut at {cut}");
                assert!(lost <= 2);
                let records = contents(&*log).await;
                assert_eq!(records.len() as u64, recovery.records);
                if cut % 8 != 0 {
                    kill(log).await;
                    continue;
                }
                let next = recovery.records + 1;
                append_all(&*log, vec![record(2, next, b"after", true)]).await;
                kill(log).await;
                let (log, recovery) = open(&target).expect("opens again");
                assert_eq!(recovery.cut, None, "the cut at {cut} was final");
                let after = contents(&*log).await;
                assert_eq!(after[..records.len()], records[..]);
                assert_eq!(after.len() as u64, next);
                assert_eq!(after[next as usize - 1].2, "after");
            }
        });
    }
}

#[test]
fn a_flip_in_the_middle_refuses_and_names_the_place() {
    for sync in [true, false] {
        run_test(async {
            let directory = Scratch::new("flip");
            written(&directory, 60, |_| sync).await;
            let mut random = Random::new(3);
            for path in segments(&directory) {
                let frames = frames(&path);
                let frames: Vec<_> = frames.into_iter().filter(|(_, _, n)| *n < 60).collect();
                if frames.is_empty() {
                    continue;
                }
                for _ in 0..150 {
                    let (at, bytes, number) = frames[random.below(frames.len() as u64) as usize];
                    let flip = at + random.below(bytes);
                    let bit = 1u8 << random.below(8);
                    let target = changed(&directory, &path, |bytes| bytes[flip as usize] ^= bit);
                    let what = damage(open(&target));
                    let name = path.file_name().expect("a name").to_string_lossy();
                    assert!(what.contains(&*name), "{what}");
                    assert!(
                        what.contains(&format!("frame {number},")),
                        "{number}: {what}"
                    );
                    let good = format!("the last good record is index {}", number - 1);
                    assert!(number == 1 || what.contains(&good), "{what}");
                    if sync {
                        // A durable frame is damaged whatever boot it is.
                        damage(open_after_reboot(&target));
                    }
                }
            }
        });
    }
}

#[test]
fn a_flip_in_a_segment_header_refuses() {
    run_test(async {
        let directory = Scratch::new("header");
        written(&directory, 3, |_| true).await;
        let path = segments(&directory)[0].clone();
        for at in 0..32 {
            let target = changed(&directory, &path, |bytes| bytes[at] ^= 4);
            assert!(open(&target).is_err(), "byte {at}");
        }
    });
}

#[test]
fn after_a_reboot_the_unsynced_end_is_cut_and_said_to_be() {
    run_test(async {
        let directory = Scratch::new("reboot");
        // 1..=10 durable, 11..=20 not.
        written(&directory, 20, |index| index <= 10).await;
        let path = segments(&directory)[0].clone();
        let (at, bytes, _) = frames(&path)[14];
        let target = changed(&directory, &path, |content| {
            content[at as usize..(at + bytes) as usize].fill(0);
        });
        damage(open(&target));
        let (log, recovery) = open_after_reboot(&target).expect("opens");
        assert_eq!(recovery.records, 14);
        assert!(recovery.acknowledged_may_be_lost);
        assert!(recovery.cut.expect("a cut").machine_crash);
        // The frames that were cut must not come back behind new ones.
        append_all(&*log, vec![record(2, 15, b"new", false)]).await;
        kill(log).await;
        let (log, recovery) = open_after_reboot(&target).expect("opens");
        assert_eq!((recovery.records, recovery.cut), (15, None));
        assert_eq!(contents(&*log).await[14].2, "new");
    });
}

#[test]
fn a_reboot_loses_nothing_where_every_record_was_synced_or_the_stop_was_clean() {
    run_test(async {
        let directory = Scratch::new("synced");
        written(&directory, 5, |_| true).await;
        let (log, recovery) = open_after_reboot(&directory).expect("opens");
        assert!(recovery.boot_changed && !recovery.acknowledged_may_be_lost);
        append_all(&*log, vec![record(1, 6, b"low", false)]).await;
        log.close().await.expect("close");
        kill(log).await;
        let (_, recovery) = open(&directory).expect("opens");
        assert!(recovery.boot_changed && recovery.clean && !recovery.acknowledged_may_be_lost);
    });
}

#[test]
fn after_a_clean_stop_a_missing_end_is_damage() {
    run_test(async {
        let directory = Scratch::new("clean");
        let (log, _) = open(&directory).expect("open");
        for index in 1..=4 {
            append_all(&*log, vec![record(1, index, b"x", true)]).await;
        }
        log.close().await.expect("close");
        kill(log).await;
        let path = segments(&directory)[0].clone();
        let (at, bytes, _) = frames(&path)[3];
        let target = changed(&directory, &path, |content| {
            content[at as usize..(at + bytes) as usize].fill(0);
        });
        assert!(damage(open(&target)).contains("closed cleanly behind frame 4"));
    });
}

#[test]
fn a_missing_segment_refuses() {
    run_test(async {
        let directory = Scratch::new("hole");
        let (log, _) = open(&directory).expect("open");
        for index in 1..=100 {
            append_all(&*log, vec![record(1, index, &[1; 3000], true)]).await;
        }
        kill(log).await;
        let paths = segments(&directory);
        assert!(paths.len() > 4);
        for path in &paths[..paths.len() - 2] {
            let target = Scratch::new("missing");
            copy(&directory, &target);
            fs::remove_file(target.join(path.file_name().expect("a name"))).expect("removed");
            let what = damage(open(&target));
            assert!(what.contains("missing"), "{what}");
        }
    });
}

#[test]
fn stale_frames_of_recycled_segments_never_come_back() {
    run_test(async {
        let directory = Scratch::new("stale");
        let mut random = Random::new(9);
        let mut next = 1;
        let mut first = 1;
        for round in 0..30 {
            let (log, recovery) = open(&directory).expect("open");
            assert_eq!(recovery.records, next - first, "round {round}");
            assert_eq!(recovery.cut, None, "round {round}");
            for _ in 0..20 {
                let sync = random.below(2) == 0;
                let payload = vec![round as u8; 4000];
                append_all(&*log, vec![record(1, next, &payload, sync)]).await;
                next += 1;
            }
            let through = record(1, next - 1 - random.below(10), b"", true).position;
            log.purge(through).await.expect("purge");
            first = through.index + 1;
            assert!(log.bytes() < 6 * (64 << 10), "purged segments are dropped");
            kill(log).await;
        }
        let recycled = segments(&directory).iter().any(|path| {
            SegmentHeader::decode(&fs::read(path).expect("read"))
                .expect("header")
                .recycled
        });
        assert!(recycled, "the test saw recycled segments");
    });
}

#[test]
fn a_segment_stored_as_a_value_is_not_taken_for_frames() {
    run_test(async {
        let directory = Scratch::new("nested");
        written(&directory, 8, |_| true).await;
        let image = fs::read(&segments(&directory)[0]).expect("a segment");
        let (log, _) = open(&directory).expect("open");
        append_all(&*log, vec![record(1, 9, &image, true)]).await;
        kill(log).await;
        let path = segments(&directory)[0].clone();
        let mut last = (PathBuf::new(), 0, 0);
        for path in segments(&directory) {
            for (at, bytes, sequence) in frames(&path) {
                if sequence == 9 {
                    last = (path.clone(), at, bytes);
                }
            }
        }
        assert_ne!(last.2, 0, "frame 9 is in {}", path.display());
        let target = changed(&directory, &last.0, |bytes| {
            bytes[(last.1 + last.2 - 20) as usize] ^= 1;
        });
        let (_, recovery) = open(&target).expect("a torn tail");
        assert_eq!(recovery.records, 8);
        assert!(recovery.cut.is_some_and(|cut| !cut.machine_crash));
    });
}

#[test]
fn what_queues_behind_a_durable_write_goes_out_in_one_frame() {
    run_test(async {
        let directory = Scratch::new("group");
        let (log, _) = open(&directory).expect("open");
        let mut answers = vec![append(&*log, vec![record(1, 1, b"x", true)])];
        crate::rt::yield_now().await;
        for index in 2..=50 {
            answers.push(append(&*log, vec![record(1, index, b"x", true)]));
        }
        for answer in answers {
            answer.await.expect("done is called").expect("append");
        }
        assert_eq!(frames(&segments(&directory)[0]).len(), 2);
    });
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_clearly() {
    let refusal = run_test(async { open(Path::new("/proc/quorate-cannot")) });
    let Err(Fatal::Setup(text)) = refusal else {
        panic!("no clear refusal");
    };
    assert!(text.contains("/proc/quorate-cannot"), "{text}");
}

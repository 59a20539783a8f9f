//! Damage to a fjall log's files.

use std::fs;
use std::path::Path;

use super::super::tests::{Scratch, append_all, contents, kill, open_quietly, record, small};
use super::super::{Backend, Options};
use crate::error::Fatal;
use crate::rt::file::run_test;

async fn written(directory: &Path, count: u64, sync: bool) {
    let (log, _) = open_quietly(directory, Backend::Fjall, small()).expect("open");
    for index in 1..=count {
        append_all(&*log, vec![record(1, index, &[index as u8; 700], sync)]).await;
    }
    kill(log).await;
}

fn journal(directory: &Path) -> std::path::PathBuf {
    fs::read_dir(directory.join("rows"))
        .expect("the database")
        .map(|entry| entry.expect("an entry").path())
        .find(|path| path.extension().is_some_and(|suffix| suffix == "jnl"))
        .expect("a journal")
}

#[test]
fn damage_that_fjall_takes_for_a_torn_end_refuses() {
    run_test(async {
        for sync in [true, false] {
            for part in [3, 5, 8] {
                let directory = Scratch::new("rows-flip");
                written(&directory, 40, sync).await;
                let path = journal(&directory);
                let mut bytes = fs::read(&path).expect("the journal");
                let used = 40 * 700;
                let at = used * part / 10;
                bytes[at..at + 4].iter_mut().for_each(|byte| *byte ^= 0x55);
                fs::write(&path, bytes).expect("a write");
                let result = open_quietly(&directory, Backend::Fjall, small());
                assert!(
                    matches!(result, Err(Fatal::Corrupt { .. })),
                    "sync {sync}, byte {at}: {:?}",
                    result.map(|(_, recovery)| recovery)
                );
            }
        }
    });
}

#[test]
fn an_unsynced_end_may_be_gone_after_a_reboot_and_only_then() {
    run_test(async {
        let directory = Scratch::new("rows-reboot");
        written(&directory, 40, false).await;
        let path = journal(&directory);
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("open");
        file.set_len(20 * 700).expect("cut");
        drop(file);
        let refused = open_quietly(&directory, Backend::Fjall, small());
        assert!(matches!(refused, Err(Fatal::Corrupt { .. })));
        let options = Options {
            boot_id: Some("another boot".to_owned()),
            ..small()
        };
        let (log, recovery) = open_quietly(&directory, Backend::Fjall, options).expect("open");
        assert!(recovery.records > 10 && recovery.records < 21);
        assert!(recovery.acknowledged_may_be_lost);
        assert!(recovery.cut.is_some_and(|cut| cut.machine_crash));
        assert_eq!(contents(&*log).await.len() as u64, recovery.records);
    });
}

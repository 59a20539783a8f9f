use std::collections::{HashMap, HashSet};

use crate::value::{Text, Value};

use super::*;

fn entry(key: &str) -> Entry {
    Entry {
        key: Text::key(key.as_bytes()),
        value: Value::String(Text::value(key.as_bytes())),
        expires_at_ms: 0,
        version: 0,
    }
}

fn insert(table: &mut Table, key: &str) {
    let hash = table.hash(key.as_bytes());
    table.insert_new(hash, entry(key));
}

#[test]
fn grows_and_shrinks_like_a_model() {
    let mut table = Table::new(7);
    let mut model = HashSet::new();
    let mut state = 1u64;
    for step in 0..130_000u64 {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let key = format!("key:{}", (state >> 33) % 20_000);
        let hash = table.hash(key.as_bytes());
        // Grows in the first half, shrinks in the second.
        if (state >> 20) % 10 < if step < 30_000 { 8 } else { 0 } {
            assert_eq!(
                table.get(hash, key.as_bytes()).is_some(),
                model.contains(&key)
            );
            if model.insert(key.clone()) {
                table.insert_new(hash, entry(&key));
            }
        } else {
            assert_eq!(
                table.remove(hash, key.as_bytes()).is_some(),
                model.remove(&key)
            );
        }
        assert_eq!(table.len(), model.len());
    }
    assert_eq!(table.iter().count(), model.len());
    assert!(!table.free.is_empty(), "segments merge");
}

#[test]
fn a_scan_meets_what_stays_exactly_once() {
    for count in [1, 10, 1000, 100_000] {
        let mut table = Table::new(3);
        (0..5000).for_each(|n| insert(&mut table, &format!("stay:{n}")));
        let mut met: HashMap<String, usize> = HashMap::new();
        let (mut cursor, mut calls) = (0, 0);
        loop {
            cursor = table.scan(cursor, count, |entry| {
                *met.entry(String::from_utf8(entry.key.as_bytes().into_owned()).unwrap())
                    .or_default() += 1;
            });
            // The table grows, then shrinks, under the scan.
            if calls < 300 {
                (0..40).for_each(|n| insert(&mut table, &format!("new:{calls}:{n}")));
            } else {
                for n in 0..40 {
                    let key = format!("new:{}:{n}", calls - 300);
                    let hash = table.hash(key.as_bytes());
                    table.remove(hash, key.as_bytes());
                }
            }
            calls += 1;
            if cursor == 0 {
                break;
            }
        }
        for n in 0..5000 {
            assert_eq!(met.get(&format!("stay:{n}")), Some(&1));
        }
        assert!(calls > 5000 / count / 4, "{calls} calls at COUNT {count}");
    }
}

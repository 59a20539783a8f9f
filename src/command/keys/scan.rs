//! Finding keys: `KEYS`, `SCAN`, `RANDOMKEY`.
//!
//! A cursor of `SCAN` is a number of 52 bits, so that clients may keep it in a double:
//!
//! | bits | meaning |
//! |---|---|
//! | 14-51 | place in the shard's order of keys |
//! | 7-13 | shard |
//! | 0-6 | shards, less one |
//!
//! 0 begins and ends. Keys that are there throughout are met exactly once, as long as the number
//! of shards stays: a cursor from before it changed begins anew.

use crate::glob;
use crate::keyspace::{Entry, SCAN_ORDER_BITS};
use crate::resp::{Args, Error, Reply, parse_int};

use super::super::context::Context;
use super::super::spec::Outcome;

/// Keys that `SCAN` meets in one call unless `COUNT` says otherwise.
const COUNT: usize = 10;

/// Draws of `RANDOMKEY` before it looks for any key that is not past its expiry.
const DRAWS_MAX: usize = 100;

/// Where a scan goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    /// In the table's order.
    order: u64,
    shard: usize,
}

impl Cursor {
    fn decode(cursor: u64, shards: usize) -> Cursor {
        let shard = (cursor >> 7 & 127) as usize;
        if (cursor & 127) as usize + 1 != shards || shard >= shards {
            return Cursor { order: 0, shard: 0 };
        }
        let order = cursor >> 14 << (64 - SCAN_ORDER_BITS);
        Cursor { order, shard }
    }

    fn encode(self, shards: usize) -> u64 {
        self.order >> (64 - SCAN_ORDER_BITS) << 14 | (self.shard as u64) << 7 | (shards as u64 - 1)
    }
}

/// The shard, `0..shards`, that a cursor of `SCAN` goes on with.
pub fn cursor_shard(cursor: u64, shards: usize) -> usize {
    Cursor::decode(cursor, shards).shard
}

pub(super) fn keys<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let pattern = args.get(1);
    let context = &*context;
    let entries = context.database().table().iter();
    let keys = entries
        .filter(|entry| !entry.is_expired(context.now_ms))
        .map(|entry| entry.key.bytes().unwrap_or_default())
        .filter(|key| pattern == b"*" || glob::matches(pattern, key, false));
    Ok(Reply::Array(keys.map(Reply::bulk).collect()))
}

struct Options<'a> {
    pattern: &'a [u8],
    count: usize,
    type_name: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, Error> {
        let mut options = Options {
            pattern: b"*",
            count: COUNT,
            type_name: None,
        };
        for at in (2..args.len()).step_by(2) {
            let value = args.at(at + 1).ok_or(Error::SYNTAX)?;
            if args.is(at, "count") {
                let count = parse_int(value).ok_or(Error::NOT_INTEGER)?;
                options.count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
                if count < 1 {
                    return Err(Error::SYNTAX);
                }
            } else if args.is(at, "match") {
                options.pattern = value;
            } else if args.is(at, "type") {
                options.type_name = Some(value);
            } else {
                return Err(Error::SYNTAX);
            }
        }
        Ok(options)
    }

    fn select(&self, entry: &Entry, key: &[u8]) -> bool {
        let is_wanted = |name: &[u8]| name.eq_ignore_ascii_case(entry.value.type_name().as_bytes());
        self.type_name.is_none_or(is_wanted)
            && (self.pattern == b"*" || glob::matches(self.pattern, key, false))
    }
}

pub(super) fn scan<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let cursor = std::str::from_utf8(args.get(1))
        .ok()
        .and_then(|text| text.parse::<u64>().ok())
        .ok_or(Error::fixed("ERR invalid cursor"))?;
    let options = Options::parse(args)?;
    let context = &*context;
    let Cursor { order, shard } = Cursor::decode(cursor, context.shards);
    // A cursor that names another shard came here by mistake: this one is walked from its start.
    let order = if shard == context.shard { order } else { 0 };
    let mut found = Vec::new();
    let table = context.database().table();
    let next = table.scan(order, options.count, |entry| {
        let key = entry.key.bytes().unwrap_or_default();
        if !entry.is_expired(context.now_ms) && options.select(entry, key) {
            found.push(Reply::bulk(key));
        }
    });
    let next = match next {
        0 if context.shard + 1 >= context.shards => 0,
        0 => Cursor {
            order: 0,
            shard: context.shard + 1,
        }
        .encode(context.shards),
        order => Cursor {
            order,
            shard: context.shard,
        }
        .encode(context.shards),
    };
    Ok(Reply::Array(vec![
        Reply::bulk_owned(next.to_string()),
        Reply::Array(found),
    ]))
}

pub(super) fn randomkey<'k>(context: &'k mut Context<'_>, _args: Args<'_>) -> Outcome<'k> {
    let seeds: [u64; DRAWS_MAX] = std::array::from_fn(|_| context.rng.number());
    let context = &*context;
    let table = context.database().table();
    let is_there = |entry: &&Entry| !entry.is_expired(context.now_ms);
    let drawn = seeds
        .iter()
        .find_map(|seed| table.pick(*seed).filter(is_there))
        .or_else(|| table.iter().find(is_there));
    Ok(match drawn {
        Some(entry) => Reply::bulk(entry.key.bytes().unwrap_or_default()),
        None => Reply::Null,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::super::golden::Scene;
    use super::*;
    use crate::slot::{shard_of, slot_of};

    /// One call of SCAN on the shard that the cursor names: the next cursor, and the keys.
    fn call(scenes: &mut [Scene], cursor: u64, count: usize) -> (u64, Vec<String>) {
        let scene = &mut scenes[cursor_shard(cursor, scenes.len())];
        let reply = scene.run_line(&format!("SCAN {cursor} COUNT {count}"));
        let reply = String::from_utf8(reply).unwrap();
        let mut bulks = reply
            .split("\r\n")
            .filter(|line| !line.starts_with(['*', '$']));
        let next = bulks.next().unwrap().parse().unwrap();
        let keys = bulks.filter(|line| !line.is_empty());
        (next, keys.map(str::to_string).collect())
    }

    #[test]
    fn a_scan_of_changing_shards_meets_what_stays_exactly_once() {
        for (shards, count) in [(1, 10), (3, 1), (3, 100), (4, 1_000_000)] {
            let mut scenes: Vec<Scene> = (0..shards).map(|_| Scene::new()).collect();
            for (shard, scene) in scenes.iter_mut().enumerate() {
                (scene.shard, scene.shards) = (shard, shards);
            }
            let home = |key: &str| shard_of(slot_of(key.as_bytes()), shards);
            let run = |scenes: &mut [Scene], command: &str, key: String| {
                scenes[home(&key)].run_line(&format!("{command} {key} v"));
            };
            (0..3000).for_each(|n| run(&mut scenes, "SET", format!("stay:{n}")));
            let mut met: HashMap<String, usize> = HashMap::new();
            let (mut cursor, mut calls) = (0, 0);
            loop {
                let (next, keys) = call(&mut scenes, cursor, count);
                keys.into_iter()
                    .for_each(|key| *met.entry(key).or_default() += 1);
                for n in 0..5 {
                    run(&mut scenes, "SET", format!("new:{calls}:{n}"));
                    if calls > 500 {
                        run(&mut scenes, "DEL", format!("new:{}:{n}", calls - 500));
                    }
                }
                cursor = next;
                calls += 1;
                if cursor == 0 {
                    break;
                }
            }
            for n in 0..3000 {
                assert_eq!(met.get(&format!("stay:{n}")), Some(&1), "{n} of {shards}");
            }
            assert!(calls >= shards && calls >= 3000 / count / 4);
        }
    }

    #[test]
    fn cursors_come_back_within_52_bits() {
        for shards in [1, 2, 5, 128] {
            for shard in [0, shards - 1] {
                for order in [1 << 26, 12345 << 26, u64::MAX << 26] {
                    let cursor = Cursor { order, shard };
                    let number = cursor.encode(shards);
                    assert!(number > 0 && number < 1 << 52);
                    assert_eq!(Cursor::decode(number, shards), cursor);
                    assert_eq!(cursor_shard(number, shards), shard);
                    // Another number of shards begins anew.
                    assert_eq!(cursor_shard(number, shards % 128 + 1), 0);
                }
            }
        }
        assert_eq!(cursor_shard(0, 4), 0);
        assert_eq!(cursor_shard(u64::MAX, 4), 0);
    }
}

//! `DUMP` and `RESTORE`. A dump is our own, not Redis':
//!
//! | bytes | meaning |
//! |---|---|
//! | .. | the value's image (`value/image.rs`) |
//! | 2 | [`VERSION`], little-endian |
//! | 4 | CRC-32 of all before, little-endian |
//!
//! A change of the image bumps the version.

use crate::resp::{Args, Error, Reply, parse_int};
use crate::value::{ImageReader, Value};

use super::super::context::Context;
use super::super::spec::Outcome;

/// Above every version of Redis' dumps (11 in 7.2), so that neither takes the other's.
const VERSION: u16 = 0x5101;

const FOOTER_BYTES: usize = 6;

pub(super) fn dump<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let Some(entry) = context.entry(args.get(1)) else {
        return Ok(Reply::Null);
    };
    let mut dump = Vec::new();
    entry.value.write_image(&mut dump);
    dump.extend_from_slice(&VERSION.to_le_bytes());
    dump.extend_from_slice(&crc32fast::hash(&dump).to_le_bytes());
    Ok(Reply::bulk_owned(dump))
}

/// The value of a dump.
fn undump(dump: &[u8]) -> Result<Value, Error> {
    let (image, _) = dump
        .split_at_checked(dump.len().wrapping_sub(FOOTER_BYTES))
        .filter(|(image, footer)| {
            let checksum = crc32fast::hash(&dump[..image.len() + 2]);
            footer[..2] == VERSION.to_le_bytes() && footer[2..] == checksum.to_le_bytes()
        })
        .ok_or(Error::fixed(
            "ERR DUMP payload version or checksum are wrong",
        ))?;
    let mut reader = ImageReader::new(image);
    Value::read_image(&mut reader)
        .ok()
        .filter(|value| reader.rest().is_empty() && !value.is_empty_collection())
        .ok_or(Error::fixed("ERR Bad data format"))
}

struct Options {
    replace: bool,
    is_absolute: bool,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, Error> {
        let mut options = Options {
            replace: false,
            is_absolute: false,
        };
        let (mut has_idle_time, mut has_frequency) = (false, false);
        let mut at = 4;
        while at < args.len() {
            // What describes accesses is checked and not kept.
            let value = args.at(at + 1);
            if args.is(at, "replace") {
                options.replace = true;
            } else if args.is(at, "absttl") {
                options.is_absolute = true;
            } else if let Some(value) = value.filter(|_| args.is(at, "idletime") && !has_frequency)
            {
                if parse_int(value).ok_or(Error::NOT_INTEGER)? < 0 {
                    return Err(Error::fixed("ERR Invalid IDLETIME value, must be >= 0"));
                }
                has_idle_time = true;
                at += 1;
            } else if let Some(value) = value.filter(|_| args.is(at, "freq") && !has_idle_time) {
                let frequency = parse_int(value).ok_or(Error::NOT_INTEGER)?;
                if !(0..=255).contains(&frequency) {
                    return Err(Error::fixed(
                        "ERR Invalid FREQ value, must be >= 0 and <= 255",
                    ));
                }
                has_frequency = true;
                at += 1;
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

pub(super) fn restore<'k>(context: &'k mut Context<'_>, args: Args<'_>) -> Outcome<'k> {
    let key = args.get(1);
    let options = Options::parse(args)?;
    if !options.replace && context.entry(key).is_some() {
        return Err(Error::fixed("BUSYKEY Target key name already exists."));
    }
    let ttl_ms = parse_int(args.get(2)).ok_or(Error::NOT_INTEGER)?;
    let ttl_ms =
        u64::try_from(ttl_ms).map_err(|_| Error::fixed("ERR Invalid TTL value, must be >= 0"))?;
    let value = undump(args.get(3))?;
    let expires_at_ms = match ttl_ms {
        0 => 0,
        _ if options.is_absolute => ttl_ms,
        _ => context.now_ms.saturating_add(ttl_ms),
    };
    if expires_at_ms != 0 && expires_at_ms <= context.now_ms {
        context.remove(key);
    } else {
        context.set(key, value, expires_at_ms);
    }
    Ok(Reply::Ok)
}

#[cfg(test)]
mod tests {
    use super::super::super::context::Rng;
    use super::super::super::golden::Scene;
    use super::super::super::golden::grammar::with_args;
    use super::*;

    fn run(scene: &mut Scene, words: &[&[u8]]) -> Vec<u8> {
        with_args(words, |args| scene.run(args))
    }

    #[test]
    fn a_dump_is_restored_and_a_damaged_one_refused() {
        let mut scene = Scene::new();
        scene.run_line("SET k \"some text\"");
        let reply = scene.run_line("DUMP k");
        let start = memchr::memchr(b'\n', &reply).unwrap() + 1;
        let dump = &reply[start..reply.len() - 2];
        assert_eq!(
            run(&mut scene, &[b"restore", b"copy", b"0", dump]),
            b"+OK\r\n"
        );
        assert_eq!(scene.run_line("GET copy"), b"$9\r\nsome text\r\n");
        assert_eq!(
            run(&mut scene, &[b"restore", b"copy", b"0", dump]),
            b"-BUSYKEY Target key name already exists.\r\n"
        );
        assert_eq!(
            run(
                &mut scene,
                &[b"restore", b"copy", b"5000", dump, b"replace"]
            ),
            b"+OK\r\n"
        );
        assert_eq!(scene.run_line("PTTL copy"), b":5000\r\n");
        assert_eq!(
            run(
                &mut scene,
                &[b"restore", b"copy", b"1", dump, b"replace", b"absttl"]
            ),
            b"+OK\r\n"
        );
        assert_eq!(scene.run_line("EXISTS copy"), b":0\r\n");
        for at in 0..dump.len() {
            let mut damaged = dump.to_vec();
            damaged[at] ^= 1;
            let reply = run(&mut scene, &[b"restore", b"bad", b"0", &damaged]);
            assert_eq!(
                reply,
                b"-ERR DUMP payload version or checksum are wrong\r\n"
            );
            let reply = run(&mut scene, &[b"restore", b"bad", b"0", &dump[..at]]);
            assert_eq!(
                reply,
                b"-ERR DUMP payload version or checksum are wrong\r\n"
            );
        }
    }

    /// Values of every kind and small form, made by commands.
    const MAKERS: [&str; 8] = [
        "SET k 12345",
        "SETRANGE k 30 tail",
        "RPUSH k a 1 b \"\" a",
        "SADD k 1 2 3",
        "SADD k a b longer-than-what-fits-in-place",
        "HSET k f 1 g \"\" h text",
        "ZADD k 1 a 2.5 b -inf c",
        "ZADD k 0 a 0 b",
    ];

    #[test]
    fn every_kind_is_dumped_and_restored_as_it_was() {
        for maker in MAKERS {
            let mut scene = Scene::new();
            scene.run_line(maker);
            let dump = dump_of(&mut scene);
            let kind = scene.run_line("TYPE k");
            scene.run_line("DEL k");
            assert_eq!(
                run(&mut scene, &[b"restore", b"k", b"0", &dump]),
                b"+OK\r\n"
            );
            assert_eq!(scene.run_line("TYPE k"), kind);
            assert_eq!(dump_of(&mut scene), dump, "{maker}");
        }
    }

    #[test]
    fn what_is_forged_with_a_right_checksum_does_no_harm() {
        let mut rng = Rng::new(7);
        for round in 0..4000 {
            let mut scene = Scene::new();
            scene.run_line(MAKERS[round % MAKERS.len()]);
            let mut dump = dump_of(&mut scene);
            dump.truncate(dump.len() - FOOTER_BYTES);
            for _ in 0..1 + rng.below(3) {
                let at = rng.below(dump.len());
                match rng.below(3) {
                    0 => dump[at] ^= 1 << rng.below(8),
                    1 => dump[at] = rng.number() as u8,
                    _ => dump.truncate(at + 1),
                }
            }
            dump.extend_from_slice(&VERSION.to_le_bytes());
            dump.extend_from_slice(&crc32fast::hash(&dump).to_le_bytes());
            let reply = run(&mut scene, &[b"restore", b"k", b"0", &dump, b"replace"]);
            if reply == b"+OK\r\n" {
                use_every_way(&mut scene);
            } else {
                assert_eq!(reply, b"-ERR Bad data format\r\n", "round {round}");
            }
        }
    }

    fn dump_of(scene: &mut Scene) -> Vec<u8> {
        let reply = scene.run_line("DUMP k");
        let start = memchr::memchr(b'\n', &reply).unwrap() + 1;
        reply[start..reply.len() - 2].to_vec()
    }

    /// Commands of every kind; those of other kinds are refused.
    fn use_every_way(scene: &mut Scene) {
        for line in [
            "GET k",
            "LRANGE k 0 -1",
            "SMEMBERS k",
            "HGETALL k",
            "ZRANGE k 0 -1 WITHSCORES",
            "ZRANK k a",
            "SORT k ALPHA",
            "LPUSH k x",
            "SADD k x",
            "SREM k a 1",
            "HSET k x y",
            "HDEL k f",
            "ZADD k 5 x 6 a",
            "ZINCRBY k 1 b",
            "ZREM k c",
            "RPOP k",
            "SPOP k 2",
            "ZPOPMIN k 2",
            "APPEND k x",
            "TYPE k",
            "OBJECT ENCODING k",
        ] {
            scene.run_line(line);
        }
        if scene.run_line("EXISTS k") == b":1\r\n" {
            let dump = dump_of(scene);
            let reply = run(scene, &[b"restore", b"k", b"0", &dump, b"replace"]);
            assert_eq!(reply, b"+OK\r\n");
        }
    }
}

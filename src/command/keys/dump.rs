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
    use super::super::super::golden::Scene;
    use crate::resp::{Args, Span};

    fn run(scene: &mut Scene, words: &[&[u8]]) -> Vec<u8> {
        let buffer = words.concat();
        let mut end = 0;
        let spans: Vec<Span> = words
            .iter()
            .map(|word| {
                let start = end;
                end += word.len() as u32;
                Span { start, end }
            })
            .collect();
        scene.run(Args::new(&buffer, &spans))
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
}

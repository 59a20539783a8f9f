//! Golden scripts: `tests/golden/<family>/<scenario>.txt`, run on a bare keyspace.
//!
//! | line | meaning |
//! |---|---|
//! | `# text` | says what is shown; the first line must |
//! | `> SET a b` | a command, words quoted as in redis-cli; its reply stands below |
//! | `~ DUMP a` | the same, where Redis answers differently by design or by chance |
//! | `!now 5000` | sets the clock, in ms; such a script cannot be compared with Redis |
//! | `!advance 10` | moves the clock by so many ms |
//! | `!db 1` | selects a database |
//! | `!resp 3` | chooses the protocol |
//!
//! `GOLDEN_UPDATE=1 cargo test golden` writes the replies anew: read the difference before it is
//! committed. `cargo test redis -- --ignored` runs the scripts, and random commands, against a
//! `redis-server` that it starts, and wants the same bytes.

mod collections;
mod fuzz;
pub(crate) mod grammar;
mod redis;
mod render;

use std::fs;
use std::path::{Path, PathBuf};

use crate::keyspace::Keyspace;
use crate::resp::{Args, Decoded, Decoder, Error, Protocol, encode};

use super::{Context, Rng, Spec, resolve, table};

/// Where the clock stands unless a script sets it: some day in 2023.
const NOW_MS: u64 = 1_700_000_000_000;

/// A keyspace with what a connection and the log add to it.
pub(super) struct Scene {
    pub keyspace: Keyspace,
    pub db: usize,
    pub now_ms: u64,
    pub version: u64,
    pub protocol: Protocol,
    pub shard: usize,
    pub shards: usize,
}

impl Scene {
    pub fn new() -> Scene {
        Scene {
            keyspace: Keyspace::new(1),
            db: 0,
            now_ms: NOW_MS,
            version: 0,
            protocol: Protocol::Resp2,
            shard: 0,
            shards: 1,
        }
    }

    /// Runs one command and answers its reply's bytes.
    pub fn run(&mut self, args: Args<'_>) -> Vec<u8> {
        self.version += 1;
        let mut context = Context {
            keyspace: &mut self.keyspace,
            db: self.db,
            now_ms: self.now_ms,
            version: self.version,
            rng: Rng::new(self.version),
            shard: self.shard,
            shards: self.shards,
            resp3: self.protocol == Protocol::Resp3,
        };
        let outcome = match command(args).map(|spec| spec.handler) {
            Err(error) => Err(error),
            Ok(Some(handler)) => handler(&mut context, args),
            Ok(None) => Err(Error::fixed("ERR not for a keyspace")),
        };
        let mut bytes = Vec::new();
        encode(
            &outcome.unwrap_or_else(Into::into),
            self.protocol,
            &mut bytes,
        );
        bytes
    }

    /// Runs a command given as words with redis-cli's quotes.
    pub fn run_line(&mut self, line: &str) -> Vec<u8> {
        let decoder = words(line);
        self.run(Args::new(decoder.inline(), decoder.spans()))
    }

    /// Follows a directive.
    fn direct(&mut self, directive: &str) {
        let (name, value) = directive.split_once(' ').expect("a directive has a value");
        let value: u64 = value.parse().expect("the value is a number");
        match name {
            "now" => self.now_ms = value,
            "advance" => self.now_ms += value,
            "db" => self.db = value as usize,
            "resp" if value == 3 => self.protocol = Protocol::Resp3,
            "resp" => self.protocol = Protocol::Resp2,
            other => panic!("no directive is called {other}"),
        }
    }
}

/// The command that is meant, one that no client can send included.
fn command(args: Args<'_>) -> Result<&'static Spec, Error> {
    let mut internal = table().iter().filter(|spec| spec.name.starts_with("__"));
    match internal.find(|spec| args.is(0, spec.name)) {
        Some(spec) => Ok(spec),
        None => resolve(args),
    }
}

/// A line's words, in the decoder that took them apart.
fn words(line: &str) -> Decoder {
    let mut decoder = Decoder::default();
    let input = format!("{line}\r\n");
    let decoded = decoder.decode(input.as_bytes());
    assert_eq!(decoded, Ok(Decoded::Inline(input.len())), "{line}");
    decoder
}

/// A line of a script that is no reply.
enum Step<'s> {
    Say,
    Direct(&'s str),
    Command { line: &'s str, comparable: bool },
}

fn steps(script: &str) -> impl Iterator<Item = (&str, Step<'_>)> {
    script.lines().filter_map(|line| {
        let step = match line.split_at_checked(1) {
            None => Step::Say,
            Some(("#", _)) => Step::Say,
            Some(("!", directive)) => Step::Direct(directive),
            // A set or a push as a reply begins with the same mark, but with no blank behind it.
            Some((mark @ (">" | "~"), command)) if command.starts_with(' ') => Step::Command {
                line: command.trim_start(),
                comparable: mark == ">",
            },
            Some(_) => return None,
        };
        Some((line, step))
    })
}

/// The script with the replies that its commands get.
fn play(script: &str) -> String {
    let mut scene = Scene::new();
    let mut played = String::new();
    for (line, step) in steps(script) {
        played.push_str(line);
        played.push('\n');
        match step {
            Step::Say => {}
            Step::Direct(directive) => scene.direct(directive),
            Step::Command { line, .. } => {
                played.push_str(&render::reply(&scene.run_line(line)));
                played.push('\n');
            }
        }
    }
    played
}

/// Every script, in order of its path.
fn scripts() -> Vec<PathBuf> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for item in fs::read_dir(folder).expect("the folder is there") {
            let path = item.expect("it can be read").path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "txt") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    collect(&folder, &mut found);
    found.sort();
    found
}

#[test]
fn golden_scripts_play_as_written() {
    let update = std::env::var_os("GOLDEN_UPDATE").is_some();
    let mut differing = Vec::new();
    for path in scripts() {
        let script = fs::read_to_string(&path).expect("a script is text");
        assert!(
            script.starts_with("# "),
            "{} says what it shows",
            path.display()
        );
        let played = play(&script);
        if played == script {
            continue;
        }
        if update {
            fs::write(&path, played).expect("the script can be written");
            continue;
        }
        for (number, (want, have)) in script.lines().zip(played.lines()).enumerate() {
            if want != have {
                differing.push(format!(
                    "{}:{}\n  written {want}\n  played  {have}",
                    path.display(),
                    number + 1
                ));
                break;
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

//! The same scripts against `redis-server`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::command::{Category, Flags, Keys, table};
use crate::resp::{Args, Protocol, encode_array_header, encode_bulk};

use super::{Scene, Step, render, scripts, steps, words};

/// A `redis-server` of our own with a connection to it; ends with this value.
pub struct Redis {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Redis {
    /// Starts one that keeps nothing on disk, on a free port of the loopback.
    pub fn start() -> Redis {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port is free")
            .port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--dir", "/tmp"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        let stream = (0..200)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(20));
                TcpStream::connect(("127.0.0.1", port)).ok()
            })
            .expect("redis-server listens");
        Redis {
            process,
            stream: BufReader::new(stream),
        }
    }

    /// Runs one command and answers its reply's bytes.
    pub fn run(&mut self, args: Args<'_>) -> Vec<u8> {
        let mut request = Vec::new();
        encode_array_header(args.len(), &mut request);
        for arg in args.iter_from(0) {
            encode_bulk(arg, &mut request);
        }
        self.stream
            .get_mut()
            .write_all(&request)
            .expect("redis-server reads");
        let mut reply = Vec::new();
        self.read(&mut reply);
        reply
    }

    pub fn run_line(&mut self, line: &str) -> Vec<u8> {
        let decoder = words(line);
        self.run(Args::new(decoder.inline(), decoder.spans()))
    }

    fn read(&mut self, reply: &mut Vec<u8>) {
        let start = reply.len();
        self.stream
            .read_until(b'\n', reply)
            .expect("redis-server answers");
        let kind = reply[start];
        let count = || {
            let line = &reply[start + 1..reply.len() - 2];
            std::str::from_utf8(line).unwrap().parse::<i64>().unwrap()
        };
        match kind {
            b'$' | b'=' => {
                let length = count();
                if length >= 0 {
                    let end = reply.len();
                    reply.resize(end + length as usize + 2, 0);
                    self.stream
                        .read_exact(&mut reply[end..])
                        .expect("redis-server answers");
                }
            }
            b'*' | b'~' | b'>' => (0..count()).for_each(|_| self.read(reply)),
            b'%' => (0..2 * count()).for_each(|_| self.read(reply)),
            _ => {}
        }
    }

    /// Back to an empty server and a fresh connection's state.
    pub fn reset(&mut self) {
        self.run_line("HELLO 2");
        self.run_line("SELECT 0");
        self.run_line("FLUSHALL");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.process.kill().expect("it can be ended");
        self.process.wait().expect("it ends");
    }
}

#[test]
#[ignore = "starts a redis-server"]
fn redis_plays_the_golden_scripts_alike() {
    let mut redis = Redis::start();
    let mut differing = Vec::new();
    for path in scripts() {
        let script = fs::read_to_string(&path).expect("a script is text");
        if script.lines().any(|line| line.starts_with("!now")) {
            continue;
        }
        redis.reset();
        let mut scene = Scene::new();
        for (_, step) in steps(&script) {
            match step {
                Step::Say => {}
                Step::Direct(directive) => {
                    scene.direct(directive);
                    match directive.split_once(' ') {
                        Some(("advance", ms)) => {
                            std::thread::sleep(Duration::from_millis(ms.parse().unwrap()));
                        }
                        Some(("db", _)) => {
                            redis.run_line(&format!("SELECT {}", scene.db));
                        }
                        _ if scene.protocol == Protocol::Resp3 => {
                            redis.run_line("HELLO 3");
                        }
                        _ => {
                            redis.run_line("HELLO 2");
                        }
                    }
                }
                Step::Command { line, comparable } => {
                    let (ours, theirs) = (scene.run_line(line), redis.run_line(line));
                    if comparable && ours != theirs {
                        differing.push(format!(
                            "{}: {line}\n  ours   {}\n  redis  {}",
                            path.display(),
                            render::reply(&ours),
                            render::reply(&theirs)
                        ));
                    }
                }
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// The words between the brackets that follow `start`, sorted.
fn words_behind(text: &str, start: &str) -> Vec<String> {
    let (_, rest) = text.split_once(start).unwrap_or_default();
    let inside = rest.split(']').next().unwrap_or_default();
    let mut words: Vec<String> = inside
        .split(", ")
        .map(|word| word.trim_matches(['+', '@', '"']).to_string())
        .filter(|word| !word.is_empty())
        .collect();
    words.sort();
    words
}

/// The names of the bits that are set, sorted.
fn names_of(bits: u32, names: &[&str]) -> Vec<String> {
    let set = names
        .iter()
        .enumerate()
        .filter(|(bit, _)| bits >> bit & 1 == 1);
    let mut names: Vec<String> = set
        .map(|(_, name)| name.trim_start_matches('@').to_string())
        .collect();
    names.sort();
    names
}

/// Commands that take more since 7.2 than the servers that this runs against.
const EXTENDED: [&str; 2] = ["zrank", "zrevrank"];

/// What `COMMAND INFO` and `COMMAND DOCS` say, against the table. Summaries and complexities are
/// not compared: 7.2 words them anew; nor are containers, which here have their subcommands' keys
/// and flags.
#[test]
#[ignore = "starts a redis-server"]
fn redis_describes_its_commands_alike() {
    let mut redis = Redis::start();
    let mut differing = Vec::new();
    for spec in table()
        .iter()
        .filter(|spec| !spec.name.starts_with("__") && spec.subcommands.is_empty())
        .filter(|spec| !EXTENDED.contains(&spec.name))
    {
        let info = render::reply(&redis.run_line(&format!("COMMAND INFO {}", spec.name)));
        if info == "[nil]" || info == "[nil-array]" {
            continue;
        }
        let (first, last, step) = match spec.keys {
            Keys::Range { first, last, step } => (first, last, step),
            Keys::Counted { first: 0, .. } | Keys::None => (0, 0, 0),
            Keys::Custom(_) => (1, 1, 1),
            Keys::Counted { first, .. } => (first as i32, first as i32, 1),
        };
        let range = format!("], :{first}, :{last}, :{step}, [");
        let head = format!("[[\"{}\", :{}, [", spec.name, spec.arity);
        let flags = names_of(spec.flags.0, &Flags::NAMES);
        // `skip_slowlog` and `no_async_loading` say nothing here.
        let mut theirs = words_behind(&info, &head);
        theirs.retain(|flag| Flags::NAMES.contains(&flag.as_str()));
        let categories = names_of(spec.categories().0, &Category::NAMES);
        let docs = render::reply(&redis.run_line(&format!("COMMAND DOCS {}", spec.name)));
        let since = format!("\"since\", \"{}\"", spec.since);
        for (what, is_same) in [
            ("arity", info.starts_with(&head)),
            ("keys", info.contains(&range)),
            ("flags", theirs == flags),
            ("categories", words_behind(&info, &range) == categories),
            ("since", docs.contains(&since)),
        ] {
            if !is_same {
                differing.push(format!(
                    "{what} of {}: {categories:?}\n  {info}\n  {docs}",
                    spec.name
                ));
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

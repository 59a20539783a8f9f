//! The same scripts against `redis-server`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

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

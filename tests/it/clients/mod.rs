//! The clients that people have, against the real binary: each script is a file beside this one.
//!
//! `scripts/install` puts redis-py into `.venv` and the JavaScript clients into `node_modules`
//! here; Debian has the rest. What is missing is a failure, not a silent pass.

mod benchmark;
mod cluster;
mod command_line;
mod redis_rs;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::kit::{Server, on_each};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program that may take two minutes; it ends by itself, should its test be ended before it.
pub fn program(name: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "120"]).arg(name);
    command
}

/// Runs a program, and answers what it wrote.
///
/// # Panics
/// When it fails, with everything that it wrote.
fn run(name: &Path, args: &[String], input: Option<PathBuf>) -> String {
    let stdin = match input {
        Some(path) => Stdio::from(std::fs::File::open(path).unwrap()),
        None => Stdio::null(),
    };
    let output = program(name).args(args).stdin(stdin).output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.expect("coreutils' timeout runs");
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    assert!(
        status.success(),
        "{} {args:?}: {status}; scripts/install installs the clients\n{stdout}\n{}",
        name.display(),
        String::from_utf8_lossy(&stderr)
    );
    stdout
}

/// redis-py's interpreter.
pub fn python() -> PathBuf {
    root().join(".venv/bin/python")
}

fn run_script(interpreter: &Path, script: &str, server: &Server) {
    let path = root().join("tests/it/clients").join(script);
    let args = [path.display().to_string(), server.port().to_string()];
    let said = run(interpreter, &args, None);
    assert!(said.contains("all well"), "{said}");
}

#[test]
fn redis_py() {
    on_each(|server| run_script(&python(), "redis_py.py", &server));
}

#[test]
fn ioredis() {
    on_each(|server| run_script(Path::new("node"), "ioredis.js", &server));
}

#[test]
fn node_redis() {
    on_each(|server| run_script(Path::new("node"), "node_redis.js", &server));
}

//! redis-benchmark's default suite: that it runs, not how fast.

use std::path::Path;

use crate::kit::{Server, on_each};

use super::run;

/// Tests of the default suite, by the names that `-q` prints.
const SUITE: &[&str] = &[
    "PING_INLINE",
    "PING_MBULK",
    "SET",
    "GET",
    "INCR",
    "LPUSH",
    "RPUSH",
    "LPOP",
    "RPOP",
    "SADD",
    "HSET",
    "SPOP",
    "ZADD",
    "ZPOPMIN",
    "LRANGE_100",
    "LRANGE_300",
    "LRANGE_500",
    "LRANGE_600",
    "MSET",
];

fn benchmark(server: &Server, args: &[&str]) {
    let port = server.port().to_string();
    let mut all: Vec<String> = ["-p", &port, "-q"].map(String::from).into();
    all.extend(args.iter().map(ToString::to_string));
    let said = run(Path::new("redis-benchmark"), &all, None);
    for name in SUITE {
        let line = said
            .split(['\r', '\n'])
            .rev()
            .find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} is missing in {said}"));
        assert!(line.contains("requests per second"), "{line}");
    }
    assert!(!said.to_lowercase().contains("error"), "{said}");
}

#[test]
fn redis_benchmark_one_by_one() {
    on_each(|server| benchmark(&server, &["-n", "2000", "-c", "50", "-P", "1"]));
}

#[test]
fn redis_benchmark_in_pipelines_of_16() {
    on_each(|server| {
        benchmark(
            &server,
            &["-n", "4000", "-c", "50", "-P", "16", "-r", "1000"],
        )
    });
}

#[test]
fn redis_benchmark_in_pipelines_of_64() {
    on_each(|server| {
        benchmark(
            &server,
            &["-n", "8000", "-c", "20", "-P", "64", "-r", "1000"],
        )
    });
}

#[test]
fn redis_benchmark_with_a_thousand_clients() {
    on_each(|server| benchmark(&server, &["-n", "3000", "-c", "1000", "-P", "1"]));
}

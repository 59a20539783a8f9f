//! From a request's words to its command and its slot.

use std::hint::black_box;

use criterion::Criterion;
use quorate::command::{by_name, resolve};
use quorate::resp::{Args, Decoder};
use quorate::slot::slot_of;

use crate::request;

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command/find");
    for name in ["get", "SET", "zrangebyscore", "nonesuch"] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| by_name(black_box(name.as_bytes())));
        });
    }
    let requests = [
        ("GET key", request(&[b"GET", b"key"])),
        ("CONFIG GET x", request(&[b"CONFIG", b"GET", b"x"])),
    ];
    for (name, bytes) in &requests {
        let mut decoder = Decoder::default();
        decoder.decode(bytes).expect("the request is whole");
        let args = Args::new(bytes, decoder.spans());
        group.bench_function(format!("resolve {name}"), |bencher| {
            bencher.iter(|| resolve(black_box(args)).is_ok());
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("slot");
    for key in ["key:000000012345", "user:{12345}:name"] {
        group.bench_function(key, |bencher| {
            bencher.iter(|| slot_of(black_box(key.as_bytes())))
        });
    }
    group.finish();
}

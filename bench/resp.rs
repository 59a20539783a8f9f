//! Bytes to requests, replies to bytes.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use quorate::resp::{Decoded, Decoder, Protocol, Reply, encode};

use crate::request;

/// Requests of one pipeline.
const DEEP: usize = 16;

pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resp/decode");
    let requests: [(&str, Vec<u8>); 3] = [
        ("get", request(&[b"GET", b"key:000000012345"])),
        ("set", request(&[b"SET", b"key:000000012345", &[b'v'; 32]])),
        ("inline", b"GET key:000000012345\r\n".to_vec()),
    ];
    group.throughput(Throughput::Elements(DEEP as u64));
    for (name, one) in &requests {
        let pipeline = one.repeat(DEEP);
        let mut decoder = Decoder::default();
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(&pipeline[..]);
                while !rest.is_empty() {
                    let Ok(Decoded::Request(used) | Decoded::Inline(used)) = decoder.decode(rest)
                    else {
                        panic!("the pipeline is whole");
                    };
                    black_box(decoder.spans());
                    rest = &rest[used..];
                }
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("resp/encode");
    let value = [b'v'; 32];
    let replies = [
        ("ok", Reply::Ok),
        ("int", Reply::Int(12_345)),
        ("bulk", Reply::bulk(&value)),
        (
            "array of 100",
            Reply::bulks((0..100).map(|_| value.to_vec())),
        ),
    ];
    let mut out = Vec::with_capacity(16 * 1024);
    for (name, reply) in &replies {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                out.clear();
                encode(black_box(reply), Protocol::Resp2, &mut out);
                black_box(out.len())
            });
        });
    }
    group.finish();
}

//! What single pieces of a request's way cost: one file for each hot module.
//!
//! `cargo bench -- --quick` looks at all of them, `cargo bench -- keyspace` at one longer,
//! `cargo bench --profile quick` saves the long link. They say which piece to look at, not how
//! fast the server is: claims about that come from `perf/`. Nothing asserts a time.

mod command;
mod keyspace;
mod log;
mod mesh;
mod resp;
mod shard;

use std::time::Duration;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .configure_from_args();
    resp::measure(&mut criterion);
    command::measure(&mut criterion);
    keyspace::measure(&mut criterion);
    shard::measure(&mut criterion);
    mesh::measure(&mut criterion);
    log::measure(&mut criterion);
    criterion.final_summary();
}

/// A request as clients send it.
fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

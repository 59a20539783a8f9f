//! `cargo +nightly fuzz run decode fuzz/seeds/decode`: any bytes into the decoder of requests.

#![no_main]

#[path = "../decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| decode::check(data));

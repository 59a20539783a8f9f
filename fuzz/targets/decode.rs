//! `cargo +nightly fuzz run decode fuzz/seeds/decode`: any bytes into the decoder of requests.

#![no_main]

#[path = "../decode.rs"]
mod decode;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // By all of the input, which is a request from its first byte to its last, as the seeds are.
    let cut = data.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    decode::check(cut, data);
});

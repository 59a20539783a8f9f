//! What `std` asks of the system, answered from the simulation: the clocks, and randomness.
//!
//! The definitions here take the place of libc's for this program. A thread that runs no simulation
//! gets the kernel's answers.

use quorate::rt::sim;

fn timespec(ns: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (ns / 1_000_000_000) as i64,
        tv_nsec: (ns % 1_000_000_000) as i64,
    }
}

/// As clock_gettime(2).
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let ns = match clock {
        libc::CLOCK_MONOTONIC => sim::now_ns(),
        libc::CLOCK_REALTIME => sim::clock_ns(),
        _ => None,
    };
    match ns {
        // SAFETY: the caller's pointer is as clock_gettime(2) asks.
        Some(ns) => unsafe {
            *time = timespec(ns);
            0
        },
        // SAFETY: the caller's own arguments.
        None => unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) as libc::c_int },
    }
}

/// As getrandom(2).
#[unsafe(no_mangle)]
extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: libc::c_uint) -> isize {
    if sim::now_ns().is_none() {
        // SAFETY: the caller's own arguments.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize };
    }
    // SAFETY: the caller's buffer is as getrandom(2) asks.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    for chunk in bytes.chunks_mut(8) {
        let drawn = sim::draw().to_le_bytes();
        chunk.copy_from_slice(&drawn[..chunk.len()]);
    }
    length as isize
}

#[test]
fn clocks_and_randomness_are_the_simulations() {
    let look = || {
        std::thread::spawn(|| {
            sim::run(7, async {
                let (begun, wall) = (std::time::Instant::now(), std::time::SystemTime::now());
                quorate::rt::sleep(std::time::Duration::from_secs(3600)).await;
                let hour = begun.elapsed().as_secs();
                assert!((3600..3610).contains(&hour), "{hour}");
                let hash = std::hash::BuildHasher::hash_one(
                    &std::hash::RandomState::new(),
                    rand::random::<u64>(),
                );
                (wall, begun.elapsed(), hash)
            })
        })
        .join()
        .unwrap()
    };
    assert_eq!(look(), look());
}

//! CPU time of the measured servers, read from outside, and of the client itself.
//!
//! `/proc/PID/task/*/schedstat` counts nanoseconds on a CPU per thread, io_uring's kernel workers
//! included. A thread that ends inside the window would take its time with it; then the coarser
//! `/proc/PID/stat` (10 ms steps, ended threads included) is used.

use std::collections::BTreeMap;
use std::fs;
use std::io;

/// Nanoseconds on a CPU so far, per thread of some processes.
pub struct CpuTime {
    thread_ns: BTreeMap<(u32, u32), u64>,
    process_ns: u64,
}

impl CpuTime {
    /// Reads the clocks of `pids`.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn read(pids: &[u32]) -> io::Result<Self> {
        let mut thread_ns = BTreeMap::new();
        let mut process_ns = 0;
        for pid in pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let task = task?;
                let Ok(stat) = fs::read_to_string(task.path().join("schedstat")) else {
                    continue;
                };
                let thread = task.file_name().to_string_lossy().parse().unwrap_or(0);
                thread_ns.insert((*pid, thread), first_number(&stat));
            }
            process_ns +=
                process_ticks(&fs::read_to_string(format!("/proc/{pid}/stat"))?) * ns_per_tick();
        }
        Ok(Self {
            thread_ns,
            process_ns,
        })
    }

    /// Nanoseconds spent between `earlier` and this reading.
    pub fn since(&self, earlier: &Self) -> u64 {
        if earlier
            .thread_ns
            .keys()
            .any(|thread| !self.thread_ns.contains_key(thread))
        {
            return self.process_ns.saturating_sub(earlier.process_ns);
        }
        self.thread_ns
            .iter()
            .map(|(thread, ns)| ns - earlier.thread_ns.get(thread).copied().unwrap_or(0))
            .sum()
    }
}

/// CPU time that servers and this client spend from one moment to another.
pub struct Spent {
    servers: Option<CpuTime>,
    client: CpuTime,
}

impl Spent {
    /// The clocks now; of no server where `pids` is empty.
    ///
    /// # Errors
    /// When a process is gone.
    pub fn begin(pids: &[u32]) -> Result<Self, String> {
        let read = |pids: &[u32]| CpuTime::read(pids).map_err(|error| format!("CPU time: {error}"));
        Ok(Self {
            servers: (!pids.is_empty()).then(|| read(pids)).transpose()?,
            client: read(&[std::process::id()])?,
        })
    }

    /// Nanoseconds of the servers, and of this process, since then.
    ///
    /// # Errors
    /// As [`Spent::begin`].
    pub fn end(self, pids: &[u32]) -> Result<(Option<u64>, u64), String> {
        let now = Self::begin(pids)?;
        let servers = now
            .servers
            .zip(self.servers)
            .map(|(after, before)| after.since(&before));
        Ok((servers, now.client.since(&self.client)))
    }
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace()
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0)
}

/// utime + stime, the 14th and 15th field; the second may hold blanks and brackets.
fn process_ticks(stat: &str) -> u64 {
    let after_name = stat.rfind(')').map_or(stat, |end| &stat[end + 1..]);
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<u64>().ok())
        .sum()
}

fn ns_per_tick() -> u64 {
    // SAFETY: no pointers involved.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    1_000_000_000 / u64::try_from(ticks).unwrap_or(100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_a_strange_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 5 1 1";
        assert_eq!(process_ticks(stat), 42);
    }

    #[test]
    fn own_time_grows_with_work() {
        let pids = [std::process::id()];
        let before = CpuTime::read(&pids).unwrap();
        let started = std::time::Instant::now();
        // However long a busy machine takes to let this thread have 10 ms of a core.
        while CpuTime::read(&pids).unwrap().since(&before) < 10_000_000 {
            assert!(started.elapsed().as_secs() < 60, "no time of its own");
        }
    }
}

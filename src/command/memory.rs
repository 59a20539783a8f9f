//! Replies of `MEMORY STATS` and `MEMORY DOCTOR`: pure functions of what was counted.

use crate::metrics::Snapshot;
use crate::resp::Reply;

/// Bytes below which shares of memory mean nothing, as Redis.
const SMALL_BYTES: u64 = 5 * 1024 * 1024;

/// Answers `MEMORY STATS` with those of Redis' fields that are known.
pub fn stats(snapshot: &Snapshot) -> Reply<'static> {
    let memory = &snapshot.memory;
    let keys: u64 = snapshot.keyspace.iter().map(|database| database.keys).sum();
    let used = memory.used_bytes.max(memory.dataset_bytes);
    let fields = [
        ("peak.allocated", memory.used_bytes_peak.max(used)),
        ("total.allocated", used),
        ("overhead.total", used - memory.dataset_bytes),
        ("log.entries", memory.log_bytes),
        ("keys.count", keys),
        (
            "keys.bytes-per-key",
            memory.dataset_bytes.checked_div(keys).unwrap_or(0),
        ),
        ("dataset.bytes", memory.dataset_bytes),
    ];
    let mut map: Vec<Reply<'static>> = fields
        .into_iter()
        .flat_map(|(name, value)| [Reply::bulk(name.as_bytes()), Reply::Int(value as i64)])
        .collect();
    map.push(Reply::bulk(b"fragmentation"));
    map.push(Reply::Double(memory.rss_bytes as f64 / used.max(1) as f64));
    Reply::Map(map)
}

/// Answers `MEMORY DOCTOR`: what stands out, in words.
pub fn doctor(snapshot: &Snapshot) -> Reply<'static> {
    let memory = &snapshot.memory;
    let used = memory.used_bytes.max(memory.dataset_bytes);
    if used < SMALL_BYTES {
        return Reply::Verbatim("Too little memory is used to say anything.\n".into());
    }
    let mut text = String::new();
    if memory.used_bytes_peak > used / 2 * 3 {
        text.push_str("Peak: more than 1.5 times of what is used now was used before.\n");
    }
    if memory.rss_bytes > used / 2 * 3 {
        text.push_str("Resident: the process holds more than 1.5 times of what is used.\n");
    }
    if memory.log_bytes > memory.dataset_bytes {
        text.push_str("Log: entries kept for followers take more than the data.\n");
    }
    if memory.system_bytes != 0 && memory.rss_bytes > memory.system_bytes / 10 * 9 {
        text.push_str("System: more than 90 % of the machine's memory is taken.\n");
    }
    if text.is_empty() {
        text.push_str("Nothing stands out.\n");
    }
    Reply::Verbatim(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(used: u64, peak: u64, rss: u64) -> String {
        let mut snapshot = Snapshot::default();
        snapshot.memory.used_bytes = used;
        snapshot.memory.used_bytes_peak = peak;
        snapshot.memory.rss_bytes = rss;
        match doctor(&snapshot) {
            Reply::Verbatim(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_stands_out_is_told() {
        let mb = 1 << 20;
        assert!(says(mb, mb, mb).starts_with("Too little"));
        assert_eq!(says(10 * mb, 10 * mb, 12 * mb), "Nothing stands out.\n");
        assert!(says(10 * mb, 20 * mb, 12 * mb).starts_with("Peak"));
        assert!(says(10 * mb, 10 * mb, 20 * mb).starts_with("Resident"));
    }

    #[test]
    fn stats_are_pairs() {
        let Reply::Map(fields) = stats(&Snapshot::default()) else {
            panic!("not a map")
        };
        assert_eq!(fields.len(), 16);
        assert_eq!(fields[0], Reply::bulk(b"peak.allocated"));
    }
}

//! Every bound of the product, once, with its reason.

/// Databases that `SELECT` reaches (Redis' default).
pub const DATABASES: usize = 16;

/// Largest bulk string in bytes, as Redis' `proto-max-bulk-len`.
pub const BULK_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Largest count in one request's array, as Redis (`1024 * 1024`).
pub const ARGS_MAX: usize = 1024 * 1024;

/// Longest inline command or protocol line in bytes, as Redis' `PROTO_INLINE_MAX_SIZE`.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Most cores (executors, shards) of one node. Shard ids fit a byte with room for markers.
pub const CORES_MAX: usize = 128;

/// Entries that the Raft core keeps in flight: one being synced and one forming behind it. More
/// only splits batches (2 beats 128 on a LAN, hashicorp/raft#541).
pub const ENTRIES_IN_FLIGHT: usize = 2;

/// Bytes of one log entry above which the Raft core starts the next one, so that followers and
/// apply work in slices. A single larger command still travels alone.
pub const ENTRY_BYTES_SOFT: usize = 1024 * 1024;

/// Bytes of one log segment file.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

const _: () = assert!(ENTRY_BYTES_SOFT as u64 * 4 <= SEGMENT_BYTES);

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

/// Bytes of recent log payloads kept in memory, for followers and for apply: what a follower that
/// is a second behind asks for, without the disk.
pub const LOG_RECENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes above which what queued behind a log write is split over several writes: large enough
/// for the disk's full speed, small enough that the first in the queue is not held up.
pub const LOG_FRAME_BYTES_SOFT: usize = 4 * 1024 * 1024;

/// Bytes above which a log write leaves the executor for the helper thread, and above which write
/// buffers are given back: only single huge commands get there.
pub const LOG_FRAME_BYTES_LARGE: usize = 16 * 1024 * 1024;

/// Emptied segment files kept for reuse; further ones are deleted.
pub const LOG_SPARES_MAX: usize = 4;

/// Bytes read from a segment at once for records that are no longer in memory.
pub const LOG_READ_BYTES: usize = 256 * 1024;

/// Requests that wait for the thread of the meta store: callers await each, so a few per task.
pub const META_REQUESTS_MAX: usize = 256;

const _: () = assert!(ENTRY_BYTES_SOFT as u64 * 4 <= SEGMENT_BYTES);
const _: () = assert!(ENTRY_BYTES_SOFT <= LOG_FRAME_BYTES_SOFT);
const _: () = assert!(LOG_FRAME_BYTES_SOFT < LOG_FRAME_BYTES_LARGE);
const _: () = assert!((LOG_FRAME_BYTES_LARGE as u64) < SEGMENT_BYTES);

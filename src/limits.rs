//! Every bound of the product, once, with its reason.

/// Databases that `SELECT` reaches (Redis' default).
pub const DATABASES: usize = 16;

/// Largest bulk string in bytes, as Redis' `proto-max-bulk-len`.
pub const BULK_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Largest count in one request's array, as Redis (`1024 * 1024`).
pub const ARGS_MAX: usize = 1024 * 1024;

/// Largest request in bytes, all its arguments together: spans and lengths are 32 bits wide, with
/// room for what a mutation adds to each argument.
pub const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024;

/// Longest inline command or protocol line in bytes, as Redis' `PROTO_INLINE_MAX_SIZE`.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Most members that one command draws with repetition (`SRANDMEMBER key -n`). Redis has no bound
/// here and answers until it is out of memory.
pub const DRAWS_MAX: u64 = 4 * 1024 * 1024;

/// Most cores (executors, shards) of one node. Shard ids fit a byte with room for markers.
pub const CORES_MAX: usize = 128;

/// Entries that the Raft core keeps in flight, and one more once the write of the last has ended:
/// what comes while one is being synced forms the next. A second one under the disk would only
/// split that batch (50 clients, each one request at a time: 16 commands an entry, not 25).
pub const ENTRIES_IN_FLIGHT: usize = 1;

/// Bytes of one log entry above which the Raft core starts the next one, so that followers and
/// apply work in slices. A single larger command still travels alone.
pub const ENTRY_BYTES_SOFT: usize = 1024 * 1024;

/// Batches that one entry takes. Their number is 16 bits in the log, and a disk that stands still
/// for seconds lets far more of them pile up.
pub const ENTRY_PARTS_MAX: usize = 4096;

/// How long a batch or a read may wait for a leader, a quorum or word of its fate before its clients
/// are told, in ms: several elections.
pub const BATCH_PATIENCE_MS: u64 = 5000;

/// How long the reply to a write at `all` waits for the voters that do not have it yet, in ms, before
/// its client is told that it does not know: above an election, below what clients wait for.
pub const ALL_VOTERS_MS: u64 = 3000;

/// How long the Raft core waits for a connection's WAIT, in ms, before it is asked again: until then
/// it does not know that the connection is gone.
pub const WAIT_ROUND_MS: u64 = 1000;

/// After nodes that did not sync their logs, when they are asked again, in ms.
pub const SYNC_AGAIN_MS: u64 = 100;

/// Batches of a core of which it is known where they went, for WAIT. For an older one a later place
/// stands: WAIT then waits for more than it would have to.
pub const WRITTEN_KEPT: usize = 1024;

/// Entries whose copies one call asks the leader for, at most; further ones are in the next.
pub const COPIES_ASKED_MAX: usize = 64;

/// How long the leader holds back its answer about copies that are not there yet, in ms: what comes
/// in between is asked for with the next call.
pub const COPIES_HELD_MS: u64 = 50;

/// After a refused call to the leader, or a failed round for a read index, when to try again, in ms.
pub const FORWARD_AGAIN_MS: u64 = 20;

/// How much fresher, in ms, what a node has must be than the other cores know before they are told:
/// they would all be woken by every round for a read index, and only bounded reads ask.
pub const FRESH_TOLD_MS: u64 = 10;

/// Bytes of one log segment file.
pub const SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes of recent log payloads kept in memory, for followers and for apply: what a follower that
/// is a second behind asks for, without the disk.
pub const LOG_RECENT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Bytes above which what queued behind a log write is split over several writes: large enough
/// for the disk's full speed, small enough that the first in the queue is not held up.
pub const LOG_FRAME_BYTES_SOFT: usize = 4 * 1024 * 1024;

/// Bytes up to which a frame is that of a client or two, who find the machine idle: see
/// `rt::file::write_direct`. What comes of load is larger.
pub const LOG_FRAME_BYTES_SMALL: usize = 512;

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
const _: () = assert!(ENTRY_PARTS_MAX <= u16::MAX as usize);

/// Replies that one connection may have outstanding before its input waits: deep enough for any
/// pipeline to fill a batch, small enough that a connection's bookkeeping stays under 2 MiB. A WATCH
/// awaits one for each of its keys.
pub const REPLIES_OUTSTANDING_MAX: usize = 64 * 1024;

/// Bytes of commands that one core may have between its connections and the log before its
/// connections wait. A single larger command still goes alone.
pub const SUBMITTED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes that one connection's replies may take before its further input waits for them to be
/// read: what bounds a client that sends and does not read. The same holds for replies that came
/// and wait behind an older one.
pub const OUTPUT_BYTES_PAUSE: usize = 4 * 1024 * 1024;

/// Calls of an embedding application that one core works on at a time; the rest wait in their
/// futures. As deep as one connection's pipeline, which fills any batch.
pub const CALLS_UNDER_WAY_MAX: usize = REPLIES_OUTSTANDING_MAX;

/// Calls that one core takes over in a turn: what keeps a turn at a millisecond or two.
pub const CALLS_TAKEN_PER_TURN_MAX: usize = 1024;

/// Sessions of an application on one core: a handle each, so more are a mistake.
pub const SESSIONS_MAX: usize = 1 << 20;

const _: () = assert!(CALLS_UNDER_WAY_MAX + SESSIONS_MAX < 1 << 24);

/// Calls of one session that its core takes over before they can be carried out: enough for a
/// turn, little enough that a dropped future usually still takes its call back.
pub const SESSION_CALLS_TAKEN_MAX: usize = 1024;

/// Keys whose expiry one shard proposes in one go.
pub const EXPIRE_BATCH: usize = 512;

/// After how many ms the removal of an expired key is proposed again that is still there: the
/// proposal may have been refused, as before a leader is known.
pub const EXPIRE_AGAIN_MS: u64 = 1000;

/// Deliveries that may wait on the Raft core to be sent to the shards before it proposes and applies
/// no more.
pub const DELIVERIES_WAITING_MAX: usize = 64;

/// Bytes of one transaction's commands, and of the keys watched for it: one entry must hold both.
pub const TRANSACTION_BYTES_MAX: usize = BULK_BYTES_MAX;

const _: () = assert!(2 * TRANSACTION_BYTES_MAX <= REQUEST_BYTES_MAX);

/// Payload bytes of one AppendEntries request: a few entries at their soft limit, little enough
/// that a heartbeat behind it does not wait for long.
pub const REPLICATE_BYTES_MAX: usize = 4 * ENTRY_BYTES_SOFT;

/// Payload bytes read from the log at a time while applying: what recovery holds beside the
/// dataset, and how long it goes without giving way.
pub const APPLY_READ_BYTES: usize = 4 * ENTRY_BYTES_SOFT;

/// Entries of one AppendEntries request. An entry is a batch of commands, so bytes bound it first.
pub const REPLICATE_ENTRIES_MAX: u64 = 128;

/// Requests of any kind that wait for a Raft core. The node has [`ENTRIES_IN_FLIGHT`] proposals
/// under way; the rest are peers' requests, reads and administration.
pub const PROPOSALS_QUEUED_MAX: u64 = 4096;

/// Completions (disk, peers, applied) that wait for a Raft core.
pub const RAFT_NOTIFICATIONS_QUEUED_MAX: u64 = 4096;

/// Committed batches that wait to be applied.
pub const STATE_MACHINE_QUEUED_MAX: u64 = 256;

const _: () = assert!(ENTRIES_IN_FLIGHT as u64 * 16 <= PROPOSALS_QUEUED_MAX);

/// Entries that a learner may still lack when it becomes a voter: what is on its way under load.
/// More, and the first commit that needs it would wait.
pub const CAUGHT_UP_ENTRIES_MAX: u64 = 32;

/// How many checkpoints a follower that can be reached may lag behind before the log that it lacks
/// goes: it takes one while the next is made, also where its disk or the way to it is slow. Each
/// keeps on the leader's disk the log between two checkpoints: `checkpoint-log-size`, or as much as
/// the last checkpoint took where that is more. In large datasets that is some images' worth.
pub const LAGGING_CHECKPOINTS_MAX: usize = 4;

/// How long in ms a complete checkpoint may take to become known to the Raft core, before the log
/// is left to the next one.
pub const CHECKPOINT_KNOWN_MS_MAX: u64 = 5000;

/// For how many leases a follower that does not answer still counts as one that can be reached:
/// one that takes a checkpoint is busy.
pub const FOLLOWER_HEARD_LEASES: u32 = 4;

/// How long in ms a promotion waits for its learner to catch up: for one that was just added to a
/// group of moderate size. One that takes a large checkpoint is promoted later.
pub const CATCH_UP_MS_MAX: u64 = 60_000;

/// How long in ms a change of membership may take to be committed before its outcome is reported
/// as uncertain: many round trips, and what a client of such a command waits for.
pub const MEMBERSHIP_CHANGE_MS_MAX: u64 = 10_000;

/// Configuration files within files, at most: a circle of includes ends here.
pub const INCLUDES_DEEP_MAX: usize = 16;

/// Different error codes counted by name, at most, as Redis. Codes are the server's own words, but
/// a script may make up any.
pub const ERROR_CODES_MAX: usize = 128;
const _: () = assert!(ENTRY_BYTES_SOFT <= LOG_FRAME_BYTES_SOFT);
const _: () = assert!(LOG_FRAME_BYTES_SOFT < LOG_FRAME_BYTES_LARGE);
const _: () = assert!((LOG_FRAME_BYTES_LARGE as u64) < SEGMENT_BYTES);

/// Bytes of images that one slice of a checkpoint writes: 0.1 to 0.2 milliseconds of a shard's
/// time.
pub const CAPTURE_SLICE_BYTES: usize = 64 * 1024;

/// Bytes of images captured early, because their keys were about to change, above which a shard
/// applies nothing until slices have handed them out.
pub const CAPTURE_EARLY_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of chunks that wait for the checkpoint's thread, of all shards together. Its disk sets
/// the pace of the slices.
pub const CHECKPOINT_QUEUE_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of one row of the image; larger entries are split, so that the storage engine
/// never handles much more in one piece.
pub const CHECKPOINT_ROW_BYTES: usize = 1024 * 1024;

/// Bytes of chunks that the checkpoint's thread sorts and writes together. Each run is read by
/// itself, so few large ones are better; this much memory is taken while one is made.
pub const CHECKPOINT_RUN_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of the chunks in which an image is read back.
pub const CHECKPOINT_READ_BYTES: usize = 256 * 1024;

/// Content bytes of one piece of an image on its way to another node: a whole chunk but for large
/// values, and little enough that a transport sends it as one message.
pub const CHECKPOINT_PIECE_BYTES: usize = 512 * 1024;

/// Chunks of an image that wait for one shard of a running node that is given it: one is taken
/// over while the next is read.
pub const CHECKPOINT_SUPPLY_CHUNKS: usize = 4;

/// Pieces of an image that wait to be sent to a follower: one is sent while the next is read.
pub const CHECKPOINT_EXPORT_PIECES: usize = 4;

const _: () = assert!(CHECKPOINT_READ_BYTES < CHECKPOINT_PIECE_BYTES);
const _: () = assert!(CAPTURE_SLICE_BYTES * 8 <= CHECKPOINT_QUEUE_BYTES);

/// Members of a cluster, learners included: each is one more copy that the leader sends, and more
/// voters than a handful only make commits slower.
pub const MEMBERS_MAX: usize = 31;

/// What the digest of one slice of the keyspace may take of a shard's time, in microseconds; the next
/// slice is half as large where it took longer. Ten a second: below half a percent.
pub const DIGEST_SLICE_US: u64 = 300;

/// Time in ms from the beginning of one sweep over the keyspace to that of the next, at least: a
/// small one is digested at once, which need not be more often.
pub const DIGEST_SWEEP_MS_MIN: u64 = 1000;

/// How long in ms a leader waits for the entry that carries a digest before it asks for another.
pub const DIGEST_POINT_MS_MAX: u64 = 5000;

/// Time in ms between two comparisons of digests.
pub const DIGEST_COMPARE_MS: u64 = 1000;

/// Digests that a node keeps: of a minute and a half, so that a follower which is as far behind can
/// still be compared.
pub const DIGESTS_KEPT: usize = 1024;

/// Keys that a walk for the keys of a slot meets in one turn of a core: some 0.1 ms.
pub const SLOT_SCAN_KEYS: usize = 1000;

/// Bytes of one request or answer between nodes: the largest command, alone in its entry, with what
/// is around it. Lengths on the wire have 32 bits.
pub const PEER_FRAME_BYTES_MAX: usize = REQUEST_BYTES_MAX + 1024 * 1024 * 1024;

const _: () = assert!(PEER_FRAME_BYTES_MAX < u32::MAX as usize);

/// Bytes of a vote or a heartbeat, which are a few dozen.
pub const PEER_VOTE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one chunk of a checkpoint between nodes: rows are split at [`CHECKPOINT_ROW_BYTES`].
pub const PEER_CHUNK_BYTES_MAX: usize = 16 * CHECKPOINT_ROW_BYTES;

/// Bytes that wait to be sent to one node on one of its connections; further requests are refused.
/// A single larger one still goes alone.
pub const PEER_QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Entries' bytes on their way to one follower and not yet acknowledged: a few requests at their
/// soft limit, enough for a fast link at the delay of a disk.
pub const PEER_APPEND_BYTES_IN_FLIGHT: usize = 4 * REPLICATE_BYTES_MAX;

/// Requests with entries on their way to one follower, as many as openraft itself keeps.
pub const PEER_APPENDS_IN_FLIGHT: usize = 64;

/// Requests of one connection that are served at a time, and their bytes: past either it is not
/// read. Above what one sender keeps in flight.
pub const PEER_SERVED_MAX: usize = 1024;
pub const PEER_SERVED_BYTES_MAX: usize = 64 * 1024 * 1024;

const _: () = assert!(PEER_APPENDS_IN_FLIGHT < PEER_SERVED_MAX);
const _: () = assert!(PEER_APPEND_BYTES_IN_FLIGHT <= PEER_SERVED_BYTES_MAX);

/// Bytes of a checkpoint that are sent before the oldest of them is acknowledged: what fills a
/// link of 10 Gbit/s at 3 ms.
pub const PEER_CHECKPOINT_WINDOW_BYTES: usize = 4 * 1024 * 1024;

/// How long a checkpoint that came only in part is kept for a sender that goes on with it, in ms.
pub const PEER_CHECKPOINT_KEPT_MS: u64 = 10 * 60 * 1000;

/// Connections from peers at a time: a few lanes of each member, and what a restart leaves behind.
pub const PEER_CONNECTIONS_MAX: usize = 512;

/// Connections that have not yet shown that they know the secret; further ones are dropped.
pub const PEER_STRANGERS_MAX: usize = 64;

/// Names that one core looks up at a time, each on a thread of its own: while the name service does
/// not answer, every attempt to reach a node would leave one more behind.
pub const LOOKUPS_MAX: usize = 16;

/// How long an attempt to reach a node may take, and how long a stranger may take to show that it
/// is none, in ms.
pub const PEER_CONNECT_MS: u64 = 1000;
pub const PEER_HANDSHAKE_MS: u64 = 2000;

/// How long the kernel waits for acknowledgements before it gives a connection up, in ms: after a
/// partition that lasted longer, a new connection is faster than the old one's retransmissions.
pub const PEER_PATIENCE_MS: u64 = 2000;

/// How long votes and heartbeats may stay unanswered, with nothing coming at all, before their
/// connection is made anew, in ms: several of a cluster's heartbeats.
pub const PEER_VOTE_SILENCE_MS: u64 = 1000;

/// The same for other requests: above what a disk may stall, and a call to a leader without quorum
/// may take.
pub const PEER_CALL_SILENCE_MS: u64 = 30_000;

/// Bounds of the pause after a failed attempt to reach a node, in ms; it doubles. A node that
/// restarts is found again within the larger one.
pub const PEER_BACKOFF_MS_MIN: u64 = 20;
pub const PEER_BACKOFF_MS_MAX: u64 = 320;

/// After how long without a request a connection to a node is closed, in ms.
pub const PEER_IDLE_MS: u64 = 60_000;

/// How often connections are looked after, in ms.
pub const PEER_SWEEP_MS: u64 = 200;

const _: () = assert!(PEER_SWEEP_MS * 2 < PEER_VOTE_SILENCE_MS);

//! Every upper bound, in one place. Relations between bounds are asserted where they can be.

/// Bytes of an id.
pub const ID_BYTES_MAX: usize = 128;
/// Bytes of a `heartbeat`, `goodbye`, `status`, `gateway_gone` or `beacon` value.
pub const HEARTBEAT_BYTES_MAX: usize = 4 * 1024;
/// Bytes of a `heartbeats` or `goodbyes` value.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a `message` or `members` value.
pub const SEND_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a message's `body` as written.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Recipients in a `message`, ids in a `members`, and recipients in a `deliveries` value.
pub const RECIPIENTS_MAX: usize = 10_000;
/// Bytes of a `read` value.
pub const RECEIPT_BYTES_MAX: usize = 4 * 1024;
/// Bytes at which a `deliveries` value is closed; the message and recipient that reach it are in it.
pub const DELIVERIES_BYTES_MAX: usize = 512 * 1024;
/// Bytes of a message in a `deliveries` value beside its body, one recipient included: ids of 128 bytes with
/// every one escaped, and the names of the fields.
pub const POSTED_HEAD_BYTES_MAX: usize = 2 * 1024;
/// Bytes by which a recipient grows when it becomes an entry: `{"user":`, then `,"seq":` with 16 digits, and
/// `}`.
pub const ENTRY_FRAMING_BYTES: usize = 32;
/// Bytes of a session's `metadata` as written.
pub const METADATA_BYTES_MAX: usize = 1024;
/// Bytes of `status_text` and of `activity`.
pub const TEXT_BYTES_MAX: usize = 256;
/// Nesting of JSON values in a record.
pub const JSON_DEPTH_MAX: usize = 16;
/// The largest integer a record may carry: 2^53 - 1, what every JSON reader keeps exactly.
pub const INTEGER_MAX: i64 = (1 << 53) - 1;
/// Milliseconds of a session's lease.
pub const LEASE_MS_MIN: i64 = 5_000;
pub const LEASE_MS_MAX: i64 = 600_000;
/// Milliseconds of a goodbye's `after_ms`.
pub const AFTER_MS_MAX: i64 = 600_000;

/// Live sessions of one user, and tombstones of one user; above, the oldest goes.
pub const SESSIONS_PER_USER_MAX: usize = 64;
pub const TOMBSTONES_PER_USER_MAX: usize = 64;

/// Milliseconds between two beacons of a partition's owner.
pub const BEACON_INTERVAL_MS: i64 = 1_000;
/// The most that one beacon can move the lease clock.
pub const BEACON_STEP_MS_MAX: i64 = 2 * BEACON_INTERVAL_MS;

/// Seconds a session's row lives without being written again; half of it, in record time, is when it is
/// refreshed.
pub const SESSION_ROW_TTL_S: u32 = 86_400;
pub const SESSION_ROW_REFRESH_MS: i64 = SESSION_ROW_TTL_S as i64 * 1_000 / 2;
/// Seconds a producer's name stays in `progress_owners`.
pub const OWNER_TTL_S: u32 = 86_400;

/// Bytes that one store batch may carry: half of a commit-log segment (16 MiB) is refused by the server.
pub const STORE_BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one chunk of a checkpoint.
pub const CHECKPOINT_CHUNK_BYTES: usize = 512 * 1024;
/// Bytes of an offset's metadata: the broker refuses 4,097.
pub const OFFSET_METADATA_BYTES_MAX: usize = 4_096;
/// Bytes of a dead letter's value, its headers beside it: the default `message.max.bytes` of a topic is
/// 1,048,588.
pub const DEAD_LETTER_VALUE_BYTES_MAX: usize = 900 * 1024;

/// Records and bytes of one poll.
pub const POLL_RECORDS_MAX: usize = 20_000;
pub const POLL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of records read and not yet folded, of one engine; above, it does not poll.
pub const UNFOLDED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Records folded, bytes produced and rows owed by one transaction before it is closed.
pub const TRANSACTION_INPUT_RECORDS_MAX: usize = 4_000_000;
pub const TRANSACTION_OUTPUT_BYTES_MAX: usize = 12 * 1024 * 1024;
/// Bytes produced by one partition in one transaction before it is closed. What one record adds beyond this
/// is below 2 MiB of rows, so that a batch of rows that must stay whole stays below 8 MiB.
pub const PART_OUTPUT_BYTES_MAX: usize = 6 * 1024 * 1024;
/// Rows produced by one partition in one transaction before it is closed: a database batch counts its
/// statements in two bytes, and one record adds at most 20,000 rows.
pub const PART_ROWS_MAX: usize = 40_000;
/// Bytes of state that an engine of a processor without checkpoints keeps in memory, shared by its
/// partitions; above, keys that were not used for longest are read again at their next record.
pub const STATE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Recipients of one message in a partition above which their rows may be late: others overtake them.
pub const LARGE_GROUP_RECIPIENTS: usize = 1_000;
/// Bytes of rows that wait for the store, of one engine; above, polling pauses and readiness is false.
pub const UNSTORED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Numbers of one block of `messages`.
pub const BLOCK_MESSAGES: i64 = 1_000;
/// Bytes of a body that an inbox entry carries itself; larger ones are read from `messages`.
pub const INLINE_BODY_BYTES: usize = 1024;
/// Entries of one window of an inbox bucket, and milliseconds of record time after which the next begins.
pub const WINDOW_ENTRIES_MAX: i64 = 50_000;
pub const WINDOW_MS_MAX: i64 = 7 * 86_400_000;
/// Milliseconds of record time in which a send or a membership change that comes again is recognised.
pub const IDEMPOTENCE_MS: i64 = 86_400_000;
/// Days in which a send's id is looked for, where the log's clock stepped back by so many.
pub const IDEMPOTENCE_DAYS_MAX: i64 = 30;
/// Membership changes of a conversation that are recognised when they come again.
pub const RECENT_CHANGES_MAX: usize = 256;
/// Members of a conversation; a change that would exceed it is refused.
pub const MEMBERS_MAX: usize = 200_000;
/// Rows of a page that is read together with the static cells of its partition: one page of the database's
/// protocol, so that all of it is of one moment.
pub const PAGE_ROWS_MAX: u32 = 1_000;

/// Elements of one answer to a reader, and how many they are when nobody says.
pub const READ_COUNT_MAX: u32 = PAGE_ROWS_MAX;
pub const READ_COUNT_DEFAULT: u32 = 100;
/// Bytes of bodies after which a page of an inbox or a history ends, with the step that reached them.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Entries or messages whose bodies are read in one step, so that a page exceeds its bytes by at most so many
/// bodies.
pub const READ_STEP: usize = 128;
/// Windows of an inbox that one answer reads; above, the page ends where they do.
pub const READ_WINDOWS_MAX: u32 = 32;
/// Reads of one request that are under way at a time.
pub const READS_AT_ONCE: usize = 32;

const _: () = assert!(STORE_BATCH_BYTES_MAX + DEAD_LETTER_VALUE_BYTES_MAX < 8 * 1024 * 1024);
const _: () = assert!(READ_COUNT_MAX as i64 <= BLOCK_MESSAGES && READ_COUNT_DEFAULT <= READ_COUNT_MAX);
const _: () = assert!(PART_ROWS_MAX + 20_000 < 65_535);
const _: () = assert!(PART_OUTPUT_BYTES_MAX + 2 * 1024 * 1024 <= 8 * 1024 * 1024);
const _: () = assert!(CHECKPOINT_CHUNK_BYTES < STORE_BATCH_BYTES_MAX);
const _: () = assert!(SESSION_ROW_REFRESH_MS < SESSION_ROW_TTL_S as i64 * 1_000);
const _: () = assert!(BATCH_BYTES_MAX < DEAD_LETTER_VALUE_BYTES_MAX);
const _: () = assert!(SEND_BYTES_MAX < DEAD_LETTER_VALUE_BYTES_MAX && BODY_BYTES_MAX < SEND_BYTES_MAX);
// A `deliveries` value is at most one message larger than where it is closed. The `inbox` value that is made
// of it has an entry for every recipient, and must still be one that a producer takes by default.
const _: () = assert!(
    DELIVERIES_BYTES_MAX + POSTED_HEAD_BYTES_MAX + BODY_BYTES_MAX + RECIPIENTS_MAX * ENTRY_FRAMING_BYTES
        < 1_000_000
);

//! `beacon`: the owner's proof that time passes, with the parameters of the fold.

/// The parameters of the presence fold. In force are those of the last beacon folded; before the first, those of
/// [`Parameters::VERSION_1`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Which rules the fold follows; a pod that does not know it halts the partition.
    pub fold_version: u32,
    /// A session's lease where its beat names none.
    pub lease_ms: i64,
    /// Idle for so long, a session is away.
    pub away_after_ms: i64,
    /// How long `busy` of a session holds after the beat that said it.
    pub busy_for_ms: i64,
    /// The brake on ends by silence; off only for tests and by an explicit wish.
    pub brake: bool,
    /// How long a user must have been offline before it is announced; 0: at once.
    pub dwell_ms: i64,
}

impl Parameters {
    /// The constants of fold version 1.
    pub const VERSION_1: Self = Self {
        fold_version: 1,
        lease_ms: 90_000,
        away_after_ms: 300_000,
        busy_for_ms: 3_600_000,
        brake: true,
        dwell_ms: 0,
    };
}

use std::borrow::Cow;

/// A beacon as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon<'a> {
    /// The consumer group of the partition's owner.
    pub group: Cow<'a, str>,
    /// Distinguishes owners, and one owner's lives.
    pub incarnation: Cow<'a, str>,
    /// The owner's monotonic time.
    pub elapsed_ms: i64,
    pub parameters: Parameters,
}

//! Mistakes that somebody could make, each at one place of the product and each named after what is wrong:
//! what the
//! simulator must see. `examples/mutants.rs` runs them all.
//!
//! Without the feature `mutants` there are none, and asking costs nothing.

use crate::record::beacon::Parameters;

macro_rules! mutants {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// One mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Mutant {
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

mutants! {
    // Transactions.
    /// A transaction's records go out before its offsets: an orphan may then hold back readers unseen.
    RecordsBeforeOffsets,
    /// Offsets are committed first, and their records in a transaction after that.
    OffsetsCommittedFirst,
    /// Dead letters go out in a transaction of their own.
    LetterOutsideTheTransaction,
    /// Rows are written as soon as their batch is sent, not when it is committed.
    RowsBeforeTheCommit,
    /// Records below the committed position are published again.
    PublishedBelowCommitted,
    /// The same for what a batch owes to recipients.
    DeliveredBelowCommitted,
    /// The committed position is read as inclusive.
    CommittedReadAsInclusive,
    /// The position that is committed is that of the last record, not the one after it.
    LastRecordCommittedAsPosition,
    /// A successor begins at the committed position instead of the stored one.
    RestoredAtCommitted,
    /// A producer whose transaction ended unclearly is used again.
    TaintedProducerReused,
    /// A producer that was fenced is used again.
    FencedProducerReused,
    /// A transaction that was aborted is forgotten, and the state that it brought about kept.
    AbortForgotten,
    /// A transaction that ended unclearly counts as committed.
    UnclearTakenForCommitted,
    /// An error that nobody knows is taken for one that passes.
    UnknownErrorRetried,
    /// A transaction that ended with such an error is forgotten, and the state that it brought about kept.
    UnknownEndForgotten,
    // Ownership.
    /// Offsets are taken over that an open transaction is about to move.
    UnstableOffsetsTakenOver,
    /// After a doubt offsets are read while the own transaction under way may still move them.
    OwnTransactionNotWaitedFor,
    /// A dead pod's open transaction is waited for instead of fenced.
    FenceByNameSkipped,
    /// Only the names in the offsets' metadata are fenced, not those in the table.
    OwnersTableIgnored,
    /// A name that another pod uses, too, is endured for ever.
    SharedNameEndured,
    /// A lost partition is taken for one that is being revoked: what is under way goes on.
    LostTakenForRevoked,
    /// Members of the group are fenced, too.
    LivingMemberFenced,
    /// After a pause rows are written before ownership is proved.
    OwnershipNotProved,
    /// The first row is written without the first offset being committed.
    RowWithoutItsClaim,
    /// The timestamp base is taken from the clock at every assignment.
    BaseFromTheClock,
    /// The `progress` row is not looked at.
    ProgressRowIgnored,
    /// A chunk that an older fetch left behind is folded.
    StaleChunkFolded,
    /// An answer to a question of a former state is taken for one of the present state.
    StaleAnswerTaken,
    // Stored positions and stages.
    /// The stored position follows the commits, not the acknowledged rows.
    StoredFollowsCommitted,
    /// The offsets' metadata says a stored position before an acknowledged row does.
    MetadataAheadOfTheRow,
    /// The stored position is the greatest origin of the checkpoints instead of the least.
    StoredAtTheGreatestOrigin,
    /// The resume that travels with a stored position is that of the moment.
    ResumeOfTheMoment,
    /// Heads are written together with their entries.
    HeadsWithTheirEntries,
    /// Heads don't wait for the entries of earlier batches.
    HeadsBeforeEarlierEntries,
    /// Heads of several batches are under way at once.
    HeadsOfSeveralBatches,
    /// Rows overtake late ones of the same recipient.
    LateOnesOvertaken,
    /// The origin of a bucket overtakes what is late of it.
    OriginOvertakes,
    /// Rows are read to be written again before the rows below are in the store.
    RefreshBeforeEarlierRows,
    /// All statements of a database batch have one timestamp.
    TimestampPerBatch,
    /// Rows that never change have their offset for a timestamp.
    OffsetAsTimestamp,
    /// Rows that are to go by themselves have a time to live of 0, which is none.
    TimeToLiveOfZero,
    /// A row is not deleted when the same batch writes it again.
    DeleteSkippedBeforeAnInsert,
    /// Records are read however much waits for the store.
    QueueWithoutBound,
    /// Records are read however much waits to be folded.
    UnfoldedWithoutBound,
    /// A batch takes in records however many bytes it has.
    BatchWithoutBound,
    // Checkpoints.
    /// A checkpoint is written before the rows below its origin are in the store.
    CheckpointBeforeItsRows,
    /// A checkpoint's header is written together with its chunks.
    HeaderWithItsChunks,
    /// A checkpoint is written over the only one there is.
    OneSlotOnly,
    /// Of two whole checkpoints the older one counts.
    OlderSlotCounts,
    /// A checkpoint holds no tombstones.
    TombstonesNotInCheckpoint,
    /// A checkpoint holds no offline that waits.
    PendingNotInCheckpoint,
    /// A checkpoint holds no users that look offline.
    InvisibleNotInCheckpoint,
    /// A checkpoint holds no ends that goodbyes announced.
    FarewellsNotInCheckpoint,
    /// A checkpoint says nothing of metadata.
    MetadataNotInCheckpoint,
    /// A checkpoint says nothing of when rows were written.
    RowTimesNotInCheckpoint,
    /// The brake begins anew at every takeover.
    BrakeNotInCheckpoint,
    /// What was restored is filed nowhere.
    DeadlinesNotRestored,
    /// The last beacon is not restored.
    LastBeaconNotRestored,
    /// The parameters in force are not restored.
    ParametersNotRestored,
    // Presence.
    /// A bucket's origin is ignored.
    PresenceOriginIgnored,
    /// A beacon of another incarnation moves the lease clock.
    OtherIncarnationCounted,
    /// A beacon of another group is folded.
    OtherGroupCounted,
    /// A beacon moves the lease clock by all that its owner's clock says.
    BeaconStepNotCut,
    /// The log's time does not bound what a beacon says.
    BeaconStepBeyondRecordTime,
    /// The log's wall clock is taken for the lease clock.
    WallClockForLeaseClock,
    /// The parameters that beacons announce are ignored.
    ParametersIgnored,
    /// The parameters of the pod's own configuration are in force, whatever beacons announce.
    OwnParametersUsed,
    /// The brake counts the sessions of all buckets of a partition.
    BrakePerPartition,
    /// A session ends a beacon before its lease is over.
    LeaseCutShort,
    /// Ends are carried out in the order in which they were found.
    EndsUnsorted,
    /// Any number of sessions ends by silence at once.
    BrakeOff,
    /// A beat with an older pair renews the session.
    OlderPairAccepted,
    /// A goodbye leaves no tombstone.
    GoodbyeWithoutTombstone,
    /// A session that ends with its gateway leaves no tombstone.
    GatewayGoneWithoutTombstone,
    /// A goodbye with an older pair ends the session.
    OlderGoodbyeAccepted,
    /// A user that returns begins at version 1.
    VersionRestarted,
    /// What lies below a user's row is numbered again.
    NumberedBelowTheRow,
    /// A change of nothing is a transition.
    UnchangedAnnounced,
    /// Texts are announced while the user looks offline.
    TextsAnnouncedWhileOffline,
    /// The state of a user that looks offline is not withdrawn.
    OfflineStateKept,
    /// A session that moves says nothing.
    MoveUnannounced,
    /// The row of a session that ended stays.
    SessionRowNotDeleted,
    /// A refreshed row loses its metadata.
    RefreshWithoutMetadata,
    /// A choice ends by who happens to be in memory.
    ChoiceEndsInMemoryOnly,
    /// A choice has no end any more when a later record leaves it out.
    UntilLostWhenLeftOut,
    /// A choice that is over, and not yet ended by a beacon, takes the next one with it.
    NextChoiceEndsWithTheLast,
    /// Users leave memory before their last change is in the store.
    UserLeavesBeforeAcknowledgement,
    // Conversations.
    /// A conversation's origin is ignored.
    ConversationOriginIgnored,
    /// The origin of a head is the end of its batch.
    OriginOfTheBatchEnd,
    /// Keys leave memory before their last change is in the store.
    KeyLeavesBeforeAcknowledgement,
    /// Messages of a former owner are not recognised when they come again.
    SentForgottenOnTakeover,
    /// Only the present block is looked at for a message that comes again.
    FormerBlockForgotten,
    /// Messages of records that are yet to be folded count as sent.
    SentOfTheFuture,
    /// An id is taken for the same message however old it is.
    IdsCountForEver,
    /// Membership changes of a former owner are not recognised when they come again.
    ChangesForgottenOnTakeover,
    /// Another payload under the same id is the same message.
    ConflictAccepted,
    /// A refused message uses up a number.
    NumberBurnedByRefusal,
    /// The sender comes twice among the recipients.
    DuplicateRecipientKept,
    /// The sender gets nothing.
    SenderLeftOut,
    /// `members_only` is not looked at.
    MembersOnlyIgnored,
    /// A change of members leaves their origin where it was.
    MembersOriginNotMoved,
    /// The greatest record time of a head steps back.
    HeadTimeStepsBack,
    /// Only the first page of a conversation is read.
    FirstPageOnly,
    /// A batch's deliveries wait for the next one.
    DeliveriesHeldOver,
    /// One dead letter per recipient that cannot be used.
    LetterPerRecipient,
    /// A record is forwarded however often it comes back.
    ForwardedAgain,
    /// Headers that were not read are taken for none, so that a record goes out without its own.
    UnreadHeadersTakenForNone,
    // Inboxes and cursors.
    /// A bucket of recipients' origin is ignored.
    InboxOriginIgnored,
    /// What a head says that it includes is ignored.
    HeadTimestampIgnored,
    /// A bucket includes a record before all of it is numbered.
    OriginBeforeTheRest,
    /// A user's own messages count as foreign.
    OwnCountedAsForeign,
    /// The entries of the present window are not restored.
    WindowBeginsAnew,
    /// A window is announced only to those who have none.
    LaterWindowsUnannounced,
    /// Bodies of any size are in the entries.
    LargeBodyInlined,
    /// A cursor goes back.
    CursorGoesBack,
    /// A key that is in memory is read again, over a change that is not in the store yet.
    ChangedKeyReadAgain,
    /// A cursor's row is not believed.
    CursorRowIgnored,
}

/// Whether `mutant` is the mistake that is being made.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
#[must_use]
pub const fn is(_mutant: Mutant) -> bool {
    false
}

/// What is configured where the code runs, which no decision may depend on; only a mistake asks for it.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
#[must_use]
pub const fn own_parameters() -> Option<Parameters> {
    None
}

/// Tells what is configured here.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn configured(_parameters: &Parameters) {}

#[cfg(feature = "mutants")]
pub use present::{configured, is, own_parameters, with};

#[cfg(feature = "mutants")]
mod present {
    use std::cell::{Cell, RefCell};

    use super::{Mutant, Parameters};

    thread_local! {
        static PRESENT: Cell<Option<Mutant>> = const { Cell::new(None) };
        static OWN: RefCell<Option<Parameters>> = const { RefCell::new(None) };
    }

    /// What is configured where the code runs, if that mistake is being made.
    #[must_use]
    pub fn own_parameters() -> Option<Parameters> {
        if is(Mutant::OwnParametersUsed) { OWN.with_borrow(Clone::clone) } else { None }
    }

    /// Tells what is configured here.
    pub fn configured(parameters: &Parameters) {
        if is(Mutant::OwnParametersUsed) {
            OWN.set(Some(parameters.clone()));
        }
    }

    /// Whether `mutant` is the mistake that is being made.
    #[must_use]
    pub fn is(mutant: Mutant) -> bool {
        PRESENT.get() == Some(mutant)
    }

    /// Does `work` with a mistake, or without one; also after a panic there is none.
    pub fn with<T>(mutant: Option<Mutant>, work: impl FnOnce() -> T) -> T {
        struct Over;
        impl Drop for Over {
            fn drop(&mut self) {
                PRESENT.set(None);
            }
        }
        PRESENT.set(mutant);
        let _over = Over;
        work()
    }
}

#[cfg(all(test, feature = "mutants"))]
mod tests;

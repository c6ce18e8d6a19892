//! Cases that were found and made small, to be played for ever. Each name says what the case shows.

/// The name and the text of every case of `src/sim/cases`.
pub const KEPT: &[(&str, &str)] = &[
    (
        "a_checkpoint_of_the_beginning_serves_alone",
        include_str!("../../cases/a_checkpoint_of_the_beginning_serves_alone.case"),
    ),
    (
        "a_member_that_the_group_forgot_joins_anew",
        include_str!("../../cases/a_member_that_the_group_forgot_joins_anew.case"),
    ),
    (
        "a_torn_checkpoint_of_the_beginning_is_none",
        include_str!("../../cases/a_torn_checkpoint_of_the_beginning_is_none.case"),
    ),
    ("aborted_state_kept", include_str!("../../cases/aborted_state_kept.case")),
    (
        "an_older_beat_begins_an_ended_session_again",
        include_str!("../../cases/an_older_beat_begins_an_ended_session_again.case"),
    ),
    (
        "an_unknown_answer_to_a_late_join_is_fatal",
        include_str!("../../cases/an_unknown_answer_to_a_late_join_is_fatal.case"),
    ),
    (
        "bounds_older_than_a_reading_decide_nothing",
        include_str!("../../cases/bounds_older_than_a_reading_decide_nothing.case"),
    ),
    ("cursor_goes_back", include_str!("../../cases/cursor_goes_back.case")),
    (
        "offsets_are_read_when_the_own_transaction_has_ended",
        include_str!("../../cases/offsets_are_read_when_the_own_transaction_has_ended.case"),
    ),
    (
        "restored_at_the_committed_position",
        include_str!("../../cases/restored_at_the_committed_position.case"),
    ),
    (
        "rows_to_be_read_first_are_owed_too",
        include_str!("../../cases/rows_to_be_read_first_are_owed_too.case"),
    ),
    ("sender_left_out", include_str!("../../cases/sender_left_out.case")),
    ("tainted_producer_used_again", include_str!("../../cases/tainted_producer_used_again.case")),
    (
        "the_beginning_is_known_with_its_clock_or_without",
        include_str!("../../cases/the_beginning_is_known_with_its_clock_or_without.case"),
    ),
    ("unclear_commit_taken_for_one", include_str!("../../cases/unclear_commit_taken_for_one.case")),
];

//! Every row of the product: any of it reads as it was written, and any cells whatever are an error or a row
//! that says the same again.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    checkpoint::{SlotHeader, assemble, checkpoint_writes},
    conversation::{ConversationHead, Entry},
    cursor::CursorRow,
    inbox::{BucketRow, EntryRow, HeadRow},
    message::{MessageRow, SentRow},
    presence::{SessionRow, UserRow},
    progress::ProgressRow,
    *,
};
use crate::{
    processor::Checkpoint,
    record::{heartbeats::Choice, transition::Status},
    store::{Change, Row, Statement},
};

/// Cells that are of the right kind more often than not, so that rows come about.
fn any_cells(columns: &'static [Column]) -> impl Strategy<Value = Vec<Value>> {
    let text = prop_oneof![
        select(&["", "online", "offline", "away", "busy", "auto", "invisible", "m/a", "r/a/b"][..])
            .prop_map(str::to_owned),
        ".{0,12}",
    ];
    let of_kind = |kind: Kind, text: BoxedStrategy<String>| match kind {
        Kind::Int => any::<i32>().prop_map(Value::Int).boxed(),
        Kind::BigInt => any::<i64>().prop_map(Value::BigInt).boxed(),
        Kind::Text => text.prop_map(|text| Value::text(&text)).boxed(),
        Kind::Blob => vec(any::<u8>(), 0..20).prop_map(Value::blob).boxed(),
        Kind::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
    };
    let text = text.boxed();
    let kinds = [Kind::Int, Kind::BigInt, Kind::Text, Kind::Blob, Kind::Boolean];
    let other = prop::strategy::Union::new(kinds.map(|kind| of_kind(kind, text.clone())));
    let cells: Vec<_> = columns
        .iter()
        .map(|column| {
            prop_oneof![20 => of_kind(column.kind, text.clone()), 1 => Just(Value::Null), 1 => other.clone()]
        })
        .collect();
    (cells, 0..60_usize).prop_map(|(mut cells, length)| {
        // Now and then there are too few, as a table of an older version has them.
        if length < cells.len() {
            cells.truncate(length);
        }
        cells
    })
}

fn text() -> impl Strategy<Value = String> {
    ".{0,24}"
}

fn status() -> impl Strategy<Value = Status> {
    select(&[Status::Offline, Status::Away, Status::Online, Status::Busy][..])
}

/// The cells that a reader of `$row` makes of its own.
macro_rules! same_again {
    ($cells:expr, $row:ty) => {
        if let Ok(row) = <$row>::from_cells(&$cells) {
            let written = row.to_cells();
            prop_assert_eq!(<$row>::from_cells(&written), Ok(row));
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn a_row_of_a_user_reads_as_it_was_written(
        (origin, status, last_seen_ms) in (any::<i64>(), status(), any::<i64>()),
        until_ms in option::of(any::<i64>()),
        choice in option::of(select(&[Choice::Away, Choice::Busy, Choice::Invisible][..])),
        (status_text, activity) in (option::of(text()), option::of(text())),
        (version, generation) in (0..=i64::MAX as u64, any::<i32>()),
    ) {
        let (status_text, activity) = (status_text.as_deref(), activity.as_deref());
        let row = UserRow {
            origin,
            status,
            choice,
            until_ms,
            status_text,
            activity,
            version,
            last_seen_ms,
            generation,
        };
        let cells = row.to_cells();
        prop_assert_eq!(UserRow::from_cells(&cells), Ok(row));
    }

    #[test]
    fn a_row_of_a_session_reads_as_it_was_written(
        (origin, status, generation) in (any::<i64>(), status(), any::<i32>()),
        (device, gateway, metadata) in (option::of(text()), option::of(text()), option::of(text())),
    ) {
        let (device, gateway, metadata) = (device.as_deref(), gateway.as_deref(), metadata.as_deref());
        let row = SessionRow { origin, status, device, gateway, metadata, generation };
        let cells = row.to_cells();
        prop_assert_eq!(SessionRow::from_cells(&cells), Ok(row));
    }

    #[test]
    fn a_message_and_an_entry_read_as_they_were_written(
        (conversation, sender, client_id, body) in (text(), text(), text(), text()),
        (session, sent_at_ms, inline) in (option::of(text()), option::of(any::<i64>()), any::<bool>()),
        (number, count, accepted_at_ms, hash) in (any::<i64>(), any::<i64>(), any::<i64>(), any::<u64>()),
    ) {
        let session = session.as_deref();
        let (sender, client_id) = (sender.as_str(), client_id.as_str());
        let message = MessageRow { sender, client_id, session, sent_at_ms, accepted_at_ms, body: &body };
        let cells = message.to_cells();
        prop_assert_eq!(MessageRow::from_cells(&cells), Ok(message));
        let sent = SentRow { seq: number, hash, accepted_at_ms };
        prop_assert_eq!(SentRow::from_cells(&sent.to_cells()), Ok(sent));
        let entry = EntryRow {
            conversation: &conversation,
            conversation_seq: number,
            sender,
            client_id,
            session,
            sent_at_ms,
            accepted_at_ms,
            body: inline.then_some(body.as_str()),
            foreign_count: count,
        };
        let cells = entry.to_cells();
        prop_assert_eq!(EntryRow::from_cells(&cells), Ok(entry));
    }

    #[test]
    fn rows_of_numbers_read_as_they_were_written(
        [a, b, c, d] in any::<[i64; 4]>(), generation in any::<i32>(), hash in any::<u64>(),
    ) {
        let (latest_seq, latest_at_ms, members_origin, origin) = (a, b, c, d);
        let head = ConversationHead { latest_seq, latest_at_ms, members_origin, origin, generation };
        prop_assert_eq!(ConversationHead::from_cells(&head.to_cells()), Ok(head));
        let bucket = BucketRow { origin: a, generation, window: b, entries: c, window_since_ms: d };
        prop_assert_eq!(BucketRow::from_cells(&bucket.to_cells()), Ok(bucket));
        let head = HeadRow { latest_seq: a, foreign_count: b, window: c, timestamp_us: a };
        prop_assert_eq!(HeadRow::from_cells(&head.to_cells()), Ok(head));
        let cursor = CursorRow { position: a, at_ms: b, origin: c, generation };
        prop_assert_eq!(CursorRow::from_cells(&cursor.to_cells()), Ok(cursor));
        prop_assert_eq!(Entry::read_cells(&Entry::cells(a, hash)), Ok((a, hash)));
    }

    #[test]
    fn an_entry_of_a_conversation_reads_as_it_was_written((one, other) in ("[^/]{0,9}", "[^/]{0,9}")) {
        for entry in [Entry::Member(&one), Entry::Recent { by: &one, client_id: &other }] {
            let clustering = entry.to_clustering();
            prop_assert_eq!(Entry::from_clustering(&clustering), Some(entry));
        }
    }

    #[test]
    fn a_row_of_progress_reads_as_it_was_written(
        (topic_id, resume, as_of_ms) in (text(), option::of(text()), option::of(any::<i64>())),
        (generation, partitions) in any::<(i32, i32)>(),
        // A row's timestamp is their sum.
        (base_us, stored) in (0..1_i64 << 60, 0..1_i64 << 60),
    ) {
        let row = ProgressRow { topic_id, generation, partitions, base_us, stored, resume, as_of_ms };
        let statement = row.upsert(stored);
        prop_assert_eq!(statement.timestamp_us, base_us + stored);
        prop_assert_eq!(ProgressRow::from_row(&row_of(&statement)), Some(row));
    }

    #[test]
    fn any_cells_are_an_error_or_a_row_that_says_the_same_again(
        (presence, message, inbox) in (
            any_cells(presence::PRESENCE.cells),
            any_cells(message::MESSAGES.cells),
            any_cells(inbox::INBOX.cells),
        ),
        (bucket, head, conversation) in (
            any_cells(inbox::HEADS.statics),
            any_cells(inbox::HEADS.cells),
            any_cells(conversation::CONVERSATIONS.statics),
        ),
        cursor in any_cells(cursor::CURSORS.cells),
        entry in any_cells(conversation::CONVERSATIONS.clustering),
        progress in any_cells(progress::PROGRESS.cells),
        checkpoint in any_cells(checkpoint::CHECKPOINTS.cells),
    ) {
        same_again!(presence, UserRow);
        same_again!(presence, SessionRow);
        same_again!(message, MessageRow);
        same_again!(message, SentRow);
        same_again!(inbox, EntryRow);
        same_again!(bucket, BucketRow);
        same_again!(head, HeadRow);
        same_again!(conversation, ConversationHead);
        same_again!(cursor, CursorRow);
        if let Some(entry) = Entry::from_clustering(&entry) {
            let clustering = entry.to_clustering();
            prop_assert_eq!(Entry::from_clustering(&clustering), Some(entry));
        }
        let row = |clustering: &[Value], cells: Vec<Value>| {
            Row { clustering: clustering.into(), cells: cells.into() }
        };
        let _ = ProgressRow::find(&[row(&entry, progress)], "");
        let key = [Value::Int(1), Value::Int(checkpoint::HEADER)];
        if let Some(header) = SlotHeader::from_row(&row(&key, checkpoint.clone())) {
            prop_assert_eq!(assemble(&header, &[row(&key, checkpoint)]), None);
        }
    }

    #[test]
    fn a_checkpoint_reads_as_it_was_written_and_no_other_bytes_do(
        (bytes, flipped) in (vec(any::<u8>(), 1..200), any::<prop::sample::Index>()),
        (origin, base_us, resume) in (0..1_i64 << 60, 0..1_i64 << 60, text()),
        (bucket, slot) in (0..1_000_u32, 0..2_i32),
    ) {
        let checkpoint = Checkpoint { origin, resume: resume.clone(), bytes: bytes.clone().into() };
        let (chunks, header) = checkpoint_writes(bucket, slot, base_us, &checkpoint);
        let header = SlotHeader::from_row(&row_of(&header.statements[0])).unwrap();
        prop_assert_eq!((header.origin, header.base_us, header.slot), (origin, base_us, slot));
        prop_assert_eq!(&header.resume, &resume);
        let mut rows: Vec<Row> = chunks.iter().map(|write| row_of(&write.statements[0])).collect();
        prop_assert_eq!(assemble(&header, &rows), Some(bytes.clone().into()));
        let mut damaged = bytes;
        let at = flipped.index(damaged.len());
        damaged[at] ^= 1;
        rows[0].cells[5] = Value::blob(damaged);
        prop_assert_eq!(assemble(&header, &rows), None);
    }
}

fn row_of(statement: &Statement) -> Row {
    match &statement.change {
        Change::Upsert(cells) => Row { clustering: statement.clustering.clone(), cells: cells.clone() },
        other => panic!("an upsert is due, not {other:?}"),
    }
}

#[test]
fn progress_is_no_background_since_claims_wait_for_it() {
    let background = TABLES.iter().filter(|table| table.is_background()).map(|table| table.name);
    assert_eq!(background.collect::<Vec<_>>(), ["presence", "presence_checkpoints"]);
}

//! Every reader of rows: any cells are an error, or a row that is written and read the same again.

use heartline::{
    store::Row,
    table::{
        Column, Kind, Value,
        checkpoint::{CHECKPOINTS, SlotHeader, assemble, chunks_query},
        conversation::{CONVERSATIONS, ConversationHead, Entry},
        cursor::{CURSORS, CursorRow},
        inbox::{BucketRow, EntryRow, HEADS, HeadRow, INBOX},
        message::{MESSAGES, MessageRow, SentRow},
        presence::{PRESENCE, SessionRow, UserRow},
        progress::{PROGRESS, ProgressRow},
    },
};

use crate::choices::Choices;

fn cell(choices: &mut Choices<'_>, kind: Kind) -> Value {
    let kind = match choices.byte() {
        255 => choices.pick(&[Kind::Int, Kind::BigInt, Kind::Text, Kind::Blob, Kind::Boolean]),
        254 => return Value::Null,
        _ => kind,
    };
    match kind {
        Kind::Int => Value::Int(choices.number() as i32),
        Kind::BigInt => Value::BigInt(choices.number()),
        Kind::Text => match choices.byte() {
            0 => Value::text(&choices.text()),
            _ => Value::text(choices.pick(&[
                "online",
                "offline",
                "away",
                "busy",
                "auto",
                "invisible",
                "m/a",
                "r/a/b",
                "",
            ])),
        },
        Kind::Blob => Value::blob(choices.bytes().to_vec()),
        Kind::Boolean => Value::Boolean(choices.is()),
    }
}

fn cells(choices: &mut Choices<'_>, columns: &[Column]) -> Vec<Value> {
    let mut cells: Vec<Value> = columns.iter().map(|column| cell(choices, column.kind)).collect();
    if choices.byte() == 255 {
        cells.truncate(choices.below(columns.len().max(1)));
    }
    cells
}

macro_rules! same_again {
    ($cells:expr, $row:ty) => {{
        let cells = $cells;
        if let Ok(row) = <$row>::from_cells(&cells) {
            let written = row.to_cells();
            assert_eq!(<$row>::from_cells(&written), Ok(row));
        }
    }};
}

pub fn rows(data: &[u8]) {
    let choices = &mut Choices::new(data);
    match choices.below(12) {
        0 => same_again!(cells(choices, PRESENCE.cells), UserRow),
        1 => same_again!(cells(choices, PRESENCE.cells), SessionRow),
        2 => same_again!(cells(choices, MESSAGES.cells), MessageRow),
        3 => same_again!(cells(choices, MESSAGES.cells), SentRow),
        4 => same_again!(cells(choices, INBOX.cells), EntryRow),
        5 => same_again!(cells(choices, HEADS.statics), BucketRow),
        6 => same_again!(cells(choices, HEADS.cells), HeadRow),
        7 => same_again!(cells(choices, CONVERSATIONS.statics), ConversationHead),
        8 => same_again!(cells(choices, CURSORS.cells), CursorRow),
        9 => {
            let clustering = cells(choices, CONVERSATIONS.clustering);
            if let Some(entry) = Entry::from_clustering(&clustering) {
                assert_eq!(Entry::from_clustering(&entry.to_clustering()), Some(entry));
            }
        }
        10 => {
            let row =
                Row { clustering: [Value::text("")].into(), cells: cells(choices, PROGRESS.cells).into() };
            let _ = ProgressRow::find(&[row], "");
        }
        _ => {
            let mut row = || Row {
                clustering: cells(choices, CHECKPOINTS.clustering).into(),
                cells: cells(choices, CHECKPOINTS.cells).into(),
            };
            if let Some(header) = SlotHeader::from_row(&row()) {
                let _ = chunks_query(3, &header);
                let _ = assemble(&header, &[row(), row()]);
            }
        }
    }
}

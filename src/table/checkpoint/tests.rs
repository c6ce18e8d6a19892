use super::*;

fn rows(writes: &[WriteBatch]) -> Vec<Row> {
    let row = |statement: &Statement| match &statement.change {
        Change::Upsert(cells) => Row { clustering: statement.clustering.clone(), cells: cells.clone() },
        other => panic!("a checkpoint only upserts, not {other:?}"),
    };
    writes.iter().flat_map(|write| write.statements.iter().map(row)).collect()
}

fn written(origin: i64, bytes: &Bytes) -> (SlotHeader, Vec<Row>) {
    let (chunks, header) =
        checkpoint_writes(3, 1, 1_000, &Checkpoint { origin, resume: "{}".into(), bytes: bytes.clone() });
    let header = rows(std::slice::from_ref(&header));
    (SlotHeader::from_row(&header[0]).unwrap(), rows(&chunks))
}

#[test]
fn a_checkpoint_of_several_chunks_is_read_as_it_was_written() {
    let bytes: Bytes = (0..CHECKPOINT_CHUNK_BYTES * 2 + 7).map(|n| n as u8).collect();
    let (header, chunks) = written(55, &bytes);
    assert_eq!((header.chunks, header.origin, header.slot, header.base_us), (3, 55, 1, 1_000));
    assert_eq!(header.resume, "{}");
    assert_eq!(assemble(&header, &chunks), Some(bytes));
}

#[test]
fn an_empty_checkpoint_has_a_header_and_no_chunk() {
    let (header, chunks) = written(5, &Bytes::new());
    assert_eq!(header.chunks, 0);
    assert_eq!(assemble(&header, &chunks), Some(Bytes::new()));
}

#[test]
fn chunks_of_another_origin_do_not_count() {
    let bytes: Bytes = vec![7; CHECKPOINT_CHUNK_BYTES + 1].into();
    let (header, mut chunks) = written(55, &bytes);
    let (_, newer) = written(56, &bytes);
    chunks[1] = newer[1].clone();
    assert_eq!(assemble(&header, &chunks), None, "torn between two checkpoints");
}

#[test]
fn a_missing_chunk_or_a_flipped_bit_is_seen() {
    let bytes: Bytes = vec![7; CHECKPOINT_CHUNK_BYTES + 1].into();
    let (header, chunks) = written(55, &bytes);
    assert_eq!(assemble(&header, &chunks[..1]), None);
    assert_eq!(assemble(&SlotHeader { crc: header.crc ^ 1, ..header }, &chunks), None);
}

use super::*;

fn keyed(entries: &[(&'static str, u64)]) -> Keyed<&'static str, u32> {
    let mut keyed = Keyed::new(3 * (100 + ENTRY_BYTES));
    entries.iter().for_each(|(key, batch)| keyed.insert(*key, 0, 100, *batch));
    keyed
}

#[test]
fn a_key_used_by_an_unacknowledged_batch_stays_however_short_memory_is() {
    let mut keyed = keyed(&[("a", 5), ("b", 5), ("c", 5), ("d", 5), ("e", 5)]);
    keyed.acknowledged(4);
    assert_eq!(keyed.len(), 5);
    keyed.acknowledged(5);
    assert_eq!(keyed.len(), 2);
}

#[test]
fn the_key_that_was_not_used_for_longest_goes_first() {
    let mut keyed = keyed(&[("a", 1), ("b", 2), ("c", 3), ("d", 4)]);
    keyed.get_mut("a", 4);
    keyed.acknowledged(4);
    assert!(!keyed.contains("b") && !keyed.contains("c") && keyed.contains("a") && keyed.contains("d"));
}

#[test]
fn nothing_goes_while_there_is_room() {
    let mut keyed = keyed(&[("a", 1), ("b", 1), ("c", 1)]);
    keyed.acknowledged(9);
    assert_eq!(keyed.len(), 3);
    keyed.resize("a", 300);
    keyed.acknowledged(9);
    assert!(!keyed.contains("a") && keyed.len() == 2);
}

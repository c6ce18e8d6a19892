use super::*;

#[test]
fn ids_of_every_length_read_as_they_were_put() {
    let mut ids = Ids::default();
    let texts: Vec<String> = (1..=ID_BYTES_MAX).map(|length| "x".repeat(length)).collect();
    let put: Vec<Id> = texts.iter().map(|text| ids.put(text)).collect();
    for (text, id) in texts.iter().zip(&put) {
        assert_eq!(ids.text(id), text);
        assert!(ids.is(id, text.as_bytes()) && !ids.is(id, b"y"));
    }
}

#[test]
fn the_room_of_a_dropped_id_is_used_again_for_one_of_the_same_length() {
    let mut ids = Ids::default();
    let name = |n: u32| format!("a name beyond the record {n}");
    let (first, second) = (ids.put(&name(1)), ids.put(&name(2)));
    ids.drop(first);
    let third = ids.put(&name(3));
    assert_eq!(third, first);
    assert_eq!([ids.text(&third), ids.text(&second)], [name(3), name(2)]);
}

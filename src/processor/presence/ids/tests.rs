use super::*;

#[test]
fn the_room_of_a_dropped_id_is_used_again_for_one_of_the_same_length() {
    let mut ids = Ids::default();
    let (first, second) = (ids.put("alice"), ids.put("carol"));
    let other = ids.put("bob");
    ids.drop(first);
    let third = ids.put("käte");
    assert_eq!(third, first);
    assert_eq!([ids.text(third), ids.text(second), ids.text(other)], ["käte", "carol", "bob"]);
}

#[test]
fn an_id_takes_five_bytes_beside_its_own() {
    assert_eq!(size_of::<Id>(), 5);
    let mut ids = Ids::default();
    for n in 0..100 {
        ids.put(&format!("user-{n:011}"));
    }
    assert_eq!(ids.shelves[16].bytes.len(), 1_600);
}

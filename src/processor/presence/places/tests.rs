use super::*;

#[test]
fn places_are_given_out_in_order_and_the_last_free_one_first() {
    let mut places = Places::default();
    let count = 2 * SEGMENT as u32 + 3;
    assert!((0..count).all(|number| places.put(number) == number));
    assert!((0..count).all(|number| places[number] == number));
    let other = SEGMENT as u32 + 44;
    places.free(7);
    places.free(other);
    assert_eq!(places[other], other, "what was there can still be read");
    assert_eq!([places.put(1_000), places.put(2_000), places.put(3_000)], [other, 7, count]);
    assert_eq!(
        (places[other], places[7], places[count], places.len()),
        (1_000, 2_000, 3_000, count as usize + 1)
    );
}

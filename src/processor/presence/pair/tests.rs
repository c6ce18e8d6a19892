use super::*;
use crate::limits::INTEGER_MAX;

#[test]
fn a_pair_is_kept_as_it_was_given_unless_both_are_large() {
    let small = (1 << 23) - 1;
    let of_time = 1_760_000_000_000;
    let numbers = [0, 1, -1, small, -small - 1, of_time, -of_time, INTEGER_MAX, -INTEGER_MAX];
    let is_small = |number: i64| (-small - 1..=small).contains(&number);
    for epoch in numbers {
        for counter in numbers {
            let kept = Pair::new(epoch, counter).map(|pair| pair.get());
            let expected = (is_small(epoch) || is_small(counter)).then_some(Some((epoch, counter)));
            assert_eq!(kept, expected);
        }
    }
    assert_eq!(Pair::new(small + 1, small + 1).map(Pair::get), None);
    assert_eq!(Pair::apart().get(), None);
}

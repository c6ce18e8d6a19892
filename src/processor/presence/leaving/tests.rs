use super::*;

#[test]
fn a_user_goes_with_the_batch_of_its_last_change() {
    let mut leaving = Leaving::default();
    leaving.offer(7, 1);
    leaving.offer(8, 1);
    leaving.offer(7, 2);
    leaving.offer(7, 2);
    assert_eq!(leaving.next(1), Some(8));
    assert_eq!(leaving.next(1), None);
    assert_eq!(leaving.next(5), Some(7));
    assert_eq!(leaving.next(5), None);
}

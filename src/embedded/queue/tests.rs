use super::*;

#[test]
fn a_full_queue_turns_clients_away_and_still_takes_an_engines_work() {
    let queue = Queue::default();
    while queue.push(Lane::Client, (), 1024 * 1024).is_ok() {}
    assert_eq!(queue.push(Lane::Client, (), 1024 * 1024), Err(Refused::Full));
    assert_eq!(queue.push(Lane::Engine, (), 1024 * 1024), Ok(()));
    while queue.push(Lane::Engine, (), 1024 * 1024).is_ok() {}
    assert_eq!(queue.push(Lane::Engine, (), 1024 * 1024), Err(Refused::Full));
}

#[test]
fn a_group_is_bounded_in_bytes_and_keeps_the_order() {
    let queue = Queue::default();
    for number in 0..4 {
        queue.push(Lane::Engine, number, GROUP_BYTES_MAX * 5 / 8).expect("there is room");
    }
    assert_eq!(queue.take(), Some(vec![0]), "two of them exceed a group");
    for number in 4..9 {
        queue.push(Lane::Engine, number, 1).expect("there is room");
    }
    assert_eq!(queue.take(), Some(vec![1]));
    assert_eq!(queue.take(), Some(vec![2]));
    assert_eq!(queue.take(), Some(vec![3, 4, 5, 6, 7, 8]));
    for _ in 0..15 {
        queue.push(Lane::Client, 0, 1024 * 1024).expect("what was taken frees its bytes");
    }
}

#[test]
fn clients_do_not_wait_for_all_that_engines_have_queued_nor_engines_for_clients() {
    let queue = Queue::default();
    for number in 0..3 {
        queue.push(Lane::Engine, ("engine", number), GROUP_BYTES_MAX).expect("there is room");
    }
    for number in 0..3 {
        queue.push(Lane::Client, ("client", number), GROUP_BYTES_MAX).expect("there is room");
    }
    for number in 0..3 {
        assert_eq!(queue.take(), Some(vec![("client", number), ("engine", number)]));
    }
}

#[test]
fn work_larger_than_a_group_is_taken_alone() {
    let queue = Queue::default();
    queue.push(Lane::Engine, 'a', 2 * GROUP_BYTES_MAX).expect("there is room");
    queue.push(Lane::Engine, 'b', 1).expect("there is room");
    assert_eq!(queue.take(), Some(vec!['a']));
    assert_eq!(queue.take(), Some(vec!['b']));
}

#[test]
fn a_closed_queue_takes_nothing_and_hands_out_what_it_has() {
    let queue = Queue::default();
    queue.push(Lane::Client, 1, 1).expect("there is room");
    queue.close();
    assert_eq!(queue.push(Lane::Engine, 2, 1), Err(Refused::Closed));
    assert_eq!(queue.take(), Some(vec![1]));
    assert_eq!(queue.take(), None);
}

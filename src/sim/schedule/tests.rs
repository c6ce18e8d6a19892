use super::Schedule;

#[test]
fn events_happen_by_time_and_then_in_the_order_they_were_scheduled() {
    let mut schedule = Schedule::default();
    schedule.at(20, 'c');
    schedule.at(10, 'a');
    schedule.at(10, 'b');
    let happened: Vec<_> = std::iter::from_fn(|| schedule.next_until(100)).collect();
    assert_eq!(happened, ['a', 'b', 'c']);
    assert_eq!(schedule.now_ms(), 20);
}

#[test]
fn nothing_beyond_the_limit_happens_and_the_clock_stays() {
    let mut schedule = Schedule::default();
    schedule.at(20, ());
    assert_eq!(schedule.next_until(19), None);
    assert_eq!(schedule.now_ms(), 0);
    assert_eq!(schedule.next_until(20), Some(()));
}

#[test]
fn an_event_of_the_past_happens_now() {
    let mut schedule = Schedule::default();
    schedule.pass_until(50);
    schedule.at(10, ());
    assert_eq!(schedule.next_until(50), Some(()));
    assert_eq!(schedule.now_ms(), 50);
}

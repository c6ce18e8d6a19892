use super::*;

#[test]
fn an_extra_and_its_deadlines_change_together() {
    let mut extras = Extras::default();
    let tombstone =
        |session: &str, due_ms| Tombstone { session: session.into(), epoch: 0, counter: 0, due_ms };
    extras.edit(1, false, |extra| extra.bury(tombstone("a", 50)));
    extras.edit(1, false, |extra| extra.bury(tombstone("b", 40)));
    assert!(extras.timers_due(39).is_empty());
    assert_eq!(extras.timers_due(40), [1]);
    extras.edit(1, false, |extra| extra.unbury("b"));
    assert!(extras.timers_due(49).is_empty());
    let ((), left) = extras.edit(1, false, |extra| extra.unbury("a"));
    assert!(!left && extras.get(1).is_none() && extras.timers_due(i64::MAX).is_empty());
}

#[test]
fn the_end_of_a_choice_is_watched_while_the_user_lives() {
    let mut extras = Extras::default();
    extras.edit(1, false, |extra| {
        extra.choice = Some(Choice::Busy);
        extra.until_ms = Some(9);
    });
    assert!(extras.untils_due(9).is_empty());
    extras.edit(1, true, |_| ());
    assert_eq!(extras.untils_due(9), [(9, 1)]);
}

use super::*;

fn terms(beat_time_ms: i64) -> Terms {
    Terms { epoch: 1, counter: 2, beat_clock_ms: 3, beat_time_ms, lease_ms: 90_000, idle_ms: 0, busy: false }
}

#[test]
fn when_a_user_was_last_seen_is_known_wherever_it_is_kept() {
    let mut people = People::default();
    let user = people.add_user("u");
    people.see(user, 5);
    let seen = |people: &People| (people.last_seen_ms(user), people.seen_apart.len());
    assert_eq!(seen(&people), (5, 0), "in the room that no session has taken");
    let first = people.add_session(user, "a", &terms(10), true);
    assert_eq!(seen(&people), (10, 0), "when the session was heard");
    people.set_terms(first, &terms(20), false);
    assert_eq!(seen(&people), (10, 1), "it was heard while the user was invisible");
    people.set_terms(first, &terms(30), true);
    assert_eq!(seen(&people), (30, 0));
    people.set_terms(first, &terms(25), true);
    assert_eq!((seen(&people), people.session(first).beat_time_ms()), ((30, 1), 25), "time went back");
    let further = people.add_session(user, "b", &terms(40), true);
    assert_eq!((seen(&people), people.session(first).beat_time_ms()), ((40, 1), 25));
    people.end_session(first);
    people.free_session(first);
    people.set_terms(further, &terms(50), true);
    assert_eq!(seen(&people), (50, 0), "in the room again");
    people.add_session(user, "c", &terms(60), false);
    assert_eq!(seen(&people), (50, 1));
    for session in [further, user] {
        people.end_session(session);
        people.free_session(session);
    }
    people.remove_user(user);
    assert!(people.seen_apart.is_empty());
}

#[test]
fn a_pair_is_known_wherever_it_is_kept() {
    let mut people = People::default();
    let user = people.add_user("u");
    for session in ["a", "b"].map(|id| people.add_session(user, id, &terms(10), true)) {
        assert_eq!(people.pair(session), (1, 2));
        let large = 1_760_000_000_000;
        for (epoch, counter) in [(large, 3), (large, large + 1), (large, large + 2), (large + 1, 0)] {
            people.set_terms(session, &Terms { epoch, counter, ..terms(20) }, true);
            assert_eq!(people.pair(session), (epoch, counter));
        }
        people.set_pair(session, large, large);
        people.end_session(session);
        people.free_session(session);
    }
    assert!(people.pairs_apart.is_empty());
}

use super::*;
use crate::sim::world::{act::Act, plan::Plan};

fn case() -> Case {
    let plan = Plan { faulty_ms: 30_000, ..Plan::draw(2) };
    Case::record(plan).0
}

fn outages(case: &Case) -> usize {
    let is_one = |event: &&Event| matches!(event, Event::Act { act: Act::Outage { .. }, .. });
    case.events.iter().filter(is_one).count()
}

/// Fails at its second outage.
fn fails(case: &Case) -> Option<u64> {
    let is_one = |event: &&Event| matches!(event, Event::Act { act: Act::Outage { .. }, .. });
    case.events.iter().filter(is_one).nth(1).map(Event::at_ms)
}

#[test]
fn only_what_a_failure_needs_is_left() {
    let mut case = case();
    for at_ms in [3_000, 9_000, 15_000] {
        let at = case.events.partition_point(|event| event.at_ms() < at_ms);
        case.events.insert(at, Event::Act { at_ms, act: Act::Outage { for_ms: 1 } });
    }
    assert!(case.events.len() > 100);
    let small = shrink(case, &mut fails, &mut || true);
    assert_eq!((small.events.len(), outages(&small)), (2, 2));
    assert!(small.plan.faulty_ms <= 9_001, "{}", small.plan.faulty_ms);
    assert_eq!(small.plan.machines, 1);
}

#[test]
fn shrinking_ends_when_its_time_is_over_with_a_case_that_fails() {
    let mut case = case();
    for at_ms in [0, 1] {
        case.events.insert(at_ms as usize, Event::Act { at_ms, act: Act::Outage { for_ms: 1 } });
    }
    let mut tries = 0;
    let mut go_on = || {
        tries += 1;
        tries <= 3
    };
    let small = shrink(case, &mut fails, &mut go_on);
    assert!(fails(&small).is_some());
    assert!(tries < 30, "{tries}");
}

#[cfg(feature = "mutants")]
#[test]
fn a_mistakes_seed_shrinks_to_a_few_events_that_show_it_and_nothing_else() {
    use crate::mutant::{Mutant, with};
    const EVENTS_MAX: usize = 50;
    const TRIES_MAX: usize = 400;
    let mistake = Some(Mutant::CursorGoesBack);
    let failing = (1..20).find_map(|seed| {
        let plan = Plan { faulty_ms: 20_000, machines: 1, users: 1, ..Plan::draw(seed) };
        let (case, result) = with(mistake, || Case::record(plan));
        result.is_err().then_some(case)
    });
    let case = failing.unwrap_or_else(|| panic!("no seed shows it"));
    let mut tries = 0;
    let mut fails = |case: &Case| with(mistake, || case.run()).err().map(|violation| violation.at_ms);
    let mut go_on = || {
        tries += 1;
        tries <= TRIES_MAX
    };
    let small = shrink(case, &mut fails, &mut go_on);
    assert!(small.events.len() <= EVENTS_MAX, "{} events", small.events.len());
    let read: Case = small.to_string().parse().unwrap_or_else(|error| panic!("{error}"));
    assert!(with(mistake, || read.run()).is_err());
    assert!(read.run().is_ok());
}

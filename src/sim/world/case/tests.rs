use super::{kept::KEPT, *};

fn short(seed: u64) -> Plan {
    Plan { faulty_ms: 20_000, ..Plan::draw(seed) }
}

#[test]
fn a_recorded_run_repeats_byte_for_byte_also_from_its_text() {
    for seed in [3, 13] {
        let (case, drawn) = Case::record(short(seed));
        let strikes = case.events.iter().filter(|event| matches!(event, Event::Strike(_))).count();
        assert!(case.events.len() > 100, "seed {seed}: a run with something in it");
        assert!(strikes > 0, "seed {seed}: a run with faults");
        let text = case.to_string();
        let read: Case = text.parse().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(read.events, case.events, "seed {seed}");
        assert_eq!(read.to_string(), text, "seed {seed}");
        let digest = |result: Result<Summary, Violation>| result.map(|summary| summary.digest);
        assert_eq!(digest(read.run()), digest(drawn), "seed {seed}");
    }
}

#[test]
fn a_case_that_cannot_be_read_says_which_line_is_wrong() {
    let text = Case::record(Plan { faulty_ms: 1, ..short(1) }).0.to_string();
    let error = |text: &str| text.parse::<Case>().err().unwrap_or_default();
    assert_eq!(error(&text.replace("plan seed", "plan sead")), "the plan has no seed");
    assert_eq!(error(&(text.clone() + "12 act dance\n")), "not a line of a case: '12 act dance'");
    assert_eq!(error(&text.replace("case 1", "case 9")), "a case begins with 'heartline-case 1'");
}

#[test]
fn whatever_was_found_before_is_not_there_any_more() {
    for (name, text) in KEPT {
        let case: Case = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        case.run().unwrap_or_else(|violation| panic!("{name}: {violation}"));
    }
}

#[cfg(feature = "mutants")]
#[test]
fn a_kept_case_still_shows_the_mistake_that_it_was_kept_for() {
    use crate::mutant::{Mutant, with};
    let mut shown = 0;
    for (name, text) in KEPT {
        let case: Case = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
        let Some(wanted) = &case.mutant else { continue };
        let mutant = Mutant::ALL.iter().find(|mutant| format!("{mutant:?}") == *wanted);
        let mutant = mutant.unwrap_or_else(|| panic!("{name}: there is no mutant {wanted}"));
        assert!(with(Some(*mutant), || case.run()).is_err(), "{name} does not show {wanted}");
        shown += 1;
    }
    assert!(shown > 0, "no case shows a mistake");
}

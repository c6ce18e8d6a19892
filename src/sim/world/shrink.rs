//! Makes a failing case small: leaves out what it does not need, as long as it still fails.

use super::case::{Case, Event};

/// Other delays that are tried where a case without some of its events passes: what it shows may need luck.
const DELAYS_TRIED: u64 = 2;
/// Above this only the delays at hand are tried: large cases are slow, and have much that is not needed.
const FEW_EVENTS: usize = 300;
/// Events that follow one another by less are told apart by nothing.
const AFTER_MS: u64 = 1_000;

/// Leaves out of `case` whatever it fails without, until nothing more can go or `go_on` says no. What fails
/// is said by `fails`: the time of the failure.
///
/// First the tail, then whole kinds of events, then halves, quarters and so on down to single events; then
/// machines and time.
pub fn shrink(
    case: Case,
    fails: &mut dyn FnMut(&Case) -> Option<u64>,
    go_on: &mut dyn FnMut() -> bool,
) -> Case {
    let mut shrinking = Shrinking { case, fails, go_on };
    shrinking.cut_tail();
    shrinking.drop_kinds();
    loop {
        let before = shrinking.case.events.len();
        shrinking.drop_chunks();
        shrinking.cut_tail();
        if shrinking.case.events.len() == before || !(shrinking.go_on)() {
            break;
        }
    }
    shrinking.drop_machines();
    shrinking.case
}

struct Shrinking<'a> {
    case: Case,
    fails: &'a mut dyn FnMut(&Case) -> Option<u64>,
    go_on: &'a mut dyn FnMut() -> bool,
}

impl Shrinking<'_> {
    /// Takes `candidate` if it fails, with these delays or with others.
    fn try_this(&mut self, mut candidate: Case) -> bool {
        let tries = if candidate.events.len() <= FEW_EVENTS { DELAYS_TRIED } else { 0 };
        for _ in 0..=tries {
            if !(self.go_on)() {
                return false;
            }
            if (self.fails)(&candidate).is_some() {
                self.case = candidate;
                return true;
            }
            candidate.plan.delays = candidate.plan.delays.wrapping_add(1);
        }
        false
    }

    fn try_events(&mut self, events: Vec<Event>) -> bool {
        self.try_this(Case { events, ..self.case.clone() })
    }

    /// What happens after the failure, or long after the last event, is not needed.
    fn cut_tail(&mut self) {
        let Some(failed_ms) = (self.fails)(&self.case) else { return };
        let mut candidate = self.case.clone();
        candidate.events.retain(|event| event.at_ms() <= failed_ms);
        candidate.plan.faulty_ms = candidate.plan.faulty_ms.min(failed_ms + 1);
        let is_less = |candidate: &Case, case: &Case| {
            candidate.events.len() < case.events.len() || candidate.plan.faulty_ms < case.plan.faulty_ms
        };
        if is_less(&candidate, &self.case) {
            self.try_this(candidate);
        }
        let mut candidate = self.case.clone();
        let last_ms = candidate.events.last().map_or(0, Event::at_ms);
        candidate.plan.faulty_ms = candidate.plan.faulty_ms.min(last_ms + AFTER_MS);
        if is_less(&candidate, &self.case) {
            self.try_this(candidate);
        }
    }

    /// All strikes, all acts, all records of a topic, all strikes of one fault.
    fn drop_kinds(&mut self) {
        let mut kinds: Vec<_> = self.case.events.iter().flat_map(kinds_of).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            let rest = self.case.events.iter().filter(|event| !kinds_of(event).contains(&kind));
            let rest: Vec<_> = rest.cloned().collect();
            if rest.len() < self.case.events.len() {
                self.try_events(rest);
            }
        }
    }

    fn drop_chunks(&mut self) {
        let mut size = self.case.events.len().div_ceil(2);
        while size > 0 {
            let mut from = 0;
            while from < self.case.events.len() {
                if !(self.go_on)() {
                    return;
                }
                let mut events = self.case.events.clone();
                events.drain(from..(from + size).min(events.len()));
                if !self.try_events(events) {
                    from += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    fn drop_machines(&mut self) {
        while self.case.plan.machines > 1 {
            let mut candidate = self.case.clone();
            candidate.plan.machines -= 1;
            if !self.try_this(candidate) {
                break;
            }
        }
    }
}

/// From the widest kind to the narrowest.
fn kinds_of(event: &Event) -> Vec<String> {
    match event {
        Event::Strike(strike) => vec!["1 strikes".to_owned(), format!("4 {:?}", strike.fault)],
        Event::Record(sent) => vec![format!("2 {}", sent.topic)],
        Event::Act { act, .. } => {
            let text = act.to_string();
            let name = text.split(' ').next().unwrap_or_default();
            vec!["3 acts".to_owned(), format!("4 {name}")]
        }
    }
}

#[cfg(test)]
mod tests;

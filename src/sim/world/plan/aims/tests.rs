use std::collections::BTreeSet;

use super::*;

#[test]
fn some_hundred_seeds_aim_at_every_cell_that_chance_fills_too_seldom() {
    let aimed: BTreeSet<_> =
        (1..=250).flat_map(aims_of).map(|aim| (aim.fault as usize, aim.step as usize)).collect();
    let reachable =
        |fault: Fault| SELDOM.into_iter().filter(move |step| unreachable(fault, *step).is_none()).count();
    let faults = Fault::ALL.into_iter().filter(|fault| can_be_aimed(*fault));
    assert_eq!(aimed.len(), faults.map(reachable).sum::<usize>());
}

#[test]
fn some_hundred_seeds_aim_at_every_kind_of_call() {
    let aimed: BTreeSet<_> =
        (1..=100).flat_map(call_aims_of).map(|(fault, call)| (fault as usize, call as usize)).collect();
    let reachable = |fault: Fault| {
        CallKind::ALL.into_iter().filter(move |call| unreachable_call(fault, *call).is_none()).count()
    };
    assert_eq!(aimed.len(), CALL_FAULTS.into_iter().map(reachable).sum::<usize>());
}

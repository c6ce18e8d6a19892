use super::*;

#[test]
fn the_same_seed_gives_the_same_transcript_byte_for_byte() {
    let text = || {
        let mut world = World::new(Plan { faulty_ms: 60_000, ..Plan::draw(3) }, Keep::Lines);
        while world.network.now_ms() < 30_000 {
            world.advance(true).unwrap_or_else(|violation| panic!("{violation}"));
        }
        world.transcript().to_owned()
    };
    let (first, second) = (text(), text());
    assert!(first.lines().count() > 1_000, "a run with something in it");
    assert!(first == second);
}

#[test]
fn no_seed_breaks_an_invariant() {
    let mut sum = Summary::default();
    for seed in 0..24 {
        sum.add(&run(seed).unwrap_or_else(|violation| panic!("{violation}")));
    }
    assert_eq!(sum.coverage.contradictions(), Vec::<String>::new());
    assert!(
        sum.transitions > 500 && sum.faults > 500 && sum.restores > 50 && sum.lives > 40,
        "vacuous: {sum:?}"
    );
    assert!(sum.messages > 500 && sum.entries > 5_000 && sum.rows_read > 10_000, "vacuous: {sum:?}");
}

#[test]
fn a_deployment_that_does_not_recover_in_time_is_seen() {
    let plan = Plan { faulty_ms: 20_000, disasters: Vec::new(), rates: Vec::new(), ..Plan::draw(2) };
    let mut world = World::new(plan, Keep::Nothing);
    while world.network.now_ms() < 15_000 {
        world.advance(false).unwrap_or_else(|violation| panic!("{violation}"));
    }
    world.network.stall_store(100_000);
    let violation = world.play().err().unwrap_or_else(|| panic!("nothing was seen"));
    assert!(violation.what.contains("are not out"), "{violation}");
}

//! Bytes that nobody wrote.

use proptest::prelude::*;

use super::harness::{World, setup};
use crate::processor::{Fold, presence::Presence};

fn checkpoint() -> Vec<u8> {
    let mut world = World::new();
    world.parameters.dwell_ms = 60_000;
    world.beacon();
    world.beat("alice", "s-1", 1, r#""device":"ios","gateway":"gw-1","metadata":1,"busy":true"#);
    world.beat("alice", "s-2", 1, r#""lease_ms":5000"#);
    world.goodbye("alice", "s-2", 2, 9_000);
    world.status("alice", r#""status":"away","status_text":"a","activity":"b","until":1860000000000"#);
    world.beat("bob", "s-1", 1, r#""lease_ms":5000,"device":"ios""#);
    world.goodbye("carol", "s-1", 1, 0);
    world.pass(6_000);
    world.checkpoints()[0].1.bytes.to_vec()
}

fn restore(bytes: &[u8]) -> Result<Presence, String> {
    let mut fold = Presence::new(setup(1, 1), 0, None).unwrap();
    fold.restore_bucket(0, 14, bytes).map(|()| fold).map_err(|error| error.0)
}

#[test]
fn a_checkpoint_restores_to_the_same_bytes() {
    let bytes = checkpoint();
    let mut fold = restore(&bytes).unwrap();
    assert_eq!(fold.checkpoint(0).expect("its own").bytes, bytes);
}

#[test]
fn a_checkpoint_cut_short_is_refused_with_bucket_and_remedy() {
    let bytes = checkpoint();
    for length in 0..bytes.len() {
        let error = restore(&bytes[..length]).unwrap_err();
        assert!(error.contains("bucket 0") && error.contains("heartline adopt"), "{error}");
    }
    assert!(restore(&[&bytes[..], &[0]].concat()).is_err());
}

#[test]
fn a_checkpoint_of_another_position_or_bucket_is_refused() {
    let bytes = checkpoint();
    let mut fold = Presence::new(setup(1, 1), 0, None).unwrap();
    assert!(fold.restore_bucket(0, 15, &bytes).is_err());
    let mut fold = Presence::new(setup(1, 4), 0, None).unwrap();
    assert!((0..4).all(|bucket| fold.restore_bucket(bucket, 14, &bytes).is_err()));
    assert!(fold.restore_bucket(4, 14, &bytes).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_checkpoint_is_refused_or_restores_to_a_fold_that_goes_on(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut bytes = checkpoint();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(fold) = restore(&bytes) {
            let mut world = World::new();
            world.fold = fold;
            // Their offsets are below the origin; only time and stray records follow.
            (0..20).for_each(|_| drop(world.append("x")));
            world.pass(30_000);
            world.crash();
        }
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(restore(&bytes).is_err());
    }
}

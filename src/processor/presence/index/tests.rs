use std::collections::BTreeMap;

use super::*;

#[test]
fn places_are_found_until_they_are_taken_out_however_it_grew() {
    let mut index = Index::default();
    let mut random = fastrand::Rng::with_seed(7);
    let mut hashes: Vec<u32> = Vec::new();
    let mut free: Vec<u32> = Vec::new();
    let mut known: BTreeMap<u32, u32> = BTreeMap::new();
    for step in 0..20_000 {
        if step % 5_000 < 4_000 || known.is_empty() {
            // As in a bucket: the low bits are the same; and some hashes are.
            let hash = random.u32(..4_000_000) << 7 | 5;
            let place = free.pop().unwrap_or_else(|| {
                hashes.push(0);
                hashes.len() as u32 - 1
            });
            hashes[place as usize] = hash;
            index.insert(hash, place, |place| hashes[place as usize]);
            known.insert(place, hash);
        } else {
            let place = *known.keys().nth(random.usize(..known.len())).expect("a place");
            let hash = known.remove(&place).expect("its hash");
            index.remove(hash, place, |place| hashes[place as usize]);
            free.push(place);
        }
        assert_eq!(index.len(), known.len());
    }
    for (place, hash) in &known {
        assert_eq!(index.find(*hash, |found| found == *place), Some(*place));
    }
    free.iter().for_each(|gone| assert_eq!(index.find(hashes[*gone as usize], |found| found == *gone), None));
    let mut listed: Vec<u32> = index.iter().collect();
    listed.sort_unstable();
    assert_eq!(listed, known.keys().copied().collect::<Vec<_>>());
}

#[test]
fn an_entry_is_hardly_ever_looked_at_for_nothing() {
    let mut index = Index::default();
    let hashes: Vec<u32> = (0..10_000u32).map(|n| crate::id::murmur2(&n.to_le_bytes()) & !127 | 3).collect();
    for place in 0..10_000 {
        index.insert(hashes[place as usize], place, |place| hashes[place as usize]);
    }
    let looked_at = std::cell::Cell::new(0);
    for (place, hash) in hashes.iter().enumerate() {
        let meant = |found: u32| {
            looked_at.set(looked_at.get() + 1);
            found == place as u32
        };
        assert!(index.find(*hash, meant).is_some());
    }
    assert!(looked_at.get() < 10_500, "{}", looked_at.get());
}

#[test]
fn a_table_with_room_grows_only_beyond_it() {
    for places in [0, 1, 13, 14, 15, 1_000, 4_001] {
        let mut index = Index::with_room_for(places);
        let entries = index.entries();
        (0..places as u32).for_each(|place| index.insert(place << 7, place, |place| place << 7));
        assert_eq!(index.entries(), entries, "{places} places");
        (0..places as u32)
            .for_each(|place| assert_eq!(index.find(place << 7, |it| it == place), Some(place)));
    }
    assert!(Index::with_room_for(7_000).entries() <= 8_000);
}

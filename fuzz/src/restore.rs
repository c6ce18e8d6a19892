//! What a successor of presence restores from: any bytes are refused, or make a fold that goes on.

use std::sync::{Arc, OnceLock};

use heartline::{
    effect::Output,
    log::Chunk,
    processor::{Checkpoint, Fold as _, Retention, Setup, Step, presence::Presence},
    record::beacon::{Parameters, encode_beacon},
    topology::Topology,
};

use crate::choices::Choices;

const GROUP: &str = "heartline.presence";
const ORIGIN: i64 = 14;

fn setup() -> Setup {
    Setup {
        topology: Arc::new(Topology::uniform(1, 1)),
        group: GROUP.into(),
        partition: 0,
        generation: 1,
        retention: Retention::default(),
        state_bytes_max: usize::MAX,
        large_group: usize::MAX,
    }
}

/// Folds what several users say from `offset` on.
fn traffic(fold: &mut Presence, offset: i64, seconds: i64) -> Step {
    let mut output = Output::new(1_000_000);
    let mut chunk = Chunk::new(0, 1);
    let mut values = Vec::new();
    for second in 0..seconds {
        values.push(encode_beacon(GROUP, "i", 2_000 * second, &Parameters::VERSION_1).to_vec());
        values.extend(["alice", "bob", "carol"].map(|user| {
            let kind = ["heartbeat", "goodbye", "status", "heartbeat"][second as usize % 4];
            let fields = r#""device":"ios","gateway":"gw-1","metadata":1,"after_ms":9000,"status":"away""#;
            format!(
                r#"{{"v":1,"type":"{kind}","user":"{user}","session":"s-{}","counter":{second},{fields}}}"#,
                second % 5
            )
            .into_bytes()
        }));
    }
    values.push(br#"{"v":1,"type":"gateway_gone","gateway":"gw-2"}"#.to_vec());
    for (offset, value) in (offset..).zip(&values) {
        chunk.push(offset, 1_760_000_000_000 + 2_000 * offset, None, Some(value), Vec::new());
    }
    fold.begin_batch(1);
    for index in 0..chunk.len() {
        let record = chunk.get(index);
        output.begin(record.offset, true);
        for attempt in 0.. {
            match fold.fold(&record, &mut output) {
                Step::Wanting => {
                    assert!(attempt < 10, "the fold wants for ever");
                    for query in fold.wanted(&mut [record].into_iter()) {
                        fold.load(&query, Vec::new()).expect("no row is a row of nobody");
                    }
                }
                Step::Halt(why) => return Step::Halt(why),
                _ => break,
            }
        }
    }
    fold.close(&mut output);
    Step::Applied
}

/// What is restored takes records, and a successor of it restores the same.
fn goes_on(mut fold: Presence) {
    if traffic(&mut fold, ORIGIN, 20) != Step::Applied {
        return;
    }
    let checkpoint = fold.checkpoint(0).expect("presence has checkpoints");
    let mut next =
        Presence::new(setup(), checkpoint.origin, Some(&checkpoint.resume)).expect("its own resume");
    next.restore_bucket(0, checkpoint.origin, &checkpoint.bytes).expect("its own checkpoint");
    assert_eq!(next.checkpoint(0).expect("presence has checkpoints").bytes, checkpoint.bytes);
}

/// A checkpoint of some sessions, tombstones and offlines that wait, and its origin.
fn real() -> &'static Checkpoint {
    static REAL: OnceLock<Checkpoint> = OnceLock::new();
    REAL.get_or_init(|| {
        let mut fold = Presence::new(setup(), 0, None).expect("a first fold");
        assert_eq!(traffic(&mut fold, 0, 8), Step::Applied);
        fold.checkpoint(0).expect("presence has checkpoints")
    })
}

/// Any bytes; or those of a real checkpoint with some bytes changed, put in or taken out.
pub fn checkpoint(data: &[u8]) {
    let choices = &mut Choices::new(data);
    if choices.is() {
        return restored(ORIGIN, data.get(1..).unwrap_or_default());
    }
    let mut bytes = real().bytes.to_vec();
    while !choices.is_over() && !bytes.is_empty() {
        let at = (usize::from(choices.byte()) * 256 + usize::from(choices.byte())) % bytes.len();
        match choices.below(4) {
            0 => bytes.insert(at, choices.byte()),
            1 => drop(bytes.remove(at)),
            _ => bytes[at] = choices.byte(),
        }
    }
    restored(real().origin, &bytes);
}

fn restored(origin: i64, bytes: &[u8]) {
    let mut fold = Presence::new(setup(), 0, None).expect("a first fold");
    if fold.restore_bucket(0, origin, bytes).is_ok() {
        goes_on(fold);
    }
}

pub fn resume(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(fold) = Presence::new(setup(), ORIGIN, Some(text)) {
        goes_on(fold);
    }
}

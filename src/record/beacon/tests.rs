use super::*;
use crate::record::{
    Reason,
    heartbeats::{Input, decode},
};

fn read(parameters: &str) -> Result<Parameters, Refusal> {
    let text = format!(
        r#"{{"v":1,"type":"beacon","group":"g","incarnation":"i","elapsed_ms":7,"parameters":{parameters}}}"#
    );
    match decode(Some(text.as_bytes()))? {
        Input::Beacon(beacon) => Ok(beacon.parameters),
        other => panic!("a beacon is due, not {other:?}"),
    }
}

#[test]
fn a_parameter_left_out_has_the_constant_of_version_1() {
    assert_eq!(read("{}"), Ok(Parameters::VERSION_1));
    let dwelling = Parameters { dwell_ms: 2_000, brake: false, ..Parameters::VERSION_1 };
    assert_eq!(read(r#"{"brake":false,"dwell_ms":2000,"new":"one"}"#), Ok(dwelling));
}

#[test]
fn a_parameter_of_version_1_is_judged() {
    for parameters in
        [r#"{"lease_ms":"soon"}"#, r#"{"lease_ms":-1}"#, r#"{"brake":null}"#, r#"{"fold_version":-1}"#, "[]"]
    {
        assert_eq!(read(parameters).map_err(|refusal| refusal.reason), Err(Reason::Invalid), "{parameters}");
    }
}

#[test]
fn an_unknown_fold_version_reaches_the_fold_whatever_its_parameters_look_like() {
    let unknown = Parameters { fold_version: 9, dwell_ms: 5, ..Parameters::VERSION_1 };
    assert_eq!(read(r#"{"fold_version":9,"lease_ms":{"a":1},"brake":"soft","dwell_ms":5}"#), Ok(unknown));
}

#[test]
fn spans_beyond_what_a_record_carries_are_cut() {
    let never = Parameters { away_after_ms: i64::MAX, ..Parameters::VERSION_1 };
    let bytes = encode_beacon("g", "i", -5, &never);
    let Ok(Input::Beacon(beacon)) = decode(Some(&bytes)) else { panic!("a beacon is due") };
    assert_eq!((beacon.elapsed_ms, beacon.parameters.away_after_ms), (0, INTEGER_MAX));
}

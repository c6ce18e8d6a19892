use super::*;

#[test]
fn a_heartbeat_reads_as_written() {
    let text = r#"{"v":1,"type":"heartbeat","user":"alice","session":"s-1","counter":12,"device":null}"#;
    let Input::Heartbeat(beat) = decode(Some(text.as_bytes())).unwrap() else { panic!("a heartbeat") };
    assert_eq!((beat.user.as_ref(), beat.counter, beat.device), ("alice", 12, Field::Null));
}

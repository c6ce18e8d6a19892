use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::record::tests::strategy::{edited, id, integer, origin, seq};

fn view() -> TransitionView {
    TransitionView {
        user: "alice".into(),
        version: 7,
        from: Status::Offline,
        to: Status::Online,
        cause: Cause::Heartbeat,
        session: Some("s-1".into()),
        device: Some("ios".into()),
        sessions: 1,
        status_text: Some("at \"lunch\"\n".into()),
        activity: None,
        occurred_at: 1_760_000_000_000,
        detected_at: 1_760_000_000_001,
        last_seen: 1_760_000_000_002,
        origin: RecordOrigin { partition: 3, offset: 991 },
    }
}

#[test]
fn a_transition_is_written_as_the_contract_shows_it() {
    let expected = concat!(
        r#"{"v":1,"type":"transition","user":"alice","version":7,"from":"offline","to":"online","#,
        r#""cause":"heartbeat","session":"s-1","device":"ios","sessions":1,"status_text":"at \"lunch\"\n","#,
        r#""occurred_at":1760000000000,"detected_at":1760000000001,"last_seen":1760000000002,"#,
        r#""origin":{"partition":3,"offset":991}}"#,
    );
    assert_eq!(view().as_transition().encode(), expected);
}

#[test]
fn a_transition_reads_back_the_same() {
    let bare = TransitionView { session: None, device: None, status_text: None, ..view() };
    for view in [view(), bare] {
        assert_eq!(TransitionView::decode(&view.as_transition().encode()), Ok(view));
    }
}

#[test]
fn every_cause_and_status_reads_back_from_its_name() {
    let causes =
        [Cause::Heartbeat, Cause::Goodbye, Cause::Expired, Cause::Idle, Cause::GatewayGone, Cause::Status];
    let statuses = [Status::Offline, Status::Away, Status::Online, Status::Busy];
    for (cause, status) in causes.into_iter().zip(statuses.into_iter().cycle()) {
        let view = TransitionView { cause, to: status, ..view() };
        assert_eq!(TransitionView::decode(&view.as_transition().encode()), Ok(view));
    }
}

#[test]
fn what_is_no_transition_is_refused() {
    let text = String::from_utf8(view().as_transition().encode().to_vec()).unwrap();
    let swaps = [
        ("\"v\":1", "\"v\":2"),
        ("\"transition\"", "\"session\""),
        ("\"online\"", "\"asleep\""),
        ("\"cause\":\"heartbeat\"", "\"cause\":\"\""),
        ("\"version\":7", "\"version\":-7"),
        ("\"partition\":3", "\"partition\":\"3\""),
        ("\"sessions\":1,", ""),
    ];
    for (from, to) in swaps {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text);
        assert!(TransitionView::decode(changed.as_bytes()).is_err(), "{changed}");
    }
}

fn any_view() -> BoxedStrategy<TransitionView> {
    let status = || select(&[Status::Offline, Status::Away, Status::Online, Status::Busy][..]);
    let causes =
        [Cause::Heartbeat, Cause::Goodbye, Cause::Expired, Cause::Idle, Cause::GatewayGone, Cause::Status];
    let cause = select(causes.to_vec());
    let optional_id = || option::of(id().prop_map(String::from));
    let text = || option::of(".{0,40}".prop_map(String::from));
    let change = (seq(), status(), status(), cause, any::<u32>());
    let whose = (id(), optional_id(), optional_id(), text(), text());
    let times = (integer(), integer(), integer(), origin());
    (change, whose, times)
        .prop_map(|(change, whose, times)| {
            let (version, from, to, cause, sessions) = change;
            let (user, session, device, status_text, activity) = whose;
            let (occurred_at, detected_at, last_seen, origin) = times;
            TransitionView {
                user: user.into_owned(),
                version: version as u64,
                from,
                to,
                cause,
                session,
                device,
                sessions,
                status_text,
                activity,
                occurred_at,
                detected_at,
                last_seen,
                origin,
            }
        })
        .boxed()
}

proptest! {
    #[test]
    fn any_transition_reads_back_the_same(view in any_view()) {
        prop_assert_eq!(TransitionView::decode(&view.as_transition().encode()), Ok(view));
    }

    #[test]
    fn any_bytes_are_refused_or_read_the_same_again(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200).boxed(),
            edited(any_view().prop_map(|view| view.as_transition().encode().to_vec())),
        ],
    ) {
        if let Ok(view) = TransitionView::decode(&bytes) {
            prop_assert_eq!(TransitionView::decode(&view.as_transition().encode()), Ok(view));
        }
    }
}

use proptest::{option, prelude::*, sample::select};

use super::*;
use crate::record::tests::strategy::{edited, id, origin};

fn record() -> SessionRecord<'static> {
    SessionRecord {
        event: SessionEvent::Join,
        user: "alice",
        session: "s-1",
        device: Some("ios"),
        gateway: Some("gw-7"),
        sessions: 1,
        origin: RecordOrigin { partition: 3, offset: 991 },
    }
}

#[test]
fn a_session_is_written_as_the_contract_shows_it() {
    let expected = concat!(
        r#"{"v":1,"type":"session","event":"join","user":"alice","session":"s-1","device":"ios","#,
        r#""gateway":"gw-7","sessions":1,"origin":{"partition":3,"offset":991}}"#,
    );
    assert_eq!(record().encode(), expected);
}

#[test]
fn a_session_reads_back_the_same() {
    for event in [SessionEvent::Join, SessionEvent::Add, SessionEvent::Move] {
        let record = SessionRecord { event, device: None, gateway: None, ..record() };
        let view = SessionView::decode(&record.encode()).unwrap();
        assert_eq!(view.as_record(), record);
    }
    assert!(SessionView::decode(br#"{"v":1,"type":"session","event":"end"}"#).is_err());
}

#[test]
fn an_end_says_in_its_headers_whether_it_was_the_last_and_why() {
    let texts = |last, cause| {
        end_headers(last, cause)
            .into_iter()
            .map(|header| (header.name, header.value.unwrap()))
            .collect::<Vec<_>>()
    };
    let header = |name: &str, value: &'static str| (name.to_owned(), Bytes::from(value));
    assert_eq!(
        texts(true, Cause::GatewayGone),
        [header("heartline.event", "leave"), header("heartline.cause", "gateway_gone")]
    );
    assert_eq!(
        texts(false, Cause::Goodbye),
        [header("heartline.event", "remove"), header("heartline.cause", "goodbye")]
    );
}

fn any_view() -> BoxedStrategy<SessionView> {
    let event = select(&[SessionEvent::Join, SessionEvent::Add, SessionEvent::Move][..]);
    let optional_id = || option::of(id().prop_map(String::from));
    (event, id(), id(), optional_id(), optional_id(), any::<u32>(), origin())
        .prop_map(|(event, user, session, device, gateway, sessions, origin)| SessionView {
            event,
            user: user.into_owned(),
            session: session.into_owned(),
            device,
            gateway,
            sessions,
            origin,
        })
        .boxed()
}

proptest! {
    #[test]
    fn any_session_reads_back_the_same(view in any_view()) {
        prop_assert_eq!(SessionView::decode(&view.as_record().encode()), Ok(view));
    }

    #[test]
    fn any_bytes_are_refused_or_read_the_same_again(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200).boxed(),
            edited(any_view().prop_map(|view| view.as_record().encode().to_vec())),
        ],
    ) {
        if let Ok(view) = SessionView::decode(&bytes) {
            prop_assert_eq!(SessionView::decode(&view.as_record().encode()), Ok(view));
        }
    }

    #[test]
    fn no_two_sessions_share_a_key((a, b, c, d) in (id(), id(), id(), id())) {
        prop_assert_eq!(session_key(&a, &b) == session_key(&c, &d), (&a, &b) == (&c, &d));
    }
}

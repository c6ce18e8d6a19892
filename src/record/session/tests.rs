use super::*;

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

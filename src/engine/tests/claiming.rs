use super::harness::{BASE_US, NAME, Stage, offsets_of};
use crate::{
    engine::{Exit, Phase},
    log::{
        Committed, LogCommand, LogError, LogEvent, Member, RequestId, TopicDescription, TransactionOutcome,
    },
    store::Row,
    table::Value,
};

fn unanswered(stage: &mut Stage) {
    let read = stage.expect_log(|c| matches!(c, LogCommand::ReadOffsets { stable: true, .. }));
    let LogCommand::ReadOffsets { request, .. } = read else { unreachable!() };
    let result = Err(LogError::retriable("no answer within 500 ms"));
    stage.event(LogEvent::OffsetsRead { request, result });
}

fn silent_stable_read(names: &[&str]) -> Stage {
    let mut stage = Stage::new();
    stage.join();
    unanswered(&mut stage);
    stage.answer_offsets(Some(Committed { offset: 9, metadata: Stage::metadata(4) }));
    let row =
        |name: &&str| Row { clustering: Box::new([Value::text(name)]), cells: Box::new([Value::BigInt(1)]) };
    stage.answer_read("progress_owners", names.iter().map(row).collect());
    stage
}

fn members_asked(stage: &mut Stage) -> RequestId {
    let LogCommand::ListMembers { request } =
        stage.expect_log(|c| matches!(c, LogCommand::ListMembers { .. }))
    else {
        unreachable!()
    };
    request
}

/// A transaction ends since somebody else fenced its producer: the engine asks who the members are.
fn fenced_meanwhile(stage: &mut Stage) -> RequestId {
    let (_, fetch) = stage.fetch();
    stage.records(fetch, 0, &["a"]);
    let transaction = stage.transaction();
    stage.end(&transaction, TransactionOutcome::Fenced { reason: "newer instance".into() });
    members_asked(stage)
}

fn list(stage: &mut Stage, names: &[&str]) {
    let request = members_asked(stage);
    let member = |name: &&str| Member { id: format!("id of {name}"), client_id: (*name).into() };
    let result = Ok(names.iter().map(member).collect());
    stage.event(LogEvent::MembersListed { request, result });
}

fn fenced(stage: &mut Stage) -> Vec<String> {
    let mut names = Vec::new();
    while stage.asks(|c| matches!(c, LogCommand::FenceName { .. })) {
        let LogCommand::FenceName { request, name } =
            stage.expect_log(|c| matches!(c, LogCommand::FenceName { .. }))
        else {
            unreachable!()
        };
        names.push(name.clone());
        stage.event(LogEvent::NameFenced { request, name, result: Ok(()) });
    }
    names
}

#[test]
fn the_producer_is_initialised_before_the_group_is_joined() {
    let mut stage = Stage::new();
    assert!(!stage.asks(|c| matches!(c, LogCommand::Join)));
    stage.expect_log(|c| matches!(c, LogCommand::OpenProducer { .. }));
    stage.event(LogEvent::ProducerOpened);
    assert!(stage.asks(|c| matches!(c, LogCommand::Join)));
}

#[test]
fn names_are_fenced_only_when_the_stable_read_is_silent_and_the_unstable_one_answers() {
    let mut stage = Stage::new();
    stage.join();
    stage.answer_offsets(None);
    assert!(!stage.asks(|c| matches!(c, LogCommand::FenceName { .. } | LogCommand::ListMembers { .. })));

    let mut stage = silent_stable_read(&["group.older"]);
    list(&mut stage, &[]);
    assert_eq!(fenced(&mut stage), ["group.former", "group.older"], "from the metadata and from the table");
    assert!(stage.asks(|c| matches!(c, LogCommand::ReadOffsets { stable: true, .. })), "and read again");
}

#[test]
fn a_living_member_is_never_fenced() {
    let mut stage = silent_stable_read(&["group.older", NAME]);
    list(&mut stage, &["group.former", NAME]);
    assert_eq!(fenced(&mut stage), ["group.older"]);
}

#[test]
fn when_only_living_members_hold_the_offsets_they_are_waited_for() {
    let mut stage = silent_stable_read(&[]);
    list(&mut stage, &["group.former"]);
    assert_eq!(fenced(&mut stage), [""; 0]);
    stage.pass(250);
    stage.describe();
    assert!(stage.asks(|c| matches!(c, LogCommand::ReadOffsets { stable: true, .. })));
}

#[test]
fn a_silent_broker_is_asked_again_and_nobody_is_fenced() {
    let mut stage = Stage::new();
    stage.join();
    unanswered(&mut stage);
    let read = stage.expect_log(|c| matches!(c, LogCommand::ReadOffsets { stable: false, .. }));
    let LogCommand::ReadOffsets { request, .. } = read else { unreachable!() };
    stage.event(LogEvent::OffsetsRead { request, result: Err(LogError::retriable("broker away")) });
    stage.pass(250);
    stage.describe();
    assert!(stage.asks(|c| matches!(c, LogCommand::ReadOffsets { stable: true, .. })));
    assert!(stage.engine.status().missing[0].why.contains("broker away"));
}

#[test]
fn a_new_partition_is_claimed_by_name_then_offset_then_row() {
    let mut stage = Stage::new();
    stage.join();
    stage.answer_offsets(None);
    stage.answer_bounds(7, 20);
    stage.answer_read("progress", Vec::new());
    assert!(!stage.asks(|c| matches!(c, LogCommand::Transact(_))), "the name first");
    stage.acknowledge("progress_owners");
    let transaction = stage.transaction();
    let offsets = offsets_of(&transaction);
    assert_eq!(offsets[0].1.offset, 7);
    assert!(offsets[0].1.metadata.contains(&format!("\"base_us\":{BASE_US}")), "{}", offsets[0].1.metadata);
    assert!(stage.writes("progress").is_empty(), "the row only after the commit");
    stage.end(&transaction, TransactionOutcome::Committed);
    let row = stage.acknowledge("progress");
    assert_eq!(row.statements[0].timestamp_us, BASE_US + 7);
    stage.answer_read("presence_checkpoints", Vec::new());
    assert_eq!(stage.fetch().0, 7);
}

#[test]
fn a_halted_partition_says_which_command_adopts_it_and_reads_nothing() {
    let mut stage = Stage::new();
    stage.join();
    stage.answer_offsets(Some(Committed { offset: 9, metadata: "moved".into() }));
    stage.answer_bounds(0, 20);
    stage.answer_read("progress", Vec::new());
    stage.acknowledge("progress_owners");
    let status = stage.engine.status();
    assert_eq!(status.partitions[0].phase, Phase::Halted);
    let sentence = status.partitions[0].halted.clone().unwrap();
    assert!(sentence.contains("heartline adopt heartbeats 0 --reason offsets`"), "{sentence}");
    assert!(!stage.asks(|c| matches!(c, LogCommand::Fetch { .. })));
}

#[test]
fn a_changed_partition_count_stops_the_worker_with_a_sentence() {
    let mut stage = Stage::new();
    stage.expect_log(|c| matches!(c, LogCommand::OpenProducer { .. }));
    stage.event(LogEvent::ProducerOpened);
    stage.event(LogEvent::Assigned { assignment: 1, member: "m".into(), partitions: vec![0] });
    let LogCommand::Describe { request } = stage.expect_log(|c| matches!(c, LogCommand::Describe { .. }))
    else {
        unreachable!()
    };
    let result = Ok(TopicDescription { topic_id: "topic".into(), partitions: 3 });
    stage.event(LogEvent::Described { request, result });
    let Some(Exit::Fatal(sentence)) = stage.engine.exit() else { panic!("goes on") };
    assert!(sentence.contains("has 3 partitions, the topology says 2"), "{sentence}");
}

#[test]
fn fenced_twice_within_a_minute_while_listed_means_that_two_pods_share_a_name() {
    let mut stage = Stage::live(0, 0);
    for round in 0..2 {
        assert_eq!(stage.engine.exit(), None, "round {round}");
        let request = fenced_meanwhile(&mut stage);
        let result = Ok(vec![Member { id: "member-1".into(), client_id: NAME.into() }]);
        stage.event(LogEvent::MembersListed { request, result });
        if round == 0 {
            stage.expect_log(|c| matches!(c, LogCommand::OpenProducer { .. }));
            stage.event(LogEvent::ProducerOpened);
            stage.pass(150);
            stage.describe();
            stage.take_over(0, 0);
        }
    }
    assert!(
        matches!(stage.engine.exit(), Some(Exit::Fatal(sentence)) if sentence.contains("another pod uses the name"))
    );
}

#[test]
fn an_error_instead_of_the_members_is_told_and_ends_the_engine_when_nobody_knows_it() {
    for (error, ends) in [(LogError::retriable("not now"), false), (LogError::fatal("what is this"), true)] {
        let mut stage = Stage::live(0, 0);
        let request = fenced_meanwhile(&mut stage);
        let sentence = error.message.clone();
        stage.event(LogEvent::MembersListed { request, result: Err(error) });
        match ends {
            true => assert_eq!(stage.engine.exit(), Some(&Exit::Fatal(sentence))),
            false => {
                assert_eq!(stage.engine.exit(), None);
                assert_eq!(stage.engine.status().last_trouble, Some(sentence));
            }
        }
    }
}

#[test]
fn fenced_while_no_longer_listed_is_a_takeover_and_goes_on() {
    let mut stage = Stage::live(0, 0);
    for _ in 0..3 {
        let (_, fetch) = stage.fetch();
        stage.records(fetch, 0, &["a"]);
        let transaction = stage.transaction();
        stage.end(&transaction, TransactionOutcome::Fenced { reason: "newer instance".into() });
        list(&mut stage, &["group.other"]);
        stage.expect_log(|c| matches!(c, LogCommand::OpenProducer { .. }));
        stage.event(LogEvent::ProducerOpened);
        stage.pass(150);
        stage.describe();
        stage.take_over(0, 0);
    }
    assert_eq!(stage.engine.exit(), None);
}

use super::*;

#[test]
fn the_shipped_topology_is_valid() {
    let topology = Topology::shipped();
    assert_eq!(topology.partitions(Topic::Heartbeats), 8);
    assert_eq!(topology.buckets(ProcessorKind::Presence), 128);
}

#[test]
fn buckets_must_be_a_multiple_of_the_partitions() {
    let text = SHIPPED.replace("buckets = 128", "buckets = 100");
    let error = Topology::parse(&text).unwrap_err().to_string();
    assert!(error.contains("100 buckets are no multiple of the 8 partitions of 'heartbeats'"), "{error}");
}

#[test]
fn a_missing_topic_names_the_processor_that_needs_it() {
    let (before, rest) = SHIPPED.split_once("[topics.sessions]").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let text = format!("{before}{after}");
    let error = Topology::parse(&text).unwrap_err().to_string();
    assert_eq!(error, "topology: topic 'sessions' is missing; processor presence needs it");
}

#[test]
fn durations_have_a_unit() {
    assert_eq!(parse_duration_ms("90s"), Some(90_000));
    assert_eq!(parse_duration_ms("7d"), Some(604_800_000));
    assert_eq!(parse_duration_ms("90"), None);
    assert_eq!(parse_duration_ms("s"), None);
}

#[test]
fn what_cannot_be_read_is_said_in_one_line_with_its_place() {
    let error = Topology::parse("# mine\nfoo = 1\n").unwrap_err().to_string();
    assert!(error.starts_with("topology: line 2: unknown field `foo`"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

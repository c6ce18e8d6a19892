use std::collections::BTreeMap;

use super::{Found, KafkaTopicAdmin, LIMIT, TopicDifference, differences, settings_of};
use crate::{
    kafka::{
        native,
        tests::{alone, connection, runtime},
    },
    topology::{Topic, Topology},
};

/// A cluster exactly as the topology says.
fn as_wanted(topology: &Topology) -> BTreeMap<Topic, Found> {
    topology
        .topics()
        .map(|(topic, spec)| {
            let settings = settings_of(topic, spec).into_iter().map(|(key, value)| (key.to_owned(), value));
            let found = Found {
                partitions: spec.partitions,
                replication: u32::from(spec.replication),
                settings: settings.collect(),
            };
            (topic, found)
        })
        .collect()
}

fn changed(change: impl FnOnce(&mut BTreeMap<Topic, Found>)) -> Vec<TopicDifference> {
    let topology = Topology::shipped();
    let mut cluster = as_wanted(&topology);
    change(&mut cluster);
    differences(&topology, &cluster)
}

#[test]
fn a_cluster_as_the_topology_says_has_no_differences() {
    assert_eq!(changed(|_| ()), []);
}

#[test]
fn a_missing_topic_is_made_by_apply() {
    let found = changed(|cluster| drop(cluster.remove(&Topic::Presence)));
    assert_eq!(found, [TopicDifference::Missing { topic: Topic::Presence, partitions: 8, replication: 1 }]);
    assert!(found[0].is_applicable());
}

#[test]
fn a_partition_count_is_never_applied_and_says_what_to_do() {
    for (count, words) in [(4, "keys would move"), (16, "cannot shrink")] {
        let found = changed(|cluster| {
            cluster.entry(Topic::Heartbeats).and_modify(|topic| topic.partitions = count);
        });
        let [difference] = &found[..] else { panic!("{found:?}") };
        assert!(!difference.is_applicable() && !difference.is_tolerable());
        let sentence = difference.to_string();
        assert!(sentence.contains(words) && sentence.contains("set the topology to"), "{sentence}");
    }
}

#[test]
fn inputs_must_take_their_time_from_the_log() {
    let found = changed(|cluster| {
        cluster.entry(Topic::Heartbeats).and_modify(|topic| {
            topic.settings.insert("message.timestamp.type".to_owned(), "CreateTime".to_owned());
        });
    });
    let [difference] = &found[..] else { panic!("{found:?}") };
    assert!(difference.is_applicable());
    assert_eq!(
        difference.to_string(),
        "topic 'heartbeats': message.timestamp.type is CreateTime, the topology says LogAppendTime; \
         `heartline topics apply` sets it"
    );
}

#[test]
fn a_compacted_topic_that_deletes_by_age_differs() {
    let found = changed(|cluster| {
        cluster.entry(Topic::Sessions).and_modify(|topic| {
            topic.settings.insert("cleanup.policy".to_owned(), "compact,delete".to_owned());
        });
    });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].topic(), Topic::Sessions);
}

#[test]
fn a_replica_less_is_said_and_tolerated() {
    let found = changed(|cluster| {
        cluster.entry(Topic::Inbox).or_default();
        cluster.entry(Topic::Presence).and_modify(|topic| topic.replication = 2);
    });
    assert_eq!(found, [TopicDifference::Replication { topic: Topic::Presence, found: 2, wanted: 1 }]);
    assert!(found[0].is_tolerable() && !found[0].is_applicable());
}

#[test]
#[ignore = "needs a broker; set HEARTLINE_TEST_KAFKA"]
fn apply_sets_what_differs_and_leaves_other_settings_alone() {
    let _alone = alone();
    let topology = Topology::shipped();
    let admin = KafkaTopicAdmin::new(connection()).unwrap();
    let strange = [("retention.ms", "1000000"), ("segment.ms", "1234567")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    native::set_topic_settings(admin.client.inner(), "dead-letters", &strange, LIMIT).unwrap();
    runtime().block_on(async {
        // A controller answers before every broker has heard.
        let mut plan = Vec::new();
        for _ in 0..50 {
            plan = admin.plan(&topology).await.unwrap();
            if !plan.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let [TopicDifference::Setting { topic: Topic::DeadLetters, key: "retention.ms", found, .. }] =
            &plan[..]
        else {
            panic!("{plan:?}")
        };
        assert_eq!(found.as_deref(), Some("1000000"));
        assert_eq!(admin.apply(&topology).await.unwrap(), plan);
        for _ in 0..50 {
            plan = admin.plan(&topology).await.unwrap();
            if plan.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(plan, []);
        let settings = admin.settings(Topic::DeadLetters).await.unwrap();
        assert_eq!(settings["segment.ms"], "1234567");
    });
}

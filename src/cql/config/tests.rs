use super::*;

#[test]
fn replication_is_a_number_or_a_number_per_datacenter() {
    assert_eq!("3".parse(), Ok(Replication::Everywhere(3)));
    let by_datacenter: Replication = "dc1=3, dc2=2".parse().unwrap();
    assert_eq!(by_datacenter.to_string(), "{'class': 'NetworkTopologyStrategy', 'dc1': 3, 'dc2': 2}");
}

#[test]
fn replication_that_says_nothing_or_breaks_the_statement_is_refused() {
    for text in ["", "0", "-1", "dc1", "dc1=", "dc1=0", "dc1=1,dc1=2", "d'c=1", "dc1=1,"] {
        assert_eq!(text.parse::<Replication>(), Err(ConfigError::Replication(text.into())), "{text:?}");
    }
}

#[test]
fn a_keyspace_that_would_need_quotes_is_refused() {
    let config = |keyspace: &str| CqlConfig::new(vec!["127.0.0.1:9042".into()], keyspace).map(|_| ());
    assert_eq!(config("heartline_2"), Ok(()));
    let long = "k".repeat(49);
    for keyspace in ["", "Heartline", "2nd", "a-b", "a\"b", long.as_str()] {
        assert_eq!(config(keyspace), Err(ConfigError::Keyspace(keyspace.into())), "{keyspace:?}");
    }
}

#[test]
fn a_certificate_without_its_key_is_refused() {
    let mut config = CqlConfig::new(vec!["127.0.0.1:9042".into()], "heartline").unwrap();
    config.tls = Some(Tls { certificate_file: Some("client.pem".into()), ..Tls::default() });
    assert_eq!(config.check(), Err(ConfigError::Certificate));
}

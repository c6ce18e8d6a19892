//! Apache Cassandra as a process: one node that acknowledges a write once it is on disk.

use std::{fs, path::Path, sync::Mutex};

use anyhow::{Context as _, Result};

use super::{
    Control, Server,
    maven::{self, Artifact},
    process::{Process, RunDirectory},
    progress, ready, write_file,
};

const VERSION: &str = "5.0.6";
const ARTIFACTS: &[Artifact] = &[("org.apache.cassandra", "cassandra-all", VERSION)];

/// What Cassandra reaches into on Java 17, as `module/package`.
const EXPORTS: &[&str] = &[
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.attach/sun.tools.attach",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.unsupported/sun.misc",
];
const OPENS: &[&str] = &[
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.util",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.compiler/com.sun.tools.javac",
    "jdk.management/com.sun.management.internal",
];

const LOGBACK: &str = r#"<configuration>
  <appender name="STDOUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%date{ISO8601} %-5level [%thread] %logger{0} %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="STDOUT"/></root>
</configuration>
"#;

pub fn start(directory: &Path, run: &RunDirectory, port: u16, gossip_port: u16) -> Result<Server> {
    let java = maven::java()?;
    let jars = maven::fetch(directory, &format!("cassandra-{VERSION}"), ARTIFACTS)?;
    let home = run.make("cassandra")?;
    write_file(&home.join("cassandra.yaml"), &cassandra_yaml(&home, port, gossip_port))?;
    write_file(&home.join("logback.xml"), LOGBACK)?;
    let log = directory.join("cassandra.log");
    fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
    progress(format_args!("starting Apache Cassandra {VERSION} at 127.0.0.1:{port}, log {}", log.display()));
    let process = Process::spawn(java, arguments(&home, &jars), log, run.clone())?;
    let control = Control::Process(Mutex::new(process));
    Server::new(format!("127.0.0.1:{port}"), ready::cql, control)
}

fn arguments(home: &Path, jars: &Path) -> Vec<String> {
    let home = home.display();
    let mut arguments =
        vec!["-Xms1g".to_owned(), "-Xmx3g".into(), "-Djdk.attach.allowAttachSelf=true".into()];
    let allow =
        |option: &'static str| move |package: &&str| [option.to_owned(), format!("{package}=ALL-UNNAMED")];
    arguments.extend(EXPORTS.iter().flat_map(allow("--add-exports")));
    arguments.extend(OPENS.iter().flat_map(allow("--add-opens")));
    arguments.extend([
        format!("-Dcassandra.config=file://{home}/cassandra.yaml"),
        format!("-Dcassandra.storagedir={home}/data"),
        format!("-Dlogback.configurationFile=file://{home}/logback.xml"),
        "-Dcassandra-foreground=yes".into(),
        // There is no other node to wait for.
        "-Dcassandra.ring_delay_ms=0".into(),
        "-Dcassandra.skip_wait_for_gossip_to_settle=0".into(),
        "-cp".into(),
        format!("{}/*", jars.display()),
        "org.apache.cassandra.service.CassandraDaemon".into(),
    ]);
    arguments
}

/// `commitlog_sync: batch`: what is acknowledged survives a kill, as the tests of that demand. Memory for
/// rows as in the `cassandra_latest.yaml` that comes with this version, and enough of it: with a small heap
/// the server flushes and compacts all of a small table every few seconds.
fn cassandra_yaml(home: &Path, port: u16, gossip_port: u16) -> String {
    let data = home.join("data");
    let data = data.display();
    format!(
        "cluster_name: heartline-test
num_tokens: 1
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
auto_bootstrap: false
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters:
      - seeds: 127.0.0.1:{gossip_port}
listen_address: 127.0.0.1
storage_port: {gossip_port}
rpc_address: 127.0.0.1
native_transport_port: {port}
start_native_transport: true
commitlog_sync: batch
memtable:
  configurations:
    default:
      class_name: TrieMemtable
memtable_allocation_type: offheap_objects
memtable_heap_space: 1024MiB
memtable_offheap_space: 1024MiB
auto_snapshot: false
data_file_directories:
  - {data}/data
commitlog_directory: {data}/commitlog
hints_directory: {data}/hints
saved_caches_directory: {data}/saved_caches
cdc_raw_directory: {data}/cdc_raw
"
    )
}

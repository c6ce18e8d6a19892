//! Apache Kafka as a process: one KRaft node, broker and controller.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    Control, Server,
    maven::{self, Artifact},
    process::{Process, RunDirectory, run},
    progress, ready, write_file,
};

const VERSION: &str = "4.1.1";
const ARTIFACTS: &[Artifact] = &[
    ("org.apache.kafka", "kafka_2.13", VERSION),
    ("org.apache.kafka", "kafka-tools", VERSION),
    // Without a binding the broker logs nothing.
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
];
/// Any 16 bytes in base64.
const CLUSTER_ID: &str = "aGVhcnRsaW5lLXRlc3QtMQ";

pub fn start(directory: &Path, run: &RunDirectory, port: u16, controller_port: u16) -> Result<Server> {
    let java = maven::java()?;
    let jars = maven::fetch(directory, &format!("kafka-{VERSION}"), ARTIFACTS)?;
    let home = run.make("kafka")?;
    let properties = home.join("server.properties");
    write_file(&properties, &server_properties(&home, port, controller_port))?;
    let log = directory.join("kafka.log");
    fs::write(&log, "").with_context(|| format!("cannot write {}", log.display()))?;
    format_storage(&java, &jars, &properties, &log)?;
    progress(format_args!("starting Apache Kafka {VERSION} at 127.0.0.1:{port}, log {}", log.display()));
    let arguments = [
        "-Xmx512m".to_owned(),
        "-Dorg.apache.logging.log4j.level=INFO".to_owned(),
        "-cp".to_owned(),
        format!("{}/*", jars.display()),
        "kafka.Kafka".to_owned(),
        properties.display().to_string(),
    ];
    let process = Process::spawn(java, arguments.into(), log, run.clone())?;
    let control = Control::Process(Mutex::new(process));
    Server::new(format!("127.0.0.1:{port}"), ready::kafka, control)
}

fn format_storage(java: &Path, jars: &Path, properties: &Path, log: &Path) -> Result<()> {
    let mut command = Command::new(java);
    command.arg("-cp").arg(format!("{}/*", jars.display()));
    command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(properties);
    run(&mut command, log, Duration::from_secs(60)).context("cannot format the broker's storage")
}

/// One copy of everything, few internal partitions, no waiting for further members; all timeouts as a broker
/// has them.
fn server_properties(home: &Path, port: u16, controller_port: u16) -> String {
    let data: PathBuf = home.join("data");
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
",
        data.display()
    )
}

//! Apache Kafka as a process: one KRaft node, broker and controller; open to all, or guarded.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::{
    Behind, Control, Ready, Server,
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
/// Of a guarded broker: who may do everything, and who may do nothing that was not granted. Both have their
/// names as passwords.
pub const ADMIN: &str = "admin";
pub const WORKER: &str = "worker";
/// Any 16 bytes in base64.
const CLUSTER_ID: &str = "aGVhcnRsaW5lLXRlc3QtMQ";

/// One that anybody reaches at `port`, and those who come from the other side of a proxy `behind` it.
pub fn start(
    directory: &Path,
    run: &RunDirectory,
    port: u16,
    controller_port: u16,
    behind: Behind,
) -> Result<Server> {
    let listener = listener("PLAINTEXT", port, controller_port, Some(behind));
    launch(directory, run, "kafka", port, &listener, ready::kafka)
}

/// One with passwords and an authorizer.
pub fn start_guarded(
    directory: &Path,
    run: &RunDirectory,
    port: u16,
    controller_port: u16,
) -> Result<Server> {
    let listener = listener("SASL_PLAINTEXT", port, controller_port, None);
    launch(directory, run, "kafka-guarded", port, &(listener + &guard()), ready::guarded_kafka)
}

/// Grants the worker of a guarded broker what these arguments of Kafka's `kafka-acls` say.
pub fn grant(directory: &Path, address: &str, arguments: &[&str]) -> Result<()> {
    let java = maven::java()?;
    let jars = maven::fetch(directory, &format!("kafka-{VERSION}"), ARTIFACTS)?;
    let client = directory.join("kafka-admin.properties");
    let login = login(ADMIN);
    write_file(
        &client,
        &format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={login};\n"),
    )?;
    let mut command = Command::new(&java);
    command.arg("-cp").arg(format!("{}/*", jars.display())).arg("org.apache.kafka.tools.AclCommand");
    command.args(["--bootstrap-server", address, "--command-config"]).arg(client).args(arguments);
    run(&mut command, &directory.join("kafka-acls.log"), Duration::from_secs(60))
}

fn launch(
    directory: &Path,
    run: &RunDirectory,
    name: &str,
    port: u16,
    properties: &str,
    ready: Ready,
) -> Result<Server> {
    let java = maven::java()?;
    let jars = maven::fetch(directory, &format!("kafka-{VERSION}"), ARTIFACTS)?;
    let home = run.make(name)?;
    let text = server_properties(&home) + properties;
    let properties = home.join("server.properties");
    write_file(&properties, &text)?;
    let log = directory.join(format!("{name}.log"));
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
    Server::new(format!("127.0.0.1:{port}"), ready, control)
}

fn format_storage(java: &Path, jars: &Path, properties: &Path, log: &Path) -> Result<()> {
    let mut command = Command::new(java);
    command.arg("-cp").arg(format!("{}/*", jars.display()));
    command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c"]).arg(properties);
    run(&mut command, log, Duration::from_secs(60)).context("cannot format the broker's storage")
}

/// A broker tells a client where it is by the listener that the client came to: who came through a proxy is
/// sent back to it.
fn listener(protocol: &str, port: u16, controller_port: u16, behind: Option<Behind>) -> String {
    let (mut listeners, mut advertised, mut map) = (String::new(), String::new(), String::new());
    if let Some(Behind { listens, advertised: proxy }) = behind {
        listeners = format!(",PROXIED://127.0.0.1:{listens}");
        advertised = format!(",PROXIED://127.0.0.1:{proxy}");
        map = ",PROXIED:PLAINTEXT".to_owned();
    }
    format!(
        "controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners={protocol}://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{listeners}
advertised.listeners={protocol}://127.0.0.1:{port}{advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name={protocol}
listener.security.protocol.map={protocol}:{protocol},CONTROLLER:PLAINTEXT{map}
"
    )
}

/// The controller's listener knows nobody's name: who comes there is the broker itself.
fn guard() -> String {
    format!(
        "sasl.enabled.mechanisms=PLAIN
sasl.mechanism.inter.broker.protocol=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config={} user_{ADMIN}=\"{ADMIN}\" user_{WORKER}=\"{WORKER}\";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{ADMIN};User:ANONYMOUS
",
        login(ADMIN)
    )
}

fn login(user: &str) -> String {
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    format!("{module} required username=\"{user}\" password=\"{user}\"")
}

/// One copy of everything, few internal partitions, no waiting for further members; all timeouts as a broker
/// has them.
fn server_properties(home: &Path) -> String {
    let data: PathBuf = home.join("data");
    format!(
        "process.roles=broker,controller
node.id=1
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

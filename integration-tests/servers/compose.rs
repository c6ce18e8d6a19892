//! The servers of `docker-compose.yml`, where a Docker daemon answers.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{Control, Ready, Server, directory, process, progress};

const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Images may have to be fetched.
const UP_TIMEOUT: Duration = Duration::from_secs(600);
const CONTROL_TIMEOUT: Duration = Duration::from_secs(60);

/// A service, stopped when dropped unless it ran before.
#[derive(Debug)]
pub struct Service {
    name: &'static str,
    ran_before: bool,
}

/// Whether a daemon answers and the compose plugin is there.
pub fn is_available() -> bool {
    let answers = |arguments: &[&str]| {
        let log = Path::new("/dev/null");
        process::run(Command::new("docker").args(arguments), log, CHECK_TIMEOUT).is_ok()
    };
    // `docker info` succeeds without a daemon unless it is asked about it.
    answers(&["version", "--format", "{{.Server.Version}}"]) && answers(&["compose", "version"])
}

pub fn start(name: &'static str, container_port: u16, ready: Ready) -> Result<Server> {
    let running = output(&["ps", "--quiet", "--status", "running", name])?;
    let service = Service { name, ran_before: !running.is_empty() };
    progress(format_args!("docker compose up {name}"));
    run(&["up", "--detach", name], UP_TIMEOUT)?;
    // Such as 0.0.0.0:9042.
    let published = output(&["port", name, &container_port.to_string()])?;
    let port = published.rsplit(':').next().unwrap_or_default();
    Server::new(format!("127.0.0.1:{port}"), ready, Control::Compose(service))
}

impl Service {
    /// `docker compose <verb> <service>`.
    pub fn run(&self, verb: &str) -> Result<()> {
        run(&[verb, self.name], CONTROL_TIMEOUT)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if !self.ran_before {
            let _ = self.run("stop");
        }
    }
}

fn compose(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    command.current_dir(env!("CARGO_MANIFEST_DIR")).arg("compose").args(arguments);
    command
}

fn run(arguments: &[&str], timeout: Duration) -> Result<()> {
    process::run(&mut compose(arguments), &directory().join("compose.log"), timeout)
}

fn output(arguments: &[&str]) -> Result<String> {
    let output = compose(arguments).stdin(Stdio::null()).output().context("cannot run docker")?;
    let Output { status, stdout, stderr } = output;
    if !status.success() {
        let reason = String::from_utf8_lossy(&stderr).trim().to_owned();
        bail!("docker compose {} failed: {reason}", arguments.join(" "));
    }
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

//! Java programs from Maven Central: fetched once, then found under `target/servers/jars`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::{process::run, progress, write_file};

/// Some hundred files of 120 MB in all, over a slow line.
const FETCH_TIMEOUT: Duration = Duration::from_secs(600);

/// `group:artifact:version`.
pub type Artifact = (&'static str, &'static str, &'static str);

/// The directory with the jars of `artifacts` and all that they need.
pub fn fetch(directory: &Path, name: &str, artifacts: &[Artifact]) -> Result<PathBuf> {
    // Two Maven processes that write the same files to its local repository disturb each other.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);

    let jars = directory.join("jars").join(name);
    if jars.is_dir() {
        return Ok(jars);
    }
    progress(format_args!("fetching {name} with Maven, the first time only"));
    let work = directory.join("jars").join(format!("{name}.{}", process::id()));
    fs::create_dir_all(&work).with_context(|| format!("cannot create {}", work.display()))?;
    write_file(&work.join("pom.xml"), &pom(artifacts))?;
    let log = directory.join(format!("maven-{name}.log"));
    let output = format!("-DoutputDirectory={}", work.join("jars").display());
    let mut command = Command::new("mvn");
    command.current_dir(&work).args(["-q", "-B", "dependency:copy-dependencies", &output]);
    run(&mut command, &log, FETCH_TIMEOUT).with_context(|| format!("cannot fetch {name}"))?;
    // Only what is complete gets the final name; if another run was faster, its files are as good.
    if fs::rename(work.join("jars"), &jars).is_err() && !jars.is_dir() {
        bail!("cannot rename {} to {}", work.join("jars").display(), jars.display());
    }
    let _ = fs::remove_dir_all(&work);
    Ok(jars)
}

fn pom(artifacts: &[Artifact]) -> String {
    let dependency = |(group, artifact, version): &Artifact| {
        format!(
            "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
             <version>{version}</version></dependency>\n"
        )
    };
    let dependencies: String = artifacts.iter().map(dependency).collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n<modelVersion>4.0.0</modelVersion>\n\
         <groupId>heartline</groupId><artifactId>servers</artifactId><version>1</version>\n\
         <dependencies>\n{dependencies}</dependencies>\n</project>\n"
    )
}

/// A Java 17: Cassandra 5 runs on no newer one, Kafka 4 on no older one.
pub fn java() -> Result<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let candidates = home.into_iter().chain([PathBuf::from("java")]).chain(installed());
    let mut versions = Vec::new();
    for java in candidates {
        match version(&java) {
            Some(17) => return Ok(java),
            Some(version) => versions.push(format!("{} is {version}", java.display())),
            None => {}
        }
    }
    let found = if versions.is_empty() { "none is there".to_owned() } else { versions.join(", ") };
    bail!("the servers need a Java 17 and {found}: install one and set JAVA_HOME to it")
}

/// Where Linux distributions put their Java versions.
fn installed() -> impl Iterator<Item = PathBuf> {
    let directories = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    directories
        .map(|entry| entry.path().join("bin/java"))
        .filter(|java| java.to_string_lossy().contains("17"))
}

fn version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    // openjdk version "17.0.15" 2025-04-15
    text.split('"').nth(1)?.split(['.', '-', '+']).next()?.parse().ok()
}

//! What the servers have on disk, found by how they were started.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// Bytes of a keyspace's tables. What the database has only in memory is not among them.
pub fn keyspace_bytes(cql: u32, keyspace: &str) -> Result<u64> {
    let storage =
        argument(cql, |argument| argument.strip_prefix("-Dcassandra.storagedir=").map(PathBuf::from));
    folder_bytes(&storage?.join("data").join(keyspace))
}

/// Bytes of topics' partitions.
pub fn topics_bytes(broker: u32, topics: &[&str]) -> Result<u64> {
    let properties =
        argument(broker, |argument| argument.ends_with(".properties").then(|| PathBuf::from(argument)));
    let properties = fs::read_to_string(properties?)?;
    let folder = properties.lines().find_map(|line| line.strip_prefix("log.dirs=")).context("log.dirs")?;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let topic = name.to_str().and_then(|name| name.rsplit_once('-')).map(|(topic, _)| topic);
        if topic.is_some_and(|topic| topics.contains(&topic)) {
            // Indexes are as large as they may become; only segments say what is there.
            bytes += segments_bytes(&entry.path())?;
        }
    }
    Ok(bytes)
}

fn argument(pid: u32, find: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline"))?;
    let line = String::from_utf8_lossy(&line).into_owned();
    line.split('\0').find_map(find).with_context(|| format!("where process {pid} has its data"))
}

fn segments_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "log") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

fn folder_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

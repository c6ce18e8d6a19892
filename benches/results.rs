//! Puts what was measured into RESULTS.md: a row a figure, of which those that were not measured this time
//! stay as they are.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::table::{self, Measured};

const FILE: &str = "benches/RESULTS.md";
const BEGIN: &str = "<!-- written by cargo bench -- --results -->";
const END: &str = "<!-- end -->";
const HEAD: &str = "| figure | value | spread (rounds) | bar | aim | numerator | denominator | sides | measured |\n\
                    |---|---|---|---|---|---|---|---|---|";

pub fn write(
    head: &str,
    measured: &[Measured],
    not_run: &[(String, String)],
    notes: &[String],
) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {FILE}"))?;
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("'{BEGIN}' in {FILE}"))?;
    let (written, after) = rest.split_once(END).with_context(|| format!("'{END}' in {FILE}"))?;
    let mut rows = keyed(written, "| ", " |");
    let mut said = keyed(written, "* ", ":");
    let conditions = conditions(head);
    for measured in measured {
        let row = format!("{} {conditions} |", measured.row());
        rows.insert(measured.figure.name.to_owned(), row);
    }
    for (name, reason) in not_run {
        rows.insert(name.clone(), format!("| {name} | not run: {reason} | | | | | | | {conditions} |"));
    }
    for note in notes {
        let key = note.split(':').next().unwrap_or(note);
        said.insert(key.to_owned(), format!("* {note}"));
    }
    let order = table::FIGURES.iter().filter_map(|figure| rows.get(figure.name).cloned());
    let block: Vec<String> = [HEAD.to_owned()].into_iter().chain(order).collect();
    let said: Vec<String> = said.into_values().collect();
    let block = format!("{BEGIN}\n\n{}\n\n{}\n\n{END}", block.join("\n"), said.join("\n"));
    fs::write(&path, format!("{before}{block}{after}")).with_context(|| format!("writing {FILE}"))
}

/// Lines of a kind by what is between two marks at their begin.
fn keyed(text: &str, begin: &str, end: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let key = line.strip_prefix(begin)?.split(end).next()?;
        Some((key.to_owned(), line.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// Day, commit and load: what differs between rows.
fn conditions(head: &str) -> String {
    let day = Command::new("date").args(["-u", "+%F"]).output().ok();
    let day = day.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let commit = head.split(['(', ')']).nth(1).unwrap_or_default();
    let (scale, load) = head.rsplit_once(';').unwrap_or_default();
    let scale = scale.rsplit_once("scale ").map_or("1", |(_, scale)| scale);
    format!("{} {commit}, scale {scale},{load}", day.unwrap_or_default())
}

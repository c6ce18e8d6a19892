//! The core is pure: what it may not name, and what it may not depend on.

use std::{collections::BTreeSet, process::Command};

use libtest_mimic::Failed;

use super::{
    Source, Violation,
    modules::declared,
    package,
    plain::{is_word, words},
};

/// Crates of the edges.
const CRATES: [&str; 3] = ["tokio", "rdkafka", "scylla"];
/// What only edges may take from `std`.
const STD: [&str; 6] = ["Instant", "SystemTime", "thread", "env", "net", "fs"];

/// The oracle that the folds are judged by, and what it may take from the crate: places, bounds, the log that
/// it reads and the tables that it compares. Nothing that decodes, folds or decides.
const ORACLE: &str = "src/sim/world/oracle";
const ORACLE_MODULES: [&str; 7] = ["id", "limits", "log", "sim", "store", "table", "topology"];

/// What the oracle takes from the crate and must not.
pub fn oracle_is_not_alone(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut looked_at = 0;
    for source in sources.iter().filter(|source| source.path.starts_with(ORACLE)) {
        for (at, path) in paths_from(source.plain.text(), "crate::") {
            for module in first_names(path) {
                looked_at += 1;
                if !ORACLE_MODULES.contains(&module) {
                    violations.push(violation(source, at, format!("the oracle takes from crate::{module}")));
                }
            }
        }
    }
    if looked_at == 0 {
        violations.push(Violation::new(ORACLE, 0, "no path was found: this test looks at nothing"));
    }
    violations
}

/// The modules that a path, or a group of paths in braces, begins with.
fn first_names(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else { return words(path).take(1).collect() };
    let mut depth = 0;
    let paths = group.split(move |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0 && c == ','
    });
    paths.filter_map(|path| words(path).next()).collect()
}

/// Words in pure modules that bring in a clock, a thread, the environment, a socket or a file.
pub fn impure(sources: &[Source]) -> Vec<Violation> {
    let pure = pure_modules(sources);
    let mut violations = Vec::new();
    for source in sources.iter().filter(|source| is_below(&pure, &source.path)) {
        for (at, path) in paths_from(source.plain.text(), "std::") {
            for word in words(path).filter(|word| STD.contains(word)) {
                violations.push(violation(source, at, format!("std's {word} in a pure module")));
            }
        }
        for name in CRATES {
            for (at, _) in source.plain.text().match_indices(name) {
                if is_whole_word(source.plain.text(), at, name) {
                    violations.push(violation(source, at, format!("{name} in a pure module")));
                }
            }
        }
    }
    if pure.is_empty() {
        violations.push(Violation::new(
            "src/lib.rs",
            0,
            "no pure module was found: this test looks at nothing",
        ));
    }
    violations
}

/// The graph of the core without features: the proof that it has neither runtime nor drivers.
pub fn dependencies() -> Result<Vec<Violation>, Failed> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(package()).args(["tree", "--offline", "--locked", "--no-default-features"]);
    command.args(["--package", "heartline"]);
    command.args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let tree = String::from_utf8(output.stdout)?;
    let names: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    if !names.contains("heartline") || !names.contains("serde_json") {
        return Err(format!("cargo tree shows something else than the core:\n{tree}").into());
    }
    let edges = names.iter().filter(|name| CRATES.iter().any(|edge| name.starts_with(edge)));
    Ok(edges.map(|name| Violation::new("Cargo.toml", 0, format!("the core depends on {name}"))).collect())
}

/// The modules of `lib.rs` that are built without the edges.
fn pure_modules(sources: &[Source]) -> Vec<String> {
    let Some(root) = sources.iter().find(|source| source.path == "src/lib.rs") else { return Vec::new() };
    let mut pure = Vec::new();
    let mut is_edge = false;
    // Attributes carry literals, so this one place reads the text as it is.
    for line in root.text.lines() {
        if line.starts_with("#[") {
            is_edge |= line.contains("feature = \"edges\"");
            continue;
        }
        let module = declared(line).next();
        pure.extend(module.filter(|_| !is_edge).map(str::to_owned));
        is_edge = false;
    }
    pure
}

fn is_below(modules: &[String], path: &str) -> bool {
    let inside = path.strip_prefix("src/").unwrap_or_default();
    let top = inside.split(['/', '.']).next().unwrap_or_default();
    modules.iter().any(|module| module == top)
}

/// What follows each `root`: a path, or all that a group in braces names.
fn paths_from<'a>(plain: &'a str, root: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    plain.match_indices(root).map(|(at, found)| {
        let rest = &plain[at + found.len()..];
        let mut depth = 0;
        let end = rest.find(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth < 0 || depth == 0 && !(is_word(c) || c == ':' || c == '}')
        });
        (at, &rest[..end.unwrap_or(rest.len())])
    })
}

fn is_whole_word(text: &str, at: usize, word: &str) -> bool {
    let before = text[..at].chars().next_back();
    let after = text[at + word.len()..].chars().next();
    !before.is_some_and(is_word) && !after.is_some_and(is_word)
}

fn violation(source: &Source, at: usize, what: String) -> Violation {
    Violation::new(&source.path, source.plain.text()[..at].matches('\n').count() + 1, what)
}

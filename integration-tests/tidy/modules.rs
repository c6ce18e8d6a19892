//! The module tree: every file is in it, and every name says what is in the file.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, Violation, plain::is_word};

/// Names that say nothing.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "helper", "helpers", "common", "manager"];

/// Files that no `mod` line reaches: they are neither compiled nor tested.
pub fn forgotten(sources: &[Source]) -> Vec<Violation> {
    let by_path: BTreeMap<&str, &Source> =
        sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut reached = BTreeSet::new();
    let mut next: Vec<String> =
        by_path.keys().filter(|path| is_root(path)).map(|path| (*path).into()).collect();
    while let Some(path) = next.pop() {
        if let Some(source) = by_path.get(path.as_str())
            && reached.insert(path.clone())
        {
            let folder = if is_root(&path) { parent(&path) } else { path.trim_end_matches(".rs") };
            next.extend(declared(source.plain.text()).map(|name| format!("{folder}/{name}.rs")));
        }
    }
    let forgotten = by_path.keys().filter(|path| !reached.contains(**path));
    forgotten.map(|path| Violation::new(path, 0, "no mod line reaches this file")).collect()
}

pub fn badly_named(sources: &[Source]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for Source { path, .. } in sources {
        let name = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".rs");
        if name == "mod" {
            violations.push(Violation::new(
                path,
                0,
                "a module's file is beside its folder, as foo.rs and foo/",
            ));
        }
        if EMPTY_NAMES.contains(&name) {
            violations.push(Violation::new(path, 0, format!("'{name}' says nothing about what is in it")));
        }
    }
    violations
}

/// The modules that have a file of their own, in the order of their lines.
pub fn declared(plain: &str) -> impl Iterator<Item = &str> {
    plain.lines().filter_map(|line| {
        let name = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
        let (before, name) = (name.0.trim(), name.1.trim());
        let is_visibility = before.is_empty() || before == "pub" || before.starts_with("pub(");
        (is_visibility && name.chars().all(is_word)).then_some(name)
    })
}

/// Where a crate begins.
fn is_root(path: &str) -> bool {
    match path.split('/').collect::<Vec<_>>()[..] {
        ["src", name] => ["lib.rs", "main.rs"].contains(&name),
        ["integration-tests" | "benches", name] => name == "main.rs",
        ["examples" | "campaign", _] => true,
        _ => false,
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

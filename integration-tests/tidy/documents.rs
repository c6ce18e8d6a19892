//! Links in documents lead somewhere.

use std::{collections::BTreeSet, fs, path::Path};

use libtest_mimic::Failed;

use super::{Violation, files, package, relative};

/// Links to files, and to headings, that are not there. Addresses of the web are not asked.
pub fn dead_links() -> Result<Vec<Violation>, Failed> {
    let documents = files(package(), "md")?;
    if documents.is_empty() {
        return Err("there is no document: this test looks at nothing".into());
    }
    let mut violations = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document)?;
        for (number, line) in prose(&text) {
            for target in targets(line).filter(|target| !target.contains("://")) {
                let (path, heading) = target.split_once('#').unwrap_or((target, ""));
                let file = match path {
                    "" => document.clone(),
                    path => document.parent().unwrap_or(Path::new("")).join(path),
                };
                if !file.exists() || !heading.is_empty() && !headings(&file)?.contains(heading) {
                    let what = format!("nothing is at '{target}'");
                    violations.push(Violation::new(&relative(&document), number, what));
                }
            }
        }
    }
    Ok(violations)
}

/// The lines outside of code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Where the links of a line lead to: `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

/// The anchors of a document's headings, as they are made of them on the usual hosts.
fn headings(file: &Path) -> Result<BTreeSet<String>, Failed> {
    let text = fs::read_to_string(file)?;
    let titles =
        prose(&text).filter_map(|(_, line)| Some(line.trim_start_matches('#')).filter(|t| *t != line));
    let anchor = |title: &str| {
        let kept = title.trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    Ok(titles.map(anchor).collect())
}

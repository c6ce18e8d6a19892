//! The rules of CONTRIBUTING.md that a machine can hold us to. They look at the files as they are, not at
//! what is committed.

mod documents;
mod functions;
mod modules;
mod plain;
mod purity;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use libtest_mimic::Failed;

use super::case::Case;
use plain::Plain;

/// Where Rust files are.
const FOLDERS: [&str; 5] = ["src", "integration-tests", "benches", "examples", "campaign"];
const FILE_LINES_MAX: usize = 600;
const LINE_COLUMNS_MAX: usize = 110;
/// The one file that may call what the compiler cannot check.
const UNSAFE_FILE: &str = "src/kafka/native.rs";

/// Every Rust file, read once.
static SOURCES: LazyLock<Result<Vec<Source>, Failed>> = LazyLock::new(sources);

pub fn cases() -> Vec<Case> {
    let tidy = |name: &str, check: fn(&[Source]) -> Vec<Violation>| {
        Case::plain(format!("tidy::{name}"), move || report(&check(SOURCES.as_ref().map_err(Failed::clone)?)))
    };
    vec![
        tidy("no_file_is_longer_than_600_lines", long_files),
        tidy("no_line_is_wider_than_110_columns", wide_lines),
        tidy("no_function_is_longer_than_70_lines", functions::too_long),
        tidy("every_file_is_reached_by_a_mod_line", modules::forgotten),
        tidy("modules_are_named_for_what_they_do", modules::badly_named),
        tidy("nothing_is_left_to_be_written", unfinished),
        tidy("unsafe_is_in_one_file", unsafe_elsewhere),
        tidy("the_pure_modules_name_no_clock_thread_file_or_socket", purity::impure),
        tidy("the_oracle_takes_nothing_from_what_it_judges", purity::oracle_is_not_alone),
        Case::plain(
            "tidy::the_core_depends_on_no_runtime_and_no_driver",
            || report(&purity::dependencies()?),
        ),
        Case::plain("tidy::every_case_of_the_simulator_is_played", || report(&unplayed()?)),
        Case::plain("tidy::no_link_in_a_document_is_dead", || report(&documents::dead_links()?)),
    ]
}

/// Cases that no test plays.
fn unplayed() -> Result<Vec<Violation>, Failed> {
    let list = "src/sim/world/case/kept.rs";
    let text = fs::read_to_string(package().join(list))?;
    let cases = files(&package().join("src/sim/cases"), "case")?;
    if cases.is_empty() {
        return Err("src/sim/cases holds no case".into());
    }
    let names = cases.iter().map(|file| relative(file));
    let unplayed = names.filter(|path| !text.contains(path.trim_start_matches("src/sim/")));
    Ok(unplayed.map(|path| Violation::new(list, 0, format!("{path} is not played"))).collect())
}

/// A Rust file.
struct Source {
    /// Relative to the package, with `/`.
    path: String,
    text: String,
    /// The text without what comments and literals say.
    plain: Plain,
}

/// What is wrong, and where.
struct Violation {
    path: String,
    /// From 1; 0 stands for the whole file.
    line: usize,
    what: String,
}

impl Violation {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

fn report(violations: &[Violation]) -> Result<(), Failed> {
    if violations.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    Err(format!("{} violation(s)\n{}", lines.len(), lines.join("\n")).into())
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Result<Vec<Source>, Failed> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        for file in files(&package().join(folder), "rs")? {
            let text = fs::read_to_string(&file)?;
            let plain = Plain::of(&text);
            sources.push(Source { path: relative(&file), text, plain });
        }
    }
    // A rule that looks at nothing would hold.
    if sources.iter().any(|source| source.path == "src/lib.rs") {
        Ok(sources)
    } else {
        Err(format!("{} holds no src/lib.rs", package().display()).into())
    }
}

/// The files below `folder` with this extension, in the order of their paths; none where there is no folder.
fn files(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn relative(path: &Path) -> String {
    let path = path.strip_prefix(package()).unwrap_or(path);
    let parts: Vec<_> = path.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    parts.join("/")
}

fn long_files(sources: &[Source]) -> Vec<Violation> {
    let long = sources.iter().filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > FILE_LINES_MAX).then(|| Violation::new(&source.path, 0, format!("{lines} lines")))
    });
    long.collect()
}

fn wide_lines(sources: &[Source]) -> Vec<Violation> {
    each_line(
        sources,
        |source| &source.text,
        |line| {
            let columns = line.chars().count();
            // A sentence stays in one piece where it can be searched for, and a row of a table is a line.
            let whole = line.trim_start().starts_with("//! |") || in_a_sentence(line);
            (columns > LINE_COLUMNS_MAX && !whole).then(|| format!("{columns} columns"))
        },
    )
}

/// Whether the limit falls into a string that begins on this line.
fn in_a_sentence(line: &str) -> bool {
    let before: String = line.chars().take(LINE_COLUMNS_MAX).collect();
    before.replace("\\\"", "").matches('"').count() % 2 == 1
}

fn unfinished(sources: &[Source]) -> Vec<Violation> {
    const MARKS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
    each_line(
        sources,
        |source| source.plain.text(),
        |line| MARKS.into_iter().find(|mark| line.contains(mark)).map(str::to_owned),
    )
}

fn unsafe_elsewhere(sources: &[Source]) -> Vec<Violation> {
    let mut violations = each_line(
        sources,
        |source| source.plain.text(),
        |line| {
            plain::words(line)
                .any(|word| word == "unsafe")
                .then(|| format!("unsafe belongs in {UNSAFE_FILE}"))
        },
    );
    violations.retain(|violation| violation.path != UNSAFE_FILE);
    violations
}

fn each_line(
    sources: &[Source],
    text: fn(&Source) -> &str,
    wrong: impl Fn(&str) -> Option<String>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for source in sources {
        for (line, number) in text(source).lines().zip(1..) {
            violations.extend(wrong(line).map(|what| Violation::new(&source.path, number, what)));
        }
    }
    violations
}

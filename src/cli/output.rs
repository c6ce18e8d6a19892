//! What goes to stdout: lines and aligned tables.

use std::io::{self, Write};

use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use super::CliError;

/// Writes one line. A closed pipe ends the command in good order.
pub fn line(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Writes one line of JSON; what stands in it as raw JSON keeps its bytes.
pub fn json(value: &impl Serialize) -> Result<(), CliError> {
    line(&serde_json::to_string(value).map_err(|error| CliError::internal(error.to_string()))?)
}

/// Rows as aligned columns, the first row being the head.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A text without the control characters that could make a terminal do something.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A record time as the clock on the wall here shows it.
#[must_use]
pub fn local_time(time_ms: i64) -> String {
    match Timestamp::from_millisecond(time_ms) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(),
        Err(_) => time_ms.to_string(),
    }
}

/// How long ago, in the largest unit that says enough.
#[must_use]
pub fn ago(now_ms: i64, time_ms: i64) -> String {
    let seconds = now_ms.saturating_sub(time_ms).max(0) / 1_000;
    match seconds {
        0..=119 => format!("{seconds}s ago"),
        120..=7_199 => format!("{}m ago", seconds / 60),
        7_200..=172_799 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::{ago, printable, table};

    #[test]
    fn columns_are_aligned_and_lines_have_no_trailing_blanks() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect();
        assert_eq!(
            table(&[row(&["USER", "STATUS"]), row(&["änne", "x"]), row(&["b", ""])]),
            "USER  STATUS\nänne  x\nb"
        );
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }

    #[test]
    fn a_time_is_told_in_a_unit_that_says_enough() {
        let ago = |seconds: i64| ago(seconds * 1_000, 0);
        assert_eq!(
            [ago(-5), ago(119), ago(120), ago(7_200), ago(172_800)],
            ["0s ago", "119s ago", "2m ago", "2h ago", "2d ago"]
        );
    }
}

//! What is measured: name, bar and aim of every figure, and how its rounds become one line.

use std::fmt::Write as _;

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub enum Mark {
    None,
    AtLeast(f64),
    AtMost(f64),
    Within(f64, f64),
}

/// How a round's two sides become its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Numerator / denominator.
    Ratio,
    /// Numerator - denominator.
    Difference,
    /// The numerator; the denominator is 1.
    Plain,
}

pub struct Figure {
    pub name: &'static str,
    pub of: Of,
    pub bar: Mark,
    pub aim: Mark,
    /// What the two sides are, with their units.
    pub sides: &'static str,
}

use Mark::{AtLeast, AtMost, None, Within};

const fn ratio(name: &'static str, bar: Mark, aim: Mark, sides: &'static str) -> Figure {
    Figure { name, of: Of::Ratio, bar, aim, sides }
}

const fn plain(name: &'static str, bar: Mark, aim: Mark, sides: &'static str) -> Figure {
    Figure { name, of: Of::Plain, bar, aim, sides }
}

#[rustfmt::skip]
pub const FIGURES: &[Figure] = &[
    ratio("heartbeats_vs_poll", AtLeast(1.10), AtLeast(1.35), "beats/s, worker / poll drain"),
    ratio("batched_beats_vs_poll", AtLeast(4.0), AtLeast(8.0), "beats/s, worker / poll of single beats"),
    ratio("worker_us_per_heartbeat", AtMost(2.5), AtMost(1.6), "core-us a beat, worker / batch drain"),
    ratio("all_us_per_heartbeat", AtMost(2.5), AtMost(1.8), "the same with broker and CQL server / with broker"),
    plain("requests_per_heartbeat", AtMost(0.002), AtMost(0.001), "CQL requests a beat"),
    plain("requests_per_session", AtMost(2.0), AtMost(0.5), "CQL requests a session"),
    plain("bytes_per_session", AtMost(96.0), AtMost(76.0), "bytes"),
    ratio("growth_sessions", AtMost(1.5), AtMost(1.25), "ns a beat, at the most / at the fewest sessions"),
    ratio("growth_events", Within(0.85, 1.15), None, "s, (ten parts - one part) / 9 / one part"),
    ratio("transition_p50_vs_echo", AtMost(1.25), AtMost(1.0), "ms, worker / transactional loop"),
    ratio("transition_p99_vs_echo", AtMost(1.4), AtMost(1.1), "ms, worker / transactional loop"),
    ratio("mass_join", AtLeast(0.4), AtLeast(0.7), "transitions/s, worker / transactional loop"),
    ratio("mass_expiry", AtLeast(0.4), AtLeast(0.7), "transitions/s, worker / transactional loop"),
    Figure {
        name: "takeover_minus_session", of: Of::Difference, bar: AtMost(3.0), aim: AtMost(1.5),
        sides: "s, the longest takeover - session timeout",
    },
    ratio("restore_vs_floor", AtMost(1.5), AtMost(1.2), "s, worker / drain and bare read of the blobs"),
    ratio("transactions_on_vs_off", AtLeast(0.90), AtLeast(0.96), "core-us a beat, without / with transactions"),
    ratio("rows_vs_single", AtLeast(2.5), AtLeast(4.0), "rows/s, worker / loop of single inserts"),
    ratio("rows_vs_batches_2", AtLeast(0.50), AtLeast(0.65), "core-us an entry, bare batches / worker"),
    ratio("rows_vs_batches_20", AtLeast(0.70), AtLeast(0.80), "core-us an entry, bare batches / worker"),
    ratio("rows_vs_batches_500", AtLeast(0.88), AtLeast(0.95), "core-us an entry, bare batches / worker"),
    ratio("send_to_readable_p99_vs_echo", AtMost(1.5), AtMost(1.2), "ms, worker / two hops and an insert"),
    ratio("fairness", AtMost(3.0), AtMost(1.5), "ms, p99 during the fan-out / without it"),
    ratio("inbox_warmup_vs_steady", AtMost(2.0), AtMost(1.3), "s, warm-up / bare read of the heads"),
    ratio("sync_page_vs_select", AtMost(1.5), AtMost(1.2), "ms, a page over HTTP / bare SELECTs"),
    ratio("vs_redis", AtLeast(2.0), AtLeast(4.0), "beats per core-s, worker and broker / EXPIRE and client"),
    ratio("vs_cihangir_presence", AtLeast(15.0), AtLeast(40.0), "beats per core-s, worker and broker / peer"),
    ratio("vs_kafka_streams", AtLeast(5.0), AtLeast(10.0), "beats per core-s, worker and broker / peer"),
    ratio("rss_vs_kafka_streams", AtMost(0.2), AtMost(0.1), "bytes, worker / peer"),
    ratio("embedded_vs_fjall", AtLeast(0.5), AtLeast(0.75), "durable beats/s, `up` / bare fjall loop"),
];

pub fn figure(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

/// A figure's rounds: numerator and denominator of each.
pub struct Measured {
    pub figure: &'static Figure,
    pub rounds: Vec<(f64, f64)>,
}

impl Measured {
    pub fn sides(&self) -> (f64, f64) {
        let side = |of: fn(&(f64, f64)) -> f64| median(self.rounds.iter().map(of).collect());
        (side(|round| round.0), side(|round| round.1))
    }

    /// Of the medians of both sides.
    pub fn value(&self) -> f64 {
        self.value_of(self.sides())
    }

    fn value_of(&self, (numerator, denominator): (f64, f64)) -> f64 {
        match self.figure.of {
            Of::Ratio => numerator / denominator,
            Of::Difference => numerator - denominator,
            Of::Plain => numerator,
        }
    }

    /// The least and the greatest value of any round.
    fn spread(&self) -> (f64, f64) {
        let values = || self.rounds.iter().map(|round| self.value_of(*round));
        (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max))
    }

    /// A row of a Markdown table, all but its last cell.
    pub fn row(&self) -> String {
        let (least, greatest) = self.spread();
        let (numerator, denominator) = self.sides();
        let Figure { name, bar, aim, sides, .. } = self.figure;
        format!(
            "| {name} | {} | {}..{} ({}) | {} | {} | {} | {} | {sides} |",
            short(self.value()),
            short(least),
            short(greatest),
            self.rounds.len(),
            bar.text(self.value()),
            aim.text(self.value()),
            short(numerator),
            short(denominator)
        )
    }

    /// For scripts: `name value numerator denominator`.
    pub fn line(&self) -> String {
        let (numerator, denominator) = self.sides();
        format!("{} {:.6} {numerator:.6} {denominator:.6}", self.figure.name, self.value())
    }
}

/// For people.
pub fn render(measured: &[Measured]) -> String {
    let mut text = format!(
        "{:<29} {:>9} {:>19} {:>10} {:>10}  {:>12} {:>12}  {}\n",
        "figure", "value", "spread (rounds)", "bar", "aim", "numerator", "denominator", "sides"
    );
    for measured in measured {
        let (least, greatest) = measured.spread();
        let (numerator, denominator) = measured.sides();
        let Figure { name, bar, aim, sides, .. } = measured.figure;
        let spread = format!("{}..{} ({})", short(least), short(greatest), measured.rounds.len());
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{name:<29} {:>9} {spread:>19} {:>10} {:>10}  {:>12} {:>12}  {sides}",
            short(measured.value()),
            bar.text(measured.value()),
            aim.text(measured.value()),
            short(numerator),
            short(denominator)
        );
    }
    text
}

impl Mark {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::None => true,
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
            Self::Within(least, most) => (least..=most).contains(&value),
        }
    }

    fn text(self, value: f64) -> String {
        let held = if self.holds(value) { "" } else { " !" };
        match self {
            Self::None => String::new(),
            Self::AtLeast(least) => format!(">={least}{held}"),
            Self::AtMost(most) => format!("<={most}{held}"),
            Self::Within(least, most) => format!("{least}-{most}{held}"),
        }
    }
}

/// Four digits that matter.
fn short(value: f64) -> String {
    match value.abs() {
        magnitude if magnitude >= 1_000.0 || magnitude == 0.0 => format!("{value:.0}"),
        magnitude if magnitude >= 10.0 => format!("{value:.1}"),
        magnitude if magnitude >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.5}"),
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[length / 2],
        length => f64::midpoint(values[length / 2 - 1], values[length / 2]),
    }
}

/// The value below which this share of the values lies.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}

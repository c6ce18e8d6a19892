//! What was asked for, the servers, and what has been measured so far.

use std::{
    cell::{OnceCell, RefCell},
    fmt::Write as _,
    process::Command,
};

use anyhow::{Context as _, Result, anyhow};

use super::{
    proc,
    real::{deployment::Deployment, servers::Servers},
    results,
    table::{self, Measured},
};

const ROUNDS: usize = 5;
/// A look at whether all of it works, not to be quoted.
const QUICK: (usize, f64) = (1, 0.1);

#[derive(Debug)]
pub struct Arguments {
    names: Vec<String>,
    rounds: usize,
    scale: f64,
    /// Whether RESULTS.md gets what is measured.
    results: bool,
    /// A part of a figure that needs a process of its own, and its size.
    pub child: Option<(String, u64)>,
}

impl Arguments {
    pub fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self { names: Vec::new(), rounds: ROUNDS, scale: 1.0, results: false, child: None };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                // Cargo says so to every bench.
                "--bench" => {}
                "--results" => parsed.results = true,
                "--quick" => (parsed.rounds, parsed.scale) = QUICK,
                "--rounds" => parsed.rounds = read(&argument, &value()?)?,
                "--scale" => parsed.scale = read(&argument, &value()?)?,
                "--child" => parsed.child = Some((value()?, read(&argument, &value()?)?)),
                name if name.starts_with('-') => return Err(format!("there is no option {name}")),
                name if table::figure(name).is_some() => parsed.names.push(name.to_owned()),
                name => return Err(format!("there is no figure {name}")),
            }
        }
        match parsed.rounds > 0 && parsed.scale > 0.0 {
            true => Ok(parsed),
            false => Err("rounds and scale must be more than 0".to_owned()),
        }
    }
}

fn read<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{name} cannot be '{text}'"))
}

pub struct Suite {
    arguments: Arguments,
    /// Of the machine, before anything of this ran on it.
    load_average: String,
    servers: OnceCell<Servers>,
    measured: RefCell<Vec<Measured>>,
    /// Shown without a bar.
    notes: RefCell<Vec<String>>,
    /// Figures that could not be measured here, and why.
    not_run: RefCell<Vec<(String, String)>>,
}

impl Suite {
    pub fn new(arguments: Arguments) -> Self {
        let (measured, notes, not_run) = (RefCell::default(), RefCell::default(), RefCell::default());
        let load_average = proc::load_average();
        Self { arguments, load_average, servers: OnceCell::new(), measured, notes, not_run }
    }

    pub fn wants(&self, name: &str) -> bool {
        let names = &self.arguments.names;
        names.is_empty() || names.iter().any(|wanted| wanted == name)
    }

    pub fn rounds(&self) -> usize {
        self.arguments.rounds
    }

    /// A size of the standard load, scaled; at least `least`.
    pub fn scaled(&self, full: u64, least: u64) -> u64 {
        ((full as f64 * self.arguments.scale) as u64).max(least)
    }

    /// The real servers, started when they are first asked for.
    pub fn servers(&self) -> Result<&Servers> {
        if let Some(servers) = self.servers.get() {
            return Ok(servers);
        }
        let started = Servers::find_or_start().map_err(|unavailable| anyhow!("{unavailable}"))?;
        Ok(self.servers.get_or_init(|| started))
    }

    /// Topics made anew and a keyspace of its own.
    pub fn deployment(&self, name: &str, extra: &str) -> Result<Deployment> {
        Deployment::prepare(self.servers()?, name, extra)
    }

    /// Takes a figure's rounds and says its line, if it was asked for.
    pub fn record(&self, name: &str, rounds: Vec<(f64, f64)>) -> Result<()> {
        let figure = table::figure(name).with_context(|| format!("a figure {name}"))?;
        if self.wants(name) {
            let measured = Measured { figure, rounds };
            println!("{}", measured.line());
            self.measured.borrow_mut().push(measured);
        }
        Ok(())
    }

    /// Says why a figure has no number, if it was asked for.
    pub fn not_run(&self, name: &str, reason: &str) {
        if self.wants(name) {
            println!("{name} not run: {reason}");
            self.not_run.borrow_mut().push((name.to_owned(), reason.to_owned()));
        }
    }

    pub fn note(&self, note: String) {
        eprintln!("  {note}");
        self.notes.borrow_mut().push(note);
    }

    /// A note about the last round.
    pub fn note_if_last(&self, round: usize, note: impl FnOnce() -> String) {
        if round == self.rounds() {
            self.note(note());
        }
    }

    /// Under which conditions this runs.
    pub fn head(&self) -> String {
        let Arguments { rounds, scale, .. } = self.arguments;
        let output = |program: &str, argument: &str| {
            let output = Command::new(program).arg(argument).output();
            output.ok().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let kernel = output("uname", "-sr").unwrap_or_default();
        let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
        let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
        format!(
            "heartline {} ({}), {kernel}, {}; {rounds} rounds, scale {scale}; load average {}",
            env!("CARGO_PKG_VERSION"),
            commit.unwrap_or_default(),
            proc::processors(),
            self.load_average
        )
    }

    pub fn table(&self) -> String {
        let mut text = self.head() + "\n\n" + &table::render(&self.measured.borrow());
        for (name, reason) in self.not_run.borrow().iter() {
            let _ = writeln!(text, "{name}: not run: {reason}");
        }
        for note in self.notes.borrow().iter() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{note}");
        }
        text
    }

    /// Puts what was measured into RESULTS.md, if that was asked for.
    pub fn write_results(&self) -> Result<()> {
        if !self.arguments.results {
            return Ok(());
        }
        results::write(&self.head(), &self.measured.borrow(), &self.not_run.borrow(), &self.notes.borrow())
    }
}

//! A test of this binary: what it needs, and how that is shown where it cannot be had.

use std::{env, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};

use super::servers::{Servers, Unavailable};

/// Set where a run without the real servers must fail, as in continuous integration.
const REQUIRED: &str = "HEARTLINE_REQUIRE_SERVERS";

/// What a test needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    /// Kafka and a CQL database.
    Servers,
    /// The same, started by this process: the test stops or kills them.
    OwnServers,
    /// Those of Maven, which can have a further broker beside them.
    FurtherBroker,
}

type Run = Box<dyn FnOnce(Option<&Servers>) -> Result<(), Failed> + Send>;

pub struct Case {
    name: String,
    need: Need,
    /// Long forms run only when asked for by `--ignored` or `--include-ignored`.
    long: bool,
    run: Run,
}

impl Case {
    /// A test that needs no server.
    pub fn plain(name: impl Into<String>, run: impl FnOnce() -> Result<(), Failed> + Send + 'static) -> Self {
        Self { name: name.into(), need: Need::Nothing, long: false, run: Box::new(|_| run()) }
    }

    /// A test on the real servers.
    pub fn real(
        name: impl Into<String>,
        need: Need,
        run: impl FnOnce(&Servers) -> Result<(), Failed> + Send + 'static,
    ) -> Self {
        let run = |servers: Option<&Servers>| match servers {
            Some(servers) => run(servers),
            None => Err("this test needs the servers, which are not there".into()),
        };
        Self { name: name.into(), need, long: false, run: Box::new(run) }
    }

    /// A test that holds the servers for itself, as one on the product's topics must: those have fixed names.
    pub fn alone(
        name: impl Into<String>,
        run: impl FnOnce(&Servers) -> anyhow::Result<()> + Send + 'static,
    ) -> Self {
        Self::real(name, Need::Servers, |servers| {
            let _alone = servers.exclusive();
            run(servers).map_err(|error| format!("{error:#}").into())
        })
    }

    pub fn long(mut self) -> Self {
        self.long = true;
        self
    }
}

/// Runs the cases that the arguments select; the servers are started once, and only if one of those needs
/// them.
pub fn run(arguments: &Arguments, cases: Vec<Case>) -> ExitCode {
    let wanted = |case: &Case| {
        case.need != Need::Nothing
            && selected(arguments, &case.name)
            && (!case.long || arguments.ignored || arguments.include_ignored)
            && (case.long || !arguments.ignored)
    };
    let servers = match arguments.list || !cases.iter().any(wanted) {
        true => Err(Unavailable { reason: "not started: no test was asked for that needs them".into() }),
        false => Servers::find_or_start(),
    };
    if let Err(unavailable) = &servers
        && !arguments.list
        && cases.iter().any(wanted)
    {
        eprintln!("the tests on real servers cannot run: {unavailable}");
        if env::var_os(REQUIRED).is_some() {
            eprintln!("{REQUIRED} is set, so that this run fails");
            return ExitCode::FAILURE;
        }
    }
    let servers = Arc::new(servers);
    let trials = cases.into_iter().map(|case| trial(case, &servers)).collect();
    let conclusion = libtest_mimic::run(arguments, trials);
    // The last owner: dropping them stops what was started.
    drop(servers);
    conclusion.exit_code()
}

fn trial(case: Case, servers: &Arc<Result<Servers, Unavailable>>) -> Trial {
    let Case { name, need, long, run } = case;
    let missing = match (need, &**servers) {
        (Need::Nothing, _) => None,
        (_, Err(unavailable)) => Some(format!("needs servers: {unavailable}")),
        (Need::OwnServers, Ok(servers))
            if !(servers.kafka.is_controlled() && servers.cql.is_controlled()) =>
        {
            Some("needs servers that it may stop".to_owned())
        }
        (Need::FurtherBroker, Ok(servers)) if servers.kafka.pid().is_none() => {
            Some("needs a Kafka of its own, with JDK 17 and Maven".to_owned())
        }
        _ => None,
    };
    let servers = Arc::clone(servers);
    let trial = Trial::test(name, move || run((*servers).as_ref().ok()));
    match missing {
        Some(reason) => trial.with_kind(reason).with_ignored_flag(true),
        None if long => trial.with_kind("long").with_ignored_flag(true),
        None => trial,
    }
}

/// As libtest selects: any filter that is contained, none of those to skip.
fn selected(arguments: &Arguments, name: &str) -> bool {
    let matches = |filter: &str| if arguments.exact { name == filter } else { name.contains(filter) };
    arguments.filter.as_deref().is_none_or(matches) && !arguments.skip.iter().any(|skip| matches(skip))
}

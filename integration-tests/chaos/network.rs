//! The network between the workers and both servers, and what happens to it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    deployment::{Deployment, get},
    proxy::{Counts, Protocol, Proxy},
    servers::{Servers, free_ports},
};

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Every connection to both servers ends, at once.
    Cut,
    /// The broker is there, and no worker reaches it for so long.
    NoBroker(Duration),
    NoDatabase(Duration),
    /// All that is sent to the broker is late by a fifth of a second, for so long.
    Slow(Duration),
    /// The next request that ends a transaction arrives late by so much.
    LateEnd(Duration),
    /// The same, and its sender's connection ends at once: it is sent again, and arrives a second time.
    EndTwice(Duration),
    /// The next batch of rows is written, and the worker is cut off before it is told; so often.
    AnswersLost(u32),
}

/// How long an armed fault is waited for; something is committed every second.
const ARMED_FOR: Duration = Duration::from_secs(5);

pub struct Network {
    kafka: Proxy,
    cql: Proxy,
}

/// What a run must have had, so that it has shown something.
#[derive(Debug, Clone, Copy)]
pub struct Least {
    pub cut: u64,
    pub late: u64,
    pub answers_lost: u64,
    pub restores: u64,
}

impl Network {
    pub fn start(servers: &Servers) -> Result<Self> {
        let behind = servers.behind.context("a Kafka of these tests has a listener for proxies")?;
        let [port] = free_ports()?;
        let broker = format!("127.0.0.1:{}", behind.listens);
        Ok(Self {
            kafka: Proxy::start(behind.advertised, &broker, Protocol::Kafka)?,
            cql: Proxy::start(port, servers.cql.address(), Protocol::Cql)?,
        })
    }

    /// Where Kafka and the database are for a worker.
    pub fn addresses(&self) -> (&str, &str) {
        (&self.kafka.address, &self.cql.address)
    }

    pub fn bring_about(&self, fault: Fault) {
        match fault {
            Fault::Cut => {
                self.kafka.cut();
                self.cql.cut();
            }
            Fault::NoBroker(duration) => self.kafka.sever(duration),
            Fault::NoDatabase(duration) => self.cql.sever(duration),
            Fault::Slow(duration) => {
                self.kafka.delay(Duration::from_millis(200));
                thread::sleep(duration);
                self.kafka.delay(Duration::ZERO);
            }
            Fault::LateEnd(duration) | Fault::EndTwice(duration) => {
                let before = self.kafka.counts().late;
                self.kafka.delay_next_end(duration, matches!(fault, Fault::EndTwice(_)));
                wait_for(|| self.kafka.counts().late > before);
                thread::sleep(duration);
            }
            Fault::AnswersLost(times) => {
                for _ in 0..times {
                    let before = self.cql.counts().answers_lost;
                    self.cql.lose_next_answer();
                    wait_for(|| self.cql.counts().answers_lost > before);
                }
            }
        }
    }

    /// Fails a run in which too little happened.
    pub fn check(&self, restores: u64, least: Least) -> Result<()> {
        let (kafka, cql) = (self.kafka.counts(), self.cql.counts());
        eprintln!("the network: to the broker {kafka:?}, to the database {cql:?}; {restores} restores");
        let Counts { cut, late, .. } = kafka;
        let cut = cut + cql.cut;
        ensure!(cut >= least.cut, "vacuous: {cut} connections were cut, {} are due", least.cut);
        ensure!(late >= least.late, "vacuous: {late} ends of transactions were late, {} are due", least.late);
        ensure!(
            cql.answers_lost >= least.answers_lost,
            "vacuous: {} answers of the database were lost, {} are due",
            cql.answers_lost,
            least.answers_lost
        );
        ensure!(
            restores >= least.restores,
            "vacuous: {restores} restores after aborts and doubts, {} are due",
            least.restores
        );
        Ok(())
    }
}

/// Waits until an armed fault has happened. Where it has not, the counts tell at the end.
fn wait_for(happened: impl Fn() -> bool) {
    let begun = Instant::now();
    while !happened() && begun.elapsed() < ARMED_FOR {
        thread::sleep(Duration::from_millis(20));
    }
}

/// How often the workers dropped their state and restored it.
pub fn restores(deployment: &Deployment, workers: &[usize]) -> Result<u64> {
    let mut restores = 0;
    for index in workers {
        let metrics = get(&deployment.workers[*index].address, "/metrics")?;
        let lines = metrics.lines().filter(|line| line.starts_with("heartline_restores_total{"));
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        restores += values.sum::<u64>();
    }
    Ok(restores)
}

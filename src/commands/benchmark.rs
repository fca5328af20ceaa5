//! `opsctl benchmark`: how fast the orchestrator answers, by a bounded number of reads.

use std::io;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt as _;
use serde::Serialize;

use super::args::count;
use super::text;
use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Explained, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::wire::{ActionFilter, LineFilter, LogName};

/// A probe ends after this long, however many reads are left: it must not become the load that it measures.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// Measure how fast the orchestrator answers
///
/// Sends reads only, a bounded number of each kind, a few at a time, for at most 10 s a kind; nothing is submitted and no
/// platform is asked. Latencies are what this machine sees, the network included. Measure the sandbox for comparison.
///
/// Example: opsctl benchmark --context sandbox --requests 500
#[derive(Args, Debug)]
pub struct BenchmarkArgs {
    /// Reads of each kind
    #[arg(long, value_name = "N", default_value_t = 200, allow_negative_numbers = true, value_parser = count(1..=10_000))]
    requests: u64,

    /// How many at a time
    #[arg(long, value_name = "N", default_value_t = 4, allow_negative_numbers = true, value_parser = count(1..=64))]
    concurrency: u64,
}

/// What is read.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Probe {
    Service,
    Queue,
    Circuits,
    RecentActions,
    Logs,
}

impl Probe {
    const ALL: [Probe; 5] = [Probe::Service, Probe::Queue, Probe::Circuits, Probe::RecentActions, Probe::Logs];

    const fn words(self) -> &'static str {
        match self {
            Probe::Service => "version and capabilities",
            Probe::Queue => "queue status",
            Probe::Circuits => "circuits",
            Probe::RecentActions => "50 recent actions",
            Probe::Logs => "last 100 log lines",
        }
    }

    async fn read(self, orchestrator: &Orchestrator) -> anyhow::Result<()> {
        match self {
            Probe::Service => orchestrator.info().await.map(drop),
            Probe::Queue => orchestrator.queue_status().await.map(drop),
            Probe::Circuits => orchestrator.circuits().await.map(drop),
            Probe::RecentActions => {
                let filter = ActionFilter { limit: 50, ..ActionFilter::default() };
                orchestrator.recent_actions(&filter).await.map(drop)
            }
            Probe::Logs => {
                let filter = LineFilter { limit: 100, ..LineFilter::default() };
                orchestrator.log_lines(LogName::Application, &filter).await.map(drop)
            }
        }
    }
}

/// One kind of read.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Measured {
    what: &'static str,
    /// Reads that were answered.
    answered: u64,
    failed: u64,
    /// Answers a second.
    per_second: f64,
    /// Milliseconds, of answers; absent when there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Latency>,
    /// Why the first that failed did.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Latency {
    average: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Benchmark {
    url: String,
    concurrency: u64,
    probes: Vec<Measured>,
}

impl Latency {
    /// Of all the answers, exact.
    fn of(mut took: Vec<Duration>) -> Option<Self> {
        took.sort_unstable();
        let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let rank = |share: f64| ((took.len() as f64 * share).ceil() as usize).clamp(1, took.len()) - 1;
        let max = ms(*took.last()?);
        let average = ms(took.iter().sum::<Duration>()) / took.len() as f64;
        let at = |share: f64| ms(took[rank(share)]);
        Some(Latency { average, p50: at(0.5), p95: at(0.95), p99: at(0.99), max })
    }
}

impl BenchmarkArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let orchestrator = app.orchestrator().await?;
        // A dead address is told at once, as by every verb.
        match orchestrator.info().await {
            Err(error) if Explained::from_error(&error).kind != Kind::NotFound => return Err(error),
            _ => {}
        }
        let mut probes = Vec::new();
        for probe in Probe::ALL {
            probes.push(self.measure(orchestrator, probe).await);
        }
        let failed = probes.iter().any(|probe| probe.failed > 0);
        let url = orchestrator.url().as_str().trim_end_matches('/').to_owned();
        app.emit(&Benchmark { url, concurrency: self.concurrency, probes })?;
        Ok(if failed { Outcome::SomeFailed } else { Outcome::Done })
    }

    async fn measure(&self, orchestrator: &Orchestrator, probe: Probe) -> Measured {
        let started = Instant::now();
        let reads = futures_util::stream::iter(0..self.requests)
            .take_while(|_| std::future::ready(started.elapsed() < PROBE_LIMIT))
            .map(|_| async move {
                let begun = Instant::now();
                (probe.read(orchestrator).await, begun.elapsed())
            })
            .buffer_unordered(self.concurrency as usize);
        let (mut took, mut failed, mut error) = (Vec::new(), 0, None);
        let mut reads = std::pin::pin!(reads);
        while let Some((answer, time)) = reads.next().await {
            match answer {
                Ok(()) => took.push(time),
                Err(why) => {
                    failed += 1;
                    error.get_or_insert_with(|| Explained::from_error(&why).message);
                }
            }
        }
        let per_second = took.len() as f64 / started.elapsed().as_secs_f64();
        let answered = took.len() as u64;
        Measured { what: probe.words(), answered, failed, per_second, latency: Latency::of(took), error }
    }
}

impl Report for Benchmark {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(format_args!("{}, {} at a time", self.url, self.concurrency))?;
        page.blank()?;
        let headings = ["READ", ">ANSWERED", ">FAILED", ">A SECOND", ">AVERAGE", ">P50", ">P95", ">P99", ">MAX"];
        let mut table = Table::new(&headings);
        for probe in &self.probes {
            let ms = |of: fn(&Latency) -> f64| probe.latency.as_ref().map(of).map(text::millis).unwrap_or_default();
            table.row([
                probe.what.to_owned(),
                text::count(probe.answered),
                text::count(probe.failed),
                text::count(probe.per_second as u64),
                ms(|l| l.average),
                ms(|l| l.p50),
                ms(|l| l.p95),
                ms(|l| l.p99),
                ms(|l| l.max),
            ]);
        }
        page.table(&table)?;
        for probe in self.probes.iter().filter(|probe| probe.failed > 0) {
            let why = probe.error.as_deref().unwrap_or_default();
            page.line(format_args!("{} of {}: {why}", text::counted(probe.failed, "failure", "failures"), probe.what))?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.probes.iter().map(serde_json::to_value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_answers_that_came() {
        let took = (1..=200).map(Duration::from_millis).collect();
        let expected = Latency { average: 100.5, p50: 100.0, p95: 190.0, p99: 198.0, max: 200.0 };
        assert_eq!(Latency::of(took), Some(expected));
        assert_eq!(Latency::of(Vec::new()), None);
    }
}

//! `opsctl analyze`: questions over many records. Each reads the log of what it asks about from the place that the log
//! verbs read from, line by line, and keeps a bounded amount.

mod attempts;
pub(super) mod capacity;
mod corruption;
mod failures;
pub(super) mod repeats;
mod uptime;

use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::analysis::lines::Question;
use crate::app::{App, StaleArgs};
use crate::commands::logs::lines;
use crate::commands::logs::place::{self, Place};
use crate::error::Outcome;
use crate::logs::query::Query;
use crate::output::{Page, Report};
use crate::settings::Since;
use crate::wire::{LineFilter, LogName, LogSource, Platform, Time};

/// Questions over many records.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Failures(failures::FailuresArgs),
    Retries(attempts::RetriesArgs),
    Fallbacks(attempts::FallbacksArgs),
    Queries(repeats::QueriesArgs),
    Duplicates(repeats::DuplicatesArgs),
    RateLimits(attempts::RateLimitsArgs),
    Capacity(capacity::CapacityArgs),
    Corruption(corruption::CorruptionArgs),
    Uptime(uptime::UptimeArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Failures(args) => failures::failures(app, args).await,
            Self::Retries(args) => attempts::retries(app, args).await,
            Self::Fallbacks(args) => attempts::fallbacks(app, args).await,
            Self::Queries(args) => repeats::queries(app, args).await,
            Self::Duplicates(args) => repeats::duplicates(app, args).await,
            Self::RateLimits(args) => attempts::rate_limits(app, args).await,
            Self::Capacity(args) => capacity::run(app, args).await,
            Self::Corruption(args) => corruption::corruption(app, args).await,
            Self::Uptime(args) => uptime::uptime(app, args).await,
        }
    }
}

/// Which lines a question is put to.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct LogArgs {
    /// Before this; written as --since
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Since>,

    /// Only this level: error, warn, info, verbose, debug
    #[arg(long, value_name = "LEVEL", hide_short_help = true)]
    pub(super) level: Option<String>,

    /// Only this part: executor, queue, store, circuit
    #[arg(long, value_name = "PART", hide_short_help = true)]
    pub(super) component: Option<String>,

    /// Only this workflow
    #[arg(long, value_name = "WORKFLOW", hide_short_help = true)]
    pub(super) workflow: Option<String>,

    /// Only lines with this text, or /regex/
    #[arg(long, value_name = "TEXT", hide_short_help = true)]
    pub(super) grep: Option<String>,

    /// Only lines where a key has a value, as in `opsctl logs search` (can be repeated)
    #[arg(long = "filter", value_name = "KEY:VALUE", hide_short_help = true)]
    pub(super) filters: Vec<String>,

    /// Read this file or folder, with what was rotated; - for standard input
    #[arg(long, value_name = "PATH")]
    pub(super) file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) stale: StaleArgs,
}

/// A log to put questions to.
pub(super) struct Asked {
    place: Place,
    log: LogName,
    pub(super) since: Time,
    pub(super) until: Time,
    /// What the person asked for besides.
    own: LineFilter,
    stale: StaleArgs,
}

impl LogArgs {
    /// Finds the log and the window.
    pub(super) async fn find(&self, app: &App, log: LogName, since: &Since) -> anyhow::Result<Asked> {
        // First, because it moves the clock to the sandbox's.
        let place = place::find(app, log, self.file.as_deref()).await;
        let simple = lines::conditions(self.level.as_deref(), self.component.as_deref(), self.workflow.as_deref());
        let filters = simple.chain(self.filters.iter().cloned()).collect();
        let own = LineFilter { grep: self.grep.clone(), filters, ..LineFilter::default() };
        Query::try_from(&own).map_err(|bad| lines::unreadable(&bad, &self.filters, self.grep.as_deref()))?;
        let now = app.now();
        let since = since.resolve_here(now)?;
        let until = self.until.as_ref().map(|until| until.resolve_here(now)).transpose()?.unwrap_or(now);
        if since >= until {
            return Err(lines::empty_window(since, until, "--since 7d"));
        }
        Ok(Asked { place: place?, log, since, until, own, stale: self.stale })
    }
}

impl Asked {
    /// What is asked for in the window.
    pub(super) fn filter(&self, platform: Option<Platform>, filters: &[&str]) -> LineFilter {
        let filters = filters.iter().map(ToString::to_string).chain(self.own.filters.iter().cloned()).collect();
        let (since, until) = (Some(self.since), Some(self.until));
        LineFilter { since, until, platform, filters, ..self.own.clone() }
    }

    /// Puts the question to every line that fits, and says what was read.
    pub(super) async fn put<Q: Question + Send + 'static>(
        &self,
        app: &App,
        filter: &LineFilter,
        question: Q,
    ) -> anyhow::Result<(Q, LogSource)> {
        place::ask_all(app, &self.place, self.log, filter, question).await
    }

    /// What was read, for the person.
    pub(super) fn told(&self, app: &App, source: &LogSource, filter: &LineFilter) {
        app.note(place::told(source, &self.place, filter, app.now()));
    }

    /// How the answer ends.
    pub(super) async fn outcome(&self, app: &App, source: &LogSource) -> Outcome {
        self.stale.outcome(app, &self.place, source).await
    }
}

impl Asked {
    /// Puts the question to every line that fits, and shows the answer with its window and sources.
    async fn answer<Q: Question + Send + 'static, A: Drawn>(
        &self,
        app: &App,
        filter: &LineFilter,
        question: Q,
        finish: impl FnOnce(Q) -> A,
    ) -> anyhow::Result<Outcome> {
        let (question, source) = self.put(app, filter, question).await?;
        self.told(app, &source, filter);
        let answer = Answer { answer: finish(question), since: self.since, until: self.until, source };
        app.emit(&answer)?;
        Ok(self.outcome(app, &answer.source).await)
    }
}

/// How the answer to a question looks.
trait Drawn: Serialize {
    /// For people.
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()>;

    /// Its rows, for `-o jsonl` and `-o csv`.
    fn rows(&self) -> serde_json::Result<Vec<serde_json::Value>>;

    /// What a person is told when there is nothing to draw.
    fn nothing(&self) -> Option<&'static str>;
}

/// An answer with its window and where it comes from.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<A> {
    #[serde(flatten)]
    answer: A,
    since: Time,
    until: Time,
    source: LogSource,
}

impl<A: Drawn> Report for Answer<A> {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.answer.nothing().is_some() { Ok(()) } else { self.answer.draw(page) }
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.answer.rows()
    }

    fn empty_note(&self) -> Option<String> {
        self.answer.nothing().map(str::to_owned)
    }
}

/// Rows of an answer, as values.
fn values<T: Serialize>(rows: &[T]) -> serde_json::Result<Vec<serde_json::Value>> {
    rows.iter().map(serde_json::to_value).collect()
}

/// `3 TIMEOUT_ERROR, 1 AUTH_ERROR`: counts, most frequent first.
pub(super) fn counts<K: std::fmt::Display + Ord>(counts: &std::collections::BTreeMap<K, u64>) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    counts.iter().map(|(key, count)| format!("{count} {key}")).collect::<Vec<_>>().join(", ")
}

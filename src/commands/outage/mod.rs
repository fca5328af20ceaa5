//! Answers during an outage: the admin API's, else its last one, else what log files and the service manager say.
//!
//! Every answer says where it comes from and how old it is. What nobody knows is left out of the data and said on
//! stderr. It ends with 7 unless `--accept-stale` was given.

mod partial;
mod sources;

pub use partial::Partial;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::analysis::span;
use crate::app::{App, Kept, StaleArgs};
use crate::client::Orchestrator;
use crate::commands::arriving;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{Page, Report};
use crate::settings::format_duration;
use crate::wire::{Platform, Time};

/// How long an answer is waited for when there is something to say without it.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that was the orchestrator's own at some time.
#[derive(Debug)]
pub struct Answer<T> {
    /// What it says.
    pub value: T,
    /// When it was given, unless that is now.
    pub as_of: Option<Time>,
}

/// What there is to say.
pub enum Told<T> {
    /// An answer of the orchestrator.
    Whole(Answer<T>),
    /// What others know.
    Partial(Partial),
}

/// What is asked, and how its answer may end.
#[derive(Clone, Debug)]
pub struct Question {
    kept: Kept,
    platform: Option<Platform>,
    stale: StaleArgs,
}

impl Question {
    /// About this.
    pub fn new(kept: Kept, stale: StaleArgs) -> Self {
        Question { kept, platform: None, stale }
    }

    /// Only about one platform.
    #[must_use]
    pub fn only(mut self, platform: Option<Platform>) -> Self {
        self.platform = platform;
        self
    }
}

/// A verb's report, or what others know in its place.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Shown<R> {
    /// The verb's own.
    Whole(R),
    /// What others know.
    Partial(Partial),
}

impl<R: Report> Report for Shown<R> {
    fn draw(&self, page: &mut Page<'_>) -> std::io::Result<()> {
        match self {
            Shown::Whole(report) => report.draw(page),
            Shown::Partial(partial) => partial.draw(page),
        }
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        match self {
            Shown::Whole(report) => report.records(),
            Shown::Partial(partial) => partial.records(),
        }
    }

    fn empty_note(&self) -> Option<String> {
        match self {
            Shown::Whole(report) => report.empty_note(),
            Shown::Partial(_) => None,
        }
    }
}

/// Asks, and makes the answer into the verb's report.
pub async fn look<T, R>(
    app: &App,
    question: &Question,
    ask: impl AsyncFnOnce(&Orchestrator) -> anyhow::Result<T>,
    report: impl FnOnce(T) -> (R, Outcome),
) -> anyhow::Result<(Shown<R>, Outcome)>
where
    T: Serialize + DeserializeOwned,
{
    Ok(match read(app, question, ask).await? {
        Told::Whole(answer) => {
            let (report, outcome) = report(answer.value);
            let outcome = if answer.as_of.is_some() { question.stale.ends(outcome) } else { outcome };
            (Shown::Whole(report), outcome)
        }
        Told::Partial(partial) => (Shown::Partial(partial), question.stale.ends(Outcome::Done)),
    })
}

/// Asks. What an answer is worth that is not the orchestrator's own is the caller's to say.
pub async fn read<T: Serialize + DeserializeOwned>(
    app: &App,
    question: &Question,
    ask: impl AsyncFnOnce(&Orchestrator) -> anyhow::Result<T>,
) -> anyhow::Result<Told<T>> {
    let error = match fresh(app, &question.kept, ask).await {
        Ok(value) => return Ok(Told::Whole(Answer { value, as_of: None })),
        Err(error) => error,
    };
    // While one watches, a silence is a gap.
    if Explained::from_error(&error).kind != Kind::Unreachable || app.is_watching() {
        return Err(error);
    }
    app.killed_sandbox();
    let why = Explained::from_error(&error).message;
    let process = sources::process(app).await;
    if let Some(snapshot) = app.kept::<T>(&question.kept) {
        said(app, &why, &age(app, snapshot.as_of), process.as_deref());
        return Ok(Told::Whole(Answer { value: snapshot.answer, as_of: Some(snapshot.as_of) }));
    }
    if let Some(partial) = sources::others(app, &question.kept, question.platform).await {
        said(app, &why, &partial.source(app.now()), process.as_deref());
        return Ok(Told::Partial(partial));
    }
    let log = sources::last_line(app).await;
    let causes = ["no earlier answer is kept".to_owned()].into_iter().chain(log).chain(process);
    Err(match error.downcast::<Fault>() {
        Ok(fault) => causes.fold(fault, Fault::because).into(),
        Err(error) => error,
    })
}

/// The orchestrator's own answer, which is kept.
pub async fn fresh<T: Serialize>(
    app: &App,
    kept: &Kept,
    ask: impl AsyncFnOnce(&Orchestrator) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let orchestrator = app.orchestrator().await?;
    // Where nothing stands in for it, its answer is worth the whole wait.
    let limit = if app.has_kept(kept) { arriving::limit(app, PATIENCE) } else { app.settings.timeout.value };
    let answer = tokio::time::timeout(limit, ask(orchestrator)).await.map_err(|_| {
        Fault::new(Kind::Unreachable, format!("the orchestrator at {} does not answer", orchestrator.url()))
            .because(format!("timed out after {}", format_duration(limit)))
            .hint(orchestrator.start_hint())
    })??;
    app.keep(kept, &answer);
    Ok(answer)
}

/// `its answer of 2026-11-30T02:00:00.000Z, 3 minutes ago; what changed since is unknown`.
pub fn age(app: &App, as_of: Time) -> String {
    format!("its answer of {as_of}, {} ago; what changed since is unknown", span(app.now().since(as_of)))
}

fn said(app: &App, why: &str, source: &str, process: Option<&str>) {
    app.output.warn(&format!("{why}: this is {source}"));
    if let Some(process) = process {
        app.output.warn(process);
    }
}

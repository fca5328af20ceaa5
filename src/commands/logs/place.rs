//! Where the lines of a log are, and how all of them are read: the file that was named, the context's folder, else the
//! admin API.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::analysis::lines::{Line, Question, take_json};
use crate::app::{App, StaleArgs};
use crate::client::LogRecords;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::logs::files;
use crate::logs::layout::{self, Log};
use crate::logs::query::{Judge, Query};
use crate::logs::scan::Scan;
use crate::logs::{ask, page};
use crate::sandbox;
use crate::settings::{ContextKind, format_duration};
use crate::wire::{LineFilter, LogName, LogRecord, LogSource, Time};

/// Between the moment a question is put and its answer.
const ASKED_WITHIN: Duration = Duration::from_secs(60);

/// How long an orchestrator whose files were read may take to say that it is there.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Where lines come from.
pub(in crate::commands) enum Place {
    /// A log in the context's folder, with its predecessors.
    Files(Log),
    /// A file or a folder that was named.
    Named(Log),
    /// Standard input.
    Input,
    /// The log route.
    Api,
}

/// The file that was named, else the context's folder when it is there, else the admin API.
pub(in crate::commands) async fn find(app: &App, log: LogName, file: Option<&Path>) -> anyhow::Result<Place> {
    match file {
        Some(path) if path == Path::new("-") => return Ok(Place::Input),
        Some(path) if path.is_dir() => {
            let none = || {
                Fault::new(Kind::NotFound, format!("{} has no {log} log", path.display()))
                    .hint("name the file itself with --file")
            };
            return Ok(Place::Named(in_folder(path, log)?.ok_or_else(none)?));
        }
        Some(path) => {
            // Named on purpose, so it has to be there.
            std::fs::metadata(path).map_err(|error| {
                Fault::new(Kind::Failed, format!("cannot read {}", path.display()))
                    .because(error.to_string())
                    .hint("name a file or a folder with --file, or - for standard input")
            })?;
            return Ok(Place::Named(files::family_of(path)?.into()));
        }
        None => {}
    }
    let folder = folder(app).await?.filter(|folder| folder.is_dir());
    let found = folder.map(|folder| in_folder(&folder, log)).transpose()?.flatten();
    Ok(found.map_or(Place::Api, Place::Files))
}

/// The context's log of what happened in workflows and in their rollbacks; `None` where it is not on this machine.
pub(in crate::commands) async fn events(app: &App) -> anyhow::Result<Option<Log>> {
    let Some(folder) = folder(app).await?.filter(|folder| folder.is_dir()) else { return Ok(None) };
    let workflows = in_folder(&folder, LogName::Workflows)?;
    let rollbacks = in_folder(&folder, LogName::Rollbacks)?;
    Ok(match workflows {
        // Both are in the log of everything.
        Some(log) if rollbacks.as_ref() == Some(&log) => Some(log),
        Some(log) => Some(log.with(rollbacks)),
        None => rollbacks,
    })
}

/// Where the context's logs are on this machine, if they are.
pub(in crate::commands) async fn folder(app: &App) -> anyhow::Result<Option<PathBuf>> {
    let context = app.settings.context()?;
    match context.kind {
        ContextKind::Sandbox => of_sandbox(app).await.map(Some),
        _ => Ok(context.logs.directory.clone()),
    }
}

/// The sandbox's log folder. One is started where none runs, as by every read; of one that was killed, what it wrote is
/// read all the same, by its clock.
async fn of_sandbox(app: &App) -> anyhow::Result<PathBuf> {
    let place = sandbox::Place::of(&app.settings.places);
    let logs = place.data().join("logs");
    let Err(error) = app.target().await else { return Ok(logs) };
    match app.killed_sandbox() {
        Some(_) if logs.is_dir() => Ok(logs),
        _ => Err(error),
    }
}

fn in_folder(folder: &Path, log: LogName) -> anyhow::Result<Option<Log>> {
    let read = |log| layout::log(folder, log).with_context(|| format!("cannot read {}", folder.display()));
    // A platform without a log of its own is in the log of everything.
    match read(log)? {
        None if log != LogName::Application => read(LogName::Application),
        found => Ok(found),
    }
}

impl StaleArgs {
    /// How an answer from log files ends. They are read whether the orchestrator answers or not; when it does not, the
    /// person has to know that nothing new comes into them. A file that was named is nobody's.
    pub(in crate::commands) async fn outcome(self, app: &App, place: &Place, source: &LogSource) -> Outcome {
        if !matches!(place, Place::Files(_)) {
            return Outcome::Done;
        }
        let asked = async { app.orchestrator().await?.info().await };
        let why = match tokio::time::timeout(HEARD_WITHIN, asked).await {
            Ok(Err(error)) if Explained::from_error(&error).kind == Kind::Unreachable => {
                Explained::from_error(&error).message
            }
            Ok(_) => return Outcome::Done,
            Err(_) => format!("the orchestrator does not answer within {}", format_duration(HEARD_WITHIN)),
        };
        self.silent(app, &why, source)
    }

    /// How an answer from log files ends when it is known that nobody answers.
    pub(in crate::commands) fn silent(self, app: &App, why: &str, source: &LogSource) -> Outcome {
        let first = source.files.first().map_or("files", String::as_str);
        let newest = source.newest.map(|newest| format!("; its last line is of {newest}")).unwrap_or_default();
        self.left(app, why, &format!("its log {first}{newest}"))
    }

    /// The same for whatever else it left.
    pub(super) fn left(self, app: &App, why: &str, what: &str) -> Outcome {
        app.output.warn(&format!("{why}: this is from {what}"));
        self.ends(Outcome::Done)
    }
}

/// The fault of an orchestrator that does not answer, with where its files would have been.
pub(in crate::commands) fn no_files(app: &App, error: anyhow::Error) -> anyhow::Error {
    let Ok(context) = app.settings.context() else { return error };
    if Explained::from_error(&error).kind != Kind::Unreachable {
        return error;
    }
    let because = match &context.logs.directory {
        Some(folder) => format!("and no log of it is in {}", folder.display()),
        None => format!("and the context `{}` does not say where its log files are", context.name),
    };
    self::because(error, because)
}

/// A fault with one more reason.
pub(super) fn because(error: anyhow::Error, because: String) -> anyhow::Error {
    match error.downcast::<Fault>() {
        Ok(fault) => fault.because(because).into(),
        Err(error) => error,
    }
}

/// Puts a question to every line that fits; `filter.limit` does not count. Gives what was read with it.
pub(in crate::commands) async fn ask_all<Q: Question + Send + 'static>(
    app: &App,
    place: &Place,
    log: LogName,
    filter: &LineFilter,
    question: Q,
) -> anyhow::Result<(Q, LogSource)> {
    let query = Query::try_from(filter).map_err(|bad| anyhow::anyhow!("a condition cannot be read: {bad}"))?;
    let (question, source) = match place {
        Place::Files(log) | Place::Named(log) => {
            let log = log.clone();
            tokio::task::spawn_blocking(move || of_files(&log, &query, question)).await?
        }
        Place::Input => tokio::task::spawn_blocking(move || of_input(&query, question)).await??,
        Place::Api => of_api(app, log, filter, question).await?,
    };
    ensure_read(app, &source)?;
    Ok((question, source))
}

/// Names the files that could not be read; when there is no other, that is a failure.
pub(super) fn ensure_read(app: &App, source: &LogSource) -> Result<(), Fault> {
    for (path, why) in &source.unread_files {
        app.output.warn(&format!("{path} could not be read: {why}"));
    }
    if source.files.is_empty() && !source.unread_files.is_empty() {
        return Err(Fault::new(Kind::Failed, "none of the log's files could be read").hint("look at their permissions"));
    }
    Ok(())
}

fn of_files<Q: Question>(log: &Log, query: &Query, mut question: Q) -> (Q, LogSource) {
    let sources = ask::each(log, query, Q::KEYS, &mut |places, found| {
        let value = |key: &str| {
            let at = Q::KEYS.iter().position(|known| *known == key)?;
            found.values.get(*places.get(at)?).copied().flatten().map(|value| value.plain())
        };
        question.take(&Line { at: found.time(), value: &value });
        ControlFlow::Continue(())
    });
    let source = page::source(log, &sources);
    (question, source)
}

fn of_input<Q: Question>(query: &Query, mut question: Q) -> io::Result<(Q, LogSource)> {
    let mut scan = Scan::new(Judge::new(query, Q::KEYS), query.since, query.until, &[]);
    let places: Vec<Option<usize>> = Q::KEYS.iter().map(|key| scan.place(key)).collect();
    let mut oldest = None::<Time>;
    scan.stream(io::stdin(), &mut |found| {
        let value = |key: &str| {
            let at = Q::KEYS.iter().position(|known| *known == key)?;
            found.values.get(places[at]?).copied().flatten().map(|value| value.plain())
        };
        let at = found.time();
        oldest = oldest.min(at).or(at);
        question.take(&Line { at, value: &value });
        ControlFlow::Continue(())
    })?;
    Ok((question, LogSource { oldest, ..page::source_of_stream("standard input", scan.account) }))
}

/// The log route's answer as it comes, with where files would have been if nobody answers.
pub(super) async fn records<'a>(app: &'a App, log: LogName, filter: &LineFilter) -> anyhow::Result<LogRecords<'a>> {
    let orchestrator = app.orchestrator().await?;
    orchestrator.log_stream(log, filter).await.map_err(|error| no_files(app, error))
}

async fn of_api<Q: Question>(
    app: &App,
    log: LogName,
    filter: &LineFilter,
    mut question: Q,
) -> anyhow::Result<(Q, LogSource)> {
    let mut records = records(app, log, filter).await?;
    loop {
        match records.next().await? {
            LogRecord::Line { line } => take_json(&mut question, &line),
            LogRecord::End { source } => return Ok((question, source)),
        }
    }
}

/// `from application.log and 2 older; 3 lines could not be read`: what was read, for the person.
pub(in crate::commands) fn told(source: &LogSource, place: &Place, filter: &LineFilter, now: Time) -> String {
    let first = source.files.first().map_or("no file", String::as_str);
    let others = source.files.iter().skip(1);
    let (older, beside): (Vec<_>, Vec<_>) = others.partition(|other| files::stem(other) == files::stem(first));
    let mut text = match place {
        Place::Api => format!("from the service's {first}"),
        _ => format!("from {first}"),
    };
    if !older.is_empty() {
        text.push_str(&format!(" and {} older", older.len()));
    }
    if !beside.is_empty() {
        text.push_str(&format!(" and {} beside it", beside.len()));
    }
    if let Some(newest) = source.newest {
        let age = Duration::from_secs(now.since(newest).as_secs());
        text.push_str(&format!(", last written {} ago", format_duration(age)));
    }
    text.push_str(&filter.since.map(|t| format!(", since {t}")).unwrap_or_default());
    // A question that goes up to now does not say so.
    let until = filter.until.filter(|until| now.since(*until) > ASKED_WITHIN || *until > now);
    text.push_str(&until.map(|t| format!(", until {t}")).unwrap_or_default());
    if let (Some(oldest), Some(since)) = (source.oldest, filter.since)
        && oldest > since
    {
        text.push_str(&format!("; the log begins at {oldest}"));
    }
    if source.truncated && filter.limit > 0 {
        text.push_str(&format!("; the newest {}, older ones match too (--limit)", filter.limit));
    }
    if source.unreadable > 0 {
        text.push_str(&format!("; {} of the lines looked at could not be read", source.unreadable));
    }
    if source.undated > 0 {
        text.push_str(&format!("; {} have no time", source.undated));
    }
    if source.disorder {
        text.push_str("; they are out of order in time, so all were looked through");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_where_it_comes_from() {
        let source = LogSource {
            files: vec!["application.log".into(), "application.log.1".into()],
            unreadable: 3,
            truncated: true,
            oldest: Some(Time(1000)),
            newest: Some(Time(30_000)),
            ..LogSource::default()
        };
        let filter = LineFilter { limit: 20, since: Some(Time(0)), ..LineFilter::default() };
        assert_eq!(
            told(&source, &Place::Api, &filter, Time(90_500)),
            "from the service's application.log and 1 older, last written 1m ago, since 1970-01-01T00:00:00.000Z; the \
             log begins at 1970-01-01T00:00:01.000Z; the newest 20, older ones match too (--limit); 3 of the lines \
             looked at could not be read"
        );
    }
}

//! Where the lines of a log are, and how all of them are read: the file that was named, the context's folder, else the
//! admin API.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;

use crate::analysis::lines::{Line, Question, take_json};
use crate::app::App;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::logs::files::{self, Family};
use crate::logs::query::{Judge, Query};
use crate::logs::scan::{Account, Scan};
use crate::logs::{ask, page};
use crate::sandbox;
use crate::settings::{ContextKind, format_duration};
use crate::wire::{LineFilter, LogName, LogSource, Time};

/// Lines that one call of the log route gives at most.
const PAGE: u64 = 10_000;
/// Lines that are asked of the log route at most; where the files are, all of them are read.
const ASKED_MAX: usize = 500_000;

/// How long an orchestrator whose files were read may take to say that it is there.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// Where lines come from.
pub(in crate::commands) enum Place {
    /// A log in the context's folder, with its predecessors.
    Files(Family),
    /// A file or a folder that was named.
    Named(Family),
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
            std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
            return Ok(Place::Named(files::family_of(path)?));
        }
        None => {}
    }
    let folder = folder(app).await?.filter(|folder| folder.is_dir());
    let family = folder.map(|folder| in_folder(&folder, log)).transpose()?.flatten();
    Ok(family.map_or(Place::Api, Place::Files))
}

/// Where the context's logs are on this machine, if they are.
async fn folder(app: &App) -> anyhow::Result<Option<PathBuf>> {
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
    let record = sandbox::Record::read(&place).ok().flatten();
    let record = record.filter(|record| record.is_broken() && logs.is_dir()).ok_or(error)?;
    app.clock.set_offset_ms(record.clock_offset_ms);
    Ok(logs)
}

fn in_folder(folder: &Path, log: LogName) -> anyhow::Result<Option<Family>> {
    let read = |log| page::family(folder, log).with_context(|| format!("cannot read {}", folder.display()));
    // A platform without a log of its own is in the log of everything.
    match read(log)? {
        None if log != LogName::Application => read(LogName::Application),
        found => Ok(found),
    }
}

/// `--accept-stale`, of verbs that can answer from the orchestrator's files.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::commands) struct StaleArgs {
    /// End with 0 also when the orchestrator is silent
    #[arg(long)]
    accept_stale: bool,
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
        app.output.warn(&format!("{why}: this is from its log {first}{newest}"));
        if self.accept_stale { Outcome::Done } else { Outcome::Unreachable }
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
        Place::Files(family) | Place::Named(family) => {
            let family = family.clone();
            tokio::task::spawn_blocking(move || of_files(&family, &query, question)).await?
        }
        Place::Input => tokio::task::spawn_blocking(move || of_input(&query, question)).await??,
        Place::Api => of_api(app, log, filter, question).await.map_err(|error| no_files(app, error))?,
    };
    for (path, why) in &source.unread_files {
        app.output.warn(&format!("{path} could not be read: {why}"));
    }
    if source.files.is_empty() && !source.unread_files.is_empty() {
        return Err(Fault::new(Kind::Failed, "none of the log's files could be read")
            .hint("look at their permissions")
            .into());
    }
    Ok((question, source))
}

fn of_files<Q: Question>(family: &Family, query: &Query, mut question: Q) -> (Q, LogSource) {
    let sources = ask::each(family, query, Q::KEYS, &mut |places, found| {
        let value = |key: &str| {
            let at = Q::KEYS.iter().position(|known| *known == key)?;
            found.values.get(*places.get(at)?).copied().flatten().map(|value| value.plain())
        };
        question.take(&Line { at: found.time(), value: &value });
        ControlFlow::Continue(())
    });
    let source = page::source(family, &sources);
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
    let Account { unreadable, undated, disorder, .. } = scan.account;
    let files = vec!["standard input".to_owned()];
    Ok((question, LogSource { files, unreadable, undated, disorder, oldest, ..LogSource::default() }))
}

/// Page by page, the newest first. Lines of the moment where one page ends and the next begins come with both, and are
/// put to the question once.
async fn of_api<Q: Question>(
    app: &App,
    log: LogName,
    filter: &LineFilter,
    mut question: Q,
) -> anyhow::Result<(Q, LogSource)> {
    let orchestrator = app.orchestrator().await?;
    let mut filter = LineFilter { limit: PAGE, ..filter.clone() };
    let mut source: Option<LogSource> = None;
    let (mut asked, mut seen_at_edge) = (0, Vec::new());
    loop {
        let page = orchestrator.log_lines(log, &filter).await?;
        let edge = page.lines.iter().find_map(time_of);
        let fresh = page.lines.iter().filter(|line| !seen_at_edge.contains(*line));
        fresh.for_each(|line| take_json(&mut question, line));
        asked += page.lines.len();
        let more = page.source.truncated;
        let known = source.get_or_insert_with(|| page.source.clone());
        (known.truncated, known.oldest) = (more, page.source.oldest.or(known.oldest));
        let next = edge.map(|edge| Time(edge.0 + 1)).filter(|next| Some(*next) != filter.until);
        if !more || asked >= ASKED_MAX || next.is_none() {
            break;
        }
        seen_at_edge = page.lines.into_iter().take_while(|line| time_of(line) == edge).collect();
        filter.until = next;
    }
    let mut source = source.unwrap_or_default();
    if source.truncated {
        // What came is all that is known.
        source.oldest = filter.until;
    }
    Ok((question, source))
}

fn time_of(line: &serde_json::Value) -> Option<Time> {
    line.get("timestamp")?.as_str()?.parse().ok()
}

/// `from application.log and 2 older; 3 lines could not be read`: what was read, for the person.
pub(in crate::commands) fn told(source: &LogSource, place: &Place, filter: &LineFilter, now: Time) -> String {
    let mut files = source.files.iter();
    let first = files.next().map_or_else(|| "no file".to_owned(), Clone::clone);
    let older = files.count();
    let mut text = match place {
        Place::Api => format!("from the service's {first}"),
        _ => format!("from {first}"),
    };
    if older > 0 {
        text.push_str(&format!(" and {older} older"));
    }
    if let Some(newest) = source.newest {
        let age = Duration::from_secs(now.since(newest).as_secs());
        text.push_str(&format!(", last written {} ago", format_duration(age)));
    }
    text.push_str(&filter.since.map(|t| format!(", since {t}")).unwrap_or_default());
    text.push_str(&filter.until.map(|t| format!(", until {t}")).unwrap_or_default());
    if let (Some(oldest), Some(since)) = (source.oldest, filter.since)
        && oldest > since
    {
        text.push_str(&format!("; the log begins at {oldest}"));
    }
    if source.truncated && filter.limit > 0 {
        text.push_str(&format!("; the newest {}, older ones match too (--limit)", filter.limit));
    } else if source.truncated {
        text.push_str("; older lines were left out: read the files themselves with --file");
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

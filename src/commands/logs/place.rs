//! Where the lines of a log are, and how all of them are read: the file that was named, the context's folder, else the
//! admin API.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context as _;

use crate::analysis::lines::{Line, Question, take_json};
use crate::app::App;
use crate::error::{Fault, Kind};
use crate::logs::files::{self, Family};
use crate::logs::query::{Judge, Query};
use crate::logs::scan::{Account, Scan};
use crate::logs::{ask, page};
use crate::settings::ContextKind;
use crate::wire::{LineFilter, LogName, LogSource, Time};

/// Lines that one call of the log route gives at most.
const PAGE: u64 = 10_000;
/// Lines that are asked of the log route at most; where the files are, all of them are read.
const ASKED_MAX: usize = 500_000;

/// Where lines come from.
pub(in crate::commands) enum Place {
    /// A log with its predecessors.
    Files(Family),
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
            return Ok(in_folder(path, log)?.ok_or_else(none)?);
        }
        Some(path) => {
            // Named on purpose, so it has to be there.
            std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
            return Ok(Place::Files(files::family_of(path)?));
        }
        None => {}
    }
    let context = app.settings.context()?;
    let folder = match context.kind {
        ContextKind::Sandbox => {
            // Starts one where none runs, as every read does.
            app.target().await?;
            Some(crate::sandbox::Place::of(&app.settings.places).data().join("logs"))
        }
        _ => context.logs.directory.clone(),
    };
    match folder.filter(|folder| folder.is_dir()) {
        Some(folder) => Ok(in_folder(&folder, log)?.unwrap_or(Place::Api)),
        None => Ok(Place::Api),
    }
}

fn in_folder(folder: &Path, log: LogName) -> anyhow::Result<Option<Place>> {
    let read = |log| page::family(folder, log).with_context(|| format!("cannot read {}", folder.display()));
    // A platform without a log of its own is in the log of everything.
    let family = match read(log)? {
        None if log != LogName::Application => read(LogName::Application)?,
        found => found,
    };
    Ok(family.map(Place::Files))
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
        Place::Files(family) => {
            let family = family.clone();
            tokio::task::spawn_blocking(move || of_files(&family, &query, question)).await?
        }
        Place::Input => tokio::task::spawn_blocking(move || of_input(&query, question)).await??,
        Place::Api => of_api(app, log, filter, question).await?,
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
    let source = LogSource { oldest: ask::oldest(family), ..page::source(&sources) };
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
pub(in crate::commands) fn told(source: &LogSource, place: &Place, filter: &LineFilter) -> String {
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
            ..LogSource::default()
        };
        let filter = LineFilter { limit: 20, since: Some(Time(0)), ..LineFilter::default() };
        assert_eq!(
            told(&source, &Place::Api, &filter),
            "from the service's application.log and 1 older, since 1970-01-01T00:00:00.000Z; the log begins at \
             1970-01-01T00:00:01.000Z; the newest 20, older ones match too (--limit); 3 of the lines looked at could \
             not be read"
        );
    }
}

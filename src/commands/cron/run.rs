//! `opsctl cron run`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::aliases::{self, Class};
use crate::analysis::jobs::{Job, Run};
use crate::analysis::span;
use crate::app::App;
use crate::child::{self, Ended};
use crate::commands::arriving;
use crate::cron::{EFFECTS_FILE, Ledger};
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::files::{remove_if_there, write_whole};
use crate::guard::{Lease, operator};
use crate::notify::Ping;
use crate::settings::parse_duration;
use crate::wire::Time;

/// When a job is ended unless `--timeout` or its like says otherwise.
const LIMIT: Duration = Duration::from_secs(600);
/// Longest name of a job.
const NAME: usize = 64;

/// Run an opsctl command as a job of a schedule
///
/// One at a time: while it runs, another of the same name ends with 6. At --timeout (10m) it is ended with everything
/// it started, and 7 says so. It has no terminal to ask on. Its exit code is passed on; what it says is shown when there is
/// news (another exit code than the last time, or something changed) and with -v, and is always in its log in the state
/// directory. `opsctl check jobs` finds jobs that are late, fail, or succeed and change nothing.
///
/// Example: opsctl cron run cleanup --every 25h -- notion remove-duplicates --database ID --yes
#[derive(Args, Debug)]
pub struct RunArgs {
    /// What the job is called: letters, digits, dashes
    #[arg(value_parser = parse_name)]
    name: String,

    /// The longest from one start to the next, for `check jobs`
    #[arg(long, value_name = "DURATION", value_parser = parse_every)]
    every: Option<Duration>,

    /// Tell a heartbeat service: start, exit code, log
    #[arg(long, value_name = "URL")]
    ping: Option<Ping>,

    /// The command after `--`: -- check alerts
    #[arg(value_name = "COMMAND", last = true, required = true)]
    words: Vec<OsString>,
}

fn parse_name(text: &str) -> Result<String, Fault> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    match !text.is_empty() && text.len() <= NAME && text.chars().all(fits) && !text.starts_with('-') {
        true => Ok(text.to_owned()),
        false => Err(Fault::usage(format!("`{text}` is no name for a job"))
            .because(format!("it names files: letters, digits and dashes, at most {NAME}"))
            .hint("opsctl cron run daily -- maintenance daily")),
    }
}

fn parse_every(text: &str) -> Result<Duration, Fault> {
    match parse_duration(text)? {
        length if length.is_zero() => Err(Fault::usage("a job that is always due").hint("write 5m or 25h")),
        length => Ok(length),
    }
}

impl RunArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let program = OsString::from("opsctl");
        let typed: Vec<OsString> = std::iter::once(program).chain(self.words.iter().cloned()).collect();
        crate::cli::check(&typed)?;
        let rewritten = aliases::rewrite(typed);
        let class = aliases::class_of(&rewritten);
        let shown = self.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let shown = app.output.redactor.redact(&shown).into_owned();
        let limit = arriving::limit(app, LIMIT);
        let _lease = self.lock(app, &shown)?;
        let run_id = uuid::Uuid::now_v7().to_string();
        if let Some(ping) = &self.ping {
            app.output.redactor.add(&[ping.secret()]);
            if let Err(why) = ping.start(&run_id).await {
                app.output.warn(&format!("the heartbeat service was not told of the start: {why}"));
            }
        }
        let ledger = Ledger::of(app);
        let effects = ledger.effects(&self.name);
        let counted = write_whole(&effects, b"", true);
        let (at, began) = (app.now(), Instant::now());
        let context = OsString::from(&app.settings.context_name.value);
        let more = [("OPSCTL_CONTEXT", context), (EFFECTS_FILE, effects.clone().into_os_string())];
        let ended = child::run(&self.words, &more, limit).await?;
        let run = Run {
            at,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            code: ended.code,
            timed_out: ended.timed_out,
            effects: counted.map_or(0, |()| sum(&effects)),
        };
        let _ = remove_if_there(&effects);
        let before = ledger.job(&self.name).ok().flatten().and_then(|job| job.runs.last().cloned());
        let every_ms = self.every.and_then(|every| u64::try_from(every.as_millis()).ok());
        let changes = matches!(class, Some(Class::M1 | Class::M2 | Class::M3));
        let job = Job { line: shown.clone(), every_ms, since: at, changes, runs: Vec::new() };
        if let Err(error) = ledger.add(&self.name, job, run.clone()) {
            app.output.warn(&format!("`check jobs` does not hear of this run: {error:#}"));
        }
        let log = log(&run, &shown, &ended);
        if let Err(error) = ledger.write_log(&self.name, &app.output.redactor.redact(&log)) {
            app.output.warn(&format!("the log was not written: {error:#}"));
        }
        if let Some(ping) = &self.ping
            && let Err(why) = ping.end(&run_id, status(&run), &app.output.redactor.redact(&log)).await
        {
            app.output.warn(&format!("the heartbeat service was not told of the end: {why}"));
        }
        if app.is_verbose() || is_news(before.as_ref(), &run) {
            app.output.say(&ended.stderr);
            app.output.write(&ended.stdout)?;
        }
        self.outcome(&run, limit, &ledger)
    }

    fn lock(&self, app: &App, shown: &str) -> anyhow::Result<Lease> {
        let subject = format!("job {} in {}", self.name, app.settings.context_name.value);
        let who = operator(&app.settings.env);
        Lease::take(&app.settings.places, &subject, shown, &who, app.now()).map_err(|error| {
            let why = Explained::from_error(&error);
            if why.kind != Kind::Conflict {
                return error.context(format!("cannot lock the job {}", self.name));
            }
            let fault = Fault::new(Kind::Conflict, format!("the job {} is still running", self.name));
            why.causes
                .into_iter()
                .fold(fault, Fault::because)
                .hint("give it a --timeout shorter than its interval")
                .into()
        })
    }

    fn outcome(&self, run: &Run, limit: Duration, ledger: &Ledger) -> anyhow::Result<Outcome> {
        let log = ledger.log(&self.name);
        if run.timed_out {
            return Err(Fault::new(Kind::Unreachable, format!("the job {} was ended", self.name))
                .because(format!("it had not ended by itself after {}", span(limit)))
                .hint(format!("what it said is in {}", log.display()))
                .into());
        }
        match run.code {
            Some(0) => Ok(Outcome::Done),
            Some(code) => Ok(Outcome::Code(code)),
            None => Err(Fault::new(Kind::Failed, format!("the job {} was killed", self.name))
                .because("a signal ended it")
                .hint(format!("what it said is in {}", log.display()))
                .into()),
        }
    }
}

/// What a heartbeat service is told.
fn status(run: &Run) -> u8 {
    match run.code {
        _ if run.timed_out => Kind::Unreachable.exit_code(),
        Some(code) => code,
        None => Kind::Failed.exit_code(),
    }
}

/// Whether somebody should read what it said.
fn is_news(before: Option<&Run>, run: &Run) -> bool {
    let same = match before {
        Some(before) => (before.code, before.timed_out) == (run.code, run.timed_out),
        None => run.code == Some(0),
    };
    !same || run.effects > 0
}

/// What was counted while it ran.
fn sum(effects: &std::path::Path) -> u64 {
    let text = std::fs::read_to_string(effects).unwrap_or_default();
    text.lines().filter_map(|line| line.parse::<u64>().ok()).sum()
}

fn log(run: &Run, shown: &str, ended: &Ended) -> String {
    let how = match run.code {
        _ if run.timed_out => "ended at its limit".to_owned(),
        Some(code) => format!("exit {code}"),
        None => "killed".to_owned(),
    };
    let took = span(Duration::from_millis(run.took_ms));
    let changed = if run.effects > 0 { format!(", {} changed", run.effects) } else { String::new() };
    let until = run.at + Duration::from_millis(run.took_ms);
    let line = |at: Time, text: String| format!("==== {at} {text}\n");
    let mut text = line(run.at, format!("opsctl {shown}"));
    for part in [&ended.stderr, &ended.stdout] {
        text.push_str(part);
        if !part.is_empty() && !part.ends_with('\n') {
            text.push('\n');
        }
    }
    text.push_str(&line(until, format!("{how} after {took}{changed}")));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(code: Option<u8>, effects: u64) -> Run {
        Run { at: Time(0), took_ms: 0, code, timed_out: false, effects }
    }

    #[test]
    fn news_is_another_end_or_an_effect() {
        assert!(!is_news(None, &run(Some(0), 0)) && is_news(None, &run(Some(3), 0)));
        let finding = run(Some(3), 0);
        assert!(!is_news(Some(&finding), &finding) && is_news(Some(&finding), &run(Some(0), 0)));
        assert!(is_news(Some(&run(Some(0), 0)), &run(Some(0), 1)));
        let hung = Run { timed_out: true, ..run(None, 0) };
        assert!(is_news(Some(&run(None, 0)), &hung));
    }

    #[test]
    fn a_job_has_a_plain_name() {
        assert!(parse_name("daily-2").is_ok());
        for bad in ["", "../x", "a b", "-x", &"x".repeat(65)] {
            assert!(parse_name(bad).unwrap_err().hint.is_some(), "{bad}");
        }
        assert!(parse_every("0s").is_err() && parse_every("5").is_err());
    }
}

//! `opsctl system`: one screen about everything.

use std::collections::BTreeMap;
use std::io;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::Value;

use crate::alerts::{Ack, Book, Quiet, moment, splits};
use crate::analysis::alerts::rule;
use crate::analysis::span;
use crate::analysis::system::{Finding, next_command};
use crate::app::{App, Kept, StaleArgs, WatchArgs};
use crate::error::Outcome;
use crate::output::{Page, Report, Table, Tone, percent};
use crate::wire::{HostStatus, ServiceInfo, Severity, Support, SystemStatus, Time};

use super::check::overall_word;
use super::outage::{self, Answer, Question, Shown, Told};
use super::text;

/// The whole orchestrator on one screen.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Status(StatusArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Status(args) => status(app, args).await,
        }
    }
}

/// Show everything that matters, worst first
///
/// Lockdown, pauses with their owner, open circuits, stuck and failed items, overrides with their end, the top three
/// errors of the last hour, settings that wait for a restart, and alerts that are kept quiet on this machine, each with
/// the command that helps and the runbook's section; then queue, parts and host. The last line is the one command to
/// type next. While the orchestrator is silent, its last answer is shown, or what its log and what runs it say, with its
/// age; that ends with 7.
///
/// Example: opsctl system status --watch=5s
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

async fn status(app: &App, args: StatusArgs) -> anyhow::Result<Outcome> {
    let question = Question::new(Kept::System, args.stale);
    app.watch(&args.watch, || async {
        Ok(match outage::read(app, &question, async |api| api.system().await).await? {
            Told::Partial(partial) => (Shown::Partial(partial), args.stale.ends(Outcome::Done)),
            Told::Whole(Answer { value, as_of: None }) => (Shown::Whole(Screen::now(app, value)?), Outcome::Done),
            Told::Whole(Answer { value, as_of: Some(at) }) => {
                let screen =
                    if args.stale.accept_stale { Screen::now(app, value)? } else { Screen::of(app, value, at)? };
                (Shown::Whole(screen), args.stale.ends(Outcome::Done))
            }
        })
    })
    .await
}

/// In JSON the API's own answer, and the alerts that are kept quiet on this machine. An earlier one has no verdict: how
/// it is now is not known.
#[derive(Serialize)]
#[serde(transparent)]
struct Screen {
    json: Value,
    #[serde(skip)]
    status: SystemStatus,
    #[serde(skip)]
    as_of: Option<Time>,
    #[serde(skip)]
    silences: BTreeMap<String, Quiet>,
    #[serde(skip)]
    acknowledged: BTreeMap<String, Quiet>,
}

impl Screen {
    fn now(app: &App, status: SystemStatus) -> serde_json::Result<Self> {
        // What this machine keeps quiet is worth knowing, and no reason not to show the rest.
        let mut book = Book::read(app).unwrap_or_default();
        book.forget_quiet(&moment(app));
        let quiet = |all: &BTreeMap<String, Ack>| all.iter().map(|(name, ack)| (name.clone(), ack.quiet())).collect();
        let (silences, acknowledged): (BTreeMap<_, _>, BTreeMap<_, _>) = (quiet(&book.silences), quiet(&book.acks));
        let mut json = serde_json::to_value(&status)?;
        if let Value::Object(fields) = &mut json {
            for (name, quiet) in [("silences", &silences), ("acknowledged", &acknowledged)] {
                if !quiet.is_empty() {
                    fields.insert(name.to_owned(), serde_json::to_value(quiet)?);
                }
            }
        }
        Ok(Screen { json, status, as_of: None, silences, acknowledged })
    }

    fn of(app: &App, status: SystemStatus, at: Time) -> serde_json::Result<Self> {
        let mut screen = Screen { as_of: Some(at), ..Screen::now(app, status)? };
        if let Value::Object(fields) = &mut screen.json {
            fields.remove("overall");
        }
        Ok(screen)
    }

    /// Alerts that somebody keeps quiet or is at.
    fn quiet(&self) -> Vec<Finding> {
        let now = self.status.service.now;
        let finding = |name: &String, quiet: &Quiet, what: &str, next: Option<String>| {
            let why = quiet.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let left = span(quiet.until.since(now));
            let text = format!("alert {name} is {what} by {} for another {left}{why}", quiet.by);
            let runbook = rule(splits(name).0).and_then(|rule| rule.section);
            Finding { severity: Severity::Info, text, next, runbook }
        };
        let silenced = self
            .silences
            .iter()
            .map(|(name, quiet)| finding(name, quiet, "silenced", Some(format!("opsctl alerts unsilence {name}"))));
        let acknowledged = self.acknowledged.iter().map(|(name, quiet)| finding(name, quiet, "acknowledged", None));
        silenced.chain(acknowledged).collect()
    }
}

impl Report for Screen {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let status = &self.status;
        let service = &status.service;
        let mut found = next_command(status, service.now);
        found.findings.extend(self.quiet());
        match self.as_of {
            None => page.pair("Overall", overall_word(status.overall))?,
            Some(at) => {
                page.pair("Overall", "UNKNOWN")?;
                page.pair("Last answer", format_args!("{at}: {}", overall_word(status.overall)))?;
            }
        }
        let up = span(service.now.since(service.started_at));
        page.pair("Service", format_args!("{} {}, {}, up {up}", service.name, service.version, service.environment))?;
        findings(page, &found.findings)?;
        figures(page, status)?;
        capabilities(page, &status.service)?;
        // What to type while nobody answers stands in the hints of what is typed.
        if let Some(command) = found.next.as_ref().filter(|_| self.as_of.is_none()) {
            let command = page.paint(command, Tone::Strong);
            page.blank()?;
            page.line(format_args!("next: {command}"))?;
        }
        Ok(())
    }
}

fn findings(page: &mut Page<'_>, findings: &[Finding]) -> io::Result<()> {
    page.blank()?;
    if findings.is_empty() {
        return page.line("Nothing to do.");
    }
    let mut table = Table::new(&["STATUS", "WHAT", "COMMAND", "RUNBOOK"]);
    for finding in findings {
        let word = match finding.severity {
            Severity::Error => "FAIL",
            Severity::Warning => "WARN",
            Severity::Info => "INFO",
        };
        let section = finding.runbook.map(|section| section.to_string()).unwrap_or_default();
        table.row([word, &finding.text, finding.next.as_deref().unwrap_or_default(), &section]);
    }
    page.table(&table)
}

/// What the engine can do, when it is not our own, which can do everything.
fn capabilities(page: &mut Page<'_>, service: &ServiceInfo) -> io::Result<()> {
    if service.capabilities.values().all(|capability| capability.support == Support::Native) {
        return Ok(());
    }
    let mut table = Table::new(&["CAPABILITY", "SUPPORT", "CAVEAT"]);
    for (name, capability) in &service.capabilities {
        let word = match capability.support {
            Support::Contract => "by contract",
            Support::Unavailable => "not available",
            Support::Native | Support::Emulated => capability.support.as_str(),
        };
        table.row([name, word, capability.caveat.as_deref().unwrap_or_default()]);
    }
    page.blank()?;
    page.pair("Engine", &service.engine)?;
    page.table(&table)
}

fn figures(page: &mut Page<'_>, status: &SystemStatus) -> io::Result<()> {
    let now = status.service.now;
    let by = status.queue.by_priority;
    let oldest = status.oldest_queued.map(|t| format!(", the oldest for {}", span(now.since(t)))).unwrap_or_default();
    let queued = text::count(status.queue.total_queued);
    page.blank()?;
    page.pair(
        "Queue",
        format_args!(
            "{queued} waiting (critical {}, high {}, normal {}, low {}){oldest}",
            by.critical, by.high, by.normal, by.low
        ),
    )?;
    match status.workers {
        Some(all) => page.pair("Workers", format_args!("{} of {all} busy", status.workers_busy))?,
        None => page.pair("Executing", text::count(status.workers_busy))?,
    }
    let parts: Vec<_> = status.components.iter().map(|c| format!("{} {}", c.component, c.state)).collect();
    page.pair("Parts", parts.join(", "))?;
    page.pair("Host", host(&status.host))
}

/// What the host says of itself; what it cannot read is UNKNOWN.
fn host(host: &HostStatus) -> String {
    let used = |rate: Option<f64>| rate.map_or("UNKNOWN".to_owned(), percent);
    let mut words = format!("{}: disk {} used", host.hostname, used(host.disk_used));
    if let Some(free) = host.disk_free_bytes {
        words.push_str(&format!(" ({} free)", text::bytes(free)));
    }
    words.push_str(&format!(", memory {} used", used(host.memory_used)));
    if let Some(rss) = host.process_rss_bytes {
        words.push_str(&format!(", service {}", text::bytes(rss)));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_cannot_be_read_is_unknown() {
        let blind = HostStatus { hostname: "web-1".into(), ..HostStatus::default() };
        assert_eq!(host(&blind), "web-1: disk UNKNOWN used, memory UNKNOWN used");
        let seen = HostStatus {
            disk_used: Some(0.82),
            disk_free_bytes: Some(3 << 30),
            memory_used: Some(0.65),
            process_rss_bytes: Some(31 << 20),
            ..blind
        };
        assert_eq!(host(&seen), "web-1: disk 82.0% used (3.0 GiB free), memory 65.0% used, service 31.0 MiB");
    }
}

//! `opsctl security audit`.

use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::analysis::audit::{Audited, RULES, audited};
use crate::analysis::suspicious::Suspicious;
use crate::app::App;
use crate::commands::args::SinceArgs;
use crate::commands::{logs, text};
use crate::error::{Explained, Outcome};
use crate::output::{Page, Report, Table};
use crate::settings::Since;
use crate::wire::{Time, TokenInfo};

/// Most records that are asked for.
const RECORDS: u64 = 10_000;
/// Lines of what was done that a table shows.
const SHOWN: usize = 20;
/// The window unless told.
const WINDOW: Duration = Duration::from_secs(7 * 86_400);

/// Show who changed what, who was refused, which tokens were used, and what is suspicious
///
/// From the service's audit log, its tokens, its security log and this machine's journal, over the last 7 days unless
/// told. What the rules find comes first. `opsctl history verify` compares the journal with the audit log line by line.
///
/// Example: opsctl security audit --since 7d
#[derive(Args, Debug)]
pub struct AuditArgs {
    #[command(flatten)]
    since: SinceArgs,
}

impl AuditArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let orchestrator = app.orchestrator().await?;
        let since = match self.since.resolve(app)? {
            Some(since) => since,
            None => Since::ago(WINDOW).resolve_here(app.now())?,
        };
        let log = orchestrator.audit(Some(since), None, RECORDS).await?;
        let mut unknown = Vec::new();
        if log.records.len() as u64 == RECORDS {
            let oldest = log.records.last().map_or(since, |r| r.at);
            unknown.push(format!("the audit log has more than {RECORDS} records: nothing before {oldest} is in this"));
        }
        let mut take = |what: &str, error: &anyhow::Error| {
            unknown.push(format!("{what}: {}", Explained::from_error(error).message));
        };
        let tokens = match orchestrator.tokens().await {
            Ok(list) => list.tokens,
            Err(error) => {
                take("the tokens are not known", &error);
                Vec::new()
            }
        };
        let security_log = match logs::suspicious(app, since).await {
            Ok(found) => Some(found),
            Err(error) => {
                take("the security log was not read", &error);
                None
            }
        };
        let context = &app.settings.context_name.value;
        let here = match app.receipts.since(Some(since)).and_then(|all| all.collect::<anyhow::Result<Vec<_>>>()) {
            Ok(all) => all.iter().filter(|receipt| receipt.context == *context).count(),
            Err(error) => {
                take("this machine's journal was not read", &error);
                0
            }
        };
        let used = |t: &TokenInfo| t.last_used_at.is_some_and(|at| at >= since);
        let report = Access {
            since,
            audit: audited(&log.records),
            tokens_used: tokens.into_iter().filter(used).collect(),
            security_log,
            changes_from_this_machine: here as u64,
            unknown,
        };
        app.emit(&report)?;
        app.note("next: opsctl logs security --suspicious; compare journal and audit log: opsctl history verify");
        Ok(Outcome::Done)
    }
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    since: Time,
    #[serde(flatten)]
    audit: Audited,
    tokens_used: Vec<TokenInfo>,
    /// What the rules over the security log find; absent when it could not be read.
    security_log: Option<Suspicious>,
    changes_from_this_machine: u64,
    /// What could not be looked at.
    unknown: Vec<String>,
}

impl Report for Access {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let records = text::counted(self.audit.records, "change", "changes");
        let here = text::count(self.changes_from_this_machine);
        page.line(format_args!(
            "{records} asked for since {}; {here} of this machine's journal",
            page.time(self.since)
        ))?;
        for line in &self.unknown {
            page.line(format_args!("UNKNOWN: {line}"))?;
        }
        self.suspicious(page)?;
        let mut who = Table::new(&["CREDENTIAL", "FOR", ">CHANGES", ">REFUSED", ">NO REASON", "LAST"]);
        for actor in &self.audit.actors {
            let people: Vec<&str> = actor.operators.iter().map(String::as_str).collect();
            let people = if people.is_empty() { "nobody named".to_owned() } else { people.join(", ") };
            let [changes, refused, silent] = [actor.changes, actor.refused, actor.without_reason].map(text::count);
            who.row([actor.actor.clone(), people, changes, refused, silent, page.time(actor.last_at)]);
        }
        section(page, "Who", &who)?;
        let mut what = Table::new(&["LAST", ">TIMES", "ASKED", "OUTCOME", "CREDENTIAL"]);
        for deed in self.audit.deeds.iter().take(SHOWN) {
            let (last, times) = (page.time(deed.last_at), text::count(deed.count));
            what.row([last, times, deed.action.clone(), deed.outcome.clone(), deed.actor.clone()]);
        }
        section(page, "What, the latest first", &what)?;
        if let Some(more) = self.audit.deeds.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            page.line(format_args!("... and {more} more (-o json)"))?;
        }
        let mut tokens = Table::new(&["TOKEN", "NAME", "ROLE", "LAST USED", "STATE"]);
        for token in &self.tokens_used {
            let state = if token.revoked_at.is_some() { "revoked" } else { "works" };
            let used = token.last_used_at.map(|at| page.time(at)).unwrap_or_default();
            tokens.row([token.id.clone(), token.name.clone(), token.role.to_string(), used, state.to_owned()]);
        }
        section(page, "Tokens used", &tokens)
    }
}

impl Access {
    fn suspicious(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["RULE", "WHO", ">COUNT", "LAST", "LAST ONE", "NEXT"]);
        for f in &self.audit.findings {
            let (count, last) = (text::count(f.count), page.time(f.last_at));
            table.row([f.rule.clone(), f.actor.clone(), count, last, f.example.clone(), f.next.clone()]);
        }
        for f in self.security_log.iter().flat_map(|log| &log.findings) {
            let (count, last) = (text::count(f.count), page.time(f.last_at));
            table.row([f.rule.clone(), f.actor.clone(), count, last, f.example.clone(), f.next.clone()]);
        }
        if !table.is_empty() {
            return section(page, "Suspicious, by these rules", &table);
        }
        let names: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
        page.blank()?;
        page.line(format_args!("Nothing suspicious by the rules {}", names.join(", ")))
    }
}

fn section(page: &mut Page<'_>, title: &str, table: &Table) -> io::Result<()> {
    if table.is_empty() {
        return Ok(());
    }
    page.blank()?;
    page.line(format_args!("{title}:"))?;
    page.table(table)
}

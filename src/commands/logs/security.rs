//! `opsctl logs security`.

use std::io;

use clap::Args;
use serde::Serialize;

use super::lines::{self, LineArgs};
use super::place;
use crate::analysis::suspicious::{Gather, Suspicious};
use crate::app::App;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::wire::{LineFilter, LogName, LogSource, Time};

/// Show what the service wrote about credentials, roles and approvals
///
/// With --suspicious only what the rules find, and the rules: repeated refused credentials, roles that are not enough,
/// requests that name another service, the break-glass token, approvals rejected or left to expire.
///
/// Example: opsctl logs security --suspicious --since 7d
#[derive(Args, Debug)]
pub struct SecurityArgs {
    /// Only what somebody should look at, with the rules applied
    #[arg(long, conflicts_with = "follow")]
    suspicious: bool,

    #[command(flatten)]
    lines: LineArgs,
}

pub(super) async fn security(app: &App, args: SecurityArgs) -> anyhow::Result<Outcome> {
    if !args.suspicious {
        return lines::security(app, args.lines).await;
    }
    // First, because it moves the clock to the sandbox's.
    let place = place::find(app, LogName::Security, args.lines.file()).await;
    let mut filter = lines::security_filter(app, &args.lines)?;
    filter.limit = 0;
    let place = place?;
    let (gather, source) = place::ask_all(app, &place, LogName::Security, &filter, Gather::default()).await?;
    app.note(place::told(&source, &place, &filter, app.now()));
    let looked = Looked { found: gather.finish(), source };
    app.emit(&looked)?;
    Ok(args.lines.stale().outcome(app, &place, &looked.source).await)
}

/// What the rules find in the security log since a moment.
pub(in crate::commands) async fn suspicious(app: &App, since: Time) -> anyhow::Result<Suspicious> {
    let place = place::find(app, LogName::Security, None).await?;
    let filter = LineFilter { since: Some(since), ..LineFilter::default() };
    let (gather, _) = place::ask_all(app, &place, LogName::Security, &filter, Gather::default()).await?;
    Ok(gather.finish())
}

#[derive(Serialize)]
struct Looked {
    #[serde(flatten)]
    found: Suspicious,
    source: LogSource,
}

impl Report for Looked {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let lines = text::counted(self.found.lines, "line", "lines");
        if self.found.findings.is_empty() {
            page.line(format_args!("Nothing suspicious in {lines}, by these rules:"))?;
        } else {
            let headings = ["RULE", "WHO", ">LINES", ">MOST AT ONCE", "FIRST", "LAST", "LAST ONE", "NEXT"];
            let mut table = Table::new(&headings);
            for finding in &self.found.findings {
                table.row([
                    finding.rule.clone(),
                    finding.actor.clone(),
                    text::count(finding.count),
                    text::count(finding.most),
                    page.time(finding.first_at),
                    page.time(finding.last_at),
                    finding.example.clone(),
                    finding.next.clone(),
                ]);
            }
            page.table(&table)?;
            page.blank()?;
            page.line(format_args!("Rules applied to {lines}:"))?;
        }
        let mut table = Table::new(&["RULE", "FINDS"]);
        self.found.rules.iter().for_each(|rule| table.row([rule.id, rule.describes]));
        page.table(&table)
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.found.findings.iter().map(serde_json::to_value).collect()
    }
}

//! `opsctl changes`: what changed, in one line of time.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::analysis::changes::{Change, in_order};
use crate::app::App;
use crate::error::{Explained, Kind, Outcome};
use crate::guard::{Receipt, ReceiptState};
use crate::output::{Page, Report, Table, Tone};
use crate::settings::Since;
use crate::wire::Time;

/// The most that is read of each source.
const MOST: u64 = 1000;

/// Show what changed, and who changed it
///
/// One line of time, newest last: requests from the audit log (settings, pauses, restarts, circuits, workflows, tokens,
/// refused ones too), circuits that opened and closed by themselves, starts of the service, and clean-ups that were made
/// straight on the platforms from this machine. When the orchestrator does not answer, what was changed from this
/// machine is shown, and it ends with 7.
///
/// Example: opsctl changes --since 1h
#[derive(Args, Debug)]
pub struct ChangesArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "1h")]
    since: Since,

    /// Before this; written as --since
    #[arg(long, value_name = "TIME")]
    until: Option<Since>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Changes(Vec<Change>);

impl Report for Changes {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["TIME", "WHAT", "OF", "CHANGE", "BY", "WHY"]);
        for change in &self.0 {
            let refused = change.outcome.as_ref().map(|outcome| page.paint(&format!(" {outcome}"), Tone::Warn));
            table.row([
                page.time(change.at),
                change.what.clone(),
                change.subject.clone().unwrap_or_default(),
                format!("{}{}", change.change, refused.unwrap_or_default()),
                change.by.clone().unwrap_or_else(|| "by itself".into()),
                change.why.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "Nothing changed in this window.".into())
    }
}

impl ChangesArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let asked = asked(app, &self).await;
        // Only now does the clock know what the sandbox's says.
        let (since, until) = self.window(app)?;
        let (mut changes, outcome) = match asked {
            Ok(changes) => {
                let direct = receipts(app, since, until)?.into_iter().filter(|receipt| receipt.planned.is_some());
                (changes.into_iter().chain(direct.map(of_receipt)).collect(), Outcome::Done)
            }
            Err(error) if Explained::from_error(&error).kind == Kind::Unreachable => {
                let why = Explained::from_error(&error).message;
                app.output.warn(&format!("{why}: only what was changed from this machine is shown"));
                (receipts(app, since, until)?.into_iter().map(of_receipt).collect::<Vec<_>>(), Outcome::Unreachable)
            }
            Err(error) => return Err(error),
        };
        changes = in_order(changes);
        app.emit(&Changes(changes))?;
        Ok(outcome)
    }

    fn window(&self, app: &App) -> anyhow::Result<(Time, Time)> {
        let now = app.now();
        let until = self.until.as_ref().map(|until| until.resolve_here(now)).transpose()?.unwrap_or(Time(i64::MAX));
        Ok((self.since.resolve_here(now)?, until))
    }
}

/// What the orchestrator knows.
async fn asked(app: &App, args: &ChangesArgs) -> anyhow::Result<Vec<Change>> {
    let orchestrator = app.orchestrator().await?;
    let service = orchestrator.info().await?;
    let (since, until) = args.window(app)?;
    let records = orchestrator.audit(Some(since), args.until.is_some().then_some(until), MOST).await?.records;
    let circuits = orchestrator.circuit_history(None, Some(since), MOST).await?;
    for (what, read) in [("requests", records.len()), ("transitions of circuits", circuits.len())] {
        if read as u64 == MOST {
            app.output.warn(&format!("only the newest {MOST} {what} were read; ask with a later --since"));
        }
    }
    let mut changes: Vec<Change> = records.into_iter().map(Change::from).collect();
    changes.extend(circuits.into_iter().filter(|step| step.at < until).map(Change::from));
    if (since..until).contains(&service.started_at) {
        changes.push(Change {
            at: service.started_at,
            what: "service".into(),
            subject: Some(service.name),
            change: "started".into(),
            outcome: None,
            by: None,
            why: Some(format!("version {}", service.version)),
        });
    }
    Ok(changes)
}

/// Receipts of this machine for the context in use.
fn receipts(app: &App, since: Time, until: Time) -> anyhow::Result<Vec<Receipt>> {
    let context = &app.settings.context()?.name;
    let wanted = |receipt: &Receipt| receipt.context == *context && receipt.at < until;
    app.receipts.since(Some(since))?.filter(|receipt| receipt.as_ref().map_or(true, wanted)).collect()
}

fn of_receipt(receipt: Receipt) -> Change {
    let (noun, verb) = receipt.verb.split_once(' ').unwrap_or((&receipt.verb, "run"));
    let why = [receipt.reason, receipt.ticket].into_iter().flatten().collect::<Vec<_>>().join(", ");
    Change {
        at: receipt.at,
        what: noun.to_owned(),
        change: verb.to_owned(),
        subject: receipt.subject,
        outcome: match receipt.state {
            ReceiptState::Done => None,
            ReceiptState::Started => Some("no outcome known".into()),
            ReceiptState::Failed => Some("failed".into()),
        },
        by: Some(receipt.operator),
        why: Some(if why.is_empty() { format!("{}, {}", receipt.title, receipt.id) } else { why }),
    }
}

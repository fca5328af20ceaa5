//! `opsctl verify`: what is stored against what the execution log says and the platforms show.

use std::io;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::restore::second_of;
use super::text;
use crate::app::App;
use crate::error::Outcome;
use crate::output::{Page, Report, records_of};
use crate::settings::Since;
use crate::wire::{IntegrityFinding, IntegrityReport, IntegrityRequest};

/// Compare state with the platforms
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Integrity(IntegrityArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Integrity(args) => integrity(app, args).await,
        }
    }
}

/// Compare states, execution logs and the platforms' objects
///
/// Nothing is put right: each finding names what to type. What cannot be looked at is UNKNOWN, never all right. Requests
/// leave half of each platform's limit to the work, so it may take its time. Ends with 3 when anything was found or is
/// unknown.
///
/// Example: opsctl verify integrity --all
#[derive(Args, Debug)]
pub struct IntegrityArgs {
    /// Only this workflow, whenever it moved
    #[arg(value_name = "WORKFLOW", conflicts_with_all = ["all", "since", "limit"])]
    workflow: Option<String>,

    /// All workflows, whenever they moved
    #[arg(long, conflicts_with = "since")]
    all: bool,

    #[command(flatten)]
    window: WindowArgs,
}

/// Which workflows a comparison is about.
#[derive(Args, Debug)]
pub struct WindowArgs {
    /// Only workflows that moved since: 10m, 2h30m, 03:00, RFC 3339, or a backup's id
    #[arg(long, alias = "timestamp", value_name = "TIME", default_value = "24h")]
    since: String,

    /// At most this many workflows, those accepted last
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: Option<u64>,
}

async fn integrity(app: &App, args: IntegrityArgs) -> anyhow::Result<Outcome> {
    let IntegrityArgs { workflow, all, window } = args;
    if workflow.is_some() || all {
        let request = IntegrityRequest { workflow_id: workflow, limit: window.limit, ..IntegrityRequest::default() };
        return compare(app, request).await;
    }
    compare_window(app, window, IntegrityRequest::default()).await
}

/// Has the orchestrator compare what moved in a window.
pub(super) async fn compare_window(
    app: &App,
    window: WindowArgs,
    request: IntegrityRequest,
) -> anyhow::Result<Outcome> {
    // First, because it moves the clock to the sandbox's.
    app.orchestrator().await?;
    let since = match second_of(&window.since) {
        Some(second) => second,
        None => window.since.parse::<Since>()?.resolve_here(app.now())?,
    };
    compare(app, IntegrityRequest { since: Some(since), limit: window.limit, ..request }).await
}

/// Has the orchestrator compare, and shows what it found.
pub(super) async fn compare(app: &App, request: IntegrityRequest) -> anyhow::Result<Outcome> {
    let report = app.orchestrator().await?.verify_integrity(&request, app.follow()).await?;
    app.emit(&report)?;
    Ok(if report.is_clean() { Outcome::Done } else { Outcome::Problem })
}

impl Report for IntegrityReport {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for finding in &self.findings {
            let kind = page.state(&finding.kind.as_str().to_uppercase());
            page.line(format_args!("{kind}{}", about(finding)))?;
            page.pair("  what", &finding.what)?;
            for (n, line) in finding.evidence.iter().enumerate() {
                page.pair(if n == 0 { "  seen" } else { "" }, line)?;
            }
            page.pair("  next", &finding.next)?;
            page.blank()?;
        }
        let more = self.counts.values().sum::<u64>().saturating_sub(self.findings.len() as u64);
        if more > 0 {
            page.line(format_args!("and {} more, not named", text::count(more)))?;
            page.blank()?;
        }
        page.pair("Workflows", text::count(self.workflows))?;
        if self.left_out > 0 {
            page.pair("Left out", format_args!("{}, by --limit", text::count(self.left_out)))?;
        }
        match self.objects {
            0 => page.pair("Objects", "none looked at")?,
            n => {
                page.pair("Objects", format_args!("{}, {} as they should be", text::count(n), text::count(self.ok)))?
            }
        }
        let found: Vec<String> =
            self.counts.iter().map(|(kind, count)| format!("{} {}", text::count(*count), kind)).collect();
        page.pair("Found", if found.is_empty() { "nothing".to_owned() } else { found.join(", ") })
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        Ok(records_of(serde_json::to_value(&self.findings)?))
    }
}

/// What a finding is about, as a line goes on after its kind.
fn about(finding: &IntegrityFinding) -> String {
    let mut words = String::new();
    if let Some(workflow) = &finding.workflow_id {
        words += &format!("  workflow {workflow}");
    }
    if let Some(step) = &finding.step_id {
        words += &format!(", step {step}");
    }
    if let Some(platform) = finding.platform {
        words += &format!(", {platform}");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Style, draw};
    use crate::wire::{IntegrityKind, Platform};

    #[test]
    fn each_finding_has_its_next_command_and_all_are_counted() {
        let finding = IntegrityFinding {
            kind: IntegrityKind::Missing,
            workflow_id: Some("w".into()),
            step_id: Some("create_file".into()),
            platform: Some(Platform::Drive),
            what: "file f-1 is in the trash".into(),
            evidence: vec!["action a-1 (file) left f-1".into(), "since then action a-2 (delete) wrote to it".into()],
            next: "opsctl workflow rollback w --dry-run".into(),
        };
        let report = IntegrityReport {
            workflows: 3,
            left_out: 7,
            objects: 4,
            ok: 3,
            counts: [("missing".to_owned(), 5)].into(),
            findings: vec![finding],
            ..IntegrityReport::default()
        };
        let text = draw(&report, Style::plain()).unwrap();
        let expected = "MISSING  workflow w, step create_file, drive\n\
             \x20 what  file f-1 is in the trash\n\
             \x20 seen  action a-1 (file) left f-1\n\
             \x20       since then action a-2 (delete) wrote to it\n\
             \x20 next  opsctl workflow rollback w --dry-run\n\n\
             and 4 more, not named\n\n\
             Workflows  3\nLeft out   7, by --limit\nObjects    4, 3 as they should be\nFound      5 missing\n";
        assert_eq!(text, expected);
        assert!(!report.is_clean());
        let clean = draw(&IntegrityReport::default(), Style::plain()).unwrap();
        assert!(clean.ends_with("Found      nothing\n"), "{clean}");
    }
}

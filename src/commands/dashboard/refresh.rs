//! `opsctl dashboard refresh`.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use super::chosen;
use crate::app::App;
use crate::dashboard::{Panel, draw, families};
use crate::error::{Explained, Outcome};
use crate::files::{read_if_there, write_whole};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};

/// Write the Grafana dashboard anew
///
/// Its panels are those of `opsctl dashboard configure`, in the order of the runbook's headings, with its thresholds. The
/// orchestrator is asked which metrics it exposes; a panel whose metrics are not there is left out and named. Import the
/// file in Grafana, or let a provisioning provider read it; the Prometheus to ask is chosen there.
///
/// Example: opsctl dashboard refresh --file /etc/grafana/dashboards/opsctl.json
#[derive(Args, Debug)]
pub struct RefreshArgs {
    /// File to write, instead of the configured one
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// What was written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    file: PathBuf,
    /// Whether the file is another one now.
    changed: bool,
    panels: Vec<&'static str>,
    /// Whether the orchestrator told which metrics there are.
    checked: bool,
    left_out: Vec<LeftOut>,
}

/// A panel whose metrics are not there.
#[derive(Serialize)]
struct LeftOut {
    panel: &'static str,
    missing: Vec<&'static str>,
}

impl Report for Written {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("File", self.file.display())?;
        page.pair("Content", if self.changed { "new" } else { "as it was" })?;
        page.pair("Panels", self.panels.len())?;
        page.pair("Metrics", if self.checked { "all exposed by the orchestrator" } else { "not checked" })?;
        for LeftOut { panel, missing } in &self.left_out {
            page.pair("Left out", format_args!("{panel}: the orchestrator has no {}", missing.join(", ")))?;
        }
        Ok(())
    }
}

impl RefreshArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let file = self.file.clone().unwrap_or_else(|| app.settings.dashboard_file());
        let file = std::path::absolute(&file).with_context(|| format!("cannot write {}", file.display()))?;
        let (panels, left_out, checked) = fitting(app, chosen(app)).await;
        let mut text = serde_json::to_string_pretty(&draw(&panels))?;
        text.push('\n');
        let changed = read_if_there(&file)?.as_deref() != Some(&text);
        let names = panels.iter().map(|panel| panel.name).collect::<Vec<_>>();
        let state = if changed { "replaced whole" } else { "it is so already" };
        let step = Step::new(format!("write {}", file.display()))
            .because(format!("{} panels; {state}", names.len()))
            .undo(Undo::None);
        let plan = Plan::new("dashboard refresh", "write the dashboard", &self.change).step(step).local();
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        if changed {
            write_whole(&file, text.as_bytes(), false)?;
        }
        let undo = UndoAction::none("it is made anew by the next refresh");
        app.receipt(&approval, vec![ReceiptItem::applied(file.display().to_string(), undo)])?;
        app.emit(&Written { file, changed, panels: names, checked, left_out })?;
        Ok(Outcome::Done)
    }
}

/// The panels whose metrics the orchestrator exposes, those whose it does not, and whether it told.
async fn fitting(app: &App, wanted: Vec<&'static Panel>) -> (Vec<&'static Panel>, Vec<LeftOut>, bool) {
    let text = async { app.orchestrator().await?.open_metrics().await };
    let text = match text.await {
        Ok(text) => text,
        Err(error) => {
            let why = Explained::from_error(&error).message;
            app.note(format!("note: which metrics there are could not be asked: {why}"));
            return (wanted, Vec::new(), false);
        }
    };
    let there: BTreeSet<&str> = families(&text);
    if there.is_empty() {
        app.note("note: which metrics there are could not be asked: /metrics is no OpenMetrics text");
        return (wanted, Vec::new(), false);
    }
    let (mut fit, mut left_out) = (Vec::new(), Vec::new());
    for panel in wanted {
        let missing: Vec<&str> = panel.families().into_iter().filter(|family| !there.contains(family)).collect();
        if missing.is_empty() { fit.push(panel) } else { left_out.push(LeftOut { panel: panel.name, missing }) }
    }
    (fit, left_out, true)
}

//! `opsctl config validate`.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::wire::{ConfigReport, Severity};

/// Look for settings that cannot work, or not as they should
///
/// The service looks at the values that hold and at those that wait for a restart. Ends with 3 when there is an error
/// among the findings.
///
/// Example: opsctl config validate
#[derive(Args, Debug)]
pub struct ValidateArgs {}

pub(super) async fn validate(app: &App, _args: ValidateArgs) -> anyhow::Result<Outcome> {
    let report = app.orchestrator().await?.config_report().await?;
    let broken = report.findings.iter().any(|f| f.severity == Severity::Error);
    app.emit(&Findings(report))?;
    Ok(if broken { Outcome::Problem } else { Outcome::Done })
}

#[derive(Serialize)]
#[serde(transparent)]
struct Findings(ConfigReport);

impl Report for Findings {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let looked_at = text::counted(self.0.checked, "setting", "settings");
        if self.0.findings.is_empty() {
            return page.line(format_args!("OK  {looked_at} looked at, nothing found"));
        }
        let mut table = Table::new(&["STATUS", "SETTING", "WHAT IS WRONG", "WHAT TO DO"]);
        for finding in &self.0.findings {
            let word = match finding.severity {
                Severity::Error => "FAIL",
                Severity::Warning => "WARN",
                Severity::Info => "INFO",
            };
            table.row([word, &finding.name, &finding.message, finding.fix.as_deref().unwrap_or_default()]);
        }
        page.table(&table)?;
        page.line(format_args!("{looked_at} looked at"))
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.0.findings.iter().map(serde_json::to_value).collect()
    }
}

//! What became of each service of a restart.

use std::io;

use serde::Serialize;

use crate::commands::text;
use crate::guard::{ReceiptItem, UndoAction};
use crate::output::{Page, Report, Table};
use crate::services::{Seen, State};
use crate::settings::ServiceName;
use crate::wire::{EffectKind, Platform, RestartAnswer};

use super::legs::Leg;

/// What happened to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Happened {
    /// It was restarted and is ready.
    Restarted,
    /// It came up with the orchestrator's process.
    CameUp,
    /// It did not come back.
    Failed,
    /// It was not its turn.
    NotTouched,
}

impl Happened {
    const fn as_str(self) -> &'static str {
        match self {
            Happened::Restarted => "restarted",
            Happened::CameUp => "came up",
            Happened::Failed => "FAILED",
            Happened::NotTouched => "not touched",
        }
    }
}

/// One service.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    component: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    pub(super) result: Happened,
    /// `up`, `down`, `unknown`, or the orchestrator's word.
    state: String,
    /// What restarts it: `api`, `unit postgresql.service`.
    via: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drained: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    handed_back: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<Vec<String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_id: Option<String>,
    #[serde(skip)]
    name: ServiceName,
}

impl Row {
    /// A service that was looked at.
    pub(super) fn seen(leg: &Leg<'_>, result: Happened, seen: &Seen) -> Self {
        let (component, platform) = match leg.name {
            ServiceName::Executor(platform) => ("executors".to_owned(), Some(platform)),
            other => (other.to_string(), None),
        };
        Row {
            component,
            platform,
            result,
            state: seen.state.as_str().to_owned(),
            via: leg.via(),
            took_ms: None,
            drained: None,
            handed_back: None,
            applied: None,
            detail: seen.detail.clone(),
            audit_id: None,
            name: leg.name,
        }
    }

    /// A part that the orchestrator restarted.
    pub(super) fn answered(leg: &Leg<'_>, answer: RestartAnswer) -> Self {
        let mut words = vec![format!("{} drained, {} handed back", answer.drained, answer.handed_back)];
        words.extend(answer.applied.iter().cloned());
        Row {
            drained: Some(answer.drained),
            handed_back: Some(answer.handed_back),
            applied: Some(answer.applied),
            audit_id: answer.audit_id,
            ..Row::seen(leg, Happened::Restarted, &Seen::up(words.join("; ")))
        }
    }

    /// How long it took.
    pub(super) fn took(mut self, ms: u128) -> Self {
        self.took_ms = u64::try_from(ms).ok();
        self
    }

    /// Something to know beside it.
    pub(super) fn beside(mut self, text: &str) -> Self {
        self.detail = if self.detail.is_empty() { text.to_owned() } else { format!("{}; {text}", self.detail) };
        self
    }
}

/// All services of a restart, in order.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Rows(pub(super) Vec<Row>);

impl Report for Rows {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["SERVICE", "RESULT", "STATE", ">TOOK", "DETAIL"]);
        for row in &self.0 {
            let took = row.took_ms.map(|ms| text::millis(ms as f64)).unwrap_or_default();
            table.row([&name(row.name), row.result.as_str(), &row.state, &took, &row.detail]);
        }
        page.table(&table)
    }
}

impl Rows {
    /// What was changed, for the receipt.
    pub(super) fn receipt(&self) -> Vec<ReceiptItem> {
        let touched = self.0.iter().filter(|row| matches!(row.result, Happened::Restarted | Happened::Failed));
        let item = |row: &Row| {
            let item = ReceiptItem::applied(name(row.name), UndoAction::none("a restart leaves nothing to take back"));
            match row.result {
                // It was told to; that it is ready was not seen.
                Happened::Failed => {
                    ReceiptItem { effect: EffectKind::Accepted, detail: Some(row.detail.clone()), ..item }
                }
                _ => item,
            }
        };
        touched.map(item).collect()
    }

    /// `the restart stopped at the queue; up: database, eventbus; not up: queue; not touched: executors`.
    pub(super) fn stopped(&self) -> String {
        let names = |wanted: &dyn Fn(&Row) -> bool| {
            let names: Vec<String> = self.0.iter().filter(|row| wanted(row)).map(|row| name(row.name)).collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        let up = State::Up.as_str();
        format!(
            "the restart stopped at the {}; up: {}; not up: {}; not touched: {}",
            names(&|row| row.result == Happened::Failed),
            names(&|row| row.state == up),
            names(&|row| row.state != up),
            names(&|row| row.result == Happened::NotTouched),
        )
    }
}

/// A service's name in sentences: `notion executor`.
pub(super) fn name(name: ServiceName) -> String {
    match name {
        ServiceName::Executor(platform) => format!("{platform} executor"),
        other => other.to_string(),
    }
}

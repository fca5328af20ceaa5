//! What became of a rotation, credential by credential.

use std::io;

use serde::Serialize;

use super::book::{Book, Left, Old, Progress, Stage};
use super::turn::{Credential, Turn};
use crate::output::{Page, Report, Table};
use crate::wire::Platform;

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rotation {
    receipt: String,
    emergency: bool,
    credentials: Vec<Line>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    credential: Credential,
    platforms: &'static [Platform],
    variable: String,
    /// `ROTATED`, `TO REVOKE` when a person has to withdraw the old one, `FAILED`, `INTERRUPTED`.
    state: &'static str,
    /// Fingerprints, to compare with `config get` and `validate env`.
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    detail: String,
}

impl Rotation {
    pub(super) fn new(receipt: &str, turns: &[Turn], book: &Book) -> Self {
        let credentials = turns.iter().map(|turn| Line::new(turn, book.of(turn.credential))).collect();
        let emergency = turns.first().is_some_and(|turn| turn.emergency);
        Rotation { receipt: receipt.to_owned(), emergency, credentials }
    }

    /// Whether every new key is in use, and nothing more can be done about the old ones from here.
    pub(super) fn is_whole(&self) -> bool {
        self.credentials.iter().all(|line| matches!(line.state, "ROTATED" | "TO REVOKE"))
    }

    /// Credentials that failed, for the hint.
    pub(super) fn failed(&self) -> Vec<Credential> {
        self.credentials.iter().filter(|line| line.state == "FAILED").map(|line| line.credential).collect()
    }

    /// Whether an old key is left to a person.
    pub(super) fn has_left(&self) -> bool {
        self.credentials.iter().any(|line| line.state == "TO REVOKE")
    }
}

impl Line {
    fn new(turn: &Turn, progress: Progress) -> Self {
        let (state, detail) = match (progress.stage, progress.old, progress.failure) {
            (Stage::Ended, Some(Old::Revoked), _) => ("ROTATED", "old key revoked".to_owned()),
            (Stage::Ended, Some(Old::Disabled { delete_after }), _) => {
                ("ROTATED", format!("old key switched off; a rotation after {delete_after} deletes it"))
            }
            (Stage::Ended, Some(Old::ByHand { why }), _) => {
                ("TO REVOKE", format!("{why}: {}", turn.credential.end_page()))
            }
            (Stage::Kept, ..) => ("INTERRUPTED", "new key in use; the old one has not ended".to_owned()),
            (Stage::Failed, _, why) => ("FAILED", why.unwrap_or_default()),
            _ => ("INTERRUPTED", "the old key is in use".to_owned()),
        };
        Line {
            credential: turn.credential,
            platforms: turn.credential.platforms(),
            variable: turn.variable.clone(),
            state,
            old: turn.old.clone(),
            new: progress.new,
            identity: progress.identity,
            detail,
        }
    }
}

impl Report for Rotation {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["KEY", "STATE", "NEW", "DETAIL"]);
        for line in &self.credentials {
            let new = line.new.as_deref().map(|print| format!("sha256:{}", &print[..8.min(print.len())]));
            table.row([line.credential.as_str(), line.state, new.as_deref().unwrap_or_default(), &line.detail]);
        }
        page.table(&table)
    }
}

/// `--left`.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct LeftList(pub(super) Vec<Left>);

impl Report for LeftList {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["KEY", "SINCE", "OLD KEY", "WHERE", "WHY"]);
        for left in &self.0 {
            let since = page.time(left.since);
            let key = left.key.clone().or_else(|| left.fingerprint.as_ref().map(|print| format!("sha256:{print}")));
            let key = key.unwrap_or_default();
            let row = [left.credential.as_str(), &since, &key, left.credential.end_page(), &left.why];
            table.row(row);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No old key is left to revoke.".into())
    }
}

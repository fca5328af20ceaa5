//! `opsctl history verify`: whether what was written down is still what was written.

use std::io;

use serde::Serialize;

use crate::app::App;
use crate::commands::text;
use crate::error::{Explained, Outcome};
use crate::guard::journal::{Flaw, Head, Verified};
use crate::output::{Page, Report, Tone};

/// Audit records that are asked for: the newest.
const ASKED: u64 = 1000;

/// Verify that the journal is whole
///
/// Every line carries the hash of the line before. Where the orchestrator answers, its audit log is compared too: it
/// keeps what the journal's newest line was at each change, which finds a journal that was rewritten or cut off as a
/// whole. A line torn by a crash is named and breaks nothing.
///
///     opsctl history verify
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct VerifyArgs {}

/// What the server's audit log says.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Server {
    /// Changes of this journal that it has on record.
    compared: usize,
    /// Those whose line is not in the journal as it was then.
    missing: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    journal: String,
    lines: usize,
    whole: bool,
    flaws: Vec<Flaw>,
    torn: Vec<Flaw>,
    /// `None` when it could not be asked.
    server: Option<Server>,
    #[serde(skip)]
    why_not: Option<String>,
}

impl VerifyArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let journal = app.receipts.journal();
        let found = journal.verify()?;
        let told = async { app.orchestrator().await?.audit(None, None, ASKED).await };
        let (server, why_not) = match told.await {
            Ok(log) => {
                let heads = log.records.iter().filter_map(|record| Some((&record.action, record.journal.as_deref()?)));
                (Some(compare(&found, heads)), None)
            }
            Err(error) => (None, Some(Explained::from_error(&error).message)),
        };
        let whole = found.flaws.is_empty() && server.as_ref().is_none_or(|server| server.missing.is_empty());
        app.emit(&Answer {
            journal: journal.path().display().to_string(),
            lines: found.heads.len(),
            whole,
            flaws: found.flaws,
            torn: found.torn,
            server,
            why_not,
        })?;
        Ok(if whole { Outcome::Done } else { Outcome::Problem })
    }
}

/// Compares what the server was told with what the journal has.
fn compare<'a>(found: &Verified, told: impl Iterator<Item = (&'a String, &'a str)>) -> Server {
    let ours = found.heads.first().map(|head| head.journal.as_str()).unwrap_or_default();
    let mut server = Server { compared: 0, missing: Vec::new() };
    for (action, head) in told {
        // Other machines have journals of their own.
        let Some(head) = head.parse::<Head>().ok().filter(|head| head.journal == ours && !ours.is_empty()) else {
            continue;
        };
        server.compared += 1;
        if !found.heads.contains(&head) {
            server.missing.push(format!("line {} as it was at `{action}`", head.n));
        }
    }
    server
}

impl Report for Answer {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for flaw in &self.flaws {
            let word = page.paint("FAIL", Tone::Bad);
            page.line(format_args!("{word}  line {}: {}", flaw.line, flaw.what))?;
        }
        for missing in self.server.iter().flat_map(|server| &server.missing) {
            let word = page.paint("FAIL", Tone::Bad);
            page.line(format_args!("{word}  the orchestrator's audit log knows {missing}; the journal does not"))?;
        }
        for torn in &self.torn {
            page.line(format_args!("note: line {}: {}", torn.line, torn.what))?;
        }
        let state = if self.whole { page.paint("OK", Tone::Good) } else { page.paint("FAIL", Tone::Bad) };
        page.line(format_args!("{state}  {} lines in {}", self.lines, self.journal))?;
        match (&self.server, &self.why_not) {
            (Some(server), _) => page.line(format_args!(
                "{} compared with the orchestrator's audit log",
                text::counted(server.compared as u64, "change", "changes")
            )),
            (None, why) => {
                let why = why.as_deref().unwrap_or("not asked");
                let text = format!(
                    "not compared with the orchestrator's audit log ({why}): this finds damage and crashes, not a \
                     journal that was rewritten as a whole"
                );
                page.folded(&text, 0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_journal_is_found_by_what_the_server_was_told() {
        let head = |n: u64, hash: &str| Head { journal: "ours".into(), n, hash: hash.into() };
        let found = Verified { heads: vec![head(1, "a"), head(2, "b")], ..Verified::default() };
        let action = "POST /x".to_owned();
        let told = ["ours:2:b", "ours:2:other", "ours:9:z", "theirs:1:q", "nonsense"];
        let server = compare(&found, told.iter().map(|head| (&action, *head)));
        assert_eq!((server.compared, server.missing.len()), (3, 2));
        assert_eq!(server.missing[1], "line 9 as it was at `POST /x`");
    }
}

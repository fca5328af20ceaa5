//! `opsctl state import`: waiting actions from a file into another orchestrator's queue.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::moved::{Moved, Uses, subject};
use crate::aliases::Class;
use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::guard::{Approval, ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report};
use crate::wire::{EffectKind, ImportRequest, ImportedItem, PauseScope, Priority, Put, WaitingRequest};

/// Most actions of one request, so that each ends well within the time limit of a call.
const PART: usize = 500;
/// Most bytes of one request, its frame included: the server takes twice as many.
const PART_BYTES: usize = 512 * 1024;
/// How long what was put in is looked for in the count of what waits.
const SETTLING: Duration = Duration::from_secs(10);
/// Age from which what was executed under a key may be forgotten: what both engines keep unless they are told otherwise.
const KEYS_HOLD: Duration = Duration::from_secs(24 * 3600);
/// How far the clock of the machine that wrote a file may be ahead of ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);

/// Put the waiting actions of a file into the queue
///
/// The file is one that `opsctl state export` wrote. The queue has to be paused, so that the counts can be compared before
/// anything is executed. Each action keeps its idempotency key, or gets one from where it comes: run again, it puts in what
/// is missing and nothing twice.
///
/// Example: opsctl --context cluster state import queue.jsonl --dry-run
#[derive(Args, Debug)]
pub struct ImportArgs {
    /// File to read
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    change: ChangeArgs,
}

/// What became of them.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    items: u64,
    imported: u64,
    restored: u64,
    already_there: u64,
    done: u64,
    not_sent: u64,
    failed: BTreeMap<String, String>,
    #[serde(skip)]
    for_approval: u64,
}

impl Report for Imported {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("In the file", self.items)?;
        page.pair("Imported", self.imported)?;
        page.pair("Put back", self.restored)?;
        page.pair("There already", self.already_there)?;
        page.pair("Done already", self.done)?;
        page.pair("Failed", self.failed.len())?;
        page.pair("Not sent", self.not_sent)?;
        super::reasons(page, &self.failed)
    }
}

impl Imported {
    fn add(&mut self, item: ImportedItem) {
        match item.put {
            Put::Imported => {
                self.imported += 1;
                // The only thing that is said of one that was put in.
                self.for_approval += u64::from(item.detail.is_some());
            }
            Put::Restored => self.restored += 1,
            Put::AlreadyThere => self.already_there += 1,
            Put::Done => self.done += 1,
            Put::Failed => {
                let why = item.detail.unwrap_or_else(|| item.put.to_string());
                self.failed.insert(item.action_id, why);
            }
        }
    }

    /// Of a request that has no answer: some of it may have arrived.
    fn unanswered(&mut self, part: &[WaitingRequest], error: &anyhow::Error) {
        let why = Explained::from_error(error).message;
        self.failed.extend(part.iter().map(|waiting| (waiting.action_id.clone(), format!("not known: {why}"))));
    }

    fn seen(&self) -> u64 {
        self.imported + self.restored + self.already_there + self.done + self.failed.len() as u64
    }

    fn receipt(&self, file: &str, stopped: bool) -> ReceiptItem {
        let effect = match (self.imported + self.restored, self.already_there + self.done) {
            (0, 0) if stopped => EffectKind::Accepted,
            (0, 0) => EffectKind::Conflict,
            (0, _) => EffectKind::AlreadySo,
            _ => EffectKind::Applied,
        };
        let item = ReceiptItem::applied(file, UndoAction::none("take them out with `opsctl state export`"));
        ReceiptItem { effect, ..item }
    }
}

pub(super) async fn run(app: &App, args: ImportArgs) -> anyhow::Result<Outcome> {
    let ImportArgs { file, change } = args;
    let mut moved = Moved::read(&file)?;
    let orchestrator = app.orchestrator().await?.clone();
    let pauses = orchestrator.pauses().await?;
    if !pauses.iter().any(|pause| pause.scope == PauseScope::Queue) {
        return Err(Fault::new(Kind::Conflict, "cannot fill a queue that is worked on")
            .because("nobody could compare the counts before it is executed")
            .hint("opsctl queue pause --reason \"moving the queue\"")
            .into());
    }
    let since = moved.at.minus(CLOCKS_DIFFER);
    let uses = Uses::of(app, &moved.export, since, None)?;
    uses.ensure_not_undone(&file)?;
    let here = orchestrator.info().await?.engine;
    let lose = if here == "restate" { moved.requests.iter_mut().map(simplify).filter(|lost| *lost).count() } else { 0 };
    let plan = plan(app, &moved, &uses, &change, &file.display().to_string(), lose).await?;
    let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
    // Somebody may have taken the export back while this was being asked.
    let uses = Uses::of(app, &moved.export, since, Some(approval.receipt_id()))?;
    if let Err(fault) = uses.ensure_not_undone(&file) {
        app.receipt(&approval, Vec::new())?;
        return Err(fault.into());
    }
    let (done, stopped) = put_in(app, &orchestrator, &approval, moved.requests).await;
    app.receipt(&approval, vec![done.receipt(&file.display().to_string(), stopped.is_some())])?;
    app.emit(&done)?;
    if done.for_approval > 0 {
        app.note(format!("{} of them wait for a person: `opsctl approvals pending`", done.for_approval));
    }
    let again =
        "What failed or was not sent is in the file: the same command puts in what is missing, and nothing twice.";
    if let Some(error) = stopped {
        app.note(again);
        return Err(error);
    }
    let waiting = waiting(&orchestrator, done.imported + done.restored - done.for_approval).await?;
    app.note(format!("{waiting} wait here now; they are executed after `opsctl queue resume`"));
    if done.failed.is_empty() {
        return Ok(Outcome::Done);
    }
    app.note(again);
    Ok(Outcome::SomeFailed)
}

async fn plan(
    app: &App,
    moved: &Moved,
    uses: &Uses,
    change: &ChangeArgs,
    file: &str,
    lose: usize,
) -> anyhow::Result<Plan> {
    let (n, here) = (moved.requests.len() as u64, app.address().await?.1);
    let step = Step::new("POST /admin/v1/queue/requests")
        .on(file)
        .because(format!("{n} actions of {}", moved.from))
        .undo(Undo::Reverse("opsctl state export".into()));
    let plan = Plan::new("state import", format!("put {n} actions into the queue"), change);
    let mut plan = plan.subject(subject(&moved.export)).step(step).items(n);
    if lose > 0 {
        let words = "lose their priority, timeout or retry settings, which Restate does not have";
        plan = plan.note(format!("{lose} {words}"));
    }
    if app.now().since(moved.at) > KEYS_HOLD {
        let words = "what was put in before and is no longer known by its key will be EXECUTED TWICE";
        plan = plan.class(Class::M3).irreversible().note(format!("the file is of {}: {words}", moved.at));
    }
    if let Some(other) = uses.imports.iter().find(|import| import.url != here) {
        let words = "what is in both will be EXECUTED TWICE";
        let note = format!("{} put this file into `{}` ({}): {words}", other.id, other.context, other.url);
        plan = plan.class(Class::M3).irreversible().note(note);
    }
    Ok(plan)
}

/// Puts them in, part by part. A request that fails as a whole ends it.
async fn put_in(
    app: &App,
    orchestrator: &Orchestrator,
    approval: &Approval,
    requests: Vec<WaitingRequest>,
) -> (Imported, Option<anyhow::Error>) {
    let n = requests.len() as u64;
    let mut done = Imported { items: n, ..Imported::default() };
    let bar = app.output.progress(n, "import");
    for (place, part) in parts(requests).into_iter().enumerate() {
        let request = ImportRequest { requests: part };
        match orchestrator.put_in_queue(approval, &place.to_string(), &request).await {
            Ok(answer) => answer.items.into_iter().for_each(|item| done.add(item)),
            Err(error) => {
                done.unanswered(&request.requests, &error);
                // One that is too large for a request is in nobody's way.
                if Explained::from_error(&error).kind != Kind::Usage {
                    done.not_sent = n - done.seen();
                    return (done, Some(error));
                }
            }
        }
        approval.at(&format!("{} of {n}", done.seen()));
        bar.at("import", done.seen(), n);
    }
    (done, None)
}

/// The actions in requests that are neither too many nor too large.
fn parts(requests: Vec<WaitingRequest>) -> Vec<Vec<WaitingRequest>> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), Vec::new(), 0);
    for waiting in requests {
        let size = serde_json::to_string(&waiting).map_or(0, |text| text.len() + 1);
        if part.len() == PART || (bytes + size > PART_BYTES && !part.is_empty()) {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += size;
        part.push(waiting);
    }
    parts.push(part);
    parts
}

/// How many wait, once all that was put in is counted or the time for that is over.
async fn waiting(orchestrator: &Orchestrator, put_in: u64) -> anyhow::Result<u64> {
    let started = Instant::now();
    loop {
        let waiting = orchestrator.queue_status().await?.total_queued;
        if waiting >= put_in || started.elapsed() > SETTLING {
            return Ok(waiting);
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Takes off what Restate does not have; whether there was any.
fn simplify(waiting: &mut WaitingRequest) -> bool {
    let request = &mut waiting.request;
    let had = request.priority != Priority::Normal || request.timeout.is_some() || request.retry_config.is_some();
    request.priority = Priority::Normal;
    (request.timeout, request.retry_config) = (None, None);
    had
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn waiting(extra: serde_json::Value) -> WaitingRequest {
        let mut request = json!({"type": "create", "platform": "trello", "data": {"name": "x"}});
        request.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        WaitingRequest { action_id: "a-1".into(), request: serde_json::from_value(request).unwrap() }
    }

    #[test]
    fn what_restate_does_not_have_is_taken_off_and_said() {
        let mut plain = waiting(json!({}));
        assert!(!simplify(&mut plain));
        let mut urgent = waiting(json!({"priority": "critical", "timeout": 500}));
        assert!(simplify(&mut urgent));
        assert_eq!(urgent, plain);
    }

    #[test]
    fn a_request_is_neither_too_long_nor_too_large() {
        let sizes = |requests| parts(requests).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![waiting(json!({})); 1201]), [500, 500, 201]);
        let large = waiting(json!({"data": {"name": "x".repeat(300 * 1024)}}));
        assert_eq!(sizes(vec![large; 3]), [1, 1, 1]);
    }
}

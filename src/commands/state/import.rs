//! `opsctl state import`: waiting actions from a file into another orchestrator's queue.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::StreamExt;
use serde::Serialize;

use super::export::{FORMAT, Heading};
use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::guard::{Approval, ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::output::{Page, Report, Table};
use crate::wire::{ActionStatus, EffectKind, PauseScope, Priority, WaitingRequest};

/// Submissions under way at once.
const AT_ONCE: usize = 16;

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
    failed: BTreeMap<String, String>,
}

impl Report for Imported {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("In the file", self.items)?;
        page.pair("Imported", self.imported)?;
        page.pair("Put back", self.restored)?;
        page.pair("There already", self.already_there)?;
        page.pair("Failed", self.failed.len())?;
        let mut table = Table::new(&["ITEM", "WHY"]);
        for (item, why) in &self.failed {
            table.row([item.clone(), why.clone()]);
        }
        if table.is_empty() { Ok(()) } else { page.table(&table) }
    }
}

/// What became of one.
enum Put {
    Imported,
    Restored,
    There,
    Failed(String),
}

pub(super) async fn run(app: &App, args: ImportArgs) -> anyhow::Result<Outcome> {
    let ImportArgs { file, change } = args;
    let (heading, mut requests) = read(&file)?;
    let orchestrator = app.orchestrator().await?.clone();
    let pauses = orchestrator.pauses().await?;
    if !pauses.iter().any(|pause| pause.scope == PauseScope::Queue) {
        return Err(Fault::new(Kind::Conflict, "cannot fill a queue that is worked on")
            .because("nobody could compare the counts before it is executed")
            .hint("opsctl queue pause --reason \"moving the queue\"")
            .into());
    }
    let n = requests.len() as u64;
    let mut plan = Plan::new("state import", format!("put {n} actions into the queue"), &change);
    if orchestrator.info().await?.engine == "restate" {
        let lose = requests.iter_mut().map(simplify).filter(|lost| *lost).count();
        if lose > 0 {
            plan = plan
                .note(format!("{lose} lose their priority, timeout or retry settings, which Restate does not have"));
        }
    }
    let step = Step::new("POST /admin/v1/actions")
        .on(file.display())
        .because(format!("{n} actions of {}", heading.from))
        .undo(Undo::Reverse("opsctl queue clear".into()));
    let Some(approval) = app.approve(&plan.step(step).items(n)).await? else { return Ok(Outcome::Done) };

    let mut done = Imported { items: n, ..Imported::default() };
    let bar = app.output.progress(n, "import");
    let (orchestrator, approval_of) = (&orchestrator, &approval);
    let put = requests.iter().map(|waiting| async move { (waiting, put(orchestrator, approval_of, waiting).await) });
    let mut put = futures_util::stream::iter(put).buffer_unordered(AT_ONCE);
    let mut seen = 0;
    while let Some((waiting, put)) = put.next().await {
        seen += 1;
        bar.at("import", seen, n);
        match put {
            Put::Imported => done.imported += 1,
            Put::Restored => done.restored += 1,
            Put::There => done.already_there += 1,
            Put::Failed(why) => drop(done.failed.insert(waiting.action_id.clone(), why)),
        }
    }
    let why = "take them out with `opsctl queue clear`";
    app.receipt(&approval, vec![ReceiptItem::applied(file.display().to_string(), UndoAction::none(why))])?;
    let failed = done.failed.len() as u64;
    app.emit(&done)?;
    let waiting = orchestrator.queue_status().await?.total_queued;
    app.note(format!("{waiting} wait here now; they are executed after `opsctl queue resume`"));
    match failed {
        0 => Ok(Outcome::Done),
        _ => {
            app.note("What failed is neither here nor there: it is in the file, and run again only that is put in.");
            Ok(Outcome::SomeFailed)
        }
    }
}

/// Puts one action in, or back where it was taken out.
async fn put(orchestrator: &Orchestrator, approval: &Approval, waiting: &WaitingRequest) -> Put {
    let id = &waiting.action_id;
    let mut request = waiting.request.clone();
    request.idempotency_key.get_or_insert_with(|| format!("moved:{id}"));
    let submitted = match orchestrator.submit_one(approval, id, &request).await {
        Ok(mut answer) => answer.actions.pop(),
        Err(error) => return Put::Failed(Explained::from_error(&error).message),
    };
    let Some(submitted) = submitted else { return Put::Failed("the orchestrator says nothing of it".into()) };
    match (submitted.duplicate, submitted.status) {
        (false, _) => Put::Imported,
        (true, ActionStatus::Pending | ActionStatus::Executing) => Put::There,
        (true, ActionStatus::Removed) => match orchestrator.restore_one(approval, &submitted.id).await {
            Ok(answer) if matches!(answer.effect, EffectKind::Applied | EffectKind::AlreadySo) => Put::Restored,
            Ok(answer) => Put::Failed(answer.message),
            Err(error) => Put::Failed(Explained::from_error(&error).message),
        },
        (true, status) => Put::Failed(format!("its key stands for action {}, which is {status}", submitted.id)),
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

fn read(file: &Path) -> anyhow::Result<(Heading, Vec<WaitingRequest>)> {
    let wrong = |why: String| {
        Fault::usage(format!("cannot import {}", file.display()))
            .because(why)
            .hint("name a file that `opsctl state export` wrote")
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let mut lines = text.lines();
    let heading = lines.next().and_then(|line| serde_json::from_str::<Heading>(line).ok());
    let heading = heading.filter(|heading| heading.format == FORMAT);
    let heading = heading.ok_or_else(|| wrong(format!("its first line is not that of `{FORMAT}`")))?;
    let requests = lines.enumerate().map(|(n, line)| {
        // The parser's own words could repeat what is in it.
        serde_json::from_str(line).map_err(|_| wrong(format!("line {} is no action", n + 2)))
    });
    let requests = requests.collect::<Result<Vec<WaitingRequest>, _>>()?;
    match requests.len() as u64 == heading.items {
        true => Ok((heading, requests)),
        false => Err(wrong(format!("it has {} actions, and says {}", requests.len(), heading.items)).into()),
    }
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
    fn a_file_that_is_cut_off_is_refused() {
        let folder = std::env::temp_dir().join(format!("opsctl-import-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("queue.jsonl");
        let line = serde_json::to_string(&waiting(json!({}))).unwrap();
        let of = |text: String| {
            std::fs::write(&file, text).unwrap();
            let read = read(&file).map(|(heading, requests)| (heading.from, requests.len()));
            read.map_err(|error| Explained::from_error(&error).causes.concat())
        };
        let heading = r#"{"format":"opsctl queue 1","from":"http://h","items":2}"#;
        assert_eq!(of(format!("{heading}\n{line}\n{line}\n")).unwrap(), ("http://h".to_owned(), 2));
        assert!(of(format!("{heading}\n{line}\n")).unwrap_err().contains("it has 1 actions, and says 2"));
        assert!(of(format!("{heading}\n{line}\n{{\n")).unwrap_err().contains("line 3 is no action"));
        assert!(of("hello\n".into()).unwrap_err().contains("its first line"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

//! SIGKILL at random moments while steps of workflows and their undos are in flight.
//!
//! Every workflow makes an object on each platform; two of three end in a step that must fail, so that everything before
//! it is undone again, and now and then Drive refuses that. At the end the states are compared with what the platforms
//! show: what a state says stands is there, what it says is undone is gone, nothing was made or undone twice, and
//! nothing was made that no state knows of.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opsctl::clock::Clock;
use opsctl::platforms::undo::{Done, Seen};
use opsctl::platforms::{Clients, Credentials, Platform};
use opsctl::sandbox::sim::{Fault, FaultSpec, Sims};
use opsctl::wire::{
    ErrorCode, StepStatus, UndoStatus, Workflow, WorkflowEventKind, WorkflowEvents, WorkflowStatus, WorkflowStep,
};
use serde_json::{Value, json};

use crate::served::{Launch, TempDir, note, rounds};
use crate::writers::{WATCHDOG, Writers, in_flight, unlimited};

const WRITERS: usize = 3;
/// Kills when `OPSCTL_KILL_ROUNDS` does not say.
const ROUNDS: usize = 6;
/// Limit for one look at a platform.
const LOOK: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workflows_end_as_their_states_say() {
    let rounds = rounds(ROUNDS);
    let folder = TempDir::new("workflow-kills");
    let (sims, launch, targets) = unlimited(&folder).await;
    let (mut serve, _) = launch.start().await;

    let work = Writers::start(&launch, WRITERS, "/admin/v1/workflows", 10..80, workflow);
    let (mut kills, mut undoing) = (0, 0);
    let started = Instant::now();
    while kills < rounds {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..250))).await;
        if in_flight(&sims) == 0 {
            assert!(started.elapsed() < WATCHDOG * u32::try_from(rounds).expect("a number"), "no work is in flight");
            continue;
        }
        undoing += usize::from(rolling_back(&launch).await > 0);
        serve.kill();
        kills += 1;
        if kills % 3 == 0 {
            let refused = FaultSpec::from(Fault::Forbidden).times(1).only("files.trash");
            sims.fault(Platform::Drive, refused).expect("a fault");
        }
        (serve, _) = launch.start().await;
    }
    let ids = work.finish().await;
    settle(&launch, &ids).await;

    let clients = Clients::new(sims.endpoints(), Credentials::from_env(&targets), Clock::system());
    let mut verdict = Verdict::default();
    for id in &ids {
        judge(&launch, &clients, id, &mut verdict).await;
    }
    count_objects(&sims, &mut verdict);
    note(&format!(
        "workflow kill loop: {kills} kills with work in flight, {undoing} of them while rollbacks ran; {} workflows: {:?}; \
         {} objects looked at; wrong {}, orphaned {}, made twice {}, undone twice {}",
        ids.len(),
        verdict.statuses,
        verdict.looked,
        verdict.wrong.len(),
        verdict.orphaned.len(),
        verdict.doubled.len(),
        verdict.undone_twice.len(),
    ));
    assert!(verdict.wrong.is_empty(), "state and platform differ: {:#?}", verdict.wrong);
    assert!(verdict.orphaned.is_empty(), "no state knows: {:?}", verdict.orphaned);
    assert!(verdict.doubled.is_empty(), "made twice: {:?}", verdict.doubled);
    assert!(verdict.undone_twice.is_empty(), "undone twice: {:?}", verdict.undone_twice);
    assert!(verdict.statuses.contains_key("completed") && verdict.statuses.contains_key("rolled_back"));
    drop(serve);
}

/// What was found.
#[derive(Debug, Default)]
struct Verdict {
    statuses: BTreeMap<&'static str, usize>,
    looked: usize,
    /// Names of the objects that some state knows of.
    known: BTreeMap<String, usize>,
    wrong: Vec<String>,
    orphaned: Vec<String>,
    doubled: Vec<String>,
    undone_twice: Vec<String>,
}

/// The `n`th workflow: its id and its JSON. Some steps start together; the last one fails in two of three.
fn workflow(n: usize) -> (String, String) {
    let id = format!("wk-{n:05}");
    let name = |what: &str| format!("{id} {what}");
    let last = match n % 3 {
        0 => json!({"id": "last", "type": "notify", "platform": "slack", "data": {"text": name("message")}}),
        1 => json!({"id": "last", "type": "notify", "platform": "slack",
                    "data": {"channel": "C0NOSUCH000", "text": name("message")}}),
        _ => json!({"id": "last", "type": "update", "platform": "notion",
                    "data": {"page_id": "00000000-0000-4000-8000-000000000000", "title": "nowhere"}}),
    };
    let together = if n.is_multiple_of(2) { json!([]) } else { Value::Null };
    let mut steps = json!([
        {"id": "file", "type": "file", "platform": "drive",
         "data": {"name": name("file"), "content": "x", "mimeType": "text/plain"}},
        {"id": "card", "type": "create", "platform": "trello", "dependsOn": together,
         "data": {"name": name("card"), "desc": "$file.fileId"}},
        {"id": "page", "type": "create", "platform": "notion", "dependsOn": together, "data": {"title": name("page")}},
        {"id": "row", "type": "create", "platform": "sheets", "dependsOn": together,
         "data": {"values": [[name("row"), "x"]]}},
        last
    ]);
    steps[4]["dependsOn"] = json!(["file", "card", "page", "row"]);
    let request = json!({ "id": id, "name": "kill loop", "steps": steps });
    (id, request.to_string())
}

/// Workflows that are being rolled back.
async fn rolling_back(launch: &Launch) -> u64 {
    let list = launch.get("/admin/v1/workflows?status=rolling_back&limit=1").await;
    list.body["total"].as_u64().unwrap_or_else(|| panic!("{list:?}"))
}

async fn settle(launch: &Launch, ids: &[String]) {
    let started = Instant::now();
    for id in ids {
        loop {
            let workflow = get(launch, id).await;
            if !matches!(workflow.status, WorkflowStatus::Executing | WorkflowStatus::RollingBack) {
                break;
            }
            assert!(started.elapsed() < WATCHDOG, "{id} does not come to rest: {workflow:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn get(launch: &Launch, id: &str) -> Workflow {
    let answer = launch.get(&format!("/admin/v1/workflows/{id}")).await;
    serde_json::from_value(answer.body.clone()).unwrap_or_else(|e| panic!("{e}: {answer:?}"))
}

/// Compares one workflow's state with its log and with what the platforms show.
async fn judge(launch: &Launch, clients: &Clients, id: &str, verdict: &mut Verdict) {
    let workflow = get(launch, id).await;
    *verdict.statuses.entry(workflow.status.as_str()).or_default() += 1;
    let mut wrong = |what: String| verdict.wrong.push(format!("{id} ({}): {what}", workflow.status));
    let left: Vec<&WorkflowStep> = workflow.steps.iter().filter(|step| is_left(step)).collect();
    match workflow.status {
        WorkflowStatus::Completed | WorkflowStatus::RolledBack if left.is_empty() => {}
        WorkflowStatus::RollbackFailed if !left.is_empty() && workflow.error.is_some() => {}
        _ => wrong(format!("not at rest, or the failed step is not named: {:?}", workflow.error)),
    }
    let answer = launch.get(&format!("/admin/v1/logs/workflows?workflowId={id}")).await;
    let log: WorkflowEvents = serde_json::from_value(answer.body.clone()).unwrap_or_else(|e| panic!("{e}: {answer:?}"));
    for step in &workflow.steps {
        let times =
            |kind| log.events.iter().filter(|e| e.event == kind && e.step_id.as_ref() == Some(&step.step_id)).count();
        let (completed, undone) = (times(WorkflowEventKind::StepCompleted), times(WorkflowEventKind::UndoCompleted));
        let expected = match step.status {
            StepStatus::Completed => (1, 0),
            StepStatus::RolledBack => (1, 1),
            _ => (0, 0),
        };
        if (completed, undone) != expected {
            wrong(format!(
                "step {} is {}, its log says completed {completed}, undone {undone}",
                step.step_id, step.status
            ));
        }
        let Some(result) = step.result.clone() else { continue };
        *verdict
            .known
            .entry(format!("{id} {}", if step.step_id == "last" { "message" } else { &step.step_id }))
            .or_default() += 1;
        if step.platform == Platform::Slack {
            continue;
        }
        let done = Done {
            platform: step.platform,
            action_type: step.action_type,
            data: step.data.clone(),
            result,
            before: None,
            marker: step.action_id.clone(),
            at: step.ended_at.unwrap_or_default(),
        };
        verdict.looked += 1;
        let seen = clients.inspect(&done, LOOK).await.unwrap_or_else(|e| panic!("{id} {}: {e}", step.step_id));
        let fits = match step.status {
            // A row that was blanked as the service died may be another's by the next look: the state says that.
            StepStatus::Completed => (seen == Seen::Present) != is_changed_since(step),
            StepStatus::RolledBack => matches!(seen, Seen::Missing(_) | Seen::Altered(_)),
            _ => false,
        };
        if !fits {
            wrong(format!("step {} is {}, the platform shows {seen:?}", step.step_id, step.status));
        }
    }
}

fn is_left(step: &WorkflowStep) -> bool {
    let undo = step.undo.as_ref().map(|undo| undo.status);
    matches!(undo, Some(UndoStatus::Failed | UndoStatus::Blocked | UndoStatus::Manual))
}

/// Whether its undo failed because somebody changed its object.
fn is_changed_since(step: &WorkflowStep) -> bool {
    let error = step.undo.as_ref().and_then(|undo| undo.error.as_ref());
    error.is_some_and(|error| error.code == ErrorCode::Conflict)
}

/// Looks for objects that were made twice or that no state knows of, and for objects that were changed twice: the only
/// change anything here makes to an object is its undo.
fn count_objects(sims: &Sims, verdict: &mut Verdict) {
    for api in sims.stats().into_values() {
        for (name, count) in api.created_by_name {
            let name = name.split(" | ").next().unwrap_or_default();
            if !name.starts_with("wk-") {
                continue;
            }
            if count > 1 {
                verdict.doubled.push(format!("{name}: {count}"));
            }
            if !verdict.known.contains_key(name) {
                verdict.orphaned.push(name.to_owned());
            }
        }
        let twice = api.changed.into_iter().filter(|(_, count)| *count > 1);
        verdict.undone_twice.extend(twice.map(|(object, count)| format!("{object}: {count}")));
    }
}

//! What was harmed behind the service's back is found, named, and left alone.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::with_sims::start;
use super::super::world::{World, cx};
use super::tamper;
use crate::platforms::Platform;
use crate::platforms::undo::Done;
use crate::sandbox::sim::{Fault, FaultSpec};
use crate::wire::*;

async fn compare(world: &World) -> IntegrityReport {
    asked(world, IntegrityRequest::default()).await
}

async fn asked(world: &World, request: IntegrityRequest) -> IntegrityReport {
    world.backend.runtime.compare(&request, |_, _| {}).await.unwrap()
}

/// Kind, step and next command of each finding.
fn found(report: &IntegrityReport) -> Vec<(IntegrityKind, &str, &str)> {
    let findings = report.findings.iter();
    findings.map(|f| (f.kind, f.step_id.as_deref().unwrap_or(""), f.next.as_str())).collect()
}

fn card_and_file(id: &str) -> Value {
    json!({"id": id, "name": "both", "steps": [
        {"id": "card", "type": "create", "platform": "trello", "data": {"name": format!("card of {id}")}},
        {"id": "file", "type": "file", "platform": "drive",
         "data": {"name": format!("{id}.txt"), "content": "x", "mimeType": "text/plain"}}
    ]})
}

/// What a step made, by the name of the id.
async fn made(world: &World, id: &str, step: usize, name: &str) -> String {
    let workflow = world.workflows().get(id).await.unwrap();
    workflow.steps[step].result.as_ref().unwrap()[name].as_str().unwrap().to_owned()
}

/// Does something on a platform that no workflow knows of.
async fn by_hand(world: &World, platform: &str, action_type: &str, data: Value) {
    let id = world.submit(json!({"platform": platform, "type": action_type, "data": data})).await;
    world.until(&id, ActionStatus::Success).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_that_are_gone_altered_or_back_are_named() {
    // Deletions would wait for a decision.
    let (sims, world) = start(&[("ENABLE_APPROVALS", "false")]).await;
    for id in ["gone", "changed", "back"] {
        world.workflow(card_and_file(id)).await;
        world.until_workflow(id, WorkflowStatus::Completed).await;
    }
    let clean = compare(&world).await;
    assert!(clean.is_clean(), "{clean:?}");
    assert_eq!((clean.workflows, clean.objects, clean.ok), (3, 6, 6));

    by_hand(&world, "drive", "delete", json!({"fileId": made(&world, "gone", 1, "fileId").await})).await;
    let report = compare(&world).await;
    assert_eq!(found(&report), [(IntegrityKind::Missing, "file", "opsctl workflow rollback gone --dry-run")]);
    assert_eq!((report.objects, report.ok, report.findings[0].platform), (6, 5, Some(Platform::Drive)));
    world.workflows().rollback("gone", RollbackMode::First, &cx()).await.unwrap();
    world.until_workflow("gone", WorkflowStatus::RolledBack).await;
    assert!(compare(&world).await.is_clean(), "what is gone was undone");

    let card = made(&world, "changed", 0, "cardId").await;
    by_hand(&world, "trello", "update", json!({"cardId": card, "name": "somebody else's"})).await;
    let report = compare(&world).await;
    assert_eq!(found(&report), [(IntegrityKind::Altered, "card", "opsctl workflow rollback changed --dry-run")]);
    let evidence = &report.findings[0].evidence;
    assert!(evidence[0].contains(&card) && evidence[1].contains("(update) wrote to it"), "{evidence:?}");
    by_hand(&world, "trello", "update", json!({"cardId": card, "name": "card of changed"})).await;

    let file = made(&world, "back", 1, "fileId").await;
    world.workflows().rollback("back", RollbackMode::First, &cx()).await.unwrap();
    world.until_workflow("back", WorkflowStatus::RolledBack).await;
    assert!(compare(&world).await.is_clean());
    let deletion = Done {
        platform: Platform::Drive,
        action_type: ActionType::Delete,
        data: json!({"fileId": file}),
        result: json!({"fileId": file}),
        before: None,
        marker: None,
        at: world.clock.now(),
    };
    world.backend.runtime.calls.undo(&deletion, true, Duration::from_secs(5)).await.unwrap();
    let report = compare(&world).await;
    assert_eq!(found(&report), [(IntegrityKind::Orphaned, "file", format!("opsctl drive delete {file}").as_str())]);
    let writes = sims.stats_of(Platform::Drive).writes;
    compare(&world).await;
    assert_eq!(sims.stats_of(Platform::Drive).writes, writes, "it only looks");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_workflow_wrote_over_is_that_ones_to_answer_for() {
    let (_sims, world) = start(&[]).await;
    world.workflow(card_and_file("first")).await;
    world.until_workflow("first", WorkflowStatus::Completed).await;
    let card = made(&world, "first", 0, "cardId").await;
    let renames = json!({"id": "second", "name": "renames", "steps": [
        {"id": "rename", "type": "update", "platform": "trello", "data": {"cardId": card, "name": "paid"}}
    ]});
    world.workflow(renames).await;
    world.until_workflow("second", WorkflowStatus::Completed).await;
    let report = compare(&world).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.objects, report.ok), (2, 2), "the card once, as its last workflow left it");
    by_hand(&world, "trello", "update", json!({"cardId": card, "name": "lost"})).await;
    let report = compare(&world).await;
    assert_eq!(found(&report), [(IntegrityKind::Altered, "rename", "opsctl workflow rollback second --dry-run")]);
    by_hand(&world, "trello", "update", json!({"cardId": card, "name": "paid"})).await;
    world.workflows().rollback("second", RollbackMode::First, &cx()).await.unwrap();
    world.until_workflow("second", WorkflowStatus::RolledBack).await;
    assert!(compare(&world).await.is_clean());
    by_hand(&world, "trello", "update", json!({"cardId": card, "name": "lost again"})).await;
    let report = compare(&world).await;
    assert_eq!(found(&report), [(IntegrityKind::Altered, "card", "opsctl workflow rollback first --dry-run")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_that_does_not_answer_is_unknown_and_soon_left_alone() {
    let (sims, world) = start(&[]).await;
    for id in ["a", "b", "c", "d", "e"] {
        world.workflow(card_and_file(id)).await;
        world.until_workflow(id, WorkflowStatus::Completed).await;
    }
    sims.fault(Platform::Trello, Fault::Down).unwrap();
    let report = compare(&world).await;
    assert_eq!((report.objects, report.ok, report.counts["unknown"]), (10, 5, 5));
    assert!(!report.is_clean());
    assert!(report.findings[0].what.contains("NETWORK_ERROR"), "{report:?}");
    assert!(report.findings[4].what.starts_with("not asked any more"), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_for_the_limit_is_waited_out() {
    let (sims, world) = start(&[]).await;
    world.workflow(card_and_file("w")).await;
    world.until_workflow("w", WorkflowStatus::Completed).await;
    let limited = FaultSpec::from(Fault::RateLimited { retry_after_secs: 1 });
    sims.fault(Platform::Trello, limited.times(2)).unwrap();
    let report = compare(&world).await;
    assert!(report.is_clean(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_and_logs_that_disagree_are_named_and_a_rebuild_repairs_them() {
    let (_sims, world) = start(&[]).await;
    for id in ["altered", "lost"] {
        world.workflow(card_and_file(id)).await;
        world.until_workflow(id, WorkflowStatus::Completed).await;
    }
    tamper(
        &world,
        "UPDATE workflows SET status = 3 WHERE id = 'altered';
         DELETE FROM workflow_steps WHERE workflow = (SELECT seq FROM workflows WHERE id = 'lost');
         DELETE FROM workflows WHERE id = 'lost';",
    )
    .await;
    let report = compare(&world).await;
    let expected = [
        (IntegrityKind::Lost, "", "opsctl state rebuild lost --dry-run"),
        (IntegrityKind::StateDiffers, "", "opsctl state rebuild altered --dry-run"),
    ];
    assert_eq!(found(&report), expected);
    assert_eq!((report.workflows, report.objects, report.ok), (2, 4, 4), "the log says what to look for");
    assert_eq!(compare(&world).await.counts, report.counts, "nothing was put right");
    for id in ["altered", "lost"] {
        world.workflows().rebuild(id, &cx()).await.unwrap();
    }
    assert!(compare(&world).await.is_clean());

    tamper(&world, "DELETE FROM workflow_events WHERE workflow = 'lost' AND kind > 0;").await;
    tamper(&world, "DELETE FROM workflow_events WHERE workflow = 'altered';").await;
    let kinds: Vec<_> = compare(&world).await.findings.into_iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.contains(&IntegrityKind::StateDiffers) && kinds.contains(&IntegrityKind::LogUnreadable), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_or_some_or_none_are_compared_page_by_page() {
    const COPIES: u64 = 450;
    let (_sims, world) = start(&[]).await;
    let empty = compare(&world).await;
    assert_eq!((empty.workflows, empty.is_clean()), (0, true));
    world.workflow(card_and_file("seed")).await;
    world.until_workflow("seed", WorkflowStatus::Completed).await;
    tamper(
        &world,
        "CREATE TEMP TABLE copies AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) \
           SELECT i FROM n;
         INSERT INTO workflows (seq, id, status, version, created_at, updated_at, time_limit, name, steps, fingerprint, body)
           SELECT seq + i, 'copy-' || i, status, version, created_at, updated_at, time_limit, name, steps, fingerprint,
             replace(body, '\"seed\"', '\"copy-' || i || '\"') FROM workflows, copies;
         INSERT INTO workflow_steps SELECT s.workflow + i, place, s.id, status, body FROM workflow_steps s, copies
           WHERE s.workflow = (SELECT seq FROM workflows WHERE id = 'seed');
         INSERT INTO workflow_events (at, workflow, kind, step, data, by)
           SELECT at, 'copy-' || i, kind, step, replace(data, '\"seed\"', '\"copy-' || i || '\"'), by
           FROM workflow_events, copies WHERE workflow = 'seed';
         DELETE FROM workflows WHERE id IN ('copy-7', 'copy-300');
         UPDATE workflows SET status = 3 WHERE id = 'copy-1';",
    )
    .await;
    let states = IntegrityRequest { states_only: true, ..IntegrityRequest::default() };
    let told = std::sync::Mutex::new(Vec::new());
    let report = world.backend.runtime.compare(&states, |done, total| told.lock().unwrap().push((done, total))).await;
    let report = report.unwrap();
    assert_eq!((report.workflows, report.objects, report.left_out), (COPIES + 1, 0, 0));
    assert_eq!(report.counts, [("lost".to_owned(), 2), ("state_differs".to_owned(), 1)].into(), "{report:?}");
    let told = told.into_inner().unwrap();
    assert_eq!((told[0].0, *told.last().unwrap()), (0, (COPIES, COPIES + 1)));

    let some = asked(&world, IntegrityRequest { limit: Some(300), ..states.clone() }).await;
    assert_eq!((some.workflows, some.left_out), (300, COPIES + 1 - 300));
    let later = world.clock.now() + Duration::from_secs(60);
    let none = asked(&world, IntegrityRequest { since: Some(later), ..states.clone() }).await;
    assert_eq!((none.workflows, none.is_clean()), (0, true), "{none:?}");
    let one = |id: &str| IntegrityRequest { workflow_id: Some(id.into()), ..states.clone() };
    let differs = asked(&world, one("copy-1")).await;
    assert_eq!(found(&differs), [(IntegrityKind::StateDiffers, "", "opsctl state rebuild copy-1 --dry-run")]);
    assert!(differs.findings[0].evidence[0].starts_with("status: stored "), "{differs:?}");
    assert!(asked(&world, one("copy-2")).await.is_clean());
    let unknown = world.backend.runtime.compare(&one("nobody"), |_, _| {}).await.unwrap_err();
    assert_eq!(unknown.code, ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_belongs_to_nothing_is_named() {
    let world = World::start(&[]);
    world.pause(PauseScope::Queue).await;
    world.workflow(super::files("w", 1)).await;
    tamper(
        &world,
        "INSERT INTO idempotency (seq, key, fingerprint, created_at, expires_at) VALUES (999, 'k', '', 0, 1);",
    )
    .await;
    tamper(&world, "DELETE FROM workflows; DELETE FROM workflow_steps; DELETE FROM workflow_events;").await;
    let report = compare(&world).await;
    let words: Vec<_> = report.findings.iter().map(|finding| finding.what.as_str()).collect();
    assert_eq!(report.counts, [("stranded".to_owned(), 2)].into(), "{report:?}");
    assert!(words[0].contains("action w-f0") && words[1].contains("idempotency key k"), "{words:?}");
}

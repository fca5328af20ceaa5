use std::time::Duration;

use super::*;
use crate::wire::{Component, Platform, QueueView, RollbackMode, WorkflowStatus};

#[tokio::test]
async fn everything_that_cannot_be_read_is_refused_in_the_envelope() {
    let world = World::new();
    let large = format!(r#"{{"value":"{}"}}"#, "x".repeat(1024 * 1024));
    let ids: Vec<String> = (0..10_001).map(|n| format!("\"{n}\"")).collect();
    let many = format!(r#"{{"ids":[{}]}}"#, ids.join(","));
    let workflow = |steps: &str| format!(r#"{{"name":"x","steps":[{steps}]}}"#);
    let step = |fields: &str| format!(r#"{{"id":"a","type":"file","platform":"drive","data":{{}},{fields}}}"#);
    let action = |fields: &str| format!(r#"{{"type":"create","platform":"notion","data":{{}},{fields}}}"#);
    let cases: Vec<(&str, &str, String, u16, &str)> = vec![
        ("GET", "/api/actions/recent?limit=0", String::new(), 400, "from 1 to 500"),
        ("GET", "/api/actions/recent?limit=501", String::new(), 400, "from 1 to 500"),
        ("GET", "/api/actions/recent?limit=-1", String::new(), 400, "query"),
        ("GET", "/api/actions/recent?limit=1&limit=2", String::new(), 400, "duplicate"),
        ("GET", "/api/actions/recent?platform=jira", String::new(), 400, "jira"),
        ("GET", "/api/actions/recent?startDate=yesterday", String::new(), 400, "query"),
        ("GET", "/api/actions/recent?colour=red", String::new(), 400, "no query parameter `colour`"),
        ("GET", "/api/actions/metrics?timeWindow=2h", String::new(), 400, "2h"),
        ("GET", "/queue?dryRun=true", String::new(), 400, "it takes none"),
        ("POST", "/admin/v1/queue/clear?dryRun=true", "{}".into(), 400, "no query parameter `dryRun`"),
        ("GET", "/admin/v1/metrics/performance?window=10", String::new(), 400, "from 1000"),
        ("POST", "/admin/v1/circuits/jira/reset", String::new(), 400, "jira"),
        ("GET", "/admin/v1/components/fridge/check", String::new(), 400, "fridge"),
        ("GET", "/admin/v1/actions/none", String::new(), 404, "none"),
        ("GET", "/admin/v1/config/QUEUE_WORKER", String::new(), 404, "did you mean QUEUE_WORKERS"),
        ("PUT", "/admin/v1/config/QUEUE_WORKERS", r#"{"value":"0"}"#.into(), 400, "from 1 to 256"),
        ("PUT", "/admin/v1/config/QUEUE_WORKERS", r#"{"value":"3","why":1}"#.into(), 400, "why"),
        ("PUT", "/admin/v1/config/QUEUE_WORKERS", large, 413, "1048576"),
        ("POST", "/admin/v1/pauses", String::new(), 400, "scope"),
        ("POST", "/admin/v1/pauses", "{\"scope\":".into(), 400, "cannot be read"),
        ("POST", "/admin/v1/pauses", "[1]".into(), 400, "cannot be read"),
        ("POST", "/admin/v1/pauses", r#"{"scope":"queue","slowStart":true}"#.into(), 400, "for a resume"),
        ("POST", "/admin/v1/queue/retry", r#"{"ids":[]}"#.into(), 400, "1 to 10000"),
        ("POST", "/admin/v1/queue/retry", many, 400, "1 to 10000"),
        ("POST", "/admin/v1/queue/retry", r#"{"ids":["a"],"perSecond":0}"#.into(), 400, "perSecond"),
        ("POST", "/admin/v1/components/workers/restart", r#"{"drainTimeout":600001}"#.into(), 400, "drainTimeout"),
        ("POST", "/admin/v1/tokens", r#"{"name":"","role":"viewer"}"#.into(), 400, "name"),
        ("POST", "/admin/v1/tokens", r#"{"name":"x","role":"root"}"#.into(), 400, "root"),
        ("POST", "/admin/v1/actions", "[]".into(), 400, "1 to 1000"),
        ("POST", "/admin/v1/actions", action(r#""timeout":0"#), 400, "timeout"),
        ("POST", "/admin/v1/actions", action(r#""id":"""#), 400, "`id`"),
        ("POST", "/admin/v1/actions", action(r#""id":"a\u0007b""#), 400, "control"),
        ("POST", "/admin/v1/actions", action(r#""retryConfig":{"maxRetries":21}"#), 400, "maxRetries"),
        ("POST", "/admin/v1/actions", action(r#""color":1"#), 400, "color"),
        ("POST", "/admin/v1/actions", r#"{"type":"create","platform":"notion","data":[]}"#.into(), 400, "object"),
        ("POST", "/admin/v1/actions", format!("[{}]", action(r#""tags":["\n"]"#)), 400, "action 0: `tags`"),
        ("GET", "/admin/v1/idempotency/keys?limit=0", String::new(), 400, "from 1 to 10000"),
        ("GET", "/admin/v1/idempotency/keys?view=lost", String::new(), 400, "lost"),
        ("GET", "/admin/v1/idempotency/keys/none", String::new(), 404, "key `none`"),
        ("GET", "/admin/v1/approvals?status=decided", String::new(), 400, "decided"),
        ("GET", "/admin/v1/logs/lines?log=nowhere", String::new(), 400, "nowhere"),
        ("GET", "/admin/v1/logs/lines?grep=/a(/", String::new(), 400, "character"),
        ("GET", "/admin/v1/approvals/none", String::new(), 404, "approval `none`"),
        ("POST", "/api/approvals/apv-a-1/approve", "{}".into(), 400, "userId"),
        ("POST", "/api/approvals/apv-a-1/reject", r#"{"userId":"ana"}"#.into(), 400, "reason"),
        ("POST", "/api/approvals/apv-a-1/reject", r#"{"userId":"ana","reason":" "}"#.into(), 400, "`reason`"),
        ("GET", "/admin/v1/workflows?status=failed,lost", String::new(), 400, "lost"),
        ("GET", "/admin/v1/workflows?limit=0", String::new(), 400, "from 1 to 10000"),
        ("GET", "/admin/v1/workflows/none", String::new(), 404, "workflow none"),
        ("GET", "/admin/v1/workflows/none/rollback?mode=again", String::new(), 400, "again"),
        ("GET", "/admin/v1/logs/workflows?workflowId=none", String::new(), 404, "workflow none"),
        ("POST", "/admin/v1/workflows", "{\"name\":\"x\",}".into(), 400, "line 1 column 13"),
        ("POST", "/admin/v1/workflows", workflow(""), 400, "1 to 1000"),
        (
            "POST",
            "/admin/v1/workflows",
            workflow(r#"{"id":"a","type":"create","platform":"fax","data":{}}"#),
            400,
            "fax",
        ),
        ("POST", "/admin/v1/workflows", workflow(&step(r#""timeout":0"#)), 400, "step 0 (`a`): `timeout`"),
        ("POST", "/admin/v1/workflows", workflow(&step(r#""dependsOn":7"#)), 400, "cannot be read"),
        ("POST", "/admin/v1/workflows", workflow(&step(r#""rollback":"x""#)), 400, "rollback"),
        ("POST", "/admin/v1/workflows/invoice-001/rollback", String::new(), 400, "mode"),
        ("POST", "/admin/v1/clock", r#"{"offsetMs":-1}"#.into(), 409, "go back"),
        ("GET", "/nothing/here", String::new(), 404, "/nothing/here"),
        ("POST", "/queue", "{}".into(), 405, "does not accept POST"),
        ("PATCH", "/admin/v1/config/QUEUE_WORKERS", "{}".into(), 405, "does not accept PATCH"),
    ];
    for (method, path, body, status, part) in cases {
        let got = world.ask(method, path, &body).await;
        assert_eq!(got.refusal().0, status, "{method} {path} {}", got.text);
        assert!(got.text.contains(part), "{method} {path}: {}", got.text);
        assert_eq!(got.header("content-type"), Some("application/json"));
        assert!(got.header("x-request-id").is_some());
    }
    assert!(world.fake.seen.lock().unwrap().contexts.is_empty(), "nothing reached the backend");
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let world = World::new();
    let body = r#"{"scope":"queue"}"#;
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let headers = [("content-type", kind)];
        let got = world.as_role(Role::Admin, "POST", "/admin/v1/pauses", body, &headers).await;
        assert_eq!(got.refusal(), (415, "VALIDATION_ERROR"), "{kind}");
    }
    let headers = [("content-type", "application/json; charset=utf-8")];
    let got = world.as_role(Role::Admin, "POST", "/admin/v1/pauses", body, &headers).await;
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn parameters_reach_the_backend_as_they_were_meant() {
    let world = World::new();
    world.ask("GET", "/admin/v1/queue/items?view=stuck&platform=slack&olderThan=60000&limit=7", "").await;
    let path =
        "/api/context/actions?limit=9&userId=user-123&source=member-2&tags=a,%20b,&startDate=2025-10-17T10:30:45Z";
    world.ask("GET", path, "").await;
    world.ask("GET", "/api/actions/recent?status=pending&offset=20", "").await;
    world.ask("GET", "/recent-errors?limit=3&component=executor&platform=trello", "").await;
    world.ask("POST", "/admin/v1/executors/drive/restart", "").await;
    world.ask("POST", "/admin/v1/components/queue/restart", r#"{"drainTimeout":1}"#).await;
    let seen = world.fake.seen.lock().unwrap();
    let items = &seen.items[0];
    assert_eq!((items.view, items.platform, items.older_than), (QueueView::Stuck, Some(Platform::Slack), Some(60_000)));
    assert_eq!(items.limit, Some(7));
    let context = &seen.actions[0];
    assert_eq!(
        (context.limit, context.user_id.as_deref(), context.tags.join("|").as_str()),
        (9, Some("user-123"), "a|b")
    );
    assert_eq!(context.start.unwrap().to_string(), "2025-10-17T10:30:45.000Z");
    assert_eq!((seen.actions[1].offset, seen.actions[1].limit), (20, 50));
    assert_eq!((seen.errors[0].limit, seen.errors[0].component.as_deref()), (3, Some("executor")));
    let ten = Duration::from_secs(10);
    assert_eq!(seen.drains[0], (Component::Executors, Some(Platform::Drive), ten));
    assert_eq!(seen.drains[1], (Component::Queue, None, Duration::from_millis(1)));
}

#[tokio::test]
async fn a_decision_is_the_credentials_and_the_body_only_claims() {
    let world = World::new();
    let claim = r#"{"userId":"the boss"}"#;
    let got = world.as_role(Role::Operator, "POST", "/api/approvals/apv-a-1/approve", claim, &[]).await;
    let by = got.body["approvedBy"].as_str().unwrap();
    assert!(by.starts_with("the boss (") && by.contains("operator"), "{by}");
    let fields: Vec<&String> = got.body.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["status", "approvalId", "actionId", "approvedBy", "timestamp"]);
    let got = world.as_role(Role::Viewer, "POST", "/api/approvals/apv-a-1/approve", claim, &[]).await;
    assert_eq!(got.status, 403);
    for (method, path, body, words) in [
        ("POST", "/api/approvals/late/approve", claim, "rejected by ben"),
        ("DELETE", "/admin/v1/idempotency/keys/locked", "", "action a-1 is pending"),
    ] {
        let got = world.ask(method, path, body).await;
        assert!(got.status == 409 && got.text.contains(words), "{path}: {}", got.text);
    }
}

#[tokio::test]
async fn what_is_asked_of_workflows_reaches_the_backend() {
    let world = World::new();
    world
        .ask("GET", "/admin/v1/workflows?status=failed,%20rollback_failed&hideCleared=true&limit=7&offset=14", "")
        .await;
    world.ask("GET", "/admin/v1/logs/workflows?workflowId=invoice-001&rollbackOnly=true&limit=3", "").await;
    world.ask("POST", "/admin/v1/workflows/invoice-001/rollback", r#"{"mode":"force"}"#).await;
    let body = r#"{"name":"x","rollbackOnFailure":false,"context":{"n":1},
        "steps":[{"id":"a","type":"file","platform":"drive","data":{},"dependsOn":"z"}]}"#;
    let key = [("idempotency-key", "k-1")];
    let got = world.as_role(Role::Operator, "POST", "/admin/v1/workflows", body, &key).await;
    assert_eq!(got.status, 202, "{}", got.text);
    let seen = world.fake.seen.lock().unwrap();
    let filter = &seen.workflow_filters[0];
    assert_eq!(filter.statuses, [WorkflowStatus::Failed, WorkflowStatus::RollbackFailed]);
    assert_eq!((filter.hide_cleared, filter.limit, filter.offset), (true, 7, 14));
    let events = &seen.events[0];
    assert_eq!((events.workflow_id.as_deref(), events.rollback_only, events.limit), (Some("invoice-001"), true, 3));
    assert_eq!(seen.rollbacks, [RollbackMode::Force]);
    let workflow = &seen.workflows[0];
    assert!(!workflow.transactional && workflow.metadata["n"] == 1);
    assert_eq!(workflow.steps[0].depends_on.as_deref(), Some(["z".to_owned()].as_slice()));
    assert!(workflow.id.as_ref().is_some_and(|id| id.starts_with("wf-")), "named by its key: {:?}", workflow.id);
}

#[tokio::test]
async fn who_is_at_work_on_a_workflow_is_in_the_refusal() {
    let world = World::new();
    let got = world.ask("POST", "/admin/v1/workflows/leased/rollback", r#"{"mode":"retry"}"#).await;
    assert_eq!(got.refusal(), (409, "CONFLICT"));
    assert_eq!(got.body["error"]["details"]["lease"]["operation"], "rollback retry");
    let headers = [("if-match", "\"11\"")];
    let resolve = "/admin/v1/workflows/invoice-001/resolve";
    assert_eq!(world.as_role(Role::Operator, "POST", resolve, "{}", &headers).await.refusal(), (412, "CONFLICT"));
}

#[tokio::test]
async fn a_panic_in_the_backend_is_an_answer() {
    let world = World::new();
    let body = r#"{"type":"create","platform":"notion","data":{},"userId":"panic"}"#;
    let got = world.ask("POST", "/admin/v1/actions", body).await;
    assert_eq!(got.refusal(), (500, "UNKNOWN_ERROR"));
    assert!(!got.text.contains("a bug in the backend"));
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let world = World::new();
    let body = r#"{"type":"create","platform":"notion","data":{},"userId":"full"}"#;
    let got = world.ask("POST", "/admin/v1/actions", body).await;
    assert_eq!(got.refusal(), (503, "QUEUE_FULL"));
    assert!(got.header("retry-after").is_some() && got.body["error"]["retriable"] == true);
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let world = World::new();
    let got = world.raw("GET", "/queue", "", &[("x-request-id", "req-7f3a")]).await;
    assert_eq!(got.header("x-request-id"), Some("req-7f3a"));
    let got = world.raw("GET", "/queue", "", &[("x-request-id", "not a word")]).await;
    assert_ne!(got.header("x-request-id"), Some("not a word"));
}

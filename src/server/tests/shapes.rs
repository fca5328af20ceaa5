use std::collections::BTreeSet;

use super::*;
use crate::wire::json_schema::misfits;

/// The document's template and operation for a concrete path.
fn operation<'a>(document: &'a Value, method: &str, path: &str) -> (&'a str, &'a Value) {
    let path = path.split('?').next().unwrap();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let names: Vec<&str> = template.split('/').collect();
        names.len() == parts.len() && names.iter().zip(&parts).all(|(n, p)| n.starts_with('{') || n == p)
    };
    let paths = document["paths"].as_object().unwrap();
    let exact = paths.get_key_value(path);
    let found = exact.or_else(|| paths.iter().find(|(template, _)| fits(template)));
    let (template, item) = found.unwrap_or_else(|| panic!("{path} is not in the document"));
    (template, &item[method.to_ascii_lowercase()])
}

#[tokio::test]
async fn every_operation_answers_its_own_schema() {
    let world = World::new();
    let document = world.ask("GET", "/admin/v1/openapi.json", "").await.body;
    let mut called = BTreeSet::new();
    for (method, path, body) in calls(&world).await {
        let got = world.ask(method, &path, body).await;
        assert!(got.status.is_success(), "{method} {path}: {} {}", got.status, got.text);
        let (template, operation) = operation(&document, method, &path);
        let response = &operation["responses"][got.status.as_str()];
        let content = response["content"].as_object().unwrap();
        let (kind, schema) = content.iter().next().map(|(kind, of)| (kind.as_str(), &of["schema"])).unwrap();
        assert!(schema.is_object(), "{method} {path}: no schema for {}", got.status);
        let answers = match kind {
            "application/jsonl" => got.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
            _ => vec![got.body.clone()],
        };
        for answer in answers {
            assert_eq!(misfits(&document, schema, &answer), Vec::<String>::new(), "{method} {path}");
        }
        called.insert(format!("{method} {template}"));
    }
    let methods = ["get", "put", "post", "delete"];
    let listed = document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let present = methods.into_iter().filter(|m| item.get(m).is_some());
        present.map(move |m| format!("{} {path}", m.to_uppercase()))
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), called, "the document lists what is served, and nothing else");
}

#[tokio::test]
async fn the_document_is_complete() {
    let world = World::new();
    let document = world.ask("GET", "/admin/v1/openapi.json", "").await.body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let mut ids = BTreeSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values().filter(|o| o.is_object()) {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()), "an operation id is used twice");
            assert!(operation["security"].is_array() && operation["summary"].is_string());
            let envelope = "#/components/schemas/ErrorBody";
            let default = &operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(default, envelope);
        }
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} is nowhere");
    }
}

fn collect_references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
        found.push(reference);
    }
    for member in value.as_object().into_iter().flat_map(|o| o.values()) {
        collect_references(member, found);
    }
    for member in value.as_array().into_iter().flatten() {
        collect_references(member, found);
    }
}

#[tokio::test]
async fn the_monitoring_urls_have_exactly_the_runbooks_fields() {
    let world = World::new();
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let queue = world.raw("GET", "/queue", "", &[]).await.body;
    assert_eq!(fields(&queue), "totalQueued byPriority avgWaitTime workerUtilization");
    assert_eq!(fields(&queue["byPriority"]), "critical high normal low");
    let circuits = world.raw("GET", "/circuit-breakers", "", &[]).await.body;
    assert_eq!(fields(&circuits[0]), "platform state failureCount lastFailure openedAt willResetAt");
    let limits = world.raw("GET", "/api/rate-limits", "", &[]).await.body;
    assert_eq!(fields(&limits[0]), "platform current limit window percentage resetAt");
    let health = world.raw("GET", "/health", "", &[]).await.body;
    assert_eq!(fields(&health), "overall executors queue");
    let metrics = world.raw("GET", "/metrics", "", &[]).await.body;
    assert_eq!(fields(&metrics), "timeWindow metrics byPlatform timeline");
}

#[tokio::test]
async fn metrics_are_text_for_a_scraper_that_asks() {
    let world = World::new();
    let open = world.raw("GET", "/metrics", "", &[("accept", "application/openmetrics-text; version=1.0.0")]).await;
    assert!(open.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.text.ends_with("# EOF\n"));
    let plain = world.raw("GET", "/metrics", "", &[("accept", "text/plain; version=0.0.4, */*;q=0.1")]).await;
    assert!(plain.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let json = world.raw("GET", "/metrics", "", &[("accept", "*/*")]).await;
    assert_eq!(json.header("content-type"), Some("application/json"));
}

#[tokio::test]
async fn one_thing_carries_its_version() {
    let world = World::new();
    assert_eq!(world.ask("GET", "/admin/v1/queue/items/a-1", "").await.header("etag"), Some("\"4\""));
    assert_eq!(world.ask("GET", "/admin/v1/config/BATCH_SIZE", "").await.header("etag"), Some("\"0\""));
    assert_eq!(world.ask("GET", "/admin/v1/idempotency/keys/sig%2F1", "").await.header("etag"), Some("\"4\""));
    for path in ["", "/rollback", "/rebuild"] {
        let path = format!("/admin/v1/workflows/invoice-001{path}");
        assert_eq!(world.ask("GET", &path, "").await.header("etag"), Some("\"12\""), "{path}");
    }
}

#[tokio::test]
async fn absent_groups_are_said_to_be_absent() {
    let dir = scratch("routes");
    let (state, _) = state_in(&dir, true);
    let router = super::super::router(state, true);
    let request = Request::builder().uri("/circuit-breakers").header("host", "localhost").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::NOT_IMPLEMENTED);
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("UNSUPPORTED"));
}

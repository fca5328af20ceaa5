use super::*;

const CREATE: &str = r#"{"type":"create","platform":"notion","data":{"title":"x"}}"#;

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_also_after_a_restart() {
    let world = World::new();
    let key = [("idempotency-key", "k-1")];
    let clear = |body: &'static str| world.as_role(Role::Admin, "POST", "/admin/v1/queue/clear", body, &key);
    let first = clear(r#"{"stuckOnly":true}"#).await;
    let second = clear(r#"{"stuckOnly":true}"#).await;
    assert_eq!((first.status, &first.text), (second.status, &second.text));
    assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), (None, Some("true")));
    let other = clear(r#"{"stuckOnly":false}"#).await;
    assert_eq!(other.refusal(), (409, "CONFLICT"));
    assert_eq!(world.fake.seen.lock().unwrap().contexts.len(), 1, "carried out once");

    let elsewhere = world.as_role(Role::Operator, "POST", "/admin/v1/caches/clear", "", &key).await;
    assert_eq!(elsewhere.status, 200, "another token's key is another key");

    let (state, fake) = state_in(&world.dir, false);
    let after = World { router: super::super::router(state.clone(), true), state, fake, ..world };
    let third = after.as_role(Role::Admin, "POST", "/admin/v1/queue/clear", r#"{"stuckOnly":true}"#, &key).await;
    assert_eq!(third.text, first.text);
    assert!(after.fake.seen.lock().unwrap().contexts.is_empty());
}

#[tokio::test]
async fn a_refused_request_does_not_use_up_its_key() {
    let world = World::new();
    let key = [("idempotency-key", "k-1")];
    let got = world.as_role(Role::Admin, "POST", "/admin/v1/pauses", "{}", &key).await;
    assert_eq!(got.refusal().0, 400);
    let got = world.as_role(Role::Admin, "POST", "/admin/v1/pauses", r#"{"scope":"queue"}"#, &key).await;
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn submissions_under_a_key_carry_ids_that_survive_a_lost_answer() {
    let world = World::new();
    let two = format!("[{CREATE},{CREATE}]");
    let submit = |key: &'static str| {
        let world = &world;
        let two = two.clone();
        async move { world.as_role(Role::Operator, "POST", "/admin/v1/actions", &two, &[("idempotency-key", key)]).await }
    };
    assert_eq!(submit("k-1").await.status, 202);
    // The service dies before the first answer is kept: its file is gone, the engine's ids are not.
    let (mut state, fake) = state_in(&world.dir, false);
    let empty = scratch("replay");
    state.replays = Arc::new(Replays::open(empty.path(), Time(0)).unwrap());
    let router = super::super::router(state.clone(), true);
    let again = World { router, state, fake, dir: scratch("unused"), tokens: world.tokens.clone() };
    again.as_role(Role::Operator, "POST", "/admin/v1/actions", &two, &[("idempotency-key", "k-1")]).await;
    let (before, after) = (world.fake.seen.lock().unwrap(), again.fake.seen.lock().unwrap());
    assert_eq!(before.submitted, after.submitted);
    assert!(before.submitted.iter().all(Option::is_some) && before.submitted[0] != before.submitted[1]);
}

#[tokio::test]
async fn a_version_that_moved_answers_412_and_a_forbidden_change_409() {
    let world = World::new();
    let remove = |id: &str, seen: Option<&'static str>| {
        let headers: Vec<_> = seen.map(|v| ("if-match", v)).into_iter().collect();
        let path = format!("/admin/v1/queue/items/{id}");
        let world = &world;
        async move { world.as_role(Role::Admin, "DELETE", &path, "", &headers).await }
    };
    assert_eq!(remove("a-1", Some("\"4\"")).await.status, 200);
    assert_eq!(remove("a-1", Some("\"3\"")).await.refusal(), (412, "CONFLICT"));
    assert_eq!(remove("running", None).await.refusal(), (409, "CONFLICT"));
    assert_eq!(remove("a-1", Some("soon")).await.refusal(), (400, "VALIDATION_ERROR"));

    let set = |seen: &'static str| {
        let world = &world;
        let headers = [("if-match", seen)];
        async move {
            world.as_role(Role::Operator, "PUT", "/admin/v1/config/BATCH_SIZE", r#"{"value":"20"}"#, &headers).await
        }
    };
    assert_eq!(set("\"0\"").await.header("etag"), Some("\"1\""));
    assert_eq!(set("\"0\"").await.refusal(), (412, "CONFLICT"));
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_refused_ones_included() {
    let world = World::new();
    let why =
        [("x-opsctl-reason", "gr%C3%BCn%20machen"), ("x-opsctl-ticket", "OPS-7"), ("x-opsctl-operator", "ana@bastion")];
    let done = world.as_role(Role::Operator, "POST", "/admin/v1/circuits/notion/reset", "", &why).await;
    world.as_role(Role::Viewer, "POST", "/admin/v1/pauses", r#"{"scope":"all"}"#, &why).await;
    world.raw("DELETE", "/admin/v1/queue/items/a-1", "", &[]).await;
    world.ask("PUT", "/admin/v1/config/NOTION_API_KEY", r#"{"value":"ntn_planted0123456789"}"#).await;
    world.as_role(Role::Operator, "POST", "/admin/v1/pauses", r#"{"scope":"all"}"#, &[]).await;
    world.as_role(Role::Operator, "POST", "/admin/v1/actions", CREATE, &[]).await;
    let records = world.audited().await;
    let line = |at: usize| {
        let record = &records[at];
        let text = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
        let actor = text("actor").split(' ').next_back().unwrap_or_default().to_owned();
        format!("{actor}: {} [{}] {}", text("action"), text("subject"), text("outcome"))
    };
    assert_eq!(records.len(), 5, "an accepted action is its own record");
    assert_eq!(line(4), "operator: POST /admin/v1/circuits/notion/reset [notion] applied");
    assert_eq!(line(3), "viewer: POST /admin/v1/pauses [-] PERMISSION_DENIED");
    assert_eq!(line(2), "anonymous: DELETE /admin/v1/queue/items/a-1 [-] AUTH_ERROR");
    assert_eq!(line(1), "admin: PUT /admin/v1/config/NOTION_API_KEY [NOTION_API_KEY] applied");
    assert_eq!(line(0), "operator: POST /admin/v1/pauses [all] applied");
    assert_eq!(records[4]["id"], done.body["auditId"]);
    assert_eq!(records[4]["reason"], "grün machen");
    assert_eq!((&records[4]["ticket"], &records[4]["operator"]), (&"OPS-7".into(), &"ana@bastion".into()));
    assert_eq!(records[3]["reason"], "grün machen");
    let file = std::fs::read_to_string(world.dir.path().join("audit.jsonl")).unwrap();
    assert!(!file.contains("ntn_planted") && file.lines().count() == 5);

    let newest = world.ask("GET", "/admin/v1/audit?limit=1", "").await.body;
    assert_eq!(newest["records"], Value::from(vec![records[0].clone()]));
    let later = (world.state.clock.now() + std::time::Duration::from_secs(60)).to_string();
    assert_eq!(
        world.ask("GET", &format!("/admin/v1/audit?since={later}"), "").await.body["records"],
        Value::from(vec![0; 0])
    );
}

#[tokio::test]
async fn a_setting_waits_for_its_restart_and_the_restart_says_what_it_applied() {
    let world = World::new();
    let set = world.ask("PUT", "/admin/v1/config/QUEUE_WORKERS", r#"{"value":"10"}"#).await.body;
    assert_eq!((&set["value"], &set["pending"], &set["restart"]), (&"5".into(), &"10".into(), &"workers".into()));
    let system = world.ask("GET", "/admin/v1/system", "").await.body;
    assert_eq!(system["pendingSettings"][0], "QUEUE_WORKERS 5 -> 10 (workers)");
    let restart = world.ask("POST", "/admin/v1/components/workers/restart", "").await.body;
    assert_eq!(restart["applied"][0], "QUEUE_WORKERS 5 -> 10");
    assert!(restart["auditId"].is_string());
    assert_eq!(world.ask("GET", "/admin/v1/config/QUEUE_WORKERS", "").await.body["value"], "10");
}

#[tokio::test]
async fn a_token_works_until_it_is_revoked_and_its_value_is_kept_nowhere() {
    let world = World::new();
    let key = [("idempotency-key", "t-1")];
    let request = r#"{"name":"ci","role":"viewer"}"#;
    let made = world.as_role(Role::Admin, "POST", "/admin/v1/tokens", request, &key).await;
    assert_eq!(made.status, 201);
    let again = world.as_role(Role::Admin, "POST", "/admin/v1/tokens", request, &key).await;
    assert_eq!(again.text, made.text, "a retry gets the same token");
    let value = made.body["value"].as_str().unwrap().to_owned();
    let bearer = format!("Bearer {value}");
    let ask = async || world.raw("GET", "/admin/v1", "", &[("authorization", &bearer)]).await;
    assert_eq!(ask().await.body["role"], "viewer");
    let id = made.body["token"]["id"].as_str().unwrap();
    let revoked = world.ask("DELETE", &format!("/admin/v1/tokens/{id}"), "").await;
    assert_eq!(revoked.body["effect"], "applied");
    assert_eq!(ask().await.refusal(), (401, "AUTH_ERROR"));
    for file in std::fs::read_dir(world.dir.path()).unwrap() {
        let path = file.unwrap().path();
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&value), "{}", path.display());
    }
}

#[tokio::test]
async fn the_clock_moves_forward_and_only_in_the_sandbox() {
    let world = World::new();
    assert_eq!(world.ask("POST", "/admin/v1/clock", r#"{"offsetMs":60000}"#).await.status, 200);
    assert_eq!(world.state.clock.offset_ms(), 60_000);
    assert_eq!(world.ask("POST", "/admin/v1/clock", r#"{"offsetMs":1}"#).await.refusal(), (409, "CONFLICT"));
    let production = World::with(true, |state| state.sandbox = false);
    assert_eq!(production.ask("POST", "/admin/v1/clock", r#"{"offsetMs":60000}"#).await.refusal().0, 404);
    let document = production.ask("GET", "/admin/v1/openapi.json", "").await;
    assert!(!document.text.contains("/admin/v1/clock"));
}

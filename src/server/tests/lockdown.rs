use super::*;
use crate::server::access::OPEN_ON_LOOPBACK;
use crate::server::lockdown::Lockdowns;
use crate::server::tokens::{ADMIN_FILE, BREAK_GLASS_FILE};

fn token_of(world: &World, file: &str) -> String {
    let value = std::fs::read_to_string(world.dir.path().join(file)).unwrap();
    format!("Bearer {}", value.trim())
}

async fn with(world: &World, bearer: &str, method: &str, path: &str, body: &str) -> Got {
    world.raw(method, path, body, &[("authorization", bearer)]).await
}

#[tokio::test]
async fn every_token_is_tried_and_only_break_glass_gets_in() {
    let world = World::new();
    let calls = calls(&world).await;
    let break_glass = token_of(&world, BREAK_GLASS_FILE);
    let mut others: Vec<String> = world.tokens.values().map(|value| format!("Bearer {value}")).collect();
    others.push(token_of(&world, ADMIN_FILE));
    let done = world.ask("POST", "/admin/v1/security/lockdown", "").await;
    assert_eq!((done.status.as_u16(), &done.body["effect"]), (200, &"applied".into()), "{}", done.text);
    // Three roles, the first start's admin, and the spare one.
    assert_eq!(done.body["items"].as_array().unwrap().len(), 5);

    let mut changed = Vec::new();
    for (method, path, body) in calls.iter().filter(|(_, path, _)| !path.contains("/security/")) {
        for other in &others {
            let got = with(&world, other, method, path, body).await;
            assert_eq!(got.refusal(), (423, "LOCKED_DOWN"), "{method} {path}");
        }
        let unknown = with(&world, "Bearer opsctl_wrong", method, path, body).await;
        assert_eq!(unknown.refusal(), (401, "AUTH_ERROR"), "{method} {path}");
        let nobody = world.raw(method, path, body, &[]).await;
        assert_eq!(nobody.status == 200, OPEN_ON_LOOPBACK.contains(&path.as_str()), "{method} {path}");
        let got = with(&world, &break_glass, method, path, body).await;
        match *method {
            "GET" => assert!(got.status.is_success(), "{path}: {}", got.text),
            _ if got.status == 423 => assert_eq!(got.refusal().1, "LOCKED_DOWN"),
            _ => changed.push(format!("{method} {path}")),
        }
    }
    assert_eq!(
        changed,
        [
            "POST /admin/v1/pauses",
            "POST /admin/v1/executors/notion/restart",
            "POST /admin/v1/components/workers/restart",
            "PUT /admin/v1/config/QUEUE_WORKERS",
            "DELETE /admin/v1/config/QUEUE_WORKERS",
            "POST /admin/v1/config/QUEUE_WORKERS/keep",
            "POST /admin/v1/config/QUEUE_WORKERS/back",
            "POST /admin/v1/backups",
            "POST /admin/v1/clock",
        ]
    );
    let system = with(&world, &break_glass, "GET", "/admin/v1/system", "").await;
    assert_eq!(system.body["lockedDown"], true);
    let refused = with(&world, &break_glass, "GET", "/admin/v1/audit", "").await;
    assert!(refused.text.contains("LOCKED_DOWN"), "who was refused is in the audit log");
}

#[tokio::test]
async fn the_way_back_makes_a_new_token_and_leaves_the_old_ones_dead() {
    let world = World::new();
    let (old, break_glass) = (token_of(&world, ADMIN_FILE), token_of(&world, BREAK_GLASS_FILE));
    assert_eq!(world.ask("POST", "/admin/v1/security/lockdown", "").await.status, 200);
    let again = with(&world, &break_glass, "POST", "/admin/v1/security/lockdown", "").await;
    assert_eq!(again.body["effect"], "already_so", "{}", again.text);
    let resume = with(&world, &break_glass, "POST", "/admin/v1/pauses/resume", r#"{"scope":"all"}"#).await;
    assert_eq!(resume.refusal(), (423, "LOCKED_DOWN"));
    let unlooked = with(&world, &break_glass, "POST", "/admin/v1/security/restore", r#"{"verified":false}"#).await;
    assert_eq!(unlooked.refusal(), (400, "VALIDATION_ERROR"));

    let opened = with(&world, &break_glass, "POST", "/admin/v1/security/restore", r#"{"verified":true}"#).await;
    assert_eq!(opened.body["effect"], "applied", "{}", opened.text);
    let new = token_of(&world, ADMIN_FILE);
    assert_ne!(new, old);
    assert_eq!(with(&world, &new, "GET", "/admin/v1/tokens", "").await.status, 200);
    assert_eq!(with(&world, &old, "GET", "/queue", "").await.refusal(), (401, "AUTH_ERROR"));
    assert_eq!(world.ask("GET", "/queue", "").await.refusal(), (401, "AUTH_ERROR"));
    let again = with(&world, &new, "POST", "/admin/v1/security/restore", r#"{"verified":true}"#).await;
    assert_eq!(again.body["effect"], "already_so");
}

#[tokio::test]
async fn a_lockdown_outlasts_a_restart_and_finishes_what_a_crash_cut_short() {
    let world = World::new();
    assert_eq!(world.ask("POST", "/admin/v1/security/lockdown", "").await.status, 200);
    let kept = world.state.lockdown.current().unwrap();
    // The tokens as they were before: the crash came between the two files.
    let fresh = scratch("lockdown");
    let tokens = Tokens::open(fresh.path(), Time(0)).unwrap();
    let admin = std::fs::read_to_string(fresh.path().join(ADMIN_FILE)).unwrap();
    let mut kept = kept;
    kept.lockdown.revoked = tokens.live(Time(1));
    Lockdowns::open(fresh.path(), &tokens).unwrap().begin(kept.clone()).unwrap();
    assert!(tokens.caller(admin.trim(), Time(1)).is_ok());
    let opened = Lockdowns::open(fresh.path(), &tokens).unwrap();
    assert_eq!(opened.current(), Some(kept));
    assert!(tokens.caller(admin.trim(), Time(1)).unwrap_err().message.contains("revoked"));
    std::fs::write(fresh.path().join("lockdown.json"), "{").unwrap();
    assert!(Lockdowns::open(fresh.path(), &tokens).is_err(), "a damaged file does not open the service");
}

use super::*;
use crate::server::access::OPEN_ON_LOOPBACK;

#[tokio::test]
async fn without_a_token_only_the_monitoring_urls_answer_and_only_on_loopback() {
    for (loopback, open) in [(true, OPEN_ON_LOOPBACK.as_slice()), (false, &[])] {
        let world = World::with(loopback, |_| {});
        for (method, path, body) in calls(&world).await {
            let got = world.raw(method, &path, body, &[]).await;
            if open.contains(&path.as_str()) {
                assert_eq!(got.status, 200, "{path}");
            } else {
                assert_eq!(got.refusal(), (401, "AUTH_ERROR"), "{method} {path}");
                assert_eq!(got.header("www-authenticate"), Some("Bearer"));
            }
        }
    }
}

#[tokio::test]
async fn each_role_does_its_own_and_no_more() {
    let admin_only = [
        "DELETE /admin/v1/queue/items/a-1",
        "POST /admin/v1/queue/clear",
        "POST /admin/v1/workflows/invoice-001/rollback",
        "POST /admin/v1/workflows/invoice-001/execute",
        "GET /admin/v1/tokens",
        "POST /admin/v1/tokens",
        "POST /admin/v1/clock",
        "GET /admin/v1/security/restore",
        "POST /admin/v1/security/restore",
        "POST /admin/v1/security/lockdown",
        "POST /admin/v1/backups/2026-11-23T10-15-00Z/restore",
    ];
    let world = World::new();
    for (method, path, body) in calls(&world).await {
        let name = format!("{method} {path}");
        let admin = admin_only.contains(&name.as_str()) || name.starts_with("DELETE /admin/v1/tokens/");
        let needs = match (admin, method) {
            (true, _) => Role::Admin,
            // Everything that was sent, whole.
            (false, "GET") if name == "GET /admin/v1/queue/requests" => Role::Operator,
            (false, "GET") => Role::Viewer,
            // It asks and changes nothing.
            (false, _) if name == "POST /admin/v1/integrity" => Role::Viewer,
            (false, _) => Role::Operator,
        };
        for role in Role::ALL {
            let got = world.as_role(*role, method, &path, body, &[]).await;
            if *role >= needs {
                assert!(got.status.is_success(), "{name} as {role}: {}", got.text);
            } else {
                assert_eq!(got.refusal(), (403, "PERMISSION_DENIED"), "{name} as {role}");
                let message = got.body["error"]["message"].as_str().unwrap();
                assert!(message.contains(&format!("needs the role {needs}")), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_expired_or_malformed_token_is_refused_even_where_none_is_needed() {
    let world = World::new();
    for value in ["Bearer opsctl_wrong", "Basic dXNlcjpwYXNz", "Bearer ", "opsctl"] {
        let got = world.raw("GET", "/queue", "", &[("authorization", value)]).await;
        assert_eq!(got.refusal(), (401, "AUTH_ERROR"), "{value}");
        assert!(!got.text.contains("opsctl_wrong"));
    }
}

#[tokio::test]
async fn a_foreign_host_is_turned_away() {
    let world = World::with(true, |state| state.hosts.push("ops.example.com".into()));
    for host in ["localhost", "LOCALHOST:3000", "127.0.0.1:3000", "[::1]:3000", "ops.example.com:3000"] {
        assert_eq!(world.raw("GET", "/queue", "", &[("host", host)]).await.status, 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "10.1.2.3:3000", "127.0.0.1.nip.io", ""] {
        let got = world.raw("GET", "/queue", "", &[("host", host)]).await;
        assert_eq!(got.refusal(), (403, "PERMISSION_DENIED"), "{host}");
    }
    let got = world.raw("GET", "http://evil.example/queue", "", &[("host", "localhost")]).await;
    assert_eq!(got.refusal().0, 403, "the request line's own host counts too");
    let remote = World::with(false, |_| {});
    let got = remote.as_role(Role::Viewer, "GET", "/queue", "", &[("host", "10.1.2.3:3000")]).await;
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn no_answer_invites_other_origins() {
    let world = World::new();
    let got = world.raw("GET", "/queue", "", &[("origin", "https://dashboard.company.com")]).await;
    assert!(got.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    let preflight = [("origin", "https://x.example"), ("access-control-request-method", "POST")];
    let got = world.raw("OPTIONS", "/admin/v1/pauses", "", &preflight).await;
    assert_eq!(got.refusal().0, 401);
}

#[tokio::test]
async fn http_limits_are_off_on_loopback_and_a_setting_elsewhere() {
    let world = World::new();
    assert_eq!(world.ask("GET", "/api/actions/queue", "").await.header("x-ratelimit-limit"), None);
    let world = World::with(false, |_| {});
    let got = world.ask("GET", "/api/actions/queue", "").await;
    assert_eq!((got.header("x-ratelimit-limit"), got.header("x-ratelimit-remaining")), (Some("100"), Some("99")));
    assert!(got.header("x-ratelimit-reset").unwrap().parse::<i64>().unwrap() > 1_600_000_000, "Unix seconds");
    for _ in 0..99 {
        world.ask("GET", "/api/actions/queue", "").await;
    }
    let got = world.ask("GET", "/api/actions/queue", "").await;
    assert_eq!(got.refusal(), (429, "RATE_LIMITED"));
    let wait: u64 = got.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(got.body["error"]["retryAfter"], wait);
    assert!((1..=60).contains(&wait));
}

//! What a failed request is made of: code, delivery, words, and nothing that must stay inside.

use super::*;

fn create() -> Call {
    call(Platform::Slack, ActionType::Notify, json!({"channel": "C0123ABCD", "text": "hi"}))
}

async fn failed(stub: &Stub) -> PlatformError {
    stub.clients().execute(&create()).await.unwrap_err()
}

#[tokio::test]
async fn a_page_instead_of_an_answer() {
    let stub = Stub::always(502, "text/html", "<html><title>502 Bad Gateway</title></html>").await;
    let error = failed(&stub).await;
    assert_eq!((error.code, error.delivery), (ErrorCode::ServiceDown, Delivery::Unknown));
    assert_eq!(error.message, "Service unavailable: 502 Bad Gateway");
    assert_eq!(error.to_string(), "Service unavailable: 502 Bad Gateway (slack, HTTP 502)");
}

#[tokio::test]
async fn a_success_that_is_not_json_may_have_been_one() {
    let stub = Stub::always(200, "application/json", "{\"ok\": tr").await;
    let error = failed(&stub).await;
    assert_eq!((error.code, error.delivery), (ErrorCode::UnknownError, Delivery::Unknown));
}

#[tokio::test]
async fn a_refusal_did_not_happen() {
    let stub = Stub::start(|_| {
        let mut refusal = answer(429, json!({"ok": false, "error": "ratelimited"}));
        refusal.headers_mut().insert("retry-after", "30".parse().unwrap());
        refusal.headers_mut().insert("x-slack-req-id", "req-1".parse().unwrap());
        refusal
    })
    .await;
    let error = failed(&stub).await;
    assert_eq!((error.code, error.delivery), (ErrorCode::RateLimited, Delivery::NotDelivered));
    assert_eq!((error.retry_after, error.request_id.as_deref()), (Some(Duration::from_secs(30)), Some("req-1")));
    assert_eq!(error.message, "Rate limited: ratelimited");
}

#[tokio::test]
async fn an_answer_that_comes_too_late() {
    let stub = Stub::start(|_| late(ok(json!({"ok": true})), Duration::from_secs(5))).await;
    let mut call = create();
    call.timeout = Duration::from_millis(100);
    let error = stub.clients().execute(&call).await.unwrap_err();
    assert_eq!((error.code, error.delivery), (ErrorCode::TimeoutError, Delivery::Unknown));
    assert_eq!(error.message, "Network timeout: no answer within 100ms");
    // A read changes nothing, so it is never in doubt.
    let read = Call { data: json!({"channel": "C0123ABCD"}), action_type: ActionType::Query, ..call };
    assert_eq!(stub.clients().execute(&read).await.unwrap_err().delivery, Delivery::NotDelivered);
}

#[tokio::test]
async fn nobody_there() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let stub = Stub { base, seen: Arc::default() };
    let error = failed(&stub).await;
    assert_eq!((error.code, error.delivery), (ErrorCode::NetworkError, Delivery::NotDelivered));
    assert_eq!(error.message, "Network error: connection refused");
}

#[tokio::test]
async fn a_token_goes_nowhere_else() {
    let thief = Stub::always(200, "application/json", "{\"ok\":true}").await;
    let to = format!("{}/api/chat.postMessage", thief.base);
    let stub = Stub::start(move |_| (StatusCode::TEMPORARY_REDIRECT, [("location", to.clone())]).into_response()).await;
    let error = failed(&stub).await;
    assert_eq!((error.code, error.delivery), (ErrorCode::UnknownError, Delivery::NotDelivered));
    assert_eq!(error.message, "redirected to 127.0.0.1, which is not followed");
    assert!(thief.lines().is_empty());
}

#[tokio::test]
async fn what_a_platform_echoes_is_hidden() {
    let stub = Stub::start(|r| {
        let sent = r.header("authorization").to_string();
        answer(401, json!({"object": "error", "code": "unauthorized", "message": format!("bad header {sent}")}))
    })
    .await;
    let error = stub.clients().who_am_i(Platform::Notion).await.unwrap_err();
    assert_eq!(error.message, "Authentication failed: bad header Bearer (hidden)");
    assert_eq!(auth_error_text(&error), "Invalid API key");
}

#[tokio::test]
async fn long_words_are_cut() {
    let stub = Stub::start(|_| with_type(500, "text/plain", &"x".repeat(100_000))).await;
    assert!(failed(&stub).await.message.chars().count() < 600);
}

#[tokio::test]
async fn a_missing_credential_is_named() {
    let stub = Stub::always(200, "application/json", "{\"ok\":true}").await;
    let mut environment = environment(&stub.base);
    environment.remove("SLACK_BOT_TOKEN");
    environment.insert("SLACK_BOT_TOKEN_BACKUP".into(), "xoxb-backup-secret".into());
    let clients = Clients::new(stub.endpoints(), Credentials::from_env(&environment), Clock::system());
    let error = clients.execute(&create()).await.unwrap_err();
    assert_eq!((error.code, error.delivery), (ErrorCode::AuthError, Delivery::NotDelivered));
    assert_eq!(auth_error_text(&error), "Authentication failed: SLACK_BOT_TOKEN is not set");
    assert!(stub.lines().is_empty());

    environment.insert("USE_BACKUP_CREDENTIALS".into(), "true".into());
    clients.set_credentials(Credentials::from_env(&environment));
    clients.execute(&create()).await.unwrap();
    assert_eq!(stub.last().header("authorization"), "Bearer xoxb-backup-secret");
}

#[tokio::test]
async fn every_request_is_observed() {
    let stub = Stub::start(|r| match r.uri.path() {
        "/api/auth.test" => ok(json!({"ok": true, "user": "bot", "team": "T"})),
        _ => ok(json!({"ok": false, "error": "channel_not_found"})),
    })
    .await;
    let events = Arc::new(Mutex::new(Vec::new()));
    let sink = events.clone();
    let observer: Observer = Arc::new(move |e: CallEvent| sink.lock().unwrap().push((e.request, e.status, e.code)));
    let clients = Clients::observed(stub.endpoints(), credentials(&stub.base), Clock::system(), observer);
    assert_eq!(clients.who_am_i(Platform::Slack).await.unwrap(), "bot in T");
    clients.execute(&create()).await.unwrap_err();
    let expected = [("auth.test", Some(200), None), ("chat.postMessage", Some(200), Some(ErrorCode::NotFound))];
    assert_eq!(*events.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_status_page_that_is_no_feed_is_unknown() {
    use status::{FeedStatus, fetch};
    let limit = Duration::from_secs(2);
    for (status, content_type, body) in [
        (200, "text/html", "{\"status\":{\"indicator\":\"none\"}}"),
        (200, "application/json", "<html>"),
        (503, "application/json", "{\"status\":{\"indicator\":\"none\"}}"),
    ] {
        let stub = Stub::always(status, content_type, body).await;
        let feed = fetch(&stub.endpoints(), Platform::Notion, limit).await;
        assert!(matches!(feed, FeedStatus::Unknown(_)), "{feed:?}");
    }
    let stub = Stub::start(|_| late(ok(json!([])), Duration::from_secs(5))).await;
    let feed = fetch(&stub.endpoints(), Platform::Drive, Duration::from_millis(100)).await;
    assert_eq!(feed, FeedStatus::Unknown("127.0.0.1: timed out after 100ms".into()));
}

#[tokio::test]
async fn a_status_feed_may_have_moved() {
    let stub = Stub::start(|r| match r.uri.path() {
        "/status" => (StatusCode::MOVED_PERMANENTLY, [("location", "/new")]).into_response(),
        _ => ok(json!({"status": "ok", "active_incidents": []})),
    })
    .await;
    let feed = status::fetch(&stub.endpoints(), Platform::Slack, Duration::from_secs(2)).await;
    assert_eq!(feed, status::FeedStatus::Operational);
    assert!(stub.seen.lock().unwrap().iter().all(|r| r.header("authorization").is_empty()));
}

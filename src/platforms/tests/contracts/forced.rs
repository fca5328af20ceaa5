//! Every error that a contract has an example of: asked for from the mock, and understood by our client.

use std::io::Write as _;

use super::*;
use crate::http::{Http, Options};

/// The requests that an answer is asked for, and which.
#[derive(Clone, Default)]
struct Wish {
    method: Method,
    path: &'static str,
    status: String,
    example: String,
    media: String,
}

/// A door to a mock on which the wished answer comes to the wished requests.
async fn door(base: &str, wish: Arc<Mutex<Wish>>) -> String {
    let url: crate::http::Url = base.parse().unwrap();
    let origin = url.origin().ascii_serialization();
    let http = Http::new(Options::default());
    let app = axum::Router::new().fallback(move |method: Method, uri: Uri, mut headers: HeaderMap, body: Bytes| {
        let (http, url, wish) = (http.clone(), format!("{origin}{uri}"), wish.lock().unwrap().clone());
        async move {
            headers.remove("host");
            if method == wish.method && uri.path().starts_with(wish.path) {
                let prefer = format!("code={}, example={}", wish.status, wish.example);
                headers.insert("prefer", prefer.parse().unwrap());
                headers.insert("accept", wish.media.parse().unwrap());
            }
            let request = http.request(method, &url.parse().unwrap()).unwrap().headers(headers).body(body);
            let reply = http.send(request, None).await.unwrap();
            let media = reply.content_type().unwrap_or_default();
            with_type(reply.status, &media, &String::from_utf8_lossy(&reply.body))
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address + url.path().trim_end_matches('/')
}

/// One operation whose errors are asked for: its contract, where it is in there, and what makes our client call it.
struct Case {
    contract: &'static str,
    path: &'static str,
    method: &'static str,
    /// What its requests' paths begin with.
    prefix: &'static str,
    platform: Platform,
    /// An update with this data, or asking who we are.
    update: Option<Value>,
}

fn cases() -> Vec<Case> {
    use Platform::{Drive, Notion, Sheets, Slack, Trello};
    let case =
        |contract, method, path, prefix, platform, update| Case { contract, path, method, prefix, platform, update };
    let card = "68dcf6a0ddc1b351ef961417";
    vec![
        case("notion/notion", "get", "/v1/users/me", "/v1/users/me", Notion, None),
        case(
            "notion/notion",
            "patch",
            "/v1/pages/{page_id}",
            "/v1/pages/",
            Notion,
            Some(json!({"page_id": ID, "title": "t"})),
        ),
        case("trello/trello", "get", "/1/tokens/{token}", "/1/tokens/", Trello, None),
        case("trello/trello", "put", "/1/cards/{id}", "/1/cards/", Trello, Some(json!({"cardId": card, "name": "n"}))),
        case("slack/slack", "post", "/api/auth.test", "/api/auth.test", Slack, None),
        case(
            "slack/slack",
            "post",
            "/api/chat.update",
            "/api/chat.update",
            Slack,
            Some(json!({"channel": "C0123ABCD", "ts": "1.2", "text": "t"})),
        ),
        case("drive/drive.v3", "get", "/drive/v3/about", "/drive/v3/about", Drive, None),
        case(
            "drive/drive.v3",
            "patch",
            "/drive/v3/files/{fileId}",
            "/drive/v3/files/",
            Drive,
            Some(json!({"fileId": "f", "name": "n"})),
        ),
        case(
            "sheets/sheets.v4",
            "put",
            "/v4/spreadsheets/{spreadsheetId}/values/{range}",
            "/v4/spreadsheets/",
            Sheets,
            Some(json!({"range": "Log!A1", "value": 1})),
        ),
        case("google-auth/oauth2", "post", "/token", "/token", Drive, None),
    ]
}

/// The error examples of an operation: status, media type, name and value.
fn examples(case: &Case) -> Vec<(String, String, String, Value)> {
    let file = format!("{}/tests/contracts/{}.openapi.json", env!("CARGO_MANIFEST_DIR"), case.contract);
    let contract: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut found = Vec::new();
    for (status, response) in contract["paths"][case.path][case.method]["responses"].as_object().unwrap() {
        for (media, body) in response["content"].as_object().into_iter().flatten() {
            for (name, example) in body["examples"].as_object().into_iter().flatten() {
                if !status.starts_with('2') || example["value"]["ok"] == false {
                    found.push((status.clone(), media.clone(), name.clone(), example["value"].clone()));
                }
            }
        }
    }
    assert!(found.len() > 5, "{} {} has too few errors", case.method, case.path);
    found
}

/// What the documentation of the platforms says an error means; `None` where it says nothing.
fn meant(case: &Case, status: &str, name: &str, value: &Value) -> Option<ErrorCode> {
    use ErrorCode::*;
    let text = value.as_str().unwrap_or_default();
    Some(match (case.contract, status, name) {
        // A key that may not do it is as good as none; everything else wrong with a grant is the credential too.
        ("google-auth/oauth2", "400", "invalid_scope" | "unsupported_grant_type") => ValidationError,
        ("google-auth/oauth2", "400" | "401", _) => AuthError,
        ("slack/slack", "200", _) => match name {
            "invalid_auth" | "not_authed" | "token_revoked" | "token_expired" | "account_inactive" => AuthError,
            "missing_scope" | "cant_update_message" => PermissionDenied,
            "message_not_found" | "channel_not_found" => NotFound,
            "edit_window_closed" | "msg_too_long" | "no_text" | "invalid_arguments" => ValidationError,
            "ratelimited" => RateLimited,
            "internal_error" | "fatal_error" | "service_unavailable" => ServiceDown,
            "request_timeout" => TimeoutError,
            _ => return None,
        },
        // What is not found there is the token itself.
        ("trello/trello", "404", _) if case.path == "/1/tokens/{token}" => AuthError,
        // The key or token is fine and lacks the right.
        ("trello/trello", "401", _) if text.contains("permission requested") => PermissionDenied,
        ("trello/trello", "429", "API_TOO_MANY_CARDS_REQUESTED") => QuotaExceeded,
        ("notion/notion", "429", "blocked") => PermissionDenied,
        ("drive/drive.v3", "403", "userRateLimitExceeded" | "rateLimitExceeded") => RateLimited,
        ("drive/drive.v3", "403", "dailyLimitExceeded" | "storageQuotaExceeded" | "serviceAccountNoQuota") => {
            QuotaExceeded
        }
        (_, "400", _) => ValidationError,
        (_, "401", _) => AuthError,
        (_, "403", _) => PermissionDenied,
        (_, "404", _) => NotFound,
        (_, "409", _) => DuplicateError,
        (_, "429" | "529", _) => RateLimited,
        (_, "504", _) => TimeoutError,
        (_, "500" | "502" | "503", _) => ServiceDown,
        _ => return None,
    })
}

/// Whether a write may have been done all the same: only when the platform broke down or ran out of time over it.
fn delivery(case: &Case, code: ErrorCode) -> Delivery {
    let broke = matches!(code, ErrorCode::ServiceDown | ErrorCode::TimeoutError);
    if broke && case.update.is_some() { Delivery::Unknown } else { Delivery::NotDelivered }
}

#[tokio::test]
#[ignore = "needs mocks of the contracts (Prism) and their addresses in OPSCTL_CONTRACT_MOCKS"]
async fn every_error_of_the_contracts_is_understood() {
    let (mut endpoints, wish) = (mocks(), Arc::new(Mutex::new(Wish::default())));
    let Endpoints { notion, trello, slack, drive, drive_upload, sheets, google_token, google_tokeninfo, .. } =
        &mut endpoints;
    for base in [notion, trello, slack, drive, drive_upload, sheets, google_token, google_tokeninfo] {
        *base = door(base, wish.clone()).await;
    }
    let environment = environment_at(&endpoints);
    let mut wrong = Vec::new();
    let mut table = std::io::stdout();
    writeln!(table, "{:<64} {:>6}  {:>6}", "ERRORS OF", "TRIED", "RIGHT").unwrap();
    for case in cases() {
        let all = examples(&case);
        let before = wrong.len();
        for (status, media, name, value) in &all {
            *wish.lock().unwrap() = Wish {
                method: case.method.to_uppercase().parse().unwrap(),
                path: case.prefix,
                status: status.clone(),
                example: name.clone(),
                media: media.clone(),
            };
            // New clients each time: nothing is remembered from the last one.
            let clients = Clients::new(endpoints.clone(), Credentials::from_env(&environment), Clock::system());
            let outcome = match &case.update {
                None => clients.who_am_i(case.platform).await.map(|who| who.to_string()),
                Some(data) => {
                    let mut call = call(case.platform, ActionType::Update, data.clone());
                    call.timeout = Duration::from_secs(20);
                    clients.execute(&call).await.map(|outcome| outcome.result.to_string())
                }
            };
            let found = outcome.as_ref().err().map(|error| (error.code, error.delivery));
            let expected = meant(&case, status, name, value).map(|code| (code, delivery(&case, code)));
            if found != expected {
                wrong.push(format!(
                    "{} {} {status} {name}: {found:?}, not {expected:?}: {outcome:?}",
                    case.method, case.path
                ));
            }
        }
        let right = all.len() + before - wrong.len();
        let operation = format!("{} {}", case.method.to_uppercase(), case.path);
        writeln!(table, "{operation:<64} {:>6}  {right:>6}", all.len()).unwrap();
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

//! What the command line does with servers that misbehave: each ends in the right exit code, says why and what to
//! try, within its time limit, and the token goes to the address it was meant for and nowhere else.

mod command;
#[path = "../served/mod.rs"]
mod served;
mod stub;
mod tls;

use command::{Opsctl, TOKEN};
use stub::{BlackHole, Script, Stub};

const COUNTS: &str = r#"{"totalQueued":7,"byPriority":{"critical":1,"high":2,"normal":3,"low":1},"avgWaitTime":1200,"workerUtilization":0.4}"#;

fn queue_status(url: &str) -> Opsctl {
    Opsctl::new(url, &["queue", "status"])
}

/// Every request that arrived carried the token, and at least one did.
#[track_caller]
fn token_arrived(stub: &Stub) {
    let requests = stub.requests();
    assert!(!requests.is_empty(), "the stub was not called");
    for request in requests {
        assert_eq!(request.matches(TOKEN).count(), 1, "{request}");
        assert!(request.to_ascii_lowercase().contains(&format!("authorization: bearer {TOKEN}\r\n")), "{request}");
    }
}

#[test]
fn an_answer_is_read() {
    let stub = Stub::start(Script::json("200 OK", COUNTS));
    let ended = Opsctl::new(&stub.url(), &["queue", "status", "-o", "json"]).run();
    ended.succeeds();
    let got: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!(got, serde_json::from_str::<serde_json::Value>(COUNTS).expect("JSON"));
    token_arrived(&stub);
}

#[test]
fn a_dead_port_is_unreachable() {
    queue_status(&format!("http://127.0.0.1:{}", served::port::free())).run().fails(7, "connection refused");
}

#[test]
fn a_black_holed_address_is_unreachable() {
    let Some(hole) = BlackHole::dig() else {
        served::note(
            "SKIPPED: a_black_holed_address_is_unreachable: this system answers connections beyond the backlog",
        );
        return;
    };
    queue_status(&format!("http://{}", hole.address)).run().fails(7, "timed out");
}

#[test]
fn a_silent_server_is_unreachable() {
    let stub = Stub::start(Script::Silent);
    queue_status(&stub.url()).run().fails(7, "timed out");
    token_arrived(&stub);
}

#[test]
fn a_hang_up_is_unreachable() {
    let stub = Stub::start(Script::HangsUp);
    queue_status(&stub.url()).run().fails(7, "does not answer");
    token_arrived(&stub);
}

#[test]
fn a_slow_body_is_unreachable() {
    let stub = Stub::start(Script::Stalls);
    queue_status(&stub.url()).run().fails(7, "timed out");
    token_arrived(&stub);
}

#[test]
fn a_body_cut_short_is_unreachable() {
    let stub = Stub::start(Script::CutShort { length: 200, body: r#"{"totalQueued":7,"byPri"# });
    queue_status(&stub.url()).run().fails(7, "connection closed");
    token_arrived(&stub);
}

#[test]
fn truncated_json_is_a_failure() {
    let stub = Stub::start(Script::json("200 OK", &COUNTS[..40]));
    queue_status(&stub.url()).run().fails(1, "the JSON ends too early");
    token_arrived(&stub);
}

#[test]
fn a_html_page_is_a_failure() {
    let page = "<!doctype html>\n<html><head><title>Welcome to the intranet</title></head><body></body></html>";
    let stub = Stub::start(Script::Answer {
        status: "200 OK",
        headers: vec![("content-type", "text/html".into())],
        body: page.into(),
    });
    queue_status(&stub.url()).run().fails(1, "Welcome to the intranet");
    token_arrived(&stub);
}

#[test]
fn a_gateway_page_is_unreachable() {
    let stub = Stub::start(Script::Answer {
        status: "502 Bad Gateway",
        headers: vec![("content-type", "text/html".into())],
        body: "<html><head><title>502 Bad Gateway</title></head></html>".into(),
    });
    queue_status(&stub.url()).run().fails(7, "502 Bad Gateway");
    token_arrived(&stub);
    assert_eq!(stub.requests().len(), 3, "a read is retried twice");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Stub::start(Script::json("200 OK", COUNTS));
    let target = format!("http://127.0.0.1:{}/queue", elsewhere.address.port());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let stub = Stub::start(Script::json(status, "").header("location", target.clone()));
        queue_status(&stub.url()).run().fails(1, "127.0.0.1");
        token_arrived(&stub);
    }
    assert_eq!(elsewhere.connections(), 0, "the redirect was followed");
}

#[test]
fn loopback_never_uses_a_proxy() {
    let proxy = Stub::start(Script::json("200 OK", COUNTS));
    let stub = Stub::start(Script::json("200 OK", COUNTS));
    for url in [stub.url(), format!("http://127.0.0.1:{}", stub.address.port())] {
        let mut opsctl = queue_status(&url);
        for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
            opsctl = opsctl.env(name, &proxy.url());
        }
        opsctl.run().succeeds();
    }
    token_arrived(&stub);
    assert_eq!(proxy.connections(), 0, "the request went through the proxy");
}

#[test]
fn a_refused_token_is_not_authenticated() {
    for (status, code, message) in [
        ("401 Unauthorized", "AUTH_ERROR", "the token is unknown or revoked"),
        ("403 Forbidden", "PERMISSION_DENIED", "this needs the role operator"),
    ] {
        let stub = Stub::start(Script::refusal(status, code, message));
        queue_status(&stub.url()).run().fails(4, message);
        token_arrived(&stub);
        assert_eq!(stub.requests().len(), 1, "a refusal is not retried");
    }
}

#[test]
fn a_foreign_401_is_not_authenticated() {
    let stub = Stub::start(Script::Answer { status: "401 Unauthorized", headers: vec![], body: "who are you?".into() });
    queue_status(&stub.url()).run().fails(4, "who are you?");
    token_arrived(&stub);
}

#[test]
fn a_429_is_retried_after_its_wait() {
    let refusal = Script::refusal("429 Too Many Requests", "RATE_LIMITED", "too many requests");
    let stub = Stub::start(refusal.header("retry-after", "0"));
    queue_status(&stub.url()).run().fails(7, "too many requests");
    token_arrived(&stub);
    assert_eq!(stub.requests().len(), 3, "two retries");
}

#[test]
fn a_429_that_asks_for_more_time_than_there_is_ends_at_once() {
    let refusal = Script::refusal("429 Too Many Requests", "RATE_LIMITED", "too many requests");
    let stub = Stub::start(refusal.header("retry-after", "3600"));
    queue_status(&stub.url()).run().fails(7, "3600s");
    token_arrived(&stub);
    assert_eq!(stub.requests().len(), 1, "no retry can be in time");
}

#[test]
fn a_503_is_unreachable() {
    let stub = Stub::start(Script::refusal("503 Service Unavailable", "SERVICE_DOWN", "the database is restarting"));
    queue_status(&stub.url()).run().fails(7, "the database is restarting");
    token_arrived(&stub);
    assert_eq!(stub.requests().len(), 3, "a read is retried twice");
}

#[test]
fn a_wrong_certificate_ends_before_the_token_is_sent() {
    let stub = Stub::start_tls(Script::json("200 OK", COUNTS));
    queue_status(&stub.url()).run().fails(7, "certificate");
    assert!(stub.connections() > 0, "the stub was not called");
    assert_eq!(stub.requests(), Vec::<String>::new(), "a request was sent to an unknown server");
}

#[test]
fn an_error_is_one_json_object_when_asked_for() {
    let url = format!("http://127.0.0.1:{}", served::port::free());
    let ended = Opsctl::new(&url, &["queue", "status", "-o", "json"]).run();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(7), ""));
    let error: serde_json::Value = serde_json::from_str(&ended.stderr).expect("one JSON object on stderr");
    assert_eq!(error["kind"], "unreachable");
    assert_eq!(error["exit"], 7);
    assert_eq!(error["code"], "NETWORK_ERROR");
    assert_eq!(error["retryable"], true);
    assert!(error["hint"].is_string(), "{error}");
}
#[tokio::test]
async fn a_stopped_process_is_unreachable_and_answers_again_when_it_goes_on() {
    let folder = served::TempDir::new("stopped");
    let launch = served::Launch::new(env!("CARGO_BIN_EXE_opsctl"), folder.path().join("data"));
    let (serve, _) = launch.start().await;
    let run = || Opsctl::new(&launch.url(), &["queue", "status"]).env("OPSCTL_TOKEN", &launch.token()).run();
    serve.signal("STOP");
    run().fails(7, "timed out");
    serve.signal("CONT");
    run().succeeds();
}

//! A cluster that is away, half there, too new, or says yes and does nothing: clear errors, and no false success.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use opsctl::clock::Clock;
use opsctl::error::Kind;
use opsctl::http::Url;
use opsctl::platforms::Endpoints;
use opsctl::secret::Secret;
use opsctl::server::backend::Backend;
use opsctl::server::restate::{Cluster, RestateOptions};
use opsctl::server::{ServeOptions, Server};
use opsctl::wire::*;
use serde_json::json;

use crate::served::{TempDir, output};
use crate::stub::{LATE, Manners, Stub};
use crate::world::ada;

/// An id as Restate makes them.
const WAITS: &str = "inv_1bTz3BmNHTvS1Nn1TlhLcbNBt1xA63sGqT";

fn options(admin: Vec<Url>) -> RestateOptions {
    RestateOptions { admin, ingress: Vec::new(), token: None, patience: Duration::from_millis(200) }
}

async fn backend(stub: &Stub) -> (Arc<dyn Backend>, Server, TempDir) {
    let folder = TempDir::new("engine-stub");
    let options = RestateOptions { ingress: vec![stub.url.clone()], ..options(vec![stub.url.clone()]) };
    let cluster = Cluster::connect(options).await.expect("a cluster");
    let serve = ServeOptions {
        data_dir: folder.path().join("data"),
        environment: "staging".into(),
        endpoints: Endpoints::default(),
        env: std::collections::BTreeMap::new(),
        sandbox: false,
        clock: Clock::system(),
        hosts: Vec::new(),
        http_limits: None,
        from_backup: None,
    };
    let server = Server::open_over(serve, Some(cluster)).expect("a server");
    (server.state().backend.clone(), server, folder)
}

/// What connecting fails with: kind, cause.
async fn refused(manners: Manners) -> (Kind, String) {
    let stub = Stub::start(manners).await;
    let fault = Cluster::connect(options(vec![stub.url.clone()])).await.expect_err("no cluster to use");
    (fault.kind, fault.causes.join("; "))
}

#[tokio::test]
async fn a_cluster_that_cannot_be_used_is_refused_with_the_reason() {
    let (kind, cause) = refused(Manners { version: "1.9.0", ..Manners::default() }).await;
    assert_eq!(kind, Kind::Failed);
    assert_eq!(cause, "Restate 1.9.0 is newer than what can be served: this opsctl knows 1.7 up to but not 1.8");
    let (kind, cause) = refused(Manners { sql: false, ..Manners::default() }).await;
    assert_eq!(kind, Kind::Unreachable);
    assert!(cause.contains("a query: HTTP 500: partition 0 is not available yet"), "{cause}");
    let (kind, cause) = refused(Manners { html: true, ..Manners::default() }).await;
    assert_eq!(kind, Kind::Unreachable);
    assert!(cause.contains("something else than JSON: Welcome to the proxy"), "{cause}");
    let (_, cause) = refused(Manners { token: Some("right"), ..Manners::default() }).await;
    assert!(cause.contains("HTTP 401") && cause.contains("RESTATE_AUTH_TOKEN"), "{cause}");
}

#[tokio::test]
async fn a_token_is_sent_and_the_second_address_stands_in() {
    let stub = Stub::start(Manners { token: Some("right"), ..Manners::default() }).await;
    let dead = "http://127.0.0.1:1".parse().expect("a URL");
    let token = Some(Secret::new("right"));
    let cluster = Cluster::connect(RestateOptions { token, ..options(vec![dead, stub.url.clone()]) }).await;
    assert_eq!(cluster.expect("a cluster").version(), "1.7.12");
}

#[tokio::test]
async fn what_is_accepted_and_never_happens_is_not_called_done() {
    let stub = Stub::start(Manners { applies: false, ..Manners::default() }).await;
    stub.knows(json!({
        "id": WAITS, "target_service_name": "Trello", "target_handler_name": "create", "status": "backing-off",
        "created_at": "2026-11-30T01:51:57.482Z",
    }));
    let (backend, _server, _folder) = backend(&stub).await;
    let queues = backend.queues().expect("queues");

    let paused = queues.pause(PauseScope::All, &ada()).await.expect("an answer");
    assert_eq!(paused.effect, EffectKind::Accepted);
    assert_eq!(paused.message, "Restate accepted the pause, and 200ms later it cannot be seen yet");
    assert!(queues.pauses().await.expect("pauses").is_empty());

    let request = ClearRequest { stuck_only: false, older_than: None, ids: Some(vec![WAITS.into()]) };
    let cleared = queues.clear(request, &ada()).await.expect("an answer");
    assert_eq!((cleared.effect, cleared.items[0].effect), (EffectKind::Accepted, EffectKind::Accepted));
    assert!(cleared.message.starts_with("0 of 1 items are out of the queue"), "{}", cleared.message);
    assert_eq!(stub.changes(), ["set Gate", "cancel 1", "kill 1"]);

    stub.be(|manners| manners.applies = true);
    let paused = queues.pause(PauseScope::All, &ada()).await.expect("an answer");
    assert_eq!(paused.effect, EffectKind::Applied);
}

#[tokio::test]
async fn what_nobody_takes_is_killed_and_said_to_be_out_only_when_it_had_no_leave() {
    let stub = Stub::start(Manners { workers: false, ..Manners::default() }).await;
    let (backend, _server, _folder) = backend(&stub).await;
    assert_eq!(clear(&backend, &stub, WAITS, false).await.effect, EffectKind::Applied);
    assert_eq!(stub.changes(), ["cancel 1", "kill 1"]);
    let item = clear(&backend, &stub, &WAITS.replace("inv_1b", "inv_1c"), true).await;
    assert_eq!(item.effect, EffectKind::Conflict, "it may have been made: {item:?}");
    assert!(item.detail.is_some_and(|why| why.contains("look at the platform")));
}

#[tokio::test]
async fn what_a_closed_gate_holds_is_killed_at_once_and_said_to_be_out_only_when_it_had_no_leave() {
    let stub = Stub::start(Manners::default()).await;
    let (backend, _server, _folder) = backend(&stub).await;
    stub.has("Gate", "all", json!({"paused": true, "since": "2026-11-30T01:00:00Z"}));
    assert_eq!(clear(&backend, &stub, WAITS, false).await.effect, EffectKind::Applied);
    let item = clear(&backend, &stub, &WAITS.replace("inv_1b", "inv_1c"), true).await;
    assert_eq!(item.effect, EffectKind::Conflict, "it may have been made: {item:?}");
    assert_eq!(stub.changes(), ["kill 1", "kill 1"]);
}

#[tokio::test]
async fn what_was_listed_as_held_is_looked_at_again_when_the_gate_was_opened_or_it_was_taken_out() {
    let stub = Stub::start(Manners::default()).await;
    let (backend, _server, _folder) = backend(&stub).await;
    let close = |since: &str| stub.has("Gate", "all", json!({"paused": true, "since": since}));
    let list = async || {
        let filter = QueueFilter { view: QueueView::Stuck, platform: None, since: None, older_than: None, limit: None };
        backend.queues().expect("queues").items(filter).await.expect("a listing").total
    };
    close("2026-11-30T01:00:00Z");
    stub.knows(waiting(WAITS, "backing-off"));
    assert_eq!(list().await, 1);
    let looks = stub.looks();
    assert_eq!(take_out(&backend, WAITS).await.effect, EffectKind::Applied);
    assert_eq!(stub.looks() - looks, 2, "only at what came of it: all of the part, and this one of it");
    assert_eq!(take_out(&backend, WAITS).await.effect, EffectKind::AlreadySo);
    assert_eq!(stub.changes(), ["kill 1"]);

    let other = WAITS.replace("inv_1b", "inv_1c");
    stub.knows(waiting(&other, "backing-off"));
    assert_eq!(list().await, 2);
    close("2026-11-30T01:30:00Z");
    stub.ends(&other);
    let item = take_out(&backend, &other).await;
    assert_eq!((item.effect, item.detail.as_deref()), (EffectKind::Conflict, Some("is done")));
    assert_eq!(stub.changes(), ["kill 1"], "nothing was sent for what is done");
}

/// Clears one that waits; it `leaves` when the kill finds it with leave to write.
async fn clear(backend: &Arc<dyn Backend>, stub: &Stub, id: &str, leaves: bool) -> ItemEffect {
    stub.knows(waiting(id, "invoked"));
    stub.be(|manners| manners.leaves = leaves);
    take_out(backend, id).await
}

/// A row of an action that waits and sent nothing.
fn waiting(id: &str, status: &str) -> serde_json::Value {
    json!({
        "id": id, "target_service_name": "Trello", "target_handler_name": "create", "status": status,
        "created_at": "2026-11-30T01:51:57.482Z", "journal_size": 2, "journal_commands_size": 2,
    })
}

async fn take_out(backend: &Arc<dyn Backend>, id: &str) -> ItemEffect {
    let request = ClearRequest { stuck_only: false, older_than: None, ids: Some(vec![id.into()]) };
    let queues = backend.queues().expect("queues");
    queues.clear(request, &ada()).await.expect("an answer").items.remove(0)
}

#[tokio::test]
async fn what_sql_does_not_show_yet_is_not_called_unknown() {
    let stub = Stub::start(Manners::default()).await;
    let (backend, _server, _folder) = backend(&stub).await;
    let workflows = backend.workflows().expect("workflows");
    let late = workflows.get(LATE).await.expect_err("not shown");
    assert_eq!(
        (late.code, late.message),
        (ErrorCode::ServiceDown, "Restate has workflow `late` and does not show it yet".into())
    );
    assert_eq!(workflows.get("nobody's").await.expect_err("unknown").code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_cluster_that_goes_away_or_half_comes_back_is_an_error_each_time() {
    let stub = Stub::start(Manners::default()).await;
    let (backend, _server, _folder) = backend(&stub).await;
    let queues = backend.queues().expect("queues");
    assert_eq!(queues.status().await.expect("a status").total_queued, 0);

    stub.be(|manners| manners.sql = false);
    let refusal = queues.status().await.expect_err("no SQL");
    assert_eq!(refusal.code, ErrorCode::ServiceDown);
    let refusal = queues.pause(PauseScope::Queue, &ada()).await.expect_err("no SQL");
    assert_eq!(refusal.code, ErrorCode::ServiceDown);
    assert!(stub.changes().is_empty(), "nothing is changed that cannot be looked at");

    stub.be(|manners| (manners.sql, manners.html) = (true, true));
    let refusal = queues.status().await.expect_err("no JSON");
    assert!(refusal.message.contains("something else than JSON"), "{}", refusal.message);
    stub.be(|manners| manners.html = false);
    assert!(queues.status().await.is_ok(), "it is back");
}

#[tokio::test]
async fn a_node_that_lags_behind_does_not_end_a_pause() {
    let stub = Stub::start(Manners::default()).await;
    let (backend, _server, _folder) = backend(&stub).await;
    let queues = backend.queues().expect("queues");
    let paused = queues.pause(PauseScope::All, &ada()).await.expect("an answer");
    assert_eq!(paused.effect, EffectKind::Applied);

    stub.be(|manners| manners.behind = true);
    let resume = || PauseRequest { scope: PauseScope::All, slow_start: false };
    for refusal in [
        queues.pauses().await.expect_err("an old state"),
        queues.resume(resume(), &ada()).await.expect_err("an old state"),
        queues.pause(PauseScope::Queue, &ada()).await.expect_err("an old state"),
    ] {
        assert_eq!(refusal.code, ErrorCode::ServiceDown);
        assert!(refusal.message.contains("as it was before its last change"), "{}", refusal.message);
    }
    assert_eq!(stub.changes(), ["set Gate"], "nothing is changed on the ground of an old state");

    stub.be(|manners| manners.behind = false);
    assert_eq!(queues.pauses().await.expect("pauses").len(), 1);
    let resumed = queues.resume(resume(), &ada()).await.expect("an answer");
    assert_eq!(resumed.effect, EffectKind::Applied);
    assert!(queues.pauses().await.expect("pauses").is_empty());
}

#[tokio::test]
async fn what_cannot_be_served_says_so_by_name() {
    let stub = Stub::start(Manners::default()).await;
    let (backend, _server, _folder) = backend(&stub).await;
    let table = backend.capabilities();
    assert_eq!(table["limits"].support, Support::Unavailable);
    assert!(table["limits"].caveat.as_deref().is_some_and(|why| why.contains("no service `RateLimit`")));
    assert_eq!(table["circuits"].support, Support::Contract);
    let limits = backend.limits().expect("limits").list().await.expect_err("nobody keeps them");
    assert_eq!(limits.code, ErrorCode::Unsupported);
    let slow = PauseRequest { scope: PauseScope::All, slow_start: true };
    let refusal = backend.queues().expect("queues").resume(slow, &ada()).await.expect_err("no slow start");
    assert_eq!(refusal.code, ErrorCode::Unsupported);
    assert!(backend.metrics().is_none() && backend.backups().is_none());
}

/// `opsctl serve` with these arguments: exit code and what it said.
fn serve(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
    command.env_clear().env("HOME", folder.path()).args(["serve", "--listen", "127.0.0.1:0", "--engine", "restate"]);
    let out = output(command.args(arguments));
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serving_over_a_cluster_that_cannot_be_used_ends_with_its_code() {
    let folder = TempDir::new("engine-serve");
    let (code, said) = serve(&folder, &["--restate-admin", "http://127.0.0.1:1"]);
    assert_eq!(code, Some(7), "{said}");
    assert!(said.starts_with("error: cannot use Restate at http://127.0.0.1:1\n"), "{said}");
    assert!(said.contains("connection refused") && said.contains("hint: "), "{said}");
    let stub = Stub::start(Manners { version: "2.0.0", ..Manners::default() }).await;
    let (code, said) = serve(&folder, &["--restate-admin", stub.url.as_str()]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("Restate 2.0.0 is newer"), "{said}");
    assert_eq!(serve(&folder, &[]).0, Some(2), "an address is needed");
    assert_eq!(serve(&folder, &["--restate-admin", "ftp://x"]).0, Some(2));
    assert!(!folder.path().join(".local").exists(), "nothing is left behind");
}

/// `opsctl worker` with these arguments: exit code and what it said.
fn worker(folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_opsctl"));
    let out = output(command.env_clear().env("HOME", folder.path()).arg("worker").args(arguments));
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_cannot_be_started_or_registered_say_why() {
    let folder = TempDir::new("engine-worker");
    assert_eq!(worker(&folder, &["--engine", "restate"]).0, Some(2), "an ingress is needed");
    let ingress = ["--restate-ingress", "http://127.0.0.1:1"];
    let (code, said) = worker(&folder, &["--listen", "0.0.0.0:0", ingress[0], ingress[1]]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("can have it act on the platforms") && said.contains("--identity-key"), "{said}");
    let (code, said) = worker(&folder, &["--identity-key", "publickeyv1_short", ingress[0], ingress[1]]);
    assert!(code == Some(2) && said.contains("publickeyv1_short"), "{code:?} {said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, said) = worker(&folder, &["--listen", &address, ingress[0], ingress[1]]);
    assert_eq!(code, Some(6), "{said}");

    let register = |admin: &str, more: &[&str]| {
        let mut arguments = vec!["register", "http://127.0.0.1:1", "--restate-admin", admin];
        arguments.extend(more);
        worker(&folder, &arguments)
    };
    let (code, said) = register("http://127.0.0.1:1", &["--yes"]);
    assert_eq!(code, Some(7), "{said}");
    let stub = Stub::start(Manners::default()).await;
    let (code, said) = register(stub.url.as_str(), &["--dry-run"]);
    assert!(code == Some(1) && said.contains("cannot register the workers at http://127.0.0.1:1"), "{code:?} {said}");
}

//! W3: 300 items moved to the trash at three requests a second, under each kind of limit that providers have, by the
//! runner that every clean-up uses. Re-reads are requests too, and the bound counts all of them. Prints one Markdown
//! table, of all kinds or of those named on the command line; asserts nothing about time. How to run it: `benches/README.md`.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{patch, post};
use axum::{Json, Router};
use opsctl::bulk::{AtPlatforms, Deed, Item, Run, Tally};
use opsctl::clock::Clock;
use opsctl::guard::{KeptPlan, Receipt, ReceiptState, Receipts, Undo};
use opsctl::platforms::look::{Among, fingerprint};
use opsctl::platforms::pace::Pacing;
use opsctl::platforms::{Clients, Credentials, Endpoints};
use opsctl::redact::Redactor;
use opsctl::settings::Places;
use opsctl::wire::{ActionType, Platform, Time};
use serde_json::{Value, json};

const ITEMS: usize = 300;
const RATE: f64 = 3.0;
const BURST: f64 = 3.0;
const LATENCY: Duration = Duration::from_millis(150);
const MINUTE_MS: i64 = 60_000;

/// How a provider limits.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    /// Tokens at the rate, room for a burst.
    Bucket,
    /// So many in each clock second.
    Window,
    /// So many in the 60 s that begin with the first request.
    Minute,
}

struct Provider {
    mode: Mode,
    started: Instant,
    tokens: f64,
    at: f64,
    window: f64,
    used: f64,
    passed: usize,
    refused: usize,
    trashed: HashSet<String>,
}

impl Provider {
    /// `None` when let through, else the seconds to wait.
    fn admit(&mut self) -> Option<f64> {
        let now = self.started.elapsed().as_secs_f64();
        let wait = match self.mode {
            Mode::Bucket => {
                self.tokens = (self.tokens + (now - self.at) * RATE).min(BURST);
                self.at = now;
                let wait = (1.0 - self.tokens) / RATE;
                if self.tokens >= 1.0 {
                    self.tokens -= 1.0;
                }
                wait
            }
            Mode::Window => self.in_window(now.floor(), 1.0, RATE, now),
            Mode::Minute => {
                let begin = if self.window >= 0.0 && now - self.window < 60.0 { self.window } else { now };
                self.in_window(begin, 60.0, 60.0 * RATE, now)
            }
        };
        if wait <= 0.0 {
            self.passed += 1;
            return None;
        }
        self.refused += 1;
        Some(wait)
    }

    fn in_window(&mut self, begin: f64, length: f64, limit: f64, now: f64) -> f64 {
        if begin != self.window {
            (self.window, self.used) = (begin, 0.0);
        }
        if self.used < limit {
            self.used += 1.0;
            return 0.0;
        }
        begin + length - now
    }
}

type Shared = Arc<Mutex<Provider>>;

fn page(n: usize) -> Value {
    let title = json!([{"type": "text", "text": {"content": "Task"}, "plain_text": "Task"}]);
    json!({
        "object": "page", "id": format!("00000000-0000-4000-8000-{n:012}"), "created_time": created(n),
        "in_trash": false, "properties": {"Name": {"id": "title", "type": "title", "title": title}},
    })
}

fn created(n: usize) -> Time {
    Time(1_760_000_040_000 + n as i64 * MINUTE_MS)
}

/// Lets a request through, or answers as Notion does.
fn gate(provider: &Shared) -> Option<Response> {
    let wait = provider.lock().unwrap().admit()?;
    let seconds = wait.ceil().max(1.0).to_string();
    let body =
        json!({"object": "error", "status": 429, "code": "rate_limited", "message": "You have been rate limited."});
    let mut response = (StatusCode::TOO_MANY_REQUESTS, Json(body)).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_str(&seconds).unwrap());
    Some(response)
}

async fn trash(State(provider): State<Shared>, Path(id): Path<String>) -> Response {
    if let Some(refusal) = gate(&provider) {
        return refusal;
    }
    provider.lock().unwrap().trashed.insert(id.clone());
    tokio::time::sleep(LATENCY).await;
    Json(json!({"object": "page", "id": id, "in_trash": true})).into_response()
}

async fn query(State(provider): State<Shared>, body: Bytes) -> Response {
    if let Some(refusal) = gate(&provider) {
        return refusal;
    }
    tokio::time::sleep(LATENCY).await;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let from = |part: &Value| part["and"][0]["created_time"]["on_or_after"].as_str().map(str::to_owned);
    let wanted: HashSet<String> = body["filter"]["or"].as_array().into_iter().flatten().filter_map(from).collect();
    let results: Vec<Value> = (0..ITEMS).filter(|n| wanted.contains(&created(*n).to_string())).map(page).collect();
    Json(json!({"object": "list", "results": results, "has_more": false, "next_cursor": null})).into_response()
}

/// A row of the table: its name, the kind of limit, the bound for so many requests, and what may be taken of it.
type Kind = (&'static str, Mode, fn(f64) -> f64, f64);

/// One run; a row of the table.
async fn run(name: &str, mode: Mode, over: fn(f64) -> f64, allowed: f64) -> String {
    let provider = Arc::new(Mutex::new(Provider {
        mode,
        started: Instant::now(),
        tokens: BURST,
        at: 0.0,
        window: -1.0,
        used: 0.0,
        passed: 0,
        refused: 0,
        trashed: HashSet::new(),
    }));
    let router = Router::new()
        .route("/v1/pages/{id}", patch(trash))
        .route("/v1/data_sources/{id}/query", post(query))
        .with_state(Arc::clone(&provider));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });

    let folder = std::env::temp_dir().join(format!("opsctl-w3-{name}-{}", std::process::id()));
    let places = Places::under(&folder);
    let endpoints = Endpoints { notion: format!("http://{address}/v1"), ..Endpoints::default() };
    let env = BTreeMap::from([("NOTION_API_KEY".to_owned(), "ntn_benchmark_0123456789".to_owned())]);
    let pacing = Pacing::new(Some(places.limits()), Clock::system());
    let clients = Clients::paced(endpoints, Credentials::from_env(&env), Clock::system(), pacing);
    let items: Vec<Item> = (0..ITEMS)
        .map(|n| {
            let page = page(n);
            let id = page["id"].as_str().unwrap().to_owned();
            Item::new(&id, Deed::act(Platform::Notion, ActionType::Delete, json!({"page_id": id})))
                .seen(fingerprint(Platform::Notion, &page))
                .among(Among { data_source: "source".into(), created: created(n) })
                .undo(Undo::Restore)
        })
        .collect();
    let receipts = Receipts::new(&places, Redactor::default());
    let kept = KeptPlan::new(&items, &Redactor::default()).unwrap();
    let (receipt, _) = receipts.open(receipt(), Some(&kept)).unwrap();
    let work = AtPlatforms::new(clients, Platform::Notion);
    let widest = std::cell::Cell::new(0);
    let progress = |_: &Tally| widest.set(widest.get().max(opsctl::bulk::Work::width(&work)));
    let job = Run {
        work: &work,
        receipts: &receipts,
        id: &receipt.id,
        key: &receipt.key,
        clock: &Clock::system(),
        max_errors: None,
        progress: &progress,
    };
    let started = Instant::now();
    let fates = job.run(&items, &[]).await.unwrap();
    let took = started.elapsed().as_secs_f64();
    let tally = Tally::of(&fates);
    let provider = provider.lock().unwrap();
    let bound = over(provider.passed as f64);
    let _ = std::fs::remove_dir_all(&folder);
    assert_eq!((tally.done, provider.trashed.len()), (ITEMS, ITEMS), "items are missing");
    format!(
        "| {name} | {} of {ITEMS} | {} | {took:.2} s | {bound:.2} s | {:.3} x | {allowed} x | {} | {} |",
        tally.done,
        provider.passed,
        took / bound,
        provider.refused,
        2 * widest.get(),
    )
}

fn receipt() -> Receipt {
    Receipt {
        id: String::new(),
        state: ReceiptState::Started,
        at: Clock::system().now(),
        operator: "bench@here".into(),
        context: "bench".into(),
        url: String::new(),
        verb: "apply".into(),
        title: format!("move {ITEMS} pages to the trash"),
        reason: None,
        ticket: None,
        subject: None,
        key: "bench".into(),
        error: None,
        undone_by: None,
        planned: None,
        items: Vec::new(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let by_rate = |requests: f64| (requests - BURST) / RATE + LATENCY.as_secs_f64();
    let by_minute = |requests: f64| ((requests - 1.0) / (60.0 * RATE)).floor() * 60.0 + LATENCY.as_secs_f64();
    let modes: [Kind; 3] = [
        ("bucket", Mode::Bucket, by_rate, 1.01),
        ("window", Mode::Window, by_rate, 1.01),
        ("minute", Mode::Minute, by_minute, 1.05),
    ];
    let named: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let wanted = modes.into_iter().filter(|(name, ..)| named.is_empty() || named.iter().any(|word| word == name));
    // They sleep nearly all the time, so that they do not disturb each other.
    let rows = futures_util::future::join_all(wanted.map(|(name, mode, over, bar)| run(name, mode, over, bar))).await;
    let head = "| limit | done | requests | took | bound | took / bound | bar | 429s | bar |\n\
                | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";
    let _ = writeln!(std::io::stdout(), "{head}\n{}", rows.join("\n"));
}

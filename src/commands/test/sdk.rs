//! `opsctl test sdk`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::commands::args::PlatformArg;
use crate::commands::{arriving, text};
use crate::error::Outcome;
use crate::http::USER_AGENT;
use crate::output::{Page, Report, Table};
use crate::platforms::{CallEvent, Platform};

/// The deadline unless `--timeout` or its like says otherwise.
const DEADLINE: Duration = Duration::from_secs(12);

/// Test the built-in client of a platform
///
/// Signs in twice with this environment's credential: the first time with a new connection, the second time on it. Shows
/// the API version that was agreed on and how long each request took. Ends with 3 when it does not work.
///
/// Example: opsctl test sdk notion
#[derive(Args, Debug)]
pub struct SdkArgs {
    /// Platform whose client to test
    platform: PlatformArg,
}

/// What came of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tested {
    platform: Platform,
    /// `OK` or `FAIL`.
    state: &'static str,
    /// What the requests say they come from.
    client: &'static str,
    url: String,
    /// The API version that is spoken.
    api_version: String,
    /// How the platform is told, and what it made of it.
    version_told: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    /// The time of the second sign-in's request, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_ms: Option<f64>,
    requests: Vec<Request>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    request: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    took_ms: f64,
}

impl Report for Tested {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("State", self.state)?;
        page.pair("Client", self.client)?;
        page.pair("API", format_args!("{} ({})", self.api_version, self.version_told))?;
        page.pair("Address", &self.url)?;
        if let Some(identity) = &self.identity {
            page.pair("Signed in as", identity)?;
        }
        if let Some(ms) = self.round_trip_ms {
            page.pair("Round trip", text::millis(ms))?;
        }
        if let Some(error) = &self.error {
            page.pair("Error", error)?;
        }
        if self.requests.is_empty() {
            return Ok(());
        }
        page.blank()?;
        let mut table = Table::new(&["REQUEST", "HTTP", ">TOOK"]);
        for one in &self.requests {
            let status = one.status.map_or("no answer".to_owned(), |s| s.to_string());
            table.row([one.request.to_owned(), status, text::millis(one.took_ms)]);
        }
        page.table(&table)
    }
}

pub(super) async fn sdk(app: &App, args: SdkArgs) -> anyhow::Result<Outcome> {
    let platform = args.platform.0;
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let log = Arc::clone(&seen);
    let clients = app.observed_platforms(Arc::new(move |event: CallEvent| {
        let took_ms = event.took.as_secs_f64() * 1000.0;
        let request = Request { request: event.request, status: event.status, took_ms };
        log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }));
    let clients = clients.await?;
    let (api_version, version_told) = clients.api_version(platform);
    let limit = arriving::limit(app, DEADLINE);
    let answer = tokio::time::timeout(limit, async {
        clients.who_am_i_within(platform, limit).await?;
        clients.who_am_i_within(platform, limit).await
    });
    let answer = match answer.await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {}", crate::analysis::span(limit))),
    };
    let requests = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let url = clients.endpoints().base(platform).to_owned();
    let tested = Tested {
        platform,
        state: if answer.is_ok() { "OK" } else { "FAIL" },
        client: USER_AGENT,
        url,
        api_version,
        version_told,
        identity: answer.as_ref().ok().cloned(),
        round_trip_ms: answer.is_ok().then(|| requests.last().map(|r| r.took_ms)).flatten(),
        requests,
        error: answer.err(),
    };
    let outcome = if tested.error.is_none() { Outcome::Done } else { Outcome::Problem };
    app.emit(&tested)?;
    Ok(outcome)
}

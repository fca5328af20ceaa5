//! `opsctl test connectivity`.

use std::io;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;

use super::probe::{self, STEPS, Step};
use crate::app::App;
use crate::commands::args::PlatformArg;
use crate::commands::{arriving, text};
use crate::error::{Fault, Outcome};
use crate::http::{Url, is_loopback};
use crate::output::{Format, Page, Report, Style};
use crate::platforms::Platform;

/// The deadline unless `--timeout` or its like says otherwise.
const DEADLINE: Duration = Duration::from_secs(10);

/// Test the way to a platform: DNS, TCP, TLS, HTTP
///
/// Each step is timed, on one new connection, within one deadline (10s unless --timeout says otherwise). Nothing is
/// signed in: any answer of the API shows that the way is open. Ends with 3 when a step fails.
///
/// Example: opsctl test connectivity notion
#[derive(Args, Debug)]
pub struct ConnectivityArgs {
    /// Platform to reach
    platform: PlatformArg,
}

/// The way and how far it works.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Way {
    platform: Platform,
    url: String,
    steps: Vec<Step>,
}

impl Report for Way {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.heading(HEADING)?;
        for step in &self.steps {
            let text = line(step, page);
            page.line(text)?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.steps.iter().map(serde_json::to_value).collect()
    }
}

/// Columns before the detail, gaps included.
const FIXED: usize = 25;
const HEADING: &str = "STEP  STATE       TOOK  DETAIL";

fn line(step: &Step, style: &Style) -> String {
    let state = arriving::state(style, step.state, 8);
    let took = step.took_ms.map_or("-".to_owned(), text::millis);
    format!("{:<4}  {state}  {took:>6}  {}", step.step, arriving::rest(style, &step.detail, FIXED))
}

pub(super) async fn connectivity(app: &App, args: ConnectivityArgs) -> anyhow::Result<Outcome> {
    let platform = args.platform.0;
    let endpoints = app.endpoints().await?;
    let address = endpoints.base(platform);
    let url: Url = address
        .parse()
        .map_err(|error| Fault::usage(format!("`{address}` is not an address")).because(format!("{error}")))?;
    let limit = arriving::limit(app, DEADLINE);
    let deadline = Instant::now() + limit;
    app.note(format!("{platform}: {address}, without a credential"));
    if let Some(name) = proxy(app).filter(|_| !is_loopback(&url)) {
        app.note(format!("{name} is set: this test goes straight, every other request goes through the proxy"));
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    let goal = url.clone();
    // A thread that nobody waits for: a lookup has no limit of its own.
    std::thread::spawn(move || probe::go(&goal, deadline, |step| drop(sender.send(step))));
    let steps = arriving::collect(app, HEADING, until(receiver, deadline, limit), line).await?;
    let good = steps.iter().all(|step| ["OK", "SKIPPED"].contains(&step.state));
    if app.output.format != Format::Table {
        app.emit(&Way { platform, url: address.to_owned(), steps })?;
    }
    Ok(if good { Outcome::Done } else { Outcome::Problem })
}

/// The steps as they come; at the deadline the one that is waited for is a `TIMEOUT`.
fn until(
    receiver: mpsc::UnboundedReceiver<Step>,
    deadline: Instant,
    limit: Duration,
) -> impl futures_util::Stream<Item = Step> {
    stream::unfold((receiver, 0_usize), move |(mut receiver, done)| async move {
        let step = *STEPS.get(done)?;
        let deadline = tokio::time::Instant::from_std(deadline);
        match tokio::time::timeout_at(deadline, receiver.recv()).await {
            Ok(Some(step)) => Some((step, (receiver, done + 1))),
            // The way ended with the last step.
            Ok(None) => None,
            Err(_) => {
                let detail = format!("not done within {}", crate::analysis::span(limit));
                Some((Step { step, state: "TIMEOUT", took_ms: None, detail }, (receiver, STEPS.len())))
            }
        }
    })
}

/// The variable that sends https through a proxy, when one is set.
fn proxy(app: &App) -> Option<&'static str> {
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
        .into_iter()
        .find(|name| app.settings.env.non_empty(name).is_some())
}

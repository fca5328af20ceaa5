//! `opsctl check health --external`: what the vendors say of themselves, asked straight from this machine.
//!
//! All feeds are asked at once, and one deadline holds for the whole command. On a table each row is written when its
//! answer comes, in columns of fixed width; what has not answered by the deadline is a row `TIMEOUT`, not a gap.

use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde::{Serialize, Serializer};

use crate::app::App;
use crate::commands::args::{PlatformArg, each_once};
use crate::commands::{arriving, text};
use crate::error::Outcome;
use crate::output::{Format, Page, Report, Style};
use crate::platforms::status::{self, FeedStatus};
use crate::platforms::{Endpoints, Platform};

use super::health::verdict;

/// The deadline unless `--timeout` or its like says otherwise.
const DEADLINE: Duration = Duration::from_secs(5);

/// Read the vendors' status feeds
///
/// Asked straight from this machine, all at once; the same as `check health --external`. A feed that cannot be read is
/// UNKNOWN, never healthy. Ends with 3 unless every vendor says that all is well.
///
/// Example: opsctl check platform-status notion
#[derive(Args, Debug)]
pub struct StatusArgs {
    /// Platforms to ask about; all of them without any
    #[arg(value_name = "PLATFORM")]
    platforms: Vec<PlatformArg>,
}

pub(super) async fn status(app: &App, args: StatusArgs) -> anyhow::Result<Outcome> {
    run(app, &each_once(&args.platforms)).await
}

/// What one vendor says.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Feed {
    platform: Platform,
    /// `OK`, `DEGRADED`, `DOWN`, `UNKNOWN`, `TIMEOUT`.
    status: &'static str,
    /// In the vendor's words, or why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The feed that was asked.
    url: String,
    /// How long the answer took, in milliseconds.
    took_ms: u64,
}

impl Feed {
    /// `None` is a feed that did not answer by the deadline.
    fn new(platform: Platform, url: &str, answer: Option<FeedStatus>, took: Duration) -> Feed {
        let late = || ("TIMEOUT", Some("no answer by the deadline".to_owned()));
        let (status, detail) = answer.map_or_else(late, FeedStatus::words);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Feed { platform, status, detail, url: url.to_owned(), took_ms }
    }

    /// One line in columns of fixed width, so that lines written at different times stand under each other.
    fn line(&self, style: &Style, verbose: bool) -> String {
        let status = arriving::state(style, self.status, 8);
        let took = text::millis(self.took_ms as f64);
        let detail = match (&self.detail, verbose) {
            (Some(detail), true) => format!("{detail} · {}", self.url),
            (Some(detail), false) => detail.clone(),
            (None, true) => self.url.clone(),
            (None, false) => "no incident".to_owned(),
        };
        let detail = arriving::rest(style, &detail, FIXED);
        format!("{:<8}  {status}  {took:>6}  {detail}", self.platform.as_str())
    }
}

/// Columns before the detail, gaps included.
const FIXED: usize = 29;
const HEADING: &str = "PLATFORM  STATUS      TOOK  THE VENDOR SAYS";

/// All that were asked, in the order they were asked for: one object for one platform, a list for several.
pub(super) struct Feeds {
    feeds: Vec<Feed>,
    verbose: bool,
}

impl Feeds {
    /// Each platform's word and what is said about it.
    pub(super) fn words(&self) -> impl Iterator<Item = (Platform, &str, Option<&str>)> {
        self.feeds.iter().map(|feed| (feed.platform, feed.status, feed.detail.as_deref()))
    }
}

impl Serialize for Feeds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.feeds[..] {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl Report for Feeds {
    fn draw(&self, page: &mut Page<'_>) -> std::io::Result<()> {
        page.heading(HEADING)?;
        for feed in &self.feeds {
            let line = feed.line(page, self.verbose);
            page.line(line)?;
        }
        Ok(())
    }
}

/// Asks the feeds of these platforms. On a table each row is written as it comes.
pub(super) async fn run(app: &App, wanted: &[Platform]) -> anyhow::Result<Outcome> {
    let endpoints = app.endpoints().await?;
    let probes = ask_all(&endpoints, wanted, arriving::limit(app, DEADLINE));
    let verbose = app.is_verbose();
    let mut feeds = arriving::collect(app, HEADING, probes, |feed, style| feed.line(style, verbose)).await?;
    let healthy = feeds.iter().all(|feed| feed.status == "OK");
    if app.output.format != Format::Table {
        feeds.sort_by_key(|feed| wanted.iter().position(|p| *p == feed.platform));
        app.emit(&Feeds { feeds, verbose })?;
    }
    Ok(verdict(healthy))
}

/// Asks them and gives all answers together.
pub(super) async fn look(app: &App, wanted: &[Platform]) -> anyhow::Result<(Feeds, Outcome)> {
    let endpoints = app.endpoints().await?;
    let mut feeds: Vec<Feed> = ask_all(&endpoints, wanted, arriving::limit(app, DEADLINE)).collect().await;
    feeds.sort_by_key(|feed| wanted.iter().position(|p| *p == feed.platform));
    let healthy = feeds.iter().all(|feed| feed.status == "OK");
    Ok((Feeds { feeds, verbose: app.is_verbose() }, verdict(healthy)))
}

/// Starts all probes at once; each gives its row when it knows, or at the deadline.
fn ask_all<'a>(
    endpoints: &'a Endpoints,
    wanted: &[Platform],
    limit: Duration,
) -> FuturesUnordered<impl Future<Output = Feed> + use<'a>> {
    let started = Instant::now();
    let deadline = tokio::time::Instant::from_std(started + limit);
    // The probe's own limit is a little longer, so that the deadline is what ends a hanging one.
    let own_limit = limit + Duration::from_secs(1);
    wanted
        .iter()
        .map(|&platform| async move {
            let answer = tokio::time::timeout_at(deadline, status::fetch(endpoints, platform, own_limit)).await.ok();
            Feed::new(platform, endpoints.status(platform), answer, started.elapsed())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hanging_feed_is_a_row_and_unknown_is_never_ok() {
        let feed = |answer| Feed::new(Platform::Drive, "https://x/feed", answer, Duration::from_millis(2004));
        let timeout = feed(None);
        assert_eq!(timeout.line(&Style::plain(), false), "drive     TIMEOUT     2.0s  no answer by the deadline");
        assert_eq!(feed(Some(FeedStatus::Unknown("not JSON".into()))).status, "UNKNOWN");
        assert_eq!(feed(Some(FeedStatus::Operational)).status, "OK");
        assert!(HEADING.find("THE").unwrap() == timeout.line(&Style::plain(), false).find("no answer").unwrap());
    }
}

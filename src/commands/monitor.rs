//! `opsctl monitor`: look at one platform again and again, from outside and from inside.

use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::{App, WatchArgs};
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{Page, Report, percent};
use crate::platforms::status::{self, FEED_TIMEOUT, FeedStatus};
use crate::settings::parse_duration;
use crate::wire::{ExecutorHealthReport, Platform};

use super::args::PlatformArg;

/// The fastest that vendors' feeds may be asked.
const FASTEST: Duration = Duration::from_secs(1);

/// Follow a platform.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Platform(PlatformArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Platform(args) => platform(app, args).await,
        }
    }
}

/// Follow what a vendor says, and how its platform works for us
///
/// The vendor's status feed is asked from this machine, the health of its executor from the orchestrator. A terminal is
/// redrawn at every interval; elsewhere there is one line, or with -o jsonl one record, for each change. Runs until
/// Ctrl-C. A feed or an orchestrator that does not answer is UNKNOWN and does not end it.
///
/// Example: opsctl monitor platform notion --interval 1m
#[derive(Args, Debug)]
pub struct PlatformArgs {
    /// Platform to follow
    platform: PlatformArg,

    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_interval)]
    interval: Duration,
}

fn parse_interval(text: &str) -> Result<Duration, Fault> {
    let interval = parse_duration(text)?;
    if interval < FASTEST {
        return Err(Fault::usage(format!("`{text}` is too often")).because("the shortest interval is 1s"));
    }
    Ok(interval)
}

/// One look.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Look {
    platform: Platform,
    /// What the vendor says: `OK`, `DEGRADED`, `DOWN`, `UNKNOWN`.
    vendor: &'static str,
    /// In its words, or why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_says: Option<String>,
    /// How it works for us: `healthy`, `degraded`, `critical`, `UNKNOWN`.
    health: String,
    /// Why it is not healthy, or why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// State of its circuit.
    #[serde(skip_serializing_if = "Option::is_none")]
    circuit: Option<String>,
    /// Failed over finished actions of the last hour, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_rate: Option<f64>,
}

impl Look {
    fn new(platform: Platform, feed: FeedStatus, ours: Result<ExecutorHealthReport, String>) -> Look {
        let (vendor, vendor_says) = feed.words();
        let (health, reason, circuit, error_rate) = match ours {
            Ok(ours) => (
                ours.status.to_string(),
                ours.reason,
                Some(ours.circuit_breaker.state.to_string()),
                ours.error_rate.map(|rate| (rate * 1000.0).round() / 1000.0),
            ),
            Err(why) => ("UNKNOWN".to_owned(), Some(why), None, None),
        };
        Look { platform, vendor, vendor_says, health, reason, circuit, error_rate }
    }
}

impl Report for Look {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let with = |word: &str, why: &Option<String>| match why {
            Some(why) => format!("{word}, {why}"),
            None => word.to_owned(),
        };
        page.pair("Platform", self.platform)?;
        page.pair("The vendor says", with(self.vendor, &self.vendor_says))?;
        page.pair("For us", with(&self.health, &self.reason))?;
        page.pair("Circuit", self.circuit.as_deref().unwrap_or("UNKNOWN"))?;
        page.pair("Error rate, 1h", self.error_rate.map_or("no finished actions".to_owned(), percent))
    }
}

async fn platform(app: &App, args: PlatformArgs) -> anyhow::Result<Outcome> {
    let PlatformArg(platform) = args.platform;
    let endpoints = app.endpoints().await?;
    let watch = WatchArgs { watch: Some(args.interval) };
    app.watch(&watch, || async {
        let (feed, ours) = tokio::join!(status::fetch(&endpoints, platform, FEED_TIMEOUT), ours(app, platform));
        Ok((Look::new(platform, feed, ours?), Outcome::Done))
    })
    .await
}

/// How it works for us; in words why nothing is known.
async fn ours(app: &App, platform: Platform) -> anyhow::Result<Result<ExecutorHealthReport, String>> {
    let asked = async { anyhow::Ok(app.orchestrator().await?.health().await?) };
    match asked.await {
        Ok(mut health) => Ok(health
            .executors
            .remove(&platform)
            .ok_or_else(|| format!("the orchestrator has no executor for {platform}"))),
        Err(error) => {
            let explained = Explained::from_error(&error);
            if explained.kind == Kind::Unreachable { Ok(Err(explained.message)) } else { Err(error) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_asked_is_unknown() {
        let feed = FeedStatus::Unknown("status.notion.so: no answer".into());
        let look = Look::new(Platform::Notion, feed, Err("it does not answer".into()));
        assert_eq!((look.vendor, look.health.as_str(), look.circuit), ("UNKNOWN", "UNKNOWN", None));
        assert!(parse_interval("500ms").is_err());
    }
}

//! `opsctl metrics`: how fast, how much, of what.

mod actions;
pub(super) mod performance;
mod requests;

use std::time::Duration;

use clap::Subcommand;

use crate::analysis::span;
use crate::app::App;
use crate::error::{Fault, Outcome};
use crate::settings::{Since, parse_duration};
use crate::wire::Time;

/// Performance, requests, actions.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Performance(performance::PerformanceArgs),
    Requests(requests::RequestsArgs),
    Actions(actions::ActionsArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Performance(args) => performance::performance(app, args).await,
            Self::Requests(args) => requests::requests(app, args).await,
            Self::Actions(args) => actions::actions(app, args).await,
        }
    }
}

/// Metrics are kept by the minute: a shorter window has nothing in it.
const SHORTEST: Duration = Duration::from_secs(60);
/// Rolled-up metrics are kept for 30 days and one to compare with.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);

/// A window that metrics can answer for, as a length.
fn parse_window(text: &str) -> Result<Duration, Fault> {
    ensure_kept(parse_duration(text)?)
}

/// The window since a moment, so that one of the same length before it can stand beside it.
fn window_since(since: &Since, now: Time) -> Result<Duration, Fault> {
    ensure_kept(now.since(since.resolve_here(now)?))
}

fn ensure_kept(window: Duration) -> Result<Duration, Fault> {
    if (SHORTEST..=LONGEST).contains(&window) {
        return Ok(window);
    }
    Err(Fault::usage(format!("metrics have no window of {}", span(window)))
        .because("a window is from 1m to 31d")
        .hint("write 5m, 24h or 7d; `opsctl report monthly` and `opsctl analyze capacity` go further back"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_bounds() {
        assert_eq!(parse_window("5m").unwrap(), Duration::from_secs(300));
        for text in ["0s", "30s", "32d", "-5m", "5"] {
            assert!(parse_window(text).is_err(), "{text}");
        }
        let now = "2026-11-24T03:00:00Z".parse().unwrap();
        let since = |text: &str| window_since(&text.parse().unwrap(), now);
        assert_eq!(since("7d").unwrap(), Duration::from_secs(7 * 86_400));
        assert_eq!(since("2026-11-24T02:30:00Z").unwrap(), Duration::from_secs(1800));
        assert!(since("2026-10-01T00:00:00Z").is_err() && since("2026-11-25T00:00:00Z").is_err());
    }
}

//! `opsctl metrics`: how fast, how much, of what.

mod actions;
mod performance;
mod requests;

use std::time::Duration;

use clap::Subcommand;

use crate::app::App;
use crate::error::{Fault, Outcome};
use crate::settings::parse_duration;

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

/// A window that metrics can answer for.
fn parse_window(text: &str) -> Result<Duration, Fault> {
    let window = parse_duration(text)?;
    if (SHORTEST..=LONGEST).contains(&window) {
        return Ok(window);
    }
    Err(Fault::usage(format!("`{text}` is not a window"))
        .because("a window is from 1m to 31d")
        .hint("write 5m, 24h or 7d"))
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
    }
}

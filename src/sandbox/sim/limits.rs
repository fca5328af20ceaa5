//! The vendors' rate limits: fixed windows that start with their first request.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::Time;

/// How much each vendor admits. The defaults are the documented figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct LimitSettings {
    /// Whether limits are enforced at all.
    pub enabled: bool,
    /// Notion: requests a token in 60 s.
    pub notion_per_minute: u64,
    /// Trello: requests a token in 10 s.
    pub trello_token_per_10s: u64,
    /// Trello: requests a key in 10 s.
    pub trello_key_per_10s: u64,
    /// Trello: requests to `/1/members` a token in 900 s.
    pub trello_members_per_900s: u64,
    /// Slack: messages a channel in one second.
    pub slack_posts_per_second: u64,
    /// Slack: requests a tier-2 method in 60 s.
    pub slack_tier2_per_minute: u64,
    /// Slack: requests a tier-3 method in 60 s.
    pub slack_tier3_per_minute: u64,
    /// Slack: requests a tier-4 method in 60 s.
    pub slack_tier4_per_minute: u64,
    /// Drive: quota units a user in 60 s; each request costs [`LimitSettings::drive_units_per_request`].
    pub drive_units_per_minute: u64,
    /// Drive: the vendor's cost table is not public; one figure for every method.
    pub drive_units_per_request: u64,
    /// Sheets: reads a user in 60 s.
    pub sheets_reads_per_minute: u64,
    /// Sheets: writes a user in 60 s.
    pub sheets_writes_per_minute: u64,
    /// PagerDuty: events a routing key in 60 s.
    pub pagerduty_per_minute: u64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        LimitSettings {
            enabled: true,
            notion_per_minute: 180,
            trello_token_per_10s: 100,
            trello_key_per_10s: 300,
            trello_members_per_900s: 100,
            slack_posts_per_second: 1,
            slack_tier2_per_minute: 20,
            slack_tier3_per_minute: 50,
            slack_tier4_per_minute: 100,
            drive_units_per_minute: 325_000,
            drive_units_per_request: 100,
            sheets_reads_per_minute: 60,
            sheets_writes_per_minute: 60,
            pagerduty_per_minute: 120,
        }
    }
}

/// One limit that a request counts against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    /// Which limit, for the error: `API_TOKEN_LIMIT_EXCEEDED`, `Read requests`.
    pub(super) limit_name: &'static str,
    /// Whose window: the limit's name and the token, channel or method.
    pub(super) key: String,
    pub(super) admits: u64,
    pub(super) window: Duration,
    pub(super) cost: u64,
}

impl Charge {
    pub(super) fn new(limit_name: &'static str, whose: &str, admits: u64, window: Duration) -> Self {
        Charge { limit_name, key: format!("{limit_name} {whose}"), admits, window, cost: 1 }
    }
}

/// A request over a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) limit_name: &'static str,
    pub(super) admits: u64,
    /// Whole seconds until the window ends, at least 1.
    pub(super) retry_after_secs: u64,
}

#[derive(Debug)]
struct Window {
    ends: Time,
    used: u64,
}

/// The windows that are running.
#[derive(Debug, Default)]
pub(super) struct Windows(HashMap<String, Window>);

impl Windows {
    /// Counts a request against all its limits, or against none when one of them is used up.
    pub(super) fn admit(&mut self, charges: &[Charge], now: Time) -> Result<(), Exceeded> {
        if self.0.len() > 1000 {
            self.0.retain(|_, window| window.ends > now);
        }
        for charge in charges {
            let window = self.0.entry(charge.key.clone()).or_insert(Window { ends: now, used: 0 });
            // The second test restarts the window of a clock that was set back.
            if window.ends <= now || window.ends > now + charge.window {
                *window = Window { ends: now + charge.window, used: 0 };
            }
            if window.used + charge.cost > charge.admits {
                let millis = u64::try_from((window.ends - now).as_millis()).unwrap_or(u64::MAX);
                return Err(Exceeded {
                    limit_name: charge.limit_name,
                    admits: charge.admits,
                    retry_after_secs: millis.div_ceil(1000).max(1),
                });
            }
        }
        for charge in charges {
            if let Some(window) = self.0.get_mut(&charge.key) {
                window.used += charge.cost;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_starts_with_its_first_request_and_refills_when_it_ends() {
        let mut windows = Windows::default();
        let charge = [Charge::new("l", "token", 2, Duration::from_secs(10))];
        let start = Time(1_000_000);
        assert!(windows.admit(&charge, start).is_ok());
        assert!(windows.admit(&charge, start + Duration::from_secs(3)).is_ok());
        let refused = windows.admit(&charge, start + Duration::from_millis(3_500)).unwrap_err();
        assert_eq!((refused.retry_after_secs, refused.admits), (7, 2));
        assert!(windows.admit(&charge, start + Duration::from_secs(10)).is_ok());
    }

    #[test]
    fn what_one_limit_refuses_counts_against_no_other() {
        let mut windows = Windows::default();
        let wide = Charge::new("wide", "k", 2, Duration::from_secs(10));
        let narrow = Charge::new("narrow", "t", 1, Duration::from_secs(10));
        let both = [wide.clone(), narrow];
        assert!(windows.admit(&both, Time(0)).is_ok());
        assert_eq!(windows.admit(&both, Time(0)).unwrap_err().limit_name, "narrow");
        assert!(windows.admit(&[wide], Time(0)).is_ok());
    }
}

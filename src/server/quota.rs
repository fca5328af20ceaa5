//! HTTP rate limits of the documented API: fixed windows by token, or by address where there is no token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::backend::Refusal;
use crate::wire::{ErrorCode, Time};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// Requests an hour without a token, by address; a token has its own, larger budget.
const HOURLY_BY_ADDRESS: u64 = 1000;
/// Requests an hour of one token.
const HOURLY_BY_TOKEN: u64 = 10_000;
/// Requests a minute by group of routes.
const GROUPS: [(&str, u64); 3] = [("/api/actions", 100), ("/api/approvals", 50), ("/api/context", 200)];
/// Counters beyond which ended windows are swept out.
const SWEEP_ABOVE: usize = 4096;

/// Whose budget a request uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// A token's, by its id.
    Token(String),
    /// An address's.
    Address(IpAddr),
}

/// What the `X-RateLimit-*` headers say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Requests the window admits.
    pub limit: u64,
    /// How many are left.
    pub remaining: u64,
    /// When the window ends, in Unix seconds.
    pub reset: i64,
}

#[derive(Clone, Copy)]
struct Window {
    ends: i64,
    used: u64,
}

/// The counters.
#[derive(Default)]
pub struct Quota {
    windows: Mutex<HashMap<(Who, &'static str), Window>>,
}

impl Quota {
    /// Counts a request; `RATE_LIMITED` when a budget is used up. The budget is the tightest that applies.
    pub fn admit(&self, who: &Who, path: &str, now: Time) -> Result<Budget, Refusal> {
        let hourly = if matches!(who, Who::Token(_)) { HOURLY_BY_TOKEN } else { HOURLY_BY_ADDRESS };
        let group = GROUPS.iter().find(|(prefix, _)| path.starts_with(prefix));
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() > SWEEP_ABOVE {
            windows.retain(|_, w| w.ends > now.0);
        }
        let rules = std::iter::once(("hour", hourly, HOUR_MS)).chain(group.map(|(g, n)| (*g, *n, MINUTE_MS)));
        let mut tightest: Option<Budget> = None;
        for (name, limit, length) in rules {
            let window = windows.entry((who.clone(), name)).or_insert(Window { ends: now.0 + length, used: 0 });
            if window.ends <= now.0 {
                *window = Window { ends: now.0 + length, used: 0 };
            }
            if window.used >= limit {
                let wait = u64::try_from((window.ends - now.0 + 999) / 1000).unwrap_or(1);
                let mut refusal = Refusal::new(ErrorCode::RateLimited, format!("more than {limit} requests"));
                refusal.retry_after = Some(wait);
                return Err(refusal);
            }
            window.used += 1;
            let budget = Budget { limit, remaining: limit - window.used, reset: window.ends / 1000 };
            if tightest.is_none_or(|t| budget.remaining < t.remaining) {
                tightest = Some(budget);
            }
        }
        tightest.ok_or_else(|| Refusal::new(ErrorCode::UnknownError, "no limit applies"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_refused_at_its_limit_and_admitted_again_in_the_next_window() {
        let quota = Quota::default();
        let who = Who::Token("t".into());
        for used in 1..=100 {
            assert_eq!(quota.admit(&who, "/api/actions/recent", Time(0)).unwrap().remaining, 100 - used);
        }
        let refused = quota.admit(&who, "/api/actions/recent", Time(1500)).unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (ErrorCode::RateLimited, Some(59)));
        assert!(quota.admit(&who, "/admin/v1/config", Time(1500)).is_ok());
        assert!(quota.admit(&who, "/api/actions/recent", Time(60_000)).is_ok());
    }

    #[test]
    fn a_token_has_a_larger_hour_than_an_address() {
        let quota = Quota::default();
        let spent = |who: &Who| (0..2000).filter(|_| quota.admit(who, "/health", Time(0)).is_ok()).count();
        assert_eq!(spent(&Who::Address([10, 0, 0, 1].into())), 1000);
        assert_eq!(spent(&Who::Token("t".into())), 2000);
    }
}

//! What is known about the end of a platform's key.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Verdict, span};
use crate::platforms::{Expiry, Platform, PlatformError, auth_error_text};
use crate::wire::{ErrorCode, Time};

/// A key this close to its end is a finding (the runbook's 7 days).
const SOON: Duration = Duration::from_secs(7 * 86_400);
/// The same for a token that is renewed by itself all the time.
const SOON_ROTATING: Duration = Duration::from_secs(600);

/// What is known about the end of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyEnd {
    /// Whose.
    pub platform: Platform,
    /// FAIL is a key that ended or is refused, WARN one that ends soon.
    pub state: Verdict,
    /// When it ends; absent when it never does, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<KeySource>,
    /// For people.
    pub detail: String,
    /// The platform was asked and does not tell: nothing is broken, somebody has to write the date down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_untold: bool,
}

/// Who says when a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySource {
    /// The platform.
    Api,
    /// Somebody who wrote it down on this machine.
    Recorded,
}

impl KeySource {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeySource::Api => "api",
            KeySource::Recorded => "recorded",
        }
    }
}

impl KeyEnd {
    fn new(platform: Platform, state: Verdict, detail: impl Into<String>) -> Self {
        KeyEnd { platform, state, expires_at: None, source: None, detail: detail.into(), is_untold: false }
    }

    /// A key with an end.
    fn at(platform: Platform, at: Time, source: KeySource, now: Time) -> Self {
        let soon = if (platform, source) == (Platform::Slack, KeySource::Api) { SOON_ROTATING } else { SOON };
        let left = span(at.since(now));
        let (state, detail) = match at {
            at if at <= now => (Verdict::Fail, "it ended".to_owned()),
            at if at < now + soon => (Verdict::Warn, format!("only {left} left")),
            _ => (Verdict::Ok, format!("{left} left")),
        };
        KeyEnd { expires_at: Some(at), source: Some(source), ..KeyEnd::new(platform, state, detail) }
    }

    /// From what the platform answered and what somebody wrote down.
    pub fn judge(platform: Platform, expiry: Result<Expiry, PlatformError>, recorded: Option<Time>, now: Time) -> Self {
        match (expiry, recorded) {
            (Ok(Expiry::At(at)), _) => KeyEnd::at(platform, at, KeySource::Api, now),
            (Ok(Expiry::Never), _) => {
                KeyEnd { source: Some(KeySource::Api), ..KeyEnd::new(platform, Verdict::Ok, "it has no end") }
            }
            (Ok(Expiry::NotReported(_)), Some(at)) => KeyEnd::at(platform, at, KeySource::Recorded, now),
            (Ok(Expiry::NotReported(why)), None) => {
                let detail = format!("not reported by the API: {why}");
                KeyEnd { is_untold: true, ..KeyEnd::new(platform, Verdict::Unknown, detail) }
            }
            (Err(error), _) if error.code == ErrorCode::AuthError => {
                KeyEnd::new(platform, Verdict::Fail, auth_error_text(&error))
            }
            (Err(error), _) => KeyEnd::new(platform, Verdict::Unknown, error.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn what_nobody_knows_is_unknown_and_what_is_near_is_said() {
        let now = Time(1_790_000_000_000);
        let judge = |expiry, recorded| KeyEnd::judge(Platform::Notion, expiry, recorded, now);
        let untold = || Ok(Expiry::NotReported("no"));
        let failed = |code| Err(PlatformError::new(Platform::Notion, code, "x"));
        for (one, state, source) in [
            (judge(untold(), None), Verdict::Unknown, None),
            (judge(untold(), Some(now + DAY * 30)), Verdict::Ok, Some(KeySource::Recorded)),
            (judge(untold(), Some(now + DAY * 3)), Verdict::Warn, Some(KeySource::Recorded)),
            (judge(Ok(Expiry::At(now)), Some(now + DAY * 30)), Verdict::Fail, Some(KeySource::Api)),
            (judge(Ok(Expiry::Never), None), Verdict::Ok, Some(KeySource::Api)),
            (judge(failed(ErrorCode::AuthError), None), Verdict::Fail, None),
            (judge(failed(ErrorCode::TimeoutError), None), Verdict::Unknown, None),
        ] {
            assert_eq!((one.state, one.source), (state, source), "{one:?}");
            assert_eq!(one.is_untold, one.detail.starts_with("not reported"), "{one:?}");
        }
    }
}

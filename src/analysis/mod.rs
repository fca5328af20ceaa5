//! Pure questions over records: thresholds, causes, trends. Nothing here knows HTTP, the terminal or the clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub mod alerts;
pub mod attempts;
pub mod audit;
pub mod capacity;
pub mod changes;
pub mod conditions;
pub mod copies;
pub mod duplicates;
pub mod ended;
pub mod errors;
pub mod failures;
pub mod fallbacks;
pub mod histogram;
pub mod jobs;
pub mod keys;
pub mod limited;
pub mod lines;
pub mod maintenance;
pub mod monthly;
pub mod performance;
pub mod queries;
pub mod retries;
pub mod stand_ins;
pub mod suspicious;
pub mod system;
pub mod tasks;
pub mod texts;
pub mod trend;
pub mod uptime;
pub mod workflow_lines;
pub mod workflows;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Within its threshold.
    Ok,
    /// Nobody could look, or there was nothing to judge.
    Unknown,
    /// Beyond its threshold; it still works.
    Warn,
    /// Beyond its threshold, and something does not work.
    Fail,
}

impl Verdict {
    /// The word, as it is shown and written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "OK",
            Verdict::Unknown => "UNKNOWN",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        }
    }

    /// Whether a threshold was crossed.
    pub const fn is_beyond(self) -> bool {
        matches!(self, Verdict::Warn | Verdict::Fail)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A rate from 0 to 1 as `97.3%`. It is cut, not rounded, towards the side of `limit` it is on, so that 94.96 % never
/// reads as the 95.0 % it fails to reach.
pub fn percent(rate: f64, limit: f64) -> String {
    let tenths = rate * 1000.0;
    let shown = if (tenths.round() - limit * 1000.0).abs() < 1e-6 && (rate - limit).abs() > 1e-12 {
        if rate < limit { tenths.floor() } else { tenths.ceil() }
    } else {
        tenths.round()
    };
    format!("{:.1}%", shown / 10.0)
}

/// A length of time in its one or two largest units: `24h`, `7d`, `1h 30m`, `45s`, `120ms`.
pub fn span(length: Duration) -> String {
    if length < Duration::from_secs(1) {
        return format!("{}ms", length.as_millis());
    }
    let seconds = length.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    // A day and a bit is told in hours up to two days, as people say 24h and 36h.
    let first = units.iter().position(|(size, _)| seconds >= if *size == 86_400 { 2 * size } else { *size });
    let Some(first) = first else { return "0s".to_owned() };
    let parts = units[first..].iter().take(2).scan(seconds, |left, (size, unit)| {
        let count = *left / size;
        *left %= size;
        Some((count, unit))
    });
    let words: Vec<String> = parts.filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_never_reads_as_the_limit_it_is_not() {
        assert_eq!(percent(0.973, 0.95), "97.3%");
        assert_eq!(percent(0.9496, 0.95), "94.9%");
        assert_eq!(percent(0.9504, 0.95), "95.1%");
        assert_eq!(percent(0.95, 0.95), "95.0%");
        assert_eq!(percent(1.0, 0.95), "100.0%");
        assert_eq!(percent(0.0496, 0.05), "4.9%");
    }

    #[test]
    fn spans_read_as_people_say_them() {
        let texts = [0, 45, 90, 3600, 5400, 86_400, 129_600, 172_800, 7 * 86_400, 7 * 86_400 + 3600];
        let texts = texts.map(|s| span(Duration::from_secs(s)));
        assert_eq!(texts, ["0ms", "45s", "1m 30s", "1h", "1h 30m", "24h", "36h", "2d", "7d", "7d 1h"]);
        assert_eq!(span(Duration::from_millis(120)), "120ms");
    }
}

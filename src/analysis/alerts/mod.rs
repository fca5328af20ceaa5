//! The runbook's alerts: its twelve table rows and those that its prose asks for.
//!
//! [`rules`] is the table, [`judge`](judge()) holds what was looked at against it, and a [`Track`] knows how long
//! something has held, so that an alert fires once and is resolved once.

mod judge;
mod rules;
mod track;

use serde::{Deserialize, Serialize};

pub use judge::{KeyReading, LimitUse, Observed, Readings, Sample, judge};
pub use rules::{Hold, Priority, RULES, Rule, WATCHES, names, rule};
pub use track::{Change, GAP, Moment, Track};

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Within its threshold.
    Ok,
    /// Beyond it, not for long enough.
    Pending,
    /// Nobody could look, or there was nothing to judge.
    Unknown,
    /// Beyond it for long enough, and not seen within it since.
    Firing,
}

impl State {
    /// The word, as it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Pending => "PENDING",
            State::Unknown => "UNKNOWN",
            State::Firing => "FIRING",
        }
    }
}

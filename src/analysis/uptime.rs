//! How much of the time a platform worked, by what the logs saw of it; what nobody saw is not counted as up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attempts::{self, attempt};
use super::lines::{Line, Question};
use crate::wire::{Platform, Time};

const MINUTE: i64 = 60_000;

/// A stretch in which the platform did not work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// Begin of its first minute.
    pub from: Time,
    /// End of its last minute.
    pub to: Time,
    /// Minutes that were seen down in it; minutes between them in which nothing was tried belong to it too.
    pub minutes: u64,
    /// Tries that failed in it.
    pub failed: u64,
    /// Whether its circuit was open.
    pub circuit_open: bool,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Uptime {
    /// The platform.
    pub platform: Platform,
    /// Minutes up over minutes seen, 0 to 1; absent when none was.
    pub uptime: Option<f64>,
    /// Minutes in the window.
    pub minutes: u64,
    /// Of those, seen: something was tried, or the circuit was open.
    pub seen: u64,
    /// Of those, up: something worked, or was refused for a reason of its own.
    pub up: u64,
    /// Of those, down: all that was tried failed at the platform, or the circuit was open.
    pub down: u64,
    /// Times the circuit opened.
    pub circuit_opened: u64,
    /// Time it was open, in milliseconds, half-open included.
    pub circuit_open_ms: u64,
    /// Stretches of minutes that were down.
    pub outages: Vec<Outage>,
}

#[derive(Clone, Copy, Default)]
struct Minute {
    worked: u32,
    failed: u32,
    open: bool,
}

/// Gathers what was seen of one platform.
pub struct Gather {
    platform: Platform,
    since: Time,
    until: Time,
    minutes: BTreeMap<i64, Minute>,
    /// When the circuit moved, and whether it let calls through afterwards.
    moves: BTreeMap<Time, bool>,
    opened: u64,
}

impl Question for Gather {
    const KEYS: &'static [&'static str] = attempts::KEYS;

    fn take(&mut self, line: &Line<'_>) {
        let Some(at) = line.at.filter(|at| (self.since..self.until).contains(at)) else { return };
        if line.platform() != Some(self.platform) {
            return;
        }
        if line.get("component").as_deref() == Some("circuit") {
            let to = line.get("to").unwrap_or_default();
            self.opened += u64::from(to == "OPEN");
            self.moves.insert(at, to != "CLOSED");
        } else if let Some(attempt) = attempt(line) {
            let minute = self.minutes.entry(at.0.div_euclid(MINUTE)).or_default();
            match attempt.error {
                // Our own key or request says nothing about the platform.
                Some(code) if code.counts_for_circuit() => minute.failed += 1,
                _ => minute.worked += 1,
            }
        }
    }
}

impl Gather {
    /// For a platform and a window.
    pub fn new(platform: Platform, since: Time, until: Time) -> Self {
        Gather { platform, since, until, minutes: BTreeMap::new(), moves: BTreeMap::new(), opened: 0 }
    }

    /// The answer.
    pub fn finish(mut self) -> Uptime {
        let open_ms = self.mark_open();
        let is_down = |minute: &Minute| minute.worked == 0 && (minute.failed > 0 || minute.open);
        let down = self.minutes.values().filter(|minute| is_down(minute)).count() as u64;
        let seen = self.minutes.len() as u64;
        let mut outages: Vec<Outage> = Vec::new();
        let mut going = false;
        for (at, minute) in &self.minutes {
            if !is_down(minute) {
                going = false;
                continue;
            }
            let (from, to) = (Time(at * MINUTE), Time((at + 1) * MINUTE));
            match outages.last_mut().filter(|_| going) {
                Some(outage) => {
                    outage.to = to;
                    outage.minutes += 1;
                    outage.failed += u64::from(minute.failed);
                    outage.circuit_open |= minute.open;
                }
                None => outages.push(Outage {
                    from,
                    to,
                    minutes: 1,
                    failed: minute.failed.into(),
                    circuit_open: minute.open,
                }),
            }
            going = true;
        }
        let length = self.until.0.saturating_sub(self.since.0).max(0);
        Uptime {
            platform: self.platform,
            uptime: (seen > 0).then(|| (seen - down) as f64 / seen as f64),
            minutes: (length as u64).div_ceil(MINUTE as u64),
            seen,
            up: seen - down,
            down,
            circuit_opened: self.opened,
            circuit_open_ms: open_ms,
            outages,
        }
    }

    /// Marks the minutes in which the circuit was open, and gives how long that was.
    fn mark_open(&mut self) -> u64 {
        let mut open_since: Option<Time> = None;
        let mut total = 0;
        let mut ends: Vec<(Time, bool)> = std::mem::take(&mut self.moves).into_iter().collect();
        ends.push((self.until, false));
        for (at, open) in ends {
            match (open_since, open) {
                (None, true) => open_since = Some(at),
                (Some(since), false) => {
                    total += at.0.saturating_sub(since.0).max(0) as u64;
                    for minute in since.0.div_euclid(MINUTE)..=(at.0 - 1).div_euclid(MINUTE) {
                        self.minutes.entry(minute).or_default().open = true;
                    }
                    open_since = None;
                }
                _ => {}
            }
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lines::take_json;
    use serde_json::json;

    fn tried(gather: &mut Gather, second: i64, code: Option<&str>) {
        let level = if code.is_some() { "error" } else { "info" };
        let line = json!({"timestamp": Time(second * 1000).to_string(), "component": "executor", "level": level,
            "message": "Action executed", "errorCode": code, "platform": "notion", "actionId": "a"});
        take_json(gather, &line);
    }

    #[test]
    fn minutes_that_nobody_saw_are_neither_up_nor_down() {
        let mut gather = Gather::new(Platform::Notion, Time(0), Time(60 * MINUTE));
        tried(&mut gather, 10, None);
        tried(&mut gather, 70, Some("SERVICE_DOWN"));
        tried(&mut gather, 130, Some("AUTH_ERROR"));
        for (second, to) in [(200, "OPEN"), (230, "HALF_OPEN"), (231, "OPEN"), (310, "CLOSED")] {
            let line = json!({"timestamp": Time(second * 1000).to_string(), "component": "circuit", "to": to, "platform": "notion"});
            take_json(&mut gather, &line);
        }
        tried(&mut gather, 305, None);
        tried(&mut gather, 360, None);
        let answer = gather.finish();
        // Minutes 0 up, 1 down, 2 up (our key), 3 and 4 open, 5 open but something worked, 6 up.
        assert_eq!((answer.minutes, answer.seen, answer.up, answer.down), (60, 7, 4, 3));
        assert_eq!((answer.circuit_opened, answer.circuit_open_ms), (2, 110_000));
        let lengths: Vec<_> =
            answer.outages.iter().map(|o| (o.from.0 / MINUTE, o.to.0 / MINUTE, o.circuit_open)).collect();
        assert_eq!(lengths, [(1, 2, false), (3, 5, true)]);
        assert_eq!(Gather::new(Platform::Slack, Time(0), Time(MINUTE)).finish().uptime, None);
    }
}

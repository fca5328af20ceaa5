//! Whether a platform should have a stand-in: what its health and the last days say.

use serde::Serialize;

use crate::wire::{ExecutorHealth, PerformanceWindow, Platform};

/// Share of actions done elsewhere above which the primary platform needs a look (the runbook's alert).
pub const OVERUSED: f64 = 0.2;
/// Success rate under which a stand-in would have helped (the runbook's target).
pub const WELL: f64 = 0.95;

/// A platform, who can stand in for it, and what is known of both.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StandIn {
    /// Whose actions.
    pub platform: Platform,
    /// Who does them instead.
    pub stand_in: Platform,
    /// Whether it does.
    pub enabled: bool,
    /// How the platform is; absent where nobody told.
    pub health: Option<ExecutorHealth>,
    /// How the stand-in is.
    pub stand_in_health: Option<ExecutorHealth>,
    /// Actions of the platform that ended in the window.
    pub sample: u64,
    /// Of those, done by the stand-in, 0 to 1; absent without any.
    pub used: Option<f64>,
    /// Whether it should.
    pub recommended: bool,
    /// Why.
    pub why: String,
}

impl StandIn {
    /// What is known, and what follows from it. `window` is the last days of the platform.
    pub fn judge(
        (platform, stand_in): (Platform, Platform),
        enabled: bool,
        (health, stand_in_health): (Option<ExecutorHealth>, Option<ExecutorHealth>),
        window: Option<&PerformanceWindow>,
    ) -> StandIn {
        let sample = window.map_or(0, |window| window.total_actions);
        let share = |count: u64| (sample > 0).then(|| count as f64 / sample as f64);
        let used = window.and_then(|window| share(window.fell_back));
        let success = window.and_then(|window| share(window.succeeded));
        let percent = |rate: f64| super::percent(rate, OVERUSED);
        let (recommended, why) = match (health, stand_in_health) {
            (_, Some(ExecutorHealth::Down)) => (false, format!("{stand_in} is down itself")),
            (Some(ExecutorHealth::Down), _) => (true, format!("{platform} is down and {stand_in} is not")),
            _ if enabled && used.is_some_and(|used| used > OVERUSED) => {
                let used = percent(used.unwrap_or_default());
                (true, format!("it did {used} of {sample} actions: look at {platform} itself (issue 2)"))
            }
            _ if enabled => (true, format!("ready; it did {} of {sample} actions", percent(used.unwrap_or_default()))),
            _ => match success {
                Some(success) if success < WELL => {
                    let failed = percent(1.0 - success);
                    (true, format!("{failed} of {sample} actions failed, a stand-in could have done them"))
                }
                Some(_) => (false, format!("{platform} did {sample} actions well by itself")),
                None => (false, format!("no action of {platform} ended lately")),
            },
        };
        StandIn { platform, stand_in, enabled, health, stand_in_health, sample, used, recommended, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(enabled: bool, health: ExecutorHealth, other: ExecutorHealth, window: (u64, u64, u64)) -> StandIn {
        let window = PerformanceWindow {
            total_actions: window.0,
            succeeded: window.1,
            fell_back: window.2,
            ..Default::default()
        };
        let pair = (Platform::Notion, Platform::Trello);
        StandIn::judge(pair, enabled, (Some(health), Some(other)), Some(&window))
    }

    #[test]
    fn what_is_recommended_follows_from_health_and_the_last_days() {
        use ExecutorHealth::{Down, Healthy};
        for (enabled, health, other, window, recommended, says) in [
            (false, Down, Healthy, (10, 10, 0), true, "notion is down"),
            (true, Down, Down, (10, 10, 0), false, "trello is down itself"),
            (true, Healthy, Healthy, (10, 10, 3), true, "30.0% of 10 actions"),
            (true, Healthy, Healthy, (10, 10, 1), true, "ready"),
            (false, Healthy, Healthy, (100, 90, 0), true, "10.0% of 100 actions failed"),
            (false, Healthy, Healthy, (100, 99, 0), false, "well by itself"),
            (false, Healthy, Healthy, (0, 0, 0), false, "no action of notion"),
        ] {
            let judged = judged(enabled, health, other, window);
            assert_eq!(judged.recommended, recommended, "{judged:?}");
            assert!(judged.why.contains(says), "{judged:?}");
        }
    }
}

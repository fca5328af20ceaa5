//! `--share`: only a part of the limit that production has left.

use std::time::Duration;

use super::platforms::AtPlatforms;
use crate::app::App;
use crate::platforms::pace::Pace;
use crate::wire::{Platform, RateLimitStatus};

/// How often the orchestrator is asked again what it has left.
const AGAIN: Duration = Duration::from_secs(15);

/// The least that is taken of a limit that production uses up: otherwise nothing would ever move.
const LEAST: f64 = 0.02;

/// The part of a platform's rate that this share of what is left comes to.
fn part_of(share: f64, limits: &[RateLimitStatus], platform: Platform) -> f64 {
    let left = limits
        .iter()
        .filter(|limit| limit.platform == platform && limit.limit > 0)
        .map(|limit| 1.0 - limit.current as f64 / limit.limit as f64)
        .fold(1.0, f64::min);
    (share * left).clamp(LEAST, 1.0)
}

/// Takes the share, as the orchestrator reports what is left; of the whole where it does not answer.
async fn take(app: &App, pace: &Pace, platform: Platform, share: f64) -> anyhow::Result<()> {
    let limits = app.orchestrator().await?.rate_limits().await?;
    pace.take_share(part_of(share, &limits, platform));
    Ok(())
}

/// Takes the share now, and says so.
pub async fn begin(app: &App, work: &AtPlatforms, platform: Platform, share: f64) {
    let Some(pace) = work.pace() else { return };
    if let Err(error) = take(app, pace, platform, share).await {
        pace.take_share(share.max(LEAST));
        app.note(format!("note: what production has left is not known ({error}); taking that part of the whole"));
    }
}

/// Asks again and again, as long as the work goes on.
pub async fn follow(app: &App, work: &AtPlatforms, platform: Platform, share: f64) {
    loop {
        tokio::time::sleep(AGAIN).await;
        if let Some(pace) = work.pace() {
            // What was taken last holds while nobody answers.
            let _ = take(app, pace, platform, share).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Time;

    #[test]
    fn a_share_is_of_what_is_left() {
        let limit = |platform, current| RateLimitStatus {
            platform,
            current,
            limit: 100,
            window: "10s".into(),
            percentage: current,
            reset_at: Time(0),
        };
        let limits = [limit(Platform::Notion, 60), limit(Platform::Trello, 100)];
        assert_eq!(part_of(0.5, &limits, Platform::Notion), 0.2);
        assert_eq!(part_of(0.5, &limits, Platform::Trello), LEAST);
        assert_eq!(part_of(0.5, &limits, Platform::Slack), 0.5, "no limit is known");
    }
}

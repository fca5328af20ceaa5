//! `--share`: only a part of the limit that production has left.

use std::convert::Infallible;
use std::time::Duration;

use crate::app::App;
use crate::platforms::Clients;
use crate::platforms::pace::Pace;
use crate::wire::{Platform, RateLimitStatus};

/// How often the orchestrator is asked again what it has left.
const AGAIN: Duration = Duration::from_secs(15);

/// The least that is taken of a limit that production uses up: otherwise nothing would ever move.
const LEAST: f64 = 0.02;

/// Does work with these clients, reads and writes alike, at this share of what production has left of a platform's
/// limit; the orchestrator is asked again and again as long as it goes on. Without a share the work has all of it.
pub async fn within<T>(
    app: &App,
    clients: &Clients,
    platform: Platform,
    share: Option<f64>,
    work: impl Future<Output = T>,
) -> T {
    begin(app, clients, platform, share).await;
    let (Some(share), Some(pace)) = (share, clients.pace(platform)) else { return work.await };
    tokio::select! {
        done = work => done,
        never = follow(app, &pace, platform, share) => match never {},
    }
}

/// Takes the share, so that what is said about the pace holds. It is said once when what is left is not known.
pub async fn begin(app: &App, clients: &Clients, platform: Platform, share: Option<f64>) {
    let (Some(share), Some(pace)) = (share, clients.pace(platform)) else { return };
    if let Err(error) = take(app, &pace, platform, share).await
        && !pace.is_shared()
    {
        pace.take_share(share.max(LEAST));
        app.note(format!("note: what production has left is not known ({error}); taking that part of the whole"));
    }
}

/// Asks again and again.
async fn follow(app: &App, pace: &Pace, platform: Platform, share: f64) -> Infallible {
    loop {
        tokio::time::sleep(AGAIN).await;
        // What was taken last holds while nobody answers.
        let _ = take(app, pace, platform, share).await;
    }
}

/// Takes the share, as the orchestrator reports what is left.
async fn take(app: &App, pace: &Pace, platform: Platform, share: f64) -> anyhow::Result<()> {
    let limits = app.orchestrator().await?.rate_limits().await?;
    pace.take_share(part_of(share, &limits, platform));
    Ok(())
}

/// The part of a platform's rate that this share of what is left comes to.
fn part_of(share: f64, limits: &[RateLimitStatus], platform: Platform) -> f64 {
    let left = limits
        .iter()
        .filter(|limit| limit.platform == platform && limit.limit > 0)
        .map(|limit| 1.0 - limit.current as f64 / limit.limit as f64)
        .fold(1.0, f64::min);
    (share * left).clamp(LEAST, 1.0)
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

//! Looking whether what was accepted has happened: Restate answers many changes before it makes them.

use std::time::Duration;

use tokio::time::Instant;

use super::RestateBackend;
use crate::server::backend::Refusal;

/// First and longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(30), Duration::from_millis(500));

/// Looks at what became of a change: the first at once, the next with growing pauses, until the patience is over.
pub(super) struct Looks {
    until: Instant,
    pause: Option<Duration>,
}

impl Looks {
    /// Waits for the next look; `false` when there is none.
    pub async fn next(&mut self) -> bool {
        let Some(pause) = self.pause else {
            self.pause = Some(PAUSES.0);
            return true;
        };
        if Instant::now() + pause > self.until {
            return false;
        }
        tokio::time::sleep(pause).await;
        self.pause = Some((pause * 2).min(PAUSES.1));
        true
    }
}

impl RestateBackend {
    /// The looks at a change that was just accepted.
    pub(super) fn looks(&self) -> Looks {
        Looks { until: Instant::now() + self.patience, pause: None }
    }

    /// A few looks at what may pass by itself.
    pub(super) fn few_looks(&self) -> Looks {
        Looks { until: Instant::now() + self.patience / 5, pause: None }
    }

    /// What `look` gives, once it gives something; `None` when the patience is over.
    pub(super) async fn seen<T, F: Future<Output = Result<Option<T>, Refusal>>>(
        &self,
        mut look: impl FnMut() -> F,
    ) -> Result<Option<T>, Refusal> {
        let mut looks = self.looks();
        while looks.next().await {
            if let Some(found) = look().await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// What was accepted and not seen.
    pub(super) fn not_seen(&self, what: &str) -> String {
        format!("Restate accepted {what}, and {} later it cannot be seen yet", crate::analysis::span(self.patience))
    }
}

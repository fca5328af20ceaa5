//! Looking whether what was accepted has happened: Restate answers many changes before it makes them.

use std::time::Duration;

use tokio::time::Instant;

use super::RestateBackend;
use super::admin::words;
use crate::server::backend::Refusal;
use crate::wire::ErrorCode;

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

    /// What `look` finds. SQL may be behind what the ingress accepted, for a moment always and for a while after a node died:
    /// what it does not show is not there only when the ingress says so too, whose answer is at `output`.
    pub(super) async fn shown<T, F: Future<Output = Result<Option<T>, Refusal>>>(
        &self,
        what: &str,
        output: &str,
        mut look: impl FnMut() -> F,
    ) -> Result<T, Refusal> {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        let refusal = self.not_shown(what, output).await;
        let mut looks = self.few_looks();
        while refusal.code != ErrorCode::NotFound && looks.next().await {
            if let Some(found) = look().await? {
                return Ok(found);
            }
        }
        Err(refusal)
    }

    /// Why SQL shows nothing of something.
    async fn not_shown(&self, what: &str, output: &str) -> Refusal {
        let Some(ingress) = &self.ingress else { return Refusal::not_found(what) };
        let down = |words: String| Refusal::new(ErrorCode::ServiceDown, words);
        match ingress.get(output).await {
            Ok(reply) if reply.status == 404 => Refusal::not_found(what),
            Ok(reply) if reply.status < 500 => down(format!("Restate has {what} and does not show it yet")),
            Ok(reply) => down(format!(
                "Restate shows no {what}, and its ingress cannot say whether there is one: HTTP {}: {}",
                reply.status,
                words(&reply)
            )),
            Err(failure) => {
                down(format!("Restate shows no {what}, and its ingress cannot say whether there is one: {failure}"))
            }
        }
    }

    /// What was accepted and not seen.
    pub(super) fn not_seen(&self, what: &str) -> String {
        format!("Restate accepted {what}, and {} later it cannot be seen yet", crate::analysis::span(self.patience))
    }
}

//! Circuits and rate limits: states that services keep by contract.

use std::time::Duration;

use serde_json::json;

use super::contract::{BROKEN, CIRCUIT, RATE_LIMIT, State, service_of};
use super::{RestateBackend, unsupported};
use crate::engine::circuit::Limits;
use crate::server::backend::{Answer, ChangeContext, CircuitOps, LimitOps, Refusal};
use crate::server::effects::answer;
use crate::wire::{
    ChangeAnswer, Circuit, CircuitState, CircuitStatus, CircuitTransition, EffectKind, ErrorCode, Platform,
    RateLimitStatus, Time,
};

/// A circuit's state as the verbs have it. A platform without one never failed.
fn circuit(platform: Platform, state: &State, now: Time) -> Circuit {
    let rules = Limits::default();
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let small = |name: &str, default: u32| state.count(name).and_then(|n| u32::try_from(n).ok()).unwrap_or(default);
    let stored = state.text("state").and_then(|word| word.parse().ok()).unwrap_or(CircuitState::Closed);
    let will_reset_at = state.time("willResetAt");
    // The next call is let through as a probe; only then does the service write so.
    let due = stored == CircuitState::Open && will_reset_at.is_some_and(|at| at <= now);
    let now_is = if due { CircuitState::HalfOpen } else { stored };
    Circuit {
        status: CircuitStatus {
            platform,
            state: now_is,
            failure_count: state.count("failureCount").unwrap_or_default(),
            last_failure: state.time("lastFailure"),
            opened_at: state.time("openedAt").filter(|_| now_is != CircuitState::Closed),
            will_reset_at: will_reset_at.filter(|_| now_is == CircuitState::Open),
        },
        enabled: state.0.get("enabled").and_then(serde_json::Value::as_bool).unwrap_or(true),
        threshold: small("threshold", rules.failures),
        window_ms: state.count("windowMs").unwrap_or(ms(rules.window)),
        open_ms: state.count("openMs").unwrap_or(ms(rules.open_for)),
        probe_successes: small("probeSuccesses", 0),
        probes_needed: small("probesNeeded", rules.successes),
        version: state.version(),
    }
}

/// A limit's state as the verbs have it; `None` when the service wrote no limit.
fn limit(platform: Platform, state: &State, now: Time) -> Option<RateLimitStatus> {
    let (limit, window_ms) = (state.count("limit")?, state.count("windowMs")?);
    let reset_at = state.time("resetAt").unwrap_or(now);
    // A window that is over counts nothing any more.
    let current = if reset_at > now { state.count("used").unwrap_or_default() } else { 0 };
    Some(RateLimitStatus {
        platform,
        current,
        limit,
        window: crate::settings::format_duration(Duration::from_millis(window_ms)),
        percentage: (current * 100).checked_div(limit).map_or(100, |share| share.min(100)),
        reset_at: reset_at.max(now),
    })
}

impl RestateBackend {
    pub(super) async fn circuits_now(&self) -> Result<Vec<Circuit>, Refusal> {
        self.ensure_service(CIRCUIT).await?;
        let states = self.by_platform(CIRCUIT).await?;
        let now = self.now();
        Ok(states.iter().map(|(platform, state)| circuit(*platform, state, now)).collect())
    }

    pub(super) async fn limits_now(&self) -> Result<Vec<RateLimitStatus>, Refusal> {
        self.ensure_service(RATE_LIMIT).await?;
        let now = self.now();
        let states = self.by_platform(RATE_LIMIT).await?;
        Ok(states.iter().filter_map(|(platform, state)| limit(*platform, state, now)).collect())
    }

    /// Each platform's state of a service, empty where it has none.
    async fn by_platform(&self, service: &str) -> Result<Vec<(Platform, State)>, Refusal> {
        let mut states = self.admin.states(service, None).await?;
        let mut of = |platform: Platform| {
            let place = states.iter().position(|(key, _)| key == platform.as_str());
            place.map(|place| states.swap_remove(place).1).unwrap_or_default()
        };
        Ok(Platform::ALL.iter().map(|platform| (*platform, of(*platform))).collect())
    }

    async fn reset_circuit(&self, platform: Platform, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        self.ensure_service(CIRCUIT).await?;
        let state = self.admin.state(CIRCUIT, platform.as_str()).await?;
        let before = circuit(platform, &state, self.now());
        if cx.if_version.is_some_and(|seen| seen != before.version) {
            let words = format!("the {platform} circuit moved meanwhile: it is {}", before.status.state);
            return Err(Refusal::new(ErrorCode::Conflict, words));
        }
        if before.status.state == CircuitState::Closed {
            return Ok(answer(EffectKind::AlreadySo, format!("the {platform} circuit is CLOSED already"), vec![]));
        }
        let mut closed = state;
        for key in ["openedAt", "willResetAt", "probeSuccesses"] {
            closed.0.remove(key);
        }
        closed.0.insert("state".into(), json!(CircuitState::Closed));
        closed.0.insert("failureCount".into(), json!(0));
        self.admin.set_state(CIRCUIT, platform.as_str(), &closed).await?;
        let is_closed = self.seen(|| async {
            let state = self.admin.state(CIRCUIT, platform.as_str()).await?;
            Ok((circuit(platform, &state, self.now()).status.state == CircuitState::Closed).then_some(()))
        });
        let words = format!(
            "the {platform} circuit was {} with {} failures and is CLOSED",
            before.status.state, before.status.failure_count
        );
        let Some(()) = is_closed.await? else {
            let words = self.not_seen(&format!("the reset of the {platform} circuit"));
            return Ok(answer(EffectKind::Accepted, words, vec![]));
        };
        // The next action is attempted at once, not when its next try would be due.
        self.nudge(BROKEN, &format!("target_service_name = '{}'", service_of(platform))).await?;
        self.log_change(&words, cx);
        Ok(answer(EffectKind::Applied, words, vec![]))
    }
}

impl CircuitOps for RestateBackend {
    fn list(&self) -> Answer<'_, Vec<Circuit>> {
        Box::pin(self.circuits_now())
    }

    fn history(
        &self,
        _platform: Option<Platform>,
        _since: Option<Time>,
        _limit: u64,
    ) -> Answer<'_, Vec<CircuitTransition>> {
        let why = "services on Restate keep a circuit's state, not its transitions";
        Box::pin(std::future::ready(Err(unsupported(why))))
    }

    fn reset<'a>(&'a self, platform: Platform, cx: &'a ChangeContext) -> Answer<'a, ChangeAnswer> {
        Box::pin(self.reset_circuit(platform, cx))
    }
}

impl LimitOps for RestateBackend {
    fn list(&self) -> Answer<'_, Vec<RateLimitStatus>> {
        Box::pin(self.limits_now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(value: serde_json::Value) -> State {
        State(value.as_object().unwrap().clone())
    }

    #[test]
    fn a_platform_without_state_never_failed() {
        let circuit = circuit(Platform::Notion, &State::default(), Time(0));
        assert_eq!((circuit.status.state, circuit.status.failure_count), (CircuitState::Closed, 0));
        assert_eq!(
            (circuit.threshold, circuit.window_ms, circuit.open_ms, circuit.probes_needed),
            (5, 60_000, 30_000, 2)
        );
    }

    #[test]
    fn an_open_circuit_whose_time_is_over_probes() {
        let open = state(json!({
            "state": "OPEN", "failureCount": 5, "openedAt": "1970-01-01T00:00:10Z", "willResetAt": "1970-01-01T00:00:40Z",
        }));
        let at = |seconds: i64| circuit(Platform::Slack, &open, Time(seconds * 1000)).status;
        assert_eq!((at(39).state, at(39).will_reset_at), (CircuitState::Open, Some(Time(40_000))));
        assert_eq!((at(40).state, at(40).will_reset_at), (CircuitState::HalfOpen, None));
    }

    #[test]
    fn a_window_that_is_over_counts_nothing() {
        let used = state(json!({"limit": 3, "windowMs": 1000, "used": 3, "resetAt": "1970-01-01T00:00:10Z"}));
        let at = |ms: i64| limit(Platform::Notion, &used, Time(ms)).unwrap();
        assert_eq!((at(9_999).current, at(9_999).percentage, at(9_999).window.as_str()), (3, 100, "1s"));
        assert_eq!((at(10_000).current, at(10_000).percentage), (0, 0));
        assert_eq!(limit(Platform::Notion, &State::default(), Time(0)), None);
    }
}

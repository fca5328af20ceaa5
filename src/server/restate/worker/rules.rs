//! What the contract's objects decide: pure functions over their states.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::engine::circuit::Limits;
use crate::engine::limit::Rate;
use crate::server::restate::contract::State;
use crate::wire::{CircuitState, Time};

/// How long a probe may take before another one may be sent: its worker may be dead.
const PROBE_TIME_MS: i64 = 60_000;
/// Until when the probe that is under way counts.
const PROBING: &str = "probingUntil";

/// What a circuit says to whoever wants to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Leave {
    /// Whether the call may be made.
    pub granted: bool,
    /// Whether it is a probe, whose outcome has to be recorded.
    #[serde(default)]
    pub probe: bool,
    /// When to ask again, if it may not.
    #[serde(default)]
    pub until: Option<Time>,
}

impl Leave {
    const GRANTED: Leave = Leave { granted: true, probe: false, until: None };

    fn refused(until: Time) -> Leave {
        Leave { granted: false, probe: false, until: Some(until) }
    }
}

/// What came of a call, as far as its platform's circuit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Went {
    /// The platform is there.
    Well,
    /// It is not.
    Badly,
    /// It says nothing of that.
    Unsaid,
}

/// The state a circuit is in at a moment.
fn circuit(state: &State, at: Time) -> CircuitState {
    let stored = state.text("state").and_then(|word| word.parse().ok()).unwrap_or(CircuitState::Closed);
    let due = state.time("willResetAt").is_none_or(|until| until <= at);
    if stored == CircuitState::Open && due { CircuitState::HalfOpen } else { stored }
}

/// Whether a call may be made, without taking leave; `None` when that has to be asked exclusively.
pub(super) fn admits(state: &State, enabled: bool, at: Time) -> Option<Leave> {
    match circuit(state, at) {
        _ if !enabled => Some(Leave::GRANTED),
        CircuitState::Closed => Some(Leave::GRANTED),
        CircuitState::Open => Some(Leave::refused(state.time("willResetAt").unwrap_or(at))),
        CircuitState::HalfOpen => None,
    }
}

/// Takes leave for a call: of a half-open circuit for one probe at a time.
pub(super) fn acquire(state: &mut State, enabled: bool, at: Time) -> Leave {
    if let Some(leave) = admits(state, enabled, at) {
        return leave;
    }
    if let Some(until) = state.time(PROBING).filter(|until| *until > at) {
        return Leave::refused(until);
    }
    if state.text("state") != Some(CircuitState::HalfOpen.as_str()) {
        state.0.insert("probeSuccesses".into(), json!(0));
    }
    state.0.insert("state".into(), json!(CircuitState::HalfOpen));
    state.0.insert(PROBING.into(), json!(Time(at.0 + PROBE_TIME_MS)));
    state.0.remove("willResetAt");
    Leave { granted: true, probe: true, until: None }
}

/// Takes down what came of a call.
pub(super) fn record(state: &mut State, limits: Limits, went: Went, at: Time) {
    let now = circuit(state, at);
    state.0.remove(PROBING);
    match (went, now) {
        (Went::Unsaid, _) | (Went::Well, CircuitState::Closed | CircuitState::Open) => {}
        (Went::Well, CircuitState::HalfOpen) => {
            let successes = state.count("probeSuccesses").unwrap_or(0) + 1;
            state.0.insert("probeSuccesses".into(), json!(successes));
            if successes >= u64::from(limits.successes) {
                for key in ["openedAt", "willResetAt", "probeSuccesses"] {
                    state.0.remove(key);
                }
                state.0.insert("state".into(), json!(CircuitState::Closed));
                state.0.insert("failureCount".into(), json!(0));
            }
        }
        (Went::Badly, _) => {
            // A window of its own: it ends with a silence as long as it.
            let fresh = now == CircuitState::Closed
                && state.time("lastFailure").is_none_or(|last| at.since(last) > limits.window);
            let before = if fresh { 0 } else { state.count("failureCount").unwrap_or(0) };
            state.0.insert("failureCount".into(), json!(before + 1));
            state.0.insert("lastFailure".into(), json!(at));
            if now != CircuitState::Closed || before + 1 >= u64::from(limits.failures) {
                state.0.insert("state".into(), json!(CircuitState::Open));
                state.0.insert("openedAt".into(), json!(at));
                state.0.insert("willResetAt".into(), json!(at + limits.open_for));
                state.0.remove("probeSuccesses");
            }
        }
    }
}

/// What a circuit shows of its rules.
pub(super) fn shown(state: &mut State, limits: Limits, enabled: bool) {
    let ms = |span: std::time::Duration| json!(u64::try_from(span.as_millis()).unwrap_or(u64::MAX));
    let rules: [(&str, Value); 5] = [
        ("threshold", json!(limits.failures)),
        ("windowMs", ms(limits.window)),
        ("openMs", ms(limits.open_for)),
        ("probesNeeded", json!(limits.successes)),
        ("enabled", json!(enabled)),
    ];
    for (name, value) in rules {
        state.0.insert(name.into(), value);
    }
}

/// Takes a turn in the running window; the moment of the next one when this is used up.
pub(super) fn take(state: &mut State, rate: Rate, at: Time) -> Option<Time> {
    let (mut reset_at, mut used) =
        (state.time("resetAt").unwrap_or(Time(i64::MIN)), state.count("used").unwrap_or_default());
    if reset_at <= at {
        (reset_at, used) = (at + rate.window, 0);
    }
    if used >= rate.requests {
        return Some(reset_at);
    }
    let ms = u64::try_from(rate.window.as_millis()).unwrap_or(u64::MAX);
    for (name, value) in [
        ("limit", json!(rate.requests)),
        ("windowMs", json!(ms)),
        ("used", json!(used + 1)),
        ("resetAt", json!(reset_at)),
    ] {
        state.0.insert(name.into(), value);
    }
    None
}

/// Why a gate holds, if it does.
pub(super) fn held(state: &State) -> Option<String> {
    let paused = state.0.get("paused").and_then(Value::as_bool).unwrap_or(false);
    paused.then(|| state.text("reason").unwrap_or("no reason given").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LIMITS: Limits =
        Limits { failures: 2, window: Duration::from_secs(60), open_for: Duration::from_secs(30), successes: 2 };

    #[test]
    fn a_circuit_opens_probes_one_at_a_time_and_closes() {
        let mut state = State::default();
        let at = |seconds: i64| Time(seconds * 1000);
        assert_eq!(admits(&state, true, at(0)), Some(Leave::GRANTED));
        record(&mut state, LIMITS, Went::Badly, at(0));
        assert_eq!(admits(&state, true, at(1)), Some(Leave::GRANTED));
        record(&mut state, LIMITS, Went::Badly, at(1));
        assert_eq!(admits(&state, true, at(2)), Some(Leave::refused(at(31))));
        assert_eq!(admits(&state, false, at(2)), Some(Leave::GRANTED), "one that is switched off guards nothing");

        assert_eq!(admits(&state, true, at(31)), None, "due: asked exclusively");
        assert!(acquire(&mut state, true, at(31)).probe);
        assert!(!acquire(&mut state, true, at(32)).granted, "one probe at a time");
        record(&mut state, LIMITS, Went::Well, at(33));
        assert!(acquire(&mut state, true, at(34)).probe);
        record(&mut state, LIMITS, Went::Well, at(35));
        assert_eq!((state.text("state"), state.count("failureCount")), (Some("CLOSED"), Some(0)));
    }

    #[test]
    fn a_failed_probe_opens_again_and_a_lost_one_is_forgotten() {
        let mut state = State::default();
        let at = |seconds: i64| Time(seconds * 1000);
        for second in [0, 1] {
            record(&mut state, LIMITS, Went::Badly, at(second));
        }
        assert!(acquire(&mut state, true, at(31)).probe);
        record(&mut state, LIMITS, Went::Badly, at(32));
        assert_eq!(admits(&state, true, at(33)), Some(Leave::refused(at(62))));
        assert!(acquire(&mut state, true, at(62)).probe);
        assert!(acquire(&mut state, true, at(62 + PROBE_TIME_MS / 1000)).probe, "its worker died");
        record(&mut state, LIMITS, Went::Unsaid, at(200));
        assert!(acquire(&mut state, true, at(201)).probe, "it said nothing: the next may be sent");
    }

    #[test]
    fn failures_far_apart_do_not_add_up() {
        let mut state = State::default();
        record(&mut state, LIMITS, Went::Badly, Time(0));
        record(&mut state, LIMITS, Went::Badly, Time(61_000));
        assert_eq!((state.text("state"), state.count("failureCount")), (None, Some(1)));
    }

    #[test]
    fn a_window_admits_its_limit_and_names_the_next() {
        let rate = Rate { requests: 2, window: Duration::from_secs(10) };
        let mut state = State::default();
        assert_eq!((take(&mut state, rate, Time(0)), take(&mut state, rate, Time(1))), (None, None));
        assert_eq!(take(&mut state, rate, Time(2)), Some(Time(10_000)));
        assert_eq!(take(&mut state, rate, Time(10_000)), None);
        assert_eq!((state.count("used"), state.time("resetAt")), (Some(1), Some(Time(20_000))));
    }

    #[test]
    fn a_gate_says_why() {
        let state = |value: Value| State(value.as_object().unwrap().clone());
        assert_eq!(held(&state(json!({}))), None);
        assert_eq!(held(&state(json!({"paused": true, "reason": "INC-42"}))).as_deref(), Some("INC-42"));
        assert_eq!(held(&state(json!({"paused": true}))).as_deref(), Some("no reason given"));
    }
}

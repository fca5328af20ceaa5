//! The contract's virtual objects: gate, circuits, rate limits. Moments come with the question, so that a replay decides as
//! the first time did.

use restate_sdk::endpoint::ContextInternal;
use restate_sdk::prelude::*;
use serde_json::{Value, json};

use super::hands::Hands;
use super::rules::{self, Went};
use super::services::unknown;
use crate::engine::circuit::Limits;
use crate::engine::limit::Rate;
use crate::server::restate::contract::{HELD_MS, State};
use crate::wire::{Platform, Time};

/// What a question to an object brings along.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct Asked {
    /// When it is asked.
    pub at: Time,
    /// What came of a call, when that is what is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub went: Option<Went>,
}

const GATE_KEYS: &[&str] = &["paused", "reason", "since", HELD_MS];
const CIRCUIT_KEYS: &[&str] =
    &["state", "failureCount", "lastFailure", "openedAt", "willResetAt", "probeSuccesses", "probingUntil"];
const LIMIT_KEYS: &[&str] = &["used", "resetAt", "limit", "windowMs"];

/// `Gate/all` and `Gate/<platform>`: whether it holds, and why. Whoever may pause writes the state.
pub(super) async fn gate(ctx: &ContextInternal) -> HandlerResult<Value> {
    let state = read(ctx, GATE_KEYS).await?;
    let reason = rules::held(&state);
    Ok(json!({
        "paused": reason.is_some(), "reason": reason, "since": state.time("since"),
        "heldMs": state.count(HELD_MS).unwrap_or(0),
    }))
}

/// `Circuit/<platform>`: whether a call may be made (null when leave has to be taken), taking leave, and what came of it.
pub(super) async fn circuit(hands: &Hands, ctx: &ContextInternal, key: &str, asked: Asked) -> HandlerResult<Value> {
    let enabled = hands.settings.platform(platform(key)?).circuit_enabled;
    let before = read(ctx, CIRCUIT_KEYS).await?;
    let mut state = before.clone();
    let answer = match ctx.handler_name() {
        "check" => return Ok(json!(rules::admits(&state, enabled, asked.at))),
        "acquire" => json!(rules::acquire(&mut state, enabled, asked.at)),
        "record" => {
            let own = hands.settings.circuit;
            let limits = Limits {
                failures: own.threshold,
                window: own.window,
                open_for: own.open_for,
                successes: own.successes,
            };
            rules::record(&mut state, limits, asked.went.unwrap_or(Went::Unsaid), asked.at);
            rules::shown(&mut state, limits, enabled);
            Value::Null
        }
        _ => return Err(unknown(ctx).into()),
    };
    write(ctx, &before, &state);
    Ok(answer)
}

/// `RateLimit/<platform>`: takes a turn; the moment of the next one when the window is used up.
pub(super) async fn limit(hands: &Hands, ctx: &ContextInternal, key: &str, asked: Asked) -> HandlerResult<Value> {
    let own = hands.settings.platform(platform(key)?).rate_limit;
    let before = read(ctx, LIMIT_KEYS).await?;
    let mut state = before.clone();
    let until = rules::take(&mut state, Rate { requests: u64::from(own.limit), window: own.window }, asked.at);
    write(ctx, &before, &state);
    Ok(json!(until))
}

fn platform(key: &str) -> Result<Platform, TerminalError> {
    key.parse().map_err(|_| TerminalError::new_with_code(404, format!("there is no platform `{key}`")))
}

/// Reads these of an object's values.
async fn read(ctx: &ContextInternal, keys: &[&str]) -> Result<State, TerminalError> {
    let mut state = State::default();
    for key in keys {
        if let Some(Json(value)) = ctx.get::<Json<Value>>(key).await? {
            state.0.insert((*key).to_owned(), value);
        }
    }
    Ok(state)
}

/// Writes what became other.
fn write(ctx: &ContextInternal, before: &State, after: &State) {
    for key in before.0.keys().filter(|key| !after.0.contains_key(*key)) {
        ctx.clear(key);
    }
    for (key, value) in after.0.iter().filter(|(key, value)| before.0.get(*key) != Some(*value)) {
        ctx.set(key, Json(value.clone()));
    }
}

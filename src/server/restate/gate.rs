//! Pauses: the gate's state, which services read before each side effect. It holds what is sent later too.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::contract::{ALL, GATE, HELD, HELD_MS, State, WORKFLOW};
use super::invocation::Held;
use super::queue::actions;
use super::{RestateBackend, unsupported};
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::effects::{answer, effect, summed, who};
use crate::wire::{ChangeAnswer, EffectKind, ErrorCode, Pause, PauseRequest, PauseScope, Time};

/// Where the pauses in force are listed; `paused` beside it says that there are some.
const PAUSES: &str = "pauses";

/// Counts the changes of the gate. A node that just took over may for a moment show the gate as it was.
const REVISION: &str = "revision";

/// How long after a pause was asked for a try may still have found the gate open: Restate applies what it accepts a moment
/// later, and its clock is not ours.
const IN_FORCE_AFTER: Duration = Duration::from_secs(5);

/// The pauses a gate's state has. One that is closed without saying by whom is a pause all the same.
fn pauses_of(state: &State) -> Vec<Pause> {
    let listed = state.0.get(PAUSES).and_then(|list| serde_json::from_value::<Vec<Pause>>(list.clone()).ok());
    let closed = state.0.get("paused").and_then(Value::as_bool).unwrap_or(false);
    match listed.filter(|list| !list.is_empty()) {
        Some(list) => list,
        None if closed => vec![Pause {
            scope: PauseScope::Queue,
            owner: state.text("by").unwrap_or("somebody at the gate").to_owned(),
            reason: state.text("reason").map(str::to_owned),
            since: state.time("since").unwrap_or_default(),
        }],
        None => Vec::new(),
    }
}

fn revision_of(state: &State) -> u64 {
    state.count(REVISION).unwrap_or_default()
}

/// A gate's next state, with these pauses; what else it holds stays.
fn with_pauses(mut state: State, pauses: &[Pause]) -> State {
    let revision = revision_of(&state) + 1;
    for key in ["paused", "by", "reason", "since", PAUSES] {
        state.0.remove(key);
    }
    state.0.insert(REVISION.into(), json!(revision));
    if let Some(first) = pauses.first() {
        state.0.insert("paused".into(), json!(true));
        state.0.insert("by".into(), json!(first.owner));
        state.0.insert("since".into(), json!(first.since));
        if let Some(reason) = &first.reason {
            state.0.insert("reason".into(), json!(reason));
        }
        state.0.insert(PAUSES.into(), json!(pauses));
    }
    state
}

/// Counts the time until now, or until the next of the pauses that stay, as closed: a workflow's time did not run.
fn with_time_closed(mut state: State, left: &[Pause], now: Time) -> State {
    let until = left.first().map_or(now, |pause| pause.since);
    if let Some(since) = state.time("since") {
        let more = u64::try_from(until.since(since).as_millis()).unwrap_or(0);
        let all = state.count(HELD_MS).unwrap_or(0).saturating_add(more);
        state.0.insert(HELD_MS.into(), json!(all));
    }
    state
}

impl RestateBackend {
    /// The gate as it is. What is older than what was seen before is asked for again, and never believed: a pause that is
    /// in force must not look as if it had ended.
    async fn gate(&self) -> Result<State, Refusal> {
        let current = |state: State| {
            let revision = revision_of(&state);
            (self.gate_seen.fetch_max(revision, Ordering::Relaxed) <= revision).then_some(state)
        };
        let seen = self.seen(|| async { Ok(current(self.admin.state(GATE, ALL).await?)) }).await?;
        seen.ok_or_else(|| {
            let words = "Restate shows the gate as it was before its last change; if the cluster was made anew, start \
                         opsctl serve again";
            Refusal::new(ErrorCode::ServiceDown, words)
        })
    }

    /// Writes the gate's next state, and looks until it is in force; `false` when it was accepted and is not seen.
    async fn set_gate(&self, state: State, pauses: &[Pause]) -> Result<bool, Refusal> {
        let next = with_pauses(state, pauses);
        self.admin.set_state(GATE, ALL, &next).await?;
        let wanted = revision_of(&next);
        let in_force = |state: &State| revision_of(state) >= wanted && pauses_of(state) == pauses;
        let seen = self.seen(|| async { Ok(in_force(&self.admin.state(GATE, ALL).await?).then_some(())) }).await?;
        if seen.is_some() {
            self.gate_seen.fetch_max(wanted, Ordering::Relaxed);
        }
        Ok(seen.is_some())
    }

    /// Pauses in force; none when no gate is registered, because nothing could hold.
    pub(super) async fn gate_pauses(&self) -> Result<Vec<Pause>, Refusal> {
        self.ensure_known()?;
        Ok(pauses_of(&self.gate().await?))
    }

    /// Since when every try is refused. Nothing is said of services that may not ask the gate.
    pub(super) async fn held(&self) -> Result<Held, Refusal> {
        if !self.known().seen.unmarked().is_empty() {
            return Ok(Held::default());
        }
        let pauses = self.gate_pauses().await?;
        Ok(Held(pauses.iter().map(|pause| pause.since).min().map(|since| since + IN_FORCE_AFTER)))
    }

    pub(super) async fn close_gate(&self, scope: PauseScope, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        self.ensure_service(GATE).await?;
        let _turn = self.gate_turn.lock().await;
        let state = self.gate().await?;
        let mut pauses = pauses_of(&state);
        if let Some(held) = pauses.iter().find(|pause| pause.scope == scope) {
            let words = format!("already paused by {} since {}", held.owner, held.since);
            return Ok(answer(EffectKind::AlreadySo, words, vec![]));
        }
        let pause = Pause { scope, owner: who(cx), reason: cx.reason.clone(), since: self.now() };
        pauses.push(pause);
        if !self.set_gate(state, &pauses).await? {
            return Ok(answer(EffectKind::Accepted, self.not_seen("the pause"), vec![]));
        }
        let unmarked = self.known().seen.unmarked();
        let items = unmarked.iter().map(|name| {
            let why = "it does not say that it keeps to the contract, and may go on";
            effect((*name).to_owned(), EffectKind::Unsupported, Some(why.into()))
        });
        let words = match scope {
            PauseScope::All => "paused: nothing is accepted here, and services hold before each side effect",
            PauseScope::Queue => "paused: services hold before each side effect, what is sent later too",
        };
        self.log_change(words, cx);
        let items: Vec<_> = items.collect();
        match items.is_empty() {
            true => Ok(answer(EffectKind::Applied, words.into(), items)),
            false => Ok(summed(items, words.into())),
        }
    }

    pub(super) async fn open_gate(&self, request: PauseRequest, cx: &ChangeContext) -> Result<ChangeAnswer, Refusal> {
        if request.slow_start {
            return Err(unsupported("Restate starts everything at once: resume without --slow-start"));
        }
        self.ensure_service(GATE).await?;
        let _turn = self.gate_turn.lock().await;
        let state = self.gate().await?;
        let pauses = pauses_of(&state);
        let stays = |pause: &Pause| request.scope == PauseScope::Queue && pause.scope == PauseScope::All;
        let left: Vec<Pause> = pauses.iter().filter(|pause| stays(pause)).cloned().collect();
        if left.len() == pauses.len() {
            return Ok(answer(EffectKind::AlreadySo, "not paused".into(), vec![]));
        }
        if !self.set_gate(with_time_closed(state, &left, self.now()), &left).await? {
            return Ok(answer(EffectKind::Accepted, self.not_seen("the end of the pause"), vec![]));
        }
        if left.is_empty() {
            // What it held is tried at once, not when its next try would be due.
            self.nudge(HELD, &format!("(target_service_name = '{WORKFLOW}' or {})", actions())).await?;
        }
        let words = match left.first() {
            Some(pause) => format!("still paused by {} since {}", pause.owner, pause.since),
            None => "goes on".to_owned(),
        };
        self.log_change(&words, cx);
        Ok(answer(EffectKind::Applied, words, vec![]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(scope: PauseScope) -> Pause {
        Pause { scope, owner: "ada".into(), reason: Some("incident 42".into()), since: Time(1000) }
    }

    #[test]
    fn pauses_come_back_and_the_rest_of_the_state_stays() {
        let kept = State(serde_json::Map::from_iter([("note".to_owned(), json!("ours"))]));
        let both = [pause(PauseScope::Queue), pause(PauseScope::All)];
        let state = with_pauses(kept.clone(), &both);
        assert_eq!(state.0["paused"], true);
        assert_eq!(state.text("reason"), Some("incident 42"));
        assert_eq!((pauses_of(&state), revision_of(&state)), (both.to_vec(), 1));
        let mut opened = with_pauses(state, &[]);
        assert_eq!(opened.0.remove(REVISION), Some(json!(2)), "its changes are counted");
        assert_eq!(opened, kept);
    }

    #[test]
    fn the_time_in_which_it_was_closed_adds_up() {
        let at = |since: i64| Pause { since: Time(since), ..pause(PauseScope::Queue) };
        let both = [at(1000), at(4000)];
        let closed = with_pauses(State::default(), &both);
        let state = with_pauses(with_time_closed(closed, &both[1..], Time(5000)), &both[1..]);
        assert_eq!((state.count(HELD_MS), state.time("since")), (Some(3000), Some(Time(4000))));
        let state = with_pauses(with_time_closed(state, &[], Time(6000)), &[]);
        assert_eq!((state.count(HELD_MS), state.time("since")), (Some(5000), None));
        let unsaid = State(serde_json::Map::from_iter([("paused".to_owned(), json!(true))]));
        assert_eq!(with_time_closed(unsaid.clone(), &[], Time(6000)), unsaid, "nobody knows since when");
    }

    #[test]
    fn a_gate_closed_by_somebody_else_is_a_pause() {
        let state = State(serde_json::Map::from_iter([("paused".to_owned(), json!(true))]));
        assert_eq!(pauses_of(&state)[0].owner, "somebody at the gate");
    }
}

//! Outputs that a runbook shows: their fields and types, against what the command before them answers.

use serde_json::Value;
use utoipa::ToSchema;

use super::fences::Fence;
use super::{Finding, Linted};
use crate::aliases::Verb;
use crate::wire::{self, json_schema};

/// What a verb answers for one thing; for several it is a list of it.
type Shape = (&'static str, fn() -> (Value, Value));

/// Verbs whose answer is a type of the admin API.
const SHAPES: &[Shape] = &[
    shape::<wire::HealthReport>("check health"),
    shape::<wire::CircuitStatus>("circuit status"),
    shape::<wire::CircuitTransition>("circuit history"),
    shape::<wire::ConfigEntry>("config get"),
    shape::<wire::ExecutorStatus>("executor status"),
    shape::<wire::QueueStatus>("queue status"),
    shape::<wire::QueueItem>("queue show"),
    shape::<wire::RateLimitStatus>("rate-limits status"),
    shape::<wire::AuthStatus>("test auth"),
    shape::<wire::ActionBreakdown>("metrics actions"),
    shape::<wire::Performance>("metrics performance"),
    shape::<wire::RequestMetrics>("metrics requests"),
    shape::<wire::WorkflowReport>("workflow status"),
];

const fn shape<T: ToSchema>(verb: &'static str) -> Shape {
    (verb, json_schema::of::<T>)
}

/// Compares a block of JSON with the commands of the block before it.
pub(super) fn look(fence: &Fence<'_>, verbs: &[&'static Verb], linted: &mut Linted) {
    let text: Vec<&str> = fence.lines.iter().map(|(_, line)| *line).collect();
    let value: Value = match serde_json::from_str(&text.join("\n")) {
        Ok(value) => value,
        Err(error) => {
            let line = fence.line + error.line().max(1);
            return linted.findings.push(Finding::error(line, format!("it is no JSON: {error}")));
        }
    };
    let known: Vec<&Shape> = SHAPES.iter().filter(|(verb, _)| verbs.iter().any(|v| v.name == *verb)).collect();
    let mut best: Option<(&str, Vec<String>)> = None;
    for (verb, of) in known {
        let wrong = differences(&of(), &value);
        if best.as_ref().is_none_or(|(_, fewest)| wrong.len() < fewest.len()) {
            best = Some((*verb, wrong));
        }
    }
    let Some((verb, wrong)) = best else { return };
    linted.outputs += 1;
    for why in wrong {
        linted.findings.push(Finding::error(fence.line, format!("shown for `{verb}`: {why}")));
    }
}

fn differences((document, schema): &(Value, Value), value: &Value) -> Vec<String> {
    let each: Vec<&Value> = match value {
        Value::Array(all) => all.iter().collect(),
        one => vec![one],
    };
    let of_one = |one: &Value| {
        let strange = json_schema::strangers(document, schema, one);
        let strange = strange.into_iter().map(|at| format!("the answer has no field {}", at.trim_start_matches("$.")));
        let wrong = json_schema::misfits(document, schema, one);
        let plain = |why: String| why.trim_start_matches("$: ").trim_start_matches("$.").to_owned();
        strange.chain(wrong.into_iter().map(plain)).collect::<Vec<_>>()
    };
    each.into_iter().flat_map(of_one).collect()
}

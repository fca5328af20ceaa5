//! What a workflow must be like to be accepted. Every problem is named at once, with what to do.

use serde_json::Value;

use super::refs::{self, Reference};
use crate::engine::canonical::{canonical_json, sha256_hex};
use crate::platforms;
use crate::wire::{ActionType, StepRequest, WorkflowRequest};

/// The order of a step.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Order {
    /// Places of the steps it waits for.
    pub waits: Vec<usize>,
    /// Places of the steps it names or refers to; not the one before it when it only comes after that.
    pub builds_on: Vec<usize>,
}

/// Who waits for whom. Only backwards: what points elsewhere is left out, and [`check`] refuses it.
pub(super) fn order_of(steps: &[StepRequest]) -> Vec<Order> {
    let place = |id: &str, before: usize| steps[..before].iter().position(|step| step.id == id);
    let order = |(at, step): (usize, &StepRequest)| {
        let named = step.depends_on.iter().flatten().filter_map(|id| place(id, at));
        let mut builds_on: Vec<usize> = named.collect();
        refs::each(&step.data, &mut |reference: Reference<'_>| builds_on.extend(place(reference.head, at)));
        builds_on.sort_unstable();
        builds_on.dedup();
        let mut waits = builds_on.clone();
        if step.depends_on.is_none() {
            waits.extend(at.checked_sub(1));
            waits.sort_unstable();
            waits.dedup();
        }
        Order { waits, builds_on }
    };
    steps.iter().enumerate().map(order).collect()
}

/// Everything that is wrong with a workflow; each problem says where and what to do.
pub fn check(workflow: &WorkflowRequest, max_steps: usize) -> Vec<String> {
    let mut found = Vec::new();
    let length = |name: &str, text: Option<&String>, min: usize, max: usize| {
        let wrong = text.is_some_and(|text| !(min..=max).contains(&text.chars().count()));
        wrong.then(|| format!("{name}: must have {min} to {max} characters"))
    };
    found.extend(length("id", workflow.id.as_ref(), 1, 128));
    if workflow.id.as_ref().is_some_and(|id| id.chars().any(|c| c.is_control() || c == '/')) {
        found.push("id: must not have slashes or control characters".into());
    }
    found.extend(length("name", Some(&workflow.name), 1, 256));
    found.extend(length("description", workflow.description.as_ref(), 0, 4096));
    found.extend(length("idempotencyKey", workflow.idempotency_key.as_ref(), 1, 256));
    found.extend(length("correlationId", workflow.correlation_id.as_ref(), 0, 256));
    found.extend(length("userId", workflow.user_id.as_ref(), 0, 256));
    if workflow.timeout.is_some_and(|ms| !(1..=86_400_000).contains(&ms)) {
        found.push("timeout: must be 1 to 86400000 milliseconds".into());
    }
    if workflow.steps.is_empty() {
        found.push("steps: a workflow needs at least one; add it".into());
    }
    if workflow.steps.len() > max_steps {
        let count = workflow.steps.len();
        found.push(format!(
            "steps: {count} are more than MAX_WORKFLOW_STEPS={max_steps}; split the workflow or raise the setting"
        ));
    }
    for at in 0..workflow.steps.len() {
        let step = &workflow.steps[at];
        let problems = step_problems(workflow, at);
        found.extend(problems.into_iter().map(|problem| format!("step `{}`: {problem}", step.id)));
    }
    found
}

fn step_problems(workflow: &WorkflowRequest, at: usize) -> Vec<String> {
    let (steps, step) = (&workflow.steps, &workflow.steps[at]);
    let mut found = Vec::new();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if step.id.is_empty() || step.id.len() > 64 || !step.id.chars().all(allowed) {
        found.push("its id must have 1 to 64 letters, digits, `_` or `-`; rename it".into());
    }
    if let Some(first) = steps[..at].iter().position(|other| other.id == step.id) {
        found.push(format!("steps {} and {} have the same id; rename one", first + 1, at + 1));
    }
    if step.name.as_ref().is_some_and(|name| name.chars().count() > 256) {
        found.push("name: must have at most 256 characters".into());
    }
    if step.timeout.is_some_and(|ms| !(1..=600_000).contains(&ms)) {
        found.push("timeout: must be 1 to 600000 milliseconds".into());
    }
    if step.retries.is_some_and(|retries| retries > 20) {
        found.push("retries: must be at most 20".into());
    }
    for id in step.depends_on.iter().flatten() {
        found.extend(dependency_problem(steps, at, id, "dependsOn"));
    }
    let mut has_references = false;
    refs::each(&step.data, &mut |reference: Reference<'_>| {
        has_references = true;
        found.extend(reference_problem(workflow, at, reference));
    });
    found.extend(data_problem(step, has_references));
    found
}

fn dependency_problem(steps: &[StepRequest], at: usize, id: &str, from: &str) -> Option<String> {
    let Some(to) = steps.iter().position(|step| step.id == id) else {
        let known: Vec<&str> = steps[..at].iter().map(|step| step.id.as_str()).collect();
        let known = if known.is_empty() { "there is none before it".into() } else { known.join(", ") };
        return Some(format!("{from}: there is no step `{id}`; name an earlier one: {known}"));
    };
    if to == at {
        return Some(format!("{from}: it waits for itself, a cycle; take `{id}` out"));
    }
    if to < at {
        return None;
    }
    Some(match way(steps, to, at) {
        Some(way) => format!("{from}: a cycle, {} -> {way}; take one of them out", steps[at].id),
        None => format!("{from}: `{id}` comes later; move `{id}` before `{}`", steps[at].id),
    })
}

/// The way from a step along its dependencies to another, as `b -> c -> a`.
fn way(steps: &[StepRequest], from: usize, to: usize) -> Option<String> {
    let mut seen = vec![false; steps.len()];
    let mut open = vec![(from, steps[from].id.clone())];
    while let Some((at, path)) = open.pop() {
        if at == to {
            return Some(path);
        }
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        let mut next: Vec<&str> = steps[at].depends_on.iter().flatten().map(String::as_str).collect();
        refs::each(&steps[at].data, &mut |reference: Reference<'_>| next.push(reference.head));
        let places = next.into_iter().filter_map(|id| steps.iter().position(|step| step.id == id));
        open.extend(places.map(|place| (place, format!("{path} -> {}", steps[place].id))));
    }
    None
}

fn reference_problem(workflow: &WorkflowRequest, at: usize, reference: Reference<'_>) -> Option<String> {
    let Reference { head, path } = reference;
    if workflow.steps.iter().any(|step| step.id == head) {
        return dependency_problem(&workflow.steps, at, head, &format!("`${head}`"));
    }
    match workflow.metadata.get(head) {
        Some(value) if refs::at(value, path).is_some() => None,
        Some(_) => Some(format!("`${head}.{path}`: the metadata's `{head}` has no `{path}`; add it")),
        None => Some(format!(
            "`${head}` is neither an earlier step nor in the metadata; correct it, or write `$${head}` for a plain text"
        )),
    }
}

/// What the platform refuses. Where values come from references, only what does not depend on them is known now.
fn data_problem(step: &StepRequest, has_references: bool) -> Option<String> {
    if step.action_type == ActionType::Approve {
        return Some("`approve` is no step; set `requiresApproval` on the step that has to be approved".into());
    }
    let problem = platforms::validate(step.platform, step.action_type, &step.data).err()?;
    if !has_references {
        return Some(problem);
    }
    let own = |name: &str| problem.starts_with(&format!("data.{name}:"));
    let referring = |value: &Value| {
        let mut found = false;
        refs::each(value, &mut |_| found = true);
        found
    };
    let known_later = step.data.as_object()?.iter().any(|(name, value)| referring(value) && own(name));
    (!known_later).then_some(problem)
}

/// What a workflow does, as a short text: the same for the same content, whatever its id and key.
pub fn fingerprint(workflow: &WorkflowRequest) -> String {
    let content = WorkflowRequest { id: None, idempotency_key: None, ..workflow.clone() };
    sha256_hex(&canonical_json(&serde_json::to_value(content).unwrap_or_default()), 32)
}

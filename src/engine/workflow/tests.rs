//! The rules on chosen workflows, and on random ones with random faults.

mod random;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::platforms::undo::{Way, plan as platforms_plan};
use crate::wire::{ActionType, Reversibility, WorkflowEventKind};

/// Stand-in for queue and platforms: which actions wait, and how a step is undone.
#[derive(Default)]
pub(super) struct Ground {
    /// Actions in the queue; true once one may have been sent.
    pub queue: BTreeMap<String, bool>,
    pub used: BTreeSet<String>,
    /// Ways of undoing, by the name of the file that was made; a request when nothing is said.
    pub ways: BTreeMap<String, Way>,
}

impl Ground {
    /// Puts what events call for into the queue.
    pub fn take(&mut self, events: &[Event]) {
        for event in events {
            if let Change::StepStarted { action_id, .. } | Change::UndoStarted { action_id, .. } = &event.change {
                assert!(self.used.insert(action_id.clone()), "{action_id} twice");
                self.queue.insert(action_id.clone(), false);
            }
        }
    }
}

impl Hands for Ground {
    fn free_id(&mut self, wanted: String) -> String {
        let mut ids = std::iter::once(wanted.clone()).chain((2..).map(|n| format!("{wanted}-{n}")));
        ids.find(|id| !self.used.contains(id)).unwrap()
    }

    fn withdraw(&mut self, action_id: &str) -> bool {
        if self.queue.get(action_id) == Some(&false) {
            self.queue.remove(action_id);
            return true;
        }
        false
    }

    fn undo_plan(&self, done: &Done) -> UndoPlan {
        let name = done.data["name"].as_str().unwrap_or_default();
        UndoPlan {
            reversibility: Reversibility::Reversible,
            what: format!("undo {name}"),
            label: "File deletion",
            way: self.ways.get(name).cloned().unwrap_or(Way::Request),
        }
    }
}

const RULES: Rules = Rules { now: Time(1000), rollback: true };

fn file(id: &str, more: Value) -> Value {
    let mut step = json!({
        "id": id, "type": "file", "platform": "drive", "data": {"name": id, "content": "x", "mimeType": "text/plain"}
    });
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn request(steps: Value) -> WorkflowRequest {
    serde_json::from_value(json!({"id": "w", "name": "w", "steps": steps, "metadata": {"who": {"name": "ana"}}}))
        .unwrap()
}

fn accepted(request: WorkflowRequest) -> (State, Event) {
    let change = Change::Accepted { definition: Box::new(request), compensates: None };
    let event = Event { at: Time(0), step: None, change, by: None };
    (State::accepted("w", &event).unwrap(), event)
}

fn error(code: ErrorCode) -> ActionError {
    ActionError { code, message: "no".into(), http_status: None, request_id: None }
}

/// Ends an action and goes on.
fn end(state: &mut State, ground: &mut Ground, step: &str, change: Change) -> Vec<WorkflowEventKind> {
    let place = state.place(step).unwrap();
    let undo = matches!(change, Change::UndoCompleted { .. } | Change::UndoFailed { .. });
    let action = if undo { &state.steps[place].undo_action } else { &state.steps[place].action_id };
    ground.queue.remove(action.as_ref().unwrap());
    state.apply(&Event { at: RULES.now, step: Some(step.into()), change, by: None }).unwrap();
    let events = advance(state, RULES, ground).unwrap();
    ground.take(&events);
    events.iter().map(|event| event.change.kind()).collect()
}

fn done(result: Value) -> Change {
    Change::StepCompleted { result, before: None, fallback_platform: None }
}

fn failed(code: ErrorCode) -> Change {
    Change::StepFailed { error: error(code), in_doubt: false, before: None }
}

fn undone() -> Change {
    Change::UndoCompleted { evidence: "gone".into(), attempts: 1 }
}

fn undo_failed() -> Change {
    let error = error(ErrorCode::PermissionDenied);
    Change::UndoFailed { failure: failure_words("File deletion", error.code), error, attempts: 1 }
}

fn started(request: WorkflowRequest) -> (State, Ground) {
    let (mut state, _) = accepted(request);
    let mut ground = Ground::default();
    let events = advance(&mut state, RULES, &mut ground).unwrap();
    ground.take(&events);
    (state, ground)
}

#[test]
fn every_problem_is_named_with_its_step_and_what_to_do() {
    let mut bad = request(json!([
        file("a", json!({"dependsOn": "b"})),
        file("b", json!({"dependsOn": ["a"]})),
        file("a", json!({})),
        file("late", json!({"dependsOn": "z"})),
        file("early", json!({"data": {"name": "$later.id", "content": "x", "mimeType": "text/plain"}})),
        file("later", json!({"dependsOn": "later"})),
        file("odd name", json!({"data": {"name": "$nobody", "titel": 1}})),
        file("meta", json!({"data": {"name": "$who.age", "content": "x", "mimeType": "text/plain"}})),
        {"id": "ask", "type": "approve", "platform": "slack", "data": {}},
        {"id": "cannot", "type": "file", "platform": "slack", "data": {}},
    ]));
    bad.timeout = Some(0);
    let found = check(&bad, 3);
    for words in [
        "timeout: must be 1 to",
        "steps: 10 are more than MAX_WORKFLOW_STEPS=3; split the workflow or raise the setting",
        "step `a`: dependsOn: a cycle, a -> b -> a; take one of them out",
        "step `a`: steps 1 and 3 have the same id; rename one",
        "step `late`: dependsOn: there is no step `z`; name an earlier one: a, b, a",
        "step `early`: `$later`: `later` comes later; move `later` before `early`",
        "step `later`: dependsOn: it waits for itself, a cycle",
        "step `odd name`: its id must have",
        "step `odd name`: `$nobody` is neither an earlier step nor in the metadata",
        "step `odd name`: data.titel: a drive file has no such field",
        "step `meta`: `$who.age`: the metadata's `who` has no `age`; add it",
        "step `ask`: `approve` is no step",
        "step `cannot`: slack cannot do `file`; it can do",
    ] {
        assert!(found.iter().any(|problem| problem.starts_with(words)), "{words}\n{found:#?}");
    }
    assert_eq!(found.len(), 13, "{found:#?}");
    assert_eq!(check(&request(json!([file("a", json!({}))])), 1), Vec::<String>::new());
    assert!(check(&request(json!([])), 1)[0].contains("at least one"));
}

#[test]
fn a_value_that_comes_later_is_not_judged_now() {
    let step =
        file("b", json!({"data": {"name": "x", "content": "y", "mimeType": "text/plain", "permissions": "$a.who"}}));
    assert_eq!(check(&request(json!([file("a", json!({})), step])), 9), Vec::<String>::new());
}

#[test]
fn steps_wait_for_the_one_before_unless_they_say_otherwise() {
    let (state, ground) = started(request(json!([
        file("a", json!({})),
        file("b", json!({})),
        file("c", json!({"dependsOn": []})),
        file("d", json!({"dependsOn": "a"})),
    ])));
    assert_eq!(ground.queue.keys().collect::<Vec<_>>(), ["w-a", "w-c"]);
    assert_eq!(
        state.steps.iter().map(|step| step.waits.clone()).collect::<Vec<_>>(),
        [vec![], vec![0], vec![], vec![0]]
    );
}

#[test]
fn references_take_their_values_when_the_step_starts() {
    let data = json!({"name": "$a.file.id", "content": "$who.name", "mimeType": "$$plain"});
    let (mut state, mut ground) =
        started(request(json!([file("a", json!({})), file("b", json!({"dependsOn": [], "data": data}))])));
    assert_eq!(state.steps[1].waits, [0], "a reference is a dependency");
    end(&mut state, &mut ground, "a", done(json!({"file": {"id": 7}})));
    assert_eq!(state.steps[1].sent, Some(json!({"name": 7, "content": "ana", "mimeType": "$plain"})));
}

#[test]
fn a_missing_path_fails_the_step_and_names_what_is_there() {
    let data = json!({"name": "$a.id", "content": "x", "mimeType": "text/plain"});
    let (mut state, mut ground) = started(request(json!([file("a", json!({})), file("b", json!({"data": data}))])));
    end(&mut state, &mut ground, "a", done(json!({"fileId": "f"})));
    let error = state.steps[1].error.clone().unwrap();
    assert_eq!(error.message, "`$a.id` has no value: the result of a has fileId");
    assert_eq!((error.code, state.status), (ErrorCode::ValidationError, WorkflowStatus::RollingBack));
    assert_eq!(state.failed_step.as_deref(), Some("b"));
}

#[test]
fn an_optional_step_may_fail_and_what_refers_to_it_is_skipped_when_optional_too() {
    let data = json!({"name": "$a.id", "content": "x", "mimeType": "text/plain"});
    let (mut state, mut ground) = started(request(json!([
        file("a", json!({"optional": true})),
        file("b", json!({"data": data, "optional": true})),
        file("c", json!({})),
    ])));
    end(&mut state, &mut ground, "a", failed(ErrorCode::NotFound));
    let kinds = end(&mut state, &mut ground, "c", done(json!({})));
    assert_eq!(kinds, [WorkflowEventKind::Completed]);
    assert_eq!(state.steps[1].status, StepStatus::Skipped);
}

#[test]
fn a_failure_takes_back_what_waits_and_awaits_what_was_sent() {
    let (mut state, mut ground) = started(request(json!([
        file("a", json!({})),
        file("b", json!({"dependsOn": []})),
        file("c", json!({"dependsOn": []})),
        file("d", json!({"dependsOn": "c"})),
    ])));
    ground.queue.insert("w-b".into(), true);
    end(&mut state, &mut ground, "a", failed(ErrorCode::NotFound));
    assert_eq!(state.status, WorkflowStatus::Executing, "b is in flight");
    let statuses: Vec<_> = state.steps.iter().map(|step| step.status).collect();
    use StepStatus::{Executing, Failed, Skipped};
    assert_eq!(statuses, [Failed, Executing, Skipped, Skipped]);
    end(&mut state, &mut ground, "b", done(json!({"fileId": "f"})));
    assert_eq!(state.status, WorkflowStatus::RollingBack);
    assert_eq!(ground.queue.keys().collect::<Vec<_>>(), ["w-undo-b"]);
    end(&mut state, &mut ground, "b", undone());
    assert_eq!((state.status, state.lease), (WorkflowStatus::RolledBack, None));
}

#[test]
fn without_a_transaction_or_with_rollbacks_off_a_failure_rests() {
    let mut plain = request(json!([file("a", json!({})), file("b", json!({}))]));
    plain.transactional = false;
    let (mut state, mut ground) = started(plain);
    end(&mut state, &mut ground, "a", done(json!({})));
    end(&mut state, &mut ground, "b", failed(ErrorCode::NotFound));
    assert_eq!((state.status, state.error.as_deref()), (WorkflowStatus::Failed, Some("step b failed: no")));

    let (mut state, mut ground) = started(request(json!([file("a", json!({}))])));
    let off = Rules { rollback: false, ..RULES };
    state.apply(&Event { at: Time(1), step: Some("a".into()), change: failed(ErrorCode::NotFound), by: None }).unwrap();
    advance(&mut state, off, &mut ground).unwrap();
    assert_eq!(state.status, WorkflowStatus::Failed);
}

/// Three files, the last built on the first; all done, and a rollback by a person.
fn rolling(mode_words: &[&str]) -> (State, Ground) {
    let (mut state, mut ground) = started(request(json!([
        file("a", json!({})),
        file("b", json!({})),
        file("c", json!({"dependsOn": ["a", "b"]})),
    ])));
    for name in mode_words {
        ground.ways.insert((*name).into(), Way::Manual(vec![format!("remove {name}")]));
    }
    for step in ["a", "b", "c"] {
        end(&mut state, &mut ground, step, done(json!({"fileId": step})));
    }
    assert_eq!(state.status, WorkflowStatus::Completed);
    let events = roll_back(&mut state, RollbackMode::First, "ana", RULES, &mut ground).unwrap();
    ground.take(&events);
    (state, ground)
}

#[test]
fn a_failed_undo_holds_back_what_its_step_builds_on_and_force_goes_past() {
    let (mut state, mut ground) = rolling(&[]);
    assert_eq!(state.lease.as_ref().map(|lease| lease.owner.as_str()), Some("ana"));
    end(&mut state, &mut ground, "c", undo_failed());
    let undos = |state: &State| state.steps.iter().map(|s| s.undo.as_ref().unwrap().status).collect::<Vec<_>>();
    use UndoStatus::{Blocked, Failed, RolledBack};
    assert_eq!(undos(&state), [Blocked, Blocked, Failed]);
    assert_eq!(state.status, WorkflowStatus::RollbackFailed);
    assert_eq!(state.error.as_deref(), Some("File deletion failed: permission denied"));
    assert_eq!(state.detail.as_deref(), Some("nothing rolled back: 0 of 3 steps"));

    assert!(matches!(may_roll_back(&state, RollbackMode::First), Err(Refused::Conflict(_))));
    may_roll_back(&state, RollbackMode::Force).unwrap();
    let events = roll_back(&mut state, RollbackMode::Force, "ana", RULES, &mut ground).unwrap();
    ground.take(&events);
    assert_eq!(state.lease.as_ref().map(|lease| lease.operation.as_str()), Some("rollback force"));
    end(&mut state, &mut ground, "c", undo_failed());
    end(&mut state, &mut ground, "b", undone());
    end(&mut state, &mut ground, "a", undone());
    assert_eq!(undos(&state), [RolledBack, RolledBack, Failed]);
    assert_eq!(state.detail.as_deref(), Some("partially rolled back: 2 of 3 steps"));
    let again = plan(&state, RollbackMode::Force, &|done| ground.undo_plan(done));
    assert_eq!(again.iter().map(|step| step.step_id.as_str()).collect::<Vec<_>>(), ["c"]);
}

#[test]
fn a_manual_step_holds_nothing_back_and_leaves_the_rest_to_a_person() {
    let (mut state, mut ground) = rolling(&["c"]);
    end(&mut state, &mut ground, "b", undone());
    end(&mut state, &mut ground, "a", undone());
    assert_eq!(state.status, WorkflowStatus::RollbackFailed);
    assert_eq!(state.error.as_deref(), Some("step c is left for a person: undo c"));
    let refused = may_roll_back(&state, RollbackMode::Retry).unwrap_err();
    assert!(matches!(refused, Refused::Conflict(words) if words.contains("mark-resolved")));
}

#[test]
fn a_step_in_doubt_is_left_to_a_person() {
    let (mut state, mut ground) = started(request(json!([file("a", json!({}))])));
    let change = Change::StepFailed { error: error(ErrorCode::TimeoutError), in_doubt: true, before: None };
    end(&mut state, &mut ground, "a", change);
    let undo = state.steps[0].undo.clone().unwrap();
    assert_eq!((undo.status, state.status), (UndoStatus::Manual, WorkflowStatus::RollbackFailed));
    assert_eq!(undo.manual, ["look for what step a may have done; if it is there: undo a"]);
}

#[test]
fn people_may_say_only_what_the_status_allows() {
    let (mut state, mut ground) = rolling(&["c"]);
    assert!(matches!(clear(&mut state.clone(), "ana", RULES), Err(Refused::Conflict(_))));
    end(&mut state, &mut ground, "b", undone());
    end(&mut state, &mut ground, "a", undone());
    let early = clear(&mut state, "ana", RULES).unwrap_err();
    assert!(matches!(early, Refused::Conflict(words) if words.contains("opsctl workflow mark-resolved w")));
    assert!(matches!(complete(&mut state, None, "ana", RULES), Err(Refused::Conflict(_))));
    resolve(&mut state, Some("by hand".into()), "ana", RULES).unwrap();
    assert_eq!(state.resolution.as_ref().unwrap().comment.as_deref(), Some("by hand"));
    assert!(matches!(resolve(&mut state, None, "ana", RULES), Err(Refused::AlreadySo(_))));
    clear(&mut state, "ana", RULES).unwrap();
    assert!(state.cleared);
    assert!(matches!(clear(&mut state, "ana", RULES), Err(Refused::AlreadySo(_))));
}

#[test]
fn a_compensation_undoes_in_reverse_and_tells_the_original() {
    let (mut original, mut ground) = started(request(json!([file("a", json!({})), file("b", json!({}))])));
    let how = |done: &Done| Ground::default().undo_plan(done);
    assert!(matches!(compensation(&original, "w-c".into(), &how), Err(Refused::Conflict(_))), "it has not ended");
    end(&mut original, &mut ground, "a", done(json!({"fileId": "f"})));
    end(&mut original, &mut ground, "b", done(json!({"fileId": "g"})));
    let definition = compensation(&original, "w-c".into(), &how).unwrap();
    assert_eq!(definition.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);

    let change = Change::Accepted { definition: Box::new(definition), compensates: Some("w".into()) };
    let event = Event { at: Time(5), step: None, change, by: None };
    let mut made = State::accepted("w-c", &event).unwrap();
    assert!(still_fits(&made, &original));
    let mut tell = |made: &State, events: Vec<Event>, ground: &mut Ground| {
        ground.take(&events);
        mirror(&mut original, made, &events, 1, RULES, ground).unwrap();
        (original.status, original.steps.iter().map(|step| step.status).collect::<Vec<_>>())
    };
    use StepStatus::{Completed, RolledBack};
    let events = advance(&mut made, RULES, &mut ground).unwrap();
    assert_eq!(tell(&made, events, &mut ground), (WorkflowStatus::RollingBack, vec![Completed, Completed]));
    for (step, expected) in [
        ("b", (WorkflowStatus::RollingBack, vec![Completed, RolledBack])),
        ("a", (WorkflowStatus::RolledBack, vec![RolledBack, RolledBack])),
    ] {
        let change = done(json!({"evidence": "gone"}));
        let event = Event { at: Time(6), step: Some(step.into()), change, by: None };
        made.apply(&event).unwrap();
        let mut events = vec![event];
        events.extend(advance(&mut made, RULES, &mut ground).unwrap());
        assert_eq!(tell(&made, events, &mut ground), expected);
    }
    assert_eq!(made.status, WorkflowStatus::Completed);
    assert!(!still_fits(&made, &original));
}

#[test]
fn the_fingerprint_is_of_the_content() {
    let one = request(json!([file("a", json!({}))]));
    let other_id = WorkflowRequest { id: Some("x".into()), idempotency_key: Some("k".into()), ..one.clone() };
    assert_eq!(fingerprint(&one), fingerprint(&other_id));
    assert_ne!(fingerprint(&one), fingerprint(&WorkflowRequest { transactional: false, ..one.clone() }));
}

#[test]
fn a_fallback_is_undone_where_it_wrote() {
    let step = json!([{"id": "a", "type": "create", "platform": "notion", "data": {"title": "Review"}}]);
    let (mut state, mut ground) = started(request(step));
    let change = Change::StepCompleted {
        result: json!({"cardId": "c"}),
        before: None,
        fallback_platform: Some(Platform::Trello),
    };
    end(&mut state, &mut ground, "a", change);
    let done = state.steps[0].done();
    assert_eq!((done.platform, done.action_type), (Platform::Trello, ActionType::Create));
    assert!(platforms_plan(&done).what.contains('c'), "{:?}", platforms_plan(&done));
}

//! What the platforms should show of a workflow, and whether what they show is that.

use std::collections::BTreeMap;

use super::{State, Step};
use crate::platforms::undo::{Done, Seen};
use crate::wire::{ActionType, IntegrityKind, Platform, UndoStatus, WorkflowStatus};

/// What is expected of a step's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// As the step left it.
    Stands,
    /// Not as the step left it: it was undone.
    Undone,
}

/// The steps whose objects are worth a look, by place. Each object comes once: the last step that stands on it decides, and
/// where none stands, the first that was undone. Nothing while the workflow is at work, and of a compensating workflow:
/// its undos are known to the workflow it compensates.
pub fn expectations(state: &State) -> Vec<(usize, Expected)> {
    if !state.at_rest() || state.compensates.is_some() {
        return Vec::new();
    }
    let mut by_object: BTreeMap<(Platform, Vec<String>), (usize, Expected)> = BTreeMap::new();
    let mut places: Vec<usize> = (0..state.steps.len()).collect();
    places.sort_by_key(|place| state.steps[*place].order);
    for place in places {
        let step = &state.steps[place];
        let Some(expected) = expected(state, step) else { continue };
        let done = step.done();
        let mut object = done.object();
        if object.is_empty() {
            // What is not named is nobody else's.
            object = vec![format!("step {place}")];
        }
        let key = (done.platform, object);
        let known = by_object.get(&key).map(|(_, expected)| *expected);
        if known.is_none() || expected == Expected::Stands {
            by_object.insert(key, (place, expected));
        }
    }
    let mut found: Vec<_> = by_object.into_values().collect();
    found.sort_by_key(|(place, _)| *place);
    found
}

fn expected(state: &State, step: &Step) -> Option<Expected> {
    if step.definition.action_type == ActionType::Query || !step.was_executed() {
        return None;
    }
    if step.undo_status() == Some(UndoStatus::RolledBack) {
        return Some(Expected::Undone);
    }
    // What a person put right by hand may look any way.
    (state.status != WorkflowStatus::Resolved).then_some(Expected::Stands)
}

impl Expected {
    /// What is wrong with what is seen, with the words for it; `None` when nothing is.
    pub fn wrong(self, done: &Done, seen: Seen) -> Option<(IntegrityKind, String)> {
        match (self, seen) {
            (_, Seen::NotReported(why)) => Some((IntegrityKind::Unknown, why)),
            (Expected::Stands, Seen::Missing(how)) => Some((IntegrityKind::Missing, how)),
            (Expected::Stands, Seen::Altered(how)) => Some((IntegrityKind::Altered, how)),
            (Expected::Undone, Seen::Present) => {
                Some((IntegrityKind::Orphaned, "it was undone, and is as the step had left it".into()))
            }
            // What was created and is there is there again, whatever it looks like.
            (Expected::Undone, Seen::Altered(how)) if makes(done) => {
                Some((IntegrityKind::Orphaned, format!("it was undone, and is there again: {how}")))
            }
            (Expected::Undone, Seen::Altered(_) | Seen::Missing(_)) | (Expected::Stands, Seen::Present) => None,
        }
    }
}

/// Whether an action made an object that can be gone as a whole. A row that was appended leaves cells that anybody may fill.
fn makes(done: &Done) -> bool {
    matches!(done.action_type, ActionType::Create | ActionType::File) && done.platform != Platform::Sheets
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wire::Time;

    fn done(action_type: ActionType) -> Done {
        let (data, result) = (json!({}), json!({"fileId": "f-1"}));
        Done { platform: Platform::Drive, action_type, data, result, before: None, marker: None, at: Time(0) }
    }

    #[test]
    fn what_is_seen_is_held_against_what_is_expected() {
        let wrong =
            |expected: Expected, seen: Seen| expected.wrong(&done(ActionType::Update), seen).map(|(kind, _)| kind);
        let gone = || Seen::Missing("gone".into());
        let other = || Seen::Altered("other".into());
        assert_eq!(wrong(Expected::Stands, Seen::Present), None);
        assert_eq!(wrong(Expected::Stands, gone()), Some(IntegrityKind::Missing));
        assert_eq!(wrong(Expected::Stands, other()), Some(IntegrityKind::Altered));
        assert_eq!(wrong(Expected::Undone, Seen::Present), Some(IntegrityKind::Orphaned));
        assert_eq!(wrong(Expected::Undone, gone()), None);
        assert_eq!(wrong(Expected::Undone, other()), None, "an update that was taken back");
        for expected in [Expected::Stands, Expected::Undone] {
            assert_eq!(wrong(expected, Seen::NotReported("?".into())), Some(IntegrityKind::Unknown));
        }
        let restored = Expected::Undone.wrong(&done(ActionType::File), other());
        assert!(matches!(restored, Some((IntegrityKind::Orphaned, _))), "{restored:?}");
    }
}

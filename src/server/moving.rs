//! Actions of another orchestrator: under which key each is put in, and what it means when that key stands for one already.
//! Engines say it in the same words; how they put in is theirs.

use super::backend::Refusal;
use crate::wire::{ActionStatus, ErrorCode, ImportedItem, Put, WaitingRequest};

/// Actions that are put in side by side.
pub(super) const AT_ONCE: usize = 64;

/// The actions, each under a key: its own, or one made of where it comes from, so that a second import finds the first.
pub(super) fn keyed(mut actions: Vec<WaitingRequest>, keys: bool) -> Result<Vec<WaitingRequest>, Refusal> {
    if !keys {
        let why = "ENABLE_IDEMPOTENCY is off here: what an interrupted import has put in could not be told from what is missing";
        return Err(Refusal::new(ErrorCode::Unsupported, why));
    }
    for action in &mut actions {
        action.request.idempotency_key.get_or_insert_with(|| format!("moved:{}", action.action_id));
    }
    Ok(actions)
}

pub(super) fn put(action_id: &str, put: Put, id: Option<&str>, detail: Option<String>) -> ImportedItem {
    ImportedItem { action_id: action_id.to_owned(), put, id: id.map(str::to_owned), detail }
}

/// What it means for an action that its key stands for this one; `None` when that was taken out, and is to be put back.
pub(super) fn standing_in(action_id: &str, id: &str, status: ActionStatus) -> Option<ImportedItem> {
    let (what, detail) = match status {
        ActionStatus::Pending | ActionStatus::Executing => (Put::AlreadyThere, None),
        ActionStatus::Success => (Put::Done, Some(format!("its key stands for {id}, which is done"))),
        ActionStatus::Failed | ActionStatus::InDoubt => {
            let words = format!("its key stands for {id}, which is {status}: see it with `opsctl queue failed`");
            (Put::Failed, Some(words))
        }
        ActionStatus::Removed => return None,
    };
    Some(put(action_id, what, Some(id), detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn action(id: &str, key: Option<&str>) -> WaitingRequest {
        let request = json!({"type": "create", "platform": "trello", "data": {"name": "x"}, "idempotencyKey": key});
        WaitingRequest { action_id: id.into(), request: serde_json::from_value(request).unwrap() }
    }

    #[test]
    fn each_has_a_key_or_nothing_is_put_in() {
        let keyed = |keys| keyed(vec![action("a-1", Some("k")), action("a-2", None)], keys);
        let keys: Vec<_> =
            keyed(true).unwrap().into_iter().map(|action| action.request.idempotency_key.unwrap()).collect();
        assert_eq!(keys, ["k", "moved:a-2"]);
        assert_eq!(keyed(false).unwrap_err().code, ErrorCode::Unsupported);
    }

    #[test]
    fn only_what_was_taken_out_is_put_back() {
        let what = |status| standing_in("a-1", "x", status).map(|item| item.put);
        assert_eq!(what(ActionStatus::Pending), Some(Put::AlreadyThere));
        assert_eq!(what(ActionStatus::Executing), Some(Put::AlreadyThere));
        assert_eq!(what(ActionStatus::Success), Some(Put::Done));
        assert_eq!(what(ActionStatus::Failed), Some(Put::Failed));
        assert_eq!(what(ActionStatus::InDoubt), Some(Put::Failed));
        assert_eq!(what(ActionStatus::Removed), None);
    }
}

//! What stands in for an action when its platform is down.
//!
//! Only a new task has a true equivalent: a Notion page becomes a Trello card. An update would need the object on the
//! other side, which does not exist.

use serde_json::{Map, Value, json};

use crate::wire::{ActionType, ErrorCode, Platform};

/// Where new cards go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrelloLists {
    /// When no other list fits.
    pub default: Option<String>,
    /// For tasks that wait.
    pub backlog: Option<String>,
    /// For tasks to do now.
    pub todo: Option<String>,
    /// For tasks being done.
    pub in_progress: Option<String>,
    /// For finished tasks.
    pub done: Option<String>,
}

impl TrelloLists {
    /// The list for a status and priority, as the orchestrator chooses it.
    fn choose(&self, status: Option<&str>, priority: Option<&str>) -> Option<&String> {
        let status = status.map(|s| s.to_lowercase().replace(['_', '-'], " "));
        let wanted = match status.as_deref() {
            Some("done" | "complete" | "completed") => &self.done,
            Some("in progress" | "doing") => &self.in_progress,
            Some("to do" | "todo") => &self.todo,
            Some("backlog") => &self.backlog,
            _ => match priority.map(str::to_lowercase).as_deref() {
                Some("critical" | "urgent" | "high") => &self.todo,
                Some("normal" | "medium") => &self.backlog,
                _ => &None,
            },
        };
        wanted.as_ref().or(self.default.as_ref())
    }
}

/// Whether a type of action has an equivalent elsewhere.
pub const fn is_substitutable(from: Platform, action_type: ActionType, to: Platform) -> bool {
    matches!((from, action_type, to), (Platform::Notion, ActionType::Create, Platform::Trello))
}

/// Whether a final failure calls for the fallback: the platform is away and the write certainly did not happen.
pub const fn is_cause(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::ServiceDown | ErrorCode::NetworkError | ErrorCode::TimeoutError | ErrorCode::CircuitOpen)
}

/// The parameters of the equivalent action; `Err` says what is missing.
pub fn translate(from: Platform, to: Platform, data: &Value, lists: &TrelloLists) -> Result<Value, String> {
    if (from, to) != (Platform::Notion, Platform::Trello) {
        return Err(format!("nothing on {to} stands in for {from}"));
    }
    let empty = Map::new();
    let properties = data.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let text = |name: &str| data.get(name).or_else(|| properties.get(name)).and_then(Value::as_str);
    let name = text("title").or_else(|| text("name")).ok_or("the page has no title for the card's name")?;
    let list = lists
        .choose(text("status"), text("priority"))
        .ok_or("TRELLO_DEFAULT_LIST_ID is not set, so there is no list for the card")?;
    let mut card = json!({ "name": name, "listId": list });
    let mut notes: Vec<String> =
        text("description").or_else(|| text("content")).map(String::from).into_iter().collect();
    // Labels of a board are known by id there; by name they are kept as text.
    notes.extend(text("priority").map(|priority| format!("Priority: {priority}")));
    if !notes.is_empty() {
        card["desc"] = notes.join("\n\n").into();
    }
    if let Some(due) = text("due_date").or_else(|| text("dueDate")) {
        card["due"] = due.into();
    }
    Ok(card)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_a_card() {
        let lists = TrelloLists { default: Some("l0".into()), todo: Some("l1".into()), ..TrelloLists::default() };
        let page = json!({"database_id": "d", "title": "Renew domain",
            "properties": {"priority": "High", "due_date": "2025-11-01"}});
        let card = translate(Platform::Notion, Platform::Trello, &page, &lists).unwrap();
        assert_eq!(
            card,
            json!({"name": "Renew domain", "listId": "l1", "desc": "Priority: High", "due": "2025-11-01"})
        );
        let plain = json!({"title": "x", "properties": {"status": "Done"}});
        assert_eq!(translate(Platform::Notion, Platform::Trello, &plain, &lists).unwrap()["listId"], "l0");
    }

    #[test]
    fn what_has_no_equivalent_says_so() {
        let none = TrelloLists::default();
        assert!(translate(Platform::Slack, Platform::Trello, &json!({}), &none).is_err());
        assert!(
            translate(Platform::Notion, Platform::Trello, &json!({"title": "x"}), &none)
                .unwrap_err()
                .contains("TRELLO")
        );
        assert!(!is_substitutable(Platform::Notion, ActionType::Update, Platform::Trello));
    }
}

//! What stands in for an action when its platform is down.
//!
//! Only a new task has a true equivalent: a Notion page becomes a Trello card. An update would need the object on the
//! other side, which does not exist.

use serde_json::{Value, json};

use crate::wire::{ActionType, ErrorCode, Platform};

/// Whether a type of action has an equivalent elsewhere.
pub const fn is_substitutable(from: Platform, action_type: ActionType, to: Platform) -> bool {
    matches!((from, action_type, to), (Platform::Notion, ActionType::Create, Platform::Trello))
}

/// Whether a final failure calls for the fallback: the platform is away and the write certainly did not happen.
pub const fn is_cause(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::ServiceDown | ErrorCode::NetworkError | ErrorCode::TimeoutError | ErrorCode::CircuitOpen)
}

/// The parameters of the equivalent action; `Err` says what is missing. The card goes to the list of cards that name none.
pub fn translate(from: Platform, to: Platform, data: &Value) -> Result<Value, String> {
    if (from, to) != (Platform::Notion, Platform::Trello) {
        return Err(format!("nothing on {to} stands in for {from}"));
    }
    let text = |names: &[&str]| {
        let properties = data.get("properties");
        let find = |name: &&str| data.get(name).or_else(|| properties?.get(name)).and_then(Value::as_str);
        names.iter().find_map(find)
    };
    let name = text(&["title", "name"]).ok_or("the page has no title for the card's name")?;
    let mut card = json!({ "name": name });
    let mut notes: Vec<String> = text(&["content", "description", "body"]).map(String::from).into_iter().collect();
    // The lists of a board have names of their own; what the page's status would say is kept as text.
    notes.extend(text(&["status", "Status"]).map(|status| format!("Status: {status}")));
    if !notes.is_empty() {
        card["desc"] = notes.join("\n\n").into();
    }
    if let Some(priority) = text(&["priority", "Priority"]) {
        card["labels"] = json!([format!("Priority: {priority}")]);
    }
    if let Some(due) = text(&["due_date", "dueDate", "due"]) {
        card["due"] = due.into();
    }
    Ok(card)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_a_card() {
        let page = json!({"database_id": "d", "title": "Renew domain", "content": "By Friday",
            "properties": {"status": "To do", "priority": "High", "due_date": "2025-11-01"}});
        let card = translate(Platform::Notion, Platform::Trello, &page).unwrap();
        let expected = json!({"name": "Renew domain", "desc": "By Friday\n\nStatus: To do",
            "labels": ["Priority: High"], "due": "2025-11-01"});
        assert_eq!(card, expected);
        assert_eq!(translate(Platform::Notion, Platform::Trello, &json!({"name": "x"})), Ok(json!({"name": "x"})));
    }

    #[test]
    fn what_has_no_equivalent_says_so() {
        assert!(translate(Platform::Slack, Platform::Trello, &json!({})).is_err());
        assert!(translate(Platform::Notion, Platform::Trello, &json!({})).unwrap_err().contains("title"));
        assert!(!is_substitutable(Platform::Notion, ActionType::Update, Platform::Trello));
    }
}

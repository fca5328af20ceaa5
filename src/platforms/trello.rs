//! Trello: cards on lists, and comments on cards.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fields::Data;
use super::session::{Ask, Session};
use super::{Call, CallOutcome, Delivery, Lookup, PlatformError, unsupported};
use crate::http::Method;
use crate::secret::Secret;
use crate::wire::{ActionType, ErrorCode, Time};

/// Trello's largest page of cards.
const PAGE: usize = 1000;

/// Pages of cards or comments that a lookup reads.
const LOOKUP_PAGES: usize = 10;

/// How far a lookup reaches back before the intent: Trello's clock is not ours, and markers are exact.
const LOOKUP_SLACK: Duration = Duration::from_secs(600);

/// What is asked of a card.
const CARD_FIELDS: &str = "id,name,desc,url,shortUrl,idList,closed";

/// The fields that an update can write: our name and Trello's.
pub(super) const CHANGES: [(&str, &str); 5] =
    [("name", "name"), ("desc", "desc"), ("due", "due"), ("listId", "idList"), ("closed", "closed")];

pub(super) async fn execute(session: &Session, call: &Call) -> Result<CallOutcome, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match call.action_type {
        ActionType::Create => create(session, call, &data).await,
        ActionType::Update => update(session, &data).await,
        ActionType::Delete => put(session, card(&data), json!({"closed": true})).await,
        ActionType::Query => query(session, &data).await,
        ActionType::Log => comment(session, call, &data).await,
        _ => Err(unsupported(call)),
    }
}

pub(super) fn card<'a>(data: &Data<'a>) -> &'a str {
    data.text("cardId").unwrap_or_default()
}

fn list(session: &Session, data: &Data<'_>) -> Result<String, PlatformError> {
    data.text_or("listId", &session.credentials.defaults.trello_list).map_err(|why| session.invalid(why))
}

/// A card with these fields.
pub(super) async fn card_with(session: &Session, id: &str, fields: &str) -> Result<Value, PlatformError> {
    Ok(session.ask(Ask::get("cards.get", session.at_with(&["cards", id], &[("fields", fields)]))).await?)
}

/// The text with the marker as its last line.
pub(super) fn marked(text: &str, marker: Option<&String>) -> String {
    match marker {
        None => text.to_string(),
        Some(marker) if text.trim().is_empty() => format!("opsctl:{marker}"),
        Some(marker) => format!("{}\n\nopsctl:{marker}", text.trim_end()),
    }
}

fn is_marked(text: &str, marker: &str) -> bool {
    text.trim_end().lines().next_back().and_then(|line| line.trim().strip_prefix("opsctl:")) == Some(marker)
}

async fn create(session: &Session, call: &Call, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let list = list(session, data)?;
    let mut body = json!({"name": data.text("name")});
    let desc = marked(data.text("desc").unwrap_or_default(), call.marker.as_ref());
    if !desc.is_empty() {
        body["desc"] = Value::from(desc);
    }
    if let Some(due) = data.text("due") {
        body["due"] = Value::from(due);
    }
    let labels = data.words("labels");
    if !labels.is_empty() {
        body["idLabels"] = Value::from(label_ids(session, &list, labels).await?);
    }
    let members = data.words("members");
    if !members.is_empty() {
        body["idMembers"] = Value::from(members);
    }
    // Trello documents the list as a parameter of the address; everything else is too long for one.
    let url = session.at_with(&["cards"], &[("idList", &list)]);
    let card = session.ask(Ask::write("cards.create", Method::POST, url, body)).await?;
    Ok(CallOutcome::done(reduced(&card)))
}

async fn update(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let mut body = json!({});
    for (name, theirs) in CHANGES {
        if let Some(value) = data.get(name) {
            body[theirs] = value.clone();
        }
    }
    put(session, card(data), body).await
}

pub(super) async fn put(session: &Session, card: &str, body: Value) -> Result<CallOutcome, PlatformError> {
    let card = session.ask(Ask::write("cards.update", Method::PUT, session.at(&["cards", card]), body)).await?;
    Ok(CallOutcome::done(reduced(&card)))
}

async fn comment(session: &Session, call: &Call, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let id = card(data);
    let text = marked(data.text("text").unwrap_or_default(), call.marker.as_ref());
    let url = session.at(&["cards", id, "actions", "comments"]);
    let action = session.ask(Ask::write("comments.create", Method::POST, url, json!({"text": text}))).await?;
    Ok(CallOutcome::done(json!({"cardId": id, "commentId": action["id"]})))
}

async fn query(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let board =
        data.text_or("boardId", &session.credentials.defaults.trello_board).map_err(|why| session.invalid(why))?;
    let limit = data.count("limit").unwrap_or(100).to_string();
    let url = session.at_with(&["boards", &board, "cards"], &[("fields", CARD_FIELDS), ("limit", &limit)]);
    let cards = session.ask(Ask::get("boards.cards", url)).await?;
    let cards: Vec<Value> = cards.as_array().into_iter().flatten().map(summary).collect();
    Ok(CallOutcome::done(json!({"count": cards.len(), "cards": cards})))
}

/// The board a list is on.
async fn board(session: &Session, list: &str) -> Result<String, PlatformError> {
    if let Some(known) = session.caches().trello_boards.get(list, session.now()) {
        return Ok(known);
    }
    let answer =
        session.ask(Ask::get("lists.get", session.at_with(&["lists", list], &[("fields", "idBoard")]))).await?;
    let Some(board) = answer["idBoard"].as_str() else {
        return Err(session.fail(ErrorCode::UnknownError, format!("Trello does not say which board list {list} is on")));
    };
    session.caches().trello_boards.put(list, session.now(), board.to_string());
    Ok(board.to_string())
}

/// Ids of labels given by name or id; a name the board does not have becomes a label without a colour.
async fn label_ids(session: &Session, list: &str, labels: Vec<String>) -> Result<Vec<String>, PlatformError> {
    let is_id = |label: &String| label.len() == 24 && label.bytes().all(|b| b.is_ascii_hexdigit());
    if labels.iter().all(is_id) {
        return Ok(labels);
    }
    let board = board(session, list).await?;
    let known = known_labels(session, &board).await?;
    let mut ids = Vec::new();
    for label in labels {
        let id = if is_id(&label) { Some(&label) } else { known.get(&label.to_lowercase()) };
        ids.push(match id {
            Some(id) => id.clone(),
            None => new_label(session, &board, &label).await?,
        });
    }
    Ok(ids)
}

async fn new_label(session: &Session, board: &str, name: &str) -> Result<String, PlatformError> {
    let body = json!({"name": name, "color": null, "idBoard": board});
    let made = session.ask(Ask::write("labels.create", Method::POST, session.at(&["labels"]), body)).await;
    // A label too many harms nobody, and the card was not made yet.
    let made = made.map_err(|failed| PlatformError { delivery: Delivery::NotDelivered, ..failed.error })?;
    session.caches().trello_labels.forget(board);
    Ok(made["id"].as_str().unwrap_or_default().to_string())
}

async fn known_labels(session: &Session, board: &str) -> Result<Arc<HashMap<String, String>>, PlatformError> {
    if let Some(known) = session.caches().trello_labels.get(board, session.now()) {
        return Ok(known);
    }
    let url = session.at_with(&["boards", board, "labels"], &[("limit", "1000")]);
    let answer = session.ask(Ask::get("boards.labels", url)).await?;
    let named = |l: &Value| Some((l["name"].as_str()?.to_lowercase(), l["id"].as_str()?.to_string()));
    let labels: HashMap<String, String> = answer.as_array().into_iter().flatten().filter_map(named).collect();
    let labels = Arc::new(labels);
    session.caches().trello_labels.put(board, session.now(), labels.clone());
    Ok(labels)
}

pub(super) async fn find_written(session: &Session, call: &Call, since: Time) -> Result<Lookup, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match (call.action_type, &call.marker) {
        (ActionType::Create, Some(marker)) => find_card(session, &list(session, &data)?, marker, since).await,
        (ActionType::Log, Some(marker)) => find_comment(session, card(&data), marker, since).await,
        (ActionType::Create | ActionType::Log, None) => Ok(Lookup::Unclear("it was sent without a marker".into())),
        _ => Ok(Lookup::Absent),
    }
}

async fn find_card(session: &Session, list: &str, marker: &str, since: Time) -> Result<Lookup, PlatformError> {
    // The whole board, archived cards too: somebody may have moved the card already.
    let board = board(session, list).await?;
    let (since, limit) = (since.minus(LOOKUP_SLACK).to_string(), PAGE.to_string());
    let mut before: Option<String> = None;
    for _ in 0..LOOKUP_PAGES {
        let mut query = vec![("filter", "all"), ("fields", CARD_FIELDS), ("limit", limit.as_str()), ("since", &since)];
        if let Some(before) = &before {
            query.push(("before", before));
        }
        let answer =
            session.ask(Ask::get("boards.cards", session.at_with(&["boards", &board, "cards"], &query))).await?;
        let cards = answer.as_array().cloned().unwrap_or_default();
        if let Some(card) = cards.iter().find(|c| c["desc"].as_str().is_some_and(|d| is_marked(d, marker))) {
            return Ok(Lookup::Found(CallOutcome::found(reduced(card))));
        }
        if cards.len() < PAGE {
            return Ok(Lookup::Absent);
        }
        before = cards.iter().filter_map(|c| c["id"].as_str()).min().map(str::to_string);
    }
    Ok(Lookup::Unclear(format!("more than {} cards were made since then", LOOKUP_PAGES * PAGE)))
}

async fn find_comment(session: &Session, card: &str, marker: &str, since: Time) -> Result<Lookup, PlatformError> {
    let there = comments(session, card, since).await?;
    let found = there.iter().find(|c| c["data"]["text"].as_str().is_some_and(|t| is_marked(t, marker)));
    Ok(found
        .map_or(Lookup::Absent, |c| Lookup::Found(CallOutcome::found(json!({"cardId": card, "commentId": c["id"]})))))
}

/// The newest comments on a card, made since then as far as two clocks agree.
pub(super) async fn comments(session: &Session, card: &str, since: Time) -> Result<Vec<Value>, PlatformError> {
    let since = since.minus(LOOKUP_SLACK).to_string();
    let query = [("filter", "commentCard"), ("limit", "1000"), ("since", since.as_str())];
    let answer = session.ask(Ask::get("cards.actions", session.at_with(&["cards", card, "actions"], &query))).await?;
    Ok(answer.as_array().cloned().unwrap_or_default())
}

/// What Trello says about the token in use: whose, until when, for what.
pub(super) async fn token(session: &Session) -> Result<Value, PlatformError> {
    let keys = session.credentials.active().trello.as_ref();
    let token = keys.map(|k| k.token.clone()).unwrap_or_else(|| Secret::new("none"));
    let fields = [("fields", "identifier,idMember,dateExpires,permissions")];
    let ask = Ask::get("tokens.get", session.at_with(&["tokens", token.expose()], &fields));
    session.ask(ask).await.map_err(|failed| {
        let mut error = failed.error;
        // A token that Trello does not find is a wrong token.
        if error.code == ErrorCode::NotFound {
            error.code = ErrorCode::AuthError;
            error.message = "Authentication failed: invalid token".into();
        }
        error
    })
}

pub(super) async fn who_am_i(session: &Session) -> Result<String, PlatformError> {
    let answer = token(session).await?;
    let name = answer["identifier"].as_str().filter(|n| !n.is_empty()).unwrap_or("token");
    let member = answer["idMember"].as_str().unwrap_or("unknown");
    let expires = answer["dateExpires"].as_str().map_or("never expires".to_string(), |at| format!("expires {at}"));
    Ok(format!("{name} for member {member}, {expires}"))
}

fn reduced(card: &Value) -> Value {
    let url = if card["url"].is_string() { &card["url"] } else { &card["shortUrl"] };
    json!({"cardId": card["id"], "url": url})
}

fn summary(card: &Value) -> Value {
    let mut short = reduced(card);
    short["name"] = card["name"].clone();
    short["listId"] = card["idList"].clone();
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_is_the_last_line() {
        let marker = "k1".to_string();
        assert_eq!(marked("text\n", Some(&marker)), "text\n\nopsctl:k1");
        assert_eq!(marked("", Some(&marker)), "opsctl:k1");
        assert_eq!(marked("text", None), "text");
        assert!(is_marked("text\n\nopsctl:k1\n", "k1"));
        assert!(!is_marked("opsctl:k1\ntext", "k1"));
        assert!(!is_marked("text\nopsctl:k10", "k1"));
    }
}

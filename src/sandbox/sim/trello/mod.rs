//! Trello: one board with lists, labels, members and cards. Errors are plain text.

mod cards;
mod comments;
mod seed;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::api::{Call, Operation, Reply};
use super::hub::Refusal;
use super::ids::Ids;
use super::keys::{Caller, Keys, find};
use super::limits::{Charge, LimitSettings};
use crate::wire::Time;

/// The boards.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Trello {
    pub(super) ids: Ids,
    /// When the token was granted.
    granted: Time,
    token_id: String,
    me: String,
    organization: String,
    boards: BTreeMap<String, Board>,
    lists: BTreeMap<String, List>,
    labels: BTreeMap<String, Label>,
    members: BTreeMap<String, Member>,
    /// Ids sort by creation.
    cards: BTreeMap<String, Card>,
    comments: BTreeMap<String, Comment>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Board {
    name: String,
    short: String,
    last_card: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct List {
    board: String,
    name: String,
    pos: f64,
    closed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Label {
    board: String,
    name: String,
    color: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Member {
    username: String,
    full_name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Card {
    board: String,
    list: String,
    name: String,
    desc: String,
    closed: bool,
    pos: f64,
    due: Option<Time>,
    start: Option<Time>,
    due_complete: bool,
    labels: Vec<String>,
    members: Vec<String>,
    short_id: u64,
    short_link: String,
    last_activity: Time,
}

#[derive(Debug, Serialize, Deserialize)]
struct Comment {
    card: String,
    text: String,
    date: Time,
}

pub(super) fn operation(call: &Call) -> Operation {
    match (call.method.as_str(), call.segments().as_slice()) {
        ("GET", ["1", "members", ..]) => Operation::read("members.get"),
        ("GET", ["1", "tokens", _]) => Operation::read("tokens.get"),
        ("DELETE", ["1", "tokens", _]) => Operation::delete("tokens.delete"),
        ("GET", ["1", "boards", _]) => Operation::read("boards.get"),
        ("GET", ["1", "boards", _, "lists"]) => Operation::read("boards.lists"),
        ("GET", ["1", "boards", _, "cards", ..]) => Operation::read("boards.cards"),
        ("GET", ["1", "boards", _, "labels"]) => Operation::read("boards.labels"),
        ("GET", ["1", "boards", _, "members"]) => Operation::read("boards.members"),
        ("GET", ["1", "lists", ..]) => Operation::read("lists.get"),
        ("POST", ["1", "cards"]) => Operation::create("cards.create"),
        ("GET", ["1", "cards", _]) => Operation::read("cards.get"),
        ("GET", ["1", "cards", _, "actions"]) => Operation::read("cards.actions"),
        ("POST", ["1", "cards", _, "actions", "comments"]) => Operation::create("comments.create"),
        ("POST", ["1", "labels"]) => Operation::create("labels.create"),
        ("PUT", ["1", "cards", _]) => match params(call).iter().rev().find(|(k, _)| k == "closed") {
            Some((_, v)) if v == "true" => Operation::delete("cards.archive"),
            Some(_) => Operation::update("cards.restore"),
            None => Operation::update("cards.update"),
        },
        ("DELETE", ["1", "cards", _]) => Operation::delete("cards.delete"),
        _ => Operation::UNKNOWN,
    }
}

/// Key and token: from the query, or from `Authorization: OAuth oauth_consumer_key="..", oauth_token=".."`.
fn credentials(call: &Call) -> (Option<String>, Option<String>) {
    let header = call.header("authorization").and_then(|h| h.strip_prefix("OAuth "));
    let from_header = |name: &str| {
        header?.split(',').find_map(|part| {
            let (key, value) = part.trim().split_once('=')?;
            (key == name).then(|| value.trim_matches('"').to_owned())
        })
    };
    let from_query = |name: &str| call.arg(name).map(str::to_owned);
    (
        from_header("oauth_consumer_key").or_else(|| from_query("key")),
        from_header("oauth_token").or_else(|| from_query("token")),
    )
}

pub(super) fn authorize(call: &Call, keys: &Keys) -> Result<Caller, Reply> {
    match credentials(call) {
        (None, None) => {
            let what = if call.path.get(1).is_some_and(|s| s == "cards") { "card " } else { "" };
            Err(Reply::text(401, format!("unauthorized {what}permission requested")))
        }
        (key, _) if key.as_deref() != Some(&keys.trello_key) => Err(Reply::text(401, "invalid key")),
        (_, token) => match find(&keys.trello, token.as_deref().unwrap_or_default()) {
            Some(token) if !token.revoked => Ok(Caller { subject: token.value.clone(), scopes: Vec::new() }),
            _ => Err(Reply::text(401, "invalid token")),
        },
    }
}

pub(super) fn charges(limits: &LimitSettings, call: &Call, caller: &Caller) -> Vec<Charge> {
    let ten = Duration::from_secs(10);
    let mut charges = vec![
        Charge::new("API_KEY_LIMIT_EXCEEDED", "", limits.trello_key_per_10s, ten),
        Charge::new("API_TOKEN_LIMIT_EXCEEDED", &caller.subject, limits.trello_token_per_10s, ten),
    ];
    if call.path.get(1).is_some_and(|s| s == "members") && call.path.len() == 3 {
        let window = Duration::from_secs(900);
        charges.push(Charge::new("RATE_LIMIT_EXCEEDED", &caller.subject, limits.trello_members_per_900s, window));
    }
    charges
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Unauthorized => Reply::text(401, "invalid token"),
        Refusal::Forbidden => Reply::text(401, "unauthorized permission requested"),
        // No Retry-After: Trello sends none.
        Refusal::Limited(over) => {
            let (error, message) = match over.limit_name {
                "RATE_LIMIT_EXCEEDED" => ("RATE_LIMIT_EXCEEDED", "Exceeded rate limit to /1/member"),
                "API_KEY_LIMIT_EXCEEDED" => ("API_KEY_LIMIT_EXCEEDED", "Rate limit exceeded"),
                _ => ("API_TOKEN_LIMIT_EXCEEDED", "Rate limit exceeded"),
            };
            Reply::json(429, &json!({"error": error, "message": message}))
        }
        Refusal::Server(status) => Reply::text(
            *status,
            match status {
                503 => "Service Unavailable",
                504 => "Gateway Timeout",
                _ => "Internal Server Error",
            },
        ),
    }
}

/// Parameters of a change: query, form and JSON members alike; the later win.
fn params(call: &Call) -> Vec<(String, String)> {
    let mut params = call.query.clone();
    if call.is_form() {
        params.extend(call.form());
    } else if let Some(Value::Object(body)) = call.json() {
        let as_text = |value: Value| match value {
            Value::String(s) => s,
            Value::Array(list) => {
                let texts: Vec<String> = list.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect();
                texts.join(",")
            }
            other => other.to_string(),
        };
        params.extend(body.into_iter().map(|(k, v)| (k, as_text(v))));
    }
    params
}

fn not_found() -> Reply {
    Reply::text(404, "The requested resource was not found.")
}

fn bad(what: &str) -> Reply {
    Reply::text(400, format!("invalid value for {what}"))
}

/// Only the members that `fields` asks for; the id is always there.
fn pick(mut object: Value, fields: Option<&str>) -> Value {
    if let (Some(fields), Value::Object(map)) = (fields.filter(|f| *f != "all"), &mut object) {
        let wanted: Vec<&str> = fields.split(',').map(str::trim).collect();
        let kept: Map<String, Value> = std::mem::take(map)
            .into_iter()
            .filter(|(name, _)| name == "id" || wanted.contains(&name.as_str()))
            .collect();
        *map = kept;
    }
    object
}

/// Answers one request. `DELETE tokens/{token}` reaches into the credentials.
pub(super) fn handle(trello: &mut Trello, keys: &mut Keys, call: &Call, now: Time) -> Reply {
    trello.route(keys, call, now).unwrap_or_else(|refused| refused)
}

impl Trello {
    pub(super) fn new(seed: u64, now: Time) -> Self {
        let mut ids = Ids::new(seed, "trello");
        let (token_id, me, organization) = (ids.trello(now), ids.trello(now), ids.trello(now));
        let member = Member { username: "opsbot".into(), full_name: "Ops Bot".into() };
        Trello {
            ids,
            granted: now,
            token_id,
            members: BTreeMap::from([(me.clone(), member)]),
            me,
            organization,
            boards: BTreeMap::new(),
            lists: BTreeMap::new(),
            labels: BTreeMap::new(),
            cards: BTreeMap::new(),
            comments: BTreeMap::new(),
        }
    }

    fn route(&mut self, keys: &mut Keys, call: &Call, now: Time) -> Result<Reply, Reply> {
        let fields = call.arg("fields");
        Ok(match (call.method.as_str(), call.segments().as_slice()) {
            ("GET", ["1", "members", "me", "boards"]) => {
                let boards: Vec<Value> = self.boards.keys().map(|id| pick(self.board(id), fields)).collect();
                Reply::ok(&json!(boards))
            }
            ("GET", ["1", "members", id]) => {
                let id = if *id == "me" { self.me.clone() } else { (*id).to_owned() };
                let member = self.members.get(&id).ok_or_else(not_found)?;
                Reply::ok(&pick(self.member(&id, member), fields))
            }
            ("GET", ["1", "tokens", token]) => {
                find(&keys.trello, token).filter(|k| !k.revoked).ok_or_else(|| Reply::text(401, "invalid token"))?;
                Reply::ok(&pick(self.token(), fields))
            }
            ("DELETE", ["1", "tokens", token]) => match keys.revoke(super::api::Api::Trello, Some(token)) {
                0 => return Err(not_found()),
                _ => Reply::ok(&json!({"_value": null})),
            },
            ("GET", ["1", "boards", id]) => {
                let id = self.known_board(id)?;
                Reply::ok(&pick(self.board(&id), fields))
            }
            ("GET", ["1", "boards", id, "lists"]) => {
                let id = self.known_board(id)?;
                let filter = call.arg("filter").unwrap_or("open");
                let shown = |list: &List| match filter {
                    "all" => true,
                    "closed" => list.closed,
                    _ => !list.closed,
                };
                let mut lists: Vec<_> = self.lists.iter().filter(|(_, l)| l.board == id && shown(l)).collect();
                lists.sort_by(|a, b| a.1.pos.total_cmp(&b.1.pos));
                let lists: Vec<Value> = lists.iter().map(|(id, l)| pick(list_json(id, l), fields)).collect();
                Reply::ok(&json!(lists))
            }
            ("GET", ["1", "boards", id, "labels"]) => {
                let id = self.known_board(id)?;
                let labels = self.labels.iter().filter(|(_, l)| l.board == id);
                Reply::ok(&json!(labels.map(|(id, l)| label_json(id, l)).collect::<Vec<_>>()))
            }
            ("GET", ["1", "boards", id, "members"]) => {
                self.known_board(id)?;
                let members: Vec<Value> = self.members.iter().map(|(id, m)| pick(self.member(id, m), fields)).collect();
                Reply::ok(&json!(members))
            }
            ("GET", ["1", "boards", id, "cards", rest @ ..]) => {
                let id = self.known_board(id)?;
                let filter = rest.first().copied().or_else(|| call.arg("filter")).unwrap_or("open");
                self.list_cards(call, filter, |card| card.board == id)?
            }
            ("GET", ["1", "lists", id]) => {
                let list = self.lists.get(checked(id)?).ok_or_else(not_found)?;
                Reply::ok(&pick(list_json(id, list), fields))
            }
            ("GET", ["1", "lists", id, "cards"]) => {
                self.lists.get(checked(id)?).ok_or_else(not_found)?;
                self.list_cards(call, call.arg("filter").unwrap_or("open"), |card| card.list == *id)?
            }
            ("POST", ["1", "cards"]) => self.create_card(&params(call), now)?,
            ("GET", ["1", "cards", id]) => {
                let id = self.known_card(id)?;
                Reply::ok(&pick(self.card(&id), fields))
            }
            ("GET", ["1", "cards", id, "actions"]) => {
                let id = self.known_card(id)?;
                self.actions(call, &id)?
            }
            ("POST", ["1", "cards", id, "actions", "comments"]) => {
                let id = self.known_card(id)?;
                self.comment(&id, &params(call), now)?
            }
            ("POST", ["1", "labels"]) => self.create_label(&params(call), now)?,
            ("PUT", ["1", "cards", id]) => {
                let id = self.known_card(id)?;
                self.update_card(&id, &params(call), now)?
            }
            ("DELETE", ["1", "cards", id]) => {
                let id = self.known_card(id)?;
                self.cards.remove(&id);
                self.comments.retain(|_, comment| comment.card != id);
                Reply::ok(&json!({"limits": {}}))
            }
            (method, _) => return Err(Reply::text(404, format!("Cannot {method} /{}", call.path.join("/")))),
        })
    }

    /// A board's id, given that or the short link.
    fn known_board(&self, id: &str) -> Result<String, Reply> {
        let by_link = self.boards.iter().find(|(_, b)| b.short == id).map(|(id, _)| id.clone());
        match by_link {
            Some(id) => Ok(id),
            None => self.boards.contains_key(checked(id)?).then(|| id.to_owned()).ok_or_else(not_found),
        }
    }

    fn board(&self, id: &str) -> Value {
        let board = &self.boards[id];
        let slug = board.name.to_lowercase().replace(' ', "-");
        json!({
            "id": id,
            "name": board.name,
            "desc": "",
            "closed": false,
            "idOrganization": self.organization,
            "pinned": false,
            "url": format!("https://trello.com/b/{}/{slug}", board.short),
            "shortUrl": format!("https://trello.com/b/{}", board.short),
        })
    }

    fn member(&self, id: &str, member: &Member) -> Value {
        let initials: String = member.full_name.split(' ').filter_map(|w| w.chars().next()).collect();
        json!({
            "id": id,
            "username": member.username,
            "fullName": member.full_name,
            "initials": initials,
            "confirmed": true,
            "memberType": "normal",
            "url": format!("https://trello.com/{}", member.username),
            "idBoards": self.boards.keys().collect::<Vec<_>>(),
            "idOrganizations": [self.organization],
        })
    }

    fn token(&self) -> Value {
        let may = |kind: &str, model: &str, write: bool| json!({"idModel": model, "modelType": kind, "read": true, "write": write});
        json!({
            "id": self.token_id,
            "identifier": "orchestrator",
            "idMember": self.me,
            "dateCreated": self.granted,
            "dateExpires": null,
            "permissions": [may("Board", "*", true), may("Organization", "*", true), may("Member", &self.me, false)],
        })
    }
}

/// An id in the right shape.
fn checked(id: &str) -> Result<&str, Reply> {
    let fits = id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit());
    if fits { Ok(id) } else { Err(Reply::text(400, "invalid id")) }
}

fn list_json(id: &str, list: &List) -> Value {
    json!({
        "id": id, "name": list.name, "closed": list.closed, "pos": list.pos, "idBoard": list.board,
        "subscribed": false,
    })
}

fn label_json(id: &str, label: &Label) -> Value {
    json!({"id": id, "idBoard": label.board, "name": label.name, "color": label.color})
}

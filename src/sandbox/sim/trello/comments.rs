//! Comments on cards, and labels.

use serde_json::{Value, json};

use super::cards::{Params, date, markers, param};
use super::{Comment, Label, Trello, bad, checked, label_json};
use crate::sandbox::sim::api::{Call, Created, Reply};
use crate::wire::Time;

/// Most actions in one answer.
const LIMIT: usize = 1000;

/// Colours a label can have.
const COLORS: [&str; 10] = ["green", "yellow", "orange", "red", "purple", "blue", "sky", "lime", "pink", "black"];

impl Trello {
    pub(super) fn comment(&mut self, card: &str, params: &Params, now: Time) -> Result<Reply, Reply> {
        let text = param(params, "text").filter(|t| !t.is_empty()).ok_or_else(|| bad("text"))?.to_owned();
        let id = self.ids.trello(now);
        let created = Created { name: text.clone(), markers: markers(&text) };
        self.comments.insert(id.clone(), Comment { card: card.to_owned(), text, date: now });
        if let Some(card) = self.cards.get_mut(card) {
            card.last_activity = now;
        }
        Ok(Reply::ok(&self.action(&id)).created(created))
    }

    /// Comments are the only actions that are kept. Newest first.
    pub(super) fn actions(&self, call: &Call, card: &str) -> Result<Reply, Reply> {
        let limit = match call.arg("limit") {
            None => 50,
            Some(text) => text.parse().ok().filter(|n| *n <= LIMIT).ok_or_else(|| bad("limit"))?,
        };
        let since = match call.arg("since") {
            None | Some("") => None,
            Some(text) => Some(date(text).ok_or_else(|| bad("since"))?),
        };
        let wanted = call.arg("filter").is_none_or(|f| f == "all" || f.split(',').any(|kind| kind == "commentCard"));
        let found = self
            .comments
            .iter()
            .rev()
            .filter(|(_, c)| wanted && c.card == card && since.is_none_or(|since| c.date > since));
        let actions: Vec<Value> = found.take(limit).map(|(id, _)| self.action(id)).collect();
        Ok(Reply::ok(&Value::Array(actions)))
    }

    fn action(&self, id: &str) -> Value {
        let comment = &self.comments[id];
        let card = &self.cards[&comment.card];
        let me = &self.members[&self.me];
        json!({
            "id": id,
            "idMemberCreator": self.me,
            "type": "commentCard",
            "date": comment.date,
            "data": {
                "text": comment.text,
                "card": {"id": comment.card, "name": card.name, "idShort": card.short_id, "shortLink": card.short_link},
                "board": {"id": card.board, "name": self.boards[&card.board].name},
                "list": {"id": card.list, "name": self.lists[&card.list].name},
            },
            "memberCreator": {"id": self.me, "username": me.username, "fullName": me.full_name},
        })
    }

    pub(super) fn create_label(&mut self, params: &Params, now: Time) -> Result<Reply, Reply> {
        let board = param(params, "idBoard").filter(|id| checked(id).is_ok()).ok_or_else(|| bad("idBoard"))?;
        if !self.boards.contains_key(board) {
            return Err(bad("idBoard"));
        }
        let name = param(params, "name").ok_or_else(|| bad("name"))?;
        let color = match param(params, "color") {
            None | Some("" | "null") => None,
            Some(color) if COLORS.contains(&color) => Some(color.to_owned()),
            Some(_) => return Err(bad("color")),
        };
        let label = Label { board: board.to_owned(), name: name.to_owned(), color };
        let id = self.ids.trello(now);
        let reply = Reply::ok(&label_json(&id, &label));
        self.labels.insert(id, label);
        Ok(reply)
    }
}

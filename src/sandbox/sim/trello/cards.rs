//! Cards: made, changed, listed page by page.

use std::ops::Bound;

use serde_json::{Value, json};

use super::{Card, Trello, bad, checked, label_json, not_found, pick};
use crate::sandbox::sim::api::{Call, Created, Reply};
use crate::wire::Time;

/// Most cards in one answer.
const LIMIT: usize = 1000;

/// Longest name and description, in characters.
const TEXT: usize = 16_384;

/// Distance between neighbours in a list.
pub(super) const GAP: f64 = 16_384.0;

pub(super) type Params = [(String, String)];

pub(super) fn param<'a>(params: &'a Params, name: &str) -> Option<&'a str> {
    params.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
}

impl Trello {
    pub(super) fn known_card(&self, id: &str) -> Result<String, Reply> {
        if id.len() == 8 {
            let by_link = self.cards.iter().find(|(_, card)| card.short_link == id);
            return by_link.map(|(id, _)| id.clone()).ok_or_else(not_found);
        }
        self.cards.contains_key(checked(id)?).then(|| id.to_owned()).ok_or_else(not_found)
    }

    pub(super) fn create_card(&mut self, params: &Params, now: Time) -> Result<Reply, Reply> {
        let list = param(params, "idList").filter(|id| checked(id).is_ok()).ok_or_else(|| bad("idList"))?;
        let board =
            self.lists.get(list).ok_or_else(|| Reply::text(404, "could not find the list that the card belongs to"))?;
        let board = board.board.clone();
        let id = self.ids.trello(now);
        let short_link = self.ids.alnum(8);
        let Some(entry) = self.boards.get_mut(&board) else { return Err(not_found()) };
        let short_id = entry.last_card + 1;
        let mut card = Card { pos: self.bottom(list), short_link, ..Card::new(&board, list, "", short_id, now) };
        self.apply(&mut card, params)?;
        if let Some(board) = self.boards.get_mut(&card.board) {
            board.last_card = short_id;
        }
        let created = Created { name: card.name.clone(), markers: markers(&card.desc) };
        self.cards.insert(id.clone(), card);
        Ok(Reply::ok(&self.card(&id)).created(created))
    }

    pub(super) fn update_card(&mut self, id: &str, params: &Params, now: Time) -> Result<Reply, Reply> {
        let mut card = self.cards[id].clone();
        if let Some(list) = param(params, "idList") {
            let target = self.lists.get(checked(list).map_err(|_| bad("idList"))?).ok_or_else(|| bad("idList"))?;
            if target.board != card.board && param(params, "idBoard") != Some(target.board.as_str()) {
                return Err(bad("idList"));
            }
            card.board.clone_from(&target.board);
            if card.list != list {
                card.pos = self.bottom(list);
            }
            list.clone_into(&mut card.list);
        }
        match param(params, "closed") {
            Some("true") => card.closed = true,
            Some("false") => card.closed = false,
            Some(_) => return Err(bad("closed")),
            None => {}
        }
        self.apply(&mut card, params)?;
        card.last_activity = now;
        self.cards.insert(id.to_owned(), card);
        Ok(Reply::ok(&self.card(id)))
    }

    /// Fields that creating and changing have in common.
    fn apply(&self, card: &mut Card, params: &Params) -> Result<(), Reply> {
        for (name, field) in [("name", &mut card.name), ("desc", &mut card.desc)] {
            if let Some(value) = param(params, name) {
                if value.chars().count() > TEXT {
                    return Err(bad(name));
                }
                value.clone_into(field);
            }
        }
        for (name, field) in [("due", &mut card.due), ("start", &mut card.start)] {
            match param(params, name) {
                Some("" | "null") => *field = None,
                Some(value) => *field = Some(date(value).ok_or_else(|| bad(name))?),
                None => {}
            }
        }
        if let Some(value) = param(params, "dueComplete") {
            card.due_complete = value == "true";
        }
        if let Some(ids) = param(params, "idLabels") {
            card.labels = split(ids);
            if card.labels.iter().any(|id| !self.labels.contains_key(id)) {
                return Err(bad("idLabels"));
            }
        }
        if let Some(ids) = param(params, "idMembers") {
            card.members = split(ids);
            if card.members.iter().any(|id| !self.members.contains_key(id)) {
                return Err(bad("idMembers"));
            }
        }
        match param(params, "pos") {
            Some("top") => {
                let of_list = self.cards.values().filter(|c| c.list == card.list);
                card.pos = of_list.map(|c| c.pos).fold(GAP * 2.0, f64::min) / 2.0;
            }
            Some("bottom") => card.pos = self.bottom(&card.list),
            Some(value) => card.pos = value.parse().ok().filter(|p| *p > 0.0).ok_or_else(|| bad("pos"))?,
            None => {}
        }
        Ok(())
    }

    fn bottom(&self, list: &str) -> f64 {
        // The newest card is nearly always the lowest; looking at every card would make each creation slower.
        self.cards.values().rev().find(|c| c.list == list).map_or(GAP, |c| c.pos + GAP)
    }

    /// Newest first; `before` and `since` take an id or a date.
    pub(super) fn list_cards(
        &self,
        call: &Call,
        filter: &str,
        belongs: impl Fn(&Card) -> bool,
    ) -> Result<Reply, Reply> {
        let limit = match call.arg("limit") {
            None => LIMIT,
            Some(text) => text.parse().ok().filter(|n| *n <= LIMIT).ok_or_else(|| bad("limit"))?,
        };
        let shown = |card: &Card| match filter {
            "all" => true,
            "closed" => card.closed,
            "none" => false,
            _ => !card.closed,
        };
        let bound = |name: &str| match call.arg(name) {
            None | Some("") => Ok(None),
            Some(text) if checked(text).is_ok() => Ok(Some(text.to_owned())),
            Some(text) => {
                let seconds = u32::try_from(date(text).ok_or_else(|| bad(name))?.0 / 1000).unwrap_or_default();
                Ok(Some(format!("{seconds:08x}0000000000000000")))
            }
        };
        let start = bound("since")?.map_or(Bound::Unbounded, Bound::Excluded);
        // A range that ends before it starts holds nothing; asked for as it is, it would panic.
        let end = match (bound("before")?, &start) {
            (Some(before), Bound::Excluded(since)) if before <= *since => return Ok(Reply::ok(&json!([]))),
            (before, _) => before.map_or(Bound::Unbounded, Bound::Excluded),
        };
        let cards: Vec<Value> = self
            .cards
            .range((start, end))
            .rev()
            .filter(|(_, card)| belongs(card) && shown(card))
            .take(limit)
            .map(|(id, _)| pick(self.card(id), call.arg("fields")))
            .collect();
        Ok(Reply::ok(&Value::Array(cards)))
    }

    pub(super) fn card(&self, id: &str) -> Value {
        let card = &self.cards[id];
        let labels: Vec<Value> =
            card.labels.iter().filter_map(|id| Some(label_json(id, self.labels.get(id)?))).collect();
        let slug: String =
            card.name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        json!({
            "id": id,
            "name": card.name,
            "desc": card.desc,
            "closed": card.closed,
            "dueComplete": card.due_complete,
            "due": card.due,
            "start": card.start,
            "dateLastActivity": card.last_activity,
            "idBoard": card.board,
            "idList": card.list,
            "idLabels": card.labels,
            "idMembers": card.members,
            "idChecklists": [],
            "idShort": card.short_id,
            "labels": labels,
            "pos": card.pos,
            "shortLink": card.short_link,
            "shortUrl": format!("https://trello.com/c/{}", card.short_link),
            "url": format!("https://trello.com/c/{}/{}-{slug}", card.short_link, card.short_id),
            "subscribed": false,
        })
    }
}

fn split(ids: &str) -> Vec<String> {
    ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect()
}

pub(super) fn date(text: &str) -> Option<Time> {
    text.parse().ok().or_else(|| format!("{text}T00:00:00Z").parse().ok())
}

/// Values of lines such as `opsctl:wf-42` and `opsctl-key: wf-42`.
pub(super) fn markers(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().split_once(':'))
        .filter(|(name, _)| *name == "opsctl" || (name.ends_with("key") && !name.contains(' ')))
        .map(|(_, value)| value.trim().to_owned())
        .filter(|value| !value.is_empty())
        .collect()
}

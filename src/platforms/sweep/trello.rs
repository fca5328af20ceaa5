//! Every open card of a Trello board.

use std::collections::HashMap;

use serde_json::Value;

use super::super::session::Ask;
use super::super::{Clients, Platform, PlatformError};
use crate::wire::{ErrorCode, Time};

/// Trello's largest page of cards.
const PAGE: usize = 1000;

/// A board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Names of its lists by their ids, archived ones too.
    pub lists: HashMap<String, String>,
}

/// When a card was made: its id starts with that.
pub fn made(id: &str) -> Time {
    let seconds = id.get(..8).and_then(|hex| i64::from_str_radix(hex, 16).ok()).unwrap_or_default();
    Time(seconds.saturating_mul(1000))
}

impl Clients {
    /// A board by its id or short link.
    pub async fn trello_board(&self, id: &str) -> Result<Board, PlatformError> {
        let board = self
            .patiently(Platform::Trello, async |session| {
                session.ask(Ask::get("boards.get", session.at_with(&["boards", id], &[("fields", "id,name")]))).await
            })
            .await?;
        let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_string();
        let lists = self
            .patiently(Platform::Trello, async |session| {
                let query = [("fields", "id,name"), ("filter", "all")];
                session.ask(Ask::get("boards.lists", session.at_with(&["boards", id, "lists"], &query))).await
            })
            .await?;
        let lists = lists.as_array().into_iter().flatten().map(|list| (text(list, "id"), text(list, "name"))).collect();
        Ok(Board { id: text(&board, "id"), name: text(&board, "name"), lists })
    }

    /// Hands every open card of a board to `each`, newest first, with these fields.
    pub async fn trello_cards(
        &self,
        board: &str,
        fields: &str,
        mut each: impl FnMut(&Value),
    ) -> Result<(), PlatformError> {
        let (mut before, mut page) = (None::<String>, PAGE);
        loop {
            let answer = self
                .patiently(Platform::Trello, async |session| {
                    let limit = page.to_string();
                    let mut query = vec![("filter", "open"), ("fields", fields), ("limit", &limit)];
                    query.extend(before.as_deref().map(|id| ("before", id)));
                    session.ask(Ask::get("boards.cards", session.at_with(&["boards", board, "cards"], &query))).await
                })
                .await;
            let answer = match answer {
                // Too much for one answer: ask for less.
                Err(error) if error.code == ErrorCode::QuotaExceeded && page > 10 => {
                    page /= 2;
                    continue;
                }
                answer => answer?,
            };
            let cards = answer.as_array().map_or(&[][..], Vec::as_slice);
            cards.iter().for_each(&mut each);
            if cards.len() < page {
                return Ok(());
            }
            // Newest first by creation, and ids sort by creation.
            before = cards.iter().filter_map(|card| card["id"].as_str()).min().map(str::to_string);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_when_the_card_was_made() {
        assert_eq!(made("5f0000000000000000000001").to_string(), "2020-07-04T04:05:20.000Z");
        assert_eq!(made("x"), Time(0));
    }
}

//! What is on the board at first.

use std::time::Duration;

use serde_json::{Value, json};

use super::cards::GAP;
use super::{Board, Card, Label, List, Member, Trello};
use crate::sandbox::sim::bulk::Bulk;
use crate::wire::Time;

const LISTS: [(&str, &str); 4] = [
    ("Backlog", "TRELLO_BACKLOG_LIST"),
    ("To do", "TRELLO_TODO_LIST"),
    ("In progress", "TRELLO_IN_PROGRESS_LIST"),
    ("Done", "TRELLO_DONE_LIST"),
];

/// Names of the cards; the last three repeat earlier ones.
const CARDS: [&str; 24] = [
    "Login button does nothing on iPad",
    "Export ends with a blank page",
    "Add dark mode to the dashboard",
    "Search finds nothing after 10 pm",
    "Crash when the list is empty",
    "Upgrade the HTTP library",
    "Write the onboarding guide",
    "Slow start on old phones",
    "Broken link in the footer",
    "Password reset mail arrives twice",
    "Show time zones in the calendar",
    "Retry failed webhooks",
    "Wrong currency in the invoice",
    "Remove the old settings page",
    "Check accessibility of forms",
    "Unread count is off by one",
    "Nightly job overlaps the backup",
    "Prepare release 4.2",
    "Add a status page",
    "Measure time to first byte",
    "Clean up feature flags",
    "Crash when the list is empty",
    "crash when the list is empty",
    "Broken link in the footer",
];

impl Card {
    /// A card nobody changed since it was made, `number` of its board.
    pub(super) fn new(board: &str, list: &str, name: &str, number: u64, made: Time) -> Self {
        Card {
            board: board.to_owned(),
            list: list.to_owned(),
            name: name.to_owned(),
            desc: String::new(),
            closed: false,
            pos: GAP * number as f64,
            due: None,
            start: None,
            due_complete: false,
            labels: Vec::new(),
            members: Vec::new(),
            short_id: number,
            short_link: String::new(),
            last_activity: made,
        }
    }
}

impl Trello {
    /// Fills empty boards.
    pub(crate) fn furnish(&mut self, now: Time) {
        let day = Duration::from_secs(24 * 3600);
        let start = now.minus(day * 300);
        let board = self.ids.trello(start);
        let short = self.ids.alnum(8);
        self.boards.insert(board.clone(), Board { name: "Operations".into(), short, last_card: 0 });
        for (n, (name, _)) in (1_u8..).zip(LISTS) {
            let list = List { board: board.clone(), name: name.into(), pos: GAP * f64::from(n), closed: false };
            let id = self.ids.trello(start);
            self.lists.insert(id, list);
        }
        for (name, color) in [("bug", "red"), ("urgent", "orange"), ("chore", "blue")] {
            let id = self.ids.trello(start);
            self.labels.insert(id, Label { board: board.clone(), name: name.into(), color: Some(color.into()) });
        }
        for (username, full_name) in [("anapetrova", "Ana Petrova"), ("benokafor", "Ben Okafor")] {
            let id = self.ids.trello(start);
            self.members.insert(id, Member { username: username.into(), full_name: full_name.into() });
        }
        let lists: Vec<String> = self.lists.keys().cloned().collect();
        let labels: Vec<String> = self.labels.keys().cloned().collect();
        for (n, name) in CARDS.iter().enumerate() {
            let made = now.minus(day * u32::try_from(CARDS.len() - n).unwrap_or(1));
            let short_id = n as u64 + 1;
            let card = Card {
                closed: n == 13,
                labels: labels.get(n % 4).cloned().into_iter().collect(),
                short_link: self.ids.alnum(8),
                ..Card::new(&board, &lists[n % lists.len()], name, short_id, made)
            };
            let id = self.ids.trello(made);
            self.cards.insert(id, card);
            if let Some(board) = self.boards.get_mut(&board) {
                board.last_card = short_id;
            }
        }
    }

    /// A board with one list of `count` cards, made `apart` one after the other up to `now`. The last `duplicates` cards
    /// repeat the names of the first, in another case and spacing.
    pub(crate) fn fill(&mut self, bulk: &Bulk, now: Time) -> Value {
        let created = now.minus(bulk.age());
        let (board, list, short) = (self.ids.trello(created), self.ids.trello(created), self.ids.alnum(8));
        self.boards.insert(board.clone(), Board { name: bulk.title.clone(), short, last_card: bulk.count as u64 });
        let first = List { board: board.clone(), name: "All".into(), pos: GAP, closed: false };
        self.lists.insert(list.clone(), first);
        for n in 0..bulk.count {
            let made = bulk.made(n, now);
            let card =
                Card { short_link: self.ids.alnum(8), ..Card::new(&board, &list, &bulk.name(n), n as u64 + 1, made) };
            self.cards.insert(self.ids.trello(made), card);
        }
        json!({"board": board, "lists": [list]})
    }

    /// Where the orchestrator puts things.
    pub(crate) fn defaults(&self) -> Vec<(&'static str, String)> {
        let mut defaults: Vec<(&'static str, String)> = Vec::new();
        if let Some(board) = self.boards.keys().next() {
            defaults.push(("TRELLO_BOARD_ID", board.clone()));
        }
        for (name, variable) in LISTS {
            if let Some((id, _)) = self.lists.iter().find(|(_, list)| list.name == name) {
                defaults.push((variable, id.clone()));
                if name == "To do" {
                    defaults.push(("TRELLO_DEFAULT_LIST_ID", id.clone()));
                }
            }
        }
        defaults
    }
}

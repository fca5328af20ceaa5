//! Ids of the platforms' objects as people have them: bare, with dashes, or inside an address copied from a browser.

use std::fmt;
use std::str::FromStr;

use crate::error::Fault;

/// What is wrong with an id, and what it should look like.
fn malformed(what: &str, text: &str, looks_like: &str) -> Fault {
    Fault::usage(format!("`{}` is not {what}", crate::http::clip(text, 80)))
        .because(format!("it should be {looks_like}"))
        .hint("copy it from the address of the object in the browser; the whole address will do")
}

macro_rules! ids {
    ($($(#[$meta:meta])* $name:ident($what:literal, $looks_like:literal, $read:ident)),+ $(,)?) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// As the API takes it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Fault;
            fn from_str(text: &str) -> Result<Self, Fault> {
                $read(text.trim()).map($name).ok_or_else(|| malformed($what, text, $looks_like))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    /// A Notion page, database or data source, with dashes.
    NotionId("the id of a Notion page or database", "32 hex digits, with or without dashes", notion),
    /// A Trello board: its id, or the short link of its address.
    TrelloBoardId("the id of a Trello board", "24 hex digits, or the 8 characters after trello.com/b/", board),
    /// A Trello card: its id, or the short link of its address.
    TrelloCardId("the id of a Trello card", "24 hex digits, or the 8 characters after trello.com/c/", card),
    /// A file of Drive.
    DriveFileId("the id of a Drive file", "at least 15 letters, digits, `-` and `_`", google),
    /// A spreadsheet.
    SpreadsheetId("the id of a spreadsheet", "at least 15 letters, digits, `-` and `_`", google),
}

/// The tab that the address of a spreadsheet shows: the number after `gid=`.
pub fn tab_of_address(text: &str) -> Option<i64> {
    let after = text.split_once("://")?.1.split_once("gid=")?.1;
    after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The path of an address, without what follows `?` or `#`; the text itself when it is none.
fn path(text: &str) -> &str {
    let path = text.split_once("://").map_or(text, |(_, rest)| rest);
    path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/')
}

fn notion(text: &str) -> Option<String> {
    // An address ends in the title and the id, joined by a dash.
    let last = path(text).rsplit('/').next()?;
    let bare: String = last.chars().filter(|c| *c != '-').collect();
    let hex = match text.contains("://") {
        true => bare.get(bare.len().checked_sub(32)?..)?,
        false => bare.as_str(),
    };
    if hex.len() != 32 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let hex = hex.to_ascii_lowercase();
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

fn board(text: &str) -> Option<String> {
    trello(text, "b")
}

fn card(text: &str) -> Option<String> {
    trello(text, "c")
}

fn trello(text: &str, kind: &str) -> Option<String> {
    let id = match text.contains("://") {
        true => {
            let mut parts = path(text).split('/').skip_while(|part| *part != kind);
            parts.nth(1)?
        }
        false => text,
    };
    let long = id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit());
    let short = id.len() == 8 && id.bytes().all(|b| b.is_ascii_alphanumeric());
    (long || short).then(|| id.to_owned())
}

fn google(text: &str) -> Option<String> {
    let id = match text.contains("://") {
        true => path(text).split('/').skip_while(|part| *part != "d" && *part != "folders").nth(1)?,
        false => text,
    };
    let fits = id.len() >= 15 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    fits.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notion_id_comes_in_every_form() {
        let dashed = "1f0c2b3a-4d5e-6f70-8192-a3b4c5d6e7f8";
        for text in [
            dashed,
            "1F0C2B3A4D5E6F708192A3B4C5D6E7F8",
            "https://www.notion.so/acme/Pay-invoice-1042-1f0c2b3a4d5e6f708192a3b4c5d6e7f8",
            "https://app.notion.com/p/1f0c2b3a4d5e6f708192a3b4c5d6e7f8?v=0123456789abcdef0123456789abcdef",
            "https://www.notion.so/1f0c2b3a-4d5e-6f70-8192-a3b4c5d6e7f8#block",
        ] {
            assert_eq!(text.parse::<NotionId>().unwrap().as_str(), dashed, "{text}");
        }
        for text in [
            "",
            "x",
            "1f0c2b3a4d5e6f708192a3b4c5d6e7f",
            "https://www.notion.so/acme/Tasks",
            "Zf0c2b3a4d5e6f708192a3b4c5d6e7f8",
        ] {
            let fault = text.parse::<NotionId>().unwrap_err();
            assert!(fault.causes[0].contains("32 hex digits"), "{text}");
        }
    }

    #[test]
    fn trello_and_google_ids_come_out_of_addresses() {
        let id = "5f0000000000000000000001";
        assert_eq!(id.parse::<TrelloBoardId>().unwrap().as_str(), id);
        assert_eq!("https://trello.com/b/AbCd1234/ops-board".parse::<TrelloBoardId>().unwrap().as_str(), "AbCd1234");
        assert_eq!("https://trello.com/c/AbCd1234/12-a-card".parse::<TrelloCardId>().unwrap().as_str(), "AbCd1234");
        assert!("https://trello.com/b/AbCd1234".parse::<TrelloCardId>().is_err());
        assert!("card-1".parse::<TrelloCardId>().is_err());
        let sheet = "1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms";
        let address = format!("https://docs.google.com/spreadsheets/d/{sheet}/edit#gid=0");
        assert_eq!(address.parse::<SpreadsheetId>().unwrap().as_str(), sheet);
        assert_eq!(sheet.parse::<DriveFileId>().unwrap().as_str(), sheet);
        assert!("a/../b".parse::<DriveFileId>().is_err());
        assert_eq!((tab_of_address(&address), tab_of_address(sheet)), (Some(0), None));
    }
}

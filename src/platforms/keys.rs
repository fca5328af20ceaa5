//! What a platform tells about the credential in use: when it ends, and what it may do.
//!
//! No platform tells all of it. What it does not tell is said to be not reported, or unknown; nothing is concluded from
//! silence, and nothing is written to find out.

use std::time::Duration;

use serde_json::Value;

use super::google::{scopes, token_info};
use super::session::{Ask, Effect, Session};
use super::{Clients, Platform, PlatformError, notion, slack, trello};
use crate::http::Method;
use crate::wire::{ErrorCode, Time};
use serde_json::json;

/// When a credential ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// At this moment.
    At(Time),
    /// Never, as the platform says.
    Never,
    /// The platform does not tell, for this reason.
    NotReported(&'static str),
}

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It is.
    Yes,
    /// It is not, and the orchestrator needs it.
    No,
    /// The platform does not tell.
    Unknown,
}

/// One thing that a credential may or may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// What: `read content`, `chat:write`.
    pub name: String,
    /// Whether it may.
    pub granted: Granted,
    /// How that is known, or why not.
    pub detail: String,
}

impl Permission {
    fn new(name: impl Into<String>, granted: Granted, detail: impl Into<String>) -> Self {
        Permission { name: name.into(), granted, detail: detail.into() }
    }
}

/// Scopes of Slack's that the runbook's work needs, and what for.
const SLACK_SCOPES: [(&str, &str); 4] = [
    ("chat:write", "send and correct messages"),
    ("channels:read", "find channels by name"),
    ("channels:history", "read a message before it is changed"),
    ("groups:read", "find private channels"),
];

/// Scopes of Google's that do, the narrower ones left out on purpose: they see only files they made.
const GOOGLE_SCOPES: [(&str, &str); 2] = [
    ("https://www.googleapis.com/auth/drive", "files of Drive"),
    ("https://www.googleapis.com/auth/spreadsheets", "cells of Sheets"),
];

impl Clients {
    /// When the credential of a platform ends. Fails as the platform fails, when it does not accept it.
    pub async fn key_expiry(&self, platform: Platform, limit: Duration) -> Result<Expiry, PlatformError> {
        let session = self.session(platform, limit);
        match platform {
            Platform::Notion => {
                notion::me(&session).await?;
                Ok(Expiry::NotReported(
                    "internal secrets have no end; personal access tokens end after 7 days to a year",
                ))
            }
            Platform::Trello => Ok(match trello::token(&session).await?["dateExpires"].as_str().map(str::parse) {
                Some(Ok(at)) => Expiry::At(at),
                Some(Err(_)) => Expiry::NotReported("Trello's answer is not a date"),
                None => Expiry::Never,
            }),
            Platform::Slack => {
                let (answer, _) = slack::auth_test_whole(&session).await?;
                let rotates =
                    session.credentials.active().slack.as_ref().is_some_and(|t| t.expose().starts_with("xoxe"));
                Ok(match answer["expires_in"].as_u64() {
                    Some(seconds) => Expiry::At(session.now() + Duration::from_secs(seconds)),
                    None if rotates => Expiry::NotReported("the token rotates, within 12 hours"),
                    None => Expiry::Never,
                })
            }
            Platform::Drive | Platform::Sheets => {
                token_info(&session).await?;
                Ok(Expiry::NotReported("Google tells it only to who may list the account's keys"))
            }
        }
    }

    /// What the credential of a platform may do. Nothing is written to find out.
    pub async fn key_permissions(&self, platform: Platform, limit: Duration) -> Result<Vec<Permission>, PlatformError> {
        let session = self.session(platform, limit);
        match platform {
            Platform::Notion => of_notion(&session).await,
            Platform::Trello => Ok(of_trello(&trello::token(&session).await?)),
            Platform::Slack => {
                let (_, headers) = slack::auth_test_whole(&session).await?;
                let has = headers.get("x-oauth-scopes").and_then(|v| v.to_str().ok());
                Ok(match has {
                    Some(has) => compared(&SLACK_SCOPES, &has.split(',').map(str::trim).collect::<Vec<_>>()),
                    None => untold(&SLACK_SCOPES, "the answer had no x-oauth-scopes"),
                })
            }
            Platform::Drive | Platform::Sheets => {
                let info = token_info(&session).await?;
                let has = scopes(&info);
                Ok(compared(&GOOGLE_SCOPES, &has.iter().map(String::as_str).collect::<Vec<_>>()))
            }
        }
    }
}

/// What is needed, compared with what there is; the rest of what there is after it.
fn compared(needed: &[(&str, &str)], has: &[&str]) -> Vec<Permission> {
    let wanted = needed.iter().map(|(scope, what)| match has.contains(scope) {
        true => Permission::new(*scope, Granted::Yes, *what),
        false => Permission::new(*scope, Granted::No, format!("needed to: {what}")),
    });
    let more = has.iter().filter(|s| !s.is_empty() && needed.iter().all(|(scope, _)| scope != *s));
    wanted.chain(more.map(|scope| Permission::new(*scope, Granted::Yes, "not needed"))).collect()
}

fn untold(needed: &[(&str, &str)], why: &str) -> Vec<Permission> {
    needed.iter().map(|(scope, _)| Permission::new(*scope, Granted::Unknown, why)).collect()
}

/// Trello lists what a token may do with which kind of thing.
fn of_trello(token: &Value) -> Vec<Permission> {
    let listed: Vec<&Value> = token["permissions"].as_array().into_iter().flatten().collect();
    let mut permissions = Vec::new();
    for (kind, wants_write) in [("Board", true), ("Organization", false), ("Member", false)] {
        let of_kind: Vec<&&Value> = listed.iter().filter(|p| p["modelType"] == kind).collect();
        let all = if of_kind.iter().any(|p| p["idModel"] == "*") { "all of them" } else { "some of them" };
        for (word, field) in [("read", "read"), ("write", "write")] {
            let needed = kind == "Board" || (field == "read" && kind == "Member");
            let granted = of_kind.iter().any(|p| p[field] == true);
            let name = format!("{word} {}s", kind.to_lowercase());
            match (granted, needed && (field == "read" || wants_write)) {
                (true, _) => permissions.push(Permission::new(name, Granted::Yes, all)),
                (false, true) => permissions.push(Permission::new(name, Granted::No, "the token was not granted it")),
                (false, false) => {}
            }
        }
    }
    permissions
}

/// Notion lists nothing: reads are tried, and what only a write could tell stays unknown.
async fn of_notion(session: &Session) -> Result<Vec<Permission>, PlatformError> {
    notion::me(session).await?;
    let mut search = Ask::write("search", Method::POST, session.at(&["search"]), json!({"page_size": 1}));
    search.effect = Effect::Read;
    let users = Ask::get("users.list", session.at_with(&["users"], &[("page_size", "1")]));
    let mut permissions = vec![
        tried("read content", session.ask(search).await.err().map(|f| f.error), Granted::No)?,
        // Only people columns need it.
        tried("read user information", session.ask(users).await.err().map(|f| f.error), Granted::Unknown)?,
    ];
    if let Some(id) = &session.credentials.defaults.notion_database {
        let ask = Ask::get("databases.retrieve", session.at(&["databases", id]));
        let name = format!("see database {id}");
        permissions.push(tried(name, session.ask(ask).await.err().map(|f| f.error), Granted::No)?);
    }
    for name in ["update content", "insert content"] {
        let why = "not reported by the API, and trying would write; see the connection's settings in Notion";
        permissions.push(Permission::new(name, Granted::Unknown, why));
    }
    Ok(permissions)
}

/// What a try says: that it works, that it is refused, or nothing when it failed for another reason.
fn tried(
    name: impl Into<String>,
    error: Option<PlatformError>,
    when_refused: Granted,
) -> Result<Permission, PlatformError> {
    match error {
        None => Ok(Permission::new(name, Granted::Yes, "tried")),
        Some(error) if matches!(error.code, ErrorCode::PermissionDenied | ErrorCode::NotFound) => {
            Ok(Permission::new(name, when_refused, error.message))
        }
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_and_what_is_more_is_said() {
        let all = compared(&SLACK_SCOPES, &["chat:write", "channels:read", "files:write"]);
        let words: Vec<_> = all.iter().map(|p| (p.name.as_str(), p.granted)).collect();
        assert_eq!(
            words,
            [
                ("chat:write", Granted::Yes),
                ("channels:read", Granted::Yes),
                ("channels:history", Granted::No),
                ("groups:read", Granted::No),
                ("files:write", Granted::Yes),
            ]
        );
    }

    #[test]
    fn a_trello_token_that_only_reads_lacks_writing() {
        let read_only = json!({"permissions": [
            {"idModel": "*", "modelType": "Board", "read": true, "write": false},
            {"idModel": "m", "modelType": "Member", "read": true, "write": false},
        ]});
        let all = of_trello(&read_only);
        let lacking: Vec<_> = all.iter().filter(|p| p.granted == Granted::No).map(|p| p.name.as_str()).collect();
        assert_eq!(lacking, ["write boards"]);
    }
}

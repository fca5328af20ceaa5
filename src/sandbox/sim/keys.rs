//! The simulators' own credentials: which tokens are good, which were revoked, and rotation of both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::Api;
use super::ids::Ids;
use crate::wire::Time;

/// What the seeded Slack app was granted.
const SLACK_SCOPES: [&str; 8] = [
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "groups:history",
    "groups:read",
    "users:read",
    "users:read.email",
];

/// A token or key, current or former.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) value: String,
    pub(super) revoked: bool,
    /// What it was granted, where the platform has scopes.
    pub(super) scopes: Vec<String>,
    /// When it was made, where the platform tells.
    pub(super) made: Time,
    /// When it ends, if it does by itself.
    pub(super) expires: Option<Time>,
}

/// A Google access token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Access {
    pub(super) scope: String,
    pub(super) expires: Time,
    /// The service account key or refresh token it was made with.
    pub(super) from: String,
}

/// What a request is allowed as.
pub(super) struct Caller {
    /// Whose rate-limit windows it counts against.
    pub(super) subject: String,
    pub(super) scopes: Vec<String>,
}

/// All credentials of one set of simulators.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Keys {
    ids: Ids,
    pub(super) notion: Vec<Key>,
    pub(super) trello_key: String,
    pub(super) trello: Vec<Key>,
    pub(super) slack: Vec<Key>,
    pub(super) slack_client_id: String,
    pub(super) slack_client_secret: String,
    /// Refresh tokens of the pairs that token rotation made.
    pub(super) slack_refresh: Vec<Key>,
    pub(super) google_project: String,
    pub(super) google_email: String,
    /// Ids of service account keys; they share the simulator-only RSA key.
    pub(super) google_keys: Vec<Key>,
    pub(super) google_client_id: String,
    pub(super) google_client_secret: String,
    pub(super) google_refresh: Vec<Key>,
    pub(super) google_access: BTreeMap<String, Access>,
    pub(super) notion_client_id: String,
    pub(super) notion_client_secret: String,
    /// Refresh tokens of the OAuth connection.
    pub(super) notion_refresh: Vec<Key>,
    /// What was minted for whom: whoever asks again is shown the same, as on a page that is still open.
    minted: BTreeMap<String, String>,
}

impl Keys {
    pub(super) fn new(seed: u64, now: Time) -> Self {
        let mut ids = Ids::new(seed, "keys");
        let project = "opsctl-sandbox".to_owned();
        let mut keys = Keys {
            notion: Vec::new(),
            trello_key: ids.hex(32),
            trello: Vec::new(),
            slack: Vec::new(),
            slack_client_id: String::new(),
            slack_client_secret: String::new(),
            slack_refresh: Vec::new(),
            google_email: format!("orchestrator@{project}.iam.gserviceaccount.com"),
            google_project: project,
            google_keys: Vec::new(),
            google_client_id: format!("{}-{}.apps.googleusercontent.com", ids.digits(12), ids.hex(32)),
            google_client_secret: format!("GOCSPX-{}", ids.alnum(28)),
            google_refresh: vec![Key::new(format!("1//0{}", ids.alnum(60)), &[])],
            google_access: BTreeMap::new(),
            notion_client_id: String::new(),
            notion_client_secret: String::new(),
            notion_refresh: Vec::new(),
            minted: BTreeMap::new(),
            ids,
        };
        for api in [Api::Notion, Api::Trello, Api::Slack, Api::Google] {
            keys.mint(api, now);
        }
        // After the others: what one seed gave before stays what it gives.
        keys.slack_client_id = format!("{}.{}", keys.ids.digits(11), keys.ids.digits(13));
        keys.slack_client_secret = keys.ids.hex(32);
        keys.notion_client_id = uuid_like(&keys.ids.hex(32));
        keys.notion_client_secret = format!("secret_{}", keys.ids.alnum(43));
        keys.add_notion_refresh();
        keys
    }

    /// Makes a refresh token for the next pair of the Notion connection.
    pub(super) fn add_notion_refresh(&mut self) -> String {
        let value = format!("nrt_{}", self.ids.alnum(50));
        self.notion_refresh.push(Key::new(value.clone(), &[]));
        value
    }

    /// [`Keys::mint`], once for each `name`.
    pub(super) fn mint_once(&mut self, api: Api, name: &str, now: Time) -> Option<String> {
        let name = format!("{api} {name}");
        if let Some(known) = self.minted.get(&name) {
            return Some(known.clone());
        }
        let value = self.mint(api, now)?;
        self.minted.insert(name, value.clone());
        Some(value)
    }

    /// Makes one more good credential and tells it; for Google the id of a new service account key.
    pub(super) fn mint(&mut self, api: Api, now: Time) -> Option<String> {
        let ids = &mut self.ids;
        let (value, scopes): (String, &[&str]) = match api {
            Api::Notion => (format!("ntn_{}{}", ids.digits(11), ids.alnum(35)), &[]),
            Api::Trello => (format!("ATTA{}", ids.alnum(72)), &[]),
            Api::Slack => (format!("xoxb-{}-{}-{}", ids.digits(11), ids.digits(13), ids.alnum(24)), &SLACK_SCOPES),
            Api::Drive | Api::Sheets | Api::Google => (ids.hex(40), &[]),
            Api::PagerDuty | Api::Status => return None,
        };
        self.list(api)?.push(Key { made: now, ..Key::new(value.clone(), scopes) });
        Some(value)
    }

    /// Ends the good credentials of an API, or just one of them, and tells how many. For Google the access tokens
    /// made with it end too, as when the account is disabled; ending a key alone would leave them good for an hour.
    pub(super) fn revoke(&mut self, api: Api, only: Option<&str>) -> usize {
        let Some(list) = self.list(api) else { return 0 };
        let mut ended = Vec::new();
        for key in list.iter_mut().filter(|k| !k.revoked && only.is_none_or(|v| v == k.value)) {
            key.revoked = true;
            ended.push(key.value.clone());
        }
        self.google_access.retain(|_, access| !ended.contains(&access.from));
        ended.len()
    }

    /// The newest good credential.
    pub(super) fn current(&self, api: Api) -> Option<&str> {
        let list = match api {
            Api::Notion => &self.notion,
            Api::Trello => &self.trello,
            Api::Slack => &self.slack,
            Api::Drive | Api::Sheets | Api::Google => &self.google_keys,
            Api::PagerDuty | Api::Status => return None,
        };
        list.iter().rev().find(|k| !k.revoked).map(|k| k.value.as_str())
    }

    fn list(&mut self, api: Api) -> Option<&mut Vec<Key>> {
        match api {
            Api::Notion => Some(&mut self.notion),
            Api::Trello => Some(&mut self.trello),
            Api::Slack => Some(&mut self.slack),
            Api::Drive | Api::Sheets | Api::Google => Some(&mut self.google_keys),
            Api::PagerDuty | Api::Status => None,
        }
    }

    /// The tokens of Slack's token rotation: one to call with, one to get the next pair with.
    pub(super) fn rotating_pair(&mut self) -> (String, String) {
        (format!("xoxe.xoxb-1-{}", self.ids.alnum(148)), format!("xoxe-1-{}", self.ids.alnum(136)))
    }

    /// Hands out a Google access token.
    pub(super) fn grant(&mut self, from: &str, scope: &str, expires: Time, now: Time) -> String {
        self.google_access.retain(|_, access| access.expires > now);
        let token = format!("ya29.c.{}", self.ids.alnum(120));
        let access = Access { scope: scope.to_owned(), expires, from: from.to_owned() };
        self.google_access.insert(token.clone(), access);
        token
    }
}

impl Key {
    fn new(value: String, scopes: &[&str]) -> Self {
        Key { value, scopes: scopes.iter().map(|&s| s.to_owned()).collect(), ..Key::default() }
    }
}

impl Caller {
    /// Whoever asks where no credential is needed.
    pub(super) fn nobody() -> Self {
        Caller { subject: String::new(), scopes: Vec::new() }
    }
}

/// 32 hex digits with a UUID's dashes.
fn uuid_like(hex: &str) -> String {
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Looks a token up: `None` when it was never one.
pub(super) fn find<'a>(list: &'a [Key], token: &str) -> Option<&'a Key> {
    list.iter().find(|k| k.value == token)
}

//! The environment, read once, so that tests can bring their own.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// The runbook's variables that hold secrets, and our own. `GOOGLE_SERVICE_ACCOUNT_KEY` is a path and not here.
pub const SECRET_VARIABLES: [&str; 30] = [
    super::TOKEN_VARIABLE,
    "NOTION_API_KEY",
    "NOTION_API_KEY_BACKUP",
    "NOTION_TOKEN",
    "TRELLO_API_KEY",
    "TRELLO_API_KEY_BACKUP",
    "TRELLO_TOKEN",
    "TRELLO_TOKEN_BACKUP",
    "SLACK_BOT_TOKEN",
    "SLACK_BOT_TOKEN_BACKUP",
    "SLACK_APP_TOKEN",
    "SLACK_SIGNING_SECRET",
    "SLACK_WEBHOOK_URL",
    "GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY",
    "GOOGLE_DRIVE_API_KEY",
    "GOOGLE_SHEETS_API_KEY",
    "GOOGLE_CLIENT_SECRET",
    "GOOGLE_REFRESH_TOKEN",
    "GMAIL_CLIENT_SECRET",
    "EMAIL_PASSWORD",
    "COMPOSIO_API_KEY",
    "COMPOSIO_SESSIONS_KEY",
    "FALLBACK_WEBHOOK_URL",
    crate::notify::ROUTING_KEY,
    "LLM_API_KEY",
    "GROQ_API_KEY",
    "TOGETHER_API_KEY",
    "OPENROUTER_API_KEY",
    "OPENAI_API_KEY",
    "RESTATE_AUTH_TOKEN",
];

/// Environment variables.
#[derive(Clone, Default)]
pub struct Env(BTreeMap<String, String>);

impl Env {
    /// The process's environment; variables that are not UTF-8 are left out.
    pub fn process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Env(std::env::vars_os().filter_map(text).collect())
    }

    /// Exactly these variables.
    pub fn fixed<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Env(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    /// A variable's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A variable's value unless it is empty.
    pub fn non_empty(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// The secrets among them.
    pub fn secrets(&self) -> Vec<Secret> {
        let mut secrets: Vec<Secret> =
            SECRET_VARIABLES.iter().filter_map(|name| self.non_empty(name)).map(Secret::new).collect();
        // A key file's contents in place of its path.
        let contents = self.non_empty("GOOGLE_SERVICE_ACCOUNT_KEY").filter(|value| value.trim_start().starts_with('{'));
        let key = contents.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        secrets.extend(contents.map(Secret::new));
        secrets.extend(key.and_then(|key| key["private_key"].as_str().map(Secret::new)));
        secrets
    }

    /// All variables.
    pub fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

/// Names only: values may be secrets.
impl std::fmt::Debug for Env {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

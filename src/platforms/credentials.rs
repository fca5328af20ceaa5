//! What opsctl may act with: secrets and defaults read from a map of environment names.
//!
//! Google's credential is the first of these that is set:
//! 1. `GOOGLE_SERVICE_ACCOUNT_KEY`: the key file's path, or its JSON;
//! 2. `GOOGLE_SERVICE_ACCOUNT_EMAIL` with `GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY`;
//! 3. `GOOGLE_APPLICATION_CREDENTIALS`: path of a service account key or of an authorised user's file;
//! 4. `GOOGLE_CLIENT_ID`, `GOOGLE_CLIENT_SECRET`, `GOOGLE_REFRESH_TOKEN`.
//!
//! `USE_BACKUP_CREDENTIALS=true` switches to a second set, read from the same names with `_BACKUP` at the end.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::secret::Secret;
use crate::wire::Platform;

/// Variables that hold a credential or a part of one.
const NAMES: [&str; 12] = [
    "NOTION_API_KEY",
    "NOTION_TOKEN",
    "TRELLO_API_KEY",
    "TRELLO_TOKEN",
    "SLACK_BOT_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_SERVICE_ACCOUNT_EMAIL",
    "GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLIENT_ID",
    "GOOGLE_CLIENT_SECRET",
    "GOOGLE_REFRESH_TOKEN",
];

/// Whether a variable of this name is read for a credential, of the usual set or the backup one.
pub fn is_credential(name: &str) -> bool {
    NAMES.contains(&name.strip_suffix("_BACKUP").unwrap_or(name))
}

/// The variable whose secret lets a platform in, given which are set: what a rotation replaces. Google's follow the
/// order above; a path to a key file names no secret, so the file itself is what is replaced there.
pub fn rotating_variable(platform: Platform, is_set: impl Fn(&str) -> bool) -> Option<&'static str> {
    let candidates: &[&'static str] = match platform {
        Platform::Notion => &["NOTION_API_KEY"],
        Platform::Trello => &["TRELLO_TOKEN"],
        Platform::Slack => &["SLACK_BOT_TOKEN"],
        Platform::Drive | Platform::Sheets => {
            &["GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY", "GOOGLE_REFRESH_TOKEN"]
        }
    };
    candidates.iter().copied().find(|name| is_set(name))
}

/// Credentials and defaults of all platforms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The usual set.
    pub primary: Keys,
    /// The set used while [`Credentials::use_backup`] is on.
    pub backup: Keys,
    /// Whether the backup set is in use (`USE_BACKUP_CREDENTIALS`).
    pub use_backup: bool,
    /// Where things go when an action does not say.
    pub defaults: Defaults,
}

/// One set of credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// `NOTION_API_KEY`, or `NOTION_TOKEN`.
    pub notion: Option<Secret>,
    /// `TRELLO_API_KEY` and `TRELLO_TOKEN`.
    pub trello: Option<TrelloKeys>,
    /// `SLACK_BOT_TOKEN`.
    pub slack: Option<Secret>,
    /// Google's credential for Drive and Sheets, or why the one that is set cannot be used.
    pub google: Option<Result<GoogleKey, String>>,
}

/// Trello's two halves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrelloKeys {
    /// Names the Power-Up.
    pub key: Secret,
    /// Names the person and what was granted.
    pub token: Secret,
}

/// A way to get Google access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GoogleKey {
    /// A service account: signs its own requests.
    ServiceAccount {
        /// `client_email`.
        email: String,
        /// `private_key_id`, when known.
        key_id: Option<String>,
        /// `private_key`, PEM.
        private_key: Secret,
        /// `token_uri`; the endpoints' when absent.
        token_uri: Option<String>,
    },
    /// A person's consent.
    Refresh {
        /// OAuth client.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// The consent.
        refresh_token: Secret,
    },
}

impl GoogleKey {
    /// Whose it is: the service account's address, or the OAuth client's id.
    pub fn account(&self) -> &str {
        match self {
            GoogleKey::ServiceAccount { email, .. } => email,
            GoogleKey::Refresh { client_id, .. } => client_id,
        }
    }

    /// Tells two credentials apart without showing them.
    pub fn fingerprint(&self) -> String {
        match self {
            GoogleKey::ServiceAccount { email, private_key, .. } => format!("{email} {}", private_key.fingerprint()),
            GoogleKey::Refresh { client_id, refresh_token, .. } => {
                format!("{client_id} {}", refresh_token.fingerprint())
            }
        }
    }
}

/// Where things go when an action does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// `NOTION_DATABASE_ID`.
    pub notion_database: Option<String>,
    /// `TRELLO_DEFAULT_LIST_ID`.
    pub trello_list: Option<String>,
    /// `TRELLO_BOARD_ID`.
    pub trello_board: Option<String>,
    /// `SLACK_NOTIFICATIONS_CHANNEL`, `SLACK_NOTIFICATION_CHANNEL` or `SLACK_DEFAULT_CHANNEL`.
    pub slack_channel: Option<String>,
    /// `GOOGLE_DRIVE_ROOT_FOLDER_ID`, `DRIVE_FOLDER_ID` or `DRIVE_DEFAULT_FOLDER_ID`.
    pub drive_folder: Option<String>,
    /// `SHEETS_LOG_SPREADSHEET_ID` or `SHEETS_SPREADSHEET_ID`.
    pub sheets_spreadsheet: Option<String>,
    /// `SHEETS_LOG_SHEET`: the tab that rows are appended to.
    pub sheets_tab: Option<String>,
}

impl Credentials {
    /// Reads every name this module knows out of a map (the process environment, or the server's settings). Key files
    /// are read here; one that cannot be read or understood is reported when it is used.
    pub fn from_env(env: &BTreeMap<String, String>) -> Self {
        let get = |names: &[&str]| first(env, names);
        Credentials {
            primary: Keys::read(env, ""),
            backup: Keys::read(env, "_BACKUP"),
            use_backup: env.get("USE_BACKUP_CREDENTIALS").is_some_and(|v| is_true(v)),
            defaults: Defaults {
                notion_database: get(&["NOTION_DATABASE_ID"]),
                trello_list: get(&["TRELLO_DEFAULT_LIST_ID"]),
                trello_board: get(&["TRELLO_BOARD_ID"]),
                slack_channel: get(&[
                    "SLACK_NOTIFICATIONS_CHANNEL",
                    "SLACK_NOTIFICATION_CHANNEL",
                    "SLACK_DEFAULT_CHANNEL",
                ]),
                drive_folder: get(&["GOOGLE_DRIVE_ROOT_FOLDER_ID", "DRIVE_FOLDER_ID", "DRIVE_DEFAULT_FOLDER_ID"]),
                sheets_spreadsheet: get(&["SHEETS_LOG_SPREADSHEET_ID", "SHEETS_SPREADSHEET_ID"]),
                sheets_tab: get(&["SHEETS_LOG_SHEET"]),
            },
        }
    }

    /// The set in use.
    pub fn active(&self) -> &Keys {
        if self.use_backup { &self.backup } else { &self.primary }
    }

    /// Whether the set in use has a credential for this platform.
    pub fn has(&self, platform: Platform) -> bool {
        self.active().has(platform)
    }

    /// Tells the credential in use from another of the same platform without showing it.
    pub fn fingerprint(&self, platform: Platform) -> Option<String> {
        let keys = self.active();
        match platform {
            Platform::Notion => keys.notion.as_ref().map(Secret::fingerprint),
            Platform::Trello => keys.trello.as_ref().map(|k| k.token.fingerprint()),
            Platform::Slack => keys.slack.as_ref().map(Secret::fingerprint),
            Platform::Drive | Platform::Sheets => {
                let key = keys.google.as_ref()?.as_ref().ok()?;
                Some(Secret::new(key.fingerprint()).fingerprint())
            }
        }
    }

    /// The names to set for a platform, as an error would say it.
    pub fn names(&self, platform: Platform) -> String {
        let suffix = if self.use_backup { "_BACKUP" } else { "" };
        match platform {
            Platform::Notion => format!("NOTION_API_KEY{suffix}"),
            Platform::Trello => format!("TRELLO_API_KEY{suffix} and TRELLO_TOKEN{suffix}"),
            Platform::Slack => format!("SLACK_BOT_TOKEN{suffix}"),
            Platform::Drive | Platform::Sheets => format!("GOOGLE_SERVICE_ACCOUNT_KEY{suffix}"),
        }
    }

    /// Every secret value of both sets, for the filter that keeps them out of texts.
    pub fn secrets(&self) -> Vec<Secret> {
        [&self.primary, &self.backup].into_iter().flat_map(Keys::secrets).collect()
    }
}

impl Keys {
    fn read(env: &BTreeMap<String, String>, suffix: &str) -> Self {
        let get = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|n| format!("{n}{suffix}")).collect();
            first(env, &names.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let secret = |names: &[&str]| get(names).map(Secret::new);
        let trello = match (secret(&["TRELLO_API_KEY"]), secret(&["TRELLO_TOKEN"])) {
            (Some(key), Some(token)) => Some(TrelloKeys { key, token }),
            _ => None,
        };
        Keys {
            notion: secret(&["NOTION_API_KEY", "NOTION_TOKEN"]),
            trello,
            slack: secret(&["SLACK_BOT_TOKEN"]),
            google: google(&get),
        }
    }

    fn has(&self, platform: Platform) -> bool {
        match platform {
            Platform::Notion => self.notion.is_some(),
            Platform::Trello => self.trello.is_some(),
            Platform::Slack => self.slack.is_some(),
            Platform::Drive | Platform::Sheets => self.google.is_some(),
        }
    }

    fn secrets(&self) -> Vec<Secret> {
        let mut all: Vec<Secret> = self.notion.iter().chain(&self.slack).cloned().collect();
        if let Some(TrelloKeys { key, token }) = &self.trello {
            all.extend([key.clone(), token.clone()]);
        }
        match &self.google {
            Some(Ok(GoogleKey::ServiceAccount { private_key, .. })) => all.push(private_key.clone()),
            Some(Ok(GoogleKey::Refresh { client_secret, refresh_token, .. })) => {
                all.extend([client_secret.clone(), refresh_token.clone()]);
            }
            _ => {}
        }
        all
    }
}

fn first(env: &BTreeMap<String, String>, names: &[&str]) -> Option<String> {
    names.iter().filter_map(|name| env.get(*name)).map(|v| v.trim()).find(|v| !v.is_empty()).map(str::to_string)
}

fn is_true(value: &str) -> bool {
    ["true", "1", "yes", "on"].contains(&value.trim().to_ascii_lowercase().as_str())
}

fn google(get: &dyn Fn(&[&str]) -> Option<String>) -> Option<Result<GoogleKey, String>> {
    if let Some(value) = get(&["GOOGLE_SERVICE_ACCOUNT_KEY"]) {
        let json = if value.starts_with('{') { Ok(value) } else { key_file("GOOGLE_SERVICE_ACCOUNT_KEY", &value) };
        return Some(json.and_then(|json| parse_key("GOOGLE_SERVICE_ACCOUNT_KEY", &json)));
    }
    let email = get(&["GOOGLE_SERVICE_ACCOUNT_EMAIL"]);
    let private_key = get(&["GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY"]);
    if let (Some(email), Some(private_key)) = (email, private_key) {
        let private_key = Secret::new(private_key.replace("\\n", "\n"));
        return Some(Ok(GoogleKey::ServiceAccount { email, key_id: None, private_key, token_uri: None }));
    }
    if let Some(path) = get(&["GOOGLE_APPLICATION_CREDENTIALS"]) {
        let name = "GOOGLE_APPLICATION_CREDENTIALS";
        return Some(key_file(name, &path).and_then(|json| parse_key(name, &json)));
    }
    let client_id = get(&["GOOGLE_CLIENT_ID"])?;
    let client_secret = Secret::new(get(&["GOOGLE_CLIENT_SECRET"])?);
    let refresh_token = Secret::new(get(&["GOOGLE_REFRESH_TOKEN"])?);
    Some(Ok(GoogleKey::Refresh { client_id, client_secret, refresh_token }))
}

fn key_file(name: &str, path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|e| format!("{name}: cannot read `{path}`: {e}"))
}

/// Reads a key file's JSON. Errors never quote its content.
fn parse_key(name: &str, json: &str) -> Result<GoogleKey, String> {
    let value: Value = serde_json::from_str(json).map_err(|_| format!("{name}: the key is not JSON"))?;
    let field = |key: &str| value.get(key).and_then(Value::as_str).filter(|v| !v.is_empty()).map(str::to_string);
    let needed = |key: &str| field(key).ok_or_else(|| format!("{name}: the key has no `{key}`"));
    match field("type").as_deref() {
        Some("service_account") => Ok(GoogleKey::ServiceAccount {
            email: needed("client_email")?,
            key_id: field("private_key_id"),
            private_key: Secret::new(needed("private_key")?),
            token_uri: field("token_uri"),
        }),
        Some("authorized_user") => Ok(GoogleKey::Refresh {
            client_id: needed("client_id")?,
            client_secret: Secret::new(needed("client_secret")?),
            refresh_token: Secret::new(needed("refresh_token")?),
        }),
        Some(other) => Err(format!("{name}: a key of type `{other}` cannot be used; need `service_account`")),
        None => Err(format!("{name}: the key has no `type`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    const KEY: &str = r#"{"type":"service_account","client_email":"a@p.iam.gserviceaccount.com","private_key":"PEM"}"#;

    #[test]
    fn google_credentials_have_one_order() {
        let mut all =
            env(&[("GOOGLE_CLIENT_ID", "id"), ("GOOGLE_CLIENT_SECRET", "secret"), ("GOOGLE_REFRESH_TOKEN", "refresh")]);
        let google = |env: &BTreeMap<String, String>| Credentials::from_env(env).primary.google.unwrap();
        assert!(matches!(google(&all), Ok(GoogleKey::Refresh { .. })));
        all.insert("GOOGLE_APPLICATION_CREDENTIALS".into(), "/no/such/file".into());
        assert!(google(&all).unwrap_err().contains("/no/such/file"));
        all.extend(env(&[
            ("GOOGLE_SERVICE_ACCOUNT_EMAIL", "b@p"),
            ("GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY", "line\\nline"),
        ]));
        let Ok(GoogleKey::ServiceAccount { email, private_key, .. }) = google(&all) else { panic!() };
        assert_eq!((email.as_str(), private_key.expose()), ("b@p", "line\nline"));
        all.insert("GOOGLE_SERVICE_ACCOUNT_KEY".into(), KEY.into());
        let Ok(GoogleKey::ServiceAccount { email, .. }) = google(&all) else { panic!() };
        assert_eq!(email, "a@p.iam.gserviceaccount.com");
    }

    #[test]
    fn the_backup_set_has_its_own_names() {
        let credentials = Credentials::from_env(&env(&[
            ("NOTION_TOKEN", "first-secret"),
            ("NOTION_API_KEY_BACKUP", "second-secret"),
            ("USE_BACKUP_CREDENTIALS", "true"),
        ]));
        assert_eq!(credentials.active().notion.as_ref().unwrap().expose(), "second-secret");
        assert_eq!(credentials.primary.notion.as_ref().unwrap().expose(), "first-secret");
        assert_eq!(credentials.secrets().len(), 2);
        assert!(!credentials.has(Platform::Slack));
        assert!(!format!("{credentials:?}").contains("-secret"));
    }

    #[test]
    fn half_a_trello_credential_is_none() {
        assert!(!Credentials::from_env(&env(&[("TRELLO_API_KEY", "k")])).has(Platform::Trello));
    }
}

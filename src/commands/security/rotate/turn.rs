//! What is rotated: one credential, how its new value comes, and where its pages are.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::platforms::rotation::OAuthApp;
use crate::platforms::{Credentials, GoogleKey, rotating_variable};
use crate::secret::Secret;
use crate::settings::{Context, ContextKind, Env};
use crate::wire::{ConfigEntry, Platform};

/// A credential: of one platform, or the one that Drive and Sheets share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Credential {
    Notion,
    Trello,
    Slack,
    Google,
}

impl Credential {
    pub(super) const ALL: [Credential; 4] =
        [Credential::Notion, Credential::Trello, Credential::Slack, Credential::Google];

    pub(super) fn of(platform: Platform) -> Self {
        match platform {
            Platform::Notion => Credential::Notion,
            Platform::Trello => Credential::Trello,
            Platform::Slack => Credential::Slack,
            Platform::Drive | Platform::Sheets => Credential::Google,
        }
    }

    /// The platforms it lets us into; the first is asked where one answer is enough.
    pub(super) fn platforms(self) -> &'static [Platform] {
        match self {
            Credential::Notion => &[Platform::Notion],
            Credential::Trello => &[Platform::Trello],
            Credential::Slack => &[Platform::Slack],
            Credential::Google => &[Platform::Drive, Platform::Sheets],
        }
    }

    pub(super) fn first(self) -> Platform {
        self.platforms()[0]
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Credential::Notion => "notion",
            Credential::Trello => "trello",
            Credential::Slack => "slack",
            Credential::Google => "google",
        }
    }

    /// Where a new one is made, and how.
    pub(super) const fn page(self) -> &'static str {
        match self {
            Credential::Notion => "https://www.notion.so/profile/integrations (the connection, Refresh secret)",
            Credential::Trello => "https://trello.com/power-ups/admin (the Power-Up, API key, Token)",
            Credential::Slack => "https://api.slack.com/apps (the app, OAuth & Permissions, Reinstall)",
            Credential::Google => "https://console.cloud.google.com/iam-admin/serviceaccounts (Keys, Add key, JSON)",
        }
    }

    /// Where an old one is withdrawn.
    pub(super) const fn end_page(self) -> &'static str {
        match self {
            Credential::Notion => "https://www.notion.so/profile/integrations",
            Credential::Trello => "https://trello.com/my/account (Applications, Revoke)",
            Credential::Slack => "https://api.slack.com/apps (OAuth & Permissions, Revoke)",
            Credential::Google => "https://console.cloud.google.com/iam-admin/serviceaccounts (Keys)",
        }
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How the new value comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    /// Google's IAM makes it.
    Iam,
    /// The connection's refresh token is exchanged for it.
    OAuth,
    /// A person makes it on the platform's page.
    Asked,
    /// The sandbox's simulator makes it, in a person's place.
    Simulated,
}

/// One credential to replace. It is kept as it was planned; no secret is in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Turn {
    pub(super) credential: Credential,
    /// The setting of the service that holds it.
    pub(super) variable: String,
    pub(super) way: Way,
    /// Fingerprint of the value that the service works with.
    pub(super) old: Option<String>,
    /// Google's id of that key, when it is known here.
    pub(super) old_key: Option<String>,
    pub(super) emergency: bool,
    pub(super) grace: Duration,
}

/// What the service and this machine know of a credential.
pub(super) struct Known<'a> {
    pub(super) context: &'a Context,
    pub(super) process: &'a Env,
    /// The variables that platforms are reached with from here.
    pub(super) env: &'a BTreeMap<String, String>,
    /// The service's settings; `None` when it does not answer.
    pub(super) settings: Option<&'a [ConfigEntry]>,
}

impl Known<'_> {
    /// The turn of a credential; `None` when it is not set.
    pub(super) fn turn(&self, credential: Credential, emergency: bool, grace: Duration) -> Option<Turn> {
        let is_set = |name: &str| match self.settings {
            Some(all) => all.iter().any(|e| e.name == name && (e.value.is_some() || e.pending.is_some())),
            None => self.env.get(name).is_some_and(|value| !value.is_empty()),
        };
        let variable = rotating_variable(credential.first(), is_set).or_else(|| {
            // A path names no secret of the service's; from now on it has the key itself.
            let by_path = credential == Credential::Google && is_set("GOOGLE_APPLICATION_CREDENTIALS");
            by_path.then_some("GOOGLE_SERVICE_ACCOUNT_KEY")
        })?;
        let entry = self.settings.and_then(|all| all.iter().find(|e| e.name == variable));
        let old = entry.and_then(|e| e.fingerprint.clone());
        let is_ours = old.is_some() && self.is_the_same(variable, old.as_deref());
        let google = Credentials::from_env(self.env).primary.google;
        let old_key = match (&google, is_ours) {
            (Some(Ok(GoogleKey::ServiceAccount { key_id, .. })), true) if credential == Credential::Google => {
                key_id.clone()
            }
            _ => None,
        };
        let is_account = matches!(google, Some(Ok(GoogleKey::ServiceAccount { .. })));
        let way = match credential {
            Credential::Google if is_ours && is_account => Way::Iam,
            Credential::Slack | Credential::Notion if is_ours && self.rotates(credential.first()) => Way::OAuth,
            _ if self.context.kind == ContextKind::Sandbox => Way::Simulated,
            _ => Way::Asked,
        };
        Some(Turn { credential, variable: variable.to_owned(), way, old, old_key, emergency, grace })
    }

    /// Whether this machine holds the value that the service works with.
    fn is_the_same(&self, variable: &str, fingerprint: Option<&str>) -> bool {
        let Some(here) = self.env.get(variable) else { return false };
        if fingerprint != Some(&Secret::new(here.trim()).fingerprint()) {
            return false;
        }
        // The same path on another machine may be another key.
        let is_path = variable == "GOOGLE_SERVICE_ACCOUNT_KEY" && !here.trim_start().starts_with('{');
        let is_near = self.context.kind == ContextKind::Sandbox
            || self.context.url.as_ref().is_some_and(crate::http::is_loopback);
        !is_path || is_near
    }

    /// Whether the next pair of tokens can be asked for: the used-up refresh token is replaced in its file.
    fn rotates(&self, platform: Platform) -> bool {
        OAuthApp::read(platform, self.env).is_some() && refresh_file(self.context, self.process, platform).is_some()
    }
}

/// The file where a connection's next refresh token goes.
pub(super) fn refresh_file(context: &Context, env: &Env, platform: Platform) -> Option<std::path::PathBuf> {
    context.keys.get(&OAuthApp::refresh_variable(platform))?.file_in_use(env)
}

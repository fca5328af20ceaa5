//! Where the platforms are: the vendors' addresses unless a context says otherwise.

use serde::{Deserialize, Serialize};

use crate::http::Url;
use crate::wire::Platform;

/// One base address for each API, without a final slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Endpoints {
    /// Notion's API with its version: `https://api.notion.com/v1`.
    pub notion: String,
    /// Trello's API with its version: `https://api.trello.com/1`.
    pub trello: String,
    /// Slack's Web API: `https://slack.com/api`.
    pub slack: String,
    /// Drive's API: `https://www.googleapis.com/drive/v3`.
    pub drive: String,
    /// Drive's uploads: `https://www.googleapis.com/upload/drive/v3`.
    pub drive_upload: String,
    /// Sheets' API: `https://sheets.googleapis.com/v4`.
    pub sheets: String,
    /// Google's token endpoint, where the key file names none.
    pub google_token: String,
    /// What Google says about an access token.
    pub google_tokeninfo: String,
    /// IAM, with its version: `https://iam.googleapis.com/v1`.
    pub google_iam: String,
    /// PagerDuty's Events API, with its version: `https://events.pagerduty.com/v2`.
    pub pagerduty: String,
    /// Notion's status feed (Statuspage `status.json`).
    pub status_notion: String,
    /// Trello's status feed (Statuspage `status.json`).
    pub status_trello: String,
    /// Slack's status feed (`current`).
    pub status_slack: String,
    /// Google Workspace's incidents, for Drive and Sheets.
    pub status_google: String,
}

impl Default for Endpoints {
    fn default() -> Self {
        Endpoints {
            notion: "https://api.notion.com/v1".into(),
            trello: "https://api.trello.com/1".into(),
            slack: "https://slack.com/api".into(),
            drive: "https://www.googleapis.com/drive/v3".into(),
            drive_upload: "https://www.googleapis.com/upload/drive/v3".into(),
            sheets: "https://sheets.googleapis.com/v4".into(),
            google_token: "https://oauth2.googleapis.com/token".into(),
            google_tokeninfo: "https://oauth2.googleapis.com/tokeninfo".into(),
            google_iam: "https://iam.googleapis.com/v1".into(),
            pagerduty: "https://events.pagerduty.com/v2".into(),
            status_notion: "https://www.notion-status.com/api/v2/status.json".into(),
            status_trello: "https://trello.status.atlassian.com/api/v2/status.json".into(),
            status_slack: "https://slack-status.com/api/v2.0.0/current".into(),
            status_google: "https://www.google.com/appsstatus/dashboard/incidents.json".into(),
        }
    }
}

impl Endpoints {
    /// Every address with its field name.
    pub fn all(&self) -> [(&'static str, &str); 14] {
        [
            ("notion", &self.notion),
            ("trello", &self.trello),
            ("slack", &self.slack),
            ("drive", &self.drive),
            ("drive_upload", &self.drive_upload),
            ("sheets", &self.sheets),
            ("google_token", &self.google_token),
            ("google_tokeninfo", &self.google_tokeninfo),
            ("google_iam", &self.google_iam),
            ("pagerduty", &self.pagerduty),
            ("status_notion", &self.status_notion),
            ("status_trello", &self.status_trello),
            ("status_slack", &self.status_slack),
            ("status_google", &self.status_google),
        ]
    }

    /// The first address that cannot be requested, by its field name. Plain http is accepted on loopback only: a
    /// credential in the clear would be there for everybody on the way.
    pub fn ensure_usable(&self) -> Result<(), String> {
        for (name, address) in self.all() {
            let url: Url = address.parse().map_err(|e| format!("endpoint {name}: `{address}` is not a URL: {e}"))?;
            match url.scheme() {
                "https" => {}
                "http" if crate::http::is_loopback(&url) || name.starts_with("status_") => {}
                "http" => return Err(format!("endpoint {name}: `{address}` must be https; http is for loopback only")),
                other => return Err(format!("endpoint {name}: `{address}` must be https, not {other}")),
            }
        }
        Ok(())
    }

    /// The base address of a platform's API.
    pub fn base(&self, platform: Platform) -> &str {
        match platform {
            Platform::Notion => &self.notion,
            Platform::Trello => &self.trello,
            Platform::Slack => &self.slack,
            Platform::Drive => &self.drive,
            Platform::Sheets => &self.sheets,
        }
    }

    /// The address of a platform's status feed.
    pub fn status(&self, platform: Platform) -> &str {
        match platform {
            Platform::Notion => &self.status_notion,
            Platform::Trello => &self.status_trello,
            Platform::Slack => &self.status_slack,
            Platform::Drive | Platform::Sheets => &self.status_google,
        }
    }
}

/// `base` plus path segments, each percent-encoded, plus query pairs.
pub(super) fn address(base: &str, path: &[&str], query: &[(&str, &str)]) -> Result<Url, crate::http::Failure> {
    let mut url: Url = base.parse().map_err(|e| crate::http::Failure::bad_url(base, e))?;
    url.path_segments_mut()
        .map_err(|()| crate::http::Failure::bad_url(base, "it cannot have a path"))?
        .pop_if_empty()
        .extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_fields_are_the_vendors() {
        let some: Endpoints = serde_json::from_str(r#"{"notion":"http://127.0.0.1:9/v1"}"#).unwrap();
        assert_eq!((some.notion.as_str(), &some.slack), ("http://127.0.0.1:9/v1", &Endpoints::default().slack));
        assert!(serde_json::from_str::<Endpoints>(r#"{"asana":"x"}"#).is_err());
        assert_eq!(some.ensure_usable(), Ok(()));
    }

    #[test]
    fn a_credential_never_travels_in_the_clear() {
        let endpoints = Endpoints { slack: "http://slack.example.com/api".into(), ..Endpoints::default() };
        assert!(endpoints.ensure_usable().unwrap_err().contains("endpoint slack"));
    }

    #[test]
    fn segments_are_encoded() {
        let url =
            address("http://h:1/v4", &["spreadsheets", "id", "values", "'My Sheet'!A1:D"], &[("a", "b c")]).unwrap();
        assert_eq!(url.as_str(), "http://h:1/v4/spreadsheets/id/values/'My%20Sheet'!A1:D?a=b+c");
        assert_eq!(address("http://h:1/v4/", &["a/../b"], &[]).unwrap().as_str(), "http://h:1/v4/a%2F..%2Fb");
    }
}

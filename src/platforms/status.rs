//! What the vendors say about themselves: one adapter for each kind of status feed.
//!
//! A feed that cannot be read, or is not the JSON it should be, is [`FeedStatus::Unknown`], never healthy.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::{Endpoints, Platform};
use crate::http::{Http, Method, Options, Redirects, Reply, Url, clip};

/// Longest wait for a feed.
pub const FEED_TIMEOUT: Duration = Duration::from_secs(10);

/// What a vendor says about its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedStatus {
    /// No incident.
    Operational,
    /// Something works less well, in the vendor's words.
    Degraded(String),
    /// It does not work, in the vendor's words.
    Outage(String),
    /// The feed did not say, for this reason.
    Unknown(String),
}

impl FeedStatus {
    /// Its word (`OK`, `DEGRADED`, `DOWN`, `UNKNOWN`), and what the vendor says or why nothing is known.
    pub fn words(self) -> (&'static str, Option<String>) {
        match self {
            FeedStatus::Operational => ("OK", None),
            FeedStatus::Degraded(words) => ("DEGRADED", Some(words)),
            FeedStatus::Outage(words) => ("DOWN", Some(words)),
            FeedStatus::Unknown(why) => ("UNKNOWN", Some(why)),
        }
    }
}

/// Asks a platform's status feed, within `limit` (at most [`FEED_TIMEOUT`]).
pub async fn fetch(endpoints: &Endpoints, platform: Platform, limit: Duration) -> FeedStatus {
    match read(endpoints.status(platform), limit.min(FEED_TIMEOUT)).await {
        Ok(feed) => understand(platform, &feed),
        Err(why) => FeedStatus::Unknown(why),
    }
}

/// The client for feeds: it follows redirects, carries no credential, and keeps no connection, so that it can be
/// shared by everything in the process.
fn http() -> &'static Http {
    static FEEDS: OnceLock<Http> = OnceLock::new();
    FEEDS.get_or_init(|| {
        Http::new(Options {
            redirects: Redirects::Follow,
            keep_alive: false,
            timeout: FEED_TIMEOUT,
            ..Options::default()
        })
    })
}

async fn read(address: &str, limit: Duration) -> Result<Value, String> {
    let url: Url = address.parse().map_err(|e| format!("`{address}` is not a URL: {e}"))?;
    let host = url.host_str().unwrap_or_default().to_string();
    let request = http().request(Method::GET, &url).map_err(|f| format!("{host}: {}", f.cause))?;
    let request = request.header("accept", "application/json");
    let reply = http().send(request, Some(limit)).await.map_err(|f| format!("{host}: {}", f.cause))?;
    parse(&reply).map_err(|why| format!("{host}: {why}"))
}

fn parse(reply: &Reply) -> Result<Value, String> {
    if reply.status != 200 {
        return Err(format!("HTTP {}", reply.status));
    }
    // Some feeds are served as plain text; a page is none, whatever it holds.
    let content_type = reply.content_type().unwrap_or_default();
    if !["application/json", "text/json", "text/plain", "application/octet-stream"].contains(&content_type.as_str()) {
        return Err(format!("the feed is `{content_type}`, not JSON"));
    }
    reply.json().ok_or_else(|| "the feed is not JSON".to_string())
}

fn understand(platform: Platform, feed: &Value) -> FeedStatus {
    match platform {
        Platform::Notion | Platform::Trello => statuspage(feed),
        Platform::Slack => slack(feed),
        Platform::Drive => google(feed, "Google Drive"),
        Platform::Sheets => google(feed, "Google Sheets"),
    }
}

/// Statuspage: `status.indicator` is none, minor, major or critical.
fn statuspage(feed: &Value) -> FeedStatus {
    let said = || clip(feed["status"]["description"].as_str().unwrap_or("no description"), 200);
    match feed["status"]["indicator"].as_str() {
        Some("none") => FeedStatus::Operational,
        Some("minor" | "maintenance") => FeedStatus::Degraded(said()),
        Some("major" | "critical") => FeedStatus::Outage(said()),
        Some(other) => FeedStatus::Unknown(format!("the feed says `{}`", clip(other, 50))),
        None => FeedStatus::Unknown("the feed has no status".to_string()),
    }
}

/// Slack: `status` is `ok`, or there are active incidents.
fn slack(feed: &Value) -> FeedStatus {
    let incidents = feed["active_incidents"].as_array();
    let said = || {
        let titles = incidents.into_iter().flatten().filter_map(|i| i["title"].as_str());
        clip(&titles.collect::<Vec<_>>().join("; "), 200)
    };
    let outage = incidents.into_iter().flatten().any(|i| i["type"] == "outage");
    match feed["status"].as_str() {
        Some("ok") => FeedStatus::Operational,
        Some("active") if outage => FeedStatus::Outage(said()),
        Some("active") => FeedStatus::Degraded(said()),
        Some(other) => FeedStatus::Unknown(format!("the feed says `{}`", clip(other, 50))),
        None => FeedStatus::Unknown("the feed has no status".to_string()),
    }
}

/// Google: a list of incidents; those without an end are open.
fn google(feed: &Value, product: &str) -> FeedStatus {
    let Some(incidents) = feed.as_array() else {
        return FeedStatus::Unknown("the feed is not a list of incidents".to_string());
    };
    let concerns = |i: &&Value| {
        let affected = i["affected_products"].as_array().into_iter().flatten();
        i["service_name"] == product || affected.into_iter().any(|p| p["title"] == product)
    };
    let is_open = |i: &&Value| i["end"].as_str().is_none_or(str::is_empty);
    let open: Vec<&Value> = incidents.iter().filter(concerns).filter(is_open).collect();
    if open.is_empty() {
        return FeedStatus::Operational;
    }
    let titles: Vec<_> = open.iter().filter_map(|i| i["external_desc"].as_str()).collect();
    let said = clip(&titles.join("; "), 200);
    let impact = |word: &str| open.iter().any(|i| i["status_impact"] == word);
    if impact("SERVICE_OUTAGE") {
        FeedStatus::Outage(said)
    } else if impact("SERVICE_DISRUPTION") || !impact("SERVICE_INFORMATION") {
        FeedStatus::Degraded(said)
    } else {
        FeedStatus::Operational
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn feeds_are_understood() {
        use FeedStatus::{Degraded, Operational, Outage, Unknown};
        let page = |indicator: &str| json!({"status": {"indicator": indicator, "description": "words"}});
        let incident = |product: &str, end: Value, impact: &str| json!([{"service_name": product, "end": end, "external_desc": "words", "status_impact": impact}]);
        for (platform, feed, expected) in [
            (Platform::Notion, page("none"), Operational),
            (Platform::Notion, page("minor"), Degraded("words".into())),
            (Platform::Trello, page("critical"), Outage("words".into())),
            (Platform::Trello, json!({}), Unknown("the feed has no status".into())),
            (Platform::Slack, json!({"status": "ok", "active_incidents": []}), Operational),
            (
                Platform::Slack,
                json!({"status": "active", "active_incidents": [{"type": "incident", "title": "words"}]}),
                Degraded("words".into()),
            ),
            (
                Platform::Slack,
                json!({"status": "active", "active_incidents": [{"type": "outage", "title": "words"}]}),
                Outage("words".into()),
            ),
            (Platform::Drive, json!([]), Operational),
            (Platform::Drive, incident("Google Drive", json!(null), "SERVICE_OUTAGE"), Outage("words".into())),
            (Platform::Drive, incident("Google Drive", json!("2026-10-01"), "SERVICE_OUTAGE"), Operational),
            (Platform::Sheets, incident("Google Drive", json!(null), "SERVICE_OUTAGE"), Operational),
            (Platform::Sheets, incident("Google Sheets", json!(""), "SERVICE_DISRUPTION"), Degraded("words".into())),
            (Platform::Sheets, json!({"error": 1}), Unknown("the feed is not a list of incidents".into())),
        ] {
            assert_eq!(understand(platform, &feed), expected, "{platform} {feed}");
        }
    }
}

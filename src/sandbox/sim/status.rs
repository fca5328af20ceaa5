//! The vendors' status feeds, one path prefix each: `/notion/api/v2/status.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Call, Operation, Reply};
use super::hub::Refusal;
use crate::wire::Time;

/// The vendors that have a feed.
pub(super) const VENDORS: [&str; 4] = ["notion", "trello", "slack", "google"];

/// Google's key of a product, and of another.
const PRODUCTS: [(&str, &str); 2] =
    [("Google Drive", "VHNA7p3Z5p3iakj8sA9X"), ("Google Sheets", "9J7d2fHk3mPq8sTvWxYz")];

/// How bad a vendor says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Indicator {
    /// All is well.
    #[default]
    None,
    /// Some things work less well.
    Minor,
    /// Part of it does not work.
    Major,
    /// It does not work.
    Critical,
}

/// What one feed says, or that it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Feed {
    /// How bad it is.
    pub indicator: Indicator,
    /// Takes the request and never answers.
    pub hang: bool,
    /// Answers with a page instead of JSON, as a retired address does.
    pub html: bool,
    /// Google only: the products concerned, both when empty.
    pub products: Vec<String>,
    /// When it began to be bad.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// All feeds, by vendor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Feeds(BTreeMap<String, Feed>);

pub(super) fn operation(call: &Call) -> Operation {
    match call.segments().as_slice() {
        ["notion", ..] => Operation::read("status.notion"),
        ["trello", ..] => Operation::read("status.trello"),
        ["slack", ..] => Operation::read("status.slack"),
        ["google", ..] => Operation::read("status.google"),
        _ => Operation::UNKNOWN,
    }
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Unauthorized => Reply::html(401),
        Refusal::Forbidden => Reply::html(403),
        Refusal::Limited(over) => Reply::html(429).header("retry-after", over.retry_after_secs.to_string()),
        Refusal::Server(status) => Reply::html(*status),
    }
}

impl Feeds {
    /// Changes what a vendor says.
    pub(super) fn set(&mut self, vendor: &str, mut feed: Feed, now: Time) -> Result<(), String> {
        if !VENDORS.contains(&vendor) {
            return Err(format!("`{vendor}` has no feed; one of {}", VENDORS.join(", ")));
        }
        feed.since = feed.since.or(Some(now));
        self.0.insert(vendor.to_owned(), feed);
        Ok(())
    }

    pub(super) fn get(&self, vendor: &str) -> Feed {
        self.0.get(vendor).cloned().unwrap_or_default()
    }

    /// Whether the feed that is asked for hangs.
    pub(super) fn hangs(&self, call: &Call) -> bool {
        call.path.first().is_some_and(|vendor| self.get(vendor).hang)
    }

    pub(super) fn handle(&self, call: &Call, now: Time) -> Reply {
        let Some(vendor) = call.path.first() else { return Reply::html(404) };
        let feed = self.get(vendor);
        if feed.html {
            return Reply::html(200);
        }
        match call.segments().as_slice() {
            [vendor @ ("notion" | "trello"), "api", "v2", "status.json"] => {
                Reply::ok(&statuspage(vendor, &feed, now, &[]))
            }
            [vendor @ ("notion" | "trello"), "api", "v2", "summary.json"] => {
                Reply::ok(&statuspage(vendor, &feed, now, &["components", "incidents", "scheduled_maintenances"]))
            }
            [vendor @ ("notion" | "trello"), "api", "v2", "incidents", "unresolved.json"] => {
                let mut page = statuspage(vendor, &feed, now, &["incidents"]);
                if let Some(map) = page.as_object_mut() {
                    map.remove("status");
                }
                Reply::ok(&page)
            }
            ["slack", "api", "v2.0.0", "current"] => Reply::ok(&slack(&feed, now)),
            ["google", "appsstatus", "dashboard", "incidents.json"] => Reply::ok(&google(&feed, now)),
            ["google", "appsstatus", "dashboard", "products.json"] => {
                let products: Vec<Value> =
                    PRODUCTS.iter().map(|(title, id)| json!({"title": title, "id": id})).collect();
                Reply::ok(&json!({"products": products}))
            }
            _ => Reply::html(404),
        }
    }
}

/// Statuspage: the status, and the `more` members that are asked for.
fn statuspage(vendor: &str, feed: &Feed, now: Time, more: &[&str]) -> Value {
    let (name, url) = match vendor {
        "notion" => ("Notion", "https://www.notion-status.com"),
        _ => ("Trello", "https://trello.status.atlassian.com"),
    };
    let (indicator, description, component) = match feed.indicator {
        Indicator::None => ("none", "All Systems Operational", "operational"),
        Indicator::Minor => ("minor", "Minor Service Outage", "degraded_performance"),
        Indicator::Major => ("major", "Partial System Outage", "partial_outage"),
        Indicator::Critical => ("critical", "Major Service Outage", "major_outage"),
    };
    let since = feed.since.unwrap_or(now);
    let page_id = "abcdefghijkl";
    let component = json!({
        "id": "c0api", "name": "API", "status": component, "created_at": "2019-01-01T00:00:00.000Z",
        "updated_at": since, "position": 1, "description": null, "showcase": false, "start_date": null,
        "group_id": null, "page_id": page_id, "group": false, "only_show_if_degraded": false,
    });
    let incident = json!({
        "id": "inc0123456789", "name": "Elevated API errors", "status": "investigating", "created_at": since,
        "updated_at": since, "monitoring_at": null, "resolved_at": null, "impact": indicator,
        "shortlink": "https://stspg.io/example", "started_at": since, "page_id": page_id,
        "incident_updates": [{
            "id": "upd0123456789", "status": "investigating", "body": "We are investigating.",
            "incident_id": "inc0123456789", "created_at": since, "updated_at": since, "display_at": since,
        }],
        "components": [component],
    });
    let mut page = json!({
        "page": {
            "id": page_id, "name": name, "url": url, "time_zone": "America/Los_Angeles", "updated_at": now,
        },
        "status": {"indicator": indicator, "description": description},
    });
    for member in more {
        page[*member] = match *member {
            "components" => json!([component]),
            "incidents" if feed.indicator != Indicator::None => json!([incident]),
            _ => json!([]),
        };
    }
    page
}

fn slack(feed: &Feed, now: Time) -> Value {
    if feed.indicator == Indicator::None {
        return json!({"status": "ok", "date_created": now, "date_updated": now, "active_incidents": []});
    }
    let since = feed.since.unwrap_or(now);
    let kind = if feed.indicator == Indicator::Minor { "incident" } else { "outage" };
    json!({
        "status": "active",
        "date_created": since,
        "date_updated": now,
        "active_incidents": [{
            "id": 546,
            "date_created": since,
            "date_updated": now,
            "title": "Apps cannot post messages for some customers",
            "type": kind,
            "status": "active",
            "url": "https://slack-status.com/2026-10/0123456789abcdef",
            "services": ["Apps/Integrations/APIs", "Messaging"],
            "notes": [{"date_created": since, "body": "We are looking into it."}],
        }],
    })
}

/// Google's incidents: an old one that is over, and an open one for each product concerned.
fn google(feed: &Feed, now: Time) -> Value {
    let hour = std::time::Duration::from_secs(3600);
    let mut incidents = Vec::new();
    if feed.indicator != Indicator::None {
        let concerned =
            PRODUCTS.iter().filter(|(name, _)| feed.products.is_empty() || feed.products.iter().any(|p| p == name));
        let impact = if feed.indicator == Indicator::Minor { "SERVICE_DISRUPTION" } else { "SERVICE_OUTAGE" };
        for product in concerned {
            incidents.push(incident(*product, feed.since.unwrap_or(now), None, impact));
        }
    }
    let over = now.minus(hour * 24 * 40);
    incidents.push(incident(PRODUCTS[0], over, Some(over + hour * 3), "SERVICE_DISRUPTION"));
    Value::Array(incidents)
}

fn incident((product, key): (&str, &str), begin: Time, end: Option<Time>, impact: &str) -> Value {
    let update = |status: &str| {
        json!({
            "created": begin, "modified": begin, "when": begin, "text": "We are investigating.", "status": status,
        })
    };
    let now_status = if end.is_some() { "AVAILABLE" } else { impact };
    let id = format!("Inc{}{}", key, begin.0 / 1000);
    json!({
        "id": id,
        "number": (begin.0 / 1000).to_string(),
        "begin": begin,
        "created": begin,
        "end": end,
        "modified": end.unwrap_or(begin),
        "external_desc": format!("{product} API calls fail for some users"),
        "updates": [update(impact)],
        "most_recent_update": update(now_status),
        "status_impact": impact,
        "severity": if impact == "SERVICE_OUTAGE" { "high" } else { "medium" },
        "service_key": key,
        "service_name": product,
        "affected_products": [{"title": product, "id": key}],
        "uri": format!("incidents/{id}"),
    })
}

//! What is in the workspace at first.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{Channel, Slack};
use crate::wire::Time;

/// Name, purpose, whether it is private, archived, and has the bot in it.
const CHANNELS: [(&str, &str, bool, bool, bool); 11] = [
    ("general", "Company-wide announcements", false, false, true),
    ("operations", "What the orchestrator did", false, false, true),
    ("ops-alerts", "On-call alerts", false, false, true),
    ("errors", "Failures that nobody handled", false, false, true),
    ("approvals", "Actions that wait for a decision", false, false, true),
    ("health-checks", "Checks talk here", false, false, true),
    ("accounting", "Invoices", false, false, true),
    ("security", "Security team", true, false, true),
    ("random", "Everything else", false, false, false),
    ("board", "Management", true, false, false),
    ("project-apollo", "Done in 2024", false, true, true),
];

impl Slack {
    /// Fills an empty workspace.
    pub(crate) fn furnish(&mut self, now: Time) {
        let created = now.minus(Duration::from_secs(300 * 24 * 3600));
        for (name, purpose, private, archived, member) in CHANNELS {
            let mut messages = BTreeMap::new();
            for (n, text) in (1_i64..).zip(["Morning. All green.", "Deploying 4.1.9 at 14:00.", "Deploy is done."]) {
                let at = now.0 - (4 - n) * 3_600_000;
                let ts = format!("{}.{:06}", at / 1000, 100 * n);
                let user = &self.users[usize::try_from(n).unwrap_or_default() % self.users.len()].id;
                let message = json!({"type": "message", "user": user, "team": self.team, "text": text, "ts": ts});
                messages.insert(ts, message);
            }
            let channel =
                Channel { name: name.into(), purpose: purpose.into(), private, archived, member, created, messages };
            let id = self.ids.slack('C');
            self.channels.insert(id, channel);
        }
    }

    /// Where the orchestrator talks.
    pub(crate) fn defaults(&self) -> Vec<(&'static str, String)> {
        let id = |name: &str| {
            let found = self.channels.iter().find(|(_, c)| c.name == name);
            found.map(|(id, _)| id.clone()).unwrap_or_default()
        };
        vec![
            ("SLACK_DEFAULT_CHANNEL", id("general")),
            ("SLACK_NOTIFICATIONS_CHANNEL", id("operations")),
            ("SLACK_ERROR_CHANNEL", id("errors")),
        ]
    }
}

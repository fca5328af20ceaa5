//! Which actions a person has to decide about first, and how much depends on the decision.

use serde_json::Value;

use crate::wire::{ActionType, ApprovalCause, Platform, RiskLevel};

/// Items for one platform in one request beyond which they are a bulk.
pub const BULK: usize = 10;

/// What of an action matters here.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// What it does.
    pub action_type: ActionType,
    /// Where.
    pub platform: Platform,
    /// Its parameters.
    pub data: &'a Value,
    /// Whether the caller asks for a decision.
    pub requested: bool,
    /// Changes for the same platform in the same request, this one included.
    pub together: usize,
}

/// Where outside begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Border {
    /// Mail domains that are not outside.
    pub own_domains: Vec<String>,
    /// Slack channels that people outside read: ids or names.
    pub outside_channels: Vec<String>,
}

/// Why an action needs a decision, worst last; empty when it needs none. `rules` are those in force.
pub fn causes(asked: Asked<'_>, rules: &[ApprovalCause], border: &Border) -> Vec<ApprovalCause> {
    let applies = |cause: &ApprovalCause| match cause {
        ApprovalCause::Requested => asked.requested,
        ApprovalCause::Deletes => asked.action_type == ActionType::Delete,
        ApprovalCause::Bulk => asked.action_type != ActionType::Query && asked.together > BULK,
        ApprovalCause::Permissions => permissions(asked).next().is_some(),
        ApprovalCause::External => {
            permissions(asked).any(|permission| is_outside(permission, &border.own_domains)) || speaks(asked, border)
        }
    };
    let in_force = |cause: &ApprovalCause| *cause == ApprovalCause::Requested || rules.contains(cause);
    ApprovalCause::ALL.iter().copied().filter(|cause| in_force(cause) && applies(cause)).collect()
}

/// The permissions an action gives.
fn permissions<'a>(asked: Asked<'a>) -> impl Iterator<Item = &'a Value> {
    let given =
        Some(asked.data).filter(|_| asked.platform == Platform::Drive && asked.action_type != ActionType::Query);
    given.and_then(|data| data["permissions"].as_array()).into_iter().flatten()
}

/// Whether it writes where people outside read.
fn speaks(asked: Asked<'_>, border: &Border) -> bool {
    let plain = |channel: &str| channel.trim_start_matches('#').to_ascii_lowercase();
    let channel = asked.data["channel"].as_str().map(plain);
    asked.platform == Platform::Slack
        && matches!(asked.action_type, ActionType::Notify | ActionType::Update)
        && channel.is_some_and(|channel| border.outside_channels.iter().any(|outside| plain(outside) == channel))
}

/// Anyone with the link is outside; an address is, unless its domain is one of ours.
fn is_outside(permission: &Value, own_domains: &[String]) -> bool {
    let domain =
        permission["domain"].as_str().or_else(|| permission["emailAddress"].as_str()?.rsplit_once('@').map(|p| p.1));
    match domain {
        Some(domain) => !own_domains.iter().any(|own| own.eq_ignore_ascii_case(domain)),
        None => permission["type"] == "anyone",
    }
}

/// How much harm a wrong decision does: the worst of its causes.
pub fn risk(causes: &[ApprovalCause]) -> RiskLevel {
    let each = causes.iter().map(|cause| match cause {
        ApprovalCause::Requested => RiskLevel::Low,
        ApprovalCause::Bulk => RiskLevel::Medium,
        ApprovalCause::Deletes | ApprovalCause::Permissions => RiskLevel::High,
        ApprovalCause::External => RiskLevel::Critical,
    });
    each.max().unwrap_or(RiskLevel::Low)
}

/// Parameters that say which object an action is about, most telling first.
const NAMES: [&str; 11] = [
    "title",
    "name",
    "text",
    "page_id",
    "pageId",
    "cardId",
    "fileId",
    "channel",
    "listId",
    "spreadsheetId",
    "database_id",
];
/// Longest name shown.
const NAME_MAX: usize = 80;

/// What is to be decided: `delete on notion: page_id p-7`.
pub fn summary(action_type: ActionType, platform: Platform, data: &Value) -> String {
    let named = NAMES.iter().find_map(|name| Some((name, data[*name].as_str()?)));
    match named {
        Some((name, value)) => {
            let short: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(NAME_MAX).collect();
            format!("{action_type} on {platform}: {name} {short}")
        }
        None => format!("{action_type} on {platform}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ALL: &[ApprovalCause] =
        &[ApprovalCause::Deletes, ApprovalCause::Bulk, ApprovalCause::Permissions, ApprovalCause::External];

    fn asked(action_type: ActionType, platform: Platform, data: &Value) -> Asked<'_> {
        Asked { action_type, platform, data, requested: false, together: 1 }
    }

    #[test]
    fn deletes_and_more_than_ten_items_need_a_decision() {
        let data = json!({});
        let page = asked(ActionType::Create, Platform::Notion, &data);
        assert_eq!(causes(page, ALL, &Border::default()), []);
        assert_eq!(causes(Asked { together: BULK, ..page }, ALL, &Border::default()), []);
        assert_eq!(causes(Asked { together: BULK + 1, ..page }, ALL, &Border::default()), [ApprovalCause::Bulk]);
        let read = Asked { action_type: ActionType::Query, together: 500, ..page };
        assert_eq!(causes(read, ALL, &Border::default()), []);
        let delete = Asked { action_type: ActionType::Delete, together: 11, ..page };
        assert_eq!(causes(delete, ALL, &Border::default()), [ApprovalCause::Deletes, ApprovalCause::Bulk]);
        assert_eq!(causes(delete, &[], &Border::default()), []);
        assert_eq!(causes(Asked { requested: true, ..page }, &[], &Border::default()), [ApprovalCause::Requested]);
    }

    #[test]
    fn who_is_outside_depends_on_our_domains() {
        let border = Border { own_domains: vec!["Company.com".to_owned()], ..Border::default() };
        for (permission, outside) in [
            (json!({"type": "user", "role": "reader", "emailAddress": "ana@company.com"}), false),
            (json!({"type": "user", "role": "reader", "emailAddress": "x@evil-company.com"}), true),
            (json!({"type": "domain", "role": "reader", "domain": "company.com"}), false),
            (json!({"type": "anyone", "role": "reader"}), true),
        ] {
            let data = json!({"name": "f", "permissions": [permission]});
            let found = causes(asked(ActionType::File, Platform::Drive, &data), ALL, &border);
            let wanted = if outside { &ALL[2..] } else { &ALL[2..3] };
            assert_eq!(found, wanted, "{permission}");
        }
        let data = json!({"permissions": [{"type": "anyone"}]});
        assert_eq!(causes(asked(ActionType::Create, Platform::Notion, &data), ALL, &border), []);
    }

    #[test]
    fn a_message_goes_outside_when_its_channel_is_read_there() {
        let border = Border { outside_channels: vec!["#partners".into(), "C0AB12".into()], ..Border::default() };
        for (action_type, channel, outside) in [
            (ActionType::Notify, "#Partners", true),
            (ActionType::Notify, "partners", true),
            (ActionType::Update, "C0AB12", true),
            (ActionType::Notify, "#ops", false),
            (ActionType::Query, "#partners", false),
        ] {
            let data = json!({"channel": channel, "text": "hello"});
            let found = causes(asked(action_type, Platform::Slack, &data), ALL, &border);
            assert_eq!(found.contains(&ApprovalCause::External), outside, "{action_type} {channel}");
        }
        let data = json!({"text": "hello"});
        assert_eq!(causes(asked(ActionType::Notify, Platform::Slack, &data), ALL, &border), []);
    }

    #[test]
    fn the_worst_cause_is_the_risk() {
        use ApprovalCause::*;
        assert_eq!(risk(&[Requested]), RiskLevel::Low);
        assert_eq!(risk(&[Requested, Bulk]), RiskLevel::Medium);
        assert_eq!(risk(&[Deletes, Bulk]), RiskLevel::High);
        assert_eq!(risk(&[Permissions, External]), RiskLevel::Critical);
    }

    #[test]
    fn a_summary_is_one_short_line() {
        let words = summary(ActionType::Delete, Platform::Notion, &json!({"page_id": "p-7"}));
        assert_eq!(words, "delete on notion: page_id p-7");
        let words = summary(ActionType::Notify, Platform::Slack, &json!({"channel": "#x", "text": "a\nb".repeat(99)}));
        assert!(words.starts_with("notify on slack: text a ba b") && words.len() < 120, "{words}");
        assert_eq!(summary(ActionType::Query, Platform::Drive, &json!({})), "query on drive");
    }
}

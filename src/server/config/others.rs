//! Variables that the documents name and that are no settings here: they are looked at all the same, because somebody
//! set them for a reason.

use super::shape::{self, Shape};

/// A variable that is no setting.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    /// Its name.
    pub name: &'static str,
    /// Another name for the same thing.
    pub alias: Option<&'static str>,
    /// What its value should look like.
    pub shape: Shape,
}

const fn other(name: &'static str, shape: Shape) -> Other {
    Other { name, alias: None, shape }
}

/// All of them, by name.
pub const OTHERS: &[Other] = &[
    other("API_PORT", shape::PORT),
    other("CIRCUIT_BREAKER_RESET_TIMEOUT", shape::ANY),
    other("COMPOSIO_API_KEY", shape::ANY),
    other("COMPOSIO_CALLBACK_URL", shape::URL),
    other("COMPOSIO_SESSIONS_KEY", shape::ANY),
    other("DASHBOARD_BASE_URL", shape::URL),
    other("DRIVE_SHARE_WITH", shape::EMAIL),
    other("EMAIL_PASSWORD", shape::ANY),
    other("EMAIL_USER", shape::EMAIL),
    other("ENABLE_FALLBACKS", shape::FLAG),
    other("ENABLE_METRICS", shape::FLAG),
    other("FALLBACK_BACKUP_DIR", shape::ANY),
    other("FALLBACK_CSV_DIR", shape::ANY),
    other("FALLBACK_NOTIFICATION_EMAIL", shape::EMAIL),
    other("FALLBACK_WEBHOOK_URL", shape::URL),
    other("GMAIL_CLIENT_ID", shape::GOOGLE_CLIENT),
    other("GMAIL_CLIENT_SECRET", shape::ANY),
    other("GMAIL_PUBSUB_SUBSCRIPTION", shape::ANY),
    other("GMAIL_PUBSUB_TOPIC", shape::ANY),
    other("GMAIL_REDIRECT_URI", shape::URL),
    other("GOOGLE_DRIVE_API_KEY", shape::GOOGLE_API_KEY),
    other("GOOGLE_SHEETS_API_KEY", shape::GOOGLE_API_KEY),
    other("GROQ_API_KEY", shape::GROQ_KEY),
    other("GROQ_MODEL", shape::ANY),
    other("HEALTH_CHECKS_ENABLED", shape::FLAG),
    other("LLM_API_KEY", shape::ANY),
    other("LLM_DEFAULT_MODEL", shape::ANY),
    other("LLM_DEFAULT_PROVIDER", shape::ANY),
    other("MAX_DAILY_TOKENS", shape::COUNT),
    other("METRICS_DIR", shape::ANY),
    other("METRICS_ENABLED", shape::FLAG),
    other("NODE_ENV", shape::ANY),
    other("NOTION_TEST_DATABASE_ID", shape::NOTION_ID),
    other("NOTION_WORKSPACE_ID", shape::NOTION_ID),
    other("OPENAI_API_KEY", shape::OPENAI_KEY),
    other("OPENAI_MODEL", shape::ANY),
    other("OPENROUTER_API_KEY", shape::ANY),
    other("PORT", shape::PORT),
    other("SHEETS_TEST_SPREADSHEET_ID", shape::GOOGLE_ID),
    Other { alias: Some("SLACK_APPROVAL_CHANNEL"), ..other("SLACK_APPROVALS_CHANNEL", shape::SLACK_CHANNEL) },
    other("SLACK_APPROVALS_ENABLED", shape::FLAG),
    other("SLACK_APPROVAL_USERS", shape::ANY),
    other("SLACK_APP_TOKEN", shape::SLACK_APP),
    other("SLACK_BOT_USER_ID", shape::SLACK_USER),
    other("SLACK_ERROR_CHANNEL", shape::SLACK_CHANNEL),
    other("SLACK_MONITORED_CHANNELS", shape::ANY),
    other("SLACK_SIGNING_SECRET", shape::HEX_32),
    other("SLACK_SIMULATED_MODE", shape::FLAG),
    other("SLACK_TEST_CHANNEL", shape::SLACK_CHANNEL),
    other("SLACK_WEBHOOK_URL", shape::URL),
    other("TOGETHER_API_KEY", shape::ANY),
    other("TRELLO_BACKLOG_LIST", shape::TRELLO_ID),
    other("TRELLO_DONE_LIST", shape::TRELLO_ID),
    other("TRELLO_IN_PROGRESS_LIST", shape::TRELLO_ID),
    other("TRELLO_TODO_LIST", shape::TRELLO_ID),
    other("USE_GMAIL", shape::FLAG),
    other("USE_SLACK", shape::FLAG),
    other("VITE_API_BASE_URL", shape::URL),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::config::find;

    #[test]
    fn they_are_sorted_and_none_is_a_setting() {
        assert!(OTHERS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for one in OTHERS {
            assert!(find(one.name).is_none(), "{} is a setting", one.name);
        }
    }
}

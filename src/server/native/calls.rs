//! The way to the platforms, as the workers need it: one trait, so that tests can stand in for the network.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::platforms::undo::{Done, Seen, Undone};
use crate::platforms::{Call, CallOutcome, Clients, Credentials, Lookup, Platform, PlatformError};
use crate::server::config::Effective;
use crate::wire::{ActionType, Time};

/// What a call gives.
pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, PlatformError>>;

/// Calls to the platforms.
pub(super) trait Calls: Send + Sync {
    /// What has to be stored before a write is sent.
    fn prepare<'a>(&'a self, call: &'a Call) -> Answer<'a, Option<Value>>;
    /// Does one action.
    fn execute<'a>(&'a self, call: &'a Call) -> Answer<'a, CallOutcome>;
    /// Looks for what a write made whose answer was lost.
    fn find_written<'a>(&'a self, call: &'a Call, since: Time) -> Answer<'a, Lookup>;
    /// What a write is about to overwrite.
    fn before<'a>(&'a self, call: &'a Call) -> Answer<'a, Option<Value>>;
    /// Undoes an action, and reads back.
    fn undo<'a>(&'a self, done: &'a Done, force: bool, limit: Duration) -> Answer<'a, Undone>;
    /// Looks how the object of an action is now.
    fn inspect<'a>(&'a self, done: &'a Done, limit: Duration) -> Answer<'a, Seen>;
    /// Who the platform says we are.
    fn who_am_i(&self, platform: Platform, limit: Duration) -> Answer<'_, String>;
    /// Other credentials from now on.
    fn set_credentials(&self, credentials: Credentials);
    /// Empties what is remembered of the platforms' structure.
    fn clear_caches(&self) -> BTreeMap<String, u64>;
}

impl Calls for Clients {
    fn prepare<'a>(&'a self, call: &'a Call) -> Answer<'a, Option<Value>> {
        Box::pin(Clients::prepare(self, call))
    }

    fn execute<'a>(&'a self, call: &'a Call) -> Answer<'a, CallOutcome> {
        Box::pin(Clients::execute(self, call))
    }

    fn find_written<'a>(&'a self, call: &'a Call, since: Time) -> Answer<'a, Lookup> {
        Box::pin(Clients::find_written(self, call, since))
    }

    fn before<'a>(&'a self, call: &'a Call) -> Answer<'a, Option<Value>> {
        Box::pin(Clients::before(self, call))
    }

    fn undo<'a>(&'a self, done: &'a Done, force: bool, limit: Duration) -> Answer<'a, Undone> {
        Box::pin(Clients::undo(self, done, force, limit))
    }

    fn inspect<'a>(&'a self, done: &'a Done, limit: Duration) -> Answer<'a, Seen> {
        Box::pin(Clients::inspect(self, done, limit))
    }

    fn who_am_i(&self, platform: Platform, limit: Duration) -> Answer<'_, String> {
        Box::pin(self.who_am_i_within(platform, limit))
    }

    fn set_credentials(&self, credentials: Credentials) {
        Clients::set_credentials(self, credentials);
    }

    fn clear_caches(&self) -> BTreeMap<String, u64> {
        Clients::clear_caches(self)
    }
}

/// Whether a write of this kind is sent only with what [`Calls::prepare`] gave. One without it never left.
pub(super) const fn needs_preparing(platform: Platform, action_type: ActionType) -> bool {
    matches!(
        (platform, action_type),
        (Platform::Drive, ActionType::Create | ActionType::File)
            | (Platform::Sheets, ActionType::Create | ActionType::Log)
    )
}

/// The credentials and default places in force.
pub(in crate::server) fn credentials(settings: &Effective) -> Credentials {
    let mut env: BTreeMap<String, String> =
        settings.credentials.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect();
    let ids = &settings.ids;
    let places = [
        ("NOTION_DATABASE_ID", &ids.notion_database),
        ("TRELLO_DEFAULT_LIST_ID", &ids.trello_list),
        ("TRELLO_BOARD_ID", &ids.trello_board),
        ("SLACK_DEFAULT_CHANNEL", &ids.slack_channel),
        ("SLACK_NOTIFICATIONS_CHANNEL", &ids.slack_notifications),
        ("SHEETS_LOG_SPREADSHEET_ID", &ids.sheets_spreadsheet),
        ("SHEETS_LOG_SHEET", &ids.sheets_tab),
        ("GOOGLE_DRIVE_ROOT_FOLDER_ID", &ids.drive_folder),
    ];
    env.extend(places.into_iter().filter_map(|(name, id)| Some((name.to_owned(), id.clone()?))));
    Credentials::from_env(&env)
}

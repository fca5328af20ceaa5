//! Notion, Trello, Slack, Drive and Sheets spoken to directly; used by commands and by the orchestrator's executors.
//!
//! [`Clients`] is the way in: [`Clients::execute`] does one action and reduces the answer to ids and links,
//! [`Clients::who_am_i`] tests a credential. Retrying, pacing, circuits and consent are left to the callers; what they
//! need for it is in [`PlatformError`]: the documented code, how long to wait, and whether a failed write can have
//! happened. After a write in doubt, [`Clients::find_written`] looks for what it would have made.
//!
//! A write that the platform cannot deduplicate by itself carries a marker: a property in Notion (where the database
//! has one named `opsctl key` or `Idempotency Key`), the last line of a Trello description, a Slack message's
//! metadata, a Drive file's pre-made id. Where there is no place for one, the lookup goes by content, author and time.

mod answer;
mod caches;
mod clients;
mod credentials;
mod drive;
mod endpoints;
mod error;
mod fields;
mod google;
mod ids;
mod keys;
pub mod look;
mod notion;
pub mod objects;
pub mod pace;
pub mod rotation;
mod session;
mod sheets;
pub mod sheets_row;
pub mod slack;
pub mod status;
pub mod sweep;
#[cfg(test)]
mod tests;
mod trello;
pub mod undo;

use std::time::Duration;

use serde_json::Value;

pub use crate::wire::Platform;
use crate::wire::{ActionType, ErrorCode, Time};
pub use clients::{CallEvent, Clients, Observer};
pub use credentials::{Credentials, Defaults, GoogleKey, Keys, TrelloKeys, is_credential, rotating_variable};
pub use endpoints::Endpoints;
pub use error::{Delivery, PlatformError, auth_error_text};
pub use fields::{is_read, operations, validate};
pub use google::Renewed;
pub use ids::{DriveFileId, NotionId, SpreadsheetId, TrelloBoardId, TrelloCardId, tab_of_address};
pub use keys::{Expiry, Granted, Permission};

/// How long one action may take unless it says otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// One action to execute.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Where.
    pub platform: Platform,
    /// What.
    pub action_type: ActionType,
    /// The documented data of the platform and type; see [`validate`].
    pub data: Value,
    /// Put on the object that is made, so that it can be recognised later.
    pub marker: Option<String>,
    /// What [`Clients::prepare`] gave; has to be stored before the call is executed.
    pub prepared: Option<Value>,
    /// Limit for the whole action, all of its requests together.
    pub timeout: Duration,
}

impl Call {
    /// A call without marker and with the usual limit.
    pub fn new(platform: Platform, action_type: ActionType, data: Value) -> Self {
        Call { platform, action_type, data, marker: None, prepared: None, timeout: CALL_TIMEOUT }
    }
}

/// What a successful call gave.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOutcome {
    /// Ids and links: `{"pageId", "url"}`, `{"cardId", "url"}`, `{"channel", "ts"}`, `{"fileId", "webViewLink"}`, ...
    pub result: Value,
    /// True when an earlier try had already done it, so that nothing was written now.
    pub served_by_marker: bool,
}

impl CallOutcome {
    fn done(result: Value) -> Self {
        CallOutcome { result, served_by_marker: false }
    }

    fn found(result: Value) -> Self {
        CallOutcome { result, served_by_marker: true }
    }
}

/// What became of a write whose answer was lost.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// It was done: here is what it made.
    Found(CallOutcome),
    /// It was not done, or repeating it changes nothing: it may be sent again.
    Absent,
    /// The platform cannot tell, for this reason: a person has to look.
    Unclear(String),
}

/// Whether a write of this kind is sent only with what [`Clients::prepare`] gave: one without it never left.
pub const fn needs_preparing(platform: Platform, action: ActionType) -> bool {
    use ActionType::{Create, File, Log};
    matches!((platform, action), (Platform::Drive, Create | File) | (Platform::Sheets, Create | Log))
}

impl Clients {
    /// What has to be known and stored before a write is sent, so that it can be recognised afterwards: a Drive file's
    /// id, the last filled row of a sheet. `None` when the call needs nothing.
    pub async fn prepare(&self, call: &Call) -> Result<Option<Value>, PlatformError> {
        if !needs_preparing(call.platform, call.action_type) {
            return Ok(None);
        }
        let session = self.session(call.platform, call.timeout);
        match call.platform {
            Platform::Drive => drive::prepare(&session, call).await.map(Some),
            Platform::Sheets => sheets::prepare(&session, call).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Does one action.
    pub async fn execute(&self, call: &Call) -> Result<CallOutcome, PlatformError> {
        validate(call.platform, call.action_type, &call.data)
            .map_err(|why| PlatformError::invalid(call.platform, why))?;
        let session = self.session(call.platform, call.timeout);
        match call.platform {
            Platform::Notion => notion::execute(&session, call).await,
            Platform::Trello => trello::execute(&session, call).await,
            Platform::Slack => slack::execute(&session, call).await,
            Platform::Drive => drive::execute(&session, call).await,
            Platform::Sheets => sheets::execute(&session, call).await,
        }
    }

    /// Looks for what a write made whose answer was lost. `since` is when it was first intended. A write whose
    /// repetition changes nothing (an update, an archive) is answered [`Lookup::Absent`] without looking.
    pub async fn find_written(&self, call: &Call, since: Time) -> Result<Lookup, PlatformError> {
        validate(call.platform, call.action_type, &call.data)
            .map_err(|why| PlatformError::invalid(call.platform, why))?;
        let session = self.session(call.platform, call.timeout);
        match call.platform {
            Platform::Notion => notion::find_written(&session, call, since).await,
            Platform::Trello => trello::find_written(&session, call, since).await,
            Platform::Slack => slack::find_written(&session, call, since).await,
            Platform::Drive => drive::find_written(&session, call).await,
            Platform::Sheets => sheets::find_written(&session, call).await,
        }
    }

    /// The version of a platform's API that is spoken, and how the platform is told.
    pub fn api_version(&self, platform: Platform) -> (String, &'static str) {
        match platform {
            Platform::Notion => (notion::VERSION.to_string(), "sent as Notion-Version with every request"),
            Platform::Slack => ("Web API".to_string(), "it has no versions"),
            Platform::Trello | Platform::Drive | Platform::Sheets => {
                let version = self.endpoints().base(platform).rsplit('/').next().unwrap_or_default();
                (version.to_string(), "part of the address")
            }
        }
    }

    /// Who the platform says the credential is; fails as the platform fails.
    pub async fn who_am_i(&self, platform: Platform) -> Result<String, PlatformError> {
        self.who_am_i_within(platform, CALL_TIMEOUT).await
    }

    /// As [`Clients::who_am_i`], within another limit.
    pub async fn who_am_i_within(&self, platform: Platform, limit: Duration) -> Result<String, PlatformError> {
        let session = self.session(platform, limit);
        match platform {
            Platform::Notion => notion::who_am_i(&session).await,
            Platform::Trello => trello::who_am_i(&session).await,
            Platform::Slack => slack::who_am_i(&session).await,
            Platform::Drive => drive::who_am_i(&session).await,
            Platform::Sheets => sheets::who_am_i(&session).await,
        }
    }
}

/// The answer to a call that a platform's module does not know; `validate` refuses it earlier with a list.
fn unsupported(call: &Call) -> PlatformError {
    let message = format!("{} cannot do `{}`", call.platform, call.action_type);
    PlatformError::new(call.platform, ErrorCode::ValidationError, message)
}

//! Undoing what an action did, and telling whether it is undone.
//!
//! [`plan`] says from the records alone how an action is undone: by a request, by a person, or not at all.
//! [`Clients::before`] reads what a write is about to overwrite. [`Clients::undo`] looks, undoes, and reads back; done
//! twice it changes nothing the second time. [`Clients::inspect`] only looks.

mod drive;
mod guard;
mod limitations;
mod notion;
mod rows;
mod sheets;
mod slack;
mod trello;
mod typed;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::fields::Data;
use super::{Call, Clients, PlatformError, sheets_row, validate};
use crate::wire::{ActionType, ErrorCode, Platform, Reversibility, Time};
pub use limitations::{limitations, reversibility};

/// An action that was executed, with what was kept of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Done {
    /// The platform that really did it.
    pub platform: Platform,
    /// What was done.
    pub action_type: ActionType,
    /// The parameters as sent.
    pub data: Value,
    /// What [`Clients::execute`](super::Clients::execute) gave; null when the answer was lost and it is in doubt.
    pub result: Value,
    /// What [`Clients::before`](super::Clients::before) gave before it was sent.
    pub before: Option<Value>,
    /// The marker it put on the object.
    pub marker: Option<String>,
    /// When it was done.
    pub at: Time,
}

/// How an action is undone.
#[derive(Clone, Debug, PartialEq)]
pub struct UndoPlan {
    /// How far an action of this kind can be undone.
    pub reversibility: Reversibility,
    /// What undoing means here, with the object: `move file 1AbC to the trash`.
    pub what: String,
    /// What failed, when it fails: `File deletion`.
    pub label: &'static str,
    /// The way.
    pub way: Way,
}

/// Who undoes it.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// A request to the platform.
    Request,
    /// A person, with these instructions, command by command.
    Manual(Vec<String>),
    /// Nobody: there is nothing to undo, for this reason.
    Nothing(&'static str),
}

/// What came of an undo.
#[derive(Clone, Debug, PartialEq)]
pub enum Undone {
    /// The platform shows that it is undone now; what it showed.
    Confirmed(String),
    /// It was undone before anything was sent; what the platform showed.
    Already(String),
    /// Nothing was sent: somebody changed the object since. Forcing goes past it.
    ChangedSince(String),
    /// It was sent, and the platform shows that it still stands.
    StillStands(String),
}

/// How the object of an action looks now. What counts is the action's effect: a page that was to be deleted and is in
/// the trash is `Present`, as the action left it.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// It is as the action left it.
    Present,
    /// It is there, and was changed since: how.
    Altered(String),
    /// It is not there any more: what the platform says (in the trash, archived, not found).
    Missing(String),
    /// The platform cannot tell, for this reason.
    NotReported(String),
}

impl Done {
    /// The parameters, by their canonical names.
    fn data(&self) -> Data<'_> {
        Data::new(self.platform, self.action_type, &self.data)
    }

    /// An id in the result; `None` when the result was lost.
    fn id(&self, name: &str) -> Option<&str> {
        self.result[name].as_str().filter(|id| !id.is_empty())
    }

    /// The ids of the object that it made or changed, as its result names them: the object's own, then that of what it
    /// is in. The same for every action on that object; none where the result was lost.
    pub fn object(&self) -> Vec<String> {
        let names: &[&str] = match self.platform {
            Platform::Notion => &["blockId", "pageId"],
            Platform::Trello => &["commentId", "cardId"],
            Platform::Slack => &["ts"],
            Platform::Drive => &["fileId"],
            Platform::Sheets => &["updatedRange"],
        };
        let Some(own) = names.iter().find_map(|name| self.id(name)) else { return Vec::new() };
        let within = self.id("spreadsheetId").or_else(|| self.id("channel"));
        std::iter::once(own).chain(within).map(str::to_owned).collect()
    }

    fn in_doubt(&self) -> bool {
        self.result.is_null()
    }
}

impl UndoPlan {
    fn new(done: &Done, label: &'static str, what: String, way: Way) -> Self {
        UndoPlan { reversibility: limitations::reversibility(done.platform, done.action_type), what, label, way }
    }

    /// For an action that changed nothing.
    fn of_a_read(done: &Done) -> Self {
        UndoPlan::new(done, "Reading", "nothing: it only read".into(), Way::Nothing("it only read"))
    }
}

impl Way {
    fn manual<const N: usize>(lines: [String; N]) -> Self {
        Way::Manual(lines.into())
    }
}

/// Whether an action of this kind overwrites something that [`Clients::before`] has to keep first.
pub const fn overwrites(platform: Platform, action_type: ActionType) -> bool {
    match platform {
        Platform::Notion | Platform::Trello | Platform::Drive => {
            matches!(action_type, ActionType::Update | ActionType::Delete)
        }
        Platform::Sheets => matches!(action_type, ActionType::Update | ActionType::Delete),
        Platform::Slack => false,
    }
}

/// How an action is undone, from what was kept of it.
pub fn plan(done: &Done) -> UndoPlan {
    match (done.platform, done.action_type) {
        (_, ActionType::Query) => UndoPlan::of_a_read(done),
        (Platform::Notion, _) => notion::plan(done),
        (Platform::Trello, _) => trello::plan(done),
        (Platform::Slack, _) => slack::plan(done),
        (Platform::Drive, _) => drive::plan(done),
        (Platform::Sheets, ActionType::Delete) => rows::plan(done),
        (Platform::Sheets, _) => sheets::plan(done),
    }
}

/// What a person does where the platform refused an undo, command by command. For an action that only a person can
/// undo, the lines of its plan.
pub fn by_hand(done: &Done) -> Vec<String> {
    match plan(done).way {
        Way::Nothing(_) => Vec::new(),
        Way::Manual(lines) => lines,
        Way::Request => match done.platform {
            Platform::Notion => notion::by_hand(done),
            Platform::Trello => trello::by_hand(done),
            Platform::Drive => drive::by_hand(done),
            Platform::Sheets if done.action_type == ActionType::Delete => rows::by_hand(done),
            Platform::Sheets => sheets::by_hand(done),
            Platform::Slack => Vec::new(),
        },
    }
}

fn only_a_person(plan: &UndoPlan, platform: Platform) -> PlatformError {
    PlatformError::invalid(platform, format!("only a person can do this: {}", plan.what))
}

/// The object; `None` when the platform does not know it any more.
fn if_there<T>(answer: Result<T, PlatformError>) -> Result<Option<T>, PlatformError> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.code == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Clients {
    /// What a write is about to overwrite, as far as an undo needs it; `None` when it overwrites nothing (see
    /// [`overwrites`]). Has to be stored before the write is sent. Fails as the platform fails: an object that is not
    /// there is a `NOT_FOUND` here as it would be for the write.
    pub async fn before(&self, call: &Call) -> Result<Option<Value>, PlatformError> {
        if !overwrites(call.platform, call.action_type) {
            return Ok(None);
        }
        validate(call.platform, call.action_type, &call.data)
            .map_err(|why| PlatformError::invalid(call.platform, why))?;
        let session = self.session(call.platform, call.timeout);
        let data = Data::new(call.platform, call.action_type, &call.data);
        let image = match call.platform {
            Platform::Notion => notion::before(&session, call.action_type, &data).await?,
            Platform::Trello => trello::before(&session, call.action_type, &data).await?,
            Platform::Drive => drive::before(&session, call.action_type, &data).await?,
            Platform::Sheets if call.action_type == ActionType::Delete => sheets_row::before(&session, &data).await?,
            Platform::Sheets => sheets::before(&session, &data).await?,
            Platform::Slack => return Ok(None),
        };
        Ok(Some(image))
    }

    /// Undoes an action: looks whether it still stands as it was left, sends one request, and reads back. Done again
    /// after a lost answer, it finds it undone. `force` goes past changes that somebody made since. What only a
    /// person can undo is a `VALIDATION_ERROR`; see [`plan`].
    pub async fn undo(&self, done: &Done, force: bool, timeout: Duration) -> Result<Undone, PlatformError> {
        let plan = plan(done);
        match &plan.way {
            Way::Nothing(why) => return Ok(Undone::Already((*why).to_string())),
            Way::Manual(_) => return Err(only_a_person(&plan, done.platform)),
            Way::Request => {}
        }
        let session = self.session(done.platform, timeout);
        match done.platform {
            Platform::Notion => notion::undo(&session, done, force).await,
            Platform::Trello => trello::undo(&session, done, force).await,
            Platform::Drive => drive::undo(&session, done, force).await,
            Platform::Sheets if done.action_type == ActionType::Delete => rows::undo(&session, done, force).await,
            Platform::Sheets => sheets::undo(&session, done, force).await,
            Platform::Slack => Err(only_a_person(&plan, done.platform)),
        }
    }

    /// Corrects a message that was sent by hand: [`Clients::undo`] leaves that to a person, because a workflow's messages
    /// are not one person's to correct.
    pub async fn correct(&self, done: &Done, timeout: Duration) -> Result<Undone, PlatformError> {
        slack::correct(&self.session(Platform::Slack, timeout), done).await
    }

    /// Looks how the object of an action is now. Changes nothing.
    pub async fn inspect(&self, done: &Done, timeout: Duration) -> Result<Seen, PlatformError> {
        if done.action_type == ActionType::Query {
            return Ok(Seen::NotReported("it only read".into()));
        }
        if done.in_doubt() {
            return Ok(Seen::NotReported("its answer was lost, so its object is not known".into()));
        }
        let session = self.session(done.platform, timeout);
        match done.platform {
            Platform::Notion => notion::inspect(&session, done).await,
            Platform::Trello => trello::inspect(&session, done).await,
            Platform::Slack => slack::inspect(&session, done).await,
            Platform::Drive => drive::inspect(&session, done).await,
            Platform::Sheets if done.action_type == ActionType::Delete => rows::inspect(&session, done).await,
            Platform::Sheets => sheets::inspect(&session, done).await,
        }
    }
}

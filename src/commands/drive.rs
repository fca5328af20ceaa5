//! `opsctl drive`: files, straight at Drive.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::app::App;
use crate::bulk::{Deed, Item, Job};
use crate::commands::args::already;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Undo};
use crate::platforms::look::{DRIVE_FIELDS, fingerprint};
use crate::platforms::objects::OWNER_FIELDS;
use crate::platforms::{DriveFileId, Platform};
use crate::wire::{ActionType, ErrorCode};

/// Files of Drive
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Delete(DeleteArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Delete(args) => delete(app, args).await,
        }
    }
}

/// Move a file to the trash
///
/// Drive keeps the trash for 30 days; `opsctl undo RECEIPT` takes the file out of it. Only its owner can move a file to
/// the trash, in a shared drive its managers.
///
/// Example: opsctl drive delete 1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms
#[derive(Args, Debug)]
pub struct DeleteArgs {
    /// File: its id or address
    #[arg(value_name = "FILE")]
    file: DriveFileId,

    #[command(flatten)]
    change: ChangeArgs,
}

async fn delete(app: &App, args: DeleteArgs) -> anyhow::Result<Outcome> {
    let clients = app.paced().await?;
    let id = args.file.as_str();
    let what = || format!("cannot read the Drive file {id}");
    let owned = clients.drive_file(id, OWNER_FIELDS).await.map_err(|error| error.fault(what()))?;
    let name = owned["name"].as_str().unwrap_or("untitled");
    if owned["trashed"] == true {
        return already(app, format!("`{name}` is in the trash already"));
    }
    if owned["capabilities"]["canTrash"] == false {
        return Err(not_ours(name, &owned).into());
    }
    let file = clients.drive_file(id, DRIVE_FIELDS).await.map_err(|error| error.fault(what()))?;
    let item = Item::new(id, Deed::act(Platform::Drive, ActionType::Delete, json!({"fileId": id})))
        .named(name)
        .sends(format!("PATCH /drive/v3/files/{id} trashed=true"))
        .because(format!("owned by {}", owner(&owned)))
        .seen(fingerprint(Platform::Drive, &file))
        .undo(Undo::Restore);
    Job::new("drive delete", "move 1 file to the trash", &args.change)
        .subject(format!("drive file {id}"))
        .note("Drive keeps the trash for 30 days; undo takes the file out of it")
        .items(vec![item])
        .run(app)
        .await
}

fn owner(file: &Value) -> String {
    let owner = &file["owners"][0];
    let name = owner["emailAddress"].as_str().or(owner["displayName"].as_str());
    match name {
        Some(name) => name.to_owned(),
        None if file["driveId"].is_string() => "a shared drive".to_owned(),
        None => "somebody else".to_owned(),
    }
}

/// The file is another's.
fn not_ours(name: &str, file: &Value) -> Fault {
    let owner = owner(file);
    let hint = match file["driveId"].is_string() {
        true => "a manager of the shared drive can, or can give this account the right".to_owned(),
        false => format!("ask {owner} to move it to the trash"),
    };
    Fault::new(Kind::NotAuthenticated, format!("cannot move `{name}` to the trash"))
        .because(format!("it belongs to {owner}, and Drive lets nobody else do that"))
        .hint(hint)
        .code(ErrorCode::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_file_is() {
        assert_eq!(owner(&json!({"owners": [{"emailAddress": "ana@example.com"}]})), "ana@example.com");
        assert_eq!(owner(&json!({"driveId": "0A"})), "a shared drive");
        let fault = not_ours("plan", &json!({"owners": [{"emailAddress": "ana@example.com"}]}));
        assert_eq!(fault.hint.as_deref(), Some("ask ana@example.com to move it to the trash"));
    }
}

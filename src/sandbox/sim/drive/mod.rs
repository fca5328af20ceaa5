//! Drive: files and folders of one shared drive and of the account's own.

mod files;
mod list;
mod query;
mod seed;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Call, Effect, Operation, Reply};
use super::google::mask::Mask;
use super::google::{self, Denied, legacy_error};
use super::hub::Refusal;
use super::ids::Ids;
use super::keys::{Caller, Keys};
use super::limits::{Charge, LimitSettings};
use crate::wire::Time;

/// What Drive calls a folder.
const FOLDER: &str = "application/vnd.google-apps.folder";

/// What all of Google's own formats start with.
const OWN_FORMATS: &str = "application/vnd.google-apps.";

/// How long Drive keeps what is in the trash.
const TRASH_PERIOD: Duration = Duration::from_secs(30 * 24 * 3600);

/// The drives.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Drive {
    pub(super) ids: Ids,
    /// The account's own root folder.
    my_drive: String,
    /// A shared drive, which is also the id of its root folder.
    shared_drive: String,
    account: String,
    permission_id: String,
    files: BTreeMap<String, File>,
    /// Ids that were generated and not used yet.
    reserved: BTreeSet<String>,
    /// Whether a service account is refused space of its own, as Google does.
    pub(super) no_own_storage: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct File {
    name: String,
    mime_type: String,
    description: Option<String>,
    parent: String,
    /// Put into the trash itself, not with its folder.
    trashed: Option<Time>,
    created: Time,
    modified: Time,
    app_properties: BTreeMap<String, String>,
    permissions: Vec<Value>,
    /// The content in base64; `None` for folders and Google's own formats.
    content: Option<String>,
    size: u64,
    sha256: String,
}

pub(super) fn operation(call: &Call) -> Operation {
    match (call.method.as_str(), call.segments().as_slice()) {
        ("GET", ["drive", "v3", "about"]) => Operation::read("about.get"),
        ("GET", ["drive", "v3", "files"]) => Operation::read("files.list"),
        ("GET", ["drive", "v3", "files", "generateIds"]) => Operation::read("files.generateIds"),
        ("GET", ["drive", "v3", "files", _]) => Operation::read("files.get"),
        ("POST", ["drive", "v3", "files"] | ["upload", "drive", "v3", "files"]) => Operation::create("files.create"),
        ("PATCH", ["drive", "v3", "files", _]) => match call.json().as_ref().and_then(|b| b["trashed"].as_bool()) {
            Some(true) => Operation::delete("files.trash"),
            Some(false) => Operation::update("files.untrash"),
            None => Operation::update("files.update"),
        },
        ("DELETE", ["drive", "v3", "files", _]) => Operation::delete("files.delete"),
        ("GET", ["drive", "v3", "files", _, "permissions"]) => Operation::read("permissions.list"),
        ("POST", ["drive", "v3", "files", _, "permissions"]) => Operation::update("permissions.create"),
        ("DELETE", ["drive", "v3", "files", _, "permissions", _]) => Operation::update("permissions.delete"),
        _ => Operation::UNKNOWN,
    }
}

pub(super) fn authorize(call: &Call, keys: &Keys, operation: Operation, now: Time) -> Result<Caller, Reply> {
    let scopes: &[&str] = match operation.effect {
        Effect::Read => &["drive", "drive.file", "drive.readonly", "drive.metadata", "drive.metadata.readonly"],
        _ => &["drive", "drive.file"],
    };
    google::authorize(call, keys, scopes, now).map_err(|denied| match denied {
        Denied::Missing => {
            legacy_error(401, "Login Required.", "global", "required", Some(("header", "Authorization")))
        }
        Denied::Invalid => refuse(&Refusal::Unauthorized),
        Denied::Scope => {
            let message = "Insufficient Permission: Request had insufficient authentication scopes.";
            legacy_error(403, message, "global", "insufficientPermissions", None)
        }
    })
}

pub(super) fn charges(limits: &LimitSettings, caller: &Caller) -> Vec<Charge> {
    let charge = Charge::new("units", &caller.subject, limits.drive_units_per_minute, Duration::from_secs(60));
    vec![Charge { cost: limits.drive_units_per_request, ..charge }]
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Unauthorized => {
            legacy_error(401, "Invalid Credentials", "global", "authError", Some(("header", "Authorization")))
        }
        Refusal::Forbidden => {
            let message = "The user does not have sufficient permissions for this file.";
            legacy_error(403, message, "global", "insufficientFilePermissions", None)
        }
        // Drive throttles with 403 and promises no Retry-After.
        Refusal::Limited(_) => {
            legacy_error(403, "User Rate Limit Exceeded", "usageLimits", "userRateLimitExceeded", None)
        }
        Refusal::Server(status @ (502..=504)) => legacy_error(*status, "Backend Error", "global", "backendError", None),
        Refusal::Server(status) => legacy_error(*status, "Internal Error", "global", "internalError", None),
    }
}

fn not_found(id: &str) -> Reply {
    let message = format!("File not found: {id}.");
    legacy_error(404, &message, "global", "notFound", Some(("parameter", "fileId")))
}

fn invalid(location: &str) -> Reply {
    legacy_error(400, "Invalid Value", "global", "invalid", Some(("parameter", location)))
}

/// Reads the `fields` parameter, or takes the default.
fn mask(call: &Call, default: &str, known: &[&str]) -> Result<Mask, Reply> {
    let refused = |part: &str| {
        let message = format!("Invalid field selection {part}");
        legacy_error(400, &message, "global", "invalidParameter", Some(("parameter", "fields")))
    };
    let mask = Mask::parse(call.arg("fields").unwrap_or(default)).map_err(|part| refused(&part))?;
    match mask.unknown(known) {
        Some(name) => Err(refused(name)),
        None => Ok(mask),
    }
}

impl Drive {
    pub(super) fn new(seed: u64, account: &str) -> Self {
        let mut ids = Ids::new(seed, "drive");
        Drive {
            my_drive: format!("0A{}Uk9PVA", ids.alnum(11)),
            shared_drive: format!("0A{}Uk9PVA", ids.alnum(11)),
            permission_id: ids.digits(20),
            account: account.to_owned(),
            files: BTreeMap::new(),
            reserved: BTreeSet::new(),
            no_own_storage: false,
            ids,
        }
    }

    pub(super) fn handle(&mut self, call: &Call, now: Time) -> Reply {
        self.empty_trash(now);
        self.route(call, now).unwrap_or_else(|refused| refused)
    }

    /// What has been in the trash for too long goes for good, with what is below it.
    fn empty_trash(&mut self, now: Time) {
        let over = |id: &str| self.files.get(id).and_then(|f| f.trashed).is_some_and(|at| now.since(at) > TRASH_PERIOD);
        let gone: Vec<String> = self.files.keys().filter(|id| self.ancestors(id).any(over)).cloned().collect();
        gone.iter().for_each(|id| drop(self.files.remove(id)));
    }

    fn route(&mut self, call: &Call, now: Time) -> Result<Reply, Reply> {
        match (call.method.as_str(), call.segments().as_slice()) {
            ("GET", ["drive", "v3", "about"]) => self.about(call),
            ("GET", ["drive", "v3", "files"]) => self.list(call),
            ("GET", ["drive", "v3", "files", "generateIds"]) => self.generate_ids(call),
            ("POST", ["drive", "v3", "files"]) => {
                let metadata = call.json().ok_or_else(parse_error)?;
                self.create(call, &metadata, None, now)
            }
            ("POST", ["upload", "drive", "v3", "files"]) => {
                let (metadata, mime_type, content) = files::uploaded(call)?;
                self.create(call, &metadata, Some((&mime_type, &content)), now)
            }
            ("GET", ["drive", "v3", "files", id]) => self.get(call, id),
            ("PATCH", ["drive", "v3", "files", id]) => self.update(call, id, now),
            ("DELETE", ["drive", "v3", "files", id]) => self.delete(call, id),
            ("GET", ["drive", "v3", "files", id, "permissions"]) => {
                let file = self.visible(call, id)?;
                let mask =
                    mask(call, "kind,permissions(kind,id,type,role)", &["kind", "permissions", "nextPageToken"])?;
                let list = json!({"kind": "drive#permissionList", "permissions": file.permissions});
                Ok(Reply::ok(&mask.apply(list)))
            }
            ("POST", ["drive", "v3", "files", id, "permissions"]) => self.share(call, id),
            ("DELETE", ["drive", "v3", "files", id, "permissions", permission]) => {
                self.visible(call, id)?;
                let Some(file) = self.files.get_mut(*id) else { return Err(not_found(id)) };
                let before = file.permissions.len();
                file.permissions.retain(|p| p["id"] != *permission);
                if file.permissions.len() == before {
                    let message = format!("Permission not found: {permission}.");
                    let location = Some(("parameter", "permissionId"));
                    return Err(legacy_error(404, &message, "global", "notFound", location));
                }
                Ok(Reply { status: 204, body: String::new(), ..Reply::ok(&Value::Null) })
            }
            _ => Err(Reply::html(404)),
        }
    }

    fn about(&self, call: &Call) -> Result<Reply, Reply> {
        if call.arg("fields").is_none() {
            let message = "The 'fields' parameter is required for this method.";
            return Err(legacy_error(400, message, "global", "required", Some(("parameter", "fields"))));
        }
        let used: u64 = self.files.values().map(|f| f.size).sum();
        let trashed: u64 = self.files.values().filter(|f| f.trashed.is_some()).map(|f| f.size).sum();
        let about = json!({
            "kind": "drive#about",
            "user": {
                "kind": "drive#user", "displayName": self.account, "emailAddress": self.account,
                "permissionId": self.permission_id, "me": true,
            },
            "storageQuota": {
                "limit": "16106127360", "usage": used.to_string(), "usageInDrive": used.to_string(),
                "usageInDriveTrash": trashed.to_string(),
            },
        });
        let known =
            ["kind", "user", "storageQuota", "importFormats", "exportFormats", "maxUploadSize", "canCreateDrives"];
        Ok(Reply::ok(&mask(call, "*", &known)?.apply(about)))
    }

    fn generate_ids(&mut self, call: &Call) -> Result<Reply, Reply> {
        let count = match call.arg("count") {
            None => 10,
            Some(text) => text.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| invalid("count"))?,
        };
        let ids: Vec<String> = (0..count).map(|_| self.ids.drive()).collect();
        self.reserved.extend(ids.iter().cloned());
        Ok(Reply::ok(&json!({"kind": "drive#generatedIds", "space": "drive", "ids": ids})))
    }

    /// Whether a file is below the shared drive.
    fn is_shared(&self, id: &str) -> bool {
        self.ancestors(id).any(|id| id == self.shared_drive)
    }

    /// In the trash itself, or with a folder above it.
    fn is_trashed(&self, id: &str) -> bool {
        self.ancestors(id).any(|id| self.files.get(id).is_some_and(|f| f.trashed.is_some()))
    }

    /// The file and the folders above it, up to a root.
    fn ancestors<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        std::iter::successors(Some(id), |id| self.files.get(*id).map(|f| f.parent.as_str()))
    }

    /// A file, as far as the request is allowed to see it: what is in a shared drive only with `supportsAllDrives`.
    fn visible(&self, call: &Call, id: &str) -> Result<&File, Reply> {
        let file = self.files.get(id).ok_or_else(|| not_found(id))?;
        if self.is_shared(id) && !call.flag("supportsAllDrives") { Err(not_found(id)) } else { Ok(file) }
    }
}

fn parse_error() -> Reply {
    legacy_error(400, "Parse Error", "global", "parseError", None)
}

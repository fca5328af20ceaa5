//! Lists of files, and a file as it is answered.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::query::Query;
use super::{Drive, FOLDER, OWN_FORMATS, invalid, mask};
use crate::sandbox::sim::api::{Call, Reply};

/// What is answered of a file unless `fields` asks for more.
pub(super) const DEFAULT: &str = "kind,id,name,mimeType";

/// Members of a file that `fields` may name.
pub(super) const FIELDS: [&str; 25] = [
    "kind",
    "id",
    "name",
    "mimeType",
    "description",
    "trashed",
    "explicitlyTrashed",
    "trashedTime",
    "parents",
    "createdTime",
    "modifiedTime",
    "size",
    "sha256Checksum",
    "md5Checksum",
    "ownedByMe",
    "owners",
    "appProperties",
    "properties",
    "capabilities",
    "permissions",
    "permissionIds",
    "driveId",
    "webViewLink",
    "shared",
    "version",
];

/// What an opaque page token starts with.
const TOKEN: &str = "~!!~";

impl Drive {
    pub(super) fn list(&self, call: &Call) -> Result<Reply, Reply> {
        let known = ["kind", "nextPageToken", "incompleteSearch", "files"];
        let default = format!("kind,nextPageToken,incompleteSearch,files({DEFAULT})");
        let mask = mask(call, &default, &known)?;
        if let Some(name) = mask.below("files").and_then(|files| files.unknown(&FIELDS)) {
            let message = format!("Invalid field selection {name}");
            let location = Some(("parameter", "fields"));
            return Err(super::legacy_error(400, &message, "global", "invalidParameter", location));
        }
        let size = match call.arg("pageSize") {
            None => 100,
            Some(text) => text.parse().ok().filter(|n| (1..=1000).contains(n)).ok_or_else(|| invalid("pageSize"))?,
        };
        let query = Query::parse(call.arg("q").unwrap_or_default()).ok_or_else(|| invalid("q"))?;
        let everywhere = call.flag("supportsAllDrives") && call.flag("includeItemsFromAllDrives");
        let mut found: Vec<&String> =
            self.files.keys().filter(|id| (everywhere || !self.is_shared(id)) && query.fits(self, id)).collect();
        self.sort(&mut found, call.arg("orderBy").unwrap_or("modifiedTime desc"))?;
        let start = match call.arg("pageToken") {
            None => 0,
            Some(token) => {
                let at = token.strip_prefix(TOKEN).and_then(|t| URL_SAFE_NO_PAD.decode(t).ok());
                let at = at.and_then(|bytes| String::from_utf8(bytes).ok()?.parse::<usize>().ok());
                at.ok_or_else(|| invalid("pageToken"))?
            }
        };
        let end = (start + size).min(found.len());
        let files: Vec<Value> = found.get(start..end).unwrap_or_default().iter().map(|id| self.file(id)).collect();
        let mut list = json!({"kind": "drive#fileList", "incompleteSearch": false, "files": files});
        if end < found.len() {
            list["nextPageToken"] = json!(format!("{TOKEN}{}", URL_SAFE_NO_PAD.encode(end.to_string())));
        }
        Ok(Reply::ok(&mask.apply(list)))
    }

    fn sort(&self, ids: &mut [&String], order: &str) -> Result<(), Reply> {
        for key in order.split(',').rev() {
            let mut words = key.split_whitespace();
            let (field, descending) = (words.next().unwrap_or_default(), words.next() == Some("desc"));
            let file = |id: &String| &self.files[id];
            let compare = |a: &String, b: &String| match field {
                "name" | "name_natural" => file(a).name.to_lowercase().cmp(&file(b).name.to_lowercase()),
                "createdTime" => file(a).created.cmp(&file(b).created),
                "folder" => (file(a).mime_type != FOLDER).cmp(&(file(b).mime_type != FOLDER)),
                _ => file(a).modified.cmp(&file(b).modified),
            };
            if !["name", "name_natural", "createdTime", "modifiedTime", "folder", "recency"].contains(&field) {
                return Err(invalid("orderBy"));
            }
            ids.sort_by(|a, b| if descending { compare(b, a) } else { compare(a, b) });
        }
        Ok(())
    }

    /// A file with all its members.
    pub(super) fn file(&self, id: &str) -> Value {
        let file = &self.files[id];
        let link = match file.mime_type.as_str() {
            FOLDER => format!("https://drive.google.com/drive/folders/{id}"),
            "application/vnd.google-apps.spreadsheet" => format!("https://docs.google.com/spreadsheets/d/{id}/edit"),
            _ => format!("https://drive.google.com/file/d/{id}/view?usp=drivesdk"),
        };
        let shared = self.is_shared(id);
        let mut out = json!({
            "kind": "drive#file",
            "id": id,
            "name": file.name,
            "mimeType": file.mime_type,
            "trashed": self.is_trashed(id),
            "explicitlyTrashed": file.trashed.is_some(),
            "parents": [file.parent],
            "createdTime": file.created,
            "modifiedTime": file.modified,
            "ownedByMe": !shared,
            "shared": file.permissions.len() > 1,
            "version": "1",
            "webViewLink": link,
            "capabilities": {"canTrash": true, "canUntrash": true, "canDelete": true, "canEdit": true},
            "permissions": file.permissions,
            "permissionIds": file.permissions.iter().map(|p| p["id"].clone()).collect::<Vec<_>>(),
        });
        if shared {
            out["driveId"] = json!(self.shared_drive);
        } else {
            out["owners"] = json!([{"kind": "drive#user", "emailAddress": self.account, "me": true}]);
        }
        if let Some(at) = file.trashed {
            out["trashedTime"] = json!(at);
        }
        if let Some(text) = &file.description {
            out["description"] = json!(text);
        }
        if !file.app_properties.is_empty() {
            out["appProperties"] = json!(file.app_properties);
        }
        if !file.mime_type.starts_with(OWN_FORMATS) {
            out["size"] = json!(file.size.to_string());
            out["sha256Checksum"] = json!(file.sha256);
        }
        out
    }
}

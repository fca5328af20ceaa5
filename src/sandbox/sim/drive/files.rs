//! One file: made, read, changed, moved, trashed, deleted, shared.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::list::{DEFAULT, FIELDS};
use super::{Drive, FOLDER, File, OWN_FORMATS, invalid, legacy_error, mask, not_found, parse_error};
use crate::sandbox::sim::api::{Call, Created, Reply};
use crate::wire::Time;

/// Longest key and value of a property together, in bytes.
const PROPERTY: usize = 124;

/// The parts of an upload: metadata, content type, content.
pub(super) fn uploaded(call: &Call) -> Result<(Value, String, Vec<u8>), Reply> {
    let content_type = call.header("content-type").unwrap_or_default();
    match call.arg("uploadType") {
        Some("media") => Ok((json!({}), content_type.to_owned(), call.body.to_vec())),
        Some("multipart") => {
            let boundary = content_type
                .split(';')
                .find_map(|part| part.trim().strip_prefix("boundary="))
                .map(|b| b.trim_matches('"').to_owned())
                .filter(|_| content_type.starts_with("multipart/related"))
                .ok_or_else(|| bad_request("Missing multipart boundary"))?;
            let parts = multipart(&call.body, &boundary);
            let [(_, metadata), (mime_type, content)] = parts.as_slice() else {
                return Err(bad_request("Malformed multipart body."));
            };
            let metadata = serde_json::from_slice(metadata).map_err(|_| parse_error())?;
            Ok((metadata, mime_type.clone(), content.to_vec()))
        }
        _ => Err(bad_request("Invalid upload type.")),
    }
}

fn bad_request(message: &str) -> Reply {
    legacy_error(400, message, "global", "badRequest", None)
}

/// Splits a multipart body into content types and contents.
fn multipart<'a>(body: &'a [u8], boundary: &str) -> Vec<(String, &'a [u8])> {
    let dashes = format!("--{boundary}");
    let find = |from: usize, what: &[u8]| {
        body.get(from..)?.windows(what.len().max(1)).position(|w| w == what).map(|at| from + at)
    };
    let mut parts = Vec::new();
    let mut at = find(0, dashes.as_bytes());
    while let Some(start) = at.map(|at| at + dashes.len()) {
        let next = find(start, dashes.as_bytes());
        let (Some(end), Some(head)) = (next, find(start, b"\r\n\r\n")) else { break };
        let content = body.get(head + 4..end.saturating_sub(2)).unwrap_or_default();
        let headers = String::from_utf8_lossy(&body[start..head]).into_owned();
        let kind = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case("content-type").then(|| value.trim().to_owned())
        });
        parts.push((kind.unwrap_or_default(), content));
        at = next;
    }
    parts
}

impl Drive {
    pub(super) fn create(
        &mut self,
        call: &Call,
        metadata: &Value,
        content: Option<(&str, &[u8])>,
        now: Time,
    ) -> Result<Reply, Reply> {
        let mask = mask(call, DEFAULT, &FIELDS)?;
        let mime_type = match (metadata["mimeType"].as_str(), content) {
            (Some(given), _) => given.to_owned(),
            (None, Some((kind, _))) => kind.split(';').next().unwrap_or_default().trim().to_owned(),
            (None, None) => "application/octet-stream".to_owned(),
        };
        let own_format = mime_type.starts_with(OWN_FORMATS) && mime_type != FOLDER;
        let parent = self.parent(call, metadata)?;
        let id = match metadata["id"].as_str() {
            None => self.ids.drive(),
            Some(_) if own_format => {
                return Err(bad_request("Generated IDs are not supported for Docs Editors formats."));
            }
            Some(id) if self.files.contains_key(id) => {
                let message = "A file already exists with the provided ID.";
                return Err(legacy_error(409, message, "global", "fileIdInUse", None));
            }
            Some(id) if !self.reserved.remove(id) => {
                return Err(bad_request("The provided file ID is not usable."));
            }
            Some(id) => id.to_owned(),
        };
        let bytes = content.map_or(&[][..], |(_, bytes)| bytes);
        let holds = mime_type != FOLDER && !own_format;
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut file = File {
            name: "Untitled".into(),
            mime_type,
            description: None,
            parent,
            trashed: None,
            created: now,
            modified: now,
            app_properties: BTreeMap::new(),
            permissions: vec![self.owner()],
            content: holds.then(|| STANDARD.encode(bytes)),
            size: bytes.len() as u64,
            sha256: digest.as_ref().iter().map(|b| format!("{b:02x}")).collect(),
        };
        apply(&mut file, metadata)?;
        let created = Created { name: file.name.clone(), markers: file.app_properties.values().cloned().collect() };
        self.files.insert(id.clone(), file);
        Ok(Reply::ok(&mask.apply(self.file(&id))).created(created))
    }

    fn owner(&self) -> Value {
        json!({
            "kind": "drive#permission", "id": self.permission_id, "type": "user", "role": "owner",
            "emailAddress": self.account,
        })
    }

    /// The folder a new file goes into.
    fn parent(&self, call: &Call, metadata: &Value) -> Result<String, Reply> {
        let wanted = metadata["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
        let parent = match wanted {
            [] => self.my_drive.as_str(),
            [one] => one.as_str().unwrap_or_default(),
            _ => {
                let message = "A shared drive item must have exactly one parent.";
                return Err(legacy_error(403, message, "global", "teamDrivesParentLimit", None));
            }
        };
        let parent = self.folder(call, parent)?;
        if self.no_own_storage && !self.is_shared(&parent) {
            let message = "Service Accounts do not have storage quota. Leverage shared drives, or use OAuth \
                           delegation instead.";
            return Err(legacy_error(403, message, "usageLimits", "storageQuotaExceeded", None));
        }
        Ok(parent)
    }

    /// A folder that can hold files, given its id or `root`.
    fn folder(&self, call: &Call, id: &str) -> Result<String, Reply> {
        let id = if id == "root" { self.my_drive.as_str() } else { id };
        let is_root = id == self.my_drive || (id == self.shared_drive && call.flag("supportsAllDrives"));
        if !is_root && self.visible(call, id)?.mime_type != FOLDER {
            let message = "The specified parent is not a folder.";
            return Err(legacy_error(403, message, "global", "parentNotAFolder", Some(("parameter", "parents"))));
        }
        Ok(id.to_owned())
    }

    pub(super) fn get(&self, call: &Call, id: &str) -> Result<Reply, Reply> {
        let file = self.visible(call, id)?;
        if call.arg("alt") == Some("media") {
            let Some(content) = &file.content else {
                let message = "Only files with binary content can be downloaded. Use Export with Docs Editors files.";
                return Err(legacy_error(403, message, "global", "fileNotDownloadable", Some(("parameter", "alt"))));
            };
            let bytes = STANDARD.decode(content).unwrap_or_default();
            let text = String::from_utf8(bytes).map_err(|_| bad_request("The simulator returns text files only."))?;
            return Ok(Reply { content_type: "application/octet-stream", ..Reply::text(200, text) });
        }
        Ok(Reply::ok(&mask(call, DEFAULT, &FIELDS)?.apply(self.file(id))))
    }

    pub(super) fn update(&mut self, call: &Call, id: &str, now: Time) -> Result<Reply, Reply> {
        let body = call.json().ok_or_else(parse_error)?;
        let mask = mask(call, DEFAULT, &FIELDS)?;
        let mut file = self.visible(call, id)?.clone();
        if let Some(target) = call.arg("addParents") {
            let leaves = call.arg("removeParents").is_some_and(|ids| ids.split(',').any(|p| p == file.parent));
            if !leaves && target != file.parent {
                let message = "Increasing the number of parents is not allowed";
                return Err(legacy_error(403, message, "global", "cannotAddParent", None));
            }
            let target = self.folder(call, target)?;
            if self.ancestors(&target).any(|above| above == id) {
                let message = "A folder cannot be moved below itself.";
                return Err(legacy_error(403, message, "global", "cyclicParent", None));
            }
            file.parent = target;
        }
        match body["trashed"].as_bool() {
            Some(true) if file.trashed.is_none() => file.trashed = Some(now),
            Some(false) => file.trashed = None,
            _ => {}
        }
        apply(&mut file, &body)?;
        file.modified = now;
        self.files.insert(id.to_owned(), file);
        Ok(Reply::ok(&mask.apply(self.file(id))))
    }

    /// Final: what is below a folder goes with it.
    pub(super) fn delete(&mut self, call: &Call, id: &str) -> Result<Reply, Reply> {
        self.visible(call, id)?;
        let gone: Vec<String> =
            self.files.keys().filter(|f| self.ancestors(f).any(|above| above == id)).cloned().collect();
        self.files.retain(|id, _| !gone.contains(id));
        Ok(Reply { status: 204, body: String::new(), ..Reply::ok(&Value::Null) })
    }

    pub(super) fn share(&mut self, call: &Call, id: &str) -> Result<Reply, Reply> {
        let body = call.json().ok_or_else(parse_error)?;
        self.visible(call, id)?;
        let text = |name: &str| body[name].as_str().unwrap_or_default();
        let (kind, role) = (text("type"), text("role"));
        if !["user", "group", "domain", "anyone"].contains(&kind) {
            return Err(legacy_error(400, "The permission type field is required.", "global", "required", None));
        }
        if !["owner", "organizer", "fileOrganizer", "writer", "commenter", "reader"].contains(&role) {
            return Err(legacy_error(400, "The permission role field is required.", "global", "required", None));
        }
        let needed = match kind {
            "user" | "group" => "emailAddress",
            "domain" => "domain",
            _ => "type",
        };
        if text(needed).is_empty() {
            return Err(invalid(needed));
        }
        let permission_id = if kind == "anyone" { "anyoneWithLink".to_owned() } else { self.ids.digits(20) };
        let mut permission = json!({"kind": "drive#permission", "id": permission_id, "type": kind, "role": role});
        if kind != "anyone" {
            permission[needed] = body[needed].clone();
        }
        let known =
            ["kind", "id", "type", "role", "emailAddress", "domain", "displayName", "expirationTime", "deleted"];
        let mask = mask(call, "kind,id,type,role", &known)?;
        let Some(file) = self.files.get_mut(id) else { return Err(not_found(id)) };
        // Sharing twice with the same account changes the role, as on Drive.
        file.permissions.retain(|p| p["role"] == "owner" || p["type"] != kind || p[needed] != permission[needed]);
        file.permissions.push(permission.clone());
        Ok(Reply::ok(&mask.apply(permission)))
    }
}

/// Members that creating and changing have in common.
fn apply(file: &mut File, body: &Value) -> Result<(), Reply> {
    if let Some(name) = body["name"].as_str() {
        name.clone_into(&mut file.name);
    }
    if let Some(text) = body["description"].as_str() {
        file.description = Some(text.to_owned());
    }
    for (key, value) in body["appProperties"].as_object().into_iter().flatten() {
        match value.as_str() {
            Some(value) if key.len() + value.len() > PROPERTY => {
                let message = "The total length of the property key and value exceeds the limit of 124 bytes.";
                return Err(legacy_error(403, message, "global", "propertyTooLong", None));
            }
            Some(value) => _ = file.app_properties.insert(key.clone(), value.to_owned()),
            None => _ = file.app_properties.remove(key),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipart_bodies_are_split_byte_for_byte() {
        let body = b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\ncontent-type: text/plain\r\n\r\nx\r\n\r\ny\r\n--b--\r\n";
        let parts = multipart(body, "b");
        assert_eq!(parts, [("application/json".to_owned(), &b"{}"[..]), ("text/plain".to_owned(), &b"x\r\n\r\ny"[..])]);
    }
}

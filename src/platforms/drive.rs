//! Google Drive: files and folders.
//!
//! A file gets an id from `files.generateIds` before it is made, so that making it again is answered 409 and makes no
//! second one. Google's own formats (Docs, Sheets) cannot have one; those are recognised by a property.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::caches::lock;
use super::endpoints::address;
use super::fields::Data;
use super::session::{Ask, Effect, Payload, Session};
use super::{Call, CallOutcome, Delivery, Lookup, PlatformError, unsupported};
use crate::http::Method;
use crate::wire::{ActionType, ErrorCode};

/// What Drive calls a folder.
pub(super) const FOLDER: &str = "application/vnd.google-apps.folder";

/// The property that carries the marker.
const PROPERTY: &str = "opsctl";

/// Ids asked for at once.
const IDS: &str = "50";

/// What is asked of a file.
const FILE_FIELDS: &str = "id,name,mimeType,webViewLink,parents,trashed";

/// Files in shared drives answer 404 without it.
const ALL_DRIVES: (&str, &str) = ("supportsAllDrives", "true");

pub(super) async fn execute(session: &Session, call: &Call) -> Result<CallOutcome, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match call.action_type {
        ActionType::Create | ActionType::File => create(session, call, &data).await,
        ActionType::Update => update(session, &data).await,
        ActionType::Delete => {
            let ask = patch(session, file_id(&data), &[], json!({"trashed": true}));
            Ok(CallOutcome::done(reduced(&session.ask(ask).await?)))
        }
        ActionType::Query => query(session, &data).await,
        _ => Err(unsupported(call)),
    }
}

pub(super) fn file_id<'a>(data: &Data<'a>) -> &'a str {
    data.text("fileId").unwrap_or_default()
}

/// Whether Drive takes an id for a file of this type that was made beforehand.
fn takes_id(mime_type: Option<&str>) -> bool {
    let own_format = mime_type.is_some_and(|m| m.starts_with("application/vnd.google-apps."));
    !own_format || mime_type == Some(FOLDER)
}

/// The marker as a property's value; a property holds 124 bytes, its name included.
fn property(marker: &str) -> String {
    if marker.len() <= 100 { marker.to_string() } else { crate::secret::Secret::new(marker).fingerprint() }
}

pub(super) async fn prepare(session: &Session, call: &Call) -> Result<Value, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    if !takes_id(data.text("mimeType")) {
        return Ok(json!({"fileId": null}));
    }
    let pooled = lock(&session.caches().drive_ids).pop();
    if let Some(id) = pooled {
        return Ok(json!({"fileId": id}));
    }
    let query = [("count", IDS), ("space", "drive")];
    let answer = session.ask(Ask::get("files.generateIds", session.at_with(&["files", "generateIds"], &query))).await?;
    let ids = answer["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string);
    let mut pool = lock(&session.caches().drive_ids);
    pool.extend(ids);
    match pool.pop() {
        Some(id) => Ok(json!({"fileId": id})),
        None => Err(session.fail(ErrorCode::UnknownError, "Drive made no ids")),
    }
}

/// The bytes of a file to be made.
pub(super) fn content(data: &Data<'_>) -> Result<Vec<u8>, String> {
    let text = data.text("content").unwrap_or_default();
    if data.text("encoding") == Some("base64") {
        let compact: String = text.split_whitespace().collect();
        return STANDARD.decode(compact).map_err(|_| "data.content: it is not base64".to_string());
    }
    Ok(text.as_bytes().to_vec())
}

async fn create(session: &Session, call: &Call, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let call_id = call.prepared.as_ref().and_then(|p| p["fileId"].as_str());
    let mime_type = data.text("mimeType");
    let mut metadata = json!({"name": data.text("name")});
    if let Some(id) = call_id {
        metadata["id"] = Value::from(id);
    }
    if let Some(mime_type) = mime_type {
        metadata["mimeType"] = Value::from(mime_type);
    }
    if let Some(folder) = data.text("folderId").or(session.credentials.defaults.drive_folder.as_deref()) {
        metadata["parents"] = json!([folder]);
    }
    if let Some(marker) = &call.marker {
        metadata["appProperties"] = json!({PROPERTY: property(marker)});
    }
    let ask = match data.text("content") {
        Some(_) => {
            let bytes = content(data).map_err(|why| session.invalid(why))?;
            upload(session, &metadata, mime_type.filter(|_| takes_id(mime_type)), &bytes)
        }
        None => {
            let url = session.at_with(&["files"], &[ALL_DRIVES, ("fields", FILE_FIELDS)]);
            Ask::write("files.create", Method::POST, url, metadata)
        }
    };
    let (file, found) = match (session.ask(ask).await, call_id) {
        (Ok(file), _) => (file, false),
        // The id was made for this call alone, so the file that has it is the one an earlier try made.
        (Err(failed), Some(id)) if failed.error.code == ErrorCode::DuplicateError => (get(session, id).await?, true),
        (Err(failed), _) => return Err(failed.error),
    };
    if let Some(wanted) = data.get("permissions").and_then(Value::as_array) {
        let id = file["id"].as_str().unwrap_or_default();
        let missing = if found { missing_permissions(session, id, wanted).await? } else { wanted.iter().collect() };
        for permission in missing {
            // Nobody is sent an e-mail by a machine's doing.
            let url = session.at_with(&["files", id, "permissions"], &[ALL_DRIVES, ("sendNotificationEmail", "false")]);
            let granted = session.ask(Ask::write("permissions.create", Method::POST, url, permission.clone())).await;
            granted.map_err(|failed| {
                // With an id the next try finds the file; without one it would make a second.
                let delivery = if call_id.is_some() { failed.error.delivery } else { Delivery::Unknown };
                PlatformError { delivery, ..failed.error }
            })?;
        }
    }
    let result = reduced(&file);
    Ok(if found { CallOutcome::found(result) } else { CallOutcome::done(result) })
}

/// A multipart upload: the metadata, then the bytes.
fn upload(session: &Session, metadata: &Value, mime_type: Option<&str>, bytes: &[u8]) -> Ask {
    let boundary = boundary(bytes);
    let mime_type = mime_type.unwrap_or("text/plain").replace(['\r', '\n'], " ");
    let mut body = format!(
        "--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{metadata}\r\n--{boundary}\r\n\
         Content-Type: {mime_type}\r\n\r\n"
    )
    .into_bytes();
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let query = [("uploadType", "multipart"), ALL_DRIVES, ("fields", FILE_FIELDS)];
    Ask {
        request: "files.create",
        effect: Effect::Write,
        method: Method::POST,
        url: address(&session.endpoints().drive_upload, &["files"], &query),
        payload: Payload::Bytes { content_type: format!("multipart/related; boundary={boundary}"), bytes: body.into() },
    }
}

/// A separator that does not occur in the content.
fn boundary(bytes: &[u8]) -> String {
    loop {
        let candidate = format!("opsctl{:032x}", fastrand::u128(..));
        if !bytes.windows(candidate.len()).any(|w| w == candidate.as_bytes()) {
            return candidate;
        }
    }
}

pub(super) async fn get(session: &Session, id: &str) -> Result<Value, PlatformError> {
    get_with(session, id, FILE_FIELDS).await
}

pub(super) async fn get_with(session: &Session, id: &str, fields: &str) -> Result<Value, PlatformError> {
    let url = session.at_with(&["files", id], &[ALL_DRIVES, ("fields", fields)]);
    Ok(session.ask(Ask::get("files.get", url)).await?)
}

pub(super) fn patch(session: &Session, id: &str, query: &[(&str, &str)], body: Value) -> Ask {
    let query: Vec<_> = [ALL_DRIVES, ("fields", FILE_FIELDS)].into_iter().chain(query.iter().copied()).collect();
    Ask::write("files.update", Method::PATCH, session.at_with(&["files", id], &query), body)
}

async fn missing_permissions<'a>(
    session: &Session,
    id: &str,
    wanted: &'a [Value],
) -> Result<Vec<&'a Value>, PlatformError> {
    let query = [ALL_DRIVES, ("pageSize", "100"), ("fields", "permissions(type,role,emailAddress)")];
    let answer =
        session.ask(Ask::get("permissions.list", session.at_with(&["files", id, "permissions"], &query))).await?;
    let there = answer["permissions"].as_array().cloned().unwrap_or_default();
    let same = |a: &Value, b: &Value| ["type", "role", "emailAddress"].iter().all(|k| a[*k] == b[*k]);
    Ok(wanted.iter().filter(|w| !there.iter().any(|t| same(t, w))).collect())
}

async fn update(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let id = file_id(data);
    let mut body = json!({});
    if let Some(name) = data.text("name") {
        body["name"] = Value::from(name);
    }
    let Some(folder) = data.text("folderId") else {
        return Ok(CallOutcome::done(reduced(&session.ask(patch(session, id, &[], body)).await?)));
    };
    // A move names the folders the file leaves; they are kept in the result, since only they lead back.
    let parents = get(session, id).await?["parents"].as_array().cloned().unwrap_or_default();
    let leaves: Vec<&str> = parents.iter().filter_map(Value::as_str).filter(|p| *p != folder).collect();
    let leaves = leaves.join(",");
    let mut query = vec![("addParents", folder)];
    if !leaves.is_empty() {
        query.push(("removeParents", &leaves));
    }
    let mut result = reduced(&session.ask(patch(session, id, &query, body)).await?);
    result["previousParents"] = Value::from(parents);
    Ok(CallOutcome::done(result))
}

/// A text inside a query's quotes.
pub(super) fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

async fn query(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let mut terms = vec!["trashed = false".to_string()];
    terms.extend(data.text("folderId").map(|f| format!("'{}' in parents", quoted(f))));
    terms.extend(data.text("name").map(|n| format!("name = '{}'", quoted(n))));
    terms.extend(data.text("query").map(|q| format!("({q})")));
    let limit = data.count("limit").unwrap_or(100).to_string();
    let answer = list(session, &terms.join(" and "), &limit).await?;
    let files = answer["files"].as_array().into_iter().flatten();
    let files: Vec<Value> = files
        .map(|f| json!({"fileId": f["id"], "name": f["name"], "mimeType": f["mimeType"], "webViewLink": f["webViewLink"]}))
        .collect();
    let has_more = answer["nextPageToken"].is_string() || answer["incompleteSearch"] == true;
    Ok(CallOutcome::done(json!({"count": files.len(), "files": files, "hasMore": has_more})))
}

pub(super) async fn list(session: &Session, q: &str, limit: &str) -> Result<Value, PlatformError> {
    let fields = format!("nextPageToken,incompleteSearch,files({FILE_FIELDS})");
    let query = [("q", q), ("pageSize", limit), ("fields", &fields), ALL_DRIVES, ("includeItemsFromAllDrives", "true")];
    Ok(session.ask(Ask::get("files.list", session.at_with(&["files"], &query))).await?)
}

pub(super) async fn find_written(session: &Session, call: &Call) -> Result<Lookup, PlatformError> {
    if !matches!(call.action_type, ActionType::Create | ActionType::File) {
        return Ok(Lookup::Absent);
    }
    let file = match (call.prepared.as_ref().and_then(|p| p["fileId"].as_str()), &call.marker) {
        (Some(id), _) => match get(session, id).await {
            Ok(file) => Some(file),
            Err(error) if error.code == ErrorCode::NotFound => None,
            Err(error) => return Err(error),
        },
        (None, Some(marker)) => {
            let has = format!("appProperties has {{ key='{PROPERTY}' and value='{}' }}", quoted(&property(marker)));
            let answer = list(session, &format!("{has} and trashed = false"), "2").await?;
            answer["files"].as_array().and_then(|f| f.first()).cloned()
        }
        (None, None) => return Ok(Lookup::Unclear("it was sent without an id or a marker".into())),
    };
    let Some(file) = file else { return Ok(Lookup::Absent) };
    let data = Data::new(call.platform, call.action_type, &call.data);
    if let Some(wanted) = data.get("permissions").and_then(Value::as_array) {
        let id = file["id"].as_str().unwrap_or_default();
        let complete = missing_permissions(session, id, wanted).await?.is_empty();
        if !complete && call.prepared.as_ref().is_some_and(|p| p["fileId"].is_string()) {
            // Sent again, it finds the file by its id and grants what is missing.
            return Ok(Lookup::Absent);
        }
        if !complete {
            return Ok(Lookup::Unclear("the file was made, some of its permissions were not".into()));
        }
    }
    Ok(Lookup::Found(CallOutcome::found(reduced(&file))))
}

pub(super) async fn who_am_i(session: &Session) -> Result<String, PlatformError> {
    let url = session.at_with(&["about"], &[("fields", "user,storageQuota")]);
    let answer = session.ask(Ask::get("about.get", url)).await?;
    let user = &answer["user"];
    Ok(user["emailAddress"].as_str().or(user["displayName"].as_str()).unwrap_or("unnamed account").to_string())
}

fn reduced(file: &Value) -> Value {
    json!({"fileId": file["id"], "webViewLink": file["webViewLink"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_googles_own_formats_take_no_id() {
        assert!(takes_id(None) && takes_id(Some("text/plain")) && takes_id(Some(FOLDER)));
        assert!(!takes_id(Some("application/vnd.google-apps.document")));
    }

    #[test]
    fn markers_fit_into_a_property() {
        assert_eq!(property("short"), "short");
        assert_eq!(property(&"long".repeat(50)).len(), 12);
    }

    #[test]
    fn quotes_cannot_end_a_query() {
        assert_eq!(quoted(r"it's \ here"), r"it\'s \\ here");
    }
}

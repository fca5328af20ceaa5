//! Drive: what was made goes to the trash, what was trashed comes out of it, names and folders are put back.

use serde_json::{Value, json};

use super::super::drive::{FOLDER, file_id, get, list, patch, quoted};
use super::super::fields::Data;
use super::super::session::Session;
use super::guard::{Field, Verdict, confirm, judge, names, seen, shown};
use super::{Done, PlatformError, Reversibility, Seen, UndoPlan, Undone, Way, if_there};
use crate::wire::ActionType;

pub fn plan(done: &Done) -> UndoPlan {
    let data = done.data();
    match done.action_type {
        ActionType::Create | ActionType::File => of_making(done, &data),
        ActionType::Update => of_changing(done, &data),
        _ => of_trashing(done, &data),
    }
}

fn of_making(done: &Done, data: &Data<'_>) -> UndoPlan {
    let folder = is_folder(data);
    let kind = if folder { "folder" } else { "file" };
    let label = if folder { "Folder deletion" } else { "File deletion" };
    let mut plan = match done.id("fileId") {
        Some(id) => UndoPlan::new(done, label, format!("move {kind} {id} to the trash"), Way::Request),
        None => {
            let name = shown(data.get("name").unwrap_or(&Value::Null));
            let way = Way::manual([
                format!("It is not known whether the {kind} was made. Look in Drive for {name}."),
                "If it is there: opsctl drive delete FILE_ID".to_string(),
            ]);
            UndoPlan::new(done, label, format!("look for {kind} {name} and move it to the trash"), way)
        }
    };
    if folder {
        plan.reversibility = Reversibility::PartiallyReversible;
    }
    plan
}

fn of_changing(done: &Done, data: &Data<'_>) -> UndoPlan {
    let id = file_id(data);
    let what = format!("put back {} of file {id}", changed(data).join(" and "));
    let way = match (done.in_doubt(), image(done, data)) {
        (false, Some(_)) => Way::Request,
        (in_doubt, _) => Way::manual([
            match in_doubt {
                true => format!("It is not known whether file {id} was changed. Open {}", link(done, id)),
                false => format!("What file {id} was before was not kept. Open {}", link(done, id)),
            },
            format!("Put back by hand {}.", changed(data).join(" and ")),
        ]),
    };
    UndoPlan::new(done, "File restore", what, way)
}

fn of_trashing(done: &Done, data: &Data<'_>) -> UndoPlan {
    let id = file_id(data);
    let way = match &done.before {
        Some(before) if before["trashed"] == true => Way::Nothing("the file was in the trash before"),
        _ if done.in_doubt() => Way::manual([
            format!("It is not known whether file {id} was moved to the trash. Open {}", link(done, id)),
            "If it is in the trash and should not be: restore it there.".to_string(),
        ]),
        _ => Way::Request,
    };
    UndoPlan::new(done, "File restore", format!("take file {id} out of the trash"), way)
}

pub fn by_hand(done: &Done) -> Vec<String> {
    let data = done.data();
    let id = done.id("fileId").unwrap_or_else(|| file_id(&data));
    let mut lines = match done.action_type {
        ActionType::Create | ActionType::File => vec![format!("opsctl drive delete {id}")],
        ActionType::Delete => vec![format!("Restore file {id} from Drive's trash.")],
        _ => Vec::new(),
    };
    if let (ActionType::Update, Some(image)) = (done.action_type, image(done, &data)) {
        let (name, parents) = (image.get("name"), image.get("parents"));
        lines.extend(name.map(|name| format!("Rename file {id} back to {}.", shown(name))));
        lines.extend(parents.map(|p| format!("Move file {id} back into folder {}.", ids(p).join(", "))));
    }
    lines.push(format!("The file: {}", link(done, id)));
    lines
}

fn is_folder(data: &Data<'_>) -> bool {
    data.text("mimeType") == Some(FOLDER)
}

fn link(done: &Done, id: &str) -> String {
    let link = done.id("webViewLink").map(str::to_string);
    link.unwrap_or_else(|| format!("https://drive.google.com/open?id={id}"))
}

/// What an update wrote, in words.
fn changed(data: &Data<'_>) -> Vec<&'static str> {
    [("name", "its name"), ("folderId", "its folder")]
        .into_iter()
        .filter(|(field, _)| data.get(field).is_some())
        .map(|(_, word)| word)
        .collect()
}

pub async fn before(session: &Session, action: ActionType, data: &Data<'_>) -> Result<Value, PlatformError> {
    let file = get(session, file_id(data)).await?;
    if action == ActionType::Delete {
        return Ok(json!({"trashed": file["trashed"] == true}));
    }
    let mut image = json!({});
    if data.get("name").is_some() {
        image["name"] = file["name"].clone();
    }
    if data.get("folderId").is_some() {
        image["parents"] = file["parents"].clone();
    }
    Ok(image)
}

/// What the file was before an update. The folders that it left are in the result too.
fn image(done: &Done, data: &Data<'_>) -> Option<Value> {
    let mut image = done.before.clone().unwrap_or_else(|| json!({}));
    if data.get("folderId").is_some() && image.get("parents").is_none() {
        image["parents"] = done.result["previousParents"].clone();
    }
    let complete = (data.get("name").is_none() || image["name"].is_string())
        && (data.get("folderId").is_none() || image["parents"].as_array().is_some_and(|p| !p.is_empty()));
    complete.then_some(image)
}

pub async fn undo(session: &Session, done: &Done, force: bool) -> Result<Undone, PlatformError> {
    let data = done.data();
    match done.action_type {
        ActionType::Create | ActionType::File => trash(session, done, &data, force).await,
        ActionType::Update => put_back(session, done, &data, force).await,
        _ => untrash(session, file_id(&data)).await,
    }
}

/// The file; `None` when there is none with this id any more.
async fn find(session: &Session, id: &str) -> Result<Option<Value>, PlatformError> {
    if_there(get(session, id).await)
}

async fn trash(session: &Session, done: &Done, data: &Data<'_>, force: bool) -> Result<Undone, PlatformError> {
    let id = done.id("fileId").unwrap_or_default();
    match find(session, id).await? {
        None => return Ok(Undone::Already(format!("Drive has no file {id}"))),
        Some(file) if file["trashed"] == true => return Ok(Undone::Already(format!("file {id} is in the trash"))),
        Some(_) => {}
    }
    if is_folder(data) && !force {
        let inside = list(session, &format!("'{}' in parents and trashed = false", quoted(id)), "1").await?;
        if let Some(file) = inside["files"].as_array().and_then(|f| f.first()) {
            return Ok(Undone::ChangedSince(format!("folder {id} is not empty: it holds {}", shown(&file["name"]))));
        }
    }
    session.ask(patch(session, id, &[], json!({"trashed": true}))).await?;
    Ok(match find(session, id).await? {
        Some(file) if file["trashed"] != true => Undone::StillStands(format!("file {id} is not in the trash")),
        Some(_) => Undone::Confirmed(format!("file {id} is in the trash")),
        None => Undone::Confirmed(format!("Drive has no file {id} any more")),
    })
}

async fn untrash(session: &Session, id: &str) -> Result<Undone, PlatformError> {
    // What is gone for good cannot come back: that is the platform's NOT_FOUND.
    if get(session, id).await?["trashed"] != true {
        return Ok(Undone::Already(format!("file {id} is not in the trash")));
    }
    session.ask(patch(session, id, &[], json!({"trashed": false}))).await?;
    Ok(match get(session, id).await?["trashed"] == true {
        true => Undone::StillStands(format!("file {id} is still in the trash")),
        false => Undone::Confirmed(format!("file {id} is out of the trash")),
    })
}

async fn put_back(session: &Session, done: &Done, data: &Data<'_>, force: bool) -> Result<Undone, PlatformError> {
    let (id, image) = (file_id(data), image(done, data).unwrap_or_default());
    let Some(file) = find(session, id).await? else {
        return Ok(Undone::Already(format!("Drive has no file {id} any more: nothing of the change is left")));
    };
    let fields = fields(data, &image, &file);
    let places = match judge(&fields, force) {
        Verdict::Back => {
            return Ok(Undone::Already(format!("file {id} holds what it held before: {}", names(&fields))));
        }
        Verdict::Changed(how) => return Ok(Undone::ChangedSince(format!("file {id} was changed since: {how}"))),
        Verdict::PutBack(places) => places,
    };
    let (mut body, mut query) = (json!({}), Vec::new());
    let (back, leave) = (ids(&image["parents"]), ids(&file["parents"]));
    let only = |these: &[String], others: &[String]| {
        these.iter().filter(|p| !others.contains(p)).cloned().collect::<Vec<_>>().join(",")
    };
    let (adds, removes) = (only(&back, &leave), only(&leave, &back));
    for field in places.iter().map(|at| &fields[*at]) {
        match field.name.as_str() {
            "name" => body["name"] = image["name"].clone(),
            _ => {
                query.extend([("addParents", adds.as_str()), ("removeParents", removes.as_str())]);
                query.retain(|(_, ids)| !ids.is_empty());
            }
        }
    }
    session.ask(patch(session, id, &query, body)).await?;
    Ok(confirm(&format!("file {id}"), &self::fields(data, &image, &get(session, id).await?)))
}

fn ids(list: &Value) -> Vec<String> {
    let mut ids: Vec<String> =
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_string).collect();
    ids.sort_unstable();
    ids
}

/// What an update wrote, as the file shows it now.
fn fields(data: &Data<'_>, image: &Value, file: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    if let Some(name) = data.get("name") {
        fields.push(Field {
            name: "name".into(),
            is_back: file["name"] == image["name"],
            is_ours: file["name"] == *name,
            now: shown(&file["name"]),
        });
    }
    if let Some(folder) = data.text("folderId") {
        let parents = ids(&file["parents"]);
        fields.push(Field {
            name: "folder".into(),
            is_back: parents == ids(&image["parents"]),
            is_ours: parents == [folder],
            now: shown(&Value::from(parents.join(", "))),
        });
    }
    fields
}

pub async fn inspect(session: &Session, done: &Done) -> Result<Seen, PlatformError> {
    let data = done.data();
    let id = done.id("fileId").unwrap_or_else(|| file_id(&data)).to_string();
    let Some(file) = find(session, &id).await? else { return Ok(Seen::Missing(format!("Drive has no file {id}"))) };
    let trashed = file["trashed"] == true;
    Ok(match done.action_type {
        ActionType::Delete if trashed => Seen::Present,
        ActionType::Delete => Seen::Altered(format!("file {id} is not in the trash any more")),
        _ if trashed => Seen::Missing(format!("file {id} is in the trash")),
        _ => seen(&fields(&data, &Value::Null, &file)),
    })
}

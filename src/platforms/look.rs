//! How an object looks right now, so that a change can tell whether somebody touched it since it was planned.
//!
//! A fingerprint is two hashes, `content.stamp`: the content without what a clean-up itself changes (trash, archive,
//! times), and those. A plan compares both; an undo only the content, see [`same_content`].

use std::collections::HashMap;

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::fields::Data;
use super::session::Session;
use super::sheets_row::Place;
use super::{Clients, PlatformError, drive, notion, sheets_row, trello};
use crate::engine::canonical::{canonical_json, sha256_hex};
use crate::wire::{ActionType, ErrorCode, Platform, Time};

/// Hex digits of each half of a fingerprint.
const DIGITS: usize = 32;

/// Pages of a query that one look for a hundred pages reads at most, before it asks one by one.
const QUERIES: usize = 3;

/// Objects that are asked for one by one at the same time; whatever paces the requests may let fewer through.
const AT_ONCE: usize = 8;

/// How an item looks right now.
#[derive(Clone, Debug, PartialEq)]
pub enum Sight {
    /// It is there.
    There {
        /// Its fingerprint; empty when there is nothing to compare.
        print: String,
        /// What an undo will need; kept beside the journal before the write.
        before: Option<Value>,
    },
    /// The change holds already, or the thing is gone for good: that counts as done. Says which.
    Already(String),
    /// Somebody changed it, so that the change must not be made. Says how.
    Changed(String),
}

/// Where many objects can be seen with one request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Among {
    /// A Notion page's data source.
    pub data_source: String,
    /// When the page was made, as Notion shows it.
    pub created: Time,
}

/// One object to look at, by the action that is meant for it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// What is going to be done.
    pub action: ActionType,
    /// Its documented data.
    pub data: &'a Value,
    /// Where it can be seen together with others.
    pub among: Option<&'a Among>,
}

/// What a clean-up itself changes, and what no two answers have in common.
fn passing(platform: Platform) -> (&'static [&'static str], &'static [&'static str]) {
    match platform {
        Platform::Notion => (&["in_trash", "archived", "last_edited_time", "last_edited_by"], &["request_id"]),
        Platform::Trello => (&["closed", "dateLastActivity", "pos"], &[]),
        Platform::Drive => {
            (&["trashed", "explicitlyTrashed", "trashedTime", "trashingUser", "modifiedTime", "version"], &[])
        }
        Platform::Slack | Platform::Sheets => (&[], &[]),
    }
}

/// The fingerprint of an object as its platform shows it: a Notion page from a query or by itself, a Trello card with
/// [`TRELLO_FIELDS`], a Drive file with [`DRIVE_FIELDS`], the cells of a sheet's row.
pub fn fingerprint(platform: Platform, object: &Value) -> String {
    let (stamps, noise) = passing(platform);
    let Some(members) = object.as_object() else { return format!("{}.", hash(object)) };
    let (mut content, mut stamp) = (Map::new(), Map::new());
    for (name, value) in members {
        match name.as_str() {
            name if noise.contains(&name) => {}
            name if stamps.contains(&name) => drop(stamp.insert(name.to_owned(), value.clone())),
            name => drop(content.insert(name.to_owned(), lasting(value))),
        }
    }
    format!("{}.{}", hash(&Value::Object(content)), hash(&Value::Object(stamp)))
}

/// The half of a fingerprint that is about the content.
pub fn content_of(print: &str) -> &str {
    print.split('.').next().unwrap_or_default()
}

/// Whether two fingerprints are of the same content, whatever became of trash, archive and times.
pub fn same_content(a: &str, b: &str) -> bool {
    content_of(a) == content_of(b)
}

fn hash(value: &Value) -> String {
    sha256_hex(&canonical_json(value), DIGITS)
}

/// A value without the addresses of files, which are made anew for every answer.
fn lasting(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(lasting).collect(),
        Value::Object(members) => {
            let expires = members.contains_key("expiry_time");
            let kept = members.iter().filter(|(name, _)| !(expires && ["url", "expiry_time"].contains(&name.as_str())));
            Value::Object(kept.map(|(name, value)| (name.clone(), lasting(value))).collect())
        }
        other => other.clone(),
    }
}

/// What is asked of a card to tell whether it was touched.
pub const TRELLO_FIELDS: &str = "id,name,desc,due,idList,idBoard,idLabels,idMembers,closed,dateLastActivity";

/// What is asked of a file to tell whether it was touched.
pub const DRIVE_FIELDS: &str =
    "id,name,mimeType,parents,md5Checksum,size,trashed,explicitlyTrashed,modifiedTime,version,ownedByMe";

impl Clients {
    /// How objects of one platform look right now, in their order: with as few requests as the platform offers. What
    /// a kind of action has nothing to look at for is [`Sight::There`] with an empty fingerprint.
    pub async fn look(&self, platform: Platform, targets: &[Target<'_>]) -> Vec<Result<Sight, PlatformError>> {
        let session = self.session(platform, super::CALL_TIMEOUT);
        let known = match platform {
            Platform::Notion => pages_together(&session, targets).await,
            _ => Ok(HashMap::new()),
        };
        let known = match known {
            Ok(known) => known,
            Err(error) => return targets.iter().map(|_| Err(error.clone())).collect(),
        };
        let look = |target| {
            // Each has its own time.
            let session = self.session(platform, super::CALL_TIMEOUT);
            let known = &known;
            async move { look_at(&session, target, known).await }
        };
        futures_util::stream::iter(targets).map(look).buffered(AT_ONCE).collect().await
    }
}

impl Clients {
    /// Fingerprint of an object that an earlier action was about, wherever a clean-up put it; `None` when it is gone for
    /// good, or when a kind of action has nothing to look at.
    pub async fn print_now(&self, platform: Platform, target: &Target<'_>) -> Result<Option<String>, PlatformError> {
        let session = self.session(platform, super::CALL_TIMEOUT);
        match object(&session, target).await {
            Ok(object) => Ok(object.map(|object| fingerprint(platform, &object))),
            Err(error) if error.code == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The object of an action, in the fields that its fingerprint is made of; `None` when there is nothing to look at.
async fn object(session: &Session, target: &Target<'_>) -> Result<Option<Value>, PlatformError> {
    let data = Data::new(session.platform, target.action, target.data);
    use ActionType::{Delete, Update};
    Ok(match (session.platform, target.action) {
        (Platform::Notion, Delete | Update) => {
            Some(notion::page(session, data.text("page_id").unwrap_or_default()).await?)
        }
        (Platform::Trello, Delete | Update) => {
            Some(trello::card_with(session, trello::card(&data), TRELLO_FIELDS).await?)
        }
        (Platform::Drive, Delete | Update) => {
            Some(drive::get_with(session, drive::file_id(&data), DRIVE_FIELDS).await?)
        }
        _ => None,
    })
}

async fn look_at(
    session: &Session,
    target: &Target<'_>,
    known: &HashMap<String, Value>,
) -> Result<Sight, PlatformError> {
    let data = Data::new(session.platform, target.action, target.data);
    if (session.platform, target.action) == (Platform::Sheets, ActionType::Delete) {
        return row(session, &data).await;
    }
    let seen = match data.text("page_id").and_then(|id| known.get(&bare(id))) {
        Some(page) => Ok(Some(page.clone())),
        None => object(session, target).await,
    };
    let object = match seen {
        Ok(Some(object)) => object,
        Ok(None) => return Ok(Sight::There { print: String::new(), before: None }),
        Err(error) if error.code == ErrorCode::NotFound => {
            let why =
                format!("{} shows it no more: it is gone, or no longer shared with this connection", session.platform);
            return Ok(Sight::Already(why));
        }
        Err(error) => return Err(error),
    };
    let (flag, out_of_the_way) = match session.platform {
        Platform::Notion => ("in_trash", notion::in_trash(&object)),
        Platform::Trello => ("closed", object["closed"] == true),
        _ => ("trashed", object["trashed"] == true),
    };
    if out_of_the_way {
        let where_it_is = if session.platform == Platform::Trello { "archived" } else { "in the trash" };
        return Ok(Sight::Already(format!("it is {where_it_is} already")));
    }
    let print = fingerprint(session.platform, &object);
    // A clean-up's undo needs no more than that it was not out of the way before.
    let before = (target.action == ActionType::Delete).then(|| json!({flag: false}));
    Ok(Sight::There { print, before })
}

/// A row has no id: what was seen of it is part of the action.
async fn row(session: &Session, data: &Data<'_>) -> Result<Sight, PlatformError> {
    Ok(match sheets_row::look(session, data).await? {
        (Place::There, _) => {
            Sight::There { print: String::new(), before: Some(sheets_row::before(session, data).await?) }
        }
        (Place::Gone, _) => Sight::Already("the row is deleted already".into()),
        (Place::Moved, now) => {
            let now = sheets_row::shown(&now.cells);
            Sight::Changed(format!("the row holds {now}: rows moved, or somebody changed it"))
        }
    })
}

fn bare(id: &str) -> String {
    id.replace('-', "").to_lowercase()
}

/// The pages that queries of their data sources show, by id: all that were made in the same minutes.
async fn pages_together(session: &Session, targets: &[Target<'_>]) -> Result<HashMap<String, Value>, PlatformError> {
    let mut minutes: HashMap<&str, Vec<Time>> = HashMap::new();
    for among in targets.iter().filter_map(|target| target.among) {
        minutes.entry(&among.data_source).or_default().push(minute(among.created));
    }
    let mut pages = HashMap::new();
    for (source, mut times) in minutes {
        let wanted = times.len();
        times.sort_unstable();
        times.dedup();
        if wanted < 2 {
            continue;
        }
        let made = |at: &Time| {
            let within = |when: &str, at: Time| json!({"timestamp": "created_time", "created_time": {when: at}});
            json!({"and": [within("on_or_after", *at), within("before", *at + std::time::Duration::from_secs(60))]})
        };
        let mut body = json!({"page_size": 100, "filter": {"or": times.iter().map(made).collect::<Vec<_>>()}});
        for _ in 0..QUERIES {
            let answer = notion::query_source(session, source, body.clone()).await?;
            for page in answer["results"].as_array().into_iter().flatten() {
                pages.insert(bare(page["id"].as_str().unwrap_or_default()), page.clone());
            }
            if answer["has_more"] != true {
                break;
            }
            body["start_cursor"] = answer["next_cursor"].clone();
        }
    }
    Ok(pages)
}

fn minute(at: Time) -> Time {
    Time(at.0 - at.0.rem_euclid(60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_tells_content_from_what_a_clean_up_changes() {
        let page = |title: &str, trashed: bool, url: &str| {
            json!({"id": "1", "in_trash": trashed, "request_id": url, "properties": {
                "Name": {"title": [{"plain_text": title}]},
                "Files": {"files": [{"name": "a", "file": {"url": url, "expiry_time": url}}]},
            }})
        };
        let print = |page: &Value| fingerprint(Platform::Notion, page);
        let (a, again) = (print(&page("x", false, "1")), print(&page("x", false, "2")));
        assert_eq!(a, again, "addresses that expire are not content");
        let trashed = print(&page("x", true, "1"));
        assert!(a != trashed && same_content(&a, &trashed));
        let edited = print(&page("y", false, "1"));
        assert!(a != edited && !same_content(&a, &edited));
    }
}

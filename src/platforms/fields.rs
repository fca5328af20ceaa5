//! What each platform can do, and which data each operation takes.
//!
//! The documented field names are the canonical ones; the spellings other programs use for the same thing are
//! aliases. A field nobody knows is refused by name at submission, so that nothing is stored and then ignored.

use serde_json::{Map, Value};

use super::Platform;
use crate::wire::ActionType;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text that is not empty.
    Text,
    /// Text, possibly empty.
    AnyText,
    /// Text, or null to clear it.
    Clearable,
    Bool,
    /// A whole number from 1 to 1000.
    Count,
    /// A whole number from 1.
    Ordinal,
    Object,
    List,
    /// A list of texts, or one text with commas.
    Words,
    /// Rows of cells, or one row.
    Rows,
    /// A cell: text, number, bool or null.
    Cell,
}

/// Whether a field has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Required,
    /// Taken from this setting when absent.
    Setting(&'static str),
    Optional,
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub kind: Kind,
    pub need: Need,
}

/// The data of one operation.
#[derive(Debug)]
pub(super) struct Shape {
    pub fields: &'static [Field],
    /// At least one of these has to be there.
    pub one_of: &'static [&'static str],
}

const fn field(name: &'static str, aliases: &'static [&'static str], kind: Kind, need: Need) -> Field {
    Field { name, aliases, kind, need }
}

macro_rules! shape {
    ([$($one_of:literal),*] $($name:literal $([$($alias:literal),*])? : $kind:ident $need:expr),* $(,)?) => {
        Shape {
            fields: const { &[$(field($name, &[$($($alias),*)?], Kind::$kind, $need)),*] },
            one_of: &[$($one_of),*],
        }
    };
}

use Need::{Optional, Required, Setting};

const NOTION_DATABASE: Need = Setting("NOTION_DATABASE_ID");
const SLACK_CHANNEL: Need = Setting("SLACK_NOTIFICATIONS_CHANNEL");
const SPREADSHEET: Need = Setting("SHEETS_LOG_SPREADSHEET_ID");

/// The data of an operation; `None` when the platform cannot do it.
pub(super) fn shape(platform: Platform, action: ActionType) -> Option<Shape> {
    use ActionType::{Create, Delete, File, Log, Notify, Query, Update};
    Some(match (platform, action) {
        (Platform::Notion, Create) => shape!([]
            "database_id" ["databaseId", "database"]: Text NOTION_DATABASE,
            "title" ["name"]: Text Required,
            "properties": Object Optional,
            "content" ["description", "body"]: AnyText Optional),
        (Platform::Notion, Update) => shape!(["properties", "title"]
            "page_id" ["pageId", "id"]: Text Required,
            "properties": Object Optional,
            "title" ["name"]: Text Optional),
        (Platform::Notion, Delete) => shape!([] "page_id" ["pageId", "id"]: Text Required),
        (Platform::Notion, Query) => shape!([]
            "database_id" ["databaseId", "database"]: Text NOTION_DATABASE,
            "filter": Object Optional,
            "sorts": List Optional,
            "page_size" ["pageSize", "limit"]: Count Optional,
            "start_cursor" ["startCursor", "cursor"]: Text Optional),
        (Platform::Notion, Log) => shape!([]
            "page_id" ["pageId", "block_id", "blockId", "id"]: Text Required,
            "text" ["content", "message"]: Text Required),

        (Platform::Trello, Create) => shape!([]
            "name" ["title"]: Text Required,
            "listId" ["list_id", "idList"]: Text Setting("TRELLO_DEFAULT_LIST_ID"),
            "desc" ["description", "content"]: AnyText Optional,
            "labels" ["idLabels"]: Words Optional,
            "members" ["idMembers"]: Words Optional,
            "due" ["dueDate", "due_date"]: Clearable Optional),
        (Platform::Trello, Update) => shape!(["name", "desc", "due", "listId", "closed"]
            "cardId" ["card_id", "id"]: Text Required,
            "name" ["title"]: Text Optional,
            "desc" ["description", "content"]: AnyText Optional,
            "due" ["dueDate", "due_date"]: Clearable Optional,
            "listId" ["list_id", "idList"]: Text Optional,
            "closed" ["archived"]: Bool Optional),
        (Platform::Trello, Delete) => shape!([] "cardId" ["card_id", "id"]: Text Required),
        (Platform::Trello, Query) => shape!([]
            "boardId" ["board_id", "idBoard"]: Text Setting("TRELLO_BOARD_ID"),
            "limit" ["page_size", "pageSize"]: Count Optional),
        (Platform::Trello, Log) => shape!([]
            "cardId" ["card_id", "id"]: Text Required,
            "text" ["comment", "content", "message"]: Text Required),

        (Platform::Slack, Notify) => shape!(["text", "blocks"]
            "channel" ["channelId"]: Text SLACK_CHANNEL,
            "text" ["message", "content"]: Text Optional,
            "blocks": List Optional,
            "thread_ts" ["threadTs"]: Text Optional),
        (Platform::Slack, Update) => shape!(["text", "blocks"]
            "channel" ["channelId"]: Text Required,
            "ts" ["messageTs", "message_ts"]: Text Required,
            "text" ["message", "content"]: Text Optional,
            "blocks": List Optional),
        (Platform::Slack, Delete) => shape!([]
            "channel" ["channelId"]: Text Required,
            "ts" ["messageTs", "message_ts"]: Text Required),
        (Platform::Slack, Query) => shape!([]
            "channel" ["channelId"]: Text SLACK_CHANNEL,
            "limit" ["page_size", "pageSize"]: Count Optional,
            "oldest": Text Optional,
            "latest": Text Optional),

        (Platform::Drive, File | Create) => shape!([]
            "name" ["fileName", "file_name", "title"]: Text Required,
            "content" ["contents", "body"]: AnyText Optional,
            "encoding": Text Optional,
            "mimeType" ["mime_type", "contentType"]: Text Optional,
            "folderId" ["folder_id", "parentId"]: Text Setting("GOOGLE_DRIVE_ROOT_FOLDER_ID"),
            "permissions": List Optional),
        (Platform::Drive, Update) => shape!(["name", "folderId"]
            "fileId" ["file_id", "id"]: Text Required,
            "name" ["fileName", "file_name", "title"]: Text Optional,
            "folderId" ["folder_id", "parentId"]: Text Optional),
        (Platform::Drive, Delete) => shape!([] "fileId" ["file_id", "id"]: Text Required),
        (Platform::Drive, Query) => shape!([]
            "query" ["q"]: Text Optional,
            "name" ["fileName", "file_name", "title"]: Text Optional,
            "folderId" ["folder_id", "parentId"]: Text Optional,
            "limit" ["page_size", "pageSize"]: Count Optional),

        (Platform::Sheets, Log | Create) => shape!([]
            "spreadsheetId" ["spreadsheet_id", "id"]: Text SPREADSHEET,
            "range" ["sheetName", "sheet_name", "sheet", "tab"]: Text Setting("SHEETS_LOG_SHEET"),
            "values" ["rows", "row"]: Rows Required),
        (Platform::Sheets, Update) => shape!(["value", "values"]
            "spreadsheetId" ["spreadsheet_id", "id"]: Text SPREADSHEET,
            "range": Text Required,
            "value": Cell Optional,
            "values" ["rows", "row"]: Rows Optional),
        (Platform::Sheets, Delete) => shape!([]
            "spreadsheetId" ["spreadsheet_id", "id"]: Text SPREADSHEET,
            "sheet" ["sheetName", "sheet_name", "tab"]: Text Required,
            "row": Ordinal Required,
            "was": Object Optional),
        (Platform::Sheets, Query) => shape!([]
            "spreadsheetId" ["spreadsheet_id", "id"]: Text SPREADSHEET,
            "range": Text Required),
        _ => return None,
    })
}

/// The action types a platform's executor can do.
pub fn operations(platform: Platform) -> Vec<ActionType> {
    ActionType::ALL.iter().copied().filter(|action| shape(platform, *action).is_some()).collect()
}

/// Whether this action only reads, so that repeating it can never do anything twice.
pub fn is_read(action: ActionType) -> bool {
    action == ActionType::Query
}

/// Checks an action's data before it is accepted. The error is for the submitter: it names the field.
pub fn validate(platform: Platform, action: ActionType, data: &Value) -> Result<(), String> {
    let Some(shape) = shape(platform, action) else {
        let can: Vec<_> = operations(platform).iter().map(|a| a.as_str()).collect();
        return Err(format!("{platform} cannot do `{action}`; it can do {}", can.join(", ")));
    };
    let Some(map) = data.as_object() else {
        return Err(format!("data must be an object with the fields of a {platform} {action}"));
    };
    let fields = shape.fields;
    if let Some(unknown) = map.keys().find(|key| !fields.iter().any(|f| f.is_called(key))) {
        let known: Vec<_> = fields.iter().map(|f| f.name).collect();
        return Err(format!("data.{unknown}: a {platform} {action} has no such field; it has {}", known.join(", ")));
    }
    for field in fields {
        match field.find(map)? {
            Some((name, value)) => field.check(name, value)?,
            None if field.need == Required => {
                return Err(format!("data.{}: a {platform} {action} needs it", field.name));
            }
            None => {}
        }
    }
    let has = |name: &&str| fields.iter().any(|f| f.name == *name && f.present(map));
    if !shape.one_of.is_empty() && !shape.one_of.iter().any(has) {
        return Err(format!("data: a {platform} {action} needs at least one of {}", shape.one_of.join(", ")));
    }
    special_cases(platform, action, data)
}

/// What a list of fields cannot say.
fn special_cases(platform: Platform, action: ActionType, data: &Value) -> Result<(), String> {
    let data = Data::new(platform, action, data);
    match (platform, action) {
        (Platform::Drive, ActionType::Create | ActionType::File) => {
            let folder = data.text("mimeType") == Some(super::drive::FOLDER);
            if data.text("content").is_none() && !folder {
                return Err("data.content: a file needs it; only a folder has none".to_string());
            }
            if let Some(encoding) = data.text("encoding").filter(|e| !["utf8", "utf-8", "base64"].contains(e)) {
                return Err(format!("data.encoding: `{encoding}` is not one of utf8, base64"));
            }
            super::drive::content(&data).map(|_| ())
        }
        _ => Ok(()),
    }
}

impl Field {
    fn is_called(&self, key: &str) -> bool {
        self.name == key || self.aliases.contains(&key)
    }

    /// The spelling used and the value; an error when two spellings say different things.
    fn find<'a>(&self, map: &'a Map<String, Value>) -> Result<Option<(&'a str, &'a Value)>, String> {
        let mut found: Option<(&str, &Value)> = None;
        for (key, value) in map {
            if !self.is_called(key) || (value.is_null() && !matches!(self.kind, Kind::Clearable | Kind::Cell)) {
                continue;
            }
            match found {
                Some((first, other)) if other != value => {
                    return Err(format!("data.{first} and data.{key} mean the same and differ"));
                }
                _ => found = found.or(Some((key, value))),
            }
        }
        Ok(found)
    }

    fn present(&self, map: &Map<String, Value>) -> bool {
        matches!(self.find(map), Ok(Some(_)))
    }

    fn check(&self, name: &str, value: &Value) -> Result<(), String> {
        let texts = |list: &[Value]| list.iter().all(|v| v.as_str().is_some_and(|s| !s.trim().is_empty()));
        let (ok, wanted) = match self.kind {
            Kind::Text => (value.as_str().is_some_and(|s| !s.trim().is_empty()), "a text that is not empty"),
            Kind::AnyText => (value.is_string(), "a text"),
            Kind::Clearable => (value.is_string() || value.is_null(), "a text, or null to clear it"),
            Kind::Bool => (value.is_boolean(), "true or false"),
            Kind::Count => (value.as_u64().is_some_and(|n| (1..=1000).contains(&n)), "a whole number from 1 to 1000"),
            Kind::Ordinal => (value.as_u64().is_some_and(|n| n > 0), "a whole number from 1"),
            Kind::Object => (value.is_object(), "an object"),
            Kind::List => (value.as_array().is_some_and(|l| !l.is_empty()), "a list that is not empty"),
            Kind::Words => (value.is_string() || value.as_array().is_some_and(|l| texts(l)), "a list of texts"),
            Kind::Rows => (rows(value).is_some(), "rows of cells: [[\"a\", 1], [\"b\", 2]]"),
            Kind::Cell => (is_cell(value), "a text, a number, true, false or null"),
        };
        if ok { Ok(()) } else { Err(format!("data.{name}: must be {wanted}")) }
    }
}

fn is_cell(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

/// Rows of cells; a single row may come without its outer list.
fn rows(value: &Value) -> Option<Vec<Vec<Value>>> {
    let list = value.as_array().filter(|l| !l.is_empty())?;
    if list.iter().all(is_cell) {
        return Some(vec![list.clone()]);
    }
    list.iter().map(|row| row.as_array().filter(|r| !r.is_empty() && r.iter().all(is_cell)).cloned()).collect()
}

/// The data of a validated action, read by canonical names.
pub(super) struct Data<'a> {
    shape: Option<Shape>,
    map: Option<&'a Map<String, Value>>,
}

impl<'a> Data<'a> {
    pub(super) fn new(platform: Platform, action: ActionType, data: &'a Value) -> Self {
        Data { shape: shape(platform, action), map: data.as_object() }
    }

    /// The value of a field under any of its names.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        let field = self.shape.as_ref()?.fields.iter().find(|f| f.name == name)?;
        field.find(self.map?).ok().flatten().map(|(_, value)| value)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    pub(super) fn count(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    pub(super) fn words(&self, name: &str) -> Vec<String> {
        let clean = |s: &str| s.trim().to_string();
        match self.get(name) {
            Some(Value::String(s)) => s.split(',').map(clean).filter(|s| !s.is_empty()).collect(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(clean).collect(),
            _ => Vec::new(),
        }
    }

    pub(super) fn rows(&self, name: &str) -> Option<Vec<Vec<Value>>> {
        rows(self.get(name)?)
    }

    /// The field's value, or its setting's; an error that names both.
    pub(super) fn text_or(&self, name: &str, setting: &Option<String>) -> Result<String, String> {
        if let Some(value) = self.text(name).or(setting.as_deref()) {
            return Ok(value.to_string());
        }
        let field = self.shape.as_ref().and_then(|s| s.fields.iter().find(|f| f.name == name));
        Err(match field.map(|f| f.need) {
            Some(Setting(variable)) => format!("data.{name} is missing and {variable} is not set"),
            _ => format!("data.{name} is missing"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(platform: Platform, action: ActionType, data: Value) -> Result<(), String> {
        validate(platform, action, &data)
    }

    #[test]
    fn what_a_platform_cannot_do_names_what_it_can() {
        let error = check(Platform::Slack, ActionType::File, json!({})).unwrap_err();
        assert_eq!(error, "slack cannot do `file`; it can do update, delete, notify, query");
    }

    #[test]
    fn the_documented_data_is_accepted() {
        use ActionType::*;
        use Platform::*;
        for (platform, action, data) in [
            (Notion, Create, json!({"database_id": "d", "title": "t", "properties": {"status": "Open"}})),
            (Notion, Update, json!({"page_id": "p", "properties": {"status": "Done"}})),
            (Trello, Create, json!({"name": "n", "listId": "l", "desc": "", "labels": ["a"], "members": ["m"]})),
            (Trello, Update, json!({"cardId": "c", "listId": "l"})),
            (Trello, Update, json!({"cardId": "c", "due": null})),
            (Slack, Notify, json!({"channel": "#ops", "text": "hi", "blocks": [{}], "thread_ts": "1.2"})),
            (Drive, File, json!({"name": "n", "content": "c", "mimeType": "text/plain", "folderId": "f"})),
            (Sheets, Log, json!({"spreadsheetId": "s", "range": "Log!A:D", "values": [["a", 1, true, null]]})),
            (Sheets, Update, json!({"spreadsheetId": "s", "range": "Log!A1", "value": 3})),
        ] {
            assert_eq!(check(platform, action, data.clone()), Ok(()), "{platform} {action} {data}");
        }
    }

    #[test]
    fn bad_data_is_refused_by_field() {
        use ActionType::*;
        use Platform::*;
        for (platform, action, data, expected) in [
            (Notion, Create, json!([]), "data must be an object with the fields of a notion create"),
            (Notion, Create, json!({}), "data.title: a notion create needs it"),
            (Notion, Create, json!({"title": " "}), "data.title: must be a text that is not empty"),
            (Notion, Create, json!({"title": "a", "name": "b"}), "data.title and data.name mean the same and differ"),
            (
                Trello,
                Update,
                json!({"cardId": "c"}),
                "data: a trello update needs at least one of name, desc, due, listId, closed",
            ),
            (
                Trello,
                Delete,
                json!({"cardId": "c", "force": true}),
                "data.force: a trello delete has no such field; it has cardId",
            ),
            (Slack, Query, json!({"limit": 0}), "data.limit: must be a whole number from 1 to 1000"),
            (Drive, File, json!({"name": "n"}), "data.content: a file needs it; only a folder has none"),
            (Sheets, Log, json!({"values": [[]]}), "data.values: must be rows of cells: [[\"a\", 1], [\"b\", 2]]"),
        ] {
            assert_eq!(check(platform, action, data.clone()).unwrap_err(), expected, "{data}");
        }
    }

    #[test]
    fn data_is_read_under_any_name() {
        let value = json!({"title": "n", "idLabels": "a, b"});
        let data = Data::new(Platform::Trello, ActionType::Create, &value);
        assert_eq!((data.text("name"), data.words("labels")), (Some("n"), vec!["a".to_string(), "b".to_string()]));
        let missing = data.text_or("listId", &None).unwrap_err();
        assert_eq!(missing, "data.listId is missing and TRELLO_DEFAULT_LIST_ID is not set");
    }
}

//! Sheets: spreadsheets with tabs, cells and a little arithmetic.

mod a1;
mod batch;
mod cells;
mod eval;
mod formula;
mod grid;
mod seed;
mod values;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Call, Effect, Operation, Reply};
use super::google::mask::Mask;
use super::google::{self, Denied, status_error};
use super::hub::Refusal;
use super::ids::Ids;
use super::keys::{Caller, Keys};
use super::limits::{Charge, LimitSettings};
use crate::wire::Time;
use cells::Cell;

/// The project number that quota errors name.
const PROJECT: &str = "123456789012";

/// The spreadsheets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sheets {
    pub(super) ids: Ids,
    books: BTreeMap<String, Book>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Book {
    title: String,
    tabs: Vec<Tab>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Tab {
    /// `sheetId`.
    id: i64,
    title: String,
    /// Size of the grid; `cells` holds only what is filled.
    rows: usize,
    columns: usize,
    frozen: usize,
    cells: Vec<Vec<Cell>>,
}

impl Tab {
    fn new(id: i64, title: &str) -> Self {
        Tab { id, title: title.into(), rows: 1000, columns: 26, frozen: 0, cells: Vec::new() }
    }

    fn cell(&self, row: usize, column: usize) -> Option<&Cell> {
        self.cells.get(row)?.get(column)
    }

    /// The cell at a place, made when there is none yet.
    fn cell_mut(&mut self, row: usize, column: usize) -> &mut Cell {
        if self.cells.len() <= row {
            self.cells.resize_with(row + 1, Vec::new);
        }
        let cells = &mut self.cells[row];
        if cells.len() <= column {
            cells.resize_with(column + 1, Cell::default);
        }
        &mut cells[column]
    }

    fn properties(&self, index: usize) -> Value {
        let mut grid = json!({"rowCount": self.rows, "columnCount": self.columns});
        if self.frozen > 0 {
            grid["frozenRowCount"] = json!(self.frozen);
        }
        json!({
            "sheetId": self.id, "title": self.title, "index": index, "sheetType": "GRID", "gridProperties": grid,
        })
    }
}

/// The method behind a path's last segment: `values/Log!A:D:append`, `ID:batchUpdate`.
fn custom_method(segment: &str) -> (&str, Option<&str>) {
    match segment.rsplit_once(':') {
        Some((rest, method @ ("append" | "clear" | "batchUpdate"))) => (rest, Some(method)),
        _ => (segment, None),
    }
}

pub(super) fn operation(call: &Call) -> Operation {
    match (call.method.as_str(), call.segments().as_slice()) {
        ("GET", ["v4", "spreadsheets", _]) => Operation::read("spreadsheets.get"),
        ("POST", ["v4", "spreadsheets", id]) if custom_method(id).1 == Some("batchUpdate") => {
            let body = call.json().unwrap_or_default();
            let deletes = body["requests"].as_array().into_iter().flatten().any(|r| r.get("deleteDimension").is_some());
            if deletes { Operation::delete("rows.delete") } else { Operation::update("spreadsheets.batchUpdate") }
        }
        ("GET", ["v4", "spreadsheets", _, "values", _]) => Operation::read("values.get"),
        ("PUT", ["v4", "spreadsheets", _, "values", _]) => Operation::update("values.update"),
        ("POST", ["v4", "spreadsheets", _, "values", range]) => match custom_method(range).1 {
            Some("append") => Operation::create("values.append"),
            Some("clear") => Operation::delete("values.clear"),
            _ => Operation::UNKNOWN,
        },
        _ => Operation::UNKNOWN,
    }
}

pub(super) fn authorize(call: &Call, keys: &Keys, operation: Operation, now: Time) -> Result<Caller, Reply> {
    let scopes: &[&str] = match operation.effect {
        Effect::Read => &["spreadsheets", "spreadsheets.readonly", "drive", "drive.file", "drive.readonly"],
        _ => &["spreadsheets", "drive", "drive.file"],
    };
    google::authorize(call, keys, scopes, now).map_err(|denied| match denied {
        Denied::Missing => {
            let message = "Request is missing required authentication credential. Expected OAuth 2 access token, \
                           login cookie or other valid authentication credential.";
            let reason = ("CREDENTIALS_MISSING", json!({"service": "sheets.googleapis.com"}));
            status_error(401, "UNAUTHENTICATED", message, Some(reason))
        }
        Denied::Invalid => refuse(&Refusal::Unauthorized),
        Denied::Scope => {
            let message = "Request had insufficient authentication scopes.";
            let reason = ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", json!({"service": "sheets.googleapis.com"}));
            status_error(403, "PERMISSION_DENIED", message, Some(reason))
        }
    })
}

pub(super) fn charges(limits: &LimitSettings, operation: Operation, caller: &Caller) -> Vec<Charge> {
    let (name, admits) = match operation.effect {
        Effect::Read => ("Read", limits.sheets_reads_per_minute),
        _ => ("Write", limits.sheets_writes_per_minute),
    };
    vec![Charge::new(name, &caller.subject, admits, Duration::from_secs(60))]
}

pub(super) fn refuse(refusal: &Refusal) -> Reply {
    match refusal {
        Refusal::Unauthorized => {
            let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login \
                           cookie or other valid authentication credential. See \
                           https://developers.google.com/identity/sign-in/web/devconsole-project.";
            let reason = ("ACCESS_TOKEN_EXPIRED", json!({"service": "sheets.googleapis.com"}));
            status_error(401, "UNAUTHENTICATED", message, Some(reason))
        }
        Refusal::Forbidden => status_error(403, "PERMISSION_DENIED", "The caller does not have permission", None),
        Refusal::Limited(over) => {
            let kind = if over.limit_name == "Write" { "Write" } else { "Read" };
            let message = format!(
                "Quota exceeded for quota metric '{kind} requests' and limit '{kind} requests per minute per user' of \
                 service 'sheets.googleapis.com' for consumer 'project_number:{PROJECT}'."
            );
            let metadata = json!({
                "service": "sheets.googleapis.com",
                "quota_limit": format!("{kind}RequestsPerMinutePerUser"),
                "quota_limit_value": over.admits.to_string(),
                "consumer": format!("projects/{PROJECT}"),
            });
            status_error(429, "RESOURCE_EXHAUSTED", &message, Some(("RATE_LIMIT_EXCEEDED", metadata)))
        }
        Refusal::Server(503) => status_error(503, "UNAVAILABLE", "The service is currently unavailable.", None),
        Refusal::Server(504) => {
            status_error(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.", None)
        }
        Refusal::Server(status) => status_error(*status, "INTERNAL", "Internal error encountered.", None),
    }
}

fn invalid(message: impl AsRef<str>) -> Reply {
    status_error(400, "INVALID_ARGUMENT", message.as_ref(), None)
}

fn not_found() -> Reply {
    status_error(404, "NOT_FOUND", "Requested entity was not found.", None)
}

impl Sheets {
    pub(super) fn new(seed: u64) -> Self {
        Sheets { ids: Ids::new(seed, "sheets"), books: BTreeMap::new() }
    }

    pub(super) fn handle(&mut self, call: &Call) -> Reply {
        self.route(call).unwrap_or_else(|refused| refused)
    }

    fn route(&mut self, call: &Call) -> Result<Reply, Reply> {
        let json = || call.json().ok_or_else(|| invalid("Invalid JSON payload received. Unexpected token."));
        match (call.method.as_str(), call.segments().as_slice()) {
            ("GET", ["v4", "spreadsheets", id]) => {
                let mask = match call.arg("fields").map(Mask::parse) {
                    None => Mask::default(),
                    Some(mask) => mask.map_err(|part| {
                        invalid(format!("Request contains an invalid argument: invalid field mask at `{part}`."))
                    })?,
                };
                let ranges: Vec<&str> =
                    call.query.iter().filter(|(k, _)| k == "ranges").map(|(_, v)| v.as_str()).collect();
                let wants_data =
                    mask.below("sheets").is_some_and(|m| m.below("data").is_some()) || call.flag("includeGridData");
                let book = self.books.get(*id).ok_or_else(not_found)?;
                Ok(Reply::ok(&mask.apply(book.shown(id, &ranges, wants_data)?)))
            }
            ("POST", ["v4", "spreadsheets", last]) => {
                let (id, method) = custom_method(last);
                let book = self.books.get_mut(id).ok_or_else(not_found)?;
                match method {
                    Some("batchUpdate") => batch::update(book, id, &json()?),
                    _ => Err(Reply::html(404)),
                }
            }
            ("GET", ["v4", "spreadsheets", id, "values", range]) => {
                let book = self.books.get(*id).ok_or_else(not_found)?;
                book.values_get(range, call)
            }
            ("PUT", ["v4", "spreadsheets", id, "values", range]) => {
                let book = self.books.get_mut(*id).ok_or_else(not_found)?;
                book.values_update(id, range, call, &json()?)
            }
            ("POST", ["v4", "spreadsheets", id, "values", last]) => {
                let (range, method) = custom_method(last);
                let book = self.books.get_mut(*id).ok_or_else(not_found)?;
                match method {
                    Some("append") => book.values_append(id, range, call, &json()?),
                    Some("clear") => book.values_clear(id, range),
                    _ => Err(Reply::html(404)),
                }
            }
            _ => Err(Reply::html(404)),
        }
    }
}

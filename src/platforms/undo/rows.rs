//! Sheets: a deleted row is put in again where it was.

use serde_json::Value;

use super::super::session::Session;
use super::super::sheets_row::{self, Back, Place, shown};
use super::{Done, PlatformError, Seen, UndoPlan, Undone, Way};

pub fn plan(done: &Done) -> UndoPlan {
    let (tab, row) = place(done);
    let way = match (&done.before, done.data().get("was")) {
        _ if done.in_doubt() => Way::Manual(by_hand(done)),
        (Some(before), Some(_)) if before["values"].is_array() => Way::Request,
        _ => Way::Manual(by_hand(done)),
    };
    UndoPlan::new(done, "Row restore", format!("put row {row} of {tab} in again"), way)
}

pub fn by_hand(done: &Done) -> Vec<String> {
    let data = done.data();
    let (tab, row) = place(done);
    let id = data.text("spreadsheetId").unwrap_or("SPREADSHEET");
    let cells = data.get("was").and_then(|was| was["cells"].as_array()).map_or(&[][..], Vec::as_slice);
    vec![
        format!("Open https://docs.google.com/spreadsheets/d/{id}/edit, tab {tab}"),
        format!("If row {row} is gone: insert a row there and put back {}.", shown(cells)),
    ]
}

fn place(done: &Done) -> (String, u64) {
    let data = done.data();
    (data.text("sheet").unwrap_or("TAB").to_string(), data.get("row").and_then(Value::as_u64).unwrap_or_default())
}

pub async fn undo(session: &Session, done: &Done, force: bool) -> Result<Undone, PlatformError> {
    let image = done.before.as_ref().unwrap_or(&Value::Null);
    Ok(match sheets_row::insert(session, &done.data(), image, force).await? {
        Back::Now(what) => Undone::Confirmed(what),
        Back::Already(what) => Undone::Already(what),
        Back::Changed(how) => Undone::ChangedSince(how),
        Back::Not(how) => Undone::StillStands(how),
    })
}

pub async fn inspect(session: &Session, done: &Done) -> Result<Seen, PlatformError> {
    let (tab, row) = place(done);
    Ok(match sheets_row::look(session, &done.data()).await? {
        (Place::Gone, _) => Seen::Present,
        (Place::There, _) => Seen::Missing(format!("row {row} of {tab} is there again")),
        (Place::Moved, now) => Seen::Altered(format!("row {row} of {tab} holds {}", shown(&now.cells))),
    })
}

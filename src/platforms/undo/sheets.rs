//! Sheets: cells get back what they held, exactly as it was entered; appended cells become blank again. Rows are never
//! removed, so that nothing moves under the ranges of other steps.

use serde_json::{Value, json};

use super::super::fields::Data;
use super::super::session::{Ask, Session};
use super::super::sheets::{column, rows_written, spreadsheet, tab, target};
use super::guard::{Field, Verdict, confirm, held, judge, names, seen, shown};
use super::typed::{entered, holds, same_value};
use super::{Done, PlatformError, Seen, UndoPlan, Undone, Way, if_there};
use crate::http::Method;
use crate::wire::{ActionType, ErrorCode};

/// What is asked of cells: what was entered, how it shows, and the format that entering may have changed.
const CELLS: &str = "sheets(properties(sheetId),data(startRow,startColumn,rowData(values(userEnteredValue,\
                     userEnteredFormat(numberFormat),formattedValue))))";

/// Where a range begins.
const ANCHOR: &str = "sheets(properties(title),data(startRow,startColumn))";

pub fn plan(done: &Done) -> UndoPlan {
    match done.action_type {
        ActionType::Log => {
            let why = "an audit entry stays";
            UndoPlan::new(done, "Log entry", format!("nothing: {why}"), Way::Nothing(why))
        }
        ActionType::Create => of_appending(done),
        _ => of_changing(done),
    }
}

fn of_appending(done: &Done) -> UndoPlan {
    let (what, way) = match (done.id("updatedRange"), done.id("spreadsheetId")) {
        (Some(range), Some(_)) => (format!("blank the appended cells {range}"), Way::Request),
        _ => {
            let data = done.data();
            let id = data.text("spreadsheetId").unwrap_or("SPREADSHEET").to_string();
            let first = rows_written(&data).into_iter().flatten().next().unwrap_or(Value::Null);
            let way = Way::manual([
                format!("It is not known whether the row was appended. Look for {} at {}", shown(&first), link(&id)),
                format!("If it is there: opsctl sheets delete-row {id} ROW"),
            ]);
            ("look for the appended row and remove it".to_string(), way)
        }
    };
    UndoPlan::new(done, "Row clearing", what, way)
}

fn of_changing(done: &Done) -> UndoPlan {
    let data = done.data();
    let range = data.text("range").unwrap_or_default();
    let id = done.id("spreadsheetId").or_else(|| data.text("spreadsheetId")).unwrap_or("SPREADSHEET");
    let way = match (done.in_doubt(), &done.before) {
        (false, Some(before)) if before["cells"].is_array() => Way::Request,
        (false, _) => Way::manual([
            format!("What {range} held before was not kept. Open {}", link(id)),
            format!("Put {range} back by hand, with the file's version history as the source."),
        ]),
        (true, _) => Way::manual([
            format!("It is not known whether {range} was changed. Open {}", link(id)),
            format!("If it was: put {range} back by hand, with the file's version history as the source."),
        ]),
    };
    UndoPlan::new(done, "Cell restore", format!("put back what {range} held before"), way)
}

pub fn by_hand(done: &Done) -> Vec<String> {
    let (id, range) = place(done);
    let mut lines = vec![format!("Open {}", link(id))];
    if is_appended(done) {
        let Some((tab, first, _)) = anchor(range) else { return lines };
        lines.push(format!("Check that {range} still holds what was appended (tab {}).", tab.trim_end_matches('!')));
        // From the bottom up, so that no row moves before its turn.
        let rows = (1..=rows_written(&done.data()).len()).rev();
        lines.extend(rows.map(|row| format!("opsctl sheets delete-row {id} {}", first + row)));
        return lines;
    }
    let was = done.before.as_ref().map_or(&Value::Null, |b| &b["cells"]);
    let (_, row, first) = anchor(range).unwrap_or_default();
    for (r, cells) in was.as_array().into_iter().flatten().enumerate() {
        for (c, cell) in cells.as_array().into_iter().flatten().enumerate() {
            let value = entered(cell).as_object().and_then(|v| v.values().next().cloned()).unwrap_or_default();
            lines.push(format!("Put {}{} back to {}.", column(first + c + 1), row + r + 1, shown(&value)));
        }
    }
    lines
}

fn link(id: &str) -> String {
    format!("https://docs.google.com/spreadsheets/d/{id}/edit")
}

/// A rectangle of cells as the spreadsheet has it.
struct Area {
    sheet: Value,
    row: usize,
    column: usize,
    /// Only the filled part.
    cells: Vec<Vec<Value>>,
}

impl Area {
    async fn read(session: &Session, id: &str, range: &str) -> Result<Self, PlatformError> {
        let answer = ask(session, id, range, CELLS).await?;
        let (sheet, data) = (&answer["sheets"][0], &answer["sheets"][0]["data"][0]);
        let values = |row: &Value| row["values"].as_array().cloned().unwrap_or_default();
        Ok(Area {
            // An absent number is 0, as everywhere in this API.
            sheet: json!(sheet["properties"]["sheetId"].as_i64().unwrap_or(0)),
            row: index(&data["startRow"]),
            column: index(&data["startColumn"]),
            cells: data["rowData"].as_array().into_iter().flatten().map(values).collect(),
        })
    }

    fn cell(&self, row: usize, column: usize) -> &Value {
        self.cells.get(row).and_then(|r| r.get(column)).unwrap_or(&Value::Null)
    }
}

fn index(value: &Value) -> usize {
    value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

async fn ask(session: &Session, id: &str, range: &str, fields: &str) -> Result<Value, PlatformError> {
    let url = session.at_with(&["spreadsheets", id], &[("ranges", range), ("fields", fields)]);
    Ok(session.ask(Ask::get("spreadsheets.get", url)).await?)
}

/// The area; `None` when the spreadsheet or its tab is gone.
async fn find(session: &Session, id: &str, range: &str) -> Result<Option<Area>, PlatformError> {
    let answer = Area::read(session, id, range).await.map_err(|mut error| {
        if error.code == ErrorCode::ValidationError && error.message.contains("Unable to parse range") {
            error.code = ErrorCode::NotFound;
        }
        error
    });
    if_there(answer)
}

pub async fn before(session: &Session, data: &Data<'_>) -> Result<Value, PlatformError> {
    let (id, range) = (spreadsheet(session, data)?, target(session, data));
    let rows = rows_written(data);
    let width = rows.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let (prefix, row, first) = match anchor(&range) {
        Some(anchor) => anchor,
        None => {
            let answer = ask(session, &id, &range, ANCHOR).await?;
            let sheet = &answer["sheets"][0];
            let title = sheet["properties"]["title"].as_str().unwrap_or_default().replace('\'', "''");
            let data = &sheet["data"][0];
            (format!("'{title}'!"), index(&data["startRow"]), index(&data["startColumn"]))
        }
    };
    let last = row + rows.len().max(1);
    let exact = format!("{prefix}{}{}:{}{last}", column(first + 1), row + 1, column(first + width));
    let area = Area::read(session, &id, &exact).await?;
    let kept = |cell: &Value| json!({"userEnteredValue": entered(cell), "userEnteredFormat": number_format(cell)});
    let cells: Vec<Vec<Value>> =
        (0..rows.len()).map(|r| (0..rows[r].len()).map(|c| kept(area.cell(r, c))).collect()).collect();
    Ok(json!({"range": exact, "cells": cells}))
}

/// The tab with its `!`, the row and the column where a range of cells begins, zero-based; `None` for a name.
fn anchor(range: &str) -> Option<(String, usize, usize)> {
    let (prefix, cells) = match range.rsplit_once('!') {
        Some((tab, cells)) => (format!("{tab}!"), cells),
        None if tab(range).is_none() => (String::new(), range),
        None => return None,
    };
    let first = cells.split(':').next().unwrap_or_default().replace('$', "");
    let (letters, digits) = first.split_at(first.find(|c: char| c.is_ascii_digit()).unwrap_or(first.len()));
    let column = letters.bytes().fold(0, |n, b| n * 26 + usize::from(b.to_ascii_uppercase().saturating_sub(b'A')) + 1);
    let row: usize = if digits.is_empty() { 1 } else { digits.parse().ok()? };
    Some((prefix, row.saturating_sub(1), column.saturating_sub(1)))
}

fn number_format(cell: &Value) -> Value {
    match cell["userEnteredFormat"].get("numberFormat") {
        Some(format) => json!({"numberFormat": format}),
        None => json!({}),
    }
}

/// A cell that the action wrote.
struct Cell {
    row: usize,
    column: usize,
    /// Whether nothing was sent for it: it is part of an appended row all the same.
    left_out: bool,
    was: Value,
    field: Field,
}

/// What the action wrote, cell by cell, as the area shows it now. What an append wrote was blank before.
fn written(done: &Done, area: &Area) -> Vec<Cell> {
    let (before, blank) = (done.before.as_ref().unwrap_or(&Value::Null), json!(""));
    let mut rows = rows_written(&done.data());
    if is_appended(done) {
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        rows.iter_mut().for_each(|row| row.resize(width, Value::Null));
    }
    let mut cells = Vec::new();
    for (row, values) in rows.iter().enumerate() {
        for (at, sent) in values.iter().enumerate().filter(|(_, sent)| is_appended(done) || !sent.is_null()) {
            let sent = if sent.is_null() { &blank } else { sent };
            let was = &before["cells"][row][at];
            let now = area.cell(row, at);
            let field = Field {
                name: format!("{}{}", column(area.column + at + 1), area.row + row + 1),
                is_back: same_value(&entered(now), &was["userEnteredValue"]),
                is_ours: holds(now, sent),
                now: shown(&now["formattedValue"]),
            };
            cells.push(Cell { row, column: at, left_out: *sent == blank, was: was.clone(), field });
        }
    }
    cells
}

fn is_appended(done: &Done) -> bool {
    done.action_type != ActionType::Update
}

/// Where it was written.
fn place(done: &Done) -> (&str, &str) {
    let kept = done.before.as_ref().and_then(|b| b["range"].as_str());
    let range = kept.or_else(|| done.id("updatedRange")).unwrap_or_default();
    (done.id("spreadsheetId").unwrap_or_default(), range)
}

pub async fn undo(session: &Session, done: &Done, force: bool) -> Result<Undone, PlatformError> {
    let (id, range) = place(done);
    let Some(area) = find(session, id, range).await? else {
        return Ok(Undone::Already(format!("the spreadsheet has no {range} any more")));
    };
    let cells = written(done, &area);
    if is_appended(done)
        && let Some(row) = another(&cells)
    {
        let (row, now) = (area.row + row + 1, held(&split(cells).1));
        return Ok(Undone::ChangedSince(format!("row {row} is another's, or the rows have moved: {now}")));
    }
    let (cells, fields) = split(cells);
    let places = match judge(&fields, force) {
        Verdict::Back => return Ok(Undone::Already(format!("{range} holds what it held before: {}", names(&fields)))),
        Verdict::Changed(how) => return Ok(Undone::ChangedSince(format!("{range} was changed since: {how}"))),
        Verdict::PutBack(places) => places,
    };
    let ask = if is_appended(done) {
        let url = session.at(&["spreadsheets", id, "values", &format!("{range}:clear")]);
        Ask::write("values.clear", Method::POST, url, json!({}))
    } else {
        // All of the cells or none.
        let requests: Vec<Value> = places.iter().map(|at| put_back(&area, &cells[*at])).collect();
        let url = session.at(&["spreadsheets", &format!("{id}:batchUpdate")]);
        Ask::write("spreadsheets.batchUpdate", Method::POST, url, json!({"requests": requests}))
    };
    session.ask(ask).await?;
    let cells = written(done, &Area::read(session, id, range).await?);
    let is_taken = is_appended(done) && !stands(&cells);
    let (_, fields) = split(cells);
    Ok(match confirm(range, &fields) {
        Undone::StillStands(_) if is_taken => {
            Undone::Confirmed(format!("{range} was blanked, and written to since: {}", held(&fields)))
        }
        said => said,
    })
}

fn split(cells: Vec<Cell>) -> (Vec<(usize, usize, Value)>, Vec<Field>) {
    cells.into_iter().map(|cell| ((cell.row, cell.column, cell.was), cell.field)).unzip()
}

fn put_back(area: &Area, (row, column, was): &(usize, usize, Value)) -> Value {
    json!({"updateCells": {
        "start": {"sheetId": area.sheet, "rowIndex": area.row + row, "columnIndex": area.column + column},
        "rows": [{"values": [was]}],
        "fields": "userEnteredValue,userEnteredFormat.numberFormat",
    }})
}

/// A row of which less than half is left although several cells were written: it is somebody else's, and is never
/// blanked. Rows of one kind have cells in common.
fn another(cells: &[Cell]) -> Option<usize> {
    let strange = |sent: &[&Cell]| sent.iter().filter(|cell| cell.field.is_strange()).count();
    rows_sent(cells).find(|sent| sent.len() > 1 && 2 * strange(sent) > sent.len()).map(|sent| sent[0].row)
}

/// Whether a row is still all that was appended. The next append takes a row that was blanked, and may have a cell or
/// two in common with it.
fn stands(cells: &[Cell]) -> bool {
    rows_sent(cells).any(|sent| !sent.is_empty() && sent.iter().all(|cell| cell.field.is_ours))
}

/// What was sent for each row.
fn rows_sent(cells: &[Cell]) -> impl Iterator<Item = Vec<&Cell>> {
    cells.chunk_by(|a, b| a.row == b.row).map(|row| row.iter().filter(|cell| !cell.left_out).collect())
}

pub async fn inspect(session: &Session, done: &Done) -> Result<Seen, PlatformError> {
    let (id, range) = place(done);
    let Some(area) = find(session, id, range).await? else {
        return Ok(Seen::Missing(format!("the spreadsheet has no {range}")));
    };
    let (_, fields) = split(written(done, &area));
    Ok(match is_appended(done) && fields.iter().all(|f| f.is_back) {
        true => Seen::Missing(format!("{range} is blank")),
        false => seen(&fields),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_begin_somewhere() {
        assert_eq!(anchor("Log!B7:D9"), Some(("Log!".into(), 6, 1)));
        assert_eq!(anchor("'My Sheet'!$AA$3"), Some(("'My Sheet'!".into(), 2, 26)));
        assert_eq!((anchor("Log!A:D"), anchor("B2")), (Some(("Log!".into(), 0, 0)), Some((String::new(), 1, 1))));
        assert_eq!((anchor("Log!5:5"), anchor("Totals")), (Some(("Log!".into(), 4, 0)), None));
    }

    #[test]
    fn a_row_with_little_of_ours_is_somebody_elses() {
        let cell = |row, is_ours, is_back| Cell {
            row,
            column: 0,
            left_out: false,
            was: Value::Null,
            field: Field { name: String::new(), is_back, is_ours, now: String::new() },
        };
        assert_eq!(another(&[cell(0, true, false), cell(0, false, false)]), None);
        assert_eq!(another(&[cell(0, true, false), cell(1, false, false), cell(1, false, false)]), Some(1));
        assert_eq!(another(&[cell(0, false, false)]), None);
        assert_eq!(another(&[cell(0, false, false), cell(0, true, false), cell(0, false, false)]), Some(0));
        assert_eq!(another(&[cell(0, true, false), cell(0, true, false), cell(0, false, false)]), None);
    }
}

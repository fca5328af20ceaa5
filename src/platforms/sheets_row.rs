//! One row of a sheet: whether it is still the row that was meant, taking it out, and putting it in again.
//!
//! Rows have no ids and move under others' edits. What was seen is therefore part of the action: the cells of the row and
//! of its two neighbours, and how many rows there were. With these it can be told at any time whether the row is still
//! there, was taken out, or moved. Formulas change when rows move, so they are compared without their references.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::fields::Data;
use super::session::{Ask, Session};
use super::sheets::spreadsheet;
use super::{CallOutcome, Lookup, PlatformError};
use crate::http::Method;
use crate::wire::ErrorCode;

/// What an undo needs of the row's cells.
const CELLS: &str = "sheets(data(rowData(values(userEnteredValue,userEnteredFormat,note,dataValidation)),rowMetadata))";

/// The formulas of a spreadsheet, and where they are.
const FORMULAS: &str = "sheets(properties(sheetId,title),data(startRow,startColumn,rowData(values(userEnteredValue))))";

/// A row as it was when it was meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The spreadsheet.
    pub spreadsheet: String,
    /// The tab's title.
    pub tab: String,
    /// Its number, 1-based.
    pub number: u64,
    /// What was entered into its cells, formulas as text; trailing empty cells left out.
    pub cells: Vec<Value>,
    /// The same of the row above; nothing for the first.
    pub above: Vec<Value>,
    /// The same of the row below.
    pub below: Vec<Value>,
    /// How many rows the tab has.
    pub rows: u64,
}

/// How the row is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it was.
    There,
    /// Taken out; the row below has its place.
    Gone,
    /// Something else is at its place.
    Moved,
}

impl Row {
    /// The data of the action that takes it out.
    pub fn data(&self) -> Value {
        json!({
            "spreadsheetId": self.spreadsheet,
            "sheet": self.tab,
            "row": self.number,
            "was": {"above": self.above, "cells": self.cells, "below": self.below, "rows": self.rows},
        })
    }

    fn of(session: &Session, data: &Data<'_>) -> Result<Self, PlatformError> {
        let was = data.get("was").unwrap_or(&Value::Null);
        let cells = |name: &str| was[name].as_array().cloned().unwrap_or_default();
        Ok(Row {
            spreadsheet: spreadsheet(session, data)?,
            tab: data.text("sheet").unwrap_or_default().to_string(),
            number: data.count("row").unwrap_or_default(),
            above: cells("above"),
            cells: cells("cells"),
            below: cells("below"),
            rows: was["rows"].as_u64().unwrap_or_default(),
        })
    }

    /// Where the row is, by what is at its place now.
    fn place(&self, now: &Row) -> Place {
        let twins = alike(&self.cells, &self.below);
        let fewer = now.rows < self.rows;
        let (above, below) = (alike(&now.above, &self.above), alike(&now.below, &self.below));
        // One neighbour is enough: rows are appended to a log, and others are edited, all the time.
        if alike(&now.cells, &self.cells) && (above || below) && !(twins && fewer) {
            Place::There
        } else if above && alike(&now.cells, &self.below) && (!twins || fewer) {
            Place::Gone
        } else if above && fewer && self.below.is_empty() {
            // It was the last one, and something was appended since.
            Place::Gone
        } else {
            Place::Moved
        }
    }
}

/// Whether two rows hold the same, whatever rows their formulas refer to.
fn alike(a: &[Value], b: &[Value]) -> bool {
    let plain = |cell: &Value| match cell.as_str() {
        Some(formula) if formula.starts_with('=') => Value::from(skeleton(formula)),
        _ => cell.clone(),
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a == b || plain(a) == plain(b))
}

/// A tab of a spreadsheet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tab {
    /// Its title.
    pub title: String,
    /// How many rows it has.
    pub rows: u64,
    /// Its number, as addresses have it after `gid=`.
    pub id: i64,
}

/// The spreadsheet's title and its tabs.
pub(super) async fn tabs(session: &Session, id: &str) -> Result<(String, Vec<Tab>), PlatformError> {
    let fields = "properties.title,sheets.properties(sheetId,title,gridProperties.rowCount)";
    let answer = session
        .ask(Ask::get("spreadsheets.get", session.at_with(&["spreadsheets", id], &[("fields", fields)])))
        .await?;
    let tab = |sheet: &Value| {
        let properties = &sheet["properties"];
        Tab {
            title: properties["title"].as_str().unwrap_or_default().to_string(),
            rows: properties["gridProperties"]["rowCount"].as_u64().unwrap_or(0),
            // An absent number is 0, as everywhere in this API.
            id: properties["sheetId"].as_i64().unwrap_or(0),
        }
    };
    let tabs = answer["sheets"].as_array().into_iter().flatten().map(tab).collect();
    Ok((answer["properties"]["title"].as_str().unwrap_or_default().to_string(), tabs))
}

async fn tab_named(session: &Session, id: &str, title: &str) -> Result<Tab, PlatformError> {
    let (_, tabs) = tabs(session, id).await?;
    tabs.into_iter()
        .find(|tab| tab.title == title)
        .ok_or_else(|| session.fail(ErrorCode::NotFound, format!("spreadsheet {id} has no tab `{title}`")))
}

fn quoted(tab: &str) -> String {
    format!("'{}'", tab.replace('\'', "''"))
}

/// A row as it is now.
pub(super) async fn read(session: &Session, id: &str, tab: &Tab, number: u64) -> Result<Row, PlatformError> {
    // A range beyond the grid is refused.
    let (first, last) = ((number - 1).max(1), (number + 1).min(tab.rows));
    let range = format!("{}!{first}:{last}", quoted(&tab.title));
    let url = session.at_with(&["spreadsheets", id, "values", &range], &[("valueRenderOption", "FORMULA")]);
    let answer = session.ask(Ask::get("values.get", url)).await?;
    let at = |row: u64| {
        let place = row.checked_sub(first).filter(|_| row > 0).and_then(|at| usize::try_from(at).ok());
        let cells = place.and_then(|at| answer["values"].get(at)?.as_array().cloned());
        trimmed(cells.unwrap_or_default())
    };
    Ok(Row {
        spreadsheet: id.to_string(),
        tab: tab.title.clone(),
        number,
        above: at(number - 1),
        cells: at(number),
        below: at(number + 1),
        rows: tab.rows,
    })
}

/// Without the empty cells at its end.
fn trimmed(mut cells: Vec<Value>) -> Vec<Value> {
    while cells.last().is_some_and(|cell| cell.is_null() || cell == "") {
        cells.pop();
    }
    cells
}

/// Where the meant row is now, with how it looks at its place.
async fn find(session: &Session, meant: &Row) -> Result<(Place, Row, Tab), PlatformError> {
    let tab = tab_named(session, &meant.spreadsheet, &meant.tab).await?;
    // One more than there are is the place of a last row that was taken out.
    if meant.number > tab.rows + 1 || tab.rows == 0 {
        let (above, cells, below) = Default::default();
        return Ok((Place::Moved, Row { above, cells, below, rows: tab.rows, ..meant.clone() }, tab));
    }
    let now = read(session, &meant.spreadsheet, &tab, meant.number).await?;
    Ok((meant.place(&now), now, tab))
}

/// Where the row of an action is now.
pub(super) async fn look(session: &Session, data: &Data<'_>) -> Result<(Place, Row), PlatformError> {
    let (place, now, _) = find(session, &Row::of(session, data)?).await?;
    Ok((place, now))
}

fn moved(session: &Session, meant: &Row) -> PlatformError {
    let why = format!("row {} of {} is not what it was: somebody changed or moved it", meant.number, meant.tab);
    session.fail(ErrorCode::DuplicateError, why)
}

/// Takes the row out, if it is still the one that was meant.
pub(super) async fn delete(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let meant = Row::of(session, data)?;
    let result = json!({"spreadsheetId": meant.spreadsheet, "sheet": meant.tab, "row": meant.number});
    let (place, _, tab) = find(session, &meant).await?;
    // An action that says nothing of what it expects is taken at its word.
    if data.get("was").is_some() {
        match place {
            Place::There => {}
            Place::Gone => return Ok(CallOutcome::found(result)),
            Place::Moved => return Err(moved(session, &meant)),
        }
    }
    let range = json!({
        "sheetId": tab.id, "dimension": "ROWS", "startIndex": meant.number - 1, "endIndex": meant.number,
    });
    batch(session, &meant.spreadsheet, json!([{"deleteDimension": {"range": range}}])).await?;
    Ok(CallOutcome::done(result))
}

async fn batch(session: &Session, id: &str, requests: Value) -> Result<Value, PlatformError> {
    let url = session.at(&["spreadsheets", &format!("{id}:batchUpdate")]);
    Ok(session.ask(Ask::write("spreadsheets.batchUpdate", Method::POST, url, json!({"requests": requests}))).await?)
}

/// Whether a deletion whose answer was lost was done.
pub(super) async fn find_deleted(session: &Session, data: &Data<'_>) -> Result<Lookup, PlatformError> {
    if data.get("was").is_none() {
        return Ok(Lookup::Unclear("it is not known what the row held".into()));
    }
    let meant = Row::of(session, data)?;
    let result = json!({"spreadsheetId": meant.spreadsheet, "sheet": meant.tab, "row": meant.number});
    Ok(match find(session, &meant).await?.0 {
        Place::There => Lookup::Absent,
        Place::Gone => Lookup::Found(CallOutcome::found(result)),
        Place::Moved => Lookup::Unclear(format!("something else is in row {} now", meant.number)),
    })
}

/// What an undo needs: the cells with their formats, the row's height, and the formulas elsewhere that the deletion
/// breaks or shrinks.
pub(super) async fn before(session: &Session, data: &Data<'_>) -> Result<Value, PlatformError> {
    let meant = Row::of(session, data)?;
    let range = format!("{}!{n}:{n}", quoted(&meant.tab), n = meant.number);
    let url = session.at_with(&["spreadsheets", &meant.spreadsheet], &[("ranges", &range), ("fields", CELLS)]);
    let answer = session.ask(Ask::get("spreadsheets.get", url)).await?;
    let area = &answer["sheets"][0]["data"][0];
    Ok(json!({
        "values": area["rowData"][0]["values"].as_array().cloned().unwrap_or_default(),
        "rowMetadata": area["rowMetadata"][0],
        "formulas": formulas(session, &meant).await?,
    }))
}

/// A reference in a formula: the tab, if it names one, the first row and the last.
static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?:('(?:[^']|'')+'|[\p{L}_][\p{L}\p{N}_.]*)!)?\$?[A-Z]{1,3}\$?(\d+)(?::\$?[A-Z]{1,3}\$?(\d+))?").ok()
});

/// Whether a formula on a tab refers to a row of `tab`.
fn refers(formula: &str, on: &str, tab: &str, row: u64) -> bool {
    let Some(reference) = REFERENCE.as_ref() else { return true };
    reference.captures_iter(formula).any(|found| {
        let named = found.get(1).map(|name| name.as_str().trim_matches('\'').replace("''", "'"));
        let at = |group: usize| found.get(group).and_then(|digits| digits.as_str().parse::<u64>().ok());
        let (first, last) = (at(2).unwrap_or(0), at(3).or(at(2)).unwrap_or(0));
        named.as_deref().unwrap_or(on) == tab && (first.min(last)..=first.max(last)).contains(&row)
    })
}

/// A formula without its references: two that differ in these alone are the same to somebody who wrote them.
fn skeleton(formula: &str) -> String {
    let bare = formula.replace("#REF!", "\u{1}");
    match REFERENCE.as_ref() {
        Some(reference) => reference.replace_all(&bare, "\u{1}").into_owned(),
        None => bare,
    }
}

/// The formulas that refer to the row, outside of it: `[{"sheetId", "row", "column", "formula"}]`, zero-based.
async fn formulas(session: &Session, meant: &Row) -> Result<Vec<Value>, PlatformError> {
    let mut found = Vec::new();
    each_formula(session, &meant.spreadsheet, |sheet, title, row, column, formula| {
        let own = title == meant.tab && row + 1 == meant.number;
        if !own && refers(formula, title, &meant.tab, meant.number) {
            found.push(json!({"sheetId": sheet, "row": row, "column": column, "formula": formula}));
        }
    })
    .await?;
    Ok(found)
}

async fn each_formula(
    session: &Session,
    id: &str,
    mut each: impl FnMut(i64, &str, u64, u64, &str),
) -> Result<(), PlatformError> {
    let url = session.at_with(&["spreadsheets", id], &[("fields", FORMULAS)]);
    let answer = session.ask(Ask::get("spreadsheets.get", url)).await?;
    for sheet in answer["sheets"].as_array().into_iter().flatten() {
        let sheet_id = sheet["properties"]["sheetId"].as_i64().unwrap_or(0);
        let title = sheet["properties"]["title"].as_str().unwrap_or_default();
        for area in sheet["data"].as_array().into_iter().flatten() {
            let start = |name: &str| area[name].as_u64().unwrap_or(0);
            for (row, cells) in (start("startRow")..).zip(area["rowData"].as_array().into_iter().flatten()) {
                for (column, cell) in (start("startColumn")..).zip(cells["values"].as_array().into_iter().flatten()) {
                    if let Some(formula) = cell["userEnteredValue"]["formulaValue"].as_str() {
                        each(sheet_id, title, row, column, formula);
                    }
                }
            }
        }
    }
    Ok(())
}

/// What came of putting the row in again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Back {
    /// It is there again, as the sheet shows.
    Now(String),
    /// It was there already.
    Already(String),
    /// Somebody changed the rows around it.
    Changed(String),
    /// It was sent, and the sheet shows something else.
    Not(String),
}

/// Puts the row in again where it was, with its values, formulas and formats, and repairs the formulas that its
/// deletion broke.
pub(super) async fn insert(
    session: &Session,
    data: &Data<'_>,
    image: &Value,
    force: bool,
) -> Result<Back, PlatformError> {
    let meant = Row::of(session, data)?;
    let name = format!("row {} of {}", meant.number, meant.tab);
    let (place, now, tab) = find(session, &meant).await?;
    match place {
        Place::There => return Ok(Back::Already(format!("{name} is there again"))),
        Place::Moved if !force => {
            return Ok(Back::Changed(format!("{name} holds {}: rows moved or were changed since", shown(&now.cells))));
        }
        Place::Gone | Place::Moved => {}
    }
    let index = meant.number - 1;
    let range = json!({"sheetId": tab.id, "dimension": "ROWS", "startIndex": index, "endIndex": meant.number});
    let mut requests = vec![
        json!({"insertDimension": {"range": range, "inheritFromBefore": index > 0}}),
        json!({"updateCells": {
            "start": {"sheetId": tab.id, "rowIndex": index, "columnIndex": 0},
            "rows": [{"values": image["values"]}],
            "fields": "userEnteredValue,userEnteredFormat,note,dataValidation",
        }}),
    ];
    if image["rowMetadata"]["hiddenByUser"] == true {
        let properties = json!({"hiddenByUser": true});
        requests.push(json!({"updateDimensionProperties": {
            "range": range, "properties": properties, "fields": "hiddenByUser",
        }}));
    }
    batch(session, &meant.spreadsheet, Value::from(requests)).await?;
    let left = repair(session, &meant, image).await?;
    let (place, now, _) = find(session, &meant).await?;
    Ok(match (place, left) {
        (Place::There, 0) => Back::Now(format!("{name} holds what it held before")),
        (Place::There, left) => {
            Back::Now(format!("{name} holds what it held before; {left} formulas were changed since"))
        }
        _ if alike(&now.cells, &meant.cells) => Back::Now(format!("{name} holds what it held before")),
        _ => Back::Not(format!("{name} holds {}", shown(&now.cells))),
    })
}

/// Writes back the formulas that the deletion broke, except those that somebody changed since; tells how many those are.
async fn repair(session: &Session, meant: &Row, image: &Value) -> Result<usize, PlatformError> {
    let saved: Vec<&Value> = image["formulas"].as_array().into_iter().flatten().collect();
    if saved.is_empty() {
        return Ok(0);
    }
    let mut now = std::collections::HashMap::new();
    each_formula(session, &meant.spreadsheet, |sheet, _, row, column, formula| {
        now.insert((sheet, row, column), formula.to_string());
    })
    .await?;
    let (mut requests, mut left) = (Vec::new(), 0);
    for was in saved {
        let at = |name: &str| was[name].as_u64().unwrap_or(0);
        let (sheet, formula) = (was["sheetId"].as_i64().unwrap_or(0), was["formula"].as_str().unwrap_or_default());
        match now.get(&(sheet, at("row"), at("column"))) {
            Some(now) if now == formula => {}
            Some(now) if skeleton(now) == skeleton(formula) => requests.push(json!({"updateCells": {
                "start": {"sheetId": sheet, "rowIndex": at("row"), "columnIndex": at("column")},
                "rows": [{"values": [{"userEnteredValue": {"formulaValue": formula}}]}],
                "fields": "userEnteredValue",
            }})),
            _ => left += 1,
        }
    }
    if !requests.is_empty() {
        batch(session, &meant.spreadsheet, Value::from(requests)).await?;
    }
    Ok(left)
}

/// Cells as a person reads them.
pub fn shown(cells: &[Value]) -> String {
    let word = |cell: &Value| cell.as_str().map_or_else(|| cell.to_string(), str::to_string);
    match cells {
        [] => "nothing".to_string(),
        cells => crate::http::clip(&cells.iter().map(word).collect::<Vec<_>>().join(" | "), 120),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 5 with its neighbours, of so many.
    fn row(above: &str, cells: &str, below: &str, rows: u64) -> Row {
        let [above, cells, below] = [above, cells, below].map(|cell| vec![Value::from(cell)]);
        Row { spreadsheet: "s".into(), tab: "Log".into(), number: 5, above, cells, below, rows }
    }

    #[test]
    fn a_row_is_there_gone_or_moved() {
        let meant = row("a", "b", "c", 10);
        assert_eq!(meant.place(&row("a", "b", "c", 12)), Place::There, "rows were appended below");
        assert_eq!(meant.place(&row("a", "b", "edited", 10)), Place::There);
        assert_eq!(meant.place(&row("a", "c", "d", 9)), Place::Gone);
        assert_eq!(meant.place(&row("b", "c", "d", 9)), Place::Moved, "a row above was taken out");
        assert_eq!(meant.place(&row("x", "a", "b", 11)), Place::Moved);
        assert_eq!(meant.place(&row("a", "b2", "c", 10)), Place::Moved);
        let last = Row { below: vec![], ..row("a", "b", "", 10) };
        assert_eq!(last.place(&row("a", "appended", "", 9)), Place::Gone);
        assert_eq!(last.place(&row("a", "edited", "", 10)), Place::Moved);
        // Twins are told apart by the number of rows alone.
        let twin = row("a", "b", "b", 10);
        assert_eq!(twin.place(&row("a", "b", "b", 10)), Place::There);
        assert_eq!(twin.place(&row("a", "b", "b", 9)), Place::Gone);
        // What formulas refer to moves with the rows.
        let formula = row("a", "b", "=D5*2", 10);
        assert_eq!(formula.place(&row("a", "=#REF!*2", "d", 9)), Place::Gone);
    }

    #[test]
    fn formulas_that_a_row_is_part_of() {
        for (formula, on, yes) in [
            ("=SUM(A1:A10)", "Log", true),
            ("=A5*2", "Log", true),
            ("=Log!$B$5", "Other", true),
            ("='Log'!B4:B6", "Other", true),
            ("=A5*2", "Other", false),
            ("=SUM(A6:A10)", "Log", false),
            ("=SUM(A:A)", "Log", false),
        ] {
            assert_eq!(refers(formula, on, "Log", 5), yes, "{formula} on {on}");
        }
        assert_eq!(skeleton("=SUM(A1:A10)"), skeleton("=SUM(A1:A9)"));
        assert_eq!(skeleton("=B5*2"), skeleton("=#REF!*2"));
        assert_ne!(skeleton("=B5*2"), skeleton("=B5*3"));
    }
}

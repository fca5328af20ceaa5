//! `batchUpdate`: all of its requests or none.

use serde_json::{Value, json};

use super::cells::{Cell, Entered};
use super::formula::{Axis, shift};
use super::{Book, Reply, Tab, invalid};

pub(super) fn update(book: &mut Book, id: &str, body: &Value) -> Result<Reply, Reply> {
    let requests = body["requests"].as_array().map(Vec::as_slice).unwrap_or_default();
    if requests.is_empty() {
        return Err(invalid("Must specify at least one request."));
    }
    let mut changed = book.clone();
    let mut replies = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        let Some((kind, request)) = request.as_object().and_then(|r| r.iter().next()) else {
            return Err(invalid(format!("Invalid requests[{at}]: No request set.")));
        };
        let reply =
            changed.apply(kind, request).map_err(|why| invalid(format!("Invalid requests[{at}].{kind}: {why}")))?;
        replies.push(reply);
    }
    *book = changed;
    Ok(Reply::ok(&json!({"spreadsheetId": id, "replies": replies})))
}

impl Book {
    fn apply(&mut self, kind: &str, request: &Value) -> Result<Value, String> {
        match kind {
            "deleteDimension" => self.dimension(&request["range"], false),
            "insertDimension" => self.dimension(&request["range"], true),
            "updateCells" => self.update_cells(request),
            "addSheet" => self.add_tab(&request["properties"]),
            "deleteSheet" => {
                let at = self.tab_with(&request["sheetId"])?;
                if self.tabs.len() == 1 {
                    return Err("You can't remove all the sheets in a document.".into());
                }
                self.tabs.remove(at);
                Ok(json!({}))
            }
            _ => Err("the simulator does not know this kind of request".into()),
        }
    }

    fn tab_with(&self, id: &Value) -> Result<usize, String> {
        // An absent id is 0, as everywhere in this API.
        let id = id.as_i64().unwrap_or(0);
        self.tabs.iter().position(|t| t.id == id).ok_or_else(|| format!("No grid with id: {id}"))
    }

    /// Inserts or deletes rows or columns, and moves what formulas refer to.
    fn dimension(&mut self, range: &Value, insert: bool) -> Result<Value, String> {
        let at = self.tab_with(&range["sheetId"])?;
        let axis = match range["dimension"].as_str() {
            Some("ROWS") => Axis::Rows,
            Some("COLUMNS") => Axis::Columns,
            _ => return Err("dimension must be ROWS or COLUMNS".into()),
        };
        let index = |name: &str| range[name].as_u64().and_then(|n| usize::try_from(n).ok());
        let tab = &mut self.tabs[at];
        let size = if axis == Axis::Rows { tab.rows } else { tab.columns };
        let start = index("startIndex").unwrap_or(0);
        let end = index("endIndex").unwrap_or(size);
        if start >= end || (!insert && end > size) || start > size {
            return Err(format!("range [{start}, {end}) does not fit a grid of {size}"));
        }
        let count = end - start;
        if !insert && count == size {
            return Err("You can't delete all the rows or columns on the sheet.".into());
        }
        match (axis, insert) {
            (Axis::Rows, true) if start < tab.cells.len() => {
                tab.cells.splice(start..start, std::iter::repeat_with(Vec::new).take(count));
            }
            (Axis::Rows, false) if start < tab.cells.len() => _ = tab.cells.drain(start..end.min(tab.cells.len())),
            (Axis::Rows, _) => {}
            (Axis::Columns, _) => {
                for row in tab.cells.iter_mut().filter(|row| start < row.len()) {
                    if insert {
                        row.splice(start..start, std::iter::repeat_with(Cell::default).take(count));
                    } else {
                        row.drain(start..end.min(row.len()));
                    }
                }
            }
        }
        let size = if insert { size + count } else { size - count };
        *(if axis == Axis::Rows { &mut tab.rows } else { &mut tab.columns }) = size;
        let changed = tab.title.clone();
        for tab in &mut self.tabs {
            for cell in tab.cells.iter_mut().flatten() {
                if let Entered::Formula(formula) = &mut cell.entered {
                    *formula = shift(formula, &tab.title, &changed, axis, start, count, insert);
                }
            }
        }
        Ok(json!({}))
    }

    fn update_cells(&mut self, request: &Value) -> Result<Value, String> {
        let fields: Vec<&str> = request["fields"].as_str().unwrap_or_default().split(',').map(str::trim).collect();
        if fields == [""] {
            return Err("At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)".into());
        }
        let wants = |name: &str| fields.iter().any(|f| *f == "*" || *f == name || f.starts_with(&format!("{name}.")));
        let (place, row, column) = match (&request["start"], &request["range"]) {
            (Value::Null, Value::Null) => return Err("start or range must be set".into()),
            (Value::Null, range) => (range, "startRowIndex", "startColumnIndex"),
            (start, _) => (start, "rowIndex", "columnIndex"),
        };
        let index = |name: &str| place[name].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
        let (at, row, column) = (self.tab_with(&place["sheetId"])?, index(row), index(column));
        let tab = &mut self.tabs[at];
        for (r, data) in request["rows"].as_array().into_iter().flatten().enumerate() {
            for (c, value) in data["values"].as_array().into_iter().flatten().enumerate() {
                let (row, column) = (row + r, column + c);
                if row >= tab.rows || column >= tab.columns {
                    return Err(format!("Attempting to write column: {column}, beyond the last requested column"));
                }
                let cell = tab.cell_mut(row, column);
                if wants("userEnteredValue") {
                    cell.entered =
                        Cell::extended(&value["userEnteredValue"]).ok_or("userEnteredValue is not a value")?;
                }
                if fields.contains(&"userEnteredFormat.numberFormat") {
                    cell.set_number_format(value["userEnteredFormat"].get("numberFormat"));
                } else if wants("userEnteredFormat") {
                    cell.format = value["userEnteredFormat"].clone();
                }
                if wants("note") {
                    cell.note = value["note"].as_str().map(str::to_owned);
                }
            }
        }
        Ok(json!({}))
    }

    fn add_tab(&mut self, properties: &Value) -> Result<Value, String> {
        let title = properties["title"].as_str().map_or_else(|| format!("Sheet{}", self.tabs.len() + 1), str::to_owned);
        if self.tab_named(&title).is_some() {
            return Err(format!("A sheet with the name \"{title}\" already exists. Please enter another name."));
        }
        let free = self.tabs.iter().map(|t| t.id).max().unwrap_or(0) + 1;
        let id = properties["sheetId"].as_i64().unwrap_or(free);
        if self.tabs.iter().any(|t| t.id == id) {
            return Err(format!("A sheet with the ID {id} already exists."));
        }
        let mut tab = Tab::new(id, &title);
        let size = |name: &str| properties["gridProperties"][name].as_u64().and_then(|n| usize::try_from(n).ok());
        tab.rows = size("rowCount").unwrap_or(tab.rows);
        tab.columns = size("columnCount").unwrap_or(tab.columns);
        let shown = tab.properties(self.tabs.len());
        self.tabs.push(tab);
        Ok(json!({"addSheet": {"properties": shown}}))
    }
}

//! Cell values by range: read, written, appended, cleared.

use serde_json::{Value, json};

use super::a1::Range;
use super::cells::{Cell, Entered, Worth, number};
use super::{Book, Reply, invalid};
use crate::sandbox::sim::api::{Call, Created};

impl Book {
    pub(super) fn values_get(&self, text: &str, call: &Call) -> Result<Reply, Reply> {
        let range = self.range(text)?;
        let option = call.arg("valueRenderOption").unwrap_or("FORMATTED_VALUE");
        if !["FORMATTED_VALUE", "UNFORMATTED_VALUE", "FORMULA"].contains(&option) {
            return Err(invalid(format!(
                "Invalid value at 'value_render_option' (type.googleapis.com/google.apps.sheets.v4.ValueRenderOption), \"{option}\""
            )));
        }
        let (end_row, end_column) = range.ends(&self.tabs[range.tab]);
        let filled = end_row.min(self.tabs[range.tab].cells.len()).max(range.row);
        let mut rows: Vec<Vec<Value>> = (range.row..filled)
            .map(|row| {
                let end = self.tabs[range.tab].cells[row].len().min(end_column).max(range.column);
                (range.column..end).map(|column| self.rendered(range.tab, row, column, option)).collect()
            })
            .collect();
        rows.iter_mut().for_each(trim);
        while rows.last().is_some_and(Vec::is_empty) {
            rows.pop();
        }
        let columns = call.arg("majorDimension") == Some("COLUMNS");
        let mut body = json!({
            "range": self.address(range),
            "majorDimension": if columns { "COLUMNS" } else { "ROWS" },
        });
        if columns {
            rows = transposed(&rows);
        }
        if !rows.is_empty() {
            body["values"] = json!(rows);
        }
        Ok(Reply::ok(&body))
    }

    fn rendered(&self, tab: usize, row: usize, column: usize, option: &str) -> Value {
        let Some(cell) = self.tabs[tab].cell(row, column).filter(|c| !c.is_empty()) else { return json!("") };
        if let (Entered::Formula(formula), "FORMULA") = (&cell.entered, option) {
            return json!(formula);
        }
        let worth = self.worth(tab, row, column);
        match (&worth, option) {
            (Worth::Number(n), "UNFORMATTED_VALUE" | "FORMULA") => number(*n),
            (Worth::Bool(b), "UNFORMATTED_VALUE" | "FORMULA") => json!(b),
            _ => json!(cell.formatted(&worth)),
        }
    }

    pub(super) fn values_update(&mut self, id: &str, text: &str, call: &Call, body: &Value) -> Result<Reply, Reply> {
        let range = self.range(text)?;
        let rows = given_rows(body)?;
        let as_typed = as_typed(call)?;
        let one_cell = range.end_row == Some(range.row + 1) && range.end_column == Some(range.column + 1);
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        if !one_cell {
            let (end_row, end_column) = range.ends(&self.tabs[range.tab]);
            let within = self.address(range);
            if range.row + rows.len() > end_row {
                let row = end_row + 1;
                return Err(invalid(format!(
                    "Requested writing within range [{within}], but tried writing to row [{row}]"
                )));
            }
            if range.column + width > end_column {
                let column = super::a1::letters(end_column);
                return Err(invalid(format!(
                    "Requested writing within range [{within}], but tried writing to column [{column}]"
                )));
            }
        }
        Ok(Reply::ok(&self.write(id, range, &rows, as_typed)))
    }

    /// Writes rows from the range's first cell on; the grid grows where needed.
    fn write(&mut self, id: &str, at: Range, rows: &[Vec<Value>], as_typed: bool) -> Value {
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let tab = &mut self.tabs[at.tab];
        tab.rows = tab.rows.max(at.row + rows.len());
        tab.columns = tab.columns.max(at.column + width);
        let mut cells = 0;
        for (r, values) in rows.iter().enumerate() {
            for (c, value) in values.iter().enumerate() {
                if !value.is_null() {
                    tab.cell_mut(at.row + r, at.column + c).enter(value, as_typed);
                    cells += 1;
                }
            }
        }
        let end_row = Some(at.row + rows.len().max(1));
        let updated = Range { end_row, end_column: Some(at.column + width.max(1)), ..at };
        json!({
            "spreadsheetId": id,
            "updatedRange": self.address(updated),
            "updatedRows": rows.len(),
            "updatedColumns": width,
            "updatedCells": cells,
        })
    }

    /// Below the last filled row of the range's columns, or in place of nothing when there is none.
    pub(super) fn values_append(&mut self, id: &str, text: &str, call: &Call, body: &Value) -> Result<Reply, Reply> {
        let range = self.range(text)?;
        let rows = given_rows(body)?;
        let as_typed = as_typed(call)?;
        let insert = match call.arg("insertDataOption") {
            None | Some("OVERWRITE") => false,
            Some("INSERT_ROWS") => true,
            Some(other) => return Err(invalid(format!("Invalid value at 'insert_data_option', \"{other}\""))),
        };
        let tab = &mut self.tabs[range.tab];
        let end_column = range.end_column.unwrap_or(usize::MAX);
        let has_data = |cells: &Vec<Cell>| {
            cells.iter().enumerate().any(|(c, cell)| (range.column..end_column).contains(&c) && !cell.is_empty())
        };
        let last = tab.cells.iter().rposition(has_data).filter(|row| *row >= range.row);
        let start = last.map_or(range.row, |row| row + 1);
        if insert && start < tab.cells.len() {
            tab.cells.splice(start..start, std::iter::repeat_with(Vec::new).take(rows.len()));
            tab.rows += rows.len();
        }
        let names: Vec<String> =
            rows.iter().map(|row| row.iter().map(text_of).collect::<Vec<_>>().join(" | ")).collect();
        let at = Range { row: start, end_row: None, end_column: None, ..range };
        let updates = self.write(id, at, &rows, as_typed);
        let mut answer = json!({"spreadsheetId": id, "updates": updates});
        if let Some(last) = last {
            // The head and the last row tell the width; looking at every row would make each append slower.
            let cells = &self.tabs[range.tab].cells;
            let width = cells[range.row].len().max(cells[last].len());
            let table = Range { end_row: Some(last + 1), end_column: Some(end_column.min(width)), ..range };
            answer["tableRange"] = json!(self.address(table));
        }
        let created = names.into_iter().map(|name| Created { name, markers: Vec::new() });
        let mut reply = Reply::ok(&answer);
        reply.created.extend(created);
        Ok(reply)
    }

    pub(super) fn values_clear(&mut self, id: &str, text: &str) -> Result<Reply, Reply> {
        let range = self.range(text)?;
        let (end_row, end_column) = range.ends(&self.tabs[range.tab]);
        for cells in self.tabs[range.tab].cells.iter_mut().take(end_row).skip(range.row) {
            for cell in cells.iter_mut().take(end_column).skip(range.column) {
                cell.entered = Entered::Nothing;
            }
        }
        Ok(Reply::ok(&json!({"spreadsheetId": id, "clearedRange": self.address(range)})))
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn as_typed(call: &Call) -> Result<bool, Reply> {
    match call.arg("valueInputOption") {
        Some("USER_ENTERED") => Ok(true),
        Some("RAW") => Ok(false),
        None => Err(invalid("'valueInputOption' is required but not specified")),
        Some(other) => Err(invalid(format!(
            "Invalid value at 'value_input_option' (type.googleapis.com/google.apps.sheets.v4.ValueInputOption), \
             \"{other}\""
        ))),
    }
}

/// The rows of a `ValueRange`.
fn given_rows(body: &Value) -> Result<Vec<Vec<Value>>, Reply> {
    let lists = body["values"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rows = Vec::new();
    for (at, list) in lists.iter().enumerate() {
        let Some(row) = list.as_array() else {
            return Err(invalid(format!(
                "Invalid value at 'data.values[{at}]' (type.googleapis.com/google.protobuf.ListValue), {list}"
            )));
        };
        if let Some((column, odd)) = row.iter().enumerate().find(|(_, v)| v.is_array() || v.is_object()) {
            let kind = if odd.is_array() { "list_value" } else { "struct_value" };
            return Err(invalid(format!("Invalid values[{at}][{column}]: {kind} {odd}")));
        }
        rows.push(row.clone());
    }
    Ok(if body["majorDimension"] == "COLUMNS" { transposed(&rows) } else { rows })
}

fn transposed(lists: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let width = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut out: Vec<Vec<Value>> = (0..width)
        .map(|at| lists.iter().map(|list| list.get(at).cloned().unwrap_or_else(|| json!(""))).collect())
        .collect();
    out.iter_mut().for_each(trim);
    out
}

/// Trailing empty cells are left out.
fn trim(row: &mut Vec<Value>) {
    while row.last().is_some_and(|v| v == "") {
        row.pop();
    }
}

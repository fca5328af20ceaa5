//! A spreadsheet as `spreadsheets.get` answers it.

use serde_json::{Map, Value, json};

use super::a1::Range;
use super::{Book, Reply};

/// Height of a row nobody changed, in pixels.
const ROW_HEIGHT: u32 = 21;

impl Book {
    /// The whole book, or the tabs that `ranges` are on; with cells when they are asked for.
    pub(super) fn shown(&self, id: &str, ranges: &[&str], with_data: bool) -> Result<Value, Reply> {
        let ranges: Vec<Range> = ranges.iter().map(|text| self.range(text)).collect::<Result<_, _>>()?;
        let mut sheets = Vec::new();
        for (at, tab) in self.tabs.iter().enumerate() {
            let mine: Vec<Range> = match ranges.as_slice() {
                [] => vec![Range { tab: at, row: 0, column: 0, end_row: None, end_column: None }],
                some => some.iter().copied().filter(|r| r.tab == at).collect(),
            };
            if mine.is_empty() {
                continue;
            }
            let mut sheet = json!({"properties": tab.properties(at)});
            if with_data {
                sheet["data"] = mine.iter().map(|range| self.data(*range)).collect();
            }
            sheets.push(sheet);
        }
        Ok(json!({
            "spreadsheetId": id,
            "properties": {"title": self.title, "locale": "en_US", "autoRecalc": "ON_CHANGE", "timeZone": "Etc/GMT"},
            "sheets": sheets,
            "spreadsheetUrl": format!("https://docs.google.com/spreadsheets/d/{id}/edit"),
        }))
    }

    /// The cells of one range. Zeros are left out, as in all answers of this API, and so is what is empty at the end.
    fn data(&self, range: Range) -> Value {
        let tab = &self.tabs[range.tab];
        let (end_row, end_column) = range.ends(tab);
        let filled = end_row.min(tab.cells.len()).max(range.row);
        let mut rows = Vec::new();
        for row in range.row..filled {
            let end = tab.cells[row].len().min(end_column).max(range.column);
            let mut values: Vec<Value> =
                (range.column..end).map(|column| self.cell_json(range.tab, row, column)).collect();
            trim(&mut values);
            rows.push(if values.is_empty() { json!({}) } else { json!({"values": values}) });
        }
        trim(&mut rows);
        let mut data = Map::new();
        if range.row > 0 {
            data.insert("startRow".into(), json!(range.row));
        }
        if range.column > 0 {
            data.insert("startColumn".into(), json!(range.column));
        }
        if !rows.is_empty() {
            data.insert("rowData".into(), Value::Array(rows));
        }
        let heights = vec![json!({"pixelSize": ROW_HEIGHT}); end_row - range.row];
        data.insert("rowMetadata".into(), Value::Array(heights));
        Value::Object(data)
    }

    fn cell_json(&self, tab: usize, row: usize, column: usize) -> Value {
        let mut out = Map::new();
        let Some(cell) = self.tabs[tab].cell(row, column) else { return Value::Object(out) };
        if let Some(entered) = cell.entered_json() {
            let worth = self.worth(tab, row, column);
            out.insert("userEnteredValue".into(), entered);
            if let Some(effective) = worth.effective_json() {
                out.insert("effectiveValue".into(), effective);
            }
            out.insert("formattedValue".into(), json!(cell.formatted(&worth)));
        }
        if !cell.format.is_null() {
            out.insert("userEnteredFormat".into(), cell.format.clone());
        }
        if let Some(note) = &cell.note {
            out.insert("note".into(), json!(note));
        }
        Value::Object(out)
    }
}

/// Drops empty objects at the end.
fn trim(list: &mut Vec<Value>) {
    while list.last().is_some_and(|v| v.as_object().is_some_and(Map::is_empty)) {
        list.pop();
    }
}

//! What is in the spreadsheet at first.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Book, Sheets, Tab};
use crate::wire::Time;

impl Sheets {
    /// Makes the log, and tells its id.
    pub(crate) fn furnish(&mut self, now: Time) -> String {
        let day = Duration::from_secs(24 * 3600);
        let date = |age: u32| now.minus(day * age).to_string()[..10].to_owned();
        let actions: Vec<Value> = (1..=12_u32)
            .map(|n| {
                let (platform, action) =
                    [("notion", "create"), ("trello", "update"), ("slack", "notify")][n as usize % 3];
                json!([date(20 - n), action, platform, if n % 5 == 0 { "failed" } else { "success" }, n * 120])
            })
            .collect();
        let costs: Vec<Value> =
            (1..=6_u32).map(|n| json!([date(180 - n * 30), format!("Invoice {}", 1040 + n), n * 250])).collect();
        let book = Book {
            title: "Operations log".into(),
            tabs: vec![
                filled(0, "Actions", &["Date", "Action", "Platform", "Status", "Duration"], &actions),
                filled(
                    101,
                    "Log",
                    &["workflow", "action", "status", "cost"],
                    &[
                        json!(["wf-41", "create_file", "done", 12]),
                        json!(["wf-42", "update_sheet", "done", "=D2*2"]),
                        json!(["wf-43", "create_task", "failed", "=SUM(D2:D3)"]),
                    ],
                ),
                filled(102, "Costs", &["Month", "Invoice", "Amount"], &costs),
                filled(
                    103,
                    "Summary",
                    &["What", "Value"],
                    &[
                        json!(["Actions", "=COUNTA(Actions!A2:A)"]),
                        json!(["Costs", "=SUM(Costs!C2:C)"]),
                        json!(["Last cost", "=Costs!C7"]),
                    ],
                ),
            ],
        };
        let id = format!("1{}", self.ids.alnum(43));
        self.books.insert(id.clone(), book);
        id
    }

    /// Where the orchestrator writes its log.
    pub(crate) fn defaults(&self) -> Vec<(&'static str, String)> {
        let book = self.books.keys().next();
        let tab = ("SHEETS_LOG_SHEET", "Actions".to_owned());
        book.map(|id| ("SHEETS_LOG_SPREADSHEET_ID", id.clone())).into_iter().chain([tab]).collect()
    }
}

fn filled(id: i64, title: &str, head: &[&str], rows: &[Value]) -> Tab {
    let mut tab = Tab::new(id, title);
    tab.frozen = 1;
    for (column, name) in head.iter().enumerate() {
        tab.cell_mut(0, column).enter(&json!(name), false);
    }
    for (row, values) in (1..).zip(rows) {
        for (column, value) in values.as_array().into_iter().flatten().enumerate() {
            tab.cell_mut(row, column).enter(value, true);
        }
    }
    tab
}

//! `opsctl sheets`: rows, straight at Sheets.

use clap::{Args, Subcommand};

use crate::app::App;
use crate::bulk::{Deed, Item, Job};
use crate::error::{Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Undo};
use crate::platforms::sheets_row::{Tab, shown};
use crate::platforms::{Platform, SpreadsheetId, tab_of_address};
use crate::wire::ActionType;

/// Rows of spreadsheets
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    DeleteRow(DeleteRowArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::DeleteRow(args) => delete_row(app, args).await,
        }
    }
}

/// Delete one row of a sheet
///
/// The row is shown first, and deleted only while it and the row below still hold what was shown: rows move when others
/// edit. Its values, formulas, formats and notes are kept, and `opsctl undo RECEIPT` puts it in again where it was, and
/// repairs the formulas elsewhere that broke.
///
/// Example: opsctl sheets delete-row 1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms 12 --sheet Actions
#[derive(Args, Debug)]
pub struct DeleteRowArgs {
    /// Spreadsheet: its id, or its address with the tab in it
    #[arg(value_name = "SPREADSHEET")]
    spreadsheet: String,

    /// Number of the row as the sheet shows it, from 1
    #[arg(value_name = "ROW", allow_negative_numbers = true, value_parser = number)]
    row: u64,

    /// Tab; needed when there are several
    #[arg(long, value_name = "TAB")]
    sheet: Option<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

fn number(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(0) => Err("rows are counted from 1, as the sheet shows them".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is not the number of a row: 1, 2, 3".into()),
    }
}

async fn delete_row(app: &App, args: DeleteRowArgs) -> anyhow::Result<Outcome> {
    let spreadsheet: SpreadsheetId = args.spreadsheet.parse()?;
    let clients = app.paced().await?;
    let id = spreadsheet.as_str();
    let what = || format!("cannot read the spreadsheet {id}");
    let (title, tabs) = clients.sheet_tabs(id).await.map_err(|error| error.fault(what()))?;
    let tab = pick(&title, &tabs, args.sheet.as_deref(), tab_of_address(&args.spreadsheet))?;
    if args.row > tab.rows {
        return Err(Fault::new(Kind::NotFound, format!("there is no row {} in {}", args.row, tab.title))
            .because(format!("the tab ends with row {}", tab.rows))
            .hint(format!("look at the rows once more, and name one from 1 to {}", tab.rows))
            .into());
    }
    let row = clients.sheet_row(id, tab, args.row).await.map_err(|error| error.fault(what()))?;
    let item = Item::new(
        format!("{id} {}!{}", tab.title, args.row),
        Deed::act(Platform::Sheets, ActionType::Delete, row.data()),
    )
    .named(format!("row {} of {}", args.row, tab.title))
    .sends(format!("POST /v4/spreadsheets/{id}:batchUpdate deleteDimension"))
    .because(shown(&row.cells))
    .undo(Undo::Rewrite);
    Job::new("sheets delete-row", format!("delete 1 row of {title}"), &args.change)
        .subject(format!("spreadsheet {id}"))
        .note("the rows below move up by one")
        .items(vec![item])
        .run(app)
        .await
}

/// The tab that was named, the one that the address shows, or the only one.
fn pick<'a>(title: &str, tabs: &'a [Tab], named: Option<&str>, shown: Option<i64>) -> Result<&'a Tab, Fault> {
    let all = || tabs.iter().map(|tab| tab.title.as_str()).collect::<Vec<_>>().join(", ");
    if let (None, Some(tab)) = (named, tabs.iter().find(|tab| Some(tab.id) == shown)) {
        return Ok(tab);
    }
    match (named, tabs) {
        (Some(name), _) => tabs.iter().find(|tab| tab.title == name).ok_or_else(|| {
            Fault::new(Kind::NotFound, format!("`{title}` has no tab `{name}`"))
                .because(format!("it has {}", all()))
                .hint("name one of them: --sheet TAB")
        }),
        (None, [only]) => Ok(only),
        (None, _) => Err(Fault::usage(format!("`{title}` has {} tabs", tabs.len()))
            .because(format!("it has {}", all()))
            .hint("name the one that is meant: --sheet TAB")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_from_one() {
        assert_eq!(number("7"), Ok(7));
        assert!(number("0").unwrap_err().contains("from 1"));
        assert!(number("-1").is_err() && number("x").is_err());
    }

    #[test]
    fn a_tab_is_named_shown_or_the_only_one() {
        let tab = |title: &str, id| Tab { title: title.into(), rows: 10, id };
        let two = [tab("Log", 0), tab("Costs", 7)];
        let picked = |named, shown| pick("Book", &two, named, shown).map(|tab| tab.title.as_str()).map_err(|f| f.kind);
        assert_eq!(picked(Some("Log"), Some(7)), Ok("Log"));
        assert_eq!(picked(None, Some(7)), Ok("Costs"));
        assert_eq!(picked(None, None), Err(Kind::Usage));
        assert_eq!(picked(Some("Nowhere"), None), Err(Kind::NotFound));
        assert_eq!(pick("Book", &two[..1], None, None).unwrap().title, "Log");
    }
}

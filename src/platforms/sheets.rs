//! Google Sheets: rows and cells.
//!
//! Appending has no place for a marker. Before an append, [`prepare`] notes a row that is known to be filled; after a
//! lost answer only the rows below it are compared with what was sent.

use serde_json::{Value, json};

use super::fields::Data;
use super::session::{Ask, Session};
use super::{Call, CallOutcome, Lookup, Platform, PlatformError, unsupported};
use crate::http::{Failure, Method, Url};
use crate::wire::ActionType;

/// The tab for rows when neither the action nor `SHEETS_LOG_SHEET` names one.
const DEFAULT_TAB: &str = "Actions";

/// Rows of a query's result that are kept.
const ROWS_KEPT: usize = 100;

/// Texts and numbers are understood as if a person typed them.
const AS_TYPED: (&str, &str) = ("valueInputOption", "USER_ENTERED");

pub(super) async fn execute(session: &Session, call: &Call) -> Result<CallOutcome, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match call.action_type {
        ActionType::Create | ActionType::Log => append(session, &data).await,
        ActionType::Update => update(session, &data).await,
        ActionType::Delete => super::sheets_row::delete(session, &data).await,
        ActionType::Query => query(session, &data).await,
        _ => Err(unsupported(call)),
    }
}

pub(super) fn spreadsheet(session: &Session, data: &Data<'_>) -> Result<String, PlatformError> {
    let setting = &session.credentials.defaults.sheets_spreadsheet;
    data.text_or("spreadsheetId", setting).map_err(|why| session.invalid(why))
}

pub(super) fn target(session: &Session, data: &Data<'_>) -> String {
    let setting = session.credentials.defaults.sheets_tab.as_deref();
    a1(data.text("range").or(setting).unwrap_or(DEFAULT_TAB))
}

/// A range in A1 notation; a bare tab name with spaces gets the quotes it needs.
fn a1(range: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':' || c == '$';
    if range.contains('!') || range.starts_with('\'') || range.chars().all(plain) {
        range.to_string()
    } else {
        format!("'{}'", range.replace('\'', "''"))
    }
}

/// The tab of a range; `None` for a range on the first tab.
pub(super) fn tab(range: &str) -> Option<&str> {
    match range.rsplit_once('!') {
        Some((tab, _)) => Some(tab),
        None => {
            let cells = |part: &str| {
                let part = part.replace('$', "");
                let letters = part.trim_end_matches(|c: char| c.is_ascii_digit());
                // One part without a row number is a name: `LOG`.
                let is_cell = range.contains(':') || (!letters.is_empty() && letters.len() < part.len());
                is_cell && letters.len() <= 3 && letters.chars().all(|c| c.is_ascii_uppercase()) && !part.is_empty()
            };
            (!range.split(':').all(cells)).then_some(range)
        }
    }
}

/// The last row number in `Log!A57:D58`.
fn last_row(range: &str) -> Option<u64> {
    let digits = range.len() - range.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    range[range.len() - digits..].parse().ok()
}

fn values_url(session: &Session, id: &str, range: &str, query: &[(&str, &str)]) -> Result<Url, Failure> {
    session.at_with(&["spreadsheets", id, "values", range], query)
}

/// Where the rows of a range are remembered.
fn rows_key(id: &str, range: &str) -> String {
    format!("{id} {}", tab(range).unwrap_or_default())
}

async fn append(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let (id, range) = (spreadsheet(session, data)?, target(session, data));
    let query = [AS_TYPED, ("insertDataOption", "INSERT_ROWS")];
    let url = values_url(session, &id, &format!("{range}:append"), &query);
    let body = json!({"majorDimension": "ROWS", "values": rows_written(data)});
    let answer = session.ask(Ask::write("values.append", Method::POST, url, body)).await?;
    let updated = answer["updates"]["updatedRange"].as_str().unwrap_or_default();
    if let Some(row) = last_row(updated) {
        session.caches().sheets_rows.put(&rows_key(&id, &range), session.now(), row);
    }
    Ok(CallOutcome::done(json!({"spreadsheetId": id, "updatedRange": updated})))
}

/// The rows that an action writes; a single value is one row of one cell.
pub(super) fn rows_written(data: &Data<'_>) -> Vec<Vec<Value>> {
    data.rows("values").unwrap_or_else(|| vec![vec![data.get("value").cloned().unwrap_or_default()]])
}

async fn update(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let (id, range) = (spreadsheet(session, data)?, target(session, data));
    let body = json!({"majorDimension": "ROWS", "values": rows_written(data)});
    let ask = Ask::write("values.update", Method::PUT, values_url(session, &id, &range, &[AS_TYPED]), body);
    let answer = session.ask(ask).await?;
    Ok(CallOutcome::done(json!({"spreadsheetId": id, "updatedRange": answer["updatedRange"]})))
}

async fn read_rows(session: &Session, id: &str, range: &str) -> Result<(Value, Vec<Value>), PlatformError> {
    let answer = session.ask(Ask::get("values.get", values_url(session, id, range, &[]))).await?;
    Ok((answer["range"].clone(), answer["values"].as_array().cloned().unwrap_or_default()))
}

async fn query(session: &Session, data: &Data<'_>) -> Result<CallOutcome, PlatformError> {
    let (id, range) = (spreadsheet(session, data)?, target(session, data));
    let (range, mut rows) = read_rows(session, &id, &range).await?;
    let count = rows.len();
    rows.truncate(ROWS_KEPT);
    Ok(CallOutcome::done(json!({"spreadsheetId": id, "range": range, "count": count, "values": rows})))
}

/// The whole tab of a range, so that row numbers are the sheet's.
fn whole_tab(range: &str) -> String {
    tab(range).map_or_else(|| "A:ZZ".to_string(), str::to_string)
}

pub(super) async fn prepare(session: &Session, call: &Call) -> Result<Value, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    let (id, range) = (spreadsheet(session, &data)?, target(session, &data));
    let key = rows_key(&id, &range);
    if let Some(row) = session.caches().sheets_rows.get(&key, session.now()) {
        return Ok(json!({"afterRow": row}));
    }
    let (_, rows) = read_rows(session, &id, &whole_tab(&range)).await?;
    session.caches().sheets_rows.put(&key, session.now(), rows.len() as u64);
    Ok(json!({"afterRow": rows.len()}))
}

pub(super) async fn find_written(session: &Session, call: &Call) -> Result<Lookup, PlatformError> {
    let data = Data::new(call.platform, call.action_type, &call.data);
    match call.action_type {
        ActionType::Create | ActionType::Log => {}
        ActionType::Delete => return super::sheets_row::find_deleted(session, &data).await,
        _ => return Ok(Lookup::Absent),
    }
    let (id, range) = (spreadsheet(session, &data)?, target(session, &data));
    let Some(after) = call.prepared.as_ref().and_then(|p| p["afterRow"].as_u64()) else {
        return Ok(Lookup::Unclear("it is not known how many rows there were before".into()));
    };
    let after = usize::try_from(after).unwrap_or(usize::MAX);
    let wanted = data.rows("values").unwrap_or_default();
    let (_, rows) = read_rows(session, &id, &whole_tab(&range)).await?;
    let shrunk = rows.len() < after;
    let new = if shrunk { &rows[..] } else { &rows[after..] };
    let matches: Vec<usize> = new
        .windows(wanted.len().max(1))
        .enumerate()
        .filter(|(_, window)| window.iter().zip(&wanted).all(|(there, sent)| same_row(there, sent)))
        .map(|(at, _)| at)
        .collect();
    Ok(match matches.as_slice() {
        [] => Lookup::Absent,
        [at] if !shrunk => {
            let (first, last) = (after + at + 1, after + at + wanted.len());
            let tab = tab(&range).map(|t| format!("{t}!")).unwrap_or_default();
            let updated = format!("{tab}A{first}:{}{last}", column(wanted.iter().map(Vec::len).max().unwrap_or(1)));
            Lookup::Found(CallOutcome::found(json!({"spreadsheetId": id, "updatedRange": updated})))
        }
        _ if shrunk => Lookup::Unclear("rows were removed since then, and a row like this is there".into()),
        more => Lookup::Unclear(format!("{} rows like this were appended since then", more.len())),
    })
}

/// Whether a row in the sheet shows what was sent. A date may show in the sheet's own format, so dates are passed over
/// as long as something else tells the row apart.
fn same_row(there: &Value, sent: &[Value]) -> bool {
    let empty = Vec::new();
    let there = there.as_array().unwrap_or(&empty);
    let mut compared = 0;
    for (at, cell) in sent.iter().enumerate() {
        let shown = there.get(at).map(shown).unwrap_or_default();
        let wanted = self::shown(cell);
        let numbers = || Some(shown.replace(',', "").parse::<f64>().ok()? == wanted.parse::<f64>().ok()?);
        if shown == wanted || numbers() == Some(true) {
            compared += usize::from(!wanted.is_empty());
        } else if !looks_like_date(&wanted) && !wanted.starts_with('=') {
            return false;
        }
    }
    compared > 0 && there.len() <= sent.len().max(1)
}

fn shown(cell: &Value) -> String {
    match cell {
        Value::String(s) => s.clone(),
        Value::Bool(b) => b.to_string().to_uppercase(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn looks_like_date(text: &str) -> bool {
    text.len() >= 6
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || " -/.:TZ+".contains(c))
}

/// The letters of a column, 1-based.
pub(super) fn column(mut number: usize) -> String {
    let mut letters = Vec::new();
    while number > 0 {
        letters.push(b'A' + u8::try_from((number - 1) % 26).unwrap_or(0));
        number = (number - 1) / 26;
    }
    letters.iter().rev().map(|b| char::from(*b)).collect()
}

pub(super) async fn who_am_i(session: &Session) -> Result<String, PlatformError> {
    if let Some(id) = &session.credentials.defaults.sheets_spreadsheet {
        let fields = [("fields", "spreadsheetId,properties.title")];
        let answer = session.ask(Ask::get("spreadsheets.get", session.at_with(&["spreadsheets", id], &fields))).await?;
        let title = answer["properties"]["title"].as_str().unwrap_or("untitled");
        return Ok(format!("{}, sees spreadsheet {title}", account(session)));
    }
    let answer = super::google::token_info(session).await?;
    let email = answer["email"].as_str().map(str::to_string);
    Ok(email.unwrap_or_else(|| account(session)))
}

/// Who the credential itself says it is.
fn account(session: &Session) -> String {
    debug_assert_eq!(session.platform, Platform::Sheets);
    match &session.credentials.active().google {
        Some(Ok(super::GoogleKey::ServiceAccount { email, .. })) => email.clone(),
        Some(Ok(super::GoogleKey::Refresh { client_id, .. })) => format!("OAuth client {client_id}"),
        _ => "unknown account".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_tabs() {
        assert_eq!(a1("Log!A:D"), "Log!A:D");
        assert_eq!(a1("Action Log"), "'Action Log'");
        assert_eq!(a1("A1:D"), "A1:D");
        assert_eq!(tab("Log!A:D"), Some("Log"));
        assert_eq!(tab("'Action Log'"), Some("'Action Log'"));
        assert_eq!(tab("Actions"), Some("Actions"));
        assert_eq!((tab("LOG"), tab("A1:D"), tab("B7")), (Some("LOG"), None, None));
        assert_eq!(last_row("'My Sheet'!A57:D58"), Some(58));
        assert_eq!(last_row("Log!A:D"), None);
        assert_eq!(
            (column(1), column(26), column(27), column(702)),
            ("A".into(), "Z".into(), "AA".into(), "ZZ".into())
        );
    }

    #[test]
    fn a_row_is_recognised_as_the_sheet_shows_it() {
        let sent = vec![json!("2026-11-01"), json!("create"), json!(1500), json!(true), json!(null)];
        assert!(same_row(&json!(["11/1/2026", "create", "1,500", "TRUE"]), &sent));
        assert!(!same_row(&json!(["11/1/2026", "update", "1,500", "TRUE"]), &sent));
        assert!(!same_row(&json!(["2026-11-01", "create", "1500", "TRUE", "", "note"]), &sent));
        assert!(!same_row(&json!(["x"]), &[json!("2026-11-01")]));
    }
}

//! Sheets by hand.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Answer, World};
use crate::sandbox::sim::Api;

struct Log {
    world: World,
    token: String,
}

impl Log {
    async fn start() -> Self {
        let world = World::start().await;
        let token = world.access_token().await;
        Log { world, token }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let path = format!("/v4/spreadsheets/{}{path}", self.world.var("SHEETS_LOG_SPREADSHEET_ID"));
        self.world.as_google(&self.token, Api::Sheets, method, &path, body).await
    }

    async fn formulas(&self, range: &str) -> Value {
        let path = format!("/values/{range}?valueRenderOption=FORMULA");
        self.ask(Method::GET, &path, None).await.json["values"].clone()
    }
}

#[tokio::test]
async fn rows_are_appended_and_read_back_as_typed() {
    let log = Log::start().await;
    let body = json!({"values": [["2026-11-01", "create", 1500, true, "=E2+1"]]});
    let path = "/values/Actions:append?valueInputOption=USER_ENTERED&insertDataOption=INSERT_ROWS";
    let appended = log.ask(Method::POST, path, Some(body)).await.json;
    assert_eq!(appended["tableRange"], "Actions!A1:E13");
    assert_eq!(
        (&appended["updates"]["updatedRange"], &appended["updates"]["updatedCells"]),
        (&json!("Actions!A14:E14"), &json!(5))
    );
    let read = log.ask(Method::GET, "/values/Actions!A14:Z14", None).await.json;
    assert_eq!(read["values"], json!([["2026-11-01", "create", "1500", "TRUE", "121"]]));
    assert_eq!(log.formulas("Actions!A14:E14").await, json!([[46327, "create", 1500, true, "=E2+1"]]));
    assert_eq!(log.world.sims.stats_of(Api::Sheets).writes, 1);
}

#[tokio::test]
async fn a_deleted_row_breaks_what_points_to_it_and_comes_back() {
    let log = Log::start().await;
    let before =
        log.ask(Method::GET, "?ranges=Log!3:3&fields=sheets(data(rowData(values(userEnteredValue))))", None).await;
    let row = before.json["sheets"][0]["data"][0]["rowData"][0].clone();
    assert_eq!(row["values"][3]["userEnteredValue"]["formulaValue"], "=D2*2");
    let range = json!({"sheetId": 101, "dimension": "ROWS", "startIndex": 1, "endIndex": 2});
    let delete = json!({"requests": [{"deleteDimension": {"range": range}}]});
    let deleted = log.ask(Method::POST, ":batchUpdate", Some(delete)).await.json;
    assert_eq!(deleted["replies"], json!([{}]));
    assert_eq!(log.formulas("Log!D2:D3").await, json!([["=#REF!*2"], ["=SUM(D2:D2)"]]));
    let shown = log.ask(Method::GET, "/values/Log!D2", None).await.json;
    assert_eq!(shown["values"], json!([["#REF!"]]));

    let cells =
        json!({"values": [{"userEnteredValue": {"stringValue": "wf-41"}}, {"userEnteredValue": {"numberValue": 7}}]});
    let restore = json!({"requests": [
        {"insertDimension": {"range": range}},
        {"updateCells": {"start": {"sheetId": 101, "rowIndex": 1, "columnIndex": 0}, "rows": [cells], "fields": "userEnteredValue"}},
    ]});
    log.ask(Method::POST, ":batchUpdate", Some(restore)).await;
    assert_eq!(log.formulas("Log!A2:B3").await, json!([["wf-41", 7], ["wf-42", "update_sheet"]]));
    assert_eq!(log.world.sims.stats_of(Api::Sheets).operations["rows.delete"], 1);
}

#[tokio::test]
async fn a_batch_is_done_as_a_whole_or_not_at_all() {
    let log = Log::start().await;
    let batch =
        json!({"requests": [{"addSheet": {"properties": {"title": "New"}}}, {"deleteSheet": {"sheetId": 999}}]});
    let refused = log.ask(Method::POST, ":batchUpdate", Some(batch)).await;
    assert_eq!((refused.status, &refused.json["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
    let titles = log.ask(Method::GET, "?fields=sheets.properties.title", None).await.json;
    assert_eq!(titles["sheets"].as_array().unwrap().len(), 4);
    assert_eq!(titles["sheets"][0], json!({"properties": {"title": "Actions"}}));
    assert_eq!(log.world.sims.stats_of(Api::Sheets).writes, 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_range_is_said() {
    let log = Log::start().await;
    let read = log.ask(Method::GET, "/values/NoSuchSheet!A1:D", None).await;
    assert_eq!(read.json["error"]["message"], "Unable to parse range: NoSuchSheet!A1:D");
    let body = json!({"values": [["a", "b"]]});
    let wide = log.ask(Method::PUT, "/values/Log!A1:A2?valueInputOption=RAW", Some(body.clone())).await;
    assert!(wide.json["error"]["message"].as_str().unwrap().contains("tried writing to column [B]"));
    assert_eq!(log.ask(Method::PUT, "/values/Log!A9", Some(body.clone())).await.status, 400);
    let written = log.ask(Method::PUT, "/values/Log!A9?valueInputOption=RAW", Some(body)).await.json;
    assert_eq!(written["updatedRange"], "Log!A9:B9");
    let sums = log.ask(Method::GET, "/values/Summary!A2:B4?valueRenderOption=UNFORMATTED_VALUE", None).await.json;
    assert_eq!(sums["values"], json!([["Actions", 12], ["Costs", 5250], ["Last cost", 1500]]));
}

//! Rows that are taken out and put in again, and messages that are corrected.

use super::*;
use crate::platforms::sheets_row::Row;

const EVERYTHING: &str =
    "sheets(properties(title,gridProperties),data(rowData(values(userEnteredValue,userEnteredFormat,note))))";

impl Ground {
    fn book(&self) -> String {
        self.env["SHEETS_LOG_SPREADSHEET_ID"].clone()
    }

    async fn row(&self, tab: &str, number: u64) -> Row {
        let (_, tabs) = self.clients.sheet_tabs(&self.book()).await.unwrap();
        let tab = tabs.into_iter().find(|t| t.title == tab).unwrap();
        self.clients.sheet_row(&self.book(), &tab, number).await.unwrap()
    }

    async fn whole_book(&self) -> Value {
        let session = self.clients.session(Platform::Sheets, LIMIT);
        let url = session.at_with(&["spreadsheets", &self.book()], &[("fields", EVERYTHING)]);
        session.ask(Ask::get("test", url)).await.unwrap()
    }
}

#[tokio::test]
async fn a_deleted_row_comes_back_with_its_formulas_and_those_elsewhere() {
    let ground = Ground::start().await;
    // Each is part of a formula elsewhere; the last of them ends a range, which inserting alone would not widen again.
    for number in [2, 3, 4] {
        let before = ground.whole_book().await;
        let row = ground.row("Log", number).await;
        let done = ground.act(Platform::Sheets, ActionType::Delete, row.data()).await;
        assert_ne!(ground.whole_book().await, before);
        assert_eq!(ground.seen(&done).await, Seen::Present);
        let undone = ground.undo(&done, false).await;
        assert!(matches!(undone, Undone::Confirmed(_)), "{undone:?}");
        assert_eq!(ground.whole_book().await, before, "row {number}");
        let writes = ground.writes(Platform::Sheets);
        let again = ground.undo(&done, false).await;
        assert!(matches!(again, Undone::Already(_)), "{again:?}");
        assert_eq!(ground.writes(Platform::Sheets), writes);
    }
}

#[tokio::test]
async fn a_row_that_moved_or_was_changed_is_left_alone() {
    let ground = Ground::start().await;
    let row = ground.row("Actions", 4).await;
    let above = ground.row("Actions", 2).await;
    let done = ground.act(Platform::Sheets, ActionType::Delete, above.data()).await;
    let call = call(Platform::Sheets, ActionType::Delete, row.data());
    let refused = ground.clients.execute(&call).await.unwrap_err();
    assert_eq!((refused.code, refused.delivery), (ErrorCode::DuplicateError, Delivery::NotDelivered), "{refused}");
    ground.undo(&done, false).await;
    // Now that nothing moved any more, a lost answer is found.
    let fault = FaultSpec::from(Fault::LostAnswer).times(1).only("write");
    ground.sims.fault(Platform::Sheets, fault).unwrap();
    let lost = ground.clients.execute(&call).await.unwrap_err();
    assert_eq!(lost.delivery, Delivery::Unknown, "{lost}");
    let found = ground.clients.find_written(&call, ground.clients.clock().now()).await.unwrap();
    assert!(matches!(found, Lookup::Found(_)), "{found:?}");
}

#[tokio::test]
async fn a_message_is_corrected_once_where_it_stands_or_in_its_thread() {
    let ground = Ground::start().await;
    let channel = ground.clients.slack_channel(&ground.env["SLACK_NOTIFICATIONS_CHANNEL"]).await.unwrap();
    assert!(channel.is_member && !channel.is_archived);
    let data = json!({"channel": channel.id, "text": "Deploy failed"});
    for refuses_edits in [false, true] {
        if refuses_edits {
            ground.sims.fault(Platform::Slack, FaultSpec::from(Fault::Forbidden).only("chat.update")).unwrap();
        }
        let done = ground.act(Platform::Slack, ActionType::Notify, data.clone()).await;
        let writes = ground.writes(Platform::Slack);
        let corrected = ground.clients.correct(&done, LIMIT).await.unwrap();
        assert!(matches!(corrected, Undone::Confirmed(_)), "{corrected:?}");
        let again = ground.clients.correct(&done, LIMIT).await.unwrap();
        assert!(matches!(again, Undone::Already(_)), "{again:?}");
        assert_eq!(ground.writes(Platform::Slack), writes + 1);
    }
}

//! One live example for each placeholder of the runbook's lines, so that any line can be pasted and filled in.

use std::collections::BTreeMap;

use super::ground::Ground;
use crate::wire::{
    ActionRecord, ActionStatus, ActionType, BackupList, CircuitState, CircuitStatus, IdempotencyKeys, KeyState,
    Platform, QueueItems, QueueView, RecentActions, WorkflowList,
};

/// Placeholders that a variable of the orchestrator's environment answers. None of these is a secret.
pub(super) const FROM_ENVIRONMENT: [(&str, &str); 4] = [
    ("dbId", "NOTION_DATABASE_ID"),
    ("boardId", "TRELLO_BOARD_ID"),
    ("channel", "SLACK_NOTIFICATIONS_CHANNEL"),
    ("spreadsheetId", "SHEETS_LOG_SPREADSHEET_ID"),
];

/// Placeholders that the result of an action answers: the platform, and the field of the result.
const FROM_RESULTS: [(&str, Platform, &str); 3] = [
    ("pageId", Platform::Notion, "pageId"),
    ("cardId", Platform::Trello, "cardId"),
    ("fileId", Platform::Drive, "fileId"),
];

/// Placeholders and values, keyed by the runbook's names without brackets. What there is no example of is left out.
pub async fn live(ground: &Ground) -> BTreeMap<String, String> {
    let mut found = ground.record.objects.clone();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            found.insert(name.to_owned(), value);
        }
    };
    put("platform", Some(platform(ground).await.unwrap_or(Platform::Notion).to_string()));
    put("details", Some("practice-only".into()));
    put("actionId", action(ground).await);
    for (name, platform, field) in FROM_RESULTS {
        put(name, result(ground, platform, field).await);
    }
    put("workflowId", workflow(ground).await);
    put("compensatingWorkflowId", compensation(ground).await);
    put("key", key(ground).await);
    let backup = backup(ground).await;
    put("timestamp", backup.clone());
    put("clean-timestamp", backup);
    put("row", result(ground, Platform::Sheets, "updatedRange").await.as_deref().and_then(row).map(|r| r.to_string()));
    // A spreadsheet has several tabs; its address says which one is meant.
    let spreadsheet =
        found.get("spreadsheetId").map(|id| format!("https://docs.google.com/spreadsheets/d/{id}/edit#gid=0"));
    found.extend(spreadsheet.map(|address| ("spreadsheetId".to_owned(), address)));
    // What a scenario is about is the best example while it is on.
    found.extend(ground.record.scene.placeholders.clone());
    found
}

/// A workflow that waits for somebody, else the newest.
async fn workflow(ground: &Ground) -> Option<String> {
    for query in ["status=rollback_failed,failed&hideCleared=true&limit=1", "limit=1"] {
        let list: WorkflowList = ground.admin.get(&format!("/admin/v1/workflows?{query}")).await.ok()?;
        if let Some(workflow) = list.workflows.into_iter().next() {
            return Some(workflow.workflow_id);
        }
    }
    None
}

/// A workflow that waits to be executed.
async fn compensation(ground: &Ground) -> Option<String> {
    let list: WorkflowList = ground.admin.get("/admin/v1/workflows?status=pending&limit=1").await.ok()?;
    list.workflows.into_iter().next().map(|w| w.workflow_id)
}

/// The newest idempotency key.
async fn key(ground: &Ground) -> Option<String> {
    let keys: IdempotencyKeys = ground.admin.get("/admin/v1/idempotency/keys?limit=100").await.ok()?;
    // One whose work is done: a key in flight is locked.
    keys.keys.into_iter().find(|key| key.state == KeyState::Done).map(|key| key.key)
}

/// The newest backup, by its moment.
async fn backup(ground: &Ground) -> Option<String> {
    let list: BackupList = ground.admin.get("/admin/v1/backups").await.ok()?;
    list.backups.into_iter().next().map(|b| b.id)
}

/// The platform that has most to tell: one whose circuit is not closed, if there is one.
async fn platform(ground: &Ground) -> Option<Platform> {
    let circuits: Vec<CircuitStatus> = ground.admin.get("/circuit-breakers").await.ok()?;
    circuits.into_iter().find(|c| c.state != CircuitState::Closed).map(|c| c.platform)
}

/// An item that really waits, else one that failed, else the newest action.
async fn action(ground: &Ground) -> Option<String> {
    for view in [QueueView::Queued, QueueView::Failed] {
        let path = format!("/admin/v1/queue/items?view={view}&limit=1");
        let items = ground.admin.get::<QueueItems>(&path).await.ok();
        if let Some(item) = items.and_then(|items| items.items.into_iter().next()) {
            return Some(item.action_id);
        }
    }
    let recent: RecentActions = ground.admin.get("/api/actions/recent?limit=1").await.ok()?;
    recent.actions.into_iter().next().map(|a| a.id)
}

/// A field of the newest successful result of a platform.
async fn result(ground: &Ground, platform: Platform, field: &str) -> Option<String> {
    let path = format!("/api/actions/recent?platform={platform}&status={}&limit=50", ActionStatus::Success);
    let recent: RecentActions = ground.admin.get(&path).await.ok()?;
    let made = |a: &&ActionRecord| a.action_type != ActionType::Delete && a.fallback_platform.is_none();
    recent.actions.iter().filter(made).find_map(|a| Some(a.result.as_ref()?.get(field)?.as_str()?.to_owned()))
}

/// The first row of a range: 12 for `Log!A12:C12`.
fn row(range: &str) -> Option<u64> {
    let cell = range.rsplit_once('!').map_or(range, |(_, cells)| cells).split(':').next()?;
    cell.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::row;

    #[test]
    fn the_row_of_a_range() {
        assert_eq!(row("Log!A12:C12"), Some(12));
        assert_eq!(row("'Q3 2026'!B7"), Some(7));
        assert_eq!(row("Log!A:C"), None);
    }
}

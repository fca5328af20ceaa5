//! The orchestrator's database, damaged while nobody has it open.

use std::time::Duration;

use anyhow::Context;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::sandbox::ground::Ground;
use crate::server::native::store::FILE;

/// How long the orchestrator may finish what is in flight before its database is damaged.
const STOP: Duration = Duration::from_secs(20);

/// Stops the orchestrator, does something to its database, and starts it again. Gives the sandbox as it is then.
pub(super) async fn damage(
    ground: &Ground,
    change: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> anyhow::Result<Ground> {
    if let Some(serve) = ground.record.serve {
        serve.end(STOP).await;
    }
    let path = ground.place.data().join(FILE);
    let changed = Connection::open(&path).and_then(|conn| change(&conn));
    // It is started again also when that failed: nobody else would.
    let _: Value = ground.control.post("/host/serve", &json!({})).await?;
    changed.with_context(|| format!("cannot change {}", path.display()))?;
    Ground::enter(&ground.place)
}

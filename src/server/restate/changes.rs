//! Operators' changes to the queue: putting back and driving again. Each is sent in batches, then looked for until it is
//! seen; what is not seen in time is reported as accepted, never as done.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Deserialize;

use super::admin::{Repeat, list, quoted};
use super::invocation::Invocation;
use super::queue::actions;
use super::{RestateBackend, unsupported};
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::effects::{applied, effect, summed, who};
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{ChangeAnswer, EffectKind, IdsRequest, ItemEffect, QueueView};

/// Most ids of one batch request; Restate refuses more.
pub(super) const BATCH: usize = 1000;
/// Most ids of one query: in `sys_invocation` each goes through all that waits for a try, so that many small ones take longer
/// than a few large ones.
pub(super) const LOOKED_AT: usize = 2500;
/// Requests of one change that are under way at once.
pub(super) const AT_ONCE: usize = 4;
/// What Restate says of a text that cannot be an id.
pub(super) const NO_ID: &str = "non valid invocation id";
/// Longest time a paced retry may take: its caller waits for it.
const PACED_MAX: Duration = Duration::from_secs(20);

impl RestateBackend {
    /// The actions among these ids.
    pub(super) async fn find_all(&self, ids: &[String]) -> Result<BTreeMap<String, Invocation>, Refusal> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let columns = self.held().await?.columns();
        self.find_in("sys_invocation", &columns, ids).await
    }

    /// What a table has of the actions among these ids.
    pub(super) async fn find_in(
        &self,
        table: &str,
        columns: &str,
        ids: &[String],
    ) -> Result<BTreeMap<String, Invocation>, Refusal> {
        let ids: Vec<&str> = ids.iter().map(String::as_str).filter(|id| is_id(id)).collect();
        let parts: Vec<_> = ids.chunks(LOOKED_AT).map(|part| self.find_part(table, columns, part)).collect();
        let found: Vec<Vec<Invocation>> = stream::iter(parts).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(found.into_iter().flatten().map(|row| (row.id.clone(), row)).collect())
    }

    async fn find_part(&self, table: &str, columns: &str, ids: &[&str]) -> Result<Vec<Invocation>, Refusal> {
        let (mut found, mut parts) = (Vec::new(), vec![ids]);
        while let Some(part) = parts.pop() {
            let wanted = list(part.iter().copied());
            let sql = format!("select {columns} from {table} where id in ({wanted}) and {}", actions());
            match self.rows::<Invocation>(&sql).await {
                Ok(rows) => found.extend(rows),
                // One that only looks like an id spoils the whole query: it is alone in the end, and then it is nobody's.
                Err(refusal) if refusal.message.contains(NO_ID) => {
                    let (left, right) = part.split_at(part.len() / 2);
                    parts.extend([left, right].into_iter().filter(|half| !half.is_empty() && part.len() > 1));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(found)
    }

    /// Runs removed items again, or failed ones: what Restate paused goes on, what ended starts as a new invocation.
    pub(super) async fn run_again(
        &self,
        request: IdsRequest,
        from: QueueView,
        cx: &ChangeContext,
    ) -> Result<ChangeAnswer, Refusal> {
        let IdsRequest { ids, per_second } = request;
        let pace = per_second.map_or(BATCH, |n| n as usize).min(BATCH);
        if per_second.is_some() && ids.len() / pace >= PACED_MAX.as_secs() as usize {
            return Err(unsupported(format!(
                "{} items at {pace} a second take longer than {} s, and Restate has no pace of its own: name fewer",
                ids.len(),
                PACED_MAX.as_secs()
            )));
        }
        let found = self.find_all(&ids).await?;
        let mut effects = Vec::with_capacity(ids.len());
        let (mut resumed, mut ended) = (Vec::new(), Vec::new());
        let already = self.restarts(&ids).await?;
        for id in ids {
            match found.get(&id) {
                None => effects.push(effect(id, EffectKind::NotFound, None)),
                Some(_) if already.contains_key(&id) => {
                    effects.push(effect(id.clone(), EffectKind::AlreadySo, Some(goes_on(&already[&id]))));
                }
                Some(row) if row.view() == Some(from) && row.status == "paused" => resumed.push(id),
                Some(row) if row.view() == Some(from) => ended.push(id),
                Some(row) => {
                    let is = row.view().map_or("done".to_owned(), |view| view.to_string());
                    effects.push(effect(id, EffectKind::Conflict, Some(format!("it is {is}, not {from}"))));
                }
            }
        }
        let mut first = true;
        for (operation, ids) in [("resume", resumed), ("restart-as-new", ended)] {
            for ids in ids.chunks(pace) {
                if !std::mem::take(&mut first) && per_second.is_some() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                effects.extend(self.drive(operation, ids).await?);
            }
        }
        let (done, all) = (applied(&effects), effects.len());
        let words = match from {
            QueueView::Removed => format!("{done} of {all} items wait again, under new ids"),
            _ => format!("{done} of {all} items were driven again"),
        };
        self.log_change(&words, cx);
        Ok(summed(effects, words))
    }

    /// One batch that is driven again, and looked for.
    async fn drive(&self, operation: &str, ids: &[String]) -> Result<Vec<ItemEffect>, Refusal> {
        let (mut before, mut _turn) = (BTreeMap::new(), None);
        if operation != "resume" {
            _turn = Some(self.queue_turn.lock().await);
            before = self.restarts(ids).await?;
        }
        let names: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !before.contains_key(*id)).collect();
        let repeat = if operation == "resume" { Repeat::Safe } else { Repeat::Never };
        let batch = self.admin.batch(operation, &names, repeat).await?;
        let refused: BTreeMap<String, String> =
            batch.failed.into_iter().map(|failed| (failed.invocation_id, failed.error)).collect();
        let sent: Vec<String> = ids.iter().filter(|id| !refused.contains_key(*id)).cloned().collect();
        let moved = self
            .seen(|| async {
                let moved: BTreeMap<String, Option<String>> = match operation {
                    "resume" => {
                        let now = self.find_all(&sent).await?;
                        let goes_on = |row: &Invocation| row.status != "paused";
                        now.into_iter().filter(|(_, row)| goes_on(row)).map(|(id, _)| (id, None)).collect()
                    }
                    _ => self.restarts(&sent).await?.into_iter().map(|(old, new)| (old, Some(new))).collect(),
                };
                Ok((moved.len() == sent.len()).then_some(moved))
            })
            .await?
            .unwrap_or_default();
        let of = |id: &String| match (refused.get(id), moved.get(id)) {
            // Somebody else was faster.
            _ if before.contains_key(id) => effect(id.clone(), EffectKind::AlreadySo, Some(goes_on(&before[id]))),
            (Some(why), _) => effect(id.clone(), EffectKind::Conflict, Some(why.clone())),
            (_, Some(new)) => effect(id.clone(), EffectKind::Applied, new.as_ref().map(goes_on)),
            _ => effect(id.clone(), EffectKind::Accepted, Some("Restate accepted it; not yet seen".into())),
        };
        Ok(ids.iter().map(of).collect())
    }

    /// What these ids run again as.
    pub(super) async fn restarts(&self, ids: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
            restarted_from: String,
        }
        let mut found = BTreeMap::new();
        for ids in ids.chunks(BATCH) {
            let wanted = list(ids.iter().map(String::as_str));
            // Of several the one that counts comes last: it goes on, or it is the newest.
            let sql = format!(
                "select id, restarted_from from sys_invocation where restarted_from in ({wanted}) \
                 order by status <> 'completed', created_at"
            );
            found.extend(self.rows::<Row>(&sql).await?.into_iter().map(|row| (row.restarted_from, row.id)));
        }
        Ok(found)
    }

    /// What these ids are by now: themselves, or what they were last run again as.
    pub(super) async fn newest(&self, ids: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
        let mut newest: BTreeMap<String, String> = ids.iter().map(|id| (id.clone(), id.clone())).collect();
        let mut open = ids.to_vec();
        while !open.is_empty() {
            let again = self.restarts(&open).await?;
            for last in newest.values_mut() {
                if let Some(next) = again.get(last) {
                    last.clone_from(next);
                }
            }
            open = again.into_values().collect();
        }
        Ok(newest)
    }

    /// Makes what backs off with these words in its last failure be tried at once.
    pub(super) async fn nudge(&self, words: &str, whose: &str) -> Result<(), Refusal> {
        #[derive(Deserialize)]
        struct Row {
            id: String,
        }
        let pattern = quoted(&format!("%{words}%"));
        let sql = format!(
            "select id from sys_invocation where status = 'backing-off' and last_failure like {pattern} and {whose}"
        );
        let held: Vec<Row> = self.rows(&sql).await?;
        for ids in held.chunks(BATCH) {
            let ids: Vec<&str> = ids.iter().map(|row| row.id.as_str()).collect();
            // One that went on by itself meanwhile is refused, and that is fine.
            self.admin.batch("resume", &ids, Repeat::Safe).await?;
        }
        Ok(())
    }

    pub(super) fn log_change(&self, words: &str, cx: &ChangeContext) {
        let line = LogLine::info(Part::Queue, words).field("by", who(cx)).field("reason", cx.reason.clone());
        self.telemetry.log(line.request(Some(cx.request_id.clone())));
    }
}

/// What is said of one that runs again under another id.
pub(super) fn goes_on(new: impl std::fmt::Display) -> String {
    format!("goes on as {new}")
}

/// Whether a text has the shape of an invocation's id; Restate refuses a query that names another.
pub(super) fn is_id(text: &str) -> bool {
    let rest = text.strip_prefix("inv_1");
    rest.is_some_and(|rest| rest.len() == 33 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_other_texts() {
        assert!(is_id("inv_1bTz3BmNHTvS1Nn1TlhLcbNBt1xA63sGqT"));
        for text in
            ["inv_1nobody", "", "inv_1bTz3BmNHTvS1Nn1TlhLcbNBt1xA63sGq'", "0198f2a1-7c1e-7a52-9b1f-5a579d0e3f6a"]
        {
            assert!(!is_id(text), "{text}");
        }
    }
}

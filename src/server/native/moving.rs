//! Waiting actions of another orchestrator, put into the queue.

use futures_util::stream::{self, StreamExt};

use super::runtime::Runtime;
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::moving::{AT_ONCE, keyed, put, standing_in};
use crate::wire::{EffectKind, IdsRequest, ImportedItem, Put, WaitingRequest};

impl Runtime {
    /// Puts them in, each by itself; those that are under way at once share a sync.
    pub(super) async fn take_over(
        &self,
        actions: Vec<WaitingRequest>,
        cx: &ChangeContext,
    ) -> Result<Vec<ImportedItem>, Refusal> {
        let actions = keyed(actions, self.config.effective().enable_idempotency)?;
        self.ensure_open()?;
        // In order: what waited longest is executed first here too.
        let one_by_one = stream::iter(actions).map(|action| self.take_over_one(action, cx)).buffered(AT_ONCE);
        let items: Vec<ImportedItem> = one_by_one.collect().await;
        let new = items.iter().filter(|item| item.put == Put::Imported).count();
        self.log_change(format!("Put into the queue: {new} of {} actions of another orchestrator", items.len()), cx);
        Ok(items)
    }

    async fn take_over_one(&self, action: WaitingRequest, cx: &ChangeContext) -> ImportedItem {
        let WaitingRequest { action_id: from, request } = action;
        let failed = |why: String| put(&from, Put::Failed, None, Some(why));
        let submitted = match self.accept(vec![request]).await.map(|answer| answer.actions.into_iter().next()) {
            Ok(Some(submitted)) => submitted,
            Ok(None) => return failed("nothing is known of it".into()),
            Err(refusal) => return failed(refusal.message),
        };
        let id = submitted.id.as_str();
        if !submitted.duplicate {
            let detail = submitted.approval_id.as_ref().map(|approval| format!("waits for approval {approval}"));
            return put(&from, Put::Imported, Some(id), detail);
        }
        if let Some(item) = standing_in(&from, id, submitted.status) {
            return item;
        }
        let request = IdsRequest { ids: vec![id.to_owned()], per_second: None };
        match self.restore_items(request, cx).await.map(|answer| (answer.effect, answer.items)) {
            Ok((EffectKind::Applied, _)) => put(&from, Put::Restored, Some(id), None),
            Ok((EffectKind::AlreadySo, _)) => put(&from, Put::AlreadyThere, Some(id), None),
            Ok((_, items)) => failed(items.into_iter().find_map(|item| item.detail).unwrap_or_default()),
            Err(refusal) => failed(refusal.message),
        }
    }
}

//! Approvals: asking when an action is accepted, deciding, and ending what nobody decided in time.

use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::bus::{ApprovalOutcome, Event};
use super::runtime::Runtime;
use super::store::StoreError;
use super::store::approvals::{self, Ask, Decided, Decision};
use crate::engine::approval::{self, Asked};
use crate::server::backend::{Answer, ApprovalOps, ChangeContext, Refusal};
use crate::server::config::Effective;
use crate::server::effects::who;
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{
    ActionRequest, ApprovalFilter, ApprovalRecord, ApprovalStatus, Approvals, ApproveRequest, Approved, ErrorCode,
    RejectRequest, Rejected, Time,
};

/// The decision an action has to wait for, if any. `together` is how many changes for its platform are in its request.
pub(in crate::server) fn ask(
    request: &ActionRequest,
    together: usize,
    settings: &Effective,
    now: Time,
) -> Result<Option<Ask>, Refusal> {
    let approving = &settings.approvals;
    if !approving.enabled {
        if !request.requires_approval {
            return Ok(None);
        }
        let why = "approvals are off (ENABLE_APPROVALS), and an action that needs one must not run without it";
        return Err(Refusal::new(ErrorCode::Unsupported, why));
    }
    let asked = Asked {
        action_type: request.action_type,
        platform: request.platform,
        data: &request.data,
        requested: request.requires_approval,
        together,
    };
    let causes = approval::causes(asked, &approving.rules, &approving.border);
    let timeout = request.approval_timeout.map_or(approving.timeout, std::time::Duration::from_millis);
    Ok(Some(Ask { causes, expires_at: now + timeout }).filter(|ask| !ask.causes.is_empty()))
}

impl ApprovalOps for Runtime {
    fn approvals(&self, filter: ApprovalFilter) -> Answer<'_, Approvals> {
        Box::pin(async move {
            let now = self.now();
            let (approvals, truncated) = self.store.read(move |conn| approvals::list(conn, filter, now)).await?;
            Ok(Approvals { approvals, truncated })
        })
    }

    fn approval<'a>(&'a self, id: &'a str) -> Answer<'a, ApprovalRecord> {
        Box::pin(async move {
            let (owned, now) = (id.to_owned(), self.now());
            let found = self.store.read(move |conn| approvals::get(conn, &owned, now)).await?;
            found.ok_or_else(|| Refusal::not_found(format!("approval `{id}`")))
        })
    }

    fn approve<'a>(&'a self, id: &'a str, request: ApproveRequest, cx: &'a ChangeContext) -> Answer<'a, Approved> {
        Box::pin(async move {
            let record = self.decide(id, true, request.user_id, request.reason, cx).await?;
            Ok(record.into())
        })
    }

    fn reject<'a>(&'a self, id: &'a str, request: RejectRequest, cx: &'a ChangeContext) -> Answer<'a, Rejected> {
        Box::pin(async move {
            let record = self.decide(id, false, request.user_id, Some(request.reason), cx).await?;
            Ok(record.into())
        })
    }
}

impl Runtime {
    /// Writes a decision down; what is approved waits in the queue before anybody is told.
    async fn decide(
        &self,
        id: &str,
        approve: bool,
        claimed: String,
        reason: Option<String>,
        cx: &ChangeContext,
    ) -> Result<ApprovalRecord, Refusal> {
        let by = who(&ChangeContext { operator: Some(claimed), ..cx.clone() });
        let decision = Decision { id: id.to_owned(), approve, by, reason, at: self.now() };
        let (done, result) = oneshot::channel();
        let (weak, moment) = (self.weak(), self.moment());
        self.store.writer().send(
            move |conn| approvals::decide(conn, &decision, &moment),
            move |outcome| {
                let outcome = outcome.map(|(decided, moved)| {
                    if let Some(this) = weak.upgrade() {
                        if let Decided::Now(_, Some(item)) = &decided {
                            this.core().queue.push(*item);
                            this.pump();
                        }
                        this.moved(moved);
                    }
                    decided
                });
                let _ = done.send(outcome);
            },
        );
        match result.await.unwrap_or(Err(StoreError::Closed))? {
            Decided::Now(record, _) => {
                self.bus.publish(Event::ApprovalDecided(ApprovalOutcome::of(&record)));
                Ok(*record)
            }
            Decided::Already(record) => Ok(*record),
            Decided::Refused(record) => Err(too_late(&record)),
            Decided::NotFound => Err(Refusal::not_found(format!("approval `{id}`"))),
        }
    }

    /// Remembers when the next approval expires.
    pub(super) fn watch_approval(&self, expires_at: Time) {
        self.next_expiry.fetch_min(expires_at.0, Ordering::Relaxed);
    }

    /// Ends what nobody decided in time. It is looked at again when a decision comes, whoever is first.
    pub(super) fn expire_approvals(&self, now: Time) {
        if now.0 < self.next_expiry.load(Ordering::Relaxed) {
            return;
        }
        // Until the write below says when the next one is due; what is asked for meanwhile lowers it again.
        self.next_expiry.store(i64::MAX, Ordering::Relaxed);
        let (weak, moment) = (self.weak(), self.moment());
        self.store.writer().send(
            move |conn| approvals::expire(conn, &moment),
            move |outcome| {
                let Some(this) = weak.upgrade() else { return };
                match outcome {
                    Ok((expired, next, moved)) => {
                        this.moved(moved);
                        for action_id in expired {
                            this.bus.publish(Event::ApprovalDecided(ApprovalOutcome::expired(action_id)));
                        }
                        if let Some(next) = next {
                            this.watch_approval(next);
                        }
                    }
                    Err(error) => {
                        this.telemetry.log(LogLine::error(Part::Store, format!("{error}; {}", error.advice())));
                        this.watch_approval(now);
                    }
                }
            },
        );
    }
}

/// Why a decision no longer counts.
fn too_late(record: &ApprovalRecord) -> Refusal {
    let at = record.decided_at.unwrap_or(record.expires_at);
    let words = match (&record.decided_by, record.status) {
        (Some(by), status) => format!("{status} by {by} at {at}"),
        (None, ApprovalStatus::Expired) => format!("it expired undecided at {at}"),
        (None, status) => format!("{status} at {at}: its workflow no longer needs it"),
    };
    let mut refusal = Refusal::new(ErrorCode::Conflict, format!("approval {} is decided: {words}", record.id));
    refusal.platform = Some(record.platform);
    refusal.details = serde_json::to_value(record).ok().map(|mut details| {
        // Who decided what, not what was to be done.
        details.as_object_mut().map(|fields| fields.remove("data"));
        details
    });
    refusal
}

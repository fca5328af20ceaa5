//! `opsctl approvals`: actions that wait for a person's decision.

use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::analysis::span;
use crate::app::{App, WatchArgs};
use crate::client::Orchestrator;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::guard::{Approval, ChangeArgs, Plan, ReceiptItem, Step, UndoAction, operator};
use crate::output::{Page, Report, Table};
use crate::wire::{
    ApprovalFilter, ApprovalRecord, ApprovalStatus, ApproveRequest, Approved, ChangeAnswer, EffectKind, ItemEffect,
    RejectRequest, Rejected, Time,
};

use super::args::{SinceArgs, already, count};
use super::text;

/// How far back expired approvals are looked for unless told.
const EXPIRED_WITHIN: Duration = Duration::from_secs(24 * 3600);
/// Most approvals of one kind that are read.
const MOST: u64 = 10_000;
/// An approval is about to expire when less than one part in this many of its time is left.
const LAST_PART: u32 = 4;

/// Approvals: what waits for a decision, and deciding
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    Pending(PendingArgs),
    Overdue(OverdueArgs),
    Approve(ApproveArgs),
    Reject(RejectArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Pending(args) => pending(app, args).await,
            Self::Overdue(args) => overdue(app, args).await,
            Self::Approve(args) => decide(app, args.ids, args.change, Verdict::Approve).await,
            Self::Reject(args) => reject(app, args).await,
        }
    }
}

/// List actions that wait for a decision, the most urgent first
///
/// An action waits because its request asked for a decision, or by the rules in APPROVAL_RULES: deletes, more than ten
/// items for one platform in one request, Drive permissions, access and messages for people outside. Undecided, it fails
/// without being sent.
///
/// Example: opsctl approvals pending --watch=10s
#[derive(Args, Debug)]
pub struct PendingArgs {
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100, allow_negative_numbers = true, value_parser = count(1..=10_000))]
    limit: u64,

    #[command(flatten)]
    watch: WatchArgs,
}

/// List decisions that are overdue, about to expire, or expired undecided
///
/// Overdue is what has waited longer than the threshold; about to expire is what has less than a quarter of its time left;
/// expired undecided is what nobody decided within the last 24 hours, or since --since. It ends with 3 when there is any.
///
/// Example: opsctl approvals overdue --threshold 1h
#[derive(Args, Debug)]
pub struct OverdueArgs {
    /// Age from which a decision counts as overdue
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = crate::settings::parse_duration)]
    threshold: Duration,

    #[command(flatten)]
    since: SinceArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

/// Let actions run that wait for a decision
///
/// They go to the queue; while everything is paused they wait there. Who decided is the identity of the credential. What
/// somebody decided otherwise, or what expired, is refused with 6.
///
/// Example: opsctl approvals approve apv-act-7 --reason "seen the page"
#[derive(Args, Debug)]
pub struct ApproveArgs {
    /// The approval's id, or its action's (can be repeated)
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// End actions that wait for a decision without running them
///
/// They fail with the reason, and a workflow they are steps of fails or is rolled back. The reason is required.
///
/// Example: opsctl approvals reject apv-act-7 --reason "the page is still in use"
#[derive(Args, Debug)]
pub struct RejectArgs {
    /// The approval's id, or its action's (can be repeated)
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    change: ChangeArgs,
}

/// What waits for a decision.
#[derive(Serialize)]
#[serde(transparent)]
struct Pending(Vec<ApprovalRecord>);

impl Report for Pending {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["ID", "ACTION", "RISK", "PRIORITY", "ASKED", "LEFT", "WHY"]);
        for approval in &self.0 {
            table.row([
                approval.id.clone(),
                approval.action.clone(),
                approval.risk_level.to_string(),
                approval.priority.to_string(),
                page.time(approval.created_at),
                left(approval),
                why(approval),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No pending approvals.".into())
    }
}

fn left(approval: &ApprovalRecord) -> String {
    span(Duration::from_millis(approval.time_remaining))
}

fn why(approval: &ApprovalRecord) -> String {
    approval.causes.iter().map(|cause| cause.as_str()).collect::<Vec<_>>().join(", ")
}

async fn pending(app: &App, args: PendingArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    let filter = ApprovalFilter { status: ApprovalStatus::Pending, since: None, limit: args.limit };
    app.watch(&args.watch, || async {
        let page = orchestrator.approvals(&filter).await?;
        if page.truncated {
            app.note("There are more; raise --limit to see them.");
        }
        Ok((Pending(page.approvals), Outcome::Done))
    })
    .await
}

/// Why an approval is in the list of overdue ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Standing {
    /// Nobody decided in time.
    Expired,
    /// It has waited longer than the threshold.
    Overdue,
    /// Little of its time is left.
    NearExpiry,
}

/// Where an approval stands against a threshold; `None` when there is time.
fn standing(approval: &ApprovalRecord, threshold: Duration) -> Option<Standing> {
    if approval.status == ApprovalStatus::Expired {
        return Some(Standing::Expired);
    }
    let left = Duration::from_millis(approval.time_remaining);
    // By the service's clock, whatever ours says.
    let age = approval.expires_at.minus(left).since(approval.created_at);
    let whole = approval.expires_at.since(approval.created_at);
    if age >= threshold {
        return Some(Standing::Overdue);
    }
    (left * LAST_PART < whole).then_some(Standing::NearExpiry)
}

/// How many decisions have waited for longer than this; none where the orchestrator knows no approvals.
pub(super) async fn overdue_count(app: &App, threshold: Duration) -> anyhow::Result<u64> {
    let filter = ApprovalFilter { status: ApprovalStatus::Pending, since: None, limit: 10_000 };
    match app.orchestrator().await?.approvals(&filter).await {
        Ok(found) => {
            let late = |a: &&ApprovalRecord| standing(a, threshold) == Some(Standing::Overdue);
            Ok(found.approvals.iter().filter(late).count() as u64)
        }
        Err(error) if Explained::from_error(&error).kind == Kind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// One approval somebody should have looked at.
#[derive(Serialize)]
struct Late {
    #[serde(flatten)]
    approval: ApprovalRecord,
    standing: Standing,
}

/// All of them.
#[derive(Serialize)]
#[serde(transparent)]
struct Overdue {
    late: Vec<Late>,
}

impl Report for Overdue {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.late.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["ID", "ACTION", "RISK", "STANDING", "ASKED", "EXPIRES", "WHY"]);
        for Late { approval, standing } in &self.late {
            let standing = match standing {
                Standing::Expired => "expired undecided".to_owned(),
                Standing::Overdue => format!("overdue, {} left", left(approval)),
                Standing::NearExpiry => format!("near expiry, {} left", left(approval)),
            };
            table.row([
                approval.id.clone(),
                approval.action.clone(),
                approval.risk_level.to_string(),
                standing,
                page.time(approval.created_at),
                page.time(approval.expires_at),
                why(approval),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.late.is_empty().then(|| "No overdue approvals.".into())
    }
}

async fn overdue(app: &App, args: OverdueArgs) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?;
    let since = args.since.resolve(app)?;
    app.watch(&args.watch, || async {
        let since = since.unwrap_or_else(|| app.now().minus(EXPIRED_WITHIN));
        let waiting = ApprovalFilter { status: ApprovalStatus::Pending, since: None, limit: MOST };
        let expired = ApprovalFilter { status: ApprovalStatus::Expired, since: Some(since), limit: MOST };
        let (waiting, expired) = (orchestrator.approvals(&waiting).await?, orchestrator.approvals(&expired).await?);
        let each = waiting.approvals.into_iter().chain(expired.approvals);
        let late = each.filter_map(|approval| {
            let standing = standing(&approval, args.threshold)?;
            Some(Late { approval, standing })
        });
        let late: Vec<Late> = late.collect();
        let outcome = if late.is_empty() { Outcome::Done } else { Outcome::Problem };
        Ok((Overdue { late }, outcome))
    })
    .await
}

/// What is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Approve,
    Reject,
}

impl Verdict {
    const fn status(self) -> ApprovalStatus {
        match self {
            Verdict::Approve => ApprovalStatus::Approved,
            Verdict::Reject => ApprovalStatus::Rejected,
        }
    }

    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Verdict::Approve => ("approve", "goes to the queue"),
            Verdict::Reject => ("reject", "fails without being sent"),
        }
    }
}

async fn reject(app: &App, args: RejectArgs) -> anyhow::Result<Outcome> {
    if args.change.reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
        return Err(Fault::usage("rejecting needs a reason")
            .because("the action fails with it, and whoever submitted it reads it")
            .hint(format!("opsctl approvals reject {} --reason \"why\"", args.ids.join(" ")))
            .into());
    }
    decide(app, args.ids, args.change, Verdict::Reject).await
}

async fn decide(app: &App, mut ids: Vec<String>, change: ChangeArgs, verdict: Verdict) -> anyhow::Result<Outcome> {
    let orchestrator = app.orchestrator().await?.clone();
    ids.dedup();
    let alone = ids.len() == 1;
    let (mut open, mut settled) = (Vec::new(), Vec::new());
    for id in &ids {
        let found = orchestrator.approval(id).await?;
        match found.status {
            ApprovalStatus::Pending => open.push(found),
            _ => settled.push(found),
        }
    }
    if let ([found], true) = (&settled[..], alone) {
        return match is_ours(found, verdict, &operator(&app.settings.env)) {
            true => already(app, format!("approval {} is already {}", found.id, found.status)),
            false => Err(closed(found, verdict).into()),
        };
    }
    let (verb, becomes) = verdict.words();
    let name = if verdict == Verdict::Approve { "approvals approve" } else { "approvals reject" };
    let title = format!("{verb} {}", text::counted(open.len() as u64, "action", "actions"));
    let mut plan = Plan::new(name, title, &change);
    for approval in &open {
        let evidence = format!("{}; {} risk, {}; it {becomes}", approval.action, approval.risk_level, why(approval));
        plan = plan.step(Step::new(format!("POST /api/approvals/ID/{verb}")).on(&approval.id).because(evidence));
    }
    let mut effects: Vec<ItemEffect> =
        settled.iter().map(|found| effect(&found.id, EffectKind::Conflict, decided(found))).collect();
    if !open.is_empty() {
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        let mut items = Vec::new();
        for found in &open {
            let done = send(&orchestrator, &approval, found, verdict).await;
            if let (Ok(done), true) = (&done, alone) {
                app.receipt(&approval, vec![receipt(found, verdict)])?;
                app.emit(done)?;
                return Ok(Outcome::Done);
            }
            match done {
                Ok(_) => {
                    items.push(receipt(found, verdict));
                    effects.push(effect(&found.id, EffectKind::Applied, String::new()));
                }
                Err(error) if alone => return Err(error),
                Err(error) => effects.push(effect(&found.id, EffectKind::Conflict, format!("{error:#}"))),
            }
        }
        app.receipt(&approval, items)?;
    }
    finish(app, effects, verdict)
}

/// Shows what became of several; 8 when some were refused.
fn finish(app: &App, items: Vec<ItemEffect>, verdict: Verdict) -> anyhow::Result<Outcome> {
    let done = items.iter().filter(|item| item.effect == EffectKind::Applied).count();
    let message = format!("{done} of {} {}", items.len(), verdict.status());
    let all = done == items.len();
    let effect = if all { EffectKind::Applied } else { EffectKind::Conflict };
    app.emit(&ChangeAnswer { effect, message, items, audit_id: None })?;
    Ok(if all { Outcome::Done } else { Outcome::SomeFailed })
}

fn effect(id: &str, effect: EffectKind, detail: String) -> ItemEffect {
    ItemEffect { id: id.to_owned(), effect, detail: Some(detail).filter(|text| !text.is_empty()) }
}

fn receipt(found: &ApprovalRecord, verdict: Verdict) -> ReceiptItem {
    let why = match (verdict, &found.workflow_id) {
        (Verdict::Approve, Some(id)) => {
            format!("an approved step runs; undo its workflow with `opsctl workflow rollback {id}`")
        }
        (Verdict::Approve, None) => {
            "an approved action runs; remove it with `opsctl queue remove` while it waits".to_owned()
        }
        (Verdict::Reject, _) => "a rejected action has failed; submit it anew to ask again".to_owned(),
    };
    ReceiptItem::applied(&found.id, UndoAction::none(why))
}

/// What shows how an approval's action goes on: a workflow's step may have no place in the queue.
fn where_it_shows(found: &ApprovalRecord) -> String {
    match &found.workflow_id {
        Some(id) => format!("opsctl workflow steps {id}"),
        None => format!("opsctl queue show {}", found.action_id),
    }
}

/// What the server says about one decision.
#[derive(Serialize)]
#[serde(untagged)]
enum Decision {
    Approved {
        #[serde(flatten)]
        done: Approved,
        /// The command that shows how it goes on.
        #[serde(skip)]
        shown_by: String,
    },
    Rejected(Rejected),
}

impl Report for Decision {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        match self {
            Decision::Approved { done, shown_by } => {
                page.line(format_args!("{} approved by {}", done.approval_id, done.approved_by))?;
                page.line(format_args!("follow it with `{shown_by}`"))
            }
            Decision::Rejected(done) => {
                page.line(format_args!("{} rejected by {}: {}", done.approval_id, done.rejected_by, done.reason))
            }
        }
    }
}

async fn send(
    orchestrator: &Orchestrator,
    approval: &Approval,
    found: &ApprovalRecord,
    verdict: Verdict,
) -> anyhow::Result<Decision> {
    let user_id = approval.operator().to_owned();
    let reason = approval.reason().map(str::to_owned);
    Ok(match verdict {
        Verdict::Approve => {
            let request = ApproveRequest { user_id, reason };
            let done = orchestrator.approve_action(approval, &found.id, &request).await?;
            Decision::Approved { done, shown_by: where_it_shows(found) }
        }
        Verdict::Reject => {
            let request = RejectRequest { user_id, reason: reason.unwrap_or_default() };
            Decision::Rejected(orchestrator.reject_action(approval, &found.id, &request).await?)
        }
    })
}

/// Whether the decision that was made is the one we would make, by the person we claim to be.
fn is_ours(found: &ApprovalRecord, verdict: Verdict, operator: &str) -> bool {
    let by = found.decided_by.as_deref().and_then(|by| by.strip_prefix(operator));
    found.status == verdict.status() && by.is_some_and(|rest| rest.is_empty() || rest.starts_with(" ("))
}

/// How a decided approval was decided.
fn decided(found: &ApprovalRecord) -> String {
    let at = found.decided_at.unwrap_or(Time(0));
    match &found.decided_by {
        Some(by) => format!("{} by {by} at {at}", found.status),
        None if found.status == ApprovalStatus::Expired => format!("expired undecided at {at}"),
        None => format!("{} at {at}", found.status),
    }
}

/// Why it is too late to decide.
fn closed(found: &ApprovalRecord, verdict: Verdict) -> Fault {
    let fault = Fault::new(Kind::Conflict, format!("cannot {} `{}`", verdict.words().0, found.id));
    let fault = match &found.reason {
        Some(reason) => fault.because(format!("{}: {reason}", decided(found))),
        None => fault.because(decided(found)),
    };
    fault.hint(format!("see what became of the action with `{}`; submit it anew to ask again", where_it_shows(found)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ActionType, ApprovalCause, Platform, Priority, RiskLevel};

    const MINUTE: i64 = 60_000;

    fn approval(created: i64, expires: i64, now: i64) -> ApprovalRecord {
        ApprovalRecord {
            id: "apv-1".into(),
            action: "delete on notion: page_id p-7".into(),
            priority: Priority::Normal,
            risk_level: RiskLevel::High,
            created_at: Time(created),
            expires_at: Time(expires),
            time_remaining: u64::try_from(expires - now).unwrap_or(0),
            status: if expires <= now { ApprovalStatus::Expired } else { ApprovalStatus::Pending },
            causes: vec![ApprovalCause::Deletes, ApprovalCause::Bulk],
            action_id: "1".into(),
            action_type: ActionType::Delete,
            platform: Platform::Notion,
            data: serde_json::json!({}),
            workflow_id: None,
            correlation_id: None,
            user_id: None,
            source: None,
            decided_by: None,
            decided_at: None,
            reason: None,
        }
    }

    #[test]
    fn what_is_late_includes_what_expired_and_what_is_about_to() {
        let hour = Duration::from_secs(3600);
        let at = |now| standing(&approval(0, 60 * MINUTE, now * MINUTE), hour);
        assert_eq!(at(0), None);
        assert_eq!(at(45), None);
        assert_eq!(at(46), Some(Standing::NearExpiry));
        assert_eq!(at(60), Some(Standing::Expired));
        let long = |now| standing(&approval(0, 600 * MINUTE, now * MINUTE), hour);
        assert_eq!((long(59), long(60)), (None, Some(Standing::Overdue)));
    }

    #[test]
    fn only_the_same_person_has_decided_already() {
        let mut found = approval(0, 0, 0);
        found.status = ApprovalStatus::Approved;
        found.decided_by = Some("ana@bastion (tok_1 ops)".into());
        assert!(is_ours(&found, Verdict::Approve, "ana@bastion"));
        assert!(!is_ours(&found, Verdict::Reject, "ana@bastion"));
        assert!(!is_ours(&found, Verdict::Approve, "ana@bas"));
        let fault = closed(&found, Verdict::Reject);
        assert_eq!(fault.kind, Kind::Conflict);
        assert!(fault.causes[0].contains("approved by ana@bastion"), "{fault:?}");
    }
}

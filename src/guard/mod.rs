//! Plan, show, ask, record: the way to every change.
//!
//! A verb builds a [`Plan`] from reads alone and hands it to `App::approve`. Only this module can make an
//! [`Approval`], and every mutating client method wants one: forgetting to ask does not compile.
//!
//! An approval holds a [`Lease`] on the plan's subject, and its change is in the [`journal`] before anything is sent.
//! Changes of many items straight on the platforms are [`bulk`](crate::bulk)'s.

mod consent;
pub mod journal;
mod lease;
mod plan;
mod prompt;
mod receipt;
mod receipts;
mod saved;

pub use consent::{Ask, Situation, obtain, question};
pub use lease::Lease;
pub use plan::{ChangeArgs, Plan, PlanContext, Step, Undo, is_production};
pub use prompt::{Prompt, Scripted, Terminal};
pub use receipt::{Receipt, ReceiptItem, ReceiptState, UndoAction};
pub use receipts::{KeptPlan, Receipts, Record, Stage};
pub use saved::{SavedPlan, WholePlan};

use journal::Head;

use crate::clock::Clock;
use crate::error::{Fault, Kind};
use crate::output::Output;
use crate::settings::{Context, ContextKind, Env, Places, Protection};

/// The consent to exactly one plan.
#[derive(Debug)]
pub struct Approval {
    key: String,
    operator: String,
    reason: Option<String>,
    ticket: Option<String>,
    receipt: Receipt,
    head: Option<Head>,
    lease: Option<Lease>,
}

impl Approval {
    /// Made anew for each approved plan; what idempotency keys are derived from.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The person or job: `ana@bastion`.
    pub fn operator(&self) -> &str {
        &self.operator
    }

    /// Why.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Ticket reference.
    pub fn ticket(&self) -> Option<&str> {
        self.ticket.as_deref()
    }

    /// The journal's newest line when this change was opened; travels into the server's audit log.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Tells whoever is held up by this change how far it is.
    pub fn at(&self, progress: &str) {
        if let Some(lease) = &self.lease {
            lease.at(progress);
        }
    }

    /// Id of the receipt this change is written to.
    pub fn receipt_id(&self) -> &str {
        &self.receipt.id
    }

    /// The receipt as it was opened.
    pub(crate) fn receipt(&self) -> &Receipt {
        &self.receipt
    }

    /// An approval nobody gave, for tests of what needs one.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        let receipt = Receipt { id: "r-test".into(), key: "test-key".into(), ..Receipt::for_tests(Vec::new()) };
        Approval {
            key: "test-key".into(),
            operator: "tester@here".into(),
            reason: None,
            ticket: None,
            receipt,
            head: None,
            lease: None,
        }
    }
}

/// How a change is written down.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// As a whole: one request, or a few that are answered together.
    Whole,
    /// Item by item, as planned here.
    Items(&'a KeptPlan),
    /// Under the receipt of an interrupted change that goes on.
    Again(&'a Receipt),
}

/// What the guard needs to know and use.
pub struct Guard<'a> {
    /// The context the plan is for.
    pub context: &'a Context,
    /// Where it points, once known.
    pub url: String,
    /// The environment word the server answers with; `None` when it could not be asked.
    pub server_environment: Option<String>,
    /// Where to write.
    pub output: &'a Output,
    /// Whom to ask.
    pub prompt: &'a dyn Prompt,
    /// Where changes are written down.
    pub receipts: &'a Receipts,
    /// Where leases are.
    pub places: &'a Places,
    /// What time it is.
    pub clock: &'a Clock,
    /// For the operator's name.
    pub env: &'a Env,
}

impl Guard<'_> {
    /// Shows the plan, gets the consent, takes the lease, opens the receipt. `None` after `--dry-run`; a declined plan
    /// is an error.
    pub async fn approve(&self, plan: &Plan, entry: Entry<'_>) -> anyhow::Result<Option<Approval>> {
        let mut plan = plan.clone();
        let environment = self.context.environment.clone().or_else(|| self.server_environment.clone());
        plan.context = PlanContext { name: self.context.name.clone(), url: self.url.clone(), environment };
        let refusal = if plan.local { None } else { self.refusal() };
        if plan.change.dry_run {
            self.output.emit(&plan)?;
            if let Some(fault) = refusal {
                self.output.note(&format!("note: the real run would be refused: {}", fault.message));
            }
            self.output.note("nothing was sent (--dry-run)");
            return Ok(None);
        }
        if let Some(fault) = refusal {
            return Err(fault.into());
        }
        if !self.output.quiet || question(&plan) != Ask::Nothing {
            self.output.say(&crate::output::draw(&plan, self.output.stderr)?);
        }
        let sandbox = self.context.kind == ContextKind::Sandbox;
        let typed = obtain(&plan, &Situation { prompt: self.prompt, sandbox, width: self.output.stderr.width }).await?;
        let given = plan.change.reason.as_deref().map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned);
        let without_secrets = |text: String| self.output.redactor.redact(&text).into_owned();
        let reason = given.or(typed).map(without_secrets);
        let operator = operator(self.env);
        let now = self.clock.now();
        let lease = plan.held().map(|subject| Lease::take(self.places, &subject, &plan.title, &operator, now));
        let lease = lease.transpose().map_err(|e| if e.is::<Fault>() { e } else { not_started(&plan, e) })?;
        let ticket = plan.change.ticket.clone().map(without_secrets);
        let receipt = match entry {
            Entry::Again(receipt) => receipt.clone(),
            Entry::Whole | Entry::Items(_) => Receipt {
                id: String::new(),
                state: ReceiptState::Started,
                at: now,
                operator: operator.clone(),
                context: plan.context.name.clone(),
                url: plan.context.url.clone(),
                verb: plan.verb.to_owned(),
                title: plan.title.clone(),
                reason: reason.clone(),
                ticket: ticket.clone(),
                subject: plan.subject.clone(),
                key: uuid::Uuid::now_v7().to_string(),
                error: None,
                undone_by: None,
                planned: None,
                items: Vec::new(),
            },
        };
        let opened = match entry {
            Entry::Whole => self.receipts.open(receipt.clone(), None),
            Entry::Items(kept) => self.receipts.open(receipt.clone(), Some(kept)),
            Entry::Again(_) => self.receipts.resume(now, &receipt.id, &operator).map(|head| (receipt.clone(), head)),
        };
        let (receipt, head) = match opened {
            Ok((receipt, head)) => (receipt, Some(head)),
            // A full or read-only disk must not keep anybody from stopping the damage.
            Err(error) if plan.brake || plan.urgent => {
                self.output.warn(&format!("no receipt will be kept: {error:#}"));
                (receipt, None)
            }
            Err(error) => return Err(not_started(&plan, error)),
        };
        Ok(Some(Approval { key: receipt.key.clone(), operator, reason, ticket, receipt, head, lease }))
    }

    /// Why no change is possible here at all.
    fn refusal(&self) -> Option<Fault> {
        let name = &self.context.name;
        if self.context.protection == Protection::ReadOnly {
            return Some(
                Fault::new(Kind::Conflict, format!("the context `{name}` is read-only"))
                    .because("its protection in config.toml is `read-only`")
                    .hint("use a context that allows changes, or set its protection to `confirm`"),
            );
        }
        let (ours, theirs) = (self.context.environment.as_deref()?, self.server_environment.as_deref()?);
        if ours.eq_ignore_ascii_case(theirs) {
            return None;
        }
        Some(
            Fault::new(Kind::Conflict, format!("the context `{name}` is not what it says"))
                .because(format!("it says `{ours}`, the server at {} says `{theirs}`", self.url))
                .hint("check its url and environment with `opsctl context show`"),
        )
    }
}

/// What is said when a change could not be written down, and so was not begun.
fn not_started(plan: &Plan, error: anyhow::Error) -> anyhow::Error {
    error.context(
        Fault::new(Kind::Failed, format!("{} was not started", plan.title))
            .because("every change leaves a receipt, and this one could not")
            .hint("make the state directory writable, or set OPSCTL_STATE_DIR"),
    )
}

/// `ana@bastion`: the login name and the host, as far as they are known.
pub fn operator(env: &Env) -> String {
    let user = env.non_empty("USER").or_else(|| env.non_empty("LOGNAME")).or_else(|| env.non_empty("USERNAME"));
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| env.non_empty("HOSTNAME").map(str::to_owned));
    let host = host.as_deref().map(str::trim).filter(|h| !h.is_empty()).unwrap_or("unknown");
    format!("{}@{host}", user.map_or_else(numeric_user, str::to_owned))
}

/// The user's number, where the environment has no name: a bare service, a container.
fn numeric_user() -> String {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let Ok(process) = std::fs::metadata("/proc/self") {
            return format!("uid-{}", process.uid());
        }
    }
    "unknown".to_owned()
}

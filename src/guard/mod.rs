//! Plan, show, ask, record: the way to every change.
//!
//! A verb builds a [`Plan`] from reads alone and hands it to `App::approve`. Only this module can make an
//! [`Approval`], and every mutating client method wants one: forgetting to ask does not compile.

mod consent;
mod plan;
mod prompt;
mod receipt;

pub use consent::{Ask, Situation, obtain, question};
pub use plan::{ChangeArgs, Plan, PlanContext, Step, Undo, is_production};
pub use prompt::{Prompt, Scripted, Terminal};
pub use receipt::{Receipt, ReceiptItem, ReceiptState, Receipts, UndoAction};

use crate::clock::Clock;
use crate::error::{Fault, Kind};
use crate::output::Output;
use crate::settings::{Context, ContextKind, Env, Protection};

/// The consent to exactly one plan.
#[derive(Debug)]
pub struct Approval {
    key: String,
    operator: String,
    reason: Option<String>,
    ticket: Option<String>,
    receipt: Receipt,
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
        let receipt = Receipt {
            id: "r-test".into(),
            state: ReceiptState::Started,
            at: crate::wire::Time(0),
            operator: "tester@here".into(),
            context: "test".into(),
            url: String::new(),
            verb: String::new(),
            title: String::new(),
            reason: None,
            ticket: None,
            key: "test-key".into(),
            error: None,
            undone_by: None,
            items: Vec::new(),
        };
        Approval { key: "test-key".into(), operator: "tester@here".into(), reason: None, ticket: None, receipt }
    }
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
    /// Where receipts go.
    pub receipts: &'a Receipts,
    /// What time it is.
    pub clock: &'a Clock,
    /// For the operator's name.
    pub env: &'a Env,
}

impl Guard<'_> {
    /// Shows the plan, gets the consent, opens the receipt. `None` after `--dry-run`; a declined plan is an error.
    pub async fn approve(&self, plan: &Plan) -> anyhow::Result<Option<Approval>> {
        let mut plan = plan.clone();
        let environment = self.context.environment.clone().or_else(|| self.server_environment.clone());
        plan.context = PlanContext { name: self.context.name.clone(), url: self.url.clone(), environment };
        let refusal = self.refusal();
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
        let typed = obtain(&plan, &Situation { prompt: self.prompt, sandbox }).await?;
        let given = plan.change.reason.as_deref().map(str::trim).filter(|r| !r.is_empty()).map(str::to_owned);
        let reason = given.or(typed);
        let operator = operator(self.env);
        let key = uuid::Uuid::now_v7().to_string();
        let receipt = Receipt {
            id: String::new(),
            state: ReceiptState::Started,
            at: self.clock.now(),
            operator: operator.clone(),
            context: plan.context.name.clone(),
            url: plan.context.url.clone(),
            verb: plan.verb.to_owned(),
            title: plan.title.clone(),
            reason: reason.clone(),
            ticket: plan.change.ticket.clone(),
            key: key.clone(),
            error: None,
            undone_by: None,
            items: Vec::new(),
        };
        let receipt = match self.receipts.open(receipt.clone(), self.clock) {
            Ok(receipt) => receipt,
            // A full or read-only disk must not keep anybody from stopping the damage.
            Err(error) if plan.brake => {
                self.output.warn(&format!("no receipt will be kept: {error:#}"));
                receipt
            }
            Err(error) => {
                return Err(error.context(
                    Fault::new(Kind::Failed, format!("{} was not started", plan.title))
                        .because("every change leaves a receipt, and this one could not")
                        .hint("make the state directory writable, or set OPSCTL_STATE_DIR"),
                ));
            }
        };
        Ok(Some(Approval { key, operator, reason, ticket: plan.change.ticket.clone(), receipt }))
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

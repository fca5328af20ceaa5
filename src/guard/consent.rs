//! Who is asked what: the friction of a change is computed from what it does, how much, and whether it can be undone.

use super::plan::{Plan, is_production};
use super::prompt::{Prompt, is_yes};
use crate::aliases::Class;
use crate::error::{Fault, Kind};
use crate::output::{folded, shown};

/// Up to this many items a y/N is enough; beyond, the count has to be typed.
const FEW: u64 = 20;

/// What a plan asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: it reads, is easily undone, or is the brake.
    Nothing,
    /// y/N, default no.
    YesNo,
    /// The number of items, typed.
    Count,
    /// The context's name, typed.
    Name,
}

/// What this plan asks for.
pub fn question(plan: &Plan) -> Ask {
    match plan.class {
        _ if plan.brake => Ask::Nothing,
        Class::R | Class::Rx | Class::M1 => Ask::Nothing,
        Class::M3 if !plan.undoable => Ask::Name,
        Class::M2 | Class::M3 if plan.items > FEW => Ask::Count,
        Class::M2 | Class::M3 => Ask::YesNo,
    }
}

/// What is needed to decide.
pub struct Situation<'a> {
    /// Whom to ask.
    pub prompt: &'a dyn Prompt,
    /// Whether this is the practice ground, which goes ahead when nobody can be asked.
    pub sandbox: bool,
    /// Columns of the terminal that the question stands on.
    pub width: Option<usize>,
}

impl Situation<'_> {
    /// A question broken between words where the terminal would break it anywhere; room for a short answer is left.
    fn fitted(&self, question: &str) -> String {
        const ANSWER: usize = 5;
        self.width
            .map_or_else(|| question.to_owned(), |width| folded(question, width - ANSWER.min(width), 0).join("\n"))
    }
}

/// Gets the consent, or the fault that says what is missing. The reason typed meanwhile is returned.
pub async fn obtain(plan: &Plan, situation: &Situation<'_>) -> Result<Option<String>, Fault> {
    let can_ask = situation.prompt.can_ask();
    let ask = question(plan);
    let context = plan.context.name.as_str();
    if let Some(name) = plan.change.confirmed_name().filter(|name| *name != context) {
        return Err(Fault::new(Kind::Declined, format!("--confirm={name} is not for this context"))
            .because(format!("the plan is for `{context}`"))
            .hint(format!("review with --dry-run, then pass --confirm={context} or --context {name}")));
    }
    let answered = match ask {
        Ask::Nothing => true,
        Ask::YesNo | Ask::Count => plan.change.says_yes(),
        Ask::Name => plan.change.confirmed_name() == Some(context),
    };
    let unattended_sandbox = situation.sandbox && !can_ask;
    let needs_reason = plan.class == Class::M3
        && !plan.brake
        && plan.context.environment.as_deref().is_some_and(is_production)
        && plan.change.reason.as_deref().is_none_or(|r| r.trim().is_empty());
    if !answered && !unattended_sandbox && !can_ask {
        return Err(missing(plan, ask, needs_reason));
    }
    let mut reason = None;
    if needs_reason {
        if !can_ask {
            return Err(missing(plan, if answered { Ask::Nothing } else { ask }, true));
        }
        let typed = situation.prompt.text("Reason, for the audit trail:").await.map_err(|e| declined(plan, &e))?;
        reason = typed.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        if reason.is_none() {
            return Err(Fault::new(Kind::Declined, format!("{} was declined", plan.title))
                .because("no reason was given, nothing was sent")
                .hint("pass --reason TEXT"));
        }
    }
    if answered || unattended_sandbox {
        return Ok(reason);
    }
    let said_yes = match ask {
        Ask::Nothing => true,
        Ask::YesNo => {
            let answer = situation.prompt.text(&situation.fitted(&format!("{} [y/N]", blast(plan)))).await;
            is_yes(answer.map_err(|e| declined(plan, &e))?.as_deref())
        }
        Ask::Count => typed(plan, situation, &plan.items.to_string()).await?,
        Ask::Name => typed(plan, situation, context).await?,
    };
    if said_yes {
        return Ok(reason);
    }
    Err(refused(plan, Kind::Declined))
}

/// They said no, in whatever way.
fn refused(plan: &Plan, kind: Kind) -> Fault {
    Fault::new(kind, format!("{} was declined", plan.title))
        .because("nothing was sent")
        .hint("review the plan with --dry-run")
}

async fn typed(plan: &Plan, situation: &Situation<'_>, expected: &str) -> Result<bool, Fault> {
    let question = format!("{} Type {expected} to go on:", blast(plan));
    let answer = situation.prompt.text(&situation.fitted(&question)).await.map_err(|e| declined(plan, &e))?;
    Ok(answer.is_some_and(|a| a.trim() == expected))
}

/// The question's first part: what, how much, where.
fn blast(plan: &Plan) -> String {
    let count = if plan.items == 1 { String::new() } else { format!(", {} items", plan.items) };
    let mut title = shown(&plan.title);
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    format!("{title} in {}{count}?", plan.context.name)
}

fn declined(plan: &Plan, error: &std::io::Error) -> Fault {
    let kind = if error.kind() == std::io::ErrorKind::Interrupted { Kind::Interrupted } else { Kind::Declined };
    refused(plan, kind)
}

/// Nobody can be asked and the flags do not say enough.
fn missing(plan: &Plan, ask: Ask, reason: bool) -> Fault {
    let context = &plan.context.name;
    let mut flags: Vec<String> = Vec::new();
    match ask {
        Ask::Nothing => {}
        Ask::YesNo | Ask::Count => flags.push("--yes".into()),
        Ask::Name => flags.push(format!("--confirm={context}")),
    }
    if reason {
        flags.push("--reason TEXT".into());
    }
    let what = if ask == Ask::Nothing { "a reason" } else { "confirmation" };
    let mut fault = Fault::new(Kind::Declined, format!("{} needs {what}", plan.title));
    if ask == Ask::Name && plan.change.says_yes() {
        fault = fault.because("it cannot be undone, so --yes is not enough");
    }
    fault.hint(format!("review with --dry-run, then pass {}", flags.join(" and ")))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::plan::{ChangeArgs, PlanContext, Step, Undo};
    use super::super::prompt::Scripted;
    use super::*;

    fn plan(class: Class, items: u64, undo: Undo, change: ChangeArgs) -> Plan {
        let mut plan = Plan::new("version", "clear the queue", &change)
            .class(class)
            .step(Step::new("POST /x").undo(undo))
            .items(items);
        plan.context = PlanContext {
            name: "prod-eu".into(),
            url: "https://ops.example".into(),
            environment: Some("staging".into()),
        };
        plan
    }

    fn asked(plan: &Plan, prompt: &Scripted) -> Result<Option<String>, Fault> {
        consent(plan, prompt, false)
    }

    /// Prepared answers never wait.
    fn consent(plan: &Plan, prompt: &Scripted, sandbox: bool) -> Result<Option<String>, Fault> {
        obtain(plan, &Situation { prompt, sandbox, width: None }).now_or_never().expect("an answer at once")
    }

    fn yes() -> ChangeArgs {
        ChangeArgs { yes: true, ..ChangeArgs::default() }
    }

    fn confirm(name: &str) -> ChangeArgs {
        ChangeArgs { confirm: Some(name.into()), ..ChangeArgs::default() }
    }

    #[test]
    fn the_question_follows_from_the_damage() {
        let ask = |class, items, undo| question(&plan(class, items, undo, ChangeArgs::default()));
        assert_eq!(ask(Class::M1, 500, Undo::None), Ask::Nothing);
        assert_eq!(ask(Class::M2, 20, Undo::None), Ask::YesNo);
        assert_eq!(ask(Class::M2, 21, Undo::None), Ask::Count);
        assert_eq!(ask(Class::M3, 20, Undo::Restore), Ask::YesNo);
        assert_eq!(ask(Class::M3, 21, Undo::Restore), Ask::Count);
        assert_eq!(ask(Class::M3, 1, Undo::None), Ask::Name);
        assert_eq!(question(&plan(Class::M2, 100, Undo::None, ChangeArgs::default()).brake()), Ask::Nothing);
    }

    #[test]
    fn without_a_terminal_the_flags_decide() {
        let nobody = Scripted::nobody();
        let fault = asked(&plan(Class::M2, 1, Undo::None, ChangeArgs::default()), &nobody).unwrap_err();
        assert_eq!(fault.kind, Kind::Declined);
        assert_eq!(fault.message, "clear the queue needs confirmation");
        assert_eq!(fault.hint.as_deref(), Some("review with --dry-run, then pass --yes"));
        assert!(asked(&plan(Class::M2, 50, Undo::None, yes()), &nobody).is_ok());
        assert!(asked(&plan(Class::M3, 50, Undo::Restore, confirm("")), &nobody).is_ok());
        let fault = asked(&plan(Class::M3, 1, Undo::None, yes()), &nobody).unwrap_err();
        assert!(fault.hint.unwrap().contains("--confirm=prod-eu"));
        assert!(asked(&plan(Class::M3, 1, Undo::None, confirm("prod-eu")), &nobody).is_ok());
        assert_eq!(
            asked(&plan(Class::M2, 1, Undo::None, confirm("prod-us")), &nobody).unwrap_err().kind,
            Kind::Declined
        );
    }

    #[test]
    fn on_a_terminal_enter_alone_means_no() {
        let no = Scripted::answers([""]);
        let fault = asked(&plan(Class::M2, 1, Undo::None, ChangeArgs::default()), &no).unwrap_err();
        assert_eq!((fault.kind, fault.causes), (Kind::Declined, vec!["nothing was sent".to_owned()]));
        assert!(no.asked()[0].contains("prod-eu"));
        assert!(asked(&plan(Class::M2, 1, Undo::None, ChangeArgs::default()), &Scripted::answers(["y"])).is_ok());
        assert!(asked(&plan(Class::M2, 41, Undo::None, ChangeArgs::default()), &Scripted::answers(["y"])).is_err());
        assert!(asked(&plan(Class::M2, 41, Undo::None, ChangeArgs::default()), &Scripted::answers(["41"])).is_ok());
        let name = Scripted::answers(["prod-eu"]);
        assert!(asked(&plan(Class::M3, 1, Undo::None, ChangeArgs::default()), &name).is_ok());
        assert!(asked(&plan(Class::M3, 1, Undo::None, yes()), &Scripted::answers(["yes"])).is_err());
    }

    #[test]
    fn production_wants_a_reason_for_what_destroys() {
        let production = |change: ChangeArgs| {
            let mut plan = plan(Class::M3, 1, Undo::Restore, change);
            plan.context.environment = Some("production".into());
            plan
        };
        let fault = asked(&production(yes()), &Scripted::nobody()).unwrap_err();
        assert_eq!(fault.hint.as_deref(), Some("review with --dry-run, then pass --reason TEXT"));
        let fault = asked(&production(ChangeArgs::default()), &Scripted::nobody()).unwrap_err();
        assert_eq!(fault.hint.as_deref(), Some("review with --dry-run, then pass --yes and --reason TEXT"));
        let with_reason = ChangeArgs { reason: Some("INC-1".into()), ..yes() };
        assert_eq!(asked(&production(with_reason), &Scripted::nobody()).unwrap(), None);
        let typed = asked(&production(yes()), &Scripted::answers(["stuck since three"])).unwrap();
        assert_eq!(typed.as_deref(), Some("stuck since three"));
        assert!(asked(&production(yes()), &Scripted::answers([""])).is_err());
    }

    #[test]
    fn the_sandbox_goes_ahead_only_when_nobody_can_be_asked() {
        let plan = plan(Class::M3, 100, Undo::None, ChangeArgs::default());
        assert!(consent(&plan, &Scripted::nobody(), true).is_ok());
        assert!(consent(&plan, &Scripted::answers(["n"]), true).is_err());
    }
}

//! [`App`]: what every command is handed. It knows the settings, the clock, the streams, the person and the targets,
//! and is the only way to the guard.

mod kept;
mod platforms;
mod remembered;
mod stale;
mod target;
mod watch;

pub use kept::{Kept, Snapshot};
pub use remembered::Remembered;
pub use stale::StaleArgs;
pub use target::Target;
pub use watch::WatchArgs;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use crate::aliases::{self, Class};
use crate::client::{BreakGlass, Orchestrator, OrchestratorOptions};
use crate::clock::Clock;
use crate::error::{Explained, Kind};
use crate::guard::{
    Approval, Entry, Guard, Plan, Prompt, Receipt, ReceiptItem, ReceiptState, Receipts, SavedPlan, Terminal, WholePlan,
};
use crate::output::{Output, Report, Style};
use crate::platforms::Clients;
use crate::sandbox::Place;
use crate::settings::{ContextKind, Settings};
use crate::wire::{EffectKind, Job, Time};

/// What every command is handed.
pub struct App {
    /// What was set, and where.
    pub settings: Settings,
    /// What time it is.
    pub clock: Clock,
    /// The streams.
    pub output: Arc<Output>,
    /// The person.
    pub prompt: Rc<dyn Prompt>,
    /// Receipts of changes.
    pub receipts: Receipts,
    /// What the verb does to the world; `None` for one that nobody classed.
    pub class: Option<Class>,
    target: tokio::sync::OnceCell<Target>,
    orchestrator: tokio::sync::OnceCell<Orchestrator>,
    paced: tokio::sync::OnceCell<Clients>,
    /// The words that were typed, canonically spelled.
    words: Vec<String>,
    /// A saved plan that the next approval has to be for.
    agreed: RefCell<Option<WholePlan>>,
    /// Approved, and no outcome written yet.
    open: RefCell<Option<Receipt>>,
    /// Whether `--watch` looks again and again.
    watching: Cell<bool>,
}

impl App {
    /// The app of this process, for a verb of this class that was called with these words.
    pub fn new(settings: Settings, class: Option<Class>, words: Vec<String>) -> Self {
        Self::with(settings, class, words, Rc::new(Terminal), |output| output)
    }

    /// The app of a command that runs within another one: the same person, and what it writes is kept. `aside` keeps
    /// its answers out of stdout.
    pub(crate) fn within(
        outer: &App,
        settings: Settings,
        class: Option<Class>,
        words: Vec<String>,
        aside: bool,
    ) -> Self {
        Self::with(settings, class, words, outer.prompt.clone(), |output| output.keeping(aside))
    }

    fn with(
        settings: Settings,
        class: Option<Class>,
        words: Vec<String>,
        prompt: Rc<dyn Prompt>,
        prepare: impl FnOnce(Output) -> Output,
    ) -> Self {
        let clock = Clock::system();
        let style = |make: fn(_, &_, _) -> Style| make(settings.color.value, &settings.env, clock.now());
        let output = Output::new(settings.output.value, settings.quiet, style(Style::stdout), style(Style::stderr));
        let output = prepare(output);
        output.redactor.add(&settings.env.secrets());
        if let Ok(context) = settings.context() {
            output.redactor.add(&context.secrets_in(&settings.env));
        }
        let receipts = Receipts::new(&settings.places, output.redactor.clone());
        App {
            settings,
            clock,
            output: Arc::new(output),
            prompt,
            receipts,
            class,
            target: tokio::sync::OnceCell::new(),
            orchestrator: tokio::sync::OnceCell::new(),
            paced: tokio::sync::OnceCell::new(),
            words,
            agreed: RefCell::new(None),
            open: RefCell::new(None),
            watching: Cell::new(false),
        }
    }

    /// Now.
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Whether `-v` or `--verbose` was given.
    pub fn is_verbose(&self) -> bool {
        self.settings.verbosity > 0
    }

    /// Whether one watches: a look that fails is followed by another.
    pub fn is_watching(&self) -> bool {
        self.watching.get()
    }

    /// Writes the answer.
    pub fn emit<R: Report + ?Sized>(&self, report: &R) -> anyhow::Result<()> {
        self.output.emit_at(report, self.now())
    }

    /// Says something to the person, on stderr, unless `-q`.
    pub fn note(&self, text: impl AsRef<str>) {
        self.output.note(text.as_ref());
    }

    /// Where the context in use points, found out once.
    pub async fn target(&self) -> anyhow::Result<&Target> {
        let resolve = || async {
            let target = Target::resolve(self, self.settings.context()?).await?;
            self.output.redactor.add(&target.token);
            anyhow::Ok(target)
        };
        self.target.get_or_try_init(resolve).await
    }

    /// The admin API of the context in use. Nothing is sent before the first call.
    pub async fn orchestrator(&self) -> anyhow::Result<&Orchestrator> {
        self.orchestrator.get_or_try_init(|| async { Ok(self.client(self.target().await?)) }).await
    }

    /// The same with the credential fetched anew: a service that has just started for the first time made it meanwhile.
    pub async fn orchestrator_anew(&self) -> anyhow::Result<Orchestrator> {
        let target = Target::resolve(self, self.settings.context()?).await?;
        self.output.redactor.add(&target.token);
        Ok(self.client(&target))
    }

    fn client(&self, target: &Target) -> Orchestrator {
        Orchestrator::new(OrchestratorOptions {
            url: target.url.clone(),
            token: target.token.clone(),
            context: self.settings.context_name.value.clone(),
            timeout: self.settings.timeout.value,
            clock: self.clock.clone(),
            start_hint: target.start_hint.clone(),
            break_glass: BreakGlass::new(target.break_glass.clone(), self.settings.env.clone(), self.output.clone()),
        })
    }

    /// Name and address of the context in use, as a saved plan names them.
    pub async fn address(&self) -> anyhow::Result<(String, String)> {
        let context = self.settings.context()?;
        let url = match context.kind {
            ContextKind::Sandbox => self.target().await?.url.as_str().trim_end_matches('/').to_owned(),
            _ => context.place(),
        };
        Ok((context.name.clone(), url))
    }

    /// Shows how far a job is, as long as what is returned lives.
    pub fn follow(&self) -> impl FnMut(&Job) + use<> {
        let bar = self.output.progress(0, "start");
        move |job| bar.at(&job.step, job.done, job.total)
    }

    /// Keeps a sandbox that is being watched from stopping by itself.
    fn keep_sandbox(&self) {
        if self.settings.context().is_ok_and(|context| context.kind == ContextKind::Sandbox) {
            Place::of(&self.settings.places).touch();
        }
    }

    /// Shows the plan and gets the consent. `None` after `--dry-run`; a declined plan is an error that ends with 10.
    pub async fn approve(&self, plan: &Plan) -> anyhow::Result<Option<Approval>> {
        self.approve_as(plan, Entry::Whole).await
    }

    /// As [`App::approve`], for a change that is written down in another way than as a whole.
    pub async fn approve_as(&self, plan: &Plan, entry: Entry<'_>) -> anyhow::Result<Option<Approval>> {
        let context = self.settings.context()?;
        let place = if plan.is_local() { Ok((context.place(), None)) } else { self.place().await };
        let (url, server_environment) = match place {
            Ok(place) => place,
            // What goes straight to the platforms works without the orchestrator.
            Err(error) if plan.is_direct() => {
                let why = Explained::from_error(&error).message;
                self.note(format!("note: the orchestrator could not be asked what environment this is: {why}"));
                (context.place(), None)
            }
            Err(error) => return Err(error),
        };
        let guard = Guard {
            context,
            url,
            server_environment,
            output: &self.output,
            prompt: self.prompt.as_ref(),
            receipts: &self.receipts,
            places: &self.settings.places,
            clock: &self.clock,
            env: &self.settings.env,
        };
        if let Some(agreed) = self.agreed.borrow_mut().take() {
            agreed.ensure_same(plan.steps_in_order())?;
        }
        if let Some(file) = plan.kept_in() {
            guard.approve(&plan.clone().dry(), entry).await?;
            let command = aliases::without_consent(&self.words);
            self.keep_plan(&plan.saved(command, self.address().await?, self.now()), file)?;
            return Ok(None);
        }
        let approval = guard.approve(plan, entry).await?;
        *self.open.borrow_mut() = approval.as_ref().map(|a| a.receipt().clone());
        Ok(approval)
    }

    /// Lets nothing be approved but this saved plan.
    pub fn agree(&self, plan: WholePlan) {
        *self.agreed.borrow_mut() = Some(plan);
    }

    /// Keeps a plan in a file, and says how it is executed.
    pub fn keep_plan<P: serde::Serialize>(&self, plan: &SavedPlan<P>, file: &Path) -> anyhow::Result<()> {
        plan.save(file, &self.output.redactor)?;
        self.note(format!("saved: opsctl apply {}  until {}", file.display(), plan.expires_at));
        Ok(())
    }

    /// Where the context points, and the environment word of the server there; `None` when it has only the documented
    /// routes and so no word.
    async fn place(&self) -> anyhow::Result<(String, Option<String>)> {
        let url = self.target().await?.url.as_str().trim_end_matches('/').to_owned();
        match self.orchestrator().await?.info().await {
            Ok(info) => Ok((url, Some(info.environment))),
            Err(error) if Explained::from_error(&error).kind == Kind::NotFound => Ok((url, None)),
            Err(error) => Err(error),
        }
    }

    /// Writes down what became of an approved change, and tells the person how to take it back.
    pub fn receipt(&self, approval: &Approval, items: Vec<ReceiptItem>) -> anyhow::Result<()> {
        self.open.borrow_mut().take();
        let mut receipt = approval.receipt().clone();
        if receipt.id.is_empty() {
            return Ok(());
        }
        let effects = items.iter().filter(|i| matches!(i.effect, EffectKind::Applied | EffectKind::Accepted)).count();
        let changed = effects > 0;
        crate::cron::count_effects(self, effects as u64);
        receipt.state = ReceiptState::Done;
        receipt.items = items;
        let undo = if receipt.can_be_undone() {
            format!("opsctl undo {}", receipt.id)
        } else if changed {
            "none".into()
        } else {
            "nothing to undo".into()
        };
        match self.receipts.close(self.now(), &receipt) {
            Ok(()) => self.note(format!("receipt: {}  undo: {undo}", receipt.id)),
            // The change happened: its own answer must not be hidden behind this.
            Err(error) => self.output.warn(&format!("the receipt {} was not completed: {error:#}", receipt.id)),
        }
        Ok(())
    }

    /// Leaves an approved change of many items open: it stopped before every item was tried, and can go on.
    pub fn leave_open(&self, approval: &Approval) {
        self.open.borrow_mut().take();
        self.say_resumable(approval.receipt_id());
    }

    fn say_resumable(&self, id: &str) {
        self.output.warn(&format!("stopped in the middle; finish it with `opsctl history resume {id}`"));
    }

    /// After an error: a change that was approved and has no outcome gets the error into its receipt.
    pub(crate) fn close_receipt(&self, error: &anyhow::Error) {
        let Some(mut receipt) = self.open.borrow_mut().take().filter(|r| !r.id.is_empty()) else { return };
        if receipt.planned.is_some() {
            // It can go on: what was done is in the journal, item by item.
            return self.say_resumable(&receipt.id);
        }
        receipt.state = ReceiptState::Failed;
        receipt.error = Some(Explained::from_error(error).message);
        if let Err(error) = self.receipts.close(self.now(), &receipt) {
            self.output.warn(&format!("the receipt {} was not completed: {error:#}", receipt.id));
        }
    }
}

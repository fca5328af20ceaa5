//! One credential after the other, stage by stage, until the service works with the new ones and the old ones end.
//!
//! A stage is written down once it is reached, and the step from it to the next can be done again: it looks before it
//! acts. The new value is set on the service for a time ([`WAY_BACK`]) and kept once it has let the service in: whoever
//! dies in between leaves a service that goes back to the old value by itself, and the old one has not ended then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::book::{Book, LeftOver, Old, Progress, Stage};
use super::turn::{Credential, Turn, Way};
use crate::app::App;
use crate::client::Orchestrator;
use crate::error::{Explained, Fault, Kind};
use crate::files::{remove_leftovers, write_whole};
use crate::guard::Approval;
use crate::guard::journal::Fate;
use crate::guard::{ReceiptItem, UndoAction};
use crate::platforms::rotation::OAuthApp;
use crate::platforms::{Clients, Credentials};
use crate::sandbox::ground::Ground;
use crate::secret::Secret;
use crate::settings::format_duration;
use crate::wire::{ConfigEntry, ConfigSet, EffectKind, ErrorCode};

/// How long the service keeps a new value that nobody has confirmed.
const WAY_BACK: Duration = Duration::from_secs(3600);
/// How long an executor may finish what is in flight before it restarts with the new value.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a new value may take to be accepted everywhere: Google's keys need a minute and more.
const SPREADS_IN: Duration = Duration::from_secs(120);
/// The same where a platform's tokens are good at once.
const SOON: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often a value that went back before it was kept is stored again.
const STORES: u32 = 3;

/// Why a step was not done.
pub(super) enum Stop {
    /// This credential is given up; the old one is in use.
    Failed(String),
    /// The whole run stops where it is and can go on later.
    Run(anyhow::Error),
}

impl Stop {
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Stop::Failed(why.into())
    }

    /// An answer of the service: whether it was reached decides.
    pub(super) fn of_service(error: anyhow::Error) -> Self {
        let explained = Explained::from_error(&error);
        match explained.kind {
            Kind::Unreachable | Kind::NotAuthenticated | Kind::Interrupted => Stop::Run(error),
            _ => {
                Stop::Failed(std::iter::once(explained.message).chain(explained.causes).collect::<Vec<_>>().join(": "))
            }
        }
    }
}

/// What the disk refuses stops the run: without a checkpoint nothing may be changed.
impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Stop::Run(error)
    }
}

pub(super) type Step<T = ()> = Result<T, Stop>;

/// A rotation under way.
pub(super) struct Run<'a> {
    pub(super) app: &'a App,
    pub(super) orchestrator: &'a Orchestrator,
    pub(super) approval: &'a Approval,
    pub(super) turns: Vec<Turn>,
    pub(super) book: Book,
    pub(super) left: LeftOver,
    /// The variables that platforms are reached with from here.
    pub(super) env: BTreeMap<String, String>,
    /// The simulators, in the sandbox.
    pub(super) ground: Option<Ground>,
}

impl Run<'_> {
    /// Takes every credential as far as it goes. An error means that it stopped in the middle.
    pub(super) async fn all(&mut self) -> anyhow::Result<()> {
        let mut gave_up = false;
        for at in 0..self.turns.len() {
            let turn = self.turns[at].clone();
            let emergency = turn.emergency;
            if self.book.of(turn.credential).stage >= Stage::Ended {
                gave_up |= self.book.of(turn.credential).stage == Stage::Failed;
                continue;
            }
            if gave_up && !emergency {
                let why = "not begun: the platform before it failed, and this is no --emergency";
                self.give_up(at, why.to_owned())?;
                continue;
            }
            self.approval.at(&format!("{} of {}: {}", at + 1, self.turns.len(), turn.credential));
            self.app.receipts.intend(self.app.now(), self.approval.receipt_id(), at, None)?;
            match self.forward(&turn).await {
                Ok(()) if emergency => self.end(at).await?,
                Ok(()) => {}
                Err(Stop::Failed(why)) => {
                    self.give_up(at, why)?;
                    gave_up = true;
                }
                Err(Stop::Run(error)) => return Err(error),
            }
        }
        self.end_after_grace().await
    }

    /// Once every new key is in use, the old ones get a little longer, and then end.
    async fn end_after_grace(&mut self) -> anyhow::Result<()> {
        let kept = |run: &Self, turn: &Turn| run.book.of(turn.credential).stage == Stage::Kept;
        let waiting: Vec<usize> = (0..self.turns.len()).filter(|at| kept(self, &self.turns[*at])).collect();
        let Some(grace) = waiting.first().map(|at| self.turns[*at].grace) else { return Ok(()) };
        if !grace.is_zero() && !self.turns[waiting[0]].emergency {
            self.say(&format!("the old keys end in {}, if the service goes on working", format_duration(grace)));
            tokio::time::sleep(grace).await;
        }
        for at in waiting {
            let turn = self.turns[at].clone();
            match self.signs_in(&turn, SOON).await {
                Ok(_) => self.end(at).await?,
                Err(Stop::Run(error)) => return Err(error),
                // The new key is the one in use: the old one stays until somebody has looked.
                Err(Stop::Failed(why)) => {
                    let why = format!("the old key was left alone: the service does not get in any more: {why}");
                    self.close_turn(at, Old::ByHand { why }, EffectKind::Refused)?;
                }
            }
        }
        Ok(())
    }

    /// From wherever it is to the new value being in use for good.
    async fn forward(&mut self, turn: &Turn) -> Step {
        let credential = turn.credential;
        let mut stores = 0;
        loop {
            let mut progress = self.book.of(credential);
            match progress.stage {
                Stage::Begun | Stage::Minting => self.mint(turn, &mut progress).await?,
                Stage::Minted => match self.try_new(turn, &mut progress).await {
                    Ok(()) => progress.stage = Stage::Tested,
                    Err(stop) => return Err(self.withdraw(turn, &progress, stop).await),
                },
                Stage::Tested => {
                    stores += 1;
                    if stores > STORES {
                        return Err(Stop::failed("the service went back to the old key again and again"));
                    }
                    match self.store(turn, &progress).await {
                        Ok(()) => progress.stage = Stage::Stored,
                        Err(stop) => return Err(self.withdraw(turn, &progress, stop).await),
                    }
                }
                Stage::Stored => match self.restart(turn, &progress).await {
                    Ok(()) => progress.stage = Stage::InUse,
                    Err(Stop::Failed(why)) => return Err(self.go_back(turn, &progress, why).await),
                    Err(stop) => return Err(stop),
                },
                Stage::InUse => progress.stage = self.keep(turn, &progress).await?,
                Stage::Kept | Stage::Ended | Stage::Failed => return Ok(()),
            }
            self.book.note(credential, progress)?;
        }
    }

    /// Whether the platform accepts the new value, asked from here.
    async fn try_new(&self, turn: &Turn, progress: &mut Progress) -> Step {
        let credential = turn.credential;
        let value = self.new_value(turn)?;
        let clients = self.clients_with(turn, &value).await?;
        let limit = self.app.settings.timeout.value;
        let patience = if credential == Credential::Google { SPREADS_IN } else { Duration::ZERO };
        for platform in credential.platforms() {
            if !clients.credentials().has(*platform) {
                let names = clients.credentials().names(*platform);
                return Err(Stop::failed(format!("it cannot be tried from here: {names} is needed for it")));
            }
            let deadline = Instant::now() + patience;
            let identity = loop {
                match clients.who_am_i_within(*platform, limit).await {
                    Ok(identity) => break identity,
                    Err(error) if error.code == ErrorCode::AuthError && Instant::now() < deadline => {
                        tokio::time::sleep(LOOK_EVERY).await;
                    }
                    Err(error) => return Err(Stop::failed(format!("the new key does not work: {error}"))),
                }
            };
            progress.identity.get_or_insert(identity);
        }
        let identity = progress.identity.as_deref().unwrap_or_default();
        self.say(&format!("{credential}: the new key works: {identity}"));
        Ok(())
    }

    /// Gives the service the new value, for a time.
    async fn store(&self, turn: &Turn, progress: &Progress) -> Step {
        let entry = self.entry(turn).await?;
        if desired(&entry) == progress.new.as_deref() && entry.expires_at.is_some() {
            return Ok(());
        }
        if desired(&entry) != turn.old.as_deref() {
            let why = format!("{} was changed meanwhile by somebody else", turn.variable);
            return Err(Stop::failed(why));
        }
        let value = self.new_value(turn)?.expose().to_owned();
        let expires_in = u64::try_from(WAY_BACK.as_millis()).ok();
        let set = ConfigSet { value, expires_in };
        let version = Some(entry.version);
        self.orchestrator.set_config(self.approval, &turn.variable, &set, version).await.map_err(Stop::of_service)?;
        Ok(())
    }

    /// Lets the executors work with it.
    async fn restart(&self, turn: &Turn, progress: &Progress) -> Step {
        let entry = self.entry(turn).await?;
        if entry.pending.is_none() && entry.fingerprint == progress.new {
            return Ok(());
        }
        for platform in turn.credential.platforms() {
            let restarted = self.orchestrator.restart_executor(self.approval, *platform, DRAIN).await;
            restarted.map_err(Stop::of_service)?;
        }
        Ok(())
    }

    /// Keeps the new value once it lets the service in; takes it back when it does not. Gives the next stage: a value
    /// that went back by itself meanwhile is stored again.
    async fn keep(&mut self, turn: &Turn, progress: &Progress) -> Step<Stage> {
        let entry = self.entry(turn).await?;
        if entry.pending.is_some() || entry.fingerprint != progress.new {
            return Ok(Stage::Tested);
        }
        match self.signs_in(turn, if turn.credential == Credential::Google { SPREADS_IN } else { SOON }).await {
            Ok(()) => {}
            Err(Stop::Failed(why)) => return Err(self.go_back(turn, progress, why).await),
            Err(stop) => return Err(stop),
        }
        let kept = self.orchestrator.keep_config(self.approval, &turn.variable, entry.version).await;
        kept.map_err(Stop::of_service)?;
        self.say(&format!("{}: the service works with the new key", turn.credential));
        self.adopt(turn)?;
        // The account's old key is ended with its new one.
        if turn.old_key.is_none() {
            self.book.put_new(turn.credential, None)?;
        }
        Ok(Stage::Kept)
    }

    /// The new value is taken back, and the old one is seen to work.
    async fn go_back(&self, turn: &Turn, progress: &Progress, why: String) -> Stop {
        if let Err(error) = self.orchestrator.take_config_back(self.approval, &turn.variable).await {
            let back = format!("it goes back by itself within {}", format_duration(WAY_BACK));
            return Stop::Run(error.context(format!("the new {} was not taken back; {back}", turn.variable)));
        }
        let state = match self.signs_in(turn, SOON).await {
            Ok(()) => "the old key is in use again".to_owned(),
            Err(Stop::Failed(old)) => format!("the old key is in use again and does not work either: {old}"),
            Err(stop) => return stop,
        };
        let stop = Stop::failed(format!("the service did not get in with the new key: {why}; {state}"));
        self.withdraw(turn, progress, stop).await
    }

    /// A key that was made for this and will not be used ends with it.
    async fn withdraw(&self, turn: &Turn, progress: &Progress, stop: Stop) -> Stop {
        let Stop::Failed(why) = stop else { return stop };
        let ended = match (turn.way, &progress.new_key) {
            (Way::Iam, Some(id)) => self.end_account_key(&self.env, id, true).await,
            (Way::Simulated, _) => self.end_simulated(turn, self.book.new_value(turn.credential)).await,
            _ => Err(format!("withdraw the new key at {}", turn.credential.end_page())),
        };
        Stop::Failed(match ended {
            Ok(()) => format!("{why}; the new key was withdrawn"),
            Err(left) => format!("{why}; {left}"),
        })
    }

    /// Whether the service gets in, with whatever it works with now.
    async fn signs_in(&self, turn: &Turn, patience: Duration) -> Step {
        for platform in turn.credential.platforms() {
            let deadline = Instant::now() + patience;
            loop {
                let status = self.orchestrator.auth(*platform).await.map_err(Stop::of_service)?;
                if status.authenticated {
                    break;
                }
                if Instant::now() >= deadline {
                    let why = status.error.unwrap_or_else(|| "it was refused".into());
                    return Err(Stop::failed(format!("{platform}: {why}")));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// The commands of this machine use the new value too, where the context reads it from a file.
    fn adopt(&mut self, turn: &Turn) -> anyhow::Result<()> {
        let variable = &turn.variable;
        let value = self.book.new_value(turn.credential);
        let context = self.app.settings.context()?;
        let source = context.keys.get(variable);
        let file = source.and_then(|source| source.file_in_use(&self.app.settings.env));
        match (value, file) {
            (Some(value), Some(file)) => {
                remove_leftovers(&file)?;
                write_whole(&file, value.expose().as_bytes(), true)?;
                self.env.insert(variable.clone(), value.expose().to_owned());
            }
            (Some(value), None) => {
                if self.ground.is_none() && self.env.contains_key(variable) {
                    let place = source.map_or_else(|| format!("environment {variable}"), |s| s.describe());
                    self.app.note(format!(
                        "this machine still has the old {variable}, from {place}: put the new one there"
                    ));
                }
                self.env.insert(variable.clone(), value.expose().to_owned());
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// Gives a credential up: the old one is in use.
    fn give_up(&mut self, at: usize, why: String) -> anyhow::Result<()> {
        let credential = self.turns[at].credential;
        self.app.output.warn(&format!("{credential}: {why}"));
        let progress = Progress { stage: Stage::Failed, failure: Some(why.clone()), ..self.book.of(credential) };
        self.record(at, EffectKind::Refused, why)?;
        self.book.note(credential, progress)?;
        self.book.forget(credential)
    }

    /// Writes down what became of the old key, and with that the end of this credential.
    pub(super) fn close_turn(&mut self, at: usize, old: Old, effect: EffectKind) -> anyhow::Result<()> {
        let turn = self.turns[at].clone();
        let detail = match &old {
            Old::Revoked => "new key in use, old key revoked".to_owned(),
            Old::Disabled { delete_after } => {
                format!("new key in use, old key switched off, deleted after {delete_after}")
            }
            Old::ByHand { why } => format!("new key in use; old key still to be revoked: {why}"),
        };
        self.record(at, effect, detail)?;
        let progress = Progress { stage: Stage::Ended, old: Some(old), ..self.book.of(turn.credential) };
        self.book.note(turn.credential, progress)?;
        self.book.forget(turn.credential)
    }

    fn record(&self, at: usize, effect: EffectKind, detail: String) -> anyhow::Result<()> {
        let undo = UndoAction::none("a rotated key does not come back");
        let id = self.turns[at].credential.as_str();
        let item = ReceiptItem { effect, detail: Some(detail), ..ReceiptItem::applied(id, undo) };
        let fate = Fate { item, result: serde_json::Value::Null };
        self.app.receipts.record(self.app.now(), self.approval.receipt_id(), at, fate)
    }

    /// Clients that use this value in place of the one that is set here.
    pub(super) async fn clients_with(&self, turn: &Turn, value: &Secret) -> Step<Clients> {
        let mut env = self.env.clone();
        env.insert(turn.variable.clone(), value.expose().to_owned());
        Ok(self.clients(&env).await?)
    }

    /// Clients with these variables, of the usual set.
    pub(super) async fn clients(&self, env: &BTreeMap<String, String>) -> anyhow::Result<Clients> {
        let credentials = Credentials { use_backup: false, ..Credentials::from_env(env) };
        self.app.output.redactor.add(&credentials.secrets());
        Ok(Clients::new(self.app.endpoints().await?, credentials, self.app.clock.clone()))
    }

    /// The connection whose tokens rotate.
    pub(super) fn oauth_app(&self, turn: &Turn) -> Option<OAuthApp> {
        let app = OAuthApp::read(turn.credential.first(), &self.env)?;
        self.app.output.redactor.add(app.secrets());
        Some(app)
    }

    pub(super) fn new_value(&self, turn: &Turn) -> Step<Secret> {
        let missing = || {
            Fault::new(Kind::Failed, format!("the new {} is not where it was put", turn.variable))
                .because("the rotation's file of values was removed")
                .hint("begin again: the old key is still in use")
        };
        Ok(self.book.new_value(turn.credential).ok_or_else(missing).map_err(anyhow::Error::from)?)
    }

    async fn entry(&self, turn: &Turn) -> Step<ConfigEntry> {
        let entry = self.orchestrator.config_entry(&turn.variable).await;
        entry.with_context(|| format!("cannot read {}", turn.variable)).map_err(Stop::of_service)
    }

    pub(super) fn say(&self, text: &str) {
        self.app.note(text);
    }
}

/// Fingerprint of the value that holds once everything has restarted.
fn desired(entry: &ConfigEntry) -> Option<&str> {
    match entry.pending {
        Some(_) => entry.pending_fingerprint.as_deref(),
        None => entry.fingerprint.as_deref(),
    }
}

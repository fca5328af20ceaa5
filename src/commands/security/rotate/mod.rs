//! `opsctl security rotate-keys`: every platform's key replaced, with a way back at every step.
//!
//! A credential goes from stage to stage ([`book::Stage`]): a new value is made, tried against the platform, given to
//! the service for a time, used, tried through the service, kept; then the old one ends. [`run`] does it, [`mint`] and
//! [`end`] are its two sides to the platforms, [`book`] is what survives a kill.

mod book;
mod end;
mod mint;
mod report;
mod run;
mod turn;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use crate::app::App;
use crate::commands::args::{PlatformArg, read_text};
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::guard::{ChangeArgs, Entry, KeptPlan, Plan, Receipt, Record, Step};
use crate::sandbox::Place;
use crate::sandbox::ground::Ground;
use crate::secret::Secret;
use crate::settings::{ContextKind, format_duration, parse_duration};
use crate::wire::{ConfigEntry, RestartPart};

use book::{Book, LeftOver};
use report::{LeftList, Rotation};
use run::{Run, Stop};
use turn::{Credential, Known, Turn, Way};

/// Its words in the table of verbs, and in receipts.
pub const VERB: &str = "security rotate-keys";

/// Replace the platforms' keys, with a working one at every moment
///
/// A new key is made by API where the platform does that (Google service accounts; Slack and Notion connections that
/// rotate) and asked for without echo where it does not. It is tried, given to the service, used, and tried through the
/// service, which goes back to the old one by itself unless all of that works; then the old one ends, by API or by you.
/// An interrupted rotation goes on with --resume. While locked down it works with the break-glass token.
///
/// A connection rotates by API when NOTION_CLIENT_ID, NOTION_CLIENT_SECRET and NOTION_REFRESH_TOKEN (SLACK_... alike) are
/// known here, the last one from a file: [contexts.NAME.keys] NOTION_REFRESH_TOKEN = { file = "..." }.
///
/// Example: opsctl security rotate-keys notion --value-file new-key --reason "yearly"
#[derive(Args, Debug)]
#[command(mut_arg("plan_all", |arg| arg.help("Every platform's key")))]
pub struct RotateArgs {
    /// Whose key; drive and sheets share one
    #[arg(value_name = "PLATFORM", conflicts_with = "plan_all")]
    platform: Option<PlatformArg>,

    /// End old keys at once, go on past a platform that fails
    #[arg(long)]
    emergency: bool,

    /// New value: FILE, or PLATFORM=FILE (can be repeated)
    #[arg(long = "value-file", value_name = "FILE")]
    value_files: Vec<String>,

    /// How long the service works with the new keys before the old ones end
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration, hide_short_help = true)]
    grace: Duration,

    /// Finish the interrupted rotation
    #[arg(long, conflicts_with_all = ["platform", "plan_all", "emergency"])]
    resume: bool,

    /// Show the old keys that are still to be revoked
    #[arg(long, hide_short_help = true, conflicts_with_all = ["platform", "plan_all", "resume"])]
    left: bool,

    /// Take this platform's old key off that list: it was revoked
    #[arg(long, value_name = "PLATFORM", conflicts_with_all = ["platform", "plan_all", "resume", "left"])]
    #[arg(hide_short_help = true)]
    revoked: Option<PlatformArg>,

    #[command(flatten)]
    change: ChangeArgs,
}

impl RotateArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let left = LeftOver::of(&app.settings.places);
        let context = &app.settings.context_name.value;
        if self.left {
            let mine = left.list()?.into_iter().filter(|one| one.context == *context).collect();
            app.emit(&LeftList(mine))?;
            return Ok(Outcome::Done);
        }
        if let Some(PlatformArg(platform)) = self.revoked {
            let credential = Credential::of(platform);
            let gone = left.remove(|one| one.context == *context && one.credential == credential)?;
            app.note(match gone {
                0 => format!("no old {credential} key is on the list"),
                _ => format!("the old {credential} key is off the list"),
            });
            return Ok(Outcome::Done);
        }
        if self.resume {
            let Some(receipt) = interrupted(app)? else {
                app.note("No interrupted rotation.");
                return Ok(Outcome::Done);
            };
            let given = self.given(&Credential::ALL)?;
            return finish(app, receipt, &self.change, given).await;
        }
        self.begin(app).await
    }

    async fn begin(&self, app: &App) -> anyhow::Result<Outcome> {
        let wanted = match (self.platform, self.change.all) {
            (Some(PlatformArg(platform)), _) => vec![Credential::of(platform)],
            (None, true) => Credential::ALL.to_vec(),
            (None, false) => {
                return Err(Fault::usage("whose keys?")
                    .because("neither a platform nor --all was given")
                    .hint("opsctl security rotate-keys --all, or: opsctl security rotate-keys notion")
                    .into());
            }
        };
        if let Some(open) = interrupted(app)?.filter(|_| !self.change.dry_run) {
            return Err(Fault::new(Kind::Conflict, "an earlier rotation was interrupted")
                .because(format!("{} ({}) has keys on their way", open.id, open.title))
                .hint("finish it with `opsctl security rotate-keys --resume`")
                .into());
        }
        let given = self.given(&wanted)?;
        let context = app.settings.context()?;
        let env = app.platform_env().await?;
        let settings = self.settings(app).await?;
        let known = Known {
            context,
            process: &app.settings.env,
            env: &env,
            settings: settings.as_ref().ok().map(Vec::as_slice),
        };
        let mut turns: Vec<Turn> = Vec::new();
        for credential in wanted {
            match known.turn(credential, self.emergency, self.grace) {
                Some(turn) => turns.push(turn),
                None if self.platform.is_some() => return Err(not_set(credential).into()),
                None => app.note(format!("{credential}: no key is set, there is nothing to replace")),
            }
        }
        for turn in turns.iter_mut().filter(|turn| given.contains_key(&turn.credential)) {
            turn.way = Way::Asked;
        }
        if turns.is_empty() {
            return Err(Fault::new(Kind::NotFound, "no platform has a key to replace")
                .hint("set one with `opsctl config set NOTION_API_KEY`")
                .into());
        }
        let given = normal(&turns, &given)?;
        app.output.redactor.add(given.values());
        let plan = self.plan(&turns, &given, &settings);
        if !self.change.dry_run {
            settings?;
            ensure_possible(app, &turns, &given)?;
        }
        let kept = KeptPlan::new(&turns, &app.output.redactor)?;
        let Some(approval) = app.approve_as(&plan, Entry::Items(&kept)).await? else { return Ok(Outcome::Done) };
        work(app, &approval, turns, env, given).await
    }

    /// The values that were brought along, by credential.
    fn given(&self, wanted: &[Credential]) -> Result<BTreeMap<Credential, Secret>, Fault> {
        let mut given = BTreeMap::new();
        for text in &self.value_files {
            let named = text.split_once('=').and_then(|(name, file)| {
                let credential = match name {
                    "google" => Credential::Google,
                    _ => Credential::of(name.parse::<PlatformArg>().ok()?.0),
                };
                Some((credential, file))
            });
            let (credential, file) = match (named, wanted) {
                (Some(named), _) => named,
                (None, [one]) => (*one, text.as_str()),
                (None, _) => {
                    return Err(Fault::usage(format!("whose value is in `{text}`?"))
                        .because("with --all each file is of one platform")
                        .hint(format!("write --value-file notion={text}")));
                }
            };
            if !wanted.contains(&credential) {
                return Err(Fault::usage(format!("the {credential} key is not being replaced"))
                    .because(format!("--value-file {text} brings a value for it"))
                    .hint("leave it out, or say --all"));
            }
            let (place, value) = read_text(file)?;
            if value.trim().is_empty() {
                return Err(Fault::usage(format!("{place} is empty")).hint("put the new key into it"));
            }
            if given.insert(credential, Secret::new(value)).is_some() {
                return Err(Fault::usage(format!("there are two values for {credential}")).hint("leave one out"));
            }
        }
        Ok(given)
    }

    /// The service's settings. A dry run, which names the pages, goes on without them.
    async fn settings(&self, app: &App) -> anyhow::Result<anyhow::Result<Vec<ConfigEntry>>> {
        match app.orchestrator().await?.config().await {
            Ok(list) => Ok(Ok(list.settings)),
            Err(error) if Explained::from_error(&error).kind == Kind::Unreachable => Ok(Err(cannot_store(error))),
            Err(error) => Err(error),
        }
    }

    fn plan(
        &self,
        turns: &[Turn],
        given: &BTreeMap<Credential, Secret>,
        settings: &anyhow::Result<Vec<ConfigEntry>>,
    ) -> Plan {
        let steps = turns.iter().map(|turn| {
            let comes = match turn.way {
                Way::Iam => "IAM makes a new key".to_owned(),
                Way::OAuth => "its connection's refresh token is exchanged".to_owned(),
                Way::Simulated => "the simulator makes a new one".to_owned(),
                Way::Asked if given.contains_key(&turn.credential) => "the new one is in the file".to_owned(),
                Way::Asked => format!("you make a new one at {}", turn.credential.page()),
            };
            let ends = match (turn.way, self.emergency) {
                (Way::Iam, false) => "the old one is switched off, and deleted by a rotation a day later",
                (Way::Asked, _) if turn.credential == Credential::Notion => "you revoke the old one",
                _ => "the old one is revoked",
            };
            Step::new(format!("PUT /admin/v1/config/{}", turn.variable))
                .on(turn.credential)
                .because(format!("{comes}; tried, stored, used, tried again; {ends}"))
        });
        let title = match turns {
            [one] => format!("replace the {} key", one.credential),
            many => format!("replace the keys of {} platforms", many.len()),
        };
        let mut plan = Plan::new(VERB, title, &self.change).steps(steps).subject("platform keys");
        plan = match self.emergency {
            true => {
                plan.note("emergency: each old key ends as soon as its new one works; a platform that fails is passed")
            }
            false => {
                plan.note(format!("the old keys end {} after the new ones are in use", format_duration(self.grace)))
            }
        };
        match settings {
            Ok(all) => {
                let waits = |e: &&ConfigEntry| {
                    e.restart == RestartPart::Executors && turns.iter().all(|turn| turn.variable != e.name)
                };
                let others = all.iter().filter(waits).filter_map(|e| Some((&e.name, e.pending.as_ref()?)));
                others.fold(plan, |plan, (name, pending)| {
                    plan.note(format!("the executors restart: {name} becomes {pending} too"))
                })
            }
            // Nothing is sent; the pages are what is asked for.
            Err(error) => {
                let why = Explained::from_error(error);
                let why = why.causes.first().cloned().unwrap_or(why.message);
                plan.note(format!("the service does not answer: {why}")).direct()
            }
        }
    }
}

/// The values in their normal spelling.
fn normal(turns: &[Turn], given: &BTreeMap<Credential, Secret>) -> Result<BTreeMap<Credential, Secret>, Fault> {
    given.iter().map(|(credential, value)| Ok((*credential, checked(turns, *credential, value)?))).collect()
}

/// The value in its normal spelling, or why it cannot be one.
fn checked(turns: &[Turn], credential: Credential, value: &Secret) -> Result<Secret, Fault> {
    let Some(turn) = turns.iter().find(|turn| turn.credential == credential) else { return Err(not_set(credential)) };
    mint::normal(turn, value).map_err(|stop| {
        let why = match stop {
            Stop::Failed(why) => why,
            Stop::Run(error) => format!("{error:#}"),
        };
        Fault::usage(format!("the new {credential} key cannot be used")).because(why).hint("look at the file's content")
    })
}

/// Where nobody can be asked, everything has to be there.
fn ensure_possible(app: &App, turns: &[Turn], given: &BTreeMap<Credential, Secret>) -> Result<(), Fault> {
    let lacking: Vec<&Turn> =
        turns.iter().filter(|turn| turn.way == Way::Asked && !given.contains_key(&turn.credential)).collect();
    if lacking.is_empty() || app.prompt.can_ask() {
        return Ok(());
    }
    let fault =
        Fault::new(Kind::Declined, "new keys are needed that only a person can make").because("nothing was sent");
    let fault = lacking
        .iter()
        .fold(fault, |fault, turn| fault.because(format!("{}: {}", turn.variable, turn.credential.page())));
    let files: Vec<String> = lacking.iter().map(|turn| format!("--value-file {}=FILE", turn.credential)).collect();
    Err(fault.hint(format!("run it on a terminal, which asks for them, or pass {}", files.join(" "))))
}

fn not_set(credential: Credential) -> Fault {
    Fault::new(Kind::NotFound, format!("there is no {credential} key to replace"))
        .because("the service has none set")
        .hint("opsctl config list shows what is set; a first key is set with `opsctl config set`")
}

/// Without the service there is nowhere to put a new key.
fn cannot_store(error: anyhow::Error) -> anyhow::Error {
    let why = Explained::from_error(&error);
    let fault =
        Fault::new(Kind::Unreachable, "no key can be replaced while the service does not answer").because(why.message);
    let fault = why.causes.into_iter().fold(fault, Fault::because);
    fault
        .hint(
            "start the service; to take an old key out of use at once, withdraw it on its platform's page: \
             `opsctl security rotate-keys --all --dry-run` names them",
        )
        .into()
}

/// The rotation of this context that stopped in the middle.
fn interrupted(app: &App) -> anyhow::Result<Option<Receipt>> {
    let context = &app.settings.context_name.value;
    let is_one = |receipt: &Receipt| receipt.verb == VERB && receipt.context == *context;
    Ok(app.receipts.interrupted()?.into_iter().find(is_one))
}

/// Finishes an interrupted rotation, from the stage that each credential reached.
pub async fn resume(app: &App, receipt: Receipt, change: &ChangeArgs) -> anyhow::Result<Outcome> {
    finish(app, receipt, change, BTreeMap::new()).await
}

async fn finish(
    app: &App,
    receipt: Receipt,
    change: &ChangeArgs,
    given: BTreeMap<Credential, Secret>,
) -> anyhow::Result<Outcome> {
    let Record { receipt, plan: turns, .. } = app.receipts.record_of::<Turn>(&receipt.id)?;
    let given = normal(&turns, &given)?;
    let book = Book::look(&app.settings.places, &receipt.id)?;
    let steps = turns.iter().map(|turn| {
        let word = serde_json::to_value(book.of(turn.credential).stage).unwrap_or_default();
        let at = word.as_str().unwrap_or_default().to_owned();
        Step::new(format!("PUT /admin/v1/config/{}", turn.variable))
            .on(turn.credential)
            .because(format!("reached: {at}"))
    });
    let title = format!("finish {} ({})", receipt.id, receipt.title);
    let plan = Plan::new(VERB, title, change).steps(steps).subject("platform keys");
    // What the service answered to the interrupted run is not its answer to this one.
    let again = Receipt { key: uuid::Uuid::now_v7().to_string(), ..receipt };
    let Some(approval) = app.approve_as(&plan, Entry::Again(&again)).await? else { return Ok(Outcome::Done) };
    let env = app.platform_env().await?;
    work(app, &approval, turns, env, given).await
}

/// Does it, and says what became of it. What stopped in the middle stays open.
async fn work(
    app: &App,
    approval: &crate::guard::Approval,
    turns: Vec<Turn>,
    env: BTreeMap<String, String>,
    given: BTreeMap<Credential, Secret>,
) -> anyhow::Result<Outcome> {
    let receipt = approval.receipt_id().to_owned();
    let open = app.receipts.interrupted()?.into_iter().map(|receipt| receipt.id);
    Book::sweep(&app.settings.places, &open.collect::<Vec<_>>())?;
    let mut book = Book::open(&app.settings.places, &receipt)?;
    book.bring(&given)?;
    app.output.redactor.add(&book.values());
    let ground = match app.settings.context()?.kind {
        ContextKind::Sandbox => Some(Ground::enter(&Place::of(&app.settings.places))?),
        _ => None,
    };
    let left = LeftOver::of(&app.settings.places);
    let orchestrator = app.orchestrator().await?;
    let mut run = Run { app, orchestrator, approval, turns, book, left, env, ground };
    let stopped = run.all().await;
    let Run { book, turns, .. } = run;
    let rotation = Rotation::new(&receipt, &turns, &book);
    app.emit(&rotation)?;
    if let Err(error) = stopped {
        app.leave_open(approval);
        return Err(error.context("the rotation stopped in the middle; every platform has a working key"));
    }
    let unfinished = turns.iter().any(|turn| book.of(turn.credential).stage < book::Stage::Ended);
    if unfinished {
        app.leave_open(approval);
        return Ok(Outcome::SomeFailed);
    }
    let items = app.receipts.read(&receipt)?.items;
    app.receipt(approval, items)?;
    book.close()?;
    if rotation.has_left() {
        app.note("next: revoke what is TO REVOKE, then `opsctl security rotate-keys --revoked PLATFORM`");
    }
    for credential in rotation.failed() {
        app.note(format!("next: opsctl security rotate-keys {}", credential.first()));
    }
    Ok(if rotation.is_whole() { Outcome::Done } else { Outcome::SomeFailed })
}

//! `opsctl cron install`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::aliases::{self, Class};
use crate::analysis::jobs::Job;
use crate::app::App;
use crate::cron::{Call, Ledger, SCHEDULE, Scheduled, block, difference, unit_names, units, with_block};
use crate::error::{Fault, Kind, Outcome};
use crate::files::{read_if_there, write_whole};
use crate::guard::{ChangeArgs, Plan, ReceiptItem, Step, Undo, UndoAction};
use crate::notify::Channel;
use crate::output::{Page, Report};
use crate::settings::parse_duration;

/// Put the runbook's checks into a schedule
///
/// Alerts each minute, health every 5 minutes, daily at 09:00, weekly on Monday, monthly and quarterly on the first
/// Monday, as systemd timers where systemd runs, else as a block of the crontab. Everything is shown before it is
/// written. What is there already with other content is shown as a difference and replaced only with consent; the old
/// one stays beside it as NAME.before.
///
/// Example: opsctl cron install alerts daily --notify pagerduty --dry-run
#[derive(Args, Debug)]
pub struct InstallArgs {
    /// Which: alerts, health, daily, weekly, monthly, quarterly; all without any
    #[arg(value_name = "JOB", value_parser = parse_job)]
    jobs: Vec<&'static Scheduled>,

    /// systemd or crontab, whichever runs here unless told
    #[arg(long = "as", value_name = "KIND", value_enum, hide_possible_values = true)]
    kind: Option<ScheduleKind>,

    /// Folder for the units; ~/.config/systemd/user unless told
    #[arg(long, value_name = "DIR", conflicts_with = "file", hide_short_help = true)]
    dir: Option<PathBuf>,

    /// Crontab file to edit, instead of asking `crontab`
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    file: Option<PathBuf>,

    /// Whom the checks tell: slack:#CHANNEL, pagerduty (can be repeated)
    #[arg(long, value_name = "WHERE")]
    notify: Vec<Channel>,

    /// Folder for the checks' metrics, for node_exporter
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    textfile_dir: Option<PathBuf>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScheduleKind {
    Systemd,
    Crontab,
}

fn parse_job(text: &str) -> Result<&'static Scheduled, Fault> {
    SCHEDULE.iter().find(|job| job.name == text).ok_or_else(|| {
        let fault = Fault::usage(format!("there is no job `{text}`"));
        match aliases::nearest(text, SCHEDULE.iter().map(|job| job.name)) {
            Some(near) => fault.hint(format!("did you mean `{near}`?")),
            None => fault.hint("alerts, health, daily, weekly, monthly, quarterly"),
        }
    })
}

/// Something that has to be there.
struct Wanted {
    /// A file; `None` is the user's crontab, which only `crontab` may touch.
    path: Option<PathBuf>,
    name: String,
    old: Option<String>,
    new: String,
}

impl Wanted {
    fn file(path: PathBuf, new: String) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        Ok(Wanted { old: read_if_there(&path)?, path: Some(path), name, new })
    }

    fn is_there(&self) -> bool {
        self.old.as_deref() == Some(&self.new)
    }

    fn step(&self) -> Step {
        let lines = self.new.lines().count();
        match &self.old {
            None => Step::new(format!("write {}", self.name))
                .because(format!("new, {lines} lines"))
                .undo(Undo::Reverse(format!("rm {}", self.name))),
            Some(old) => {
                let changed = difference(old, &self.new).len();
                let step = Step::new(format!("write {}", self.name)).because(format!("{changed} lines differ"));
                let back = match &self.path {
                    Some(_) => format!("mv {0}.before {0}", self.name),
                    None => "crontab -e".to_owned(),
                };
                step.undo(Undo::Reverse(back))
            }
        }
    }

    fn write(&self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return to_crontab(&self.new) };
        if let Some(old) = &self.old {
            let before = PathBuf::from(format!("{}.before", path.display()));
            write_whole(&before, old.as_bytes(), false)?;
        }
        write_whole(path, self.new.as_bytes(), false)
    }
}

impl InstallArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let jobs: Vec<&Scheduled> = match self.jobs.is_empty() {
            true => SCHEDULE.iter().collect(),
            false => SCHEDULE.iter().filter(|job| self.jobs.iter().any(|wanted| wanted.name == job.name)).collect(),
        };
        let call = self.call(app)?;
        let kind = match self.kind {
            Some(kind) => kind,
            None if self.file.is_some() => ScheduleKind::Crontab,
            None if self.dir.is_some() || Path::new("/run/systemd/system").is_dir() => ScheduleKind::Systemd,
            None => ScheduleKind::Crontab,
        };
        let wanted = match kind {
            ScheduleKind::Systemd => self.units(app, &call, &jobs)?,
            ScheduleKind::Crontab => vec![self.crontab(app, &call, &jobs)?],
        };
        let missing: Vec<&Wanted> = wanted.iter().filter(|one| !one.is_there()).collect();
        let done = if missing.is_empty() {
            app.note(format!("already in the schedule: {}", names(&jobs)));
            false
        } else {
            self.show(app, &missing);
            let replaces = kind == ScheduleKind::Systemd && missing.iter().any(|one| one.old.is_some());
            let class = if replaces { Class::M2 } else { Class::M1 };
            let plan = Plan::new("cron install", format!("schedule {}", names(&jobs)), &self.change)
                .class(class)
                .subject(format!("schedule of {}", call.context))
                .steps(missing.iter().map(|one| one.step()))
                .direct();
            let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
            let mut items = Vec::new();
            for one in &missing {
                one.write()?;
                items.push(ReceiptItem::applied(&one.name, UndoAction::none("remove it from the schedule")));
            }
            app.receipt(&approval, items)?;
            true
        };
        expect(app, &jobs)?;
        let next = next(kind, self.dir.as_deref(), &call.context, &jobs);
        app.emit(&Installed { changed: done, files: wanted.iter().map(|one| one.name.clone()).collect(), next })?;
        Ok(Outcome::Done)
    }

    fn call(&self, app: &App) -> anyhow::Result<Call> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let mut more: Vec<String> =
            self.notify.iter().flat_map(|channel| ["--notify".to_owned(), channel.to_string()]).collect();
        if let Some(dir) = &self.textfile_dir {
            let file = std::path::absolute(dir)?.join("opsctl_NAME.prom");
            more.extend(["--textfile".to_owned(), file.display().to_string()]);
        }
        let places = ["OPSCTL_CONFIG_DIR", "OPSCTL_DATA_DIR", "OPSCTL_STATE_DIR", "OPSCTL_CACHE_DIR"];
        let set = |name: &str| Some((name.to_owned(), app.settings.env.non_empty(name)?.to_owned()));
        Ok(Call {
            program: program.display().to_string(),
            context: app.settings.context_name.value.clone(),
            more,
            places: places.into_iter().filter_map(set).collect(),
        })
    }

    fn units(&self, app: &App, call: &Call, jobs: &[&Scheduled]) -> anyhow::Result<Vec<Wanted>> {
        let folder = match &self.dir {
            Some(dir) => std::path::absolute(dir)?,
            None => {
                let base = app.settings.env.non_empty("XDG_CONFIG_HOME").map(PathBuf::from);
                let base = base.or_else(|| Some(Path::new(app.settings.env.non_empty("HOME")?).join(".config")));
                let none = || Fault::usage("nobody says where the units go").hint("--dir /etc/systemd/system");
                base.ok_or_else(none)?.join("systemd/user")
            }
        };
        units(call, jobs).into_iter().map(|unit| Wanted::file(folder.join(unit.name), unit.text)).collect()
    }

    fn crontab(&self, app: &App, call: &Call, jobs: &[&Scheduled]) -> anyhow::Result<Wanted> {
        let block = block(call, jobs);
        let with = |old: &str| with_block(old, &app.settings.context_name.value, &block);
        if let Some(file) = &self.file {
            let path = std::path::absolute(file)?;
            let old = read_if_there(&path)?.unwrap_or_default();
            return Wanted::file(path, with(&old));
        }
        let old = from_crontab()?;
        Ok(Wanted { path: None, name: "the crontab".into(), new: with(old.as_deref().unwrap_or_default()), old })
    }

    /// The texts before they are written: whole where there is none, the difference where there is one.
    fn show(&self, app: &App, missing: &[&Wanted]) {
        for one in missing {
            let lines = match &one.old {
                None => one.new.lines().map(|line| format!("+ {line}")).collect(),
                Some(old) => difference(old, &one.new),
            };
            app.output.say(&format!("{}:\n", one.name));
            lines.iter().for_each(|line| app.output.say(&format!("  {line}\n")));
        }
    }
}

fn names(jobs: &[&Scheduled]) -> String {
    jobs.iter().map(|job| job.name).collect::<Vec<_>>().join(", ")
}

/// From now on `check jobs` expects them.
fn expect(app: &App, jobs: &[&Scheduled]) -> anyhow::Result<()> {
    let ledger = Ledger::of(app);
    for job in jobs {
        let every_ms = parse_duration(job.every).ok().and_then(|every| u64::try_from(every.as_millis()).ok());
        let known = ledger.job(job.name)?;
        if known.as_ref().is_some_and(|known| known.every_ms == every_ms) {
            continue;
        }
        let fresh = Job { line: job.line.to_owned(), since: app.now(), ..Job::default() };
        ledger.keep(job.name, &Job { every_ms, ..known.unwrap_or(fresh) })?;
    }
    Ok(())
}

/// What makes it effective.
fn next(kind: ScheduleKind, dir: Option<&Path>, context: &str, jobs: &[&Scheduled]) -> Option<String> {
    if kind == ScheduleKind::Crontab {
        return None;
    }
    let timers = unit_names(context, jobs).join(" ");
    let user = if dir.is_some_and(|dir| dir.starts_with("/etc")) { "" } else { " --user" };
    Some(format!("systemctl{user} daemon-reload && systemctl{user} enable --now {timers}"))
}

/// The user's crontab; `None` when there is none.
fn from_crontab() -> anyhow::Result<Option<String>> {
    let output = Command::new("crontab").arg("-l").stdin(Stdio::null()).output().map_err(no_crontab)?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        false if said.contains("no crontab") => Ok(None),
        false => Err(Fault::new(Kind::Failed, "cannot read the crontab")
            .because(said.trim())
            .hint("--file FILE edits a crontab file, --as systemd makes timers")
            .into()),
    }
}

fn to_crontab(text: &str) -> anyhow::Result<()> {
    let mut child = Command::new("crontab").arg("-").stdin(Stdio::piped()).spawn().map_err(no_crontab)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    match child.wait()?.success() {
        true => Ok(()),
        false => Err(Fault::new(Kind::Failed, "the crontab was refused")
            .because("`crontab -` ended with an error")
            .hint("what it said is above; nothing was changed")
            .into()),
    }
}

fn no_crontab(error: io::Error) -> Fault {
    Fault::new(Kind::NotFound, "there is no crontab here")
        .because(format!("`crontab` cannot be run: {error}"))
        .hint("--file FILE edits a crontab file, --as systemd makes timers")
}

/// What is in the schedule now.
#[derive(Serialize)]
struct Installed {
    changed: bool,
    files: Vec<String>,
    /// What has to be typed to make it effective.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Report for Installed {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let word = if self.changed { "written" } else { "as wanted" };
        for file in &self.files {
            page.line(format_args!("{word}: {file}"))?;
        }
        match &self.next {
            Some(next) => page.line(format_args!("next: {next}")),
            None => Ok(()),
        }
    }
}

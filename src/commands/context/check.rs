//! `context check`: can this context be used from here, one line for each thing that can be wrong.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use serde::Serialize;

use crate::app::{App, Target};
use crate::client::{BreakGlass, Orchestrator, OrchestratorOptions};
use crate::error::{Explained, Kind, Outcome};
use crate::files::make_directory;
use crate::output::{Page, Report, Table};
use crate::platforms::Credentials;
use crate::services::{self, State};
use crate::settings::{Context, Manager, ServiceName, Services};
use crate::wire::{API_VERSIONS, Platform, ServiceInfo};

/// The whole check takes no longer.
const LIMIT: Duration = Duration::from_secs(3);
/// A clock this far from the server's makes times misleading.
const SKEW: Duration = Duration::from_secs(5);

/// `context check`.
#[derive(clap::Args, Debug)]
pub struct CheckArgs {
    /// Context to check; the one in use unless told
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verdict {
    Ok,
    Warn,
    Fail,
    Unknown,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "OK",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
            Verdict::Unknown => "UNKNOWN",
        }
    }
}

#[derive(Serialize)]
struct Line {
    name: Cow<'static, str>,
    state: Verdict,
    detail: String,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, name: &'static str, state: Verdict, detail: impl Into<String>) {
        self.0.push(Line { name: name.into(), state, detail: detail.into() });
    }
}

impl Report for Lines {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["WHAT", "STATE", "DETAIL"]);
        for line in &self.0 {
            table.row([&line.name, line.state.as_str(), &line.detail]);
        }
        page.table(&table)
    }
}

impl CheckArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let settings = &app.settings;
        let context = match &self.name {
            Some(name) => settings.named_context(name)?,
            None => settings.context()?,
        };
        let mut lines = Lines(Vec::new());
        let (unreachable, services) =
            tokio::join!(orchestrator_lines(app, context, &mut lines), service_lines(&context.services));
        lines.0.extend(services);
        lines.0.push(platform_line(app));
        lines.0.push(state_line(app));
        let failed = lines.0.iter().any(|l| matches!(l.state, Verdict::Fail | Verdict::Unknown));
        app.emit(&lines)?;
        Ok(match (unreachable, failed) {
            (true, _) => Outcome::Unreachable,
            (false, true) => Outcome::Problem,
            (false, false) => Outcome::Done,
        })
    }
}

/// The lines about the orchestrator; true when it did not answer.
async fn orchestrator_lines(app: &App, context: &Context, lines: &mut Lines) -> bool {
    let why = |error: &anyhow::Error| {
        let explained = Explained::from_error(error);
        let rest = explained.causes.into_iter().chain(explained.hint);
        std::iter::once(explained.message).chain(rest).collect::<Vec<_>>().join("; ")
    };
    let unknown = |lines: &mut Lines, names: &[&'static str], why: &str| {
        names.iter().for_each(|name| lines.add(name, Verdict::Unknown, why));
    };
    let target = match Target::resolve(app, context).await {
        Ok(target) => target,
        Err(error) => {
            let unreachable = Explained::from_error(&error).kind == Kind::Unreachable;
            lines.add(if unreachable { "URL" } else { "token" }, Verdict::Fail, why(&error));
            unknown(lines, &["clock", "environment"], "not asked");
            return unreachable;
        }
    };
    app.output.redactor.add(&target.token);
    let url = target.url.to_string();
    let has_token = target.token.is_some();
    let api = Orchestrator::new(OrchestratorOptions {
        url: target.url,
        token: target.token,
        context: context.name.clone(),
        timeout: LIMIT.min(app.settings.timeout.value),
        clock: app.clock.clone(),
        start_hint: target.start_hint,
        break_glass: BreakGlass::new(target.break_glass, app.settings.env.clone(), app.output.clone()),
    });
    let asked = app.now();
    let info = match api.info().await {
        Ok(info) => info,
        Err(error) => {
            let explained = Explained::from_error(&error);
            let unreachable = explained.kind == Kind::Unreachable;
            if explained.kind == Kind::NotAuthenticated {
                lines.add("URL", Verdict::Ok, format!("{url} answers"));
                let why = if has_token { why(&error) } else { format!("there is none; {}", why(&error)) };
                lines.add("token", Verdict::Fail, why);
                unknown(lines, &["clock", "environment"], "not told without a token");
            } else {
                lines.add("URL", Verdict::Fail, why(&error));
                unknown(lines, &["token", "clock", "environment"], "not asked");
            }
            return unreachable;
        }
    };
    let answered = app.now();
    lines.add("URL", Verdict::Ok, format!("{url} answers in {} ms", answered.since(asked).as_millis()));
    lines.0.push(version_line(&info));
    match (info.role, has_token) {
        (Some(role), _) => lines.add("token", Verdict::Ok, format!("role {role}")),
        (None, true) => lines.add("token", Verdict::Unknown, "the server does not say which role it has"),
        (None, false) => lines.add("token", Verdict::Warn, "there is none; only the monitoring answers are open"),
    }
    // Half the way back: the server read its clock somewhere in between.
    let here = asked + answered.since(asked) / 2;
    let (skew, word) =
        if info.now >= here { (info.now.since(here), "ahead") } else { (here.since(info.now), "behind") };
    let verdict = if skew > SKEW { Verdict::Warn } else { Verdict::Ok };
    lines.add("clock", verdict, format!("the server's is {:.1} s {word}", skew.as_secs_f64()));
    lines.0.push(environment_line(context, &info.environment));
    false
}

/// What runs the services, asked all at once.
async fn service_lines(services: &Services) -> Vec<Line> {
    let looks = services.iter().map(|service| async move {
        let seen = services::look(service, LIMIT).await;
        let state = match seen.state {
            State::Up => Verdict::Ok,
            State::Down => Verdict::Fail,
            // Whether it works is what the admin API says.
            State::Unknown if service.name == ServiceName::Orchestrator && !seen.is_over => Verdict::Ok,
            State::Unknown => Verdict::Unknown,
        };
        let detail = match service.manager {
            Manager::Command(_) => format!("{}, {}", service.manager, seen.detail),
            Manager::Unit { .. } => seen.detail,
        };
        Line { name: format!("service {}", service.name).into(), state, detail }
    });
    join_all(looks).await
}

fn version_line(info: &ServiceInfo) -> Line {
    let (lowest, highest) = API_VERSIONS;
    let shared = info.api_min <= highest && lowest <= info.api_max;
    let detail = format!(
        "{} {} speaks v{} to v{}, this opsctl v{lowest} to v{highest}",
        info.name, info.version, info.api_min, info.api_max
    );
    Line { name: "version".into(), state: if shared { Verdict::Ok } else { Verdict::Fail }, detail }
}

fn environment_line(context: &Context, theirs: &str) -> Line {
    let (state, detail) = match context.environment.as_deref() {
        Some(ours) if ours.eq_ignore_ascii_case(theirs) => (Verdict::Ok, theirs.to_owned()),
        Some(ours) => {
            let detail = format!("the context says `{ours}`, the server `{theirs}`; changes are refused");
            (Verdict::Fail, detail)
        }
        None => (Verdict::Ok, format!("{theirs} (the context names none)")),
    };
    Line { name: "environment".into(), state, detail }
}

/// Which platforms this environment has credentials for; what they are good for is `opsctl test auth`.
fn platform_line(app: &App) -> Line {
    let credentials = Credentials::from_env(app.settings.env.as_map());
    let (have, lack): (Vec<Platform>, Vec<Platform>) = Platform::ALL.iter().copied().partition(|p| credentials.has(*p));
    let words = |list: &[Platform]| list.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let detail = match (have.is_empty(), lack.is_empty()) {
        (true, _) => "none in this environment; the orchestrator uses its own".to_owned(),
        (false, true) => format!("{} set", words(&have)),
        (false, false) => format!("{} set; {} not set", words(&have), words(&lack)),
    };
    Line { name: "platform keys".into(), state: Verdict::Ok, detail }
}

/// Whether the journal can be written.
fn state_line(app: &App) -> Line {
    let place = app.settings.places.journal();
    let probe = place.join(format!(".probe-{}", uuid::Uuid::now_v7().simple()));
    let written = make_directory(&place).and_then(|()| Ok(std::fs::write(&probe, b"")?));
    let _ = std::fs::remove_file(&probe);
    match written {
        Ok(()) => Line { name: "state folder".into(), state: Verdict::Ok, detail: place.display().to_string() },
        Err(error) => Line { name: "state folder".into(), state: Verdict::Fail, detail: format!("{error:#}") },
    }
}

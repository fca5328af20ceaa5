//! Where the context in use points right now.

use anyhow::Context as _;
use reqwest::Url;

use super::App;
use crate::aliases::Class;
use crate::error::Fault;
use crate::sandbox;
use crate::secret::Secret;
use crate::server::tokens::BREAK_GLASS_FILE;
use crate::settings::{Context, ContextKind, CredentialSource, ServiceName, read_secret_file};
use crate::wire::Component;

/// Changes that go straight to a platform.
const DIRECT: [&str; 7] = [
    "notion delete|remove-duplicates",
    "trello archive|archive-duplicates",
    "drive delete",
    "sheets delete-row",
    "slack send",
    "undo",
    "history resume",
];

/// A resolved context.
#[derive(Clone, Debug)]
pub struct Target {
    /// Base URL of the admin API.
    pub url: Url,
    /// Bearer token.
    pub token: Option<Secret>,
    /// Where the token for a lockdown comes from.
    pub break_glass: CredentialSource,
    /// What starts it, for the hint when nobody answers.
    pub start_hint: String,
}

impl Target {
    /// Resolves a context. For the sandbox the clock is moved to the sandbox's; a verb that only looks starts one where
    /// none runs.
    pub async fn resolve(app: &App, context: &Context) -> anyhow::Result<Self> {
        if context.kind == ContextKind::Sandbox {
            return of_sandbox(app).await;
        }
        let url = context.url.clone().ok_or_else(|| {
            Fault::usage(format!("the context `{}` has no url", context.name)).hint("add `url` to it in config.toml")
        })?;
        let token = context
            .credential
            .resolve(&app.settings.env)
            .await
            .with_context(|| format!("cannot get the token of context `{}`", context.name))?;
        Ok(Target { url, token, break_glass: context.break_glass.clone(), start_hint: start_hint(app, context) })
    }
}

/// What starts an orchestrator that does not answer. A change is told what can be changed without it, too.
fn start_hint(app: &App, context: &Context) -> String {
    let service = |name| context.services.get(name);
    let mut hint = match (service(ServiceName::Orchestrator), context.kind) {
        (Some(process), _) => format!("start it with `opsctl restart orchestrator` ({})", process.manager),
        (None, ContextKind::Local) => "start it with `opsctl serve`, or practise with `--context sandbox`".to_owned(),
        (None, _) => format!("check the connection with `opsctl context check {}`", context.name),
    };
    if matches!(app.class, Some(Class::M1 | Class::M2 | Class::M3)) {
        let parts = Component::ALL.iter().filter(|part| service(ServiceName::Part(**part)).is_some());
        let restarts: Vec<String> = parts.map(|part| format!("restart {part}")).collect();
        let verbs: Vec<&str> = restarts.iter().map(String::as_str).chain(DIRECT).collect();
        hint.push_str(&format!("; without it work {}", verbs.join(", ")));
    }
    hint
}

impl App {
    /// Follows the clock of the sandbox in use, whether that runs or not: what was written down has its times.
    pub fn follow_sandbox_clock(&self) {
        if self.settings.context().is_ok_and(|context| context.kind == ContextKind::Sandbox)
            && let Ok(Some(record)) = sandbox::Record::read(&sandbox::Place::of(&self.settings.places))
        {
            self.clock.set_offset_ms(record.clock_offset_ms);
        }
    }

    /// The sandbox in use, when it was killed: what it left is read by its clock.
    pub fn killed_sandbox(&self) -> Option<sandbox::Record> {
        self.settings.context().ok().filter(|context| context.kind == ContextKind::Sandbox)?;
        let record = sandbox::Record::read(&sandbox::Place::of(&self.settings.places)).ok().flatten()?;
        let record = Some(record).filter(sandbox::Record::is_broken)?;
        self.clock.set_offset_ms(record.clock_offset_ms);
        Some(record)
    }
}

async fn of_sandbox(app: &App) -> anyhow::Result<Target> {
    let place = sandbox::Place::of(&app.settings.places);
    let looks = matches!(app.class, Some(Class::R | Class::Rx));
    let record = sandbox::lifecycle::for_command(&place, &app.settings.env, looks, |text| app.note(text)).await?;
    app.clock.set_offset_ms(record.clock_offset_ms);
    let url = crate::settings::parse_url(&record.url)?;
    let token = Some(read_secret_file(&record.token_file)?);
    let break_glass = CredentialSource { file: Some(place.data().join(BREAK_GLASS_FILE)), ..Default::default() };
    Ok(Target { url, token, break_glass, start_hint: "start it with `opsctl sandbox up`".into() })
}

//! Where the context in use points right now.

use anyhow::Context as _;
use reqwest::Url;
use serde::Deserialize;

use crate::clock::Clock;
use crate::error::{Fault, Kind};
use crate::secret::Secret;
use crate::settings::{Context, ContextKind, Settings, read_secret_file};

/// A resolved context.
#[derive(Clone, Debug)]
pub struct Target {
    /// Base URL of the admin API.
    pub url: Url,
    /// Bearer token.
    pub token: Option<Secret>,
    /// What starts it, for the hint when nobody answers.
    pub start_hint: String,
}

/// What is read of the sandbox's record; the sandbox writes it and owns the rest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SandboxRecord {
    url: String,
    token_file: std::path::PathBuf,
    #[serde(default)]
    clock_offset_ms: i64,
}

impl Target {
    /// Resolves a context. For the sandbox the clock is moved to the sandbox's.
    pub async fn resolve(settings: &Settings, context: &Context, clock: &Clock) -> anyhow::Result<Self> {
        if context.kind == ContextKind::Sandbox {
            return of_sandbox(settings, clock);
        }
        let url = context.url.clone().ok_or_else(|| {
            Fault::usage(format!("the context `{}` has no url", context.name)).hint("add `url` to it in config.toml")
        })?;
        let token = context
            .credential
            .resolve(&settings.env)
            .await
            .with_context(|| format!("cannot get the token of context `{}`", context.name))?;
        let start_hint = match context.kind {
            ContextKind::Local => "start it with `opsctl serve`, or practise with `--context sandbox`".to_owned(),
            _ => format!("check the connection with `opsctl context check {}`", context.name),
        };
        Ok(Target { url, token, start_hint })
    }
}

fn of_sandbox(settings: &Settings, clock: &Clock) -> anyhow::Result<Target> {
    let path = settings.places.sandbox_record();
    let not_running =
        || Fault::new(Kind::Unreachable, "the sandbox is not running").hint("start it with `opsctl sandbox up`");
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(not_running().into()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let record: SandboxRecord = serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged", path.display()))
        .map_err(|error| error.context(not_running().because("its record cannot be read")))?;
    clock.set_offset_ms(record.clock_offset_ms);
    let url = crate::settings::parse_url(&record.url)?;
    let token = Some(read_secret_file(&record.token_file)?);
    Ok(Target { url, token, start_hint: "start it with `opsctl sandbox up`".into() })
}

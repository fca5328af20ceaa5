//! Where the context in use points right now.

use anyhow::Context as _;
use reqwest::Url;

use super::App;
use crate::aliases::Class;
use crate::error::Fault;
use crate::sandbox;
use crate::secret::Secret;
use crate::server::tokens::BREAK_GLASS_FILE;
use crate::settings::{Context, ContextKind, CredentialSource, read_secret_file};

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
        let start_hint = match context.kind {
            ContextKind::Local => "start it with `opsctl serve`, or practise with `--context sandbox`".to_owned(),
            _ => format!("check the connection with `opsctl context check {}`", context.name),
        };
        Ok(Target { url, token, break_glass: context.break_glass.clone(), start_hint })
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

//! How the platforms are reached straight from this machine: their addresses and the credentials for them.
//!
//! Nothing here asks the orchestrator, so all of it works while that is down. Credentials come from the context's
//! `keys` (a command, a file with mode 0600), then from the environment. The sandbox brings its own, with what
//! `config set` changed since: real keys are nothing for a simulator.

use std::collections::BTreeMap;

use anyhow::Context as _;

use super::App;
use crate::aliases::Class;
use crate::notify::{Notifier, ROUTING_KEY};
use crate::platforms::pace::Pacing;
use crate::platforms::{Clients, Credentials, Endpoints, Observer};
use crate::sandbox::{self, Place, Record};
use crate::secret::Secret;
use crate::server::config;
use crate::settings::ContextKind;

impl App {
    /// Where the platforms of the context in use are.
    pub async fn endpoints(&self) -> anyhow::Result<Endpoints> {
        let context = self.settings.context()?;
        Ok(match context.kind {
            ContextKind::Sandbox => self.simulators().await?.endpoints,
            _ => context.platforms.clone(),
        })
    }

    /// The variables that platforms are reached with, by the runbook's names. The values may be secrets; the filter
    /// knows them when this returns.
    pub async fn platform_env(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let context = self.settings.context()?;
        let mut env = match context.kind {
            ContextKind::Sandbox => {
                self.simulators().await?;
                of_sandbox(&Place::of(&self.settings.places))?
            }
            _ => self.settings.env.as_map().clone(),
        };
        for (name, source) in &context.keys {
            let secret = source.resolve(&self.settings.env).await;
            if let Some(secret) = secret.with_context(|| format!("cannot get {name} of context `{}`", context.name))? {
                env.insert(name.clone(), secret.expose().to_owned());
            }
        }
        self.output.redactor.add(&Credentials::from_env(&env).secrets());
        Ok(env)
    }

    /// The platforms of the context in use, spoken to directly.
    pub async fn platforms(&self) -> anyhow::Result<Clients> {
        let credentials = Credentials::from_env(&self.platform_env().await?);
        Ok(Clients::new(self.endpoints().await?, credentials, self.clock.clone()))
    }

    /// The same, at the pace that each credential bears: for whatever changes something or takes more than a few
    /// requests. The clients are made once, so that all parts of a command share connections and pace.
    pub async fn paced(&self) -> anyhow::Result<Clients> {
        let make = || async {
            let credentials = Credentials::from_env(&self.platform_env().await?);
            let pacing = Pacing::new(Some(self.settings.places.limits()), self.clock.clone());
            let rates = self.settings.context()?.pace.iter().map(|(platform, rate)| (*platform, *rate));
            let (endpoints, clock) = (self.endpoints().await?, self.clock.clone());
            anyhow::Ok(Clients::paced(endpoints, credentials, clock, pacing.rates(rates)))
        };
        self.paced.get_or_try_init(make).await.cloned()
    }

    /// What tells people: Slack with the context's key, PagerDuty with its routing key.
    pub async fn notifier(&self) -> anyhow::Result<Notifier> {
        let env = self.platform_env().await?;
        let routing_key = env.get(ROUTING_KEY).filter(|key| !key.is_empty()).map(Secret::new);
        self.output.redactor.add(&routing_key);
        let clients = Clients::new(self.endpoints().await?, Credentials::from_env(&env), self.clock.clone());
        Ok(Notifier::new(clients, routing_key))
    }

    /// [`App::platforms`], with somebody who is told of every request.
    pub async fn observed_platforms(&self, observer: Observer) -> anyhow::Result<Clients> {
        let credentials = Credentials::from_env(&self.platform_env().await?);
        Ok(Clients::observed(self.endpoints().await?, credentials, self.clock.clone(), observer))
    }

    /// The sandbox whose simulators are asked; its orchestrator may be down.
    async fn simulators(&self) -> anyhow::Result<Record> {
        let place = Place::of(&self.settings.places);
        let looks = matches!(self.class, Some(Class::R | Class::Rx));
        let note = |text: &str| self.note(text);
        let record = sandbox::lifecycle::for_platforms(&place, &self.settings.env, looks, note).await?;
        self.clock.set_offset_ms(record.clock_offset_ms);
        Ok(record)
    }
}

/// What the sandbox's orchestrator was started with, and what was set there since.
fn of_sandbox(place: &Place) -> anyhow::Result<BTreeMap<String, String>> {
    let path = place.environment();
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut env: BTreeMap<String, String> =
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
    env.extend(config::kept_values(&place.data())?);
    Ok(env)
}

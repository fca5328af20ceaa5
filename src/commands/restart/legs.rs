//! What a restart consists of: which service, in which order, by which way.

use std::time::Duration;

use crate::app::App;
use crate::error::{Explained, Fault, Kind};
use crate::guard::Step;
use crate::services;
use crate::settings::{ContextKind, Service, ServiceName, Services, format_duration};
use crate::wire::{Component, ComponentStatus, ConfigEntry, ExecutorStatus};

use super::report;

/// A look for the plan takes no longer.
const LOOK: Duration = Duration::from_secs(5);

/// What the orchestrator says about its parts.
pub(super) struct Known {
    parts: Vec<ComponentStatus>,
    executors: Vec<ExecutorStatus>,
    pub(super) settings: Vec<ConfigEntry>,
}

impl Known {
    /// Asks it; its executors only when one of them is to be restarted.
    pub(super) async fn ask(app: &App, names: &[ServiceName]) -> anyhow::Result<Self> {
        let orchestrator = app.orchestrator().await?;
        let parts = orchestrator.components().await?;
        let one = names.iter().any(|name| matches!(name, ServiceName::Executor(_)));
        let executors = if one { orchestrator.executors().await? } else { Vec::new() };
        Ok(Known { parts, executors, settings: orchestrator.config().await?.settings })
    }

    fn now(&self, name: ServiceName) -> String {
        let seen = match name {
            ServiceName::Part(part) => {
                let status = self.parts.iter().find(|s| s.component == part);
                status.map(|s| format!("{}, {}", s.state, s.detail))
            }
            ServiceName::Executor(platform) => {
                let status = self.executors.iter().find(|e| e.platform == platform);
                status.map(|e| format!("{}, {} in flight, circuit {}", e.state, e.in_flight, e.circuit))
            }
            ServiceName::Orchestrator => None,
        };
        seen.unwrap_or_else(|| "state unknown".to_owned())
    }

    /// Settings that take effect with a restart of this part.
    fn pending(&self, name: ServiceName) -> Vec<String> {
        let ServiceName::Part(part) = name else { return Vec::new() };
        let waiting = self.settings.iter().filter(|s| s.restart.as_str() == part.as_str());
        let words = |s: &ConfigEntry| {
            Some(format!("{} {} -> {}", s.name, s.value.as_deref().unwrap_or("unset"), s.pending.as_ref()?))
        };
        waiting.filter_map(words).collect()
    }
}

/// How one service is restarted.
#[derive(Debug, PartialEq)]
enum Way<'a> {
    /// By the orchestrator, over the admin API.
    Api,
    /// By what runs it.
    Managed(&'a Service),
    /// With the orchestrator's process, which this restart starts: it is only waited for.
    Comes,
}

/// One service of a restart.
#[derive(Debug, PartialEq)]
pub(super) struct Leg<'a> {
    pub(super) name: ServiceName,
    way: Way<'a>,
}

/// The services in their order. Where the orchestrator is silent and something runs its process, that is started once
/// what it leans on is up; parts that are its own come up with it.
pub(super) fn of<'a>(services: &'a Services, names: &[ServiceName], silent: bool) -> Vec<Leg<'a>> {
    let leg = |name: &ServiceName| Leg { name: *name, way: services.get(*name).map_or(Way::Api, Way::Managed) };
    let mut legs: Vec<Leg<'a>> = names.iter().map(leg).collect();
    let process = services.get(ServiceName::Orchestrator).filter(|_| silent && names.len() > 1);
    if let Some(process) = process {
        const LEANED_ON: [ServiceName; 2] =
            [ServiceName::Part(Component::Database), ServiceName::Part(Component::Eventbus)];
        let (mut before, after): (Vec<Leg<'a>>, Vec<Leg<'a>>) =
            legs.into_iter().partition(|leg| LEANED_ON.contains(&leg.name) && leg.service().is_some());
        before.push(Leg { name: ServiceName::Orchestrator, way: Way::Managed(process) });
        before.extend(after.into_iter().map(|leg| if leg.is_api() { Leg { way: Way::Comes, ..leg } } else { leg }));
        legs = before;
    }
    legs
}

impl<'a> Leg<'a> {
    /// What runs it, unless it is the orchestrator's own.
    pub(super) fn service(&self) -> Option<&'a Service> {
        match self.way {
            Way::Managed(service) => Some(service),
            Way::Api | Way::Comes => None,
        }
    }

    /// Whether the orchestrator restarts it.
    pub(super) fn is_api(&self) -> bool {
        self.way == Way::Api
    }

    /// Whether it comes up with the orchestrator's process.
    pub(super) fn comes(&self) -> bool {
        self.way == Way::Comes
    }

    /// What restarts it, for people and programs.
    pub(super) fn via(&self) -> String {
        match self.way {
            Way::Api => "api".into(),
            Way::Managed(service) => service.manager.to_string(),
            Way::Comes => ServiceName::Orchestrator.to_string(),
        }
    }

    /// What would be sent or run.
    pub(super) async fn steps(&self, known: Option<&Known>, drain: Duration) -> Vec<Step> {
        let name = self.name;
        match self.way {
            Way::Comes => Vec::new(),
            Way::Managed(service) => {
                let seen = services::look(service, LOOK).await;
                // Whether the process is there is said by its answers, where nothing else says it.
                let answers = match known {
                    Some(_) => "up, the admin API answers",
                    None => "the admin API does not answer",
                };
                let told = format!("{}, {}", seen.state.as_str(), seen.detail);
                let of_api =
                    name == ServiceName::Orchestrator && seen.state == services::State::Unknown && !seen.is_over;
                let now = format!("{}: {}", report::name(name), if of_api { answers } else { &told });
                let ready = format!("ready within {}", format_duration(service.timeout));
                let lines = services::restart_lines(service);
                let last = lines.len() - 1;
                let evidence = |index: usize| match (index == last, index) {
                    (true, 0) => format!("{now}; {ready}"),
                    (true, _) => ready.clone(),
                    (false, _) => format!("{now}; drain up to {}", format_duration(drain)),
                };
                lines.into_iter().enumerate().map(|(i, line)| Step::run(line).because(evidence(i))).collect()
            }
            Way::Api => {
                let path = match name {
                    ServiceName::Executor(platform) => format!("executors/{platform}"),
                    other => format!("components/{other}"),
                };
                let now = known.map_or_else(|| "state unknown".to_owned(), |known| known.now(name));
                let mut evidence = format!("{}: {now}; drain up to {}", report::name(name), format_duration(drain));
                let pending = known.map(|known| known.pending(name)).unwrap_or_default();
                if !pending.is_empty() {
                    evidence.push_str(&format!("; takes effect: {}", pending.join(", ")));
                }
                vec![Step::new(format!("POST /admin/v1/{path}/restart")).because(evidence)]
            }
        }
    }
}

/// The orchestrator is needed and does not answer: with what can be done without it, or what to write so that it can.
pub(super) fn unreachable(app: &App, error: anyhow::Error, legs: &[Leg<'_>]) -> anyhow::Result<anyhow::Error> {
    let context = app.settings.context()?;
    if Explained::from_error(&error).kind != Kind::Unreachable || context.kind == ContextKind::Sandbox {
        return Ok(error);
    }
    let own: Vec<String> = legs.iter().filter(|leg| leg.is_api()).map(|leg| report::name(leg.name)).collect();
    let because = format!("nothing but the orchestrator restarts the {} here", own.join(", "));
    let hint = match context.services.get(ServiceName::Orchestrator) {
        Some(process) => format!("start it with `opsctl restart orchestrator` ({})", process.manager),
        None => {
            let possible: Vec<String> = legs
                .iter()
                .filter(|leg| leg.service().is_some())
                .map(|leg| format!("`opsctl restart {}`", leg.name))
                .collect();
            let works = if possible.is_empty() { String::new() } else { format!("{} works; ", possible.join(", ")) };
            format!("{works}{}", how_to_configure(app, ServiceName::Orchestrator)?)
        }
    };
    Ok(match error.downcast::<Fault>() {
        Ok(fault) => fault.because(because).hint(hint).into(),
        Err(error) => error.context(Fault::new(Kind::Unreachable, because).hint(hint)),
    })
}

/// What to write into `config.toml` so that a service can be restarted and checked without the orchestrator.
pub(in crate::commands) fn how_to_configure(app: &App, name: ServiceName) -> anyhow::Result<String> {
    let context = &app.settings.context()?.name;
    let unit = match name {
        ServiceName::Orchestrator => "opsctl.service".to_owned(),
        other => format!("{other}.service"),
    };
    Ok(format!(
        "write what runs it into {}: [contexts.{context}.services.{name}] with unit = \"{unit}\", or restart = [\"...\"] \
         and check = [\"...\"]; `opsctl restart orchestrator --help` has an example",
        app.settings.places.config_file().display(),
    ))
}

#[cfg(test)]
mod tests {
    use super::super::ORDER;
    use super::*;
    use crate::settings::{CommandLine, Manager};

    fn managed(name: ServiceName) -> Service {
        Service {
            name,
            manager: Manager::Command(CommandLine::Shell("true".into())),
            check: None,
            drain: None,
            timeout: Duration::from_secs(1),
            stable: Duration::ZERO,
        }
    }

    fn words(legs: &[Leg<'_>]) -> Vec<String> {
        let word = |leg: &Leg<'_>| match leg.way {
            Way::Api => "api",
            Way::Managed(_) => "managed",
            Way::Comes => "comes",
        };
        legs.iter().map(|leg| format!("{} {}", leg.name, word(leg))).collect()
    }

    #[test]
    fn what_nobody_else_runs_is_the_orchestrators_own() {
        let none = Services::default();
        assert_eq!(of(&none, &ORDER, true).iter().filter(|leg| leg.is_api()).count(), 5);
        let eventbus = Services::for_tests([managed(ServiceName::Part(Component::Eventbus))]);
        assert_eq!(
            words(&of(&eventbus, &ORDER, false)),
            ["database api", "eventbus managed", "queue api", "executors api", "workers api"]
        );
    }

    #[test]
    fn a_dead_orchestrator_is_started_after_what_it_leans_on() {
        let all =
            [ServiceName::Orchestrator, ServiceName::Part(Component::Eventbus), ServiceName::Part(Component::Workers)];
        let services = Services::for_tests(all.map(managed));
        assert_eq!(
            words(&of(&services, &ORDER, true)),
            [
                "eventbus managed",
                "orchestrator managed",
                "database comes",
                "queue comes",
                "executors comes",
                "workers managed"
            ]
        );
        assert_eq!(words(&of(&services, &ORDER, false))[0], "database api", "one that answers is not started");
        assert_eq!(words(&of(&services, &ORDER[2..3], true)), ["queue api"], "nothing else than was asked for");
    }
}

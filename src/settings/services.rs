//! What runs the orchestrator and its parts, and how that is asked: `[contexts.NAME.services.SERVICE]` in `config.toml`.
//!
//! A part without a table is the orchestrator's own and is reached over the admin API. `docs/services.md` has examples.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::context::CommandLine;
use super::duration::parse_duration;
use crate::error::Fault;
use crate::wire::{Component, Platform};

/// How long a service may take to be ready again unless told.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long it has to stay ready unless told: one that dies at once is not mistaken for one that came back.
const STABLE: Duration = Duration::from_secs(2);

/// A service that is restarted and checked on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceName {
    /// The orchestrator's process.
    Orchestrator,
    /// One of its parts.
    Part(Component),
    /// One platform's executor.
    Executor(Platform),
}

impl ServiceName {
    /// All of them: the process, the parts in the order of a full restart, the executors.
    pub fn all() -> impl Iterator<Item = ServiceName> {
        let parts = Component::ALL.iter().copied().map(ServiceName::Part);
        let executors = Platform::ALL.iter().copied().map(ServiceName::Executor);
        std::iter::once(ServiceName::Orchestrator).chain(parts).chain(executors)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceName::Orchestrator => f.pad("orchestrator"),
            ServiceName::Part(part) => f.pad(part.as_str()),
            ServiceName::Executor(platform) => f.pad(&format!("executor-{platform}")),
        }
    }
}

impl FromStr for ServiceName {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        ServiceName::all().find(|name| name.to_string() == text).ok_or_else(|| {
            let names: Vec<String> = ServiceName::all().map(|name| name.to_string()).collect();
            let fault = Fault::usage(format!("there is no service `{text}`"));
            let fault = match crate::aliases::nearest(text, names.iter().map(String::as_str)) {
                Some(near) => fault.because(format!("did you mean `{near}`?")),
                None => fault,
            };
            fault.because(format!("there are {}", names.join(", ")))
        })
    }
}

/// What a service is restarted through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Manager {
    /// A systemd unit.
    Unit {
        /// Its name: `postgresql.service`.
        name: String,
        /// Whether it is one of the user's own, not the system's.
        user: bool,
    },
    /// A command that ends with 0 once it has been told to restart.
    Command(CommandLine),
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Manager::Unit { name, user: false } => write!(f, "unit {name}"),
            Manager::Unit { name, user: true } => write!(f, "user unit {name}"),
            Manager::Command(line) => write!(f, "command `{line}`"),
        }
    }
}

/// One service and what runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Which one.
    pub name: ServiceName,
    /// What it is restarted through.
    pub manager: Manager,
    /// A command that ends with 0 while the service works.
    pub check: Option<CommandLine>,
    /// A command that has work in flight finished before the restart.
    pub drain: Option<CommandLine>,
    /// How long it may take to be ready again.
    pub timeout: Duration,
    /// How long it has to stay ready.
    pub stable: Duration,
}

/// The services of a context that something other than the admin API restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services(BTreeMap<ServiceName, Service>);

impl Services {
    /// The service, if `config.toml` says what runs it.
    pub fn get(&self, name: ServiceName) -> Option<&Service> {
        self.0.get(&name)
    }

    /// All of them, the process first, then in the order of a full restart.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.0.values()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one with these, for tests.
    #[cfg(test)]
    pub fn for_tests(all: impl IntoIterator<Item = Service>) -> Self {
        Services(all.into_iter().map(|service| (service.name, service)).collect())
    }
}

/// `[contexts.NAME.services.SERVICE]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ServiceTable {
    unit: Option<String>,
    #[serde(default)]
    user: bool,
    restart: Option<CommandLine>,
    check: Option<CommandLine>,
    drain: Option<CommandLine>,
    timeout: Option<String>,
    stable: Option<String>,
}

impl ServiceTable {
    fn into_service(self, name: ServiceName) -> Result<Service, Fault> {
        let manager = match (self.unit, self.restart) {
            (Some(name), None) => {
                ensure_unit(&name)?;
                Manager::Unit { name, user: self.user }
            }
            (None, Some(_)) if self.user => return Err(Fault::usage("`user` belongs to a `unit`")),
            (None, Some(line)) => Manager::Command(line),
            (Some(_), Some(_)) => return Err(Fault::usage("it has a `unit` and a `restart`; one of them restarts it")),
            (None, None) => {
                let why = "it has neither a systemd `unit` nor a `restart` command";
                return Err(Fault::usage(why));
            }
        };
        let lines = [("check", &self.check), ("drain", &self.drain)];
        let restart = match &manager {
            Manager::Command(line) => Some(line),
            Manager::Unit { .. } => None,
        };
        for (key, line) in lines.map(|(key, line)| (key, line.as_ref())).into_iter().chain([("restart", restart)]) {
            if line.is_some_and(CommandLine::is_empty) {
                return Err(Fault::usage(format!("its `{key}` is empty")));
            }
        }
        // The admin API itself says whether the orchestrator is there.
        if restart.is_some() && self.check.is_none() && name != ServiceName::Orchestrator {
            return Err(Fault::usage("it has a `restart` and no `check`")
                .because("without a command that ends with 0 while it works, nobody can tell when it is ready"));
        }
        let time = |key: &str, text: Option<String>, default| match text {
            Some(text) => parse_duration(&text)
                .map_err(|fault| Fault::usage(format!("`{key} = \"{text}\"`")).because(fault.causes.join(", "))),
            None => Ok(default),
        };
        let (timeout, stable) = (time("timeout", self.timeout, TIMEOUT)?, time("stable", self.stable, STABLE)?);
        if stable >= timeout {
            return Err(Fault::usage("it would have to be `stable` for longer than its `timeout`"));
        }
        Ok(Service { name, manager, check: self.check, drain: self.drain, timeout, stable })
    }
}

/// What systemd takes for a unit's name, and not for a flag or a path.
fn ensure_unit(name: &str) -> Result<(), Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if name.is_empty() || name.starts_with('-') || !name.chars().all(good) {
        return Err(Fault::usage(format!("`{name}` cannot be a unit's name")).because("write it as `systemctl` does"));
    }
    Ok(())
}

/// The services of a context's table; the fault names the one that is wrong.
pub(super) fn services(tables: BTreeMap<String, ServiceTable>) -> Result<Services, Fault> {
    let mut all = BTreeMap::new();
    for (key, table) in tables {
        let wrong = |mut fault: Fault| {
            fault.message = format!("services.{key}: {}", fault.message);
            fault
        };
        let name = key.parse::<ServiceName>().map_err(wrong)?;
        all.insert(name, table.into_service(name).map_err(wrong)?);
    }
    Ok(Services(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Services, Fault> {
        services(toml::from_str(text).unwrap())
    }

    #[test]
    fn a_unit_a_command_and_their_times() {
        let text = "[database]\nunit = \"postgresql@16-main.service\"\ntimeout = \"2m\"\n[orchestrator]\n\
                    restart = [\"docker\", \"compose\", \"restart\", \"orchestrator\"]\n[executor-notion]\n\
                    unit = \"notion.service\"\nuser = true\nstable = \"5s\"\n";
        let all = read(text).unwrap();
        let names: Vec<String> = all.iter().map(|service| service.name.to_string()).collect();
        assert_eq!(names, ["orchestrator", "database", "executor-notion"]);
        let database = all.get(ServiceName::Part(Component::Database)).unwrap();
        assert_eq!((database.timeout, database.stable), (Duration::from_secs(120), STABLE));
        assert_eq!(database.manager.to_string(), "unit postgresql@16-main.service");
        let orchestrator = all.get(ServiceName::Orchestrator).unwrap();
        assert_eq!(orchestrator.manager.to_string(), "command `docker compose restart orchestrator`");
        let executor = all.get(ServiceName::Executor(Platform::Notion)).unwrap();
        assert_eq!(executor.manager.to_string(), "user unit notion.service");
    }

    #[test]
    fn what_is_wrong_is_named_with_the_service() {
        for (text, why) in [
            ("[databse]\nunit = \"x.service\"", "there is no service `databse`"),
            ("[queue]", "neither a systemd `unit` nor a `restart`"),
            ("[queue]\nunit = \"a\"\nrestart = [\"b\"]", "a `unit` and a `restart`"),
            ("[queue]\nrestart = [\"b\"]", "no `check`"),
            ("[queue]\nrestart = []\ncheck = [\"b\"]", "its `restart` is empty"),
            ("[queue]\nrestart = [\"b\"]\ncheck = \" \"", "its `check` is empty"),
            ("[queue]\nunit = \"--now\"", "cannot be a unit's name"),
            ("[queue]\nunit = \"a/../b\"", "cannot be a unit's name"),
            ("[queue]\nunit = \"a\"\ntimeout = \"10\"", "`timeout = \"10\"`"),
            ("[queue]\nunit = \"a\"\ntimeout = \"2s\"", "longer than its `timeout`"),
            ("[queue]\nrestart = [\"b\"]\ncheck = [\"c\"]\nuser = true", "`user` belongs to a `unit`"),
        ] {
            let fault = read(text).unwrap_err();
            assert!(fault.message.starts_with("services.") && fault.message.contains(why), "{text}: {fault:?}");
        }
        let fault = read("[databse]\nunit = \"x.service\"").unwrap_err();
        assert_eq!(fault.causes[0], "did you mean `database`?");
        assert!(fault.causes[1].contains("orchestrator, database, eventbus, queue, executors, workers, executor-"));
    }
}

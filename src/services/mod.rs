//! Restarting and checking services through whatever runs them: a systemd unit or a configured command.
//!
//! The orchestrator's own parts are the admin API's; this is for what has to work when that is dead. Which service is
//! run by what stands in the context ([`Service`]); who may do it is the guard's business.

mod ready;
mod run;
mod systemd;

pub use ready::{NotReady, Steady, until_ready};
pub use run::{NotRun, Ran, run};

use std::time::Duration;

use serde::Serialize;

use crate::error::{Fault, Kind};
use crate::guard::Approval;
use crate::settings::{Manager, Service, format_duration};

/// A single look takes no longer; one that does shows nothing.
pub const LOOK: Duration = Duration::from_secs(15);

/// How a service was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It works.
    Up,
    /// It does not.
    Down,
    /// Nobody could look.
    Unknown,
}

impl State {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Up => "up",
            State::Down => "down",
            State::Unknown => "unknown",
        }
    }
}

/// What a look showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How it is.
    pub state: State,
    /// What was seen, or why nobody could look.
    pub detail: String,
    /// Changes whenever it was started anew.
    pub life: Option<String>,
    /// Whether it will not come up by itself any more.
    pub is_over: bool,
}

impl Seen {
    /// Something that works, by this sign.
    pub fn up(detail: impl Into<String>) -> Self {
        Seen { state: State::Up, detail: detail.into(), life: None, is_over: false }
    }

    /// Something that does not work, by this sign.
    pub fn down(detail: impl Into<String>) -> Self {
        Seen { state: State::Down, ..Seen::up(detail) }
    }

    /// Nobody could look, and why.
    pub fn unknown(why: impl Into<String>) -> Self {
        Seen { state: State::Unknown, ..Seen::up(why) }
    }
}

/// The commands that a restart of this service runs, in order.
pub fn restart_lines(service: &Service) -> Vec<String> {
    let restart = match &service.manager {
        Manager::Unit { name, user } => systemd::restart(name, *user).to_string(),
        Manager::Command(line) => line.to_string(),
    };
    service.drain.iter().map(ToString::to_string).chain([restart]).collect()
}

/// How a service is now, by its manager and its check. A service whose only sign is its answer is `Unknown`.
pub async fn look(service: &Service, limit: Duration) -> Seen {
    let mut seen = match &service.manager {
        Manager::Unit { name, user } => systemd::look(name, *user, limit).await,
        Manager::Command(_) if service.check.is_none() => return Seen::unknown("it has no check"),
        Manager::Command(_) => Seen::up(""),
    };
    let Some(check) = service.check.as_ref().filter(|_| seen.state == State::Up) else { return seen };
    let answer = match run(check, limit).await {
        Ok(ran) if ran.success => Seen::up(format!("`{check}` is content")),
        Ok(ran) => Seen::down(format!("`{check}` ended with {}{}", ran.ended, ran.last_words())),
        Err(NotRun::TookTooLong(limit)) => {
            Seen::down(format!("`{check}` did not end within {}", format_duration(limit)))
        }
        Err(error) => Seen { is_over: true, ..Seen::unknown(error.why(check)) },
    };
    seen.state = answer.state;
    seen.is_over = answer.is_over;
    seen.detail = match seen.detail.is_empty() {
        true => answer.detail,
        false => format!("{}, {}", seen.detail, answer.detail),
    };
    seen
}

/// What a drain came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drain {
    /// There is no drain command.
    None,
    /// Work in flight has finished.
    Finished,
    /// It has not, and why; the restart goes on all the same.
    Unfinished(String),
}

/// Has work in flight finished, if the service says how. One whose command is missing is a mistake that stops the
/// restart before it has done anything.
pub async fn drain(_: &Approval, service: &Service, limit: Duration) -> Result<Drain, Fault> {
    let Some(line) = &service.drain else { return Ok(Drain::None) };
    match run(line, limit).await {
        Ok(ran) if ran.success => Ok(Drain::Finished),
        Ok(ran) => Ok(Drain::Unfinished(format!("its drain ended with {}{}", ran.ended, ran.last_words()))),
        Err(NotRun::TookTooLong(_)) => {
            Ok(Drain::Unfinished(format!("its drain did not end within {}", format_duration(limit))))
        }
        Err(error) => Err(Fault::new(Kind::Failed, format!("the {} was not drained", service.name))
            .because(error.why(line))
            .hint("correct `drain` in config.toml; nothing was restarted")),
    }
}

/// Tells the manager to restart the service. That it has done so does not mean that the service is ready.
pub async fn restart(_: &Approval, service: &Service) -> Result<(), Fault> {
    let line = match &service.manager {
        Manager::Unit { name, user } => systemd::restart(name, *user),
        Manager::Command(line) => line.clone(),
    };
    let fault = |kind| Fault::new(kind, format!("the {} was not restarted", service.name));
    match run(&line, service.timeout).await {
        Ok(ran) if ran.success => Ok(()),
        Ok(ran) => Err(ran
            .said()
            .into_iter()
            .fold(fault(Kind::Failed).because(format!("`{line}` ended with {}", ran.ended)), |fault, said| {
                fault.because(said)
            })
            .hint(look_closer(service))),
        Err(error @ NotRun::TookTooLong(_)) => {
            Err(fault(Kind::Unreachable).because(error.why(&line)).hint(look_closer(service)))
        }
        Err(error) => Err(fault(Kind::Failed).because(error.why(&line)).hint(match service.manager {
            Manager::Unit { .. } => "run this where systemd runs the service, or give it a `restart` command instead",
            Manager::Command(_) => "correct `restart` in config.toml, or install what it runs",
        })),
    }
}

/// Where a person sees more of what went wrong.
pub fn look_closer(service: &Service) -> String {
    match (&service.manager, &service.check) {
        (Manager::Unit { name, user }, _) => {
            let whose = if *user { "--user " } else { "" };
            format!("see what it says: journalctl {whose}-n 30 -u {name}")
        }
        (Manager::Command(_), Some(check)) => format!("see what its check says: {check}"),
        (Manager::Command(line), None) => format!("see what its manager says: {line}"),
    }
}

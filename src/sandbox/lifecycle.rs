//! Up and down, from a command's side.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;

use super::place::Place;
use super::process::{self, Process};
use super::record::{Record, State};
use super::remote::Remote;
use crate::error::{Fault, Kind};
use crate::settings::{Env, parse_duration};

/// Variable that shortens the time after which an unused sandbox stops, for tests.
pub const IDLE_VARIABLE: &str = "OPSCTL_SANDBOX_IDLE";
/// The time after which an unused sandbox stops.
pub const IDLE: Duration = Duration::from_secs(30 * 60);
/// Longest start: the orchestrator's, the first actions', and some air.
const UP_LIMIT: Duration = Duration::from_secs(60);
/// Longest end of the host: the orchestrator's drain and some air.
const DOWN_LIMIT: Duration = Duration::from_secs(30);
/// How long a host that does not listen may take to end.
const HOST_STOP: Duration = Duration::from_secs(2);
/// How often a start that somebody else makes is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long nobody uses a sandbox before it stops.
pub fn idle(env: &Env) -> Duration {
    env.non_empty(IDLE_VARIABLE).and_then(|text| parse_duration(text).ok()).unwrap_or(IDLE)
}

/// What `up` did.
#[derive(Debug)]
pub struct Up {
    /// What runs now.
    pub record: Record,
    /// What it started: nothing when all was there.
    pub started: Vec<&'static str>,
}

/// What `down` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Down {
    /// Nothing ran.
    AlreadySo,
    /// It was stopped and its state kept.
    Stopped,
    /// Something had been killed before; what was left was stopped.
    CleanedUp,
}

/// Starts what is missing. Only one of several commands does.
pub async fn up(place: &Place, env: &Env) -> anyhow::Result<Up> {
    let _lock = place.lock(UP_LIMIT + DOWN_LIMIT).await?;
    place.touch();
    if let Some(record) = Record::read(place).unwrap_or_default().filter(Record::host_runs)
        && let Some(up) = complete(place, record).await?
    {
        return Ok(up);
    }
    let said_before = process::length(&place.host_log());
    let host = spawn(place, env)?;
    wait_until_up(place, host, said_before).await.map(Up::whole)
}

impl Up {
    fn whole(record: Record) -> Self {
        Up { record, started: vec!["simulators", "traffic", "orchestrator"] }
    }
}

/// Completes a sandbox whose host runs; `None` when that has come to its end meanwhile.
async fn complete(place: &Place, record: Record) -> anyhow::Result<Option<Up>> {
    let host = record.host.context("the record names no process")?;
    match record.state {
        State::Up if record.serve_runs() => Ok(Some(Up { record, started: Vec::new() })),
        State::Up => {
            let control = Remote::control(&record.control_url, &record.control_token_file)?;
            match control.post::<serde_json::Value>("/host/serve", &()).await {
                Ok(_) => Ok(Some(Up { record: read(place)?, started: vec!["orchestrator"] })),
                // It may have begun to stop in this moment.
                Err(_) if host.gone(LOOK_EVERY).await => Ok(None),
                Err(error) => Err(error.context("cannot bring the orchestrator back")),
            }
        }
        // Its starter was killed; it goes on without.
        State::Starting => wait_until_up(place, host, 0).await.map(|record| Some(Up::whole(record))),
        State::Stopping | State::Down => {
            if !host.gone(DOWN_LIMIT).await {
                host.end(HOST_STOP).await;
            }
            Ok(None)
        }
    }
}

fn read(place: &Place) -> anyhow::Result<Record> {
    Record::read(place)?.with_context(|| format!("{} went away", place.record().display()))
}

/// Starts the host. It makes a session of its own, so neither this command nor its terminal matters to it.
fn spawn(place: &Place, env: &Env) -> anyhow::Result<Process> {
    let program = std::env::current_exe().context("cannot tell where this program is")?;
    let mut command = process::detached(&program, &place.host_log())?;
    command.current_dir(place.dir()).stdin(Stdio::null());
    command.args(["sandbox", "host", "--dir"]).arg(place.dir());
    command.env("OPSCTL_CONFIG_DIR", place.dir());
    command.args(["--idle", &format!("{}ms", idle(env).as_millis())]);
    let child = command.spawn().context("cannot start the sandbox")?;
    Process::of(child.id()).ok_or_else(|| did_not_start(&place.host_log(), 0).into())
}

async fn wait_until_up(place: &Place, host: Process, said_before: u64) -> anyhow::Result<Record> {
    let deadline = tokio::time::Instant::now() + UP_LIMIT;
    loop {
        let record = Record::read(place).unwrap_or_default().filter(|r| r.host == Some(host));
        if let Some(record) = record.filter(|r| r.state == State::Up) {
            return Ok(record);
        }
        if !host.is_alive() {
            return Err(did_not_start(&place.host_log(), said_before).into());
        }
        if tokio::time::Instant::now() >= deadline {
            let fault = did_not_start(&place.host_log(), said_before)
                .because(format!("not ready within {}s", UP_LIMIT.as_secs()));
            return Err(fault.into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn did_not_start(log: &Path, said_before: u64) -> Fault {
    process::explained_by(log, said_before, Fault::new(Kind::Failed, "the sandbox did not start"))
}

/// Stops everything, keeps the state, leaves no process.
pub async fn down(place: &Place) -> anyhow::Result<Down> {
    if !place.dir().exists() {
        return Ok(Down::AlreadySo);
    }
    let _lock = place.lock(UP_LIMIT + DOWN_LIMIT).await?;
    let Some(record) = Record::read(place)? else { return Ok(Down::AlreadySo) };
    let (broken, host) = (record.is_broken(), record.host.filter(Process::is_alive));
    if record.state == State::Down && host.is_none() {
        return Ok(Down::AlreadySo);
    }
    if let Some(host) = host {
        if let Ok(control) = Remote::control(&record.control_url, &record.control_token_file) {
            // One that does not listen is ended below.
            let _ = control.post::<serde_json::Value>("/host/down", &()).await;
        }
        if !host.gone(DOWN_LIMIT).await {
            host.end(HOST_STOP).await;
        }
    }
    if let Some(serve) = record.serve.filter(Process::is_alive) {
        serve.end(DOWN_LIMIT).await;
    }
    let after = read(place)?;
    if after.state != State::Down {
        Record { state: State::Down, host: None, serve: None, ..after }.write(place)?;
    }
    Ok(if broken { Down::CleanedUp } else { Down::Stopped })
}

/// The sandbox for a command that uses it. One that only looks starts a sandbox where none ran before or the last was
/// put down; one that was killed is an outage.
pub async fn for_command(place: &Place, env: &Env, looks: bool, note: impl Fn(&str)) -> anyhow::Result<Record> {
    for_use(place, env, looks, note, |record| !record.is_broken()).await
}

/// The same for a command that only talks to the simulators: the orchestrator may have been killed.
pub async fn for_platforms(place: &Place, env: &Env, looks: bool, note: impl Fn(&str)) -> anyhow::Result<Record> {
    for_use(place, env, looks, note, Record::host_runs).await
}

async fn for_use(
    place: &Place,
    env: &Env,
    looks: bool,
    note: impl Fn(&str),
    has_enough: fn(&Record) -> bool,
) -> anyhow::Result<Record> {
    let deadline = tokio::time::Instant::now() + UP_LIMIT;
    loop {
        let record = Record::read(place).map_err(|error| not_running().because(format!("{error:#}")))?;
        match record {
            Some(record) if record.is_broken() && !has_enough(&record) => return Err(killed(&record).into()),
            Some(record) if record.state == State::Up => {
                place.touch();
                return Ok(record);
            }
            // It will be one of the others soon.
            Some(record) if record.state != State::Down => {
                if tokio::time::Instant::now() >= deadline {
                    return Err(not_running().because("it takes long to start or to stop").into());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            _ if looks => {
                note("starting the sandbox; `opsctl sandbox down` stops it");
                return up(place, env).await.map(|up| up.record);
            }
            _ => return Err(not_running().into()),
        }
    }
}

fn not_running() -> Fault {
    Fault::new(Kind::Unreachable, "the sandbox is not running").hint("start it with `opsctl sandbox up`")
}

fn killed(record: &Record) -> Fault {
    let (what, process) = match (record.host_runs(), record.serve_runs()) {
        (true, _) => ("the sandbox's orchestrator does not answer", record.serve),
        (false, _) => ("the sandbox does not answer", record.host),
    };
    let number = process.map(|p| format!("process {} ended without `opsctl sandbox down`", p.pid));
    Fault::new(Kind::Unreachable, what)
        .because(number.unwrap_or_else(|| "it was never ready".into()))
        .hint("bring back what is missing with `opsctl sandbox up`")
}

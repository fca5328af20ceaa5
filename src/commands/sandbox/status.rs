//! `sandbox status`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::fault::words;
use super::place;
use crate::app::{App, WatchArgs};
use crate::error::Outcome;
use crate::output::{Page, Report, Table};
use crate::sandbox::ground::Ground;
use crate::sandbox::process::Process;
use crate::sandbox::record::{Record, State, Traffic};
use crate::sandbox::sim::{ActiveFault, Api, ApiStats};
use crate::sandbox::{lifecycle, placeholders};
use crate::settings::format_duration;
use crate::wire::Time;

/// Show what runs, where, and what to fill into the runbook's lines
///
/// With `-o json` there is one live example under `placeholders` for each placeholder of the runbook, keyed by its name.
/// It ends with 7 when something of the sandbox was killed.
///
/// Example: opsctl sandbox status -o json
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    watch: WatchArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    /// `up`, `starting`, `stopping`, `down`, or `broken` when something of it was killed.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    dir: PathBuf,
    data_dir: PathBuf,
    logs: BTreeMap<&'static str, PathBuf>,
    processes: Vec<Member>,
    /// Address of each simulator.
    platforms: BTreeMap<Api, String>,
    /// What came in at each simulator.
    requests: BTreeMap<Api, Requests>,
    clock: Clock,
    #[serde(skip_serializing_if = "Option::is_none")]
    traffic: Option<Traffic>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scenario: Option<String>,
    faults: Vec<ActiveFault>,
    placeholders: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<Time>,
    /// Milliseconds until it stops by itself if nobody uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    stops_in_ms: Option<u64>,
}

#[derive(Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Requests {
    total: u64,
    in_flight: u64,
    max_in_flight: u64,
}

#[derive(Serialize)]
struct Member {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    running: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Clock {
    now: Time,
    offset_ms: i64,
}

impl Report for Status {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Sandbox", self.state)?;
        if let Some(url) = &self.url {
            page.pair("Orchestrator", url)?;
        }
        for member in &self.processes {
            let pid = member.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
            page.pair(member.name, format_args!("{}{pid}", if member.running { "running" } else { "not running" }))?;
        }
        page.pair("Data", self.data_dir.display())?;
        for (name, path) in &self.logs {
            page.pair(&format!("Log of {name}"), path.display())?;
        }
        let ahead = Duration::from_millis(u64::try_from(self.clock.offset_ms).unwrap_or(0));
        page.pair("Clock", format_args!("{} ahead", format_duration(ahead)))?;
        if let Some(traffic) = self.traffic {
            let words = if traffic.on { format!("{} actions a minute", traffic.per_minute) } else { "off".into() };
            page.pair("Traffic", words)?;
        }
        if let Some(scenario) = &self.scenario {
            page.pair("Scenario", scenario)?;
        }
        if let Some(left) = self.stops_in_ms {
            let left = Duration::from_secs(left / 1000);
            page.pair("Stops by itself in", format_duration(left))?;
        }
        if !self.platforms.is_empty() {
            page.blank()?;
            let mut table = Table::new(&["PLATFORM", "ADDRESS", ">REQUESTS", ">IN FLIGHT", ">MOST AT ONCE", "FAULTS"]);
            for (api, address) in &self.platforms {
                let faults: Vec<String> =
                    self.faults.iter().filter(|f| f.api == *api).map(|f| words(f.spec.fault)).collect();
                let Requests { total, in_flight, max_in_flight } = self.requests.get(api).copied().unwrap_or_default();
                let [total, in_flight, most] = [total, in_flight, max_in_flight].map(|n| n.to_string());
                table.row([api.to_string(), address.clone(), total, in_flight, most, faults.join(", ")]);
            }
            page.table(&table)?;
        }
        if !self.placeholders.is_empty() {
            page.blank()?;
            let mut table = Table::new(&["PLACEHOLDER", "LIVE EXAMPLE"]);
            for (name, value) in &self.placeholders {
                table.row([format!("<{name}>"), value.clone()]);
            }
            page.table(&table)?;
        }
        Ok(())
    }
}

impl StatusArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        app.watch(&self.watch, || look(app)).await
    }
}

async fn look(app: &App) -> anyhow::Result<(Status, Outcome)> {
    let place = place(app);
    let record = Record::read(&place)?;
    let offset_ms = record.as_ref().map_or(0, |r| r.clock_offset_ms);
    app.clock.set_offset_ms(offset_ms);
    let mut status = Status {
        state: state(record.as_ref()),
        url: None,
        dir: place.dir().to_owned(),
        data_dir: place.data(),
        logs: BTreeMap::from([
            ("host", place.host_log()),
            ("orchestrator", place.data().join("logs")),
            ("member2", place.member2_log()),
        ]),
        processes: Vec::new(),
        platforms: BTreeMap::new(),
        requests: BTreeMap::new(),
        clock: Clock { now: app.now(), offset_ms },
        traffic: None,
        scenario: None,
        faults: Vec::new(),
        placeholders: BTreeMap::new(),
        started_at: None,
        stops_in_ms: None,
    };
    let Some(record) = record.filter(|r| r.state != State::Down) else { return Ok((status, Outcome::Done)) };
    status.url = Some(record.url.clone());
    status.processes = vec![member("Simulators", record.host), member("serve", record.serve)];
    status.started_at = Some(record.started_at);
    status.traffic = Some(record.traffic);
    status.scenario = record.scenario.clone();
    if let Ok(ground) = Ground::enter(&place) {
        status.platforms = record.ports.iter().map(|(api, port)| (*api, format!("http://127.0.0.1:{port}"))).collect();
        status.faults = ground.faults().await.unwrap_or_default();
        let count =
            |s: ApiStats| Requests { total: s.requests, in_flight: s.in_flight, max_in_flight: s.max_in_flight };
        let stats = ground.stats().await.unwrap_or_default();
        status.requests = stats.into_iter().map(|(api, stats)| (api, count(stats))).collect();
        status.placeholders = placeholders::live(&ground).await;
        let left = place.unused_for().map(|unused| lifecycle::idle(&app.settings.env).saturating_sub(unused));
        status.stops_in_ms = left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
    }
    let outcome = if record.is_broken() { Outcome::Unreachable } else { Outcome::Done };
    if outcome == Outcome::Unreachable {
        app.note("something of the sandbox was killed; `opsctl sandbox up` brings it back");
    }
    Ok((status, outcome))
}

fn state(record: Option<&Record>) -> &'static str {
    match record {
        None => "down",
        Some(record) if record.is_broken() => "broken",
        Some(record) => match record.state {
            State::Starting => "starting",
            State::Up => "up",
            State::Stopping => "stopping",
            State::Down => "down",
        },
    }
}

fn member(name: &'static str, process: Option<Process>) -> Member {
    Member { name, pid: process.map(|p| p.pid), running: process.is_some_and(|p| p.is_alive()) }
}

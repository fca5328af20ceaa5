//! What the sandbox says about itself: where things listen, which processes it has, how its clock stands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::place::{Place, write_private};
use super::process::Process;
use super::sim::Api;
use crate::error::{Fault, Kind};
use crate::platforms::Endpoints;
use crate::wire::Time;

/// How far the sandbox is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being started.
    Starting,
    /// Ready, unless something was killed.
    Up,
    /// Being put down.
    Stopping,
    /// Put down cleanly.
    Down,
}

/// How much goes on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Whether anything does.
    pub on: bool,
    /// Actions a minute.
    pub per_minute: u32,
}

impl Default for Traffic {
    fn default() -> Self {
        Traffic { on: true, per_minute: 60 }
    }
}

/// `record.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// How far it is.
    pub state: State,
    /// When it was started last.
    pub started_at: Time,
    /// Base URL of the admin API.
    pub url: String,
    /// Where its admin token is.
    pub token_file: PathBuf,
    /// How far its clock is ahead, in milliseconds. It never goes back.
    pub clock_offset_ms: i64,
    /// Base URL of the control API.
    pub control_url: String,
    /// Where the control API's token is.
    pub control_token_file: PathBuf,
    /// The simulators, with the traffic.
    pub host: Option<Process>,
    /// The orchestrator.
    pub serve: Option<Process>,
    /// Where each platform is simulated.
    pub ports: BTreeMap<Api, u16>,
    /// The platforms' addresses, for clients.
    pub endpoints: Endpoints,
    /// How much goes on by itself.
    pub traffic: Traffic,
    /// Objects of the platforms, keyed by the runbook's placeholders that they can stand for.
    #[serde(default)]
    pub objects: BTreeMap<String, String>,
    /// The scenario that was brought about last and not cleared.
    #[serde(default)]
    pub scenario: Option<String>,
    /// What it is about.
    #[serde(default)]
    pub scene: Scene,
}

/// What a scenario is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    /// What the runbook's placeholders stand for in it.
    pub placeholders: BTreeMap<String, String>,
    /// Its workflows.
    pub workflows: Vec<String>,
}

impl Record {
    /// Reads it; `None` when there never was a sandbox.
    pub fn read(place: &Place) -> anyhow::Result<Option<Self>> {
        let path = place.record();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        serde_json::from_slice(&text).map(Some).map_err(|error| {
            Fault::new(Kind::Failed, format!("{} is damaged", path.display()))
                .because(error.to_string())
                .hint("`opsctl sandbox up` writes a new one")
                .into()
        })
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, place: &Place) -> anyhow::Result<()> {
        let path = place.record();
        let text = serde_json::to_vec_pretty(self)?;
        write_private(&path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether the simulators run.
    pub fn host_runs(&self) -> bool {
        self.host.is_some_and(|p| p.is_alive())
    }

    /// Whether the orchestrator runs.
    pub fn serve_runs(&self) -> bool {
        self.serve.is_some_and(|p| p.is_alive())
    }

    /// Whether it was up, and something of it ended on its own.
    pub fn is_broken(&self) -> bool {
        match self.state {
            State::Down => false,
            State::Up => !self.host_runs() || !self.serve_runs(),
            State::Starting | State::Stopping => !self.host_runs(),
        }
    }
}

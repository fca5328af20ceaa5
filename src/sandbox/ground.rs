//! A running sandbox as a command sees it: its record, both of its servers, and what may be done with them.

use serde_json::{Value, json};
use std::time::Duration;

use super::host::{AdvanceBy, Look, SceneSet, TrafficSet};
use super::place::Place;
use super::record::{Record, Scene, State, Traffic};
use super::remote::Remote;
use super::sim::{ActiveFault, Api, FaultSpec, Stats};
use crate::error::{Fault, Kind};
use crate::http::Method;
use crate::secret::Secret;

/// A running sandbox.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Its folder.
    pub place: Place,
    /// What it says about itself.
    pub record: Record,
    /// The simulators and the host.
    pub control: Remote,
    /// The orchestrator.
    pub admin: Remote,
}

#[derive(serde::Deserialize)]
struct FaultList {
    faults: Vec<ActiveFault>,
}

impl Ground {
    /// The sandbox that runs here. It is never started for this.
    pub fn enter(place: &Place) -> anyhow::Result<Self> {
        let stopped = |why: &str| {
            Fault::new(Kind::Unreachable, "the sandbox is not running")
                .because(why)
                .hint("start it with `opsctl sandbox up`")
        };
        let record = Record::read(place)?.ok_or_else(|| stopped("it was never started"))?;
        if record.state != State::Up {
            return Err(stopped("it was put down, or is not up yet").into());
        }
        if !record.host_runs() {
            return Err(stopped("its simulators were killed").into());
        }
        place.touch();
        let control = Remote::control(&record.control_url, &record.control_token_file)?;
        let admin = Remote::admin(&record.url, &record.token_file)?;
        Ok(Ground { place: place.clone(), record, control, admin })
    }

    /// Where a scenario leaves a good key of a platform.
    pub fn key_file(&self, platform: crate::wire::Platform) -> std::path::PathBuf {
        self.place.keys().join(format!("{platform}.key"))
    }

    /// The faults that are on.
    pub async fn faults(&self) -> anyhow::Result<Vec<ActiveFault>> {
        Ok(self.control.get::<FaultList>("/faults").await?.faults)
    }

    /// What came in at the simulators since they first started.
    pub async fn stats(&self) -> anyhow::Result<Stats> {
        #[derive(serde::Deserialize)]
        struct Answer {
            apis: Stats,
        }
        Ok(self.control.get::<Answer>("/stats").await?.apis)
    }

    /// Puts a fault on.
    pub async fn fault(&self, api: Api, spec: &FaultSpec) -> anyhow::Result<Vec<ActiveFault>> {
        let mut body = serde_json::to_value(spec)?;
        body["api"] = json!(api);
        Ok(self.control.post::<FaultList>("/faults", &body).await?.faults)
    }

    /// Takes faults off, of one API or all, and tells how many.
    pub async fn clear_faults(&self, api: Option<Api>) -> anyhow::Result<u64> {
        let path = api.map_or_else(|| "/faults".to_owned(), |api| format!("/faults?api={api}"));
        let answer: Value = self.control.send(Method::DELETE, &path, None::<&()>).await?;
        Ok(answer["cleared"].as_u64().unwrap_or(0))
    }

    /// Changes the traffic.
    pub async fn traffic(&self, on: Option<bool>, per_minute: Option<u32>) -> anyhow::Result<Traffic> {
        let look: Look = self.control.post("/host/traffic", &TrafficSet { on, per_minute }).await?;
        Ok(look.traffic)
    }

    /// Moves the clock of everybody, and tells how far it is ahead now, in milliseconds.
    pub async fn advance(&self, by: Duration) -> anyhow::Result<i64> {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        let look: Look = self.control.post("/host/advance", &AdvanceBy { by_ms }).await?;
        Ok(look.clock_offset_ms)
    }

    /// Notes which scenario is on, and what it is about.
    pub async fn set_scenario(&self, name: Option<&str>, scene: Scene) -> anyhow::Result<()> {
        let set = SceneSet { name: name.map(str::to_owned), scene };
        self.control.post::<Look>("/host/scenario", &set).await.map(|_| ())
    }

    /// Ends the credentials of a platform, and tells how many there were.
    pub async fn revoke(&self, api: Api) -> anyhow::Result<u64> {
        let answer: Value = self.control.post("/credentials/revoke", &json!({"api": api})).await?;
        Ok(answer["revoked"].as_u64().unwrap_or(0))
    }

    /// Makes a good credential of a platform, the same for whoever asks again in the same `name`.
    pub async fn mint_once(&self, api: Api, name: &str) -> anyhow::Result<Secret> {
        let answer: Value = self.control.post("/credentials/mint", &json!({"api": api, "once": name})).await?;
        let value = answer["value"].as_str().map(Secret::new);
        value.ok_or_else(|| anyhow::anyhow!("the simulator of {api} made no credential"))
    }

    /// Ends one credential of a platform.
    pub async fn revoke_one(&self, api: Api, value: &Secret) -> anyhow::Result<()> {
        let body = json!({"api": api, "value": value.expose()});
        self.control.post::<Value>("/credentials/revoke", &body).await.map(|_| ())
    }

    /// Makes a good credential of a platform.
    pub async fn mint(&self, api: Api) -> anyhow::Result<String> {
        let answer: Value = self.control.post("/credentials/mint", &json!({"api": api})).await?;
        let value = answer["value"].as_str().map(str::to_owned);
        value.ok_or_else(|| anyhow::anyhow!("the simulator of {api} made no credential"))
    }
}

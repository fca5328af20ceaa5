//! Simulators of Notion, Trello, Slack, Drive, Sheets, Google's token endpoint and keys, PagerDuty's events and the
//! vendors' status feeds.
//!
//! Each listens on a loopback port of its own and keeps state: what is written is there when it is read. Shapes,
//! error bodies, pagination, limits and quirks are the vendors' own. Faults can be put on any of them, and
//! [`Sims::stats`] tells what came in, so that a test can prove what was done, and that nothing was done twice.
//!
//! A [`Sims`] lives in the process that starts it; other processes steer it through its control API (`control`).

mod api;
mod bulk;
mod control;
mod door;
mod drive;
mod faults;
mod google;
mod hub;
mod ids;
mod keys;
mod limits;
mod notion;
mod pagerduty;
mod sheets;
mod slack;
mod snapshot;
mod stats;
mod status;
#[cfg(test)]
mod tests;
mod trello;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::routing::any;
use tokio::runtime::Handle;
use tokio::sync::watch;

pub use api::Api;
pub use bulk::Bulk;
pub use control::TOKEN_HEADER;
pub use faults::{ActiveFault, Fault, FaultSpec};
pub use limits::LimitSettings;
pub use stats::{ApiStats, Stats};
pub use status::{Feed, Indicator};

use crate::clock::Clock;
use crate::platforms::Endpoints;
use crate::secret::Secret;
use door::{Connection, Door, lock};
use hub::Hub;

/// How simulators are started.
#[derive(Clone, Debug)]
pub struct SimOptions {
    /// The time they live in; shared with whoever moves it.
    pub clock: Clock,
    /// Same seed, same ids, tokens and content.
    pub seed: u64,
    /// Whether rate limits are enforced.
    pub limits: bool,
    /// Milliseconds that each answer takes, at least and at most.
    pub latency: RangeInclusive<u64>,
    /// Ports to listen on; any free one for those that are not named.
    pub ports: BTreeMap<Api, u16>,
    /// Port of the control API; 0 takes any free one.
    pub control_port: u16,
    /// What the control API asks for in [`TOKEN_HEADER`]; made up when absent.
    pub control_token: Option<Secret>,
    /// Where [`Sims::save`] of the control API puts the state.
    pub state_file: Option<PathBuf>,
    /// More routes for the control API, behind the same token.
    pub more_control: Router,
}

impl Default for SimOptions {
    /// What tests want: no limits, no waiting, free ports.
    fn default() -> Self {
        SimOptions {
            clock: Clock::system(),
            seed: 1,
            limits: false,
            latency: 0..=0,
            ports: BTreeMap::new(),
            control_port: 0,
            control_token: None,
            state_file: None,
            more_control: Router::new(),
        }
    }
}

/// Running simulators. Dropping it closes every port.
pub struct Sims {
    hub: Arc<Hub>,
    control: Door,
    control_token: Secret,
    runtime: Handle,
}

impl Sims {
    /// Starts simulators with fresh content.
    pub async fn start(options: SimOptions) -> anyhow::Result<Self> {
        let contents = snapshot::Contents::fresh(options.seed, options.clock.now());
        Self::launch(options, contents)
    }

    /// Starts simulators with the state that [`Sims::save`] left. The state's seed wins over the options'.
    pub async fn load(path: &Path, options: SimOptions) -> anyhow::Result<Self> {
        let contents = snapshot::Contents::read(path)
            .with_context(|| format!("cannot restore the simulators from {}", path.display()))?;
        Self::launch(options, contents)
    }

    fn launch(options: SimOptions, contents: snapshot::Contents) -> anyhow::Result<Self> {
        let mut doors = BTreeMap::new();
        for api in Api::ALL {
            let port = options.ports.get(&api).copied().unwrap_or(0);
            let door = Door::open_at(port).with_context(|| format!("cannot listen for {api} on port {port}"))?;
            doors.insert(api, door);
        }
        let control = Door::open_at(options.control_port)
            .with_context(|| format!("cannot listen for control on port {}", options.control_port))?;
        let hub = Arc::new(contents.into_hub(&options, doors)?);
        let token = options.control_token.unwrap_or_else(|| Secret::new(format!("{:032x}", fastrand::u128(..))));
        for api in Api::ALL {
            let app = Router::new().fallback(any(hub::answer)).with_state((Arc::clone(&hub), api));
            serve(hub.doors[&api].clone(), app, hub.stop.subscribe());
        }
        let address = control.address();
        let steering =
            control::Steering { hub: Arc::clone(&hub), token: token.clone(), address, state_file: options.state_file };
        serve(control.clone(), control::router(steering, options.more_control), hub.stop.subscribe());
        Ok(Sims { hub, control, control_token: token, runtime: Handle::current() })
    }

    /// Where an API listens: `http://127.0.0.1:PORT`.
    pub fn url(&self, api: impl Into<Api>) -> String {
        format!("http://{}", self.hub.doors[&api.into()].address())
    }

    /// Addresses for the platform clients.
    pub fn endpoints(&self) -> Endpoints {
        let (drive, google, status) = (self.url(Api::Drive), self.url(Api::Google), self.url(Api::Status));
        Endpoints {
            notion: format!("{}/v1", self.url(Api::Notion)),
            trello: format!("{}/1", self.url(Api::Trello)),
            slack: format!("{}/api", self.url(Api::Slack)),
            drive: format!("{drive}/drive/v3"),
            drive_upload: format!("{drive}/upload/drive/v3"),
            sheets: format!("{}/v4", self.url(Api::Sheets)),
            google_token: format!("{google}/token"),
            google_tokeninfo: format!("{google}/tokeninfo"),
            google_iam: format!("{google}/v1"),
            pagerduty: format!("{}/v2", self.url(Api::PagerDuty)),
            status_notion: format!("{status}/notion/api/v2/status.json"),
            status_trello: format!("{status}/trello/api/v2/status.json"),
            status_slack: format!("{status}/slack/api/v2.0.0/current"),
            status_google: format!("{status}/google/appsstatus/dashboard/incidents.json"),
        }
    }

    /// The ports in use, to start the next simulators on the same ones.
    pub fn ports(&self) -> BTreeMap<Api, u16> {
        self.hub.doors.iter().map(|(api, door)| (*api, door.address().port())).collect()
    }

    /// Where the control API listens.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.control.address())
    }

    /// What the control API asks for in [`TOKEN_HEADER`].
    pub fn control_token(&self) -> &Secret {
        &self.control_token
    }

    /// Puts a fault on an API and tells its id.
    pub fn fault(&self, api: impl Into<Api>, fault: impl Into<FaultSpec>) -> anyhow::Result<u64> {
        let _guard = self.runtime.enter();
        self.hub.add_fault(api.into(), fault.into())
    }

    /// Takes all faults off an API.
    pub fn clear(&self, api: impl Into<Api>) -> anyhow::Result<()> {
        let _guard = self.runtime.enter();
        let api = api.into();
        self.hub.clear_faults(|f| f.api == api).map(|_| ())
    }

    /// Takes all faults off.
    pub fn clear_all(&self) -> anyhow::Result<()> {
        let _guard = self.runtime.enter();
        self.hub.clear_faults(|_| true).map(|_| ())
    }

    /// The faults that are on.
    pub fn faults(&self) -> Vec<ActiveFault> {
        lock(&self.hub.faults).list()
    }

    /// What came in, by API.
    pub fn stats(&self) -> Stats {
        lock(&self.hub.stats).clone()
    }

    /// What came in at one API.
    pub fn stats_of(&self, api: impl Into<Api>) -> ApiStats {
        lock(&self.hub.stats).get(&api.into()).cloned().unwrap_or_default()
    }

    /// Starts counting anew.
    pub fn reset_stats(&self) {
        self.hub.reset_stats();
    }

    /// Changes the rate limits; running windows go on.
    pub fn set_limits(&self, limits: LimitSettings) {
        *lock(&self.hub.limits) = limits;
    }

    /// The rate limits in force.
    pub fn limits(&self) -> LimitSettings {
        lock(&self.hub.limits).clone()
    }

    /// Changes how many milliseconds each answer takes, at least and at most.
    pub fn set_latency(&self, millis: RangeInclusive<u64>) {
        *lock(&self.hub.latency) = millis;
    }

    /// Changes what a vendor's status feed says: `notion`, `trello`, `slack` or `google`.
    pub fn set_feed(&self, vendor: &str, feed: Feed) -> anyhow::Result<()> {
        lock(&self.hub.feeds).set(vendor, feed, self.hub.clock.now()).map_err(anyhow::Error::msg)
    }

    /// Whether Drive refuses a service account files outside the shared drive, as Google does. Off at first.
    pub fn refuse_own_storage(&self, refuse: bool) {
        lock(&self.hub.drive).no_own_storage = refuse;
    }

    /// The environment an orchestrator needs to work with these simulators. The service account's key file is
    /// written into `key_dir` with mode 0600.
    pub fn credentials(&self, key_dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
        let token_uri = format!("{}/token", self.url(Api::Google));
        self.hub.environment(key_dir, &token_uri)
    }

    /// The client id and the secret of the Slack app, for `oauth.v2.access`.
    pub fn slack_app(&self) -> (String, Secret) {
        let keys = lock(&self.hub.keys);
        (keys.slack_client_id.clone(), Secret::new(keys.slack_client_secret.clone()))
    }

    /// Client id, secret and first refresh token of the Notion connection, for `oauth/token`.
    pub fn notion_app(&self) -> (String, Secret, Secret) {
        let keys = lock(&self.hub.keys);
        let refresh = keys.notion_refresh.last().map(|key| key.value.clone()).unwrap_or_default();
        (keys.notion_client_id.clone(), Secret::new(keys.notion_client_secret.clone()), Secret::new(refresh))
    }

    /// What PagerDuty's events have to carry.
    pub fn routing_key(&self) -> Secret {
        Secret::new(lock(&self.hub.pagerduty).routing_key.clone())
    }

    /// Writes where the simulators are and what they accept into a file with mode 0600, for other programs: the
    /// `endpoints`, the `control` API's address and token, the `environment` with the credentials, whose key file is put
    /// beside it, the `slackApp` and the routing key of `pagerduty`.
    pub fn introduce(&self, path: &Path) -> anyhow::Result<()> {
        let (slack_id, slack_secret) = self.slack_app();
        let description = serde_json::json!({
            "endpoints": self.endpoints(),
            "control": {"url": self.control_url(), "header": TOKEN_HEADER, "token": self.control_token.expose()},
            "environment": self.credentials(path.parent().unwrap_or(Path::new(".")))?,
            "slackApp": {"clientId": slack_id, "clientSecret": slack_secret.expose()},
            "pagerduty": {"routingKey": self.routing_key().expose()},
        });
        snapshot::write_private(path, &serde_json::to_vec_pretty(&description)?)
    }

    /// Ends every credential of an API that is good now, and tells how many there were.
    pub fn revoke(&self, api: impl Into<Api>) -> usize {
        lock(&self.hub.keys).revoke(api.into(), None)
    }

    /// Makes one more good credential; [`Sims::credentials`] hands out the newest.
    pub fn mint(&self, api: impl Into<Api>) -> Option<Secret> {
        lock(&self.hub.keys).mint(api.into(), self.hub.clock.now()).map(Secret::new)
    }

    /// What a platform holds, in the simulator's own shape: for comparing before and after.
    pub fn contents(&self, api: impl Into<Api>) -> anyhow::Result<serde_json::Value> {
        self.hub.contents(api.into())
    }

    /// Makes a database or a board with so many items, and tells its ids: `database` and `dataSources`, or `board` and
    /// `lists`.
    pub fn fill(&self, api: impl Into<Api>, bulk: &Bulk) -> anyhow::Result<serde_json::Value> {
        self.hub.fill(api.into(), bulk)
    }

    /// Writes the whole state into one file with mode 0600, in one step.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        self.hub.save(path).with_context(|| format!("cannot save the simulators to {}", path.display()))
    }

    /// Waits until the control API asks to stop.
    pub async fn stopped(&self) {
        let mut stop = self.hub.stop.subscribe();
        // An error means that the sender is gone, which is as good as stopped.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

impl Drop for Sims {
    /// The ports are free when this returns.
    fn drop(&mut self) {
        self.hub.stop.send_replace(true);
        self.hub.doors.values().chain([&self.control]).for_each(Door::close);
    }
}

/// Serves until the simulators stop; then the port closes, and with it what is open.
fn serve(door: Door, app: Router, mut stop: watch::Receiver<bool>) {
    tokio::spawn(async move {
        let service = app.into_make_service_with_connect_info::<Connection>();
        tokio::select! {
            _ = axum::serve(door.clone(), service) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        door.close();
    });
}

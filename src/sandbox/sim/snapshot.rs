//! The state as a whole: fresh, saved, restored.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::api::Api;
use super::bulk::Bulk;
use super::door::{Door, lock};
use super::drive::Drive;
use super::faults::{ActiveFault, FaultSpec, Faults};
use super::hub::Hub;
use super::keys::Keys;
use super::limits::{LimitSettings, Windows};
use super::notion::Notion;
use super::pagerduty::PagerDuty;
use super::sheets::Sheets;
use super::slack::Slack;
use super::stats::Stats;
use super::status::Feeds;
use super::trello::Trello;
use super::{SimOptions, google};
use crate::wire::Time;

/// Moves when the file's shape does.
const VERSION: u32 = 4;

/// Everything that is kept.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Contents {
    version: u32,
    seed: u64,
    keys: Keys,
    notion: Notion,
    trello: Trello,
    slack: Slack,
    drive: Drive,
    sheets: Sheets,
    pagerduty: PagerDuty,
    #[serde(default)]
    feeds: Feeds,
    #[serde(default)]
    faults: Vec<ActiveFault>,
    #[serde(default)]
    stats: Stats,
    /// Changed limits; the options' otherwise.
    #[serde(default)]
    limits: Option<LimitSettings>,
}

/// The same, borrowed from running simulators.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Borrowed<'a> {
    version: u32,
    seed: u64,
    keys: &'a Keys,
    notion: &'a Notion,
    trello: &'a Trello,
    slack: &'a Slack,
    drive: &'a Drive,
    sheets: &'a Sheets,
    pagerduty: &'a PagerDuty,
    feeds: &'a Feeds,
    faults: &'a [ActiveFault],
    stats: &'a Stats,
    limits: &'a LimitSettings,
}

impl Contents {
    pub(super) fn fresh(seed: u64, now: Time) -> Self {
        let (mut notion, mut trello, mut slack) = (Notion::new(seed), Trello::new(seed, now), Slack::new(seed));
        notion.furnish(now);
        trello.furnish(now);
        slack.furnish(now);
        let (keys, mut sheets) = (Keys::new(seed, now), Sheets::new(seed));
        let mut drive = Drive::new(seed, &keys.google_email);
        let log = sheets.furnish(now);
        drive.furnish(&log, now);
        Contents {
            version: VERSION,
            seed,
            keys,
            notion,
            trello,
            slack,
            drive,
            sheets,
            pagerduty: PagerDuty::new(seed),
            feeds: Feeds::default(),
            faults: Vec::new(),
            stats: Stats::new(),
            limits: None,
        }
    }

    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path)?;
        let mut contents: Contents = serde_json::from_slice(&text).context("the file is damaged")?;
        if contents.version != VERSION {
            bail!("the file has version {}, this program reads {VERSION}", contents.version);
        }
        contents.notion = contents.notion.restored();
        Ok(contents)
    }

    pub(super) fn into_hub(self, options: &SimOptions, doors: BTreeMap<Api, Door>) -> anyhow::Result<Hub> {
        let limits =
            self.limits.unwrap_or_else(|| LimitSettings { enabled: options.limits, ..LimitSettings::default() });
        let hub = Hub {
            clock: options.clock.clone(),
            seed: self.seed,
            latency: Mutex::new(options.latency.clone()),
            limits: Mutex::new(limits),
            windows: Mutex::new(Windows::default()),
            faults: Mutex::new(Faults::default()),
            stats: Mutex::new(self.stats),
            keys: Mutex::new(self.keys),
            notion: Mutex::new(self.notion),
            trello: Mutex::new(self.trello),
            slack: Mutex::new(self.slack),
            drive: Mutex::new(self.drive),
            sheets: Mutex::new(self.sheets),
            pagerduty: Mutex::new(self.pagerduty),
            feeds: Mutex::new(self.feeds),
            doors,
            stop: watch::Sender::new(false),
        };
        for fault in self.faults {
            hub.add_fault(fault.api, fault.spec)?;
        }
        Ok(hub)
    }
}

impl Hub {
    pub(super) fn save(&self, path: &Path) -> anyhow::Result<()> {
        let text = {
            // All locks at once, in the order in which requests take them: the state of one moment.
            let (notion, trello, slack) = (lock(&self.notion), lock(&self.trello), lock(&self.slack));
            let (drive, sheets, feeds) = (lock(&self.drive), lock(&self.sheets), lock(&self.feeds));
            let (pagerduty, keys, limits) = (lock(&self.pagerduty), lock(&self.keys), lock(&self.limits));
            let faults = lock(&self.faults).list();
            let mut stats = lock(&self.stats).clone();
            stats.values_mut().for_each(|stats| stats.in_flight = 0);
            serde_json::to_vec(&Borrowed {
                version: VERSION,
                seed: self.seed,
                keys: &keys,
                notion: &notion,
                trello: &trello,
                slack: &slack,
                drive: &drive,
                sheets: &sheets,
                pagerduty: &pagerduty,
                feeds: &feeds,
                faults: &faults,
                stats: &stats,
                limits: &limits,
            })?
        };
        write_private(path, &text)
    }

    /// Puts a fault on; `Down` shuts the door.
    pub(super) fn add_fault(&self, api: Api, spec: FaultSpec) -> anyhow::Result<u64> {
        spec.ensure_valid().map_err(anyhow::Error::msg)?;
        let id = lock(&self.faults).add(api, spec);
        self.settle_doors()?;
        Ok(id)
    }

    /// Takes faults off, and tells how many.
    pub(super) fn clear_faults(&self, which: impl Fn(&ActiveFault) -> bool) -> anyhow::Result<usize> {
        let cleared = lock(&self.faults).clear(which);
        self.settle_doors()?;
        Ok(cleared)
    }

    fn settle_doors(&self) -> anyhow::Result<()> {
        for (api, door) in &self.doors {
            let down = lock(&self.faults).is_down(*api);
            let moved = if down { door.shut() } else { door.open() };
            moved.with_context(|| format!("cannot {} the {api} port", if down { "shut" } else { "open" }))?;
        }
        Ok(())
    }

    /// Makes content in bulk.
    pub(super) fn fill(&self, api: Api, bulk: &Bulk) -> anyhow::Result<serde_json::Value> {
        bulk.ensure_valid().map_err(anyhow::Error::msg)?;
        match api {
            Api::Notion => Ok(lock(&self.notion).fill(bulk, self.clock.now())),
            Api::Trello => Ok(lock(&self.trello).fill(bulk, self.clock.now())),
            other => bail!("{other} is not filled in bulk; notion and trello are"),
        }
    }

    /// What a platform holds, in the simulator's own shape: for comparing before and after.
    pub(super) fn contents(&self, api: Api) -> anyhow::Result<serde_json::Value> {
        Ok(match api {
            Api::Notion => serde_json::to_value(&*lock(&self.notion))?,
            Api::Trello => serde_json::to_value(&*lock(&self.trello))?,
            Api::Slack => serde_json::to_value(&*lock(&self.slack))?,
            Api::Drive => serde_json::to_value(&*lock(&self.drive))?,
            Api::Sheets => serde_json::to_value(&*lock(&self.sheets))?,
            Api::PagerDuty => serde_json::to_value(&*lock(&self.pagerduty))?,
            Api::Status => serde_json::to_value(&*lock(&self.feeds))?,
            // Credentials are no content.
            Api::Google => bail!("{api} holds credentials only"),
        })
    }

    pub(super) fn reset_stats(&self) {
        for stats in lock(&self.stats).values_mut() {
            let in_flight = stats.in_flight;
            *stats = super::stats::ApiStats { in_flight, max_in_flight: in_flight, ..Default::default() };
        }
    }

    /// What an orchestrator's environment says about these simulators.
    pub(super) fn environment(&self, key_dir: &Path, token_uri: &str) -> anyhow::Result<BTreeMap<String, String>> {
        let keys = lock(&self.keys);
        let current = |api| keys.current(api).unwrap_or_default().to_owned();
        let mut env = BTreeMap::from([
            ("NOTION_API_KEY".to_owned(), current(Api::Notion)),
            ("TRELLO_API_KEY".to_owned(), keys.trello_key.clone()),
            ("TRELLO_TOKEN".to_owned(), current(Api::Trello)),
            ("SLACK_BOT_TOKEN".to_owned(), current(Api::Slack)),
        ]);
        if let Some(refresh) = keys.google_refresh.iter().rev().find(|k| !k.revoked) {
            env.insert("GOOGLE_CLIENT_ID".into(), keys.google_client_id.clone());
            env.insert("GOOGLE_CLIENT_SECRET".into(), keys.google_client_secret.clone());
            env.insert("GOOGLE_REFRESH_TOKEN".into(), refresh.value.clone());
        }
        if let Some(id) = keys.current(Api::Google) {
            let path = key_dir.join("service-account.json");
            write_private(&path, google::key_file(&keys, id, token_uri).as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            env.insert("GOOGLE_SERVICE_ACCOUNT_KEY".into(), path.to_string_lossy().into_owned());
        }
        drop(keys);
        let defaults = [
            lock(&self.notion).defaults(),
            lock(&self.trello).defaults(),
            lock(&self.slack).defaults(),
            lock(&self.drive).defaults(),
            lock(&self.sheets).defaults(),
        ];
        env.extend(defaults.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)));
        Ok(env)
    }
}

/// Writes a file that only its owner may read; readers see the old one or the new one, never half.
pub(super) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    let _ = std::fs::remove_file(&partial);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    Ok(())
}

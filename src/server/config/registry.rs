//! Every setting with where its value comes from, what waits for a restart, and what goes back by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::{Fault, Kind as FaultKind};
use crate::files;
use crate::redact::Redactor;
use crate::secret::Secret;
use crate::server::backend::{Answer, ChangeContext, ConfigOps, Refusal};
use crate::wire::{ConfigEntry, ConfigFinding, ConfigReport, ConfigSet, ErrorCode, RestartPart, Severity, Time};

use super::checks;
use super::defs::{self, Def};
use super::effective::Effective;
use super::slot::{Kept, Slot};

type KeptFile = BTreeMap<String, Kept>;

/// Plain values that were set at run time.
pub const SETTINGS_FILE: &str = "settings.json";
/// Secret values that were set at run time.
const SECRETS_FILE: &str = "secrets.json";
/// Longest value accepted, in bytes; a key file's JSON has about 2400.
const VALUE_MAX: usize = 65_536;
/// Longest time until a value goes back by itself.
const EXPIRY_MAX: Duration = Duration::from_secs(366 * 86_400);

/// A value that went back by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Expired {
    /// The variable.
    pub name: String,
    /// What happened, for logs and audit: `NOTION_CIRCUIT_BREAKER_ENABLED false -> true`.
    pub change: String,
}

struct State {
    slots: Vec<Slot>,
    generation: u64,
}

/// The settings of a running service.
pub struct ConfigRegistry {
    data_dir: PathBuf,
    clock: Clock,
    /// What the environment had that is not used, found at start.
    at_start: Vec<ConfigFinding>,
    state: Mutex<State>,
    effective: watch::Sender<Arc<Effective>>,
    /// The filter that must know a secret before anything can use it.
    redactor: OnceLock<Redactor>,
}

impl ConfigRegistry {
    /// Reads what was set before and folds it over the environment and the defaults. A value in the environment that
    /// cannot be used does not stop the service: the default holds and [`ConfigRegistry::validate`] reports it.
    pub fn open(data_dir: &Path, env: BTreeMap<String, String>, clock: Clock) -> anyhow::Result<Self> {
        files::remove_leftovers(&data_dir.join(SECRETS_FILE))?;
        let plain = read_kept(&data_dir.join(SETTINGS_FILE))?;
        let secret = read_kept(&data_dir.join(SECRETS_FILE))?;
        let mut at_start = Vec::new();
        let environment = checks::environment(&env, &mut at_start);
        let slots = defs::all().iter().map(|def| {
            let file = if def.kind.is_secret() { &secret } else { &plain };
            let mut kept = file.get(&def.name).cloned().unwrap_or_default();
            if let Some(Err(why)) = kept.value.as_deref().map(|v| def.kind.normalise(v)) {
                at_start.push(checks::finding(def, Severity::Error, format!("the kept value {why}; it is not used")));
                kept.value = None;
            }
            let mut slot = Slot { def, environment: environment.get(def.name.as_str()).cloned(), kept, in_force: None };
            slot.in_force = slot.desired();
            slot
        });
        let state = State { slots: slots.collect(), generation: 1 };
        let effective = watch::Sender::new(Arc::new(state.read()));
        let registry = ConfigRegistry {
            data_dir: data_dir.to_owned(),
            clock,
            at_start,
            state: state.into(),
            effective,
            redactor: OnceLock::new(),
        };
        // What expired while the service was down has gone back before anything reads it.
        registry.expire(registry.clock.now())?;
        registry.apply_all();
        Ok(registry)
    }

    /// What the environment and the defaults give, for what keeps no settings of its own, and what is wrong with them.
    pub fn of_environment(env: BTreeMap<String, String>) -> (Effective, Vec<ConfigFinding>) {
        let mut findings = Vec::new();
        let environment = checks::environment(&env, &mut findings);
        let slots = defs::all().iter().map(|def| {
            let environment = environment.get(def.name.as_str()).cloned();
            let mut slot = Slot { def, environment, kept: Kept::default(), in_force: None };
            slot.in_force = slot.desired();
            slot
        });
        (State { slots: slots.collect(), generation: 1 }.read(), findings)
    }

    /// The values in force.
    pub fn effective(&self) -> Arc<Effective> {
        self.effective.borrow().clone()
    }

    /// The values in force, and word of each change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Effective>> {
        self.effective.subscribe()
    }

    /// Teaches a filter every secret that is set, and from now on every new one before it holds.
    pub fn teach(&self, redactor: Redactor) {
        let state = self.lock();
        let secrets = state.slots.iter().filter(|s| s.def.kind.is_secret());
        let values = secrets.flat_map(|s| [s.environment.clone(), s.kept.value.clone(), s.kept.before.clone()]);
        redactor.add(&values.flatten().map(Secret::new).collect::<Vec<_>>());
        // A second filter would be a second service over the same registry.
        let _ = self.redactor.set(redactor);
    }

    /// All settings, by name.
    pub fn list(&self) -> Vec<ConfigEntry> {
        self.lock().slots.iter().map(Slot::entry).collect()
    }

    /// One setting, by its name or an alias.
    pub fn get(&self, name: &str) -> Result<ConfigEntry, Refusal> {
        let def = known(name, ErrorCode::NotFound)?;
        Ok(self.lock().slot(def).entry())
    }

    /// Sets one. The value holds at once or waits for its part's restart, as the table says.
    pub fn set(&self, name: &str, set: &ConfigSet, if_version: Option<u64>) -> Result<ConfigEntry, Refusal> {
        let def = known(name, ErrorCode::ValidationError)?;
        let refuse = |why: String| Refusal::new(ErrorCode::ValidationError, format!("{} {why}", def.name));
        if set.value.len() > VALUE_MAX {
            return Err(refuse(format!("can have at most {VALUE_MAX} bytes")));
        }
        let value = def.kind.normalise(&set.value).map_err(refuse)?;
        let expires_in = set.expires_in.map(Duration::from_millis);
        if expires_in.is_some_and(|d| !(Duration::from_secs(1)..=EXPIRY_MAX).contains(&d)) {
            return Err(refuse("can expire after 1 second to 366 days".into()));
        }
        if def.needs_expiry(&value) && expires_in.is_none() {
            return Err(refuse("can be false only for a time: say when it ends with `expiresIn`".into()));
        }
        if def.kind.is_secret()
            && let Some(redactor) = self.redactor.get()
        {
            redactor.add([&Secret::new(value.as_str())]);
        }
        let expires_at = expires_in.map(|d| self.clock.now() + d);
        self.change(def, if_version, |kept| {
            let before = match (kept.expires_at, expires_at) {
                (_, None) => None,
                (None, Some(_)) => kept.value.clone(),
                // A second value for a time: the one to go back to is still the lasting one.
                (Some(_), Some(_)) => kept.before.clone(),
            };
            Kept { value: Some(value), expires_at, before, version: kept.version }
        })
    }

    /// Back to the environment's value or the default.
    pub fn unset(&self, name: &str, if_version: Option<u64>) -> Result<ConfigEntry, Refusal> {
        let def = known(name, ErrorCode::NotFound)?;
        self.change(def, if_version, |kept| Kept { version: kept.version, ..Kept::default() })
    }

    /// Makes a value that was set for a time a lasting one; it is not said again.
    pub fn keep_set(&self, name: &str, if_version: Option<u64>) -> Result<ConfigEntry, Refusal> {
        let def = known(name, ErrorCode::NotFound)?;
        let seen = self.get(name)?;
        if seen.expires_at.is_none() {
            return Ok(seen);
        }
        self.change(def, if_version, |kept| Kept {
            value: kept.value.clone(),
            version: kept.version,
            ..Kept::default()
        })
    }

    /// Takes a value that was set for a time back before its time; the one before it holds at once.
    pub fn take_back(&self, name: &str, if_version: Option<u64>) -> Result<ConfigEntry, Refusal> {
        let def = known(name, ErrorCode::NotFound)?;
        let mut state = self.lock();
        let seen = state.slot(def).kept.version;
        if if_version.is_some_and(|v| v != seen) {
            let message = format!("{} changed meanwhile: it is at version {seen} now", def.name);
            return Err(Refusal::new(ErrorCode::Conflict, message));
        }
        let slot = state.slot(def);
        if slot.kept.expires_at.is_none() {
            return Ok(slot.entry());
        }
        let before = slot.clone();
        slot.go_back();
        if let Err(error) = self.keep(&state) {
            *state.slot(def) = before;
            return Err(Refusal::new(ErrorCode::UnknownError, format!("cannot keep {}: {error:#}", def.name)));
        }
        let entry = state.slot(def).entry();
        self.publish(&mut state);
        Ok(entry)
    }

    /// Makes the pending values of a part effective and says what changed: `QUEUE_WORKERS 5 -> 10`.
    pub fn apply(&self, part: RestartPart) -> Vec<String> {
        self.apply_where(|slot| slot.def.restart == part)
    }

    /// What waits for a restart: `QUEUE_WORKERS 5 -> 10 (workers)`.
    pub fn pending(&self) -> Vec<String> {
        let line =
            |s: &Slot| s.pending().map(|(from, to)| format!("{} {from} -> {to} ({})", s.def.name, s.def.restart));
        self.lock().slots.iter().filter_map(line).collect()
    }

    /// Takes back every value whose time is over. The old value holds at once, whatever part reads it: nobody is there to
    /// restart one.
    pub fn expire(&self, now: Time) -> anyhow::Result<Vec<Expired>> {
        let mut state = self.lock();
        let due = |s: &Slot| s.kept.expires_at.is_some_and(|t| t <= now);
        if !state.slots.iter().any(due) {
            return Ok(Vec::new());
        }
        let mut expired = Vec::new();
        for slot in state.slots.iter_mut().filter(|s| due(s)) {
            let from = slot.in_force.as_ref().map(|(v, _)| slot.shown(v));
            slot.go_back();
            let to = slot.in_force.as_ref().map(|(v, _)| slot.shown(v));
            let word = |v: Option<String>| v.unwrap_or_else(|| "(unset)".into());
            let change = format!("{} {} -> {}", slot.def.name, word(from), word(to));
            expired.push(Expired { name: slot.def.name.clone(), change });
        }
        self.keep(&state)?;
        self.publish(&mut state);
        Ok(expired)
    }

    /// What the settings of a backup would change. Secrets are not among them.
    pub fn would_restore(&self, text: Option<&str>) -> Result<Vec<String>, Refusal> {
        let old = parse_settings(text)?;
        Ok(self.lock().differences(&old).into_iter().map(|(_, change)| change).collect())
    }

    /// Takes the settings of a backup back; they hold at once. Gives what changed.
    pub fn restore(&self, text: Option<&str>) -> Result<Vec<String>, Refusal> {
        let old = parse_settings(text)?;
        let mut state = self.lock();
        let changes = state.differences(&old);
        for (name, _) in &changes {
            let Some(slot) = state.slots.iter_mut().find(|slot| slot.def.name == *name) else { continue };
            let version = slot.kept.version + 1;
            slot.kept = Kept { version, ..old.get(name).cloned().unwrap_or_default() };
            slot.in_force = slot.desired();
        }
        let kept = self.keep(&state);
        self.publish(&mut state);
        kept.map_err(|e| Refusal::new(ErrorCode::UnknownError, format!("cannot keep the settings: {e:#}")))?;
        Ok(changes.into_iter().map(|(_, change)| change).collect())
    }

    /// Looks at all settings.
    pub fn validate(&self) -> ConfigReport {
        let (entries, desired) = {
            let state = self.lock();
            let desired = Effective::read(0, |name| state.named(name).and_then(Slot::desired).map(|(v, _)| v));
            (state.slots.iter().map(Slot::entry).collect::<Vec<_>>(), desired)
        };
        let raw = |name: &str| self.lock().named(name).and_then(Slot::desired).map(|(v, _)| v);
        let mut findings = self.at_start.clone();
        findings.extend(checks::settings(&entries, &desired, raw));
        findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.name.cmp(&b.name)));
        ConfigReport { checked: entries.len() as u64, findings }
    }

    /// Writes the change down, then makes it hold or wait.
    fn change(
        &self,
        def: &'static Def,
        if_version: Option<u64>,
        make: impl FnOnce(&Kept) -> Kept,
    ) -> Result<ConfigEntry, Refusal> {
        let mut state = self.lock();
        let slot = state.slot(def);
        let seen = slot.kept.version;
        if if_version.is_some_and(|v| v != seen) {
            let message = format!("{} changed meanwhile: it is at version {seen} now", def.name);
            return Err(Refusal::new(ErrorCode::Conflict, message));
        }
        let before = slot.kept.clone();
        slot.kept = make(&before);
        if slot.kept == before && before.expires_at.is_none() {
            return Ok(slot.entry());
        }
        slot.kept.version = seen + 1;
        if let Err(error) = self.keep(&state) {
            state.slot(def).kept = before;
            return Err(Refusal::new(ErrorCode::UnknownError, format!("cannot keep {}: {error:#}", def.name)));
        }
        let slot = state.slot(def);
        if slot.holds_at_once() {
            slot.in_force = slot.desired();
        }
        let entry = slot.entry();
        self.publish(&mut state);
        Ok(entry)
    }

    fn apply_all(&self) {
        self.apply_where(|_| true);
    }

    fn apply_where(&self, chosen: impl Fn(&Slot) -> bool) -> Vec<String> {
        let mut state = self.lock();
        let mut applied = Vec::new();
        for slot in state.slots.iter_mut().filter(|s| chosen(s)) {
            if let Some((from, to)) = slot.pending() {
                applied.push(format!("{} {from} -> {to}", slot.def.name));
            }
            slot.in_force = slot.desired();
        }
        self.publish(&mut state);
        applied
    }

    fn publish(&self, state: &mut State) {
        let mut read = state.read();
        self.effective.send_if_modified(|held| {
            read.generation = held.generation;
            let moved = **held != read;
            if moved {
                state.generation += 1;
                read.generation = state.generation;
                *held = Arc::new(read);
            }
            moved
        });
    }

    /// Writes both files.
    fn keep(&self, state: &State) -> anyhow::Result<()> {
        let part = |secret: bool| -> KeptFile {
            let changed = state.slots.iter().filter(|s| s.def.kind.is_secret() == secret && s.kept != Kept::default());
            changed.map(|s| (s.def.name.clone(), s.kept.clone())).collect()
        };
        for (file, kept) in [(SETTINGS_FILE, part(false)), (SECRETS_FILE, part(true))] {
            let path = self.data_dir.join(file);
            let text = serde_json::to_string_pretty(&kept)? + "\n";
            if files::read_if_there(&path)?.as_deref() != Some(&text) && (path.exists() || !kept.is_empty()) {
                files::write_whole(&path, text.as_bytes(), true)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every holder leaves the state whole, so a panic elsewhere does not make it unusable.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn parse_settings(text: Option<&str>) -> Result<KeptFile, Refusal> {
    let parsed = text.map(serde_json::from_str).transpose();
    let parsed: Option<KeptFile> = parsed.map_err(|e| {
        Refusal::new(ErrorCode::UnknownError, format!("the backup's settings cannot be understood: {e}"))
    })?;
    Ok(parsed.unwrap_or_default())
}

impl State {
    /// Plain settings that are kept otherwise in `old`, with what that changes: `QUEUE_WORKERS 10 -> 5`.
    fn differences(&self, old: &KeptFile) -> Vec<(String, String)> {
        let none = Kept::default();
        let plain = self.slots.iter().filter(|slot| !slot.def.kind.is_secret());
        let changed = plain.filter_map(|slot| {
            let then = old.get(&slot.def.name).unwrap_or(&none);
            let content = |kept: &Kept| (kept.value.clone(), kept.expires_at, kept.before.clone());
            if content(then) == content(&slot.kept) {
                return None;
            }
            let was = Slot { kept: then.clone(), ..slot.clone() };
            let word = |slot: &Slot| slot.desired().map_or_else(|| "(unset)".to_owned(), |(value, _)| value);
            Some((slot.def.name.clone(), format!("{} {} -> {}", slot.def.name, word(slot), word(&was))))
        });
        changed.collect()
    }

    fn slot(&mut self, def: &Def) -> &mut Slot {
        let at = defs::all().iter().position(|d| d.name == def.name).unwrap_or_default();
        &mut self.slots[at]
    }

    fn named(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|s| s.def.name == name)
    }

    fn read(&self) -> Effective {
        Effective::read(self.generation, |name| self.named(name).and_then(|s| s.in_force.clone()).map(|(v, _)| v))
    }
}

/// Finds a variable, or says why there is none and what may have been meant.
fn known(name: &str, code: ErrorCode) -> Result<&'static Def, Refusal> {
    if let Some(def) = defs::find(name) {
        return Ok(def);
    }
    let shown: String = name.chars().take(64).collect();
    let message = match (defs::not_ours(name), defs::nearest(name)) {
        (Some(why), _) => format!("{shown} is not a setting of this orchestrator: {why}"),
        (None, Some(near)) => format!("there is no setting `{shown}`; did you mean {near}?"),
        (None, None) => format!("there is no setting `{shown}`; `opsctl config list` shows all"),
    };
    let code = if defs::not_ours(name).is_some() { code } else { ErrorCode::NotFound };
    Err(Refusal::new(code, message))
}

/// Whether the environment may hold a value that must not last: nobody could say when it ends.
pub(super) fn refused_from_environment(def: &Def, value: &str) -> Option<String> {
    def.needs_expiry(value).then(|| "can be false only for a time, set at run time with an expiry".into())
}

/// What was set at run time on the service with this data directory, secrets too.
pub fn kept_values(data_dir: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut kept = read_kept(&data_dir.join(SETTINGS_FILE))?;
    kept.extend(read_kept(&data_dir.join(SECRETS_FILE))?);
    Ok(kept.into_iter().filter_map(|(name, kept)| Some((name, kept.value?))).collect())
}

fn read_kept(path: &Path) -> anyhow::Result<KeptFile> {
    let Some(text) = files::read_if_there(path)? else {
        return Ok(KeptFile::new());
    };
    serde_json::from_str(&text).map_err(|e| {
        // The parser's own words could repeat a secret; its position cannot.
        let place = format!("line {} column {} is not what the service writes", e.line(), e.column());
        Fault::new(FaultKind::Failed, format!("cannot read the settings in `{}`", path.display()))
            .because(place)
            .hint("correct the file, or move it away to go back to the environment's values and the defaults")
            .into()
    })
}

impl std::fmt::Debug for ConfigRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigRegistry").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl ConfigOps for ConfigRegistry {
    fn list(&self) -> Answer<'_, Vec<ConfigEntry>> {
        Box::pin(async { Ok(self.list()) })
    }

    fn get<'a>(&'a self, name: &'a str) -> Answer<'a, ConfigEntry> {
        Box::pin(async move { self.get(name) })
    }

    fn set<'a>(&'a self, name: &'a str, set: ConfigSet, cx: &'a ChangeContext) -> Answer<'a, ConfigEntry> {
        Box::pin(async move { self.set(name, &set, cx.if_version) })
    }

    fn unset<'a>(&'a self, name: &'a str, cx: &'a ChangeContext) -> Answer<'a, ConfigEntry> {
        Box::pin(async move { self.unset(name, cx.if_version) })
    }

    fn keep<'a>(&'a self, name: &'a str, cx: &'a ChangeContext) -> Answer<'a, ConfigEntry> {
        Box::pin(async move { self.keep_set(name, cx.if_version) })
    }

    fn back<'a>(&'a self, name: &'a str, cx: &'a ChangeContext) -> Answer<'a, ConfigEntry> {
        Box::pin(async move { self.take_back(name, cx.if_version) })
    }

    fn validate(&self) -> Answer<'_, ConfigReport> {
        Box::pin(async { Ok(self.validate()) })
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;

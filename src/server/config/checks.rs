//! `config validate`: what is set but cannot work, or does not work as somebody may think.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use crate::wire::{ConfigEntry, ConfigFinding, Platform, Severity};

use super::defs::{self, BACKUP_SUFFIX, Def};
use super::effective::Effective;
use super::registry::refused_from_environment;

/// A finding about one variable.
pub(super) fn finding(def: &Def, severity: Severity, message: String) -> ConfigFinding {
    ConfigFinding { name: def.name.clone(), severity, message, fix: None }
}

fn about(name: &str, severity: Severity, message: impl Into<String>, fix: Option<String>) -> ConfigFinding {
    ConfigFinding { name: name.into(), severity, message: message.into(), fix }
}

/// The usable variables of the environment by their own names, in normal spelling; the rest becomes findings.
pub(super) fn environment(
    env: &BTreeMap<String, String>,
    findings: &mut Vec<ConfigFinding>,
) -> BTreeMap<&'static str, String> {
    let mut values = BTreeMap::new();
    for def in defs::all() {
        let own = env.get(&def.name).filter(|v| !v.trim().is_empty());
        let mut chosen = own;
        for alias in def.aliases {
            let Some(other) = env.get(*alias).filter(|v| !v.trim().is_empty()) else { continue };
            let message = match own {
                Some(own) if own.trim() != other.trim() => {
                    format!("{} is set to another value; {} is used", alias, def.name)
                }
                Some(_) => continue,
                None => format!("{alias} is another name of {}; it works", def.name),
            };
            let fix = Some(format!("use {} only", def.name));
            findings.push(about(&def.name, Severity::Warning, message, fix));
            chosen = chosen.or(Some(other));
        }
        let Some(text) = chosen else { continue };
        let value = def.kind.normalise(text);
        match value.and_then(|v| refused_from_environment(def, &v).map_or(Ok(v), Err)) {
            Ok(value) => drop(values.insert(def.name.as_str(), value)),
            Err(why) => {
                let default = def.default.as_deref().unwrap_or("unset");
                let message = format!("in the environment: {} {why}; {default} is used", def.name);
                findings.push(finding(def, Severity::Error, message));
            }
        }
    }
    for name in env.keys() {
        if let Some(why) = defs::not_ours(name) {
            findings.push(about(name, Severity::Info, format!("is in the environment but has no effect: {why}"), None));
        } else if let Some(near) = misspelt(name) {
            let fix = Some(format!("did you mean {near}?"));
            findings.push(about(name, Severity::Warning, "is in the environment but is no setting", fix));
        }
    }
    values
}

/// The setting that somebody most likely meant by a variable that is none. Stricter than a suggestion for a typed name:
/// an environment is full of other programs' variables.
fn misspelt(name: &str) -> Option<&'static str> {
    let near = |d: &&Def| strsim::damerau_levenshtein(name, &d.name) <= 2;
    let known = defs::find(name).is_some() || name.len() < 8;
    defs::all().iter().find(near).filter(|_| !known).map(|d| d.name.as_str())
}

/// Looks at the values that will hold once everything has restarted; `raw` gives one in full.
pub(super) fn settings(
    entries: &[ConfigEntry],
    desired: &Effective,
    raw: impl Fn(&str) -> Option<String>,
) -> Vec<ConfigFinding> {
    let mut found = Vec::new();
    for entry in entries {
        let Some(def) = defs::find(&entry.name) else { continue };
        if let Some(looks_like) = raw(&def.name).and_then(|v| def.kind.odd_shape(&v)) {
            let message = format!("does not look like {looks_like}");
            found.push(about(&def.name, Severity::Warning, message, Some("check that it was copied whole".into())));
        }
        if let Some(pending) = &entry.pending {
            let message = format!("{pending} waits for a restart");
            let fix = Some(format!("opsctl restart {}", def.restart));
            found.push(about(&def.name, Severity::Info, message, fix));
        }
    }
    for platform in Platform::ALL {
        platform_checks(*platform, desired, &mut found);
    }
    if !desired.enable_idempotency {
        let message = "is false: an action submitted twice runs twice";
        let fix = Some("opsctl config set ENABLE_IDEMPOTENCY=true".into());
        found.push(about("ENABLE_IDEMPOTENCY", Severity::Warning, message, fix));
    }
    if desired.batching.enabled && desired.batching.size == 1 {
        found.push(about("BATCH_SIZE", Severity::Warning, "is 1: batching only adds waiting", None));
    }
    let backups = defs::credential_names().filter(|n| raw(&format!("{n}{BACKUP_SUFFIX}")).is_some()).count();
    if desired.use_backup_credentials && backups == 0 {
        let message = "is true, but no backup credential is set";
        let fix = Some("opsctl config set NOTION_API_KEY_BACKUP".into());
        found.push(about("USE_BACKUP_CREDENTIALS", Severity::Error, message, fix));
    }
    for name in ["GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_APPLICATION_CREDENTIALS"] {
        if let Some(value) = desired.credential(name) {
            found.extend(google_key(name, value.expose()));
        }
    }
    found
}

fn platform_checks(platform: Platform, desired: &Effective, found: &mut Vec<ConfigFinding>) {
    let name = |suffix: &str| format!("{}_{suffix}", platform.as_str().to_ascii_uppercase());
    let settings = desired.platform(platform);
    if !desired.has_credentials(platform) {
        let variable = match platform {
            Platform::Notion => "NOTION_API_KEY",
            Platform::Trello if desired.credential("TRELLO_API_KEY").is_none() => "TRELLO_API_KEY",
            Platform::Trello => "TRELLO_TOKEN",
            Platform::Slack => "SLACK_BOT_TOKEN",
            Platform::Drive | Platform::Sheets => "GOOGLE_SERVICE_ACCOUNT_KEY",
        };
        let message = format!("is not set: {platform} actions fail");
        let fix = Some(format!("opsctl config set {variable}"));
        if !found.iter().any(|f| f.name == variable && f.message == message) {
            found.push(about(variable, Severity::Warning, message, fix));
        }
    }
    if !settings.circuit_enabled {
        let message = format!("is false: nothing stops calls to {platform} while it is down");
        let fix = Some(format!("opsctl config set {}=true", name("CIRCUIT_BREAKER_ENABLED")));
        found.push(about(&name("CIRCUIT_BREAKER_ENABLED"), Severity::Warning, message, fix));
    }
    if let Some(target) = settings.fallback()
        && !desired.has_credentials(target)
    {
        let message = format!("is {target}, which has no credentials");
        found.push(about(&name("FALLBACK_PLATFORM"), Severity::Error, message, None));
    }
}

/// A key file that cannot be used, or that others can read.
fn google_key(name: &str, value: &str) -> Option<ConfigFinding> {
    let fix = Some("download the key again and set its path".to_owned());
    let json = if value.trim_start().starts_with('{') {
        value.to_owned()
    } else {
        match std::fs::metadata(value) {
            Err(e) => return Some(about(name, Severity::Error, format!("`{value}` cannot be read: {e}"), fix)),
            Ok(meta) if meta.permissions().mode() & 0o077 != 0 => {
                let message = format!("`{value}` can be read by others");
                return Some(about(name, Severity::Warning, message, Some(format!("chmod 600 {value}"))));
            }
            Ok(_) => {}
        }
        match std::fs::read_to_string(value) {
            Ok(text) => text,
            Err(e) => return Some(about(name, Severity::Error, format!("`{value}` cannot be read: {e}"), fix)),
        }
    };
    let key: Option<serde_json::Value> = serde_json::from_str(&json).ok();
    let missing = ["type", "client_email", "private_key"].into_iter().find(|field| {
        key.as_ref().and_then(|k| k.get(*field)).and_then(serde_json::Value::as_str).is_none_or(str::is_empty)
    });
    let message = match (key.is_some(), missing) {
        (false, _) => "the key is not JSON".to_owned(),
        (true, Some(field)) => format!("the key has no `{field}`"),
        (true, None) => return None,
    };
    Some(about(name, Severity::Error, message, fix))
}

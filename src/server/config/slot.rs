//! One variable's state: what the environment says, what was set, and what is in force.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use crate::wire::{ConfigEntry, ConfigSource, RestartPart, Time};

use super::defs::Def;

/// What was set at run time, as kept on disk. `value` is absent after an unset: the version lives on.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Kept {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// When it goes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// What it goes back to; the environment's value or the default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    pub version: u64,
}

/// One variable's state. No `Debug` here: the values may be secrets.
#[derive(Clone)]
pub(super) struct Slot {
    pub def: &'static Def,
    pub environment: Option<String>,
    pub kept: Kept,
    pub in_force: Option<(String, ConfigSource)>,
}

impl Slot {
    /// The value that holds once everything has restarted.
    pub(super) fn desired(&self) -> Option<(String, ConfigSource)> {
        let set = self.kept.value.clone().map(|v| (v, ConfigSource::Set));
        let environment = || self.environment.clone().map(|v| (v, ConfigSource::Environment));
        set.or_else(environment).or_else(|| self.def.default.clone().map(|v| (v, ConfigSource::Default)))
    }

    pub(super) fn holds_at_once(&self) -> bool {
        self.def.restart == RestartPart::None
    }

    /// Gives up a value that was set for a time. The one before holds at once, whatever part reads it.
    pub(super) fn go_back(&mut self) {
        self.kept = Kept { value: self.kept.before.take(), version: self.kept.version + 1, ..Kept::default() };
        self.in_force = self.desired();
    }

    /// A value as it may be shown.
    pub(super) fn shown(&self, value: &str) -> String {
        if !self.def.kind.is_secret() {
            return value.to_owned();
        }
        let secret = Secret::new(value);
        let tail = secret.tail().map(|t| format!(", ends in {t}")).unwrap_or_default();
        format!("set{tail}, sha256:{}", &secret.fingerprint()[..8])
    }

    /// The value in force and the one that waits, when they differ.
    pub(super) fn pending(&self) -> Option<(String, String)> {
        let desired = self.desired().map(|(v, _)| v);
        let in_force = self.in_force.as_ref().map(|(v, _)| v.clone());
        let show = |v: Option<String>| v.map_or_else(|| "(unset)".to_owned(), |v| self.shown(&v));
        (desired != in_force).then(|| (show(in_force), show(desired)))
    }

    pub(super) fn entry(&self) -> ConfigEntry {
        let in_force = self.in_force.as_ref();
        let secret = self.def.kind.is_secret();
        ConfigEntry {
            name: self.def.name.clone(),
            value: in_force.map(|(v, _)| self.shown(v)),
            pending: self.pending().map(|(_, desired)| desired),
            source: in_force.map_or(ConfigSource::Default, |(_, s)| *s),
            restart: self.def.restart,
            secret,
            fingerprint: in_force.filter(|_| secret).map(|(v, _)| fingerprint(v)),
            pending_fingerprint: self.pending().and(self.desired()).filter(|_| secret).map(|(v, _)| fingerprint(&v)),
            description: self.def.description(),
            expires_at: self.kept.expires_at,
            version: self.kept.version,
        }
    }
}

fn fingerprint(value: &str) -> String {
    Secret::new(value).fingerprint()
}

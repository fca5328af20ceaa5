//! What this machine remembers about the platforms' keys: when a key was last accepted, and when one ends by an
//! operator's word. By context, in the state directory; no secret is in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::App;
use crate::files::{read_if_there, write_whole};
use crate::platforms::Platform;
use crate::wire::Time;

/// What is remembered about one platform's key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remembered {
    /// When the platform last accepted the credential it was asked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success: Option<Time>,
    /// When the key ends, and which key that was said of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends: Option<Ends>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Ends {
    at: Time,
    fingerprint: String,
}

impl Remembered {
    /// When this key ends, as recorded; what was recorded of the key before it says nothing.
    pub fn ends(&self, fingerprint: &str) -> Option<Time> {
        self.ends.as_ref().filter(|ends| ends.fingerprint == fingerprint).map(|ends| ends.at)
    }
}

type Keys = BTreeMap<String, BTreeMap<String, Remembered>>;

impl App {
    /// What is remembered about a platform's key in the context in use. A damaged file is forgotten.
    pub fn remembered(&self, platform: Platform) -> Remembered {
        let mut of_context = self.read_keys().remove(&self.settings.context_name.value).unwrap_or_default();
        of_context.remove(platform.as_str()).unwrap_or_default()
    }

    /// Remembers when these platforms accepted their keys.
    pub fn remember_success(&self, accepted: &[(Platform, Time)]) -> anyhow::Result<()> {
        self.remember(accepted, |key, at| key.last_success = Some(at))
    }

    /// Remembers when a key ends; `None` forgets it.
    pub fn remember_end(&self, platform: Platform, fingerprint: String, at: Option<Time>) -> anyhow::Result<()> {
        let ends = at.map(|at| Ends { at, fingerprint });
        self.remember(&[(platform, ())], |key, ()| key.ends = ends.clone())
    }

    fn remember<T: Copy>(&self, of: &[(Platform, T)], change: impl Fn(&mut Remembered, T)) -> anyhow::Result<()> {
        if of.is_empty() {
            return Ok(());
        }
        let mut keys = self.read_keys();
        let context = keys.entry(self.settings.context_name.value.clone()).or_default();
        for (platform, what) in of {
            change(context.entry(platform.as_str().to_owned()).or_default(), *what);
        }
        let mut text = serde_json::to_vec_pretty(&keys)?;
        text.push(b'\n');
        write_whole(&self.keys_file(), &text, true)
    }

    fn read_keys(&self) -> Keys {
        let text = read_if_there(&self.keys_file()).ok().flatten();
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    fn keys_file(&self) -> PathBuf {
        self.settings.places.state.join("keys.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_belongs_to_the_key_it_was_said_of() {
        let key = Remembered { last_success: None, ends: Some(Ends { at: Time(5), fingerprint: "aaaa".into() }) };
        assert_eq!((key.ends("aaaa"), key.ends("bbbb")), (Some(Time(5)), None));
    }
}

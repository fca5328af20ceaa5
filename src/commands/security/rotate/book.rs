//! How far a rotation came, durably: one file of stages without secrets, and one of the values that are on their way.
//!
//! The second is the only place outside the stores where a value is ever written: a new one until the service has it,
//! an old one until it has ended. It has mode 0600, and goes away with the last value in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::turn::Credential;
use crate::files::{read_if_there, remove_if_there, remove_leftovers, write_whole};
use crate::secret::Secret;
use crate::settings::Places;
use crate::wire::Time;

/// How far one credential is. Each stage is written down when it is reached; the step to the next one can be done again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stage {
    /// Nothing was done.
    #[default]
    Begun,
    /// A new value was asked for; it is not known whether it was made.
    Minting,
    /// The new value is here.
    Minted,
    /// The platform accepts it.
    Tested,
    /// The service has it, for a time: unless it is kept, the old one comes back.
    Stored,
    /// The service works with it.
    InUse,
    /// It let the service in, and stays.
    Kept,
    /// The old one has ended, or is on the list of those that a person ends.
    Ended,
    /// It was given up, and the old one is in use.
    Failed,
}

/// What became of the old one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", rename_all_fields = "camelCase")]
pub(super) enum Old {
    /// The platform does not accept it any more.
    Revoked,
    /// Switched off; it is deleted for good by a rotation after this moment.
    Disabled { delete_after: Time },
    /// Somebody has to withdraw it.
    ByHand { why: String },
}

/// One credential's progress. No secret is in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Progress {
    pub(super) stage: Stage,
    /// When a new key was asked for, and which keys the account had then.
    pub(super) minting_since: Option<Time>,
    pub(super) keys_before: Vec<String>,
    /// Fingerprint of the new value.
    pub(super) new: Option<String>,
    /// Google's id of the new key.
    pub(super) new_key: Option<String>,
    /// Who the platform says it is.
    pub(super) identity: Option<String>,
    pub(super) old: Option<Old>,
    /// Why it was given up.
    pub(super) failure: Option<String>,
}

/// The values of one credential that are on their way.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct OnTheWay {
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<String>,
}

/// Both files of one rotation.
pub(super) struct Book {
    stages: PathBuf,
    secrets: PathBuf,
    progress: BTreeMap<Credential, Progress>,
    on_the_way: BTreeMap<Credential, OnTheWay>,
}

impl Book {
    /// That of a receipt, to be gone on with; a new one is empty. Whoever opens it holds the lease.
    pub(super) fn open(places: &Places, receipt: &str) -> anyhow::Result<Self> {
        let book = Book::look(places, receipt)?;
        remove_leftovers(&book.stages)?;
        remove_leftovers(&book.secrets)?;
        Ok(book)
    }

    /// The same, only to see how far it is.
    pub(super) fn look(places: &Places, receipt: &str) -> anyhow::Result<Self> {
        let directory = places.rotations();
        let (stages, secrets) =
            (directory.join(format!("{receipt}.json")), directory.join(format!("{receipt}.secrets.json")));
        let progress = read(&stages)?;
        let on_the_way = read(&secrets)?;
        Ok(Book { stages, secrets, progress, on_the_way })
    }

    pub(super) fn of(&self, credential: Credential) -> Progress {
        self.progress.get(&credential).cloned().unwrap_or_default()
    }

    /// Writes down how far a credential is.
    pub(super) fn note(&mut self, credential: Credential, progress: Progress) -> anyhow::Result<()> {
        self.progress.insert(credential, progress);
        let mut text = serde_json::to_vec_pretty(&self.progress)?;
        text.push(b'\n');
        write_whole(&self.stages, &text, true)
    }

    pub(super) fn new_value(&self, credential: Credential) -> Option<Secret> {
        self.on_the_way.get(&credential)?.new.as_deref().map(Secret::new)
    }

    pub(super) fn old_value(&self, credential: Credential) -> Option<Secret> {
        self.on_the_way.get(&credential)?.old.as_deref().map(Secret::new)
    }

    /// Every value, for the filter of what is printed.
    pub(super) fn values(&self) -> Vec<Secret> {
        let both = self.on_the_way.values().flat_map(|one| [&one.new, &one.old]);
        both.flatten().map(Secret::new).collect()
    }

    /// Takes in values that were brought along, for credentials that still need one.
    pub(super) fn bring(&mut self, given: &BTreeMap<Credential, Secret>) -> anyhow::Result<()> {
        for (credential, value) in given {
            if self.of(*credential).stage <= Stage::Minting {
                self.on_the_way.entry(*credential).or_default().new = Some(value.expose().to_owned());
            }
        }
        self.keep_secrets()
    }

    pub(super) fn put_new(&mut self, credential: Credential, value: Option<&Secret>) -> anyhow::Result<()> {
        self.on_the_way.entry(credential).or_default().new = value.map(|v| v.expose().to_owned());
        self.keep_secrets()
    }

    pub(super) fn put_old(&mut self, credential: Credential, value: &Secret) -> anyhow::Result<()> {
        self.on_the_way.entry(credential).or_default().old = Some(value.expose().to_owned());
        self.keep_secrets()
    }

    /// Both values of a credential are where they belong.
    pub(super) fn forget(&mut self, credential: Credential) -> anyhow::Result<()> {
        self.on_the_way.remove(&credential);
        self.keep_secrets()
    }

    /// Removes what rotations left that are over: one that was killed at its very end.
    pub(super) fn sweep(places: &Places, open: &[String]) -> anyhow::Result<()> {
        let Ok(entries) = std::fs::read_dir(places.rotations()) else { return Ok(()) };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let receipt = name.trim_start_matches('.').split('.').next().unwrap_or_default();
            if receipt.starts_with("r-") && !open.iter().any(|id| id == receipt) {
                remove_if_there(&path)?;
            }
        }
        Ok(())
    }

    /// Forgets everything: the rotation is over.
    pub(super) fn close(self) -> anyhow::Result<()> {
        remove_if_there(&self.secrets)?;
        remove_if_there(&self.stages)
    }

    fn keep_secrets(&mut self) -> anyhow::Result<()> {
        self.on_the_way.retain(|_, one| one.new.is_some() || one.old.is_some());
        if self.on_the_way.is_empty() {
            return remove_if_there(&self.secrets);
        }
        write_whole(&self.secrets, &serde_json::to_vec(&self.on_the_way)?, true)
    }
}

fn read<T: Default + for<'de> Deserialize<'de>>(path: &std::path::Path) -> anyhow::Result<T> {
    let Some(text) = read_if_there(path)? else { return Ok(T::default()) };
    // The parser's own words could repeat a secret.
    serde_json::from_str(&text).ok().with_context(|| format!("{} is damaged", path.display()))
}

/// An old key that a person still has to withdraw, or that is deleted later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Left {
    pub(super) context: String,
    pub(super) credential: Credential,
    /// Fingerprint of the old value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fingerprint: Option<String>,
    /// Google's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    pub(super) since: Time,
    /// When it may be deleted, for one that is only switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delete_after: Option<Time>,
    pub(super) why: String,
}

/// The list of them.
pub(super) struct LeftOver {
    path: PathBuf,
}

impl LeftOver {
    pub(super) fn of(places: &Places) -> Self {
        LeftOver { path: places.rotations().join("left.json") }
    }

    pub(super) fn list(&self) -> anyhow::Result<Vec<Left>> {
        read(&self.path)
    }

    /// Adds one, once.
    pub(super) fn add(&self, left: Left) -> anyhow::Result<()> {
        let mut all = self.list()?;
        let same = |one: &Left| {
            (&one.context, one.credential, &one.fingerprint, &one.key)
                == (&left.context, left.credential, &left.fingerprint, &left.key)
        };
        all.retain(|one| !same(one));
        all.push(left);
        self.write(&all)
    }

    /// Takes some off, and says how many.
    pub(super) fn remove(&self, gone: impl Fn(&Left) -> bool) -> anyhow::Result<usize> {
        let mut all = self.list()?;
        let before = all.len();
        all.retain(|one| !gone(one));
        if all.len() < before {
            self.write(&all)?;
        }
        Ok(before - all.len())
    }

    fn write(&self, all: &[Left]) -> anyhow::Result<()> {
        if all.is_empty() {
            return remove_if_there(&self.path);
        }
        let mut text = serde_json::to_vec_pretty(all)?;
        text.push(b'\n');
        write_whole(&self.path, &text, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::scratch;

    #[test]
    fn values_go_away_with_the_last_one_and_are_never_among_the_stages() {
        let dir = scratch("rotation");
        let places = Places::under(dir.path());
        let (new, old) = (Secret::new("the-new-value"), Secret::new("the-old-value"));
        let mut book = Book::open(&places, "r-1").unwrap();
        book.put_old(Credential::Slack, &old).unwrap();
        book.put_new(Credential::Slack, Some(&new)).unwrap();
        let progress = Progress { stage: Stage::Minted, new: Some(new.fingerprint()), ..Progress::default() };
        book.note(Credential::Slack, progress).unwrap();

        let mut again = Book::open(&places, "r-1").unwrap();
        assert_eq!(again.of(Credential::Slack).stage, Stage::Minted);
        assert_eq!(again.new_value(Credential::Slack), Some(new));
        assert!(!std::fs::read_to_string(&again.stages).unwrap().contains("value"));
        again.put_new(Credential::Slack, None).unwrap();
        assert!(again.secrets.exists());
        again.forget(Credential::Slack).unwrap();
        assert!(!again.secrets.exists());
        again.put_new(Credential::Slack, Some(&old)).unwrap();
        let count = || std::fs::read_dir(places.rotations()).unwrap().count();
        Book::sweep(&places, &["r-1".to_owned()]).unwrap();
        assert_eq!(count(), 2);
        Book::sweep(&places, &[]).unwrap();
        assert_eq!(count(), 0);
    }

    #[test]
    fn what_is_left_is_listed_once_until_somebody_has_done_it() {
        let dir = scratch("rotation");
        let list = LeftOver::of(&Places::under(dir.path()));
        let left = Left {
            context: "prod".into(),
            credential: Credential::Notion,
            fingerprint: Some("aa".into()),
            key: None,
            since: Time(1),
            delete_after: None,
            why: "only on its page".into(),
        };
        list.add(left.clone()).unwrap();
        list.add(Left { since: Time(2), ..left.clone() }).unwrap();
        assert_eq!(list.list().unwrap().len(), 1);
        assert_eq!(list.remove(|one| one.context == "staging").unwrap(), 0);
        assert_eq!(list.remove(|one| one.credential == Credential::Notion).unwrap(), 1);
        assert!(list.list().unwrap().is_empty());
    }
}

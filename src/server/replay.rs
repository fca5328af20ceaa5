//! First answers by `Idempotency-Key`: a retry gets the answer the first try got, also after a restart of the service.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::backend::Refusal;
use super::journal::Journal;
use crate::files;
use crate::wire::{ErrorCode, Time};

/// First answers, one a line.
const FILE: &str = "replays.jsonl";
/// How long a key is remembered.
const KEPT_FOR: Duration = Duration::from_secs(86_400);
/// Answers beyond which old ones are looked for on every insert.
const SWEEP_ABOVE: usize = 10_000;

/// A first answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Whose key it is, with the key.
    pub key: String,
    /// What the request was: a hash over method, target and body.
    pub request: String,
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: String,
    /// When.
    pub at: Time,
}

#[derive(Default)]
struct Known {
    answers: HashMap<String, Stored>,
    running: HashSet<String>,
}

/// What to do with a keyed request.
#[derive(Debug)]
pub enum Keyed<'a> {
    /// It is new: run it, then [`Running::finish`].
    Run(Running<'a>),
    /// It ran: this was the answer.
    Replay(Box<Stored>),
}

/// The first answers of a service.
pub struct Replays {
    journal: Journal,
    known: Mutex<Known>,
}

impl std::fmt::Debug for Replays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replays").field("path", &self.journal.path()).finish_non_exhaustive()
    }
}

impl Replays {
    /// Reads what is still remembered and drops the rest from the file.
    pub fn open(data_dir: &Path, now: Time) -> anyhow::Result<Self> {
        let path = data_dir.join(FILE);
        let text = files::read_if_there(&path)?.unwrap_or_default();
        let lines = text.lines().filter_map(|l| serde_json::from_str::<Stored>(l).ok());
        let live: Vec<Stored> = lines.filter(|s| now.since(s.at) < KEPT_FOR).collect();
        if !text.is_empty() {
            let kept: Vec<String> = live.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
            let kept: String = kept.into_iter().map(|line| line + "\n").collect();
            files::write_whole(&path, kept.as_bytes(), true)?;
        }
        let answers = live.into_iter().map(|s| (s.key.clone(), s)).collect();
        let known = Mutex::new(Known { answers, running: HashSet::new() });
        Ok(Replays { journal: Journal::open(&path)?, known })
    }

    /// Looks a key up and, when it is new, takes it. `request` is the request's hash.
    pub fn take(&self, key: String, request: String, now: Time) -> Result<Keyed<'_>, Refusal> {
        let conflict = |message: &str| Err(Refusal::new(ErrorCode::Conflict, message));
        let mut known = self.lock();
        let remembered = known.answers.get(&key).filter(|s| now.since(s.at) < KEPT_FOR).cloned();
        match remembered {
            Some(first) if first.request == request => return Ok(Keyed::Replay(Box::new(first))),
            Some(_) => return conflict("this Idempotency-Key was used for another request; use a new one"),
            None => {}
        }
        if !known.running.insert(key.clone()) {
            return conflict("a request with this Idempotency-Key is still running; ask again for its answer");
        }
        Ok(Keyed::Run(Running { replays: self, key: Some(key), request }))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A key that is taken; it is free again when this goes away without an answer.
#[derive(Debug)]
pub struct Running<'a> {
    replays: &'a Replays,
    key: Option<String>,
    request: String,
}

impl Running<'_> {
    /// Remembers the answer. One that holds a secret stays in memory only.
    pub async fn finish(mut self, status: u16, body: String, secret: bool, now: Time) -> io::Result<()> {
        let Some(key) = self.key.clone() else { return Ok(()) };
        let stored = Stored { key: key.clone(), request: std::mem::take(&mut self.request), status, body, at: now };
        if !secret {
            self.replays.journal.append(&stored).await?;
        }
        let mut known = self.replays.lock();
        if known.answers.len() >= SWEEP_ABOVE {
            known.answers.retain(|_, s| now.since(s.at) < KEPT_FOR);
        }
        known.answers.insert(key.clone(), stored);
        known.running.remove(&key);
        self.key = None;
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.replays.lock().running.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::testing::scratch;

    fn take<'a>(replays: &'a Replays, request: &str, now: Time) -> Result<Keyed<'a>, Refusal> {
        replays.take("tok k".into(), request.into(), now)
    }

    #[tokio::test]
    async fn the_first_answer_comes_back_also_after_a_restart_until_a_day_is_over() {
        let dir = scratch("replay");
        let replays = Replays::open(dir.path(), Time(0)).unwrap();
        let Ok(Keyed::Run(running)) = take(&replays, "r", Time(0)) else { panic!("a new key runs") };
        assert!(take(&replays, "r", Time(0)).unwrap_err().message.contains("still running"));
        running.finish(202, "{}".into(), false, Time(0)).await.unwrap();

        let replays = Replays::open(dir.path(), Time(1)).unwrap();
        let Ok(Keyed::Replay(first)) = take(&replays, "r", Time(1)) else { panic!("a known key replays") };
        assert_eq!((first.status, first.body.as_str()), (202, "{}"));
        assert_eq!(take(&replays, "other", Time(1)).unwrap_err().code, ErrorCode::Conflict);
        assert!(matches!(take(&replays, "other", Time(86_400_000)), Ok(Keyed::Run(_))));
    }

    #[tokio::test]
    async fn a_try_without_an_answer_frees_its_key_and_secrets_stay_off_the_disk() {
        let dir = scratch("replay");
        let replays = Replays::open(dir.path(), Time(0)).unwrap();
        drop(take(&replays, "r", Time(0)).unwrap());
        let Ok(Keyed::Run(running)) = take(&replays, "r", Time(0)) else { panic!("the key is free again") };
        running.finish(201, "opsctl_planted".into(), true, Time(0)).await.unwrap();
        assert!(matches!(take(&replays, "r", Time(1)), Ok(Keyed::Replay(_))));
        assert!(!std::fs::read_to_string(dir.path().join(FILE)).unwrap().contains("planted"));
    }
}

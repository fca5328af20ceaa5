//! What is remembered of scheduled jobs: one file for each, by context.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::analysis::jobs::{Job, Run};
use crate::app::App;
use crate::files::{make_directory, read_if_there, write_whole};

/// Runs that are remembered of each job.
const RUNS: usize = 50;
/// Size at which a job's log starts anew; the one before it is kept.
const LOG: u64 = 1024 * 1024;

/// The folder of a context's jobs.
pub struct Ledger {
    folder: PathBuf,
}

impl Ledger {
    /// That of the context in use.
    pub fn of(app: &App) -> Self {
        Ledger { folder: app.settings.places.jobs().join(&app.settings.context_name.value) }
    }

    /// Every job with its name. One that cannot be read is named with the reason.
    pub fn all(&self) -> anyhow::Result<Vec<(String, Result<Job, String>)>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", self.folder.display())),
        };
        let mut jobs = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
            let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
            let job = match self.job(name) {
                Ok(Some(job)) => Ok(job),
                Ok(None) => continue,
                Err(error) => Err(format!("{error:#}")),
            };
            jobs.push((name.to_owned(), job));
        }
        jobs.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(jobs)
    }

    /// One job, if it is known.
    pub fn job(&self, name: &str) -> anyhow::Result<Option<Job>> {
        let path = self.file(name);
        let Some(text) = read_if_there(&path)? else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes one down.
    pub fn keep(&self, name: &str, job: &Job) -> anyhow::Result<()> {
        write_whole(&self.file(name), &serde_json::to_vec(job)?, true)
    }

    /// Adds a run to what is known of a job. A damaged file is begun anew.
    pub fn add(&self, name: &str, job: Job, run: Run) -> anyhow::Result<()> {
        let known = self.job(name).ok().flatten();
        let mut runs = known.as_ref().map(|known| known.runs.clone()).unwrap_or_default();
        runs.push(run);
        runs.drain(..runs.len().saturating_sub(RUNS));
        let every_ms = job.every_ms.or(known.as_ref().and_then(|known| known.every_ms));
        let since = known.map_or(job.since, |known| known.since);
        self.keep(name, &Job { every_ms, since, runs, ..job })
    }

    /// Where the log of a job is.
    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }

    /// Where a running job counts its effects.
    pub fn effects(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.effects"))
    }

    /// Adds to the log; of a long one the older half is dropped.
    pub fn write_log(&self, name: &str, text: &str) -> anyhow::Result<()> {
        make_directory(&self.folder)?;
        let path = self.log(name);
        let length = std::fs::metadata(&path).map_or(0, |found| found.len());
        if length + text.len() as u64 > LOG && length > 0 {
            std::fs::rename(&path, path.with_extension("log.1"))?;
        }
        let keep = text.len().saturating_sub(usize::try_from(LOG).unwrap_or(usize::MAX));
        let keep = (keep..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let mut options = std::fs::OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| file.write_all(&text.as_bytes()[keep..]));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

/// Counts effects of a change for whoever runs this as a job.
pub fn count_effects(app: &App, effects: u64) {
    let Some(path) = app.settings.env.non_empty(super::EFFECTS_FILE) else { return };
    let file = std::fs::OpenOptions::new().append(true).open(path);
    if let Err(error) = file.and_then(|mut file| writeln!(file, "{effects}")) {
        app.output.warn(&format!("the job does not hear of {effects} effects: {error}"));
    }
}

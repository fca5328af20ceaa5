//! Work that takes longer than an answer may: started by a route, asked about until it ends. One of a kind at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::task::AbortHandle;

use super::backend::Refusal;
use crate::clock::Clock;
use crate::wire::{ErrorCode, ErrorDetail, Job, JobState, Time};

/// Jobs that are remembered, ended ones included.
const KEPT: usize = 50;

type Shared = Arc<Mutex<Job>>;

/// The jobs of a service. Clones share them.
#[derive(Clone)]
pub struct Jobs {
    clock: Clock,
    all: Arc<Mutex<VecDeque<Entry>>>,
}

/// One that is remembered.
struct Entry {
    job: Shared,
    /// Ends it; only one that changes nothing has this.
    stop: Option<AbortHandle>,
}

/// How far a job is, told by whoever does it.
#[derive(Clone)]
pub struct Progress(Shared);

impl Progress {
    /// Of work that nobody asks about.
    pub fn unheard() -> Progress {
        Progress(Arc::new(Mutex::new(Job {
            id: String::new(),
            what: String::new(),
            state: JobState::Running,
            started_at: Time(0),
            ended_at: None,
            step: String::new(),
            done: 0,
            total: 0,
            result: None,
            error: None,
            audit_id: None,
        })))
    }

    /// Says what it is at, and how much of that is done; `total` is 0 when nobody can tell.
    pub fn at(&self, step: &str, done: u64, total: u64) {
        let mut job = lock(&self.0);
        if job.step != step {
            step.clone_into(&mut job.step);
        }
        (job.done, job.total) = (done, total);
    }
}

impl Jobs {
    /// No jobs yet.
    pub fn new(clock: Clock) -> Jobs {
        Jobs { clock, all: Arc::default() }
    }

    /// Starts one. `CONFLICT` while one of its kind runs.
    pub fn start<T, F>(
        &self,
        what: &str,
        audit_id: Option<String>,
        work: impl FnOnce(Progress) -> F,
    ) -> Result<Job, Refusal>
    where
        T: Serialize + Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        self.run(what, audit_id, false, work)
    }

    /// Starts one that only looks: it can be stopped at any moment.
    pub fn look<T, F>(
        &self,
        what: &str,
        audit_id: Option<String>,
        work: impl FnOnce(Progress) -> F,
    ) -> Result<Job, Refusal>
    where
        T: Serialize + Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        self.run(what, audit_id, true, work)
    }

    fn run<T, F>(
        &self,
        what: &str,
        audit_id: Option<String>,
        stoppable: bool,
        work: impl FnOnce(Progress) -> F,
    ) -> Result<Job, Refusal>
    where
        T: Serialize + Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let mut all = self.lock_all();
        if let Some(running) = all.iter().map(|entry| lock(&entry.job)).find(|job| is_running(job) && job.what == what)
        {
            return Err(at_work(&running, stoppable));
        }
        let job = Arc::new(Mutex::new(Job {
            id: uuid::Uuid::now_v7().to_string(),
            what: what.to_owned(),
            state: JobState::Running,
            started_at: self.clock.now(),
            ended_at: None,
            step: "start".to_owned(),
            done: 0,
            total: 0,
            result: None,
            error: None,
            audit_id,
        }));
        let work = tokio::spawn(work(Progress(Arc::clone(&job))));
        let old = all.iter().position(|entry| !is_running(&lock(&entry.job)));
        if let Some(old) = old.filter(|_| all.len() >= KEPT) {
            all.remove(old);
        }
        all.push_back(Entry { job: Arc::clone(&job), stop: stoppable.then(|| work.abort_handle()) });
        drop(all);
        let (clock, shared) = (self.clock.clone(), Arc::clone(&job));
        tokio::spawn(async move {
            let outcome = work.await.unwrap_or_else(|ended| {
                let message = match ended.is_cancelled() {
                    true => "it was stopped before its end",
                    false => "the service failed in the middle of this; look at what it did",
                };
                Err(Refusal::new(ErrorCode::UnknownError, message))
            });
            let outcome = outcome.and_then(|result| {
                serde_json::to_value(result).map_err(|e| Refusal::new(ErrorCode::UnknownError, e.to_string()))
            });
            let mut job = lock(&shared);
            job.ended_at = Some(clock.now());
            match outcome {
                Ok(result) => (job.state, job.result) = (JobState::Done, Some(result)),
                Err(refusal) => (job.state, job.error) = (JobState::Failed, Some(detail(refusal))),
            }
        });
        Ok(lock(&job).clone())
    }

    /// Ends one that only looks. One that has ended stays as it is.
    pub fn stop(&self, id: &str) -> Result<Job, Refusal> {
        let all = self.lock_all();
        let entry = all.iter().find(|entry| lock(&entry.job).id == id).ok_or_else(|| forgotten(id))?;
        let job = lock(&entry.job).clone();
        match &entry.stop {
            _ if !is_running(&job) => {}
            Some(stop) => stop.abort(),
            None => {
                let message = format!("`{}` changes something: it is not stopped halfway", job.what);
                return Err(Refusal::new(ErrorCode::Conflict, message));
            }
        }
        Ok(job)
    }

    /// One, by id.
    pub fn get(&self, id: &str) -> Result<Job, Refusal> {
        let found = self.lock_all().iter().map(|entry| lock(&entry.job).clone()).find(|job| job.id == id);
        found.ok_or_else(|| forgotten(id))
    }

    fn lock_all(&self) -> MutexGuard<'_, VecDeque<Entry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(job: &Shared) -> MutexGuard<'_, Job> {
    job.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_running(job: &Job) -> bool {
    job.state == JobState::Running
}

fn forgotten(id: &str) -> Refusal {
    Refusal::not_found(format!("job `{id}`; a restart of the service forgets them"))
}

/// Why a second one of a kind does not start, and how to end the first where that is possible.
fn at_work(running: &Job, stoppable: bool) -> Refusal {
    let stop = match stoppable {
        true => format!("; it can be stopped with `opsctl api DELETE /admin/v1/jobs/{}`", running.id),
        false => String::new(),
    };
    let message = format!("`{}` is at work already, since {}{stop}", running.what, running.started_at);
    let mut refusal = Refusal::new(ErrorCode::Conflict, message);
    refusal.details = Some(serde_json::json!({ "job": running.id }));
    refusal
}

fn detail(refusal: Refusal) -> ErrorDetail {
    let Refusal { code, message, platform, retry_after, details } = refusal;
    ErrorDetail { code, message, retriable: code.is_retriable(), platform, retry_after, details }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended(jobs: &Jobs, id: &str) -> Job {
        loop {
            let job = jobs.get(id).unwrap();
            if !is_running(&job) {
                return job;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn one_of_a_kind_runs_at_a_time_and_its_end_is_kept() {
        let jobs = Jobs::new(Clock::system());
        let (go, wait) = tokio::sync::oneshot::channel::<()>();
        let first = jobs.start("backup create", None, |progress| async move {
            progress.at("copy", 1, 2);
            let _ = wait.await;
            Ok(7)
        });
        let first = first.unwrap();
        let refused = jobs.start("backup create", None, |_| async { Ok(()) }).unwrap_err();
        assert_eq!((refused.code, refused.details.unwrap()["job"].as_str()), (ErrorCode::Conflict, Some(&*first.id)));
        let other = jobs.start("backup verify", None, |_| async {
            Err::<(), _>(Refusal::new(ErrorCode::NotFound, "there is no backup"))
        });
        let other = ended(&jobs, &other.unwrap().id).await;
        assert_eq!((other.state, other.error.unwrap().code), (JobState::Failed, ErrorCode::NotFound));
        while jobs.get(&first.id).unwrap().step != "copy" {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        let first = ended(&jobs, &first.id).await;
        assert_eq!((first.state, first.result, first.total), (JobState::Done, Some(7.into()), 2));
        assert_eq!(jobs.get("nobody").unwrap_err().code, ErrorCode::NotFound);
    }

    #[tokio::test]
    async fn what_only_looks_can_be_stopped() {
        let jobs = Jobs::new(Clock::system());
        let wait = |_| async {
            std::future::pending::<()>().await;
            Ok(())
        };
        let looks = jobs.look("look", None, wait).unwrap().id;
        let second = jobs.look("look", None, wait).unwrap_err().message;
        assert!(second.contains(&format!("`opsctl api DELETE /admin/v1/jobs/{looks}`")), "{second}");
        jobs.stop(&looks).unwrap();
        let ended = ended(&jobs, &looks).await;
        assert_eq!(ended.error.as_ref().unwrap().message, "it was stopped before its end");
        assert_eq!(jobs.stop(&looks).unwrap(), ended, "it stays as it is");
        let changes = jobs.start("change", None, wait).unwrap().id;
        assert_eq!(jobs.stop(&changes).unwrap_err().code, ErrorCode::Conflict);
        assert_eq!(jobs.stop("nobody").unwrap_err().code, ErrorCode::NotFound);
    }

    #[tokio::test]
    async fn a_panic_ends_the_job_and_old_ones_are_forgotten() {
        let jobs = Jobs::new(Clock::system());
        let failed = jobs.start("x", None, |_| async { if true { panic!("on purpose") } else { Ok(()) } }).unwrap();
        assert_eq!(ended(&jobs, &failed.id).await.error.unwrap().code, ErrorCode::UnknownError);
        for _ in 0..KEPT {
            let job = jobs.start("x", None, |_| async { Ok(()) }).unwrap();
            ended(&jobs, &job.id).await;
        }
        assert!(jobs.get(&failed.id).is_err());
    }
}

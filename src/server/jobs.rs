//! Work that takes longer than an answer may: started by a route, asked about until it ends. One of a kind at a time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

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
    all: Arc<Mutex<VecDeque<Shared>>>,
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
        let job = {
            let mut all = self.lock_all();
            if let Some(running) = all.iter().map(|job| lock(job)).find(|job| is_running(job) && job.what == what) {
                let message = format!("`{what}` is at work already, since {}", running.started_at);
                let mut refusal = Refusal::new(ErrorCode::Conflict, message);
                refusal.details = Some(serde_json::json!({ "job": running.id }));
                return Err(refusal);
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
            let old = all.iter().position(|job| !is_running(&lock(job)));
            if let Some(old) = old.filter(|_| all.len() >= KEPT) {
                all.remove(old);
            }
            all.push_back(Arc::clone(&job));
            job
        };
        let work = tokio::spawn(work(Progress(Arc::clone(&job))));
        let (clock, shared) = (self.clock.clone(), Arc::clone(&job));
        tokio::spawn(async move {
            let outcome = work.await.unwrap_or_else(|_| {
                let message = "the service failed in the middle of this; look at what it did";
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

    /// One, by id.
    pub fn get(&self, id: &str) -> Result<Job, Refusal> {
        let found = self.lock_all().iter().map(|job| lock(job).clone()).find(|job| job.id == id);
        found.ok_or_else(|| Refusal::not_found(format!("job `{id}`; a restart of the service forgets them")))
    }

    fn lock_all(&self) -> MutexGuard<'_, VecDeque<Shared>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock(job: &Shared) -> MutexGuard<'_, Job> {
    job.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_running(job: &Job) -> bool {
    job.state == JobState::Running
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

//! Restarting parts: drained first, settings that waited hold afterwards, one restart at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::bus::Event;
use super::core::Halt;
use super::runtime::Runtime;
use super::store::journal::SavedAuth;
use crate::engine::queue::Seq;
use crate::server::backend::Refusal;
use crate::server::telemetry::{LogLine, Part};
use crate::wire::{Component, ComponentState, ComponentStatus, ErrorCode, Platform, RestartAnswer, RestartPart, Time};

/// State of the parts that the index does not have.
#[derive(Debug)]
pub(super) struct Parts {
    by_part: BTreeMap<Component, (Time, u64)>,
    restarting: Option<Component>,
    pub prune_at: Time,
    pub prune_from: Seq,
    pub keep_auth_at: Time,
    pub sample_at: Time,
    pub kept_auths: Vec<(Platform, SavedAuth)>,
}

impl Parts {
    pub(super) fn new(now: Time) -> Self {
        let by_part = Component::ALL.iter().map(|part| (*part, (now, 0))).collect();
        Parts {
            by_part,
            restarting: None,
            prune_at: now,
            prune_from: 0,
            keep_auth_at: now,
            sample_at: now,
            kept_auths: Vec::new(),
        }
    }

    /// Since when a part runs, and how often it was restarted.
    fn of(&self, part: Component) -> (Time, u64) {
        self.by_part.get(&part).copied().unwrap_or_default()
    }
}

impl Runtime {
    /// Restarts a part, or one platform's executor.
    pub(super) async fn restart_part(
        &self,
        part: Component,
        platform: Option<Platform>,
        drain: Duration,
        by: &str,
    ) -> Result<RestartAnswer, Refusal> {
        if platform.is_some() && part != Component::Executors {
            let message = format!("{part} belongs to all platforms; only executors restart one by one");
            return Err(Refusal::new(ErrorCode::ValidationError, message));
        }
        let _one = self.restarting.lock().await;
        let started = Instant::now();
        self.parts().restarting = Some(part);
        let outcome = match part {
            Component::Workers => Ok(self.restart_workers(drain).await),
            Component::Queue => self.restart_queue(drain).await,
            Component::Executors => Ok(self.restart_executors(platform, drain).await),
            Component::Eventbus => {
                self.bus.restart();
                Ok(((0, 0), self.config.apply(RestartPart::Eventbus)))
            }
            Component::Database => self.restart_database().await,
        };
        {
            let mut parts = self.parts();
            parts.restarting = None;
            if outcome.is_ok() {
                let now = self.now();
                let entry = parts.by_part.entry(part).or_insert((now, 0));
                *entry = (now, entry.1 + 1);
            }
        }
        self.core().refresh(self.config.effective());
        self.pump();
        let ((drained, handed_back), applied) = outcome.inspect_err(|refusal| {
            self.telemetry.log(LogLine::error(Part::Service, format!("Restart of {part} failed: {}", refusal.message)));
        })?;
        self.bus.publish(Event::Restarted(part, applied.clone()));
        self.telemetry.log(LogLine::info(Part::Service, format!("Restart of {part} asked for by {by}")));
        Ok(RestartAnswer {
            component: part,
            platform,
            drained,
            handed_back,
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            applied,
            state: self.component(part).state,
            audit_id: None,
        })
    }

    async fn restart_workers(&self, drain: Duration) -> ((u64, u64), Vec<String>) {
        self.halt();
        let counts = self.drain(None, drain).await;
        let applied = self.config.apply(RestartPart::Workers);
        self.go_on();
        (counts, applied)
    }

    async fn restart_queue(&self, drain: Duration) -> Result<((u64, u64), Vec<String>), Refusal> {
        self.halt();
        let counts = self.drain(None, drain).await;
        let loaded = self.load_queue().await;
        let applied = self.config.apply(RestartPart::Queue);
        self.go_on();
        loaded?;
        Ok((counts, applied))
    }

    async fn restart_executors(&self, platform: Option<Platform>, drain: Duration) -> ((u64, u64), Vec<String>) {
        let chosen: Vec<Platform> =
            Platform::ALL.iter().copied().filter(|p| platform.is_none_or(|only| only == *p)).collect();
        for target in &chosen {
            self.core().post_mut(*target).executor.draining = true;
        }
        let counts = self.drain(platform, drain).await;
        let applied = self.config.apply(RestartPart::Executors);
        // A key file may have changed behind the same setting, so it is read again in any case.
        self.use_credentials(self.config.effective()).await;
        let now = self.now();
        for target in chosen {
            let mut core = self.core();
            let executor = &mut core.post_mut(target).executor;
            executor.restarted(now);
            // New credentials deserve a new look.
            executor.auth.refusal = None;
        }
        (counts, applied)
    }

    async fn restart_database(&self) -> Result<((u64, u64), Vec<String>), Refusal> {
        self.store.reopen().await?;
        let verdict = self.store.read(super::store::query::quick_check).await?;
        if verdict != "ok" {
            return Err(Refusal::new(ErrorCode::Unavailable, format!("the database is damaged: {verdict}")));
        }
        Ok(((0, 0), self.config.apply(RestartPart::Database)))
    }

    pub(super) fn halt(&self) {
        let mut core = self.core();
        core.halt = core.halt.or(Some(Halt::Restart));
    }

    pub(super) fn go_on(&self) {
        let mut core = self.core();
        core.halt = core.halt.filter(|halt| *halt == Halt::Stop);
    }

    /// A part's state.
    pub(super) fn component(&self, part: Component) -> ComponentStatus {
        let (started_at, restarts, restarting) = {
            let parts = self.parts();
            let (started_at, restarts) = parts.of(part);
            (started_at, restarts, parts.restarting == Some(part))
        };
        let (up, detail) = self.part_detail(part);
        let state = match (restarting, up) {
            (true, _) => ComponentState::Restarting,
            (false, true) => ComponentState::Up,
            (false, false) => ComponentState::Down,
        };
        ComponentStatus { component: part, state, started_at, restarts, detail }
    }

    fn part_detail(&self, part: Component) -> (bool, String) {
        let now = self.now();
        match part {
            Component::Database => match self.store.trouble() {
                Some(trouble) => (false, format!("{} (since {})", trouble.message, trouble.since)),
                None => (true, format!("SQLite, schema version {}", super::store::query::schema_version())),
            },
            Component::Eventbus => {
                let (listeners, behind, missed) = self.bus.state();
                (listeners > 0, format!("{listeners} listening, {behind} events waiting, {missed} missed"))
            }
            Component::Queue => {
                let core = self.core();
                let pause = core.paused().map(|p| format!(", paused by {}", p.owner)).unwrap_or_default();
                (true, format!("{} waiting, {} executing{pause}", core.queue.len(), core.running.len()))
            }
            Component::Executors => {
                let core = self.core();
                let taking = core.posts.iter().filter(|post| post.executor.takes_work(now)).count();
                let crashes: u64 = core.posts.iter().map(|post| post.executor.crashes).sum();
                let crashes = if crashes == 0 { String::new() } else { format!(", {crashes} crashes") };
                (taking > 0, format!("{taking} of {} running{crashes}", core.posts.len()))
            }
            Component::Workers => {
                let core = self.core();
                let (all, allowed) = (core.settings.queue_workers, core.allowed(now));
                let ramp = if allowed < all { format!(", slow start at {allowed}") } else { String::new() };
                (true, format!("{} of {all} busy{ramp}", core.busy))
            }
        }
    }
}

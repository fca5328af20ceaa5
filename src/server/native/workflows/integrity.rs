//! The comparison of what is stored, what the execution log says, and what the platforms show. It only looks, page by
//! page, and it never takes a platform that does not answer for one that agrees.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::runtime::Runtime;
use super::super::store::workflows::{integrity, query};
use super::findings::{Findings, Left};
use crate::engine::workflow::{self, Expected, State};
use crate::platforms::Platform;
use crate::platforms::undo::{Done, Seen};
use crate::server::backend::Refusal;
use crate::wire::{ErrorCode, IntegrityKind, IntegrityReport, IntegrityRequest, Time};

/// Workflows whose ids are read at once.
const PAGE: u64 = 200;
/// Refusals in a row after which a platform is not asked any more.
const GIVE_UP_AFTER: u32 = 3;
/// Longest wait for a platform's limit before one look.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Longest sleep before the limit is asked again: it may have been lifted.
const NAP: Duration = Duration::from_secs(1);

/// Looks that a platform refused, one after the other, and why.
type Refusals = BTreeMap<Platform, (u32, String)>;

/// A comparison on its way.
struct Scan<'a> {
    runtime: &'a Runtime,
    states_only: bool,
    refusals: Refusals,
    found: Findings,
}

impl Runtime {
    /// Compares. `told` hears how many workflows are done, of how many.
    pub(in crate::server::native) async fn compare(
        &self,
        request: &IntegrityRequest,
        told: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<IntegrityReport, Refusal> {
        let started = Instant::now();
        let mut scan = Scan {
            runtime: self,
            states_only: request.states_only,
            refusals: Refusals::new(),
            found: Findings::default(),
        };
        match &request.workflow_id {
            Some(id) => {
                if !scan.workflow(id).await? {
                    return Err(Refusal::not_found(format!("workflow `{id}`")));
                }
            }
            None => scan.all(request.since, request.limit.unwrap_or(u64::MAX), told).await?,
        }
        Ok(IntegrityReport {
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..scan.found.report
        })
    }
}

impl Scan<'_> {
    /// Those that only the log knows first: they are few and the worst. Then the stored ones, the last accepted first.
    async fn all(&mut self, since: Option<Time>, limit: u64, told: impl Fn(u64, u64)) -> Result<(), Refusal> {
        let store = &self.runtime.store;
        let stranded = store.read(|conn| integrity::stranded(conn, Findings::NAMED)).await?;
        let mut total = store.read(move |conn| integrity::count_since(conn, since)).await?;
        self.found.stranded(stranded);
        let mut done = 0;
        let mut last = String::new();
        loop {
            let after = last.clone();
            let page = self.runtime.store.read(move |conn| integrity::lost_after(conn, &after, since, PAGE)).await?;
            let Some(end) = page.last() else { break };
            last.clone_from(end);
            total += page.len() as u64;
            for id in page.iter().take(room(limit, done)) {
                told(done, total.min(limit));
                self.workflow(id).await?;
                done += 1;
            }
        }
        let mut place = i64::MAX;
        while done < limit {
            let page =
                self.runtime.store.read(move |conn| integrity::accepted_before(conn, place, since, PAGE)).await?;
            let Some((end, _)) = page.last() else { break };
            place = *end;
            for (_, id) in page.iter().take(room(limit, done)) {
                told(done, total.min(limit));
                self.workflow(id).await?;
                done += 1;
            }
        }
        self.found.report.left_out = total.saturating_sub(done);
        Ok(())
    }

    /// Compares one; false when there is none.
    async fn workflow(&mut self, id: &str) -> Result<bool, Refusal> {
        let owned = id.to_owned();
        let (stored, log) = self.runtime.store.read(move |conn| integrity::both(conn, &owned)).await?;
        if stored.is_none() && log.as_ref().is_ok_and(Option::is_none) {
            return Ok(false);
        }
        self.found.report.workflows += 1;
        self.found.state(id, stored.as_ref(), &log);
        let version = stored.as_ref().map(|state| state.version);
        // What is left of it after a damage says what the platforms should show: the log before the state.
        if let Some(state) = log.ok().flatten().or(stored).filter(|_| !self.states_only) {
            self.objects(&state, version).await?;
        }
        Ok(true)
    }

    /// Looks at the objects of a workflow, then whether it moved meanwhile.
    async fn objects(&mut self, state: &State, version: Option<u64>) -> Result<(), Refusal> {
        let mut looks = Vec::new();
        for (place, expected) in workflow::expectations(state) {
            let done = state.steps[place].done();
            let seen = self.look(&done).await;
            looks.push((place, expected, done, seen));
        }
        let id = state.id.clone();
        let now = self.runtime.store.read(move |conn| query::state(conn, &id)).await?.map(|state| state.version);
        for (place, expected, done, seen) in looks {
            self.found.report.objects += 1;
            let left = Left { state, step: &state.steps[place], done: &done };
            match seen {
                _ if now != version => self.found.moved(&left),
                Err(why) => self.found.unseen(&left, why),
                Ok(seen) => match expected.wrong(&done, seen) {
                    None => self.found.report.ok += 1,
                    Some((kind, what)) => self.wrong(&left, expected, kind, what).await?,
                },
            }
        }
        Ok(())
    }

    /// An object that is not as expected. Where another workflow wrote to it since, that one is asked about it instead.
    async fn wrong(
        &mut self,
        left: &Left<'_>,
        expected: Expected,
        kind: IntegrityKind,
        what: String,
    ) -> Result<(), Refusal> {
        let (own, object) = (left.state.id.clone(), left.done.object());
        let mut writer = None;
        if let (Expected::Stands, Some(action), false) = (expected, left.step.action_id.clone(), object.is_empty()) {
            let asked = self.runtime.store.read(move |conn| integrity::writer_after(conn, &own, &action, &object));
            writer = asked.await?;
        }
        match writer {
            Some(writer) if writer.answers => self.found.report.objects -= 1,
            writer => self.found.object(left, kind, what, writer),
        }
        Ok(())
    }

    /// Looks at an object once the platform's limit admits it; why not, when it cannot be seen.
    async fn look(&mut self, done: &Done) -> Result<Seen, String> {
        let platform = done.platform;
        if let Some((count, why)) = self.refusals.get(&platform)
            && *count >= GIVE_UP_AFTER
        {
            return Err(format!("not asked any more: {why}"));
        }
        let runtime = self.runtime;
        let mut waited = Duration::ZERO;
        let outcome = loop {
            let now = runtime.now();
            let until = runtime.core().post(platform).limiter.busy_until(now);
            if let Some(until) = until {
                if waited >= WAIT_MAX {
                    break Err(format!("{platform}'s rate limit left no room"));
                }
                let nap = until.since(now).clamp(Duration::from_millis(1), NAP);
                tokio::time::sleep(nap).await;
                waited += nap;
                continue;
            }
            let limit = runtime.config.effective().platform(platform).timeout;
            match runtime.calls.inspect(done, limit).await {
                Ok(seen) => break Ok(seen),
                // The refusal holds the limit: the next round waits for it.
                Err(error) if error.code == ErrorCode::RateLimited && waited < WAIT_MAX => waited += NAP,
                Err(error) => break Err(format!("{} ({})", error.message, error.code)),
            }
        };
        match &outcome {
            Ok(_) => {
                self.refusals.remove(&platform);
            }
            Err(why) => {
                let entry = self.refusals.entry(platform).or_default();
                *entry = (entry.0 + 1, why.clone());
            }
        }
        outcome
    }
}

fn room(limit: u64, done: u64) -> usize {
    usize::try_from(limit.saturating_sub(done)).unwrap_or(usize::MAX)
}

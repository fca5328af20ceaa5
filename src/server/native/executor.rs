//! One platform's executor: what it is doing and how its calls went.

use std::collections::VecDeque;
use std::time::Duration;

use super::store::journal::SavedAuth;
use crate::wire::{ExecutorState, Time};

/// Calls whose mean is shown.
const SAMPLE: usize = 100;
/// Wait before a crashed executor comes back, doubled with each crash in a row.
const CRASH_BACKOFF: Duration = Duration::from_secs(1);
/// Longest such wait.
const CRASH_BACKOFF_MAX: Duration = Duration::from_secs(30);

/// State and memory of one executor.
#[derive(Debug)]
pub(super) struct Executor {
    pub configured: bool,
    pub draining: bool,
    pub started_at: Time,
    pub crashes: u64,
    pub restarts: u64,
    pub in_flight: u64,
    pub last_success: Option<Time>,
    pub last_error: Option<(Time, String)>,
    pub auth: SavedAuth,
    back_at: Option<Time>,
    crashes_in_row: u32,
    took: VecDeque<Duration>,
}

impl Executor {
    pub(super) fn new(now: Time, auth: SavedAuth) -> Self {
        Executor {
            configured: true,
            draining: false,
            started_at: now,
            crashes: 0,
            restarts: 0,
            in_flight: 0,
            last_success: None,
            last_error: None,
            auth,
            back_at: None,
            crashes_in_row: 0,
            took: VecDeque::with_capacity(SAMPLE),
        }
    }

    pub(super) fn state(&self, now: Time) -> ExecutorState {
        if self.draining {
            ExecutorState::Draining
        } else if self.back_at(now).is_some() {
            ExecutorState::Restarting
        } else if !self.configured {
            ExecutorState::Unconfigured
        } else {
            ExecutorState::Running
        }
    }

    /// When a crashed executor comes back.
    pub(super) fn back_at(&self, now: Time) -> Option<Time> {
        self.back_at.filter(|at| *at > now)
    }

    /// Whether actions are given to it. Without a credential they would only fail, so they wait until there is one.
    pub(super) fn takes_work(&self, now: Time) -> bool {
        self.state(now) == ExecutorState::Running
    }

    pub(super) fn crashed(&mut self, now: Time, what: String) {
        self.crashes += 1;
        let backoff = CRASH_BACKOFF * 2_u32.saturating_pow(self.crashes_in_row);
        self.crashes_in_row = self.crashes_in_row.saturating_add(1).min(10);
        let back = now + backoff.min(CRASH_BACKOFF_MAX);
        self.back_at = Some(back);
        self.started_at = back;
        self.last_error = Some((now, what));
    }

    pub(super) fn restarted(&mut self, now: Time) {
        self.restarts += 1;
        self.started_at = now;
        self.draining = false;
        self.back_at = None;
        self.crashes_in_row = 0;
    }

    pub(super) fn succeeded(&mut self, now: Time, took: Duration) {
        self.last_success = Some(now);
        self.crashes_in_row = 0;
        self.auth.last_success = Some(now);
        self.auth.refusal = None;
        self.answered(took);
    }

    pub(super) fn failed(&mut self, now: Time, what: String, took: Duration) {
        self.last_error = Some((now, what));
        self.answered(took);
    }

    /// Mean of the last 100 calls, in milliseconds; 0 before the first.
    pub(super) fn avg_response_ms(&self) -> u64 {
        let sum: Duration = self.took.iter().sum();
        let count = u32::try_from(self.took.len()).unwrap_or(1).max(1);
        u64::try_from((sum / count).as_millis()).unwrap_or(u64::MAX)
    }

    fn answered(&mut self, took: Duration) {
        if self.took.len() == SAMPLE {
            self.took.pop_front();
        }
        self.took.push_back(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_crash_in_a_row_waits_longer() {
        let mut executor = Executor::new(Time(0), SavedAuth::default());
        executor.crashed(Time(0), "x".into());
        assert_eq!(
            (executor.state(Time(999)), executor.back_at(Time(999))),
            (ExecutorState::Restarting, Some(Time(1000)))
        );
        assert_eq!(executor.state(Time(1000)), ExecutorState::Running);
        executor.crashed(Time(1000), "x".into());
        assert_eq!(executor.back_at(Time(1000)), Some(Time(3000)));
        for _ in 0..40 {
            executor.crashed(Time(0), "x".into());
        }
        assert_eq!(executor.back_at(Time(0)), Some(Time(30_000)));
        executor.succeeded(Time(0), Duration::from_millis(10));
        executor.crashed(Time(0), "x".into());
        assert_eq!((executor.back_at(Time(0)), executor.crashes), (Some(Time(1000)), 43));
    }
}

//! The circuit breaker of one platform.
//!
//! Time moves it lazily: an OPEN circuit whose time is over is HALF_OPEN for whoever asks. The transition itself is
//! recorded by [`Circuit::tick`] or by the next call that touches the circuit.

use std::collections::VecDeque;
use std::time::Duration;

use crate::wire::{CircuitState, CircuitStatus, CircuitTransition, ErrorCode, Platform, Time};

/// When it opens and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures within `window` that open it.
    pub failures: u32,
    /// How long a failure counts.
    pub window: Duration,
    /// How long it stays OPEN.
    pub open_for: Duration,
    /// Successful probes that close it.
    pub successes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { failures: 5, window: Duration::from_secs(60), open_for: Duration::from_secs(30), successes: 2 }
    }
}

/// Leave to make one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    /// Whether the call is the one probe of a HALF_OPEN circuit.
    pub probe: bool,
}

/// What survives a restart of the service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// OPEN since, if it is not CLOSED.
    pub opened_at: Option<Time>,
    /// Failures counted.
    pub failure_count: u64,
    /// The last counted failure.
    pub last_failure: Option<Time>,
    /// Transitions so far.
    pub version: u64,
}

/// One platform's breaker.
#[derive(Debug)]
pub struct Circuit {
    platform: Platform,
    limits: Limits,
    enabled: bool,
    state: CircuitState,
    /// Moments of the failures that count while CLOSED, oldest first.
    recent: VecDeque<Time>,
    failure_count: u64,
    last_failure: Option<Time>,
    opened_at: Option<Time>,
    probing: bool,
    successes: u32,
    version: u64,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(platform: Platform, limits: Limits) -> Self {
        Circuit {
            platform,
            limits,
            enabled: true,
            state: CircuitState::Closed,
            recent: VecDeque::new(),
            failure_count: 0,
            last_failure: None,
            opened_at: None,
            probing: false,
            successes: 0,
            version: 0,
        }
    }

    /// A circuit as it was when the service ended.
    pub fn restore(platform: Platform, limits: Limits, saved: Saved) -> Self {
        let mut circuit = Circuit::new(platform, limits);
        circuit.version = saved.version;
        circuit.last_failure = saved.last_failure;
        if saved.opened_at.is_some() {
            circuit.state = CircuitState::Open;
            circuit.opened_at = saved.opened_at;
            circuit.failure_count = saved.failure_count;
        }
        circuit
    }

    /// What to keep over a restart.
    pub fn saved(&self) -> Saved {
        Saved {
            opened_at: self.opened_at,
            failure_count: self.failure_count,
            last_failure: self.last_failure,
            version: self.version,
        }
    }

    /// New limits; they hold from the next event on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether it guards calls at all. A disabled circuit lets everything through and still counts.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// Whether it guards calls at all.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Moves with every transition.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Successful probes so far while HALF_OPEN.
    pub fn probe_successes(&self) -> u32 {
        self.successes
    }

    /// The state at a moment.
    pub fn state(&self, now: Time) -> CircuitState {
        match self.will_reset_at() {
            Some(at) if self.state == CircuitState::Open && now >= at => CircuitState::HalfOpen,
            _ => self.state,
        }
    }

    /// The runbook's view at a moment.
    pub fn status(&self, now: Time) -> CircuitStatus {
        let state = self.state(now);
        let failure_count = match state {
            CircuitState::Closed => self.recent.iter().filter(|at| now.since(**at) < self.limits.window).count() as u64,
            _ => self.failure_count,
        };
        CircuitStatus {
            platform: self.platform,
            state,
            failure_count,
            last_failure: self.last_failure,
            opened_at: self.opened_at,
            will_reset_at: self.will_reset_at().filter(|_| state == CircuitState::Open),
        }
    }

    /// When an OPEN circuit lets a probe through.
    pub fn will_reset_at(&self) -> Option<Time> {
        self.opened_at.map(|at| at + self.limits.open_for).filter(|_| self.state == CircuitState::Open)
    }

    /// Whether a call may go through now.
    pub fn admits(&self, now: Time) -> bool {
        !self.enabled
            || match self.state(now) {
                CircuitState::Closed => true,
                CircuitState::Open => false,
                CircuitState::HalfOpen => !self.probing,
            }
    }

    /// Takes leave for a call. `None` when the circuit refuses it.
    pub fn acquire(&mut self, now: Time) -> (Option<Permit>, Option<CircuitTransition>) {
        if !self.admits(now) {
            return (None, None);
        }
        let moved = self.tick(now);
        let probe = self.enabled && self.state == CircuitState::HalfOpen;
        self.probing |= probe;
        (Some(Permit { probe }), moved)
    }

    /// Records an OPEN circuit whose time is over.
    pub fn tick(&mut self, now: Time) -> Option<CircuitTransition> {
        if self.state != CircuitState::Open || self.state(now) != CircuitState::HalfOpen {
            return None;
        }
        self.successes = 0;
        self.probing = false;
        let reason = format!("{}s over", self.limits.open_for.as_secs());
        Some(self.enter(CircuitState::HalfOpen, now, reason))
    }

    /// The call worked, or failed in a way that shows the platform is there.
    pub fn succeeded(&mut self, permit: Permit, now: Time) -> Option<CircuitTransition> {
        if !permit.probe || self.state != CircuitState::HalfOpen {
            return None;
        }
        self.probing = false;
        self.successes += 1;
        if self.successes < self.limits.successes {
            return None;
        }
        let reason = format!("{} of {} probes", self.successes, self.limits.successes);
        Some(self.close(now, reason))
    }

    /// The call failed in a way that counts ([`ErrorCode::counts_for_circuit`]).
    pub fn failed(&mut self, permit: Permit, code: ErrorCode, now: Time) -> Option<CircuitTransition> {
        self.last_failure = Some(now);
        match self.state {
            CircuitState::Closed => {
                let window = self.limits.window;
                self.recent.retain(|at| now.since(*at) < window);
                self.recent.push_back(now);
                if self.recent.len() < self.limits.failures as usize {
                    return None;
                }
                self.failure_count = self.recent.len() as u64;
                let reason = format!("{} failures in {}s, last {code}", self.failure_count, window.as_secs());
                Some(self.open(now, reason))
            }
            // Calls that were in flight when it opened land here.
            CircuitState::Open => {
                self.failure_count += 1;
                None
            }
            CircuitState::HalfOpen => {
                self.failure_count += 1;
                permit.probe.then(|| self.open(now, format!("probe failed: {code}")))
            }
        }
    }

    /// The call says nothing about the platform (rate limit, authentication, given up): the probe is free again.
    pub fn released(&mut self, permit: Permit) {
        self.probing &= !permit.probe;
    }

    /// Closes it by hand. `None` when it is CLOSED already.
    pub fn reset(&mut self, by: &str, now: Time) -> Option<CircuitTransition> {
        let _ = self.tick(now);
        (self.state != CircuitState::Closed).then(|| self.close(now, format!("reset by {by}")))
    }

    fn open(&mut self, now: Time, reason: String) -> CircuitTransition {
        self.opened_at = Some(now);
        self.probing = false;
        self.successes = 0;
        self.recent.clear();
        self.enter(CircuitState::Open, now, reason)
    }

    fn close(&mut self, now: Time, reason: String) -> CircuitTransition {
        let moved = self.enter(CircuitState::Closed, now, reason);
        self.opened_at = None;
        self.failure_count = 0;
        self.recent.clear();
        self.probing = false;
        moved
    }

    fn enter(&mut self, to: CircuitState, now: Time, reason: String) -> CircuitTransition {
        let from = std::mem::replace(&mut self.state, to);
        self.version += 1;
        CircuitTransition { at: now, platform: self.platform, from, to, reason, failure_count: self.failure_count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Permit = Permit { probe: false };
    const DOWN: ErrorCode = ErrorCode::ServiceDown;

    fn at(seconds: i64) -> Time {
        Time(seconds * 1000)
    }

    fn opened(now: Time) -> Circuit {
        let mut circuit = Circuit::new(Platform::Notion, Limits::default());
        let moves: Vec<_> = (0..5).filter_map(|_| circuit.failed(CALL, DOWN, now)).collect();
        assert_eq!(moves.len(), 1);
        assert_eq!(moves[0].reason, "5 failures in 60s, last SERVICE_DOWN");
        circuit
    }

    #[test]
    fn five_failures_open_it_for_thirty_seconds() {
        let circuit = opened(at(0));
        assert_eq!(circuit.state(Time(29_999)), CircuitState::Open);
        assert_eq!(circuit.status(at(1)).will_reset_at, Some(at(30)));
        assert_eq!(circuit.state(at(30)), CircuitState::HalfOpen);
        assert_eq!(circuit.status(at(30)).will_reset_at, None);
        assert_eq!(circuit.status(at(30)).opened_at, Some(at(0)));
    }

    #[test]
    fn failures_spread_over_more_than_the_window_do_not() {
        let mut circuit = Circuit::new(Platform::Notion, Limits::default());
        for second in [0, 20, 40, 55, 60] {
            assert_eq!(circuit.failed(CALL, DOWN, at(second)), None);
        }
        assert_eq!(circuit.status(at(60)).failure_count, 4);
        assert!(circuit.failed(CALL, DOWN, at(61)).is_some());
    }

    #[test]
    fn failures_that_land_late_still_count() {
        let mut circuit = opened(at(0));
        assert_eq!(circuit.failed(CALL, DOWN, at(1)), None);
        assert_eq!(circuit.failed(CALL, DOWN, at(2)), None);
        let status = circuit.status(at(2));
        assert_eq!((status.failure_count, status.last_failure, status.opened_at), (7, Some(at(2)), Some(at(0))));
    }

    #[test]
    fn one_probe_at_a_time_and_two_close_it() {
        let mut circuit = opened(at(0));
        assert_eq!(circuit.acquire(at(29)), (None, None));
        let (probe, moved) = circuit.acquire(at(30));
        assert_eq!(moved.map(|m| (m.to, m.reason)), Some((CircuitState::HalfOpen, "30s over".into())));
        assert_eq!(circuit.acquire(at(30)).0, None);
        assert_eq!(circuit.succeeded(probe.unwrap(), at(31)), None);
        assert_eq!(circuit.probe_successes(), 1);
        let (probe, _) = circuit.acquire(at(31));
        let moved = circuit.succeeded(probe.unwrap(), at(32)).unwrap();
        assert_eq!((moved.to, moved.reason.as_str()), (CircuitState::Closed, "2 of 2 probes"));
        assert_eq!(circuit.status(at(32)).failure_count, 0);
        assert_eq!(circuit.version(), 3);
    }

    #[test]
    fn a_failed_probe_opens_it_again_and_a_late_failure_does_not() {
        let mut circuit = opened(at(0));
        let (probe, _) = circuit.acquire(at(30));
        assert_eq!(circuit.failed(CALL, DOWN, at(30)), None);
        let moved = circuit.failed(probe.unwrap(), DOWN, at(31)).unwrap();
        assert_eq!((moved.from, moved.to), (CircuitState::HalfOpen, CircuitState::Open));
        assert_eq!(circuit.status(at(32)).will_reset_at, Some(at(61)));
    }

    #[test]
    fn a_rate_limited_probe_is_given_back() {
        let mut circuit = opened(at(0));
        let (probe, _) = circuit.acquire(at(30));
        circuit.released(probe.unwrap());
        assert_eq!(circuit.acquire(at(30)).0, Some(Permit { probe: true }));
    }

    #[test]
    fn a_reset_closes_it_and_a_disabled_one_lets_everything_through() {
        let mut circuit = opened(at(0));
        circuit.set_enabled(false);
        assert_eq!(circuit.acquire(at(1)).0, Some(CALL));
        circuit.set_enabled(true);
        assert_eq!(circuit.reset("ana", at(2)).unwrap().reason, "reset by ana");
        assert_eq!(circuit.reset("ana", at(2)), None);
        assert!(circuit.admits(at(2)));
    }

    #[test]
    fn it_survives_a_restart() {
        let circuit = opened(at(0));
        let again = Circuit::restore(Platform::Notion, Limits::default(), circuit.saved());
        assert_eq!(again.status(at(10)), circuit.status(at(10)));
    }
}

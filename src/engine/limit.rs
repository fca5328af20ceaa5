//! The request limit of one platform: fixed windows, and the hold a platform asks for with `Retry-After`.

use std::time::Duration;

use crate::wire::{Platform, RateLimitStatus, Time};

/// Requests per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a window admits, at least 1.
    pub requests: u64,
    /// Its length.
    pub window: Duration,
}

impl Rate {
    /// The documented rate of a platform; `<P>_RATE_LIMIT` changes `requests`, never the window.
    pub const fn documented(platform: Platform) -> Rate {
        let (requests, seconds) = match platform {
            Platform::Notion => (3, 1),
            Platform::Trello => (100, 10),
            Platform::Slack => (1, 1),
            Platform::Drive => (1000, 100),
            Platform::Sheets => (100, 100),
        };
        Rate { requests, window: Duration::from_secs(seconds) }
    }
}

/// One platform's limiter. A window starts with the first request after the one before it ended.
#[derive(Debug)]
pub struct Limiter {
    platform: Platform,
    rate: Rate,
    started: Time,
    used: u64,
    held_until: Option<Time>,
}

impl Limiter {
    /// A limiter with an untouched window.
    pub fn new(platform: Platform, rate: Rate) -> Self {
        Limiter { platform, rate, started: Time(i64::MIN), used: 0, held_until: None }
    }

    /// A new rate; the window that runs goes on.
    pub fn set_rate(&mut self, rate: Rate) {
        self.rate = rate;
    }

    /// Until when requests have to wait; `None` when one may go now.
    pub fn blocked_until(&self, now: Time) -> Option<Time> {
        let held = self.held_until.filter(|until| *until > now);
        let full = self.running(now) && self.used >= self.rate.requests;
        let window = full.then(|| self.started + self.rate.window);
        held.max(window)
    }

    /// Until when a request that can wait has to: it leaves half of every window to the work.
    pub fn busy_until(&self, now: Time) -> Option<Time> {
        let half = self.running(now) && self.used * 2 >= self.rate.requests.max(2);
        self.blocked_until(now).max(half.then(|| self.started + self.rate.window))
    }

    /// Counts a request. The caller has asked [`Limiter::blocked_until`] or has a reason not to.
    pub fn count(&mut self, now: Time) {
        if !self.running(now) {
            self.started = now;
            self.used = 0;
        }
        self.used += 1;
    }

    /// A counted request was not made after all.
    pub fn give_back(&mut self, now: Time) {
        if self.running(now) {
            self.used -= 1;
        }
    }

    /// The platform asked to wait. A shorter wait never shortens a longer one.
    pub fn hold(&mut self, until: Time) {
        self.held_until = self.held_until.max(Some(until));
    }

    /// The runbook's view.
    pub fn status(&self, now: Time) -> RateLimitStatus {
        let current = if self.running(now) { self.used } else { 0 };
        let ends = if self.running(now) { self.started } else { now } + self.rate.window;
        RateLimitStatus {
            platform: self.platform,
            current,
            limit: self.rate.requests,
            window: format!("{}s", self.rate.window.as_secs()),
            percentage: (current * 100).div_ceil(self.rate.requests.max(1)).min(100),
            reset_at: ends.max(self.held_until.unwrap_or(ends)),
        }
    }

    fn running(&self, now: Time) -> bool {
        self.used > 0 && now < self.started + self.rate.window && now >= self.started
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_a_second_for_notion() {
        let mut limiter = Limiter::new(Platform::Notion, Rate::documented(Platform::Notion));
        assert_eq!(limiter.blocked_until(Time(500)), None);
        limiter.count(Time(500));
        assert_eq!(limiter.busy_until(Time(500)), None);
        limiter.count(Time(500));
        assert_eq!(limiter.busy_until(Time(500)), Some(Time(1500)), "half of it is for the work");
        assert_eq!(limiter.blocked_until(Time(500)), None);
        limiter.count(Time(500));
        assert_eq!(limiter.blocked_until(Time(1499)), Some(Time(1500)));
        let status = limiter.status(Time(1000));
        assert_eq!((status.current, status.limit, status.percentage), (3, 3, 100));
        assert_eq!((status.window.as_str(), status.reset_at), ("1s", Time(1500)));
        limiter.give_back(Time(1000));
        assert_eq!((limiter.blocked_until(Time(1000)), limiter.status(Time(1000)).current), (None, 2));
        assert_eq!(limiter.blocked_until(Time(1500)), None);
        limiter.give_back(Time(1500));
        assert_eq!(limiter.status(Time(1500)).current, 0);
    }

    #[test]
    fn a_hold_beats_the_window() {
        let mut limiter = Limiter::new(Platform::Slack, Rate::documented(Platform::Slack));
        limiter.count(Time(0));
        limiter.hold(Time(30_000));
        limiter.hold(Time(5_000));
        assert_eq!(limiter.blocked_until(Time(2_000)), Some(Time(30_000)));
        assert_eq!(limiter.status(Time(2_000)).reset_at, Time(30_000));
        assert_eq!(limiter.blocked_until(Time(30_000)), None);
    }

    #[test]
    fn a_clock_set_back_does_not_block_for_ever() {
        let mut limiter = Limiter::new(Platform::Slack, Rate::documented(Platform::Slack));
        limiter.count(Time(1_000_000));
        assert_eq!(limiter.blocked_until(Time(0)), None);
    }
}

//! The adaptive bucket. Pure: it is handed `now`.
//!
//! Tokens come at the published rate into a bucket that first holds a minute's worth, since providers differ in what
//! they allow at once: a burst and then a rate, so many a second, so many a minute. The first refusal tells: from then
//! on the bucket holds what was let through before it, less a second's worth, and everybody waits as long as it says.
//! Tokens keep coming during that wait, so that a long one (a minute's budget used up) earns a burst and a short one
//! does not. The answers are believed, not the table.
//!
//! The bucket holds at least half a request more than one: who wakes up late for a token still gets the next in time.
//! Without that every late moment is lost for good. A provider that refuses even this is taken by the letter.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::Time;

/// How much the bucket holds at first, in seconds of its rate.
const FIRST_BURST: f64 = 60.0;

/// Requests in flight to begin with, and at most.
const WIDTH: (usize, usize) = (4, 16);

/// The least the bucket holds, in requests: one, and what makes up for waking up late; then one alone.
const LEAST: (f64, f64) = (1.5, 1.0);

/// How long everybody waits when the provider does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// After this long without a request what was learned is forgotten: limits change.
const FORGET: Duration = Duration::from_secs(600);

/// What is known of one credential's limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    rate: f64,
    capacity: f64,
    tokens: f64,
    at: Time,
    hold_until: Time,
    sent: u64,
    refused: u64,
    width: usize,
}

impl Bucket {
    /// A full bucket.
    pub fn new(rate: f64, now: Time) -> Self {
        let capacity = (rate * FIRST_BURST).max(1.0);
        let (sent, refused, width) = (0, 0, WIDTH.0);
        Bucket { rate, capacity, tokens: capacity, at: now, hold_until: Time(0), sent, refused, width }
    }

    /// Nothing but the rate: for a share of what others use too.
    pub fn without_burst(&mut self) {
        (self.capacity, self.tokens) = (1.0, 1.0);
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Requests that may be in flight.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How long everybody has to wait still.
    pub fn held(&self, now: Time) -> Option<Duration> {
        Some(self.hold_until.since(now)).filter(|wait| !wait.is_zero())
    }

    /// As it is for whoever comes now: forgotten after a long rest, and made for this rate.
    #[must_use]
    pub fn current(self, rate: f64, now: Time) -> Self {
        let same_rate = (self.rate - rate).abs() < f64::EPSILON;
        if same_rate && now.since(self.at) < FORGET && self.at.0 <= now.0 + 60_000 {
            return self;
        }
        Bucket { hold_until: self.hold_until.min(now + DEFAULT_WAIT * 60), ..Bucket::new(rate, now) }
    }

    /// Takes a token for a request, or says how long until there is one.
    pub fn take(&mut self, now: Time) -> Result<(), Duration> {
        if let Some(wait) = self.wait(now) {
            return Err(wait);
        }
        self.tokens -= 1.0;
        self.sent += 1;
        Ok(())
    }

    /// How long until a request may go; `None`: now.
    pub fn wait(&mut self, now: Time) -> Option<Duration> {
        self.refill(now);
        if let Some(wait) = self.held(now) {
            return Some(wait);
        }
        let missing = 1.0 - self.tokens;
        // Whole milliseconds, as the clock has them.
        (missing > 1e-9).then(|| Duration::from_millis((missing / self.rate * 1000.0).ceil() as u64))
    }

    /// A request was let through. As long as nothing was refused, more may be in flight.
    pub fn let_through(&mut self) {
        if self.refused == 0 {
            self.width = (self.width + 1).min(WIDTH.1);
        }
    }

    /// A request was refused for its rate.
    pub fn refused(&mut self, now: Time, retry_after: Option<Duration>) {
        self.refill(now);
        self.refused += 1;
        // What was sent before the last refusal was heard of says nothing new.
        let by_the_letter = self.capacity <= LEAST.0 && self.held(now).is_none();
        let least = if by_the_letter { LEAST.1 } else { LEAST.0.min(self.capacity) };
        // A second's worth less: that much comes while the provider still counts the burst.
        let let_through = self.sent.saturating_sub(self.refused) as f64 - self.rate;
        self.capacity = let_through.min(self.capacity).max(least);
        self.tokens = 0.0;
        self.hold_until = self.hold_until.max(now + retry_after.unwrap_or(DEFAULT_WAIT));
    }

    fn refill(&mut self, now: Time) {
        let passed = now.since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.capacity);
        self.at = now.max(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A provider that lets so much through at once and so much a second, or so much in each window, the first of which
    /// began so many milliseconds before.
    enum Provider {
        Tokens { rate: f64, burst: f64, tokens: f64, at: i64 },
        Window { into: i64, length: i64, limit: u32, number: i64, used: u32 },
    }

    impl Provider {
        /// `None` when let through, else the whole seconds to wait.
        fn admit(&mut self, now: i64) -> Option<u64> {
            match self {
                Provider::Tokens { rate, burst, tokens, at } => {
                    *tokens = (*tokens + (now - *at) as f64 / 1000.0 * *rate).min(*burst);
                    *at = now;
                    if *tokens >= 1.0 {
                        *tokens -= 1.0;
                        return None;
                    }
                    Some(((1.0 - *tokens) / *rate).ceil().max(1.0) as u64)
                }
                Provider::Window { into, length, limit, number, used } => {
                    let now = now + *into;
                    if now / *length != *number {
                        (*number, *used) = (now / *length, 0);
                    }
                    if *used < *limit {
                        *used += 1;
                        return None;
                    }
                    Some(((((*number + 1) * *length - now) as f64) / 1000.0).ceil().max(1.0) as u64)
                }
            }
        }
    }

    /// Requests of 150 ms each, in a world of whole milliseconds where whoever waits for a token wakes up up to so many
    /// too late: when the last was let through, and refusals.
    fn drive(provider: &mut Provider, requests: usize, late: i64) -> (f64, usize, usize) {
        let mut bucket = Bucket::new(3.0, Time(0));
        let (mut left, mut refusals, mut most, mut asleep) = (requests, 0, 0, 0);
        let mut in_flight: Vec<(i64, Option<u64>)> = Vec::new();
        for now in 0.. {
            for (_, refused) in in_flight.extract_if(.., |(ends, _)| *ends <= now) {
                match refused {
                    None => bucket.let_through(),
                    Some(wait) => {
                        left += 1;
                        refusals += 1;
                        bucket.refused(Time(now), Some(Duration::from_secs(wait)));
                    }
                }
            }
            if left == 0 && in_flight.is_empty() {
                return (now as f64 / 1000.0, refusals, most);
            }
            while left > 0 && in_flight.len() < bucket.width() && now >= asleep {
                if let Err(wait) = bucket.take(Time(now)) {
                    asleep = now + wait.as_millis() as i64 + (now * 7919) % (late + 1);
                    break;
                }
                left -= 1;
                let refused = provider.admit(now);
                // A refusal comes at once.
                in_flight.push((now + if refused.is_some() { 2 } else { 150 }, refused));
                most = most.max(in_flight.len());
            }
        }
        unreachable!("the loop ends when nothing is left")
    }

    #[test]
    fn it_comes_close_to_the_bound_of_every_kind_of_limit() {
        let tokens = |_| Provider::Tokens { rate: 3.0, burst: 3.0, tokens: 3.0, at: 0 };
        let second = |into| Provider::Window { into, length: 1000, limit: 3, number: -1, used: 0 };
        let minute = |into| Provider::Window { into, length: 60_000, limit: 180, number: -1, used: 0 };
        type Kind = (&'static str, fn(i64) -> Provider, f64);
        let kinds: [Kind; 3] =
            [("bucket", tokens, 99.15 * 1.01), ("window", second, 99.15 * 1.01), ("minute", minute, 60.15 * 1.05)];
        for (name, provider, bound) in kinds {
            for (into, late) in [(300, 0), (300, 2), (300, 20), (600, 0), (900, 20)] {
                let (took, refusals, most) = drive(&mut provider(into), 300, late);
                assert!(took <= bound, "{name}, {into} ms into it, {late} ms late: {took} s, the bound is {bound}");
                assert!(refusals <= 2 * most, "{name}: {refusals} refusals with {most} in flight");
            }
        }
        // Begun right after a second's start, the makeweight for waking late is one too many: one refusal more.
        let (took, refusals, _) = drive(&mut second(0), 300, 20);
        assert!(took <= 99.15 * 1.03 && refusals <= 3, "{took} s, {refusals} refusals");
    }

    #[test]
    fn a_provider_that_counts_to_the_letter_is_obeyed_to_the_letter() {
        let mut bucket = Bucket::new(3.0, Time(0));
        for _ in 0..4 {
            bucket.take(Time(0)).unwrap();
        }
        // Two of them, sent together.
        bucket.refused(Time(10), None);
        bucket.refused(Time(20), None);
        assert_eq!(bucket.capacity, LEAST.0);
        bucket.take(Time(2000)).unwrap();
        bucket.refused(Time(2010), None);
        assert_eq!(bucket.capacity, LEAST.1);
    }

    #[test]
    fn a_long_rest_forgets_and_a_hold_outlives_a_restart() {
        let mut bucket = Bucket::new(3.0, Time(0));
        for _ in 0..4 {
            bucket.take(Time(0)).unwrap();
        }
        bucket.refused(Time(0), Some(Duration::from_secs(30)));
        assert_eq!(bucket.capacity, LEAST.0);
        let later = bucket.clone().current(3.0, Time(10_000));
        assert_eq!(later.held(Time(10_000)), Some(Duration::from_secs(20)));
        assert_eq!(
            bucket.clone().current(3.0, Time(700_000)),
            Bucket { hold_until: Time(30_000), ..Bucket::new(3.0, Time(700_000)) }
        );
        assert_eq!(bucket.current(10.0, Time(40_000)).capacity, 600.0, "another rate begins anew");
    }
}

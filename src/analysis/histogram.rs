//! Durations counted in buckets that grow by a constant factor: fixed size, mergeable, quantiles within 5 %.
//!
//! Bucket `i` holds durations from `LOWEST * GAMMA^i` up to `LOWEST * GAMMA^(i+1)`. A quantile is answered with the
//! value that is at most [`MAX_RELATIVE_ERROR`] away from both ends of its bucket. Durations below 0.1 ms count as
//! 0.1 ms and those above 11 minutes as 11 minutes: a try may last 10.

use std::time::Duration;

/// How far a quantile can be from the true one, relative to it, between [`LOWEST_MS`] and 11 minutes.
pub const MAX_RELATIVE_ERROR: f64 = 0.05;

/// Lower end of the first bucket, in milliseconds.
const LOWEST_MS: f64 = 0.1;

/// Factor from one bucket's end to the next, so that the middle of a bucket is 5 % away from both.
const GAMMA: f64 = (1.0 + MAX_RELATIVE_ERROR) / (1.0 - MAX_RELATIVE_ERROR);

/// `LOWEST_MS * GAMMA^BUCKETS` is a little over 11 minutes.
const BUCKETS: usize = 158;

/// How many durations fell into each bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { counts: [0; BUCKETS] }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        let ratio = duration.as_secs_f64() * 1000.0 / LOWEST_MS;
        // A cast from a negative or huge float saturates: too short is the first bucket.
        let bucket = (ratio.ln() / GAMMA.ln()) as usize;
        self.counts[bucket.min(BUCKETS - 1)] += 1;
    }

    /// Adds another's counts to these.
    pub fn merge(&mut self, other: &Histogram) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The duration, in milliseconds, that a part `q` (0 to 1) of all does not exceed (nearest rank); `None` when there
    /// is none.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total: u64 = self.counts.iter().sum();
        let rank = ((total as f64 * q).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        let low = LOWEST_MS * GAMMA.powi(i32::try_from(bucket).unwrap_or(i32::MAX));
        Some(low * (1.0 + MAX_RELATIVE_ERROR))
    }

    /// The buckets that are not empty, as pairs of LEB128 numbers: how many empty ones precede it, its count.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut gap = 0;
        for count in self.counts {
            if count == 0 {
                gap += 1;
                continue;
            }
            push_number(&mut bytes, gap);
            push_number(&mut bytes, count);
            gap = 0;
        }
        bytes
    }

    /// Adds the counts of [`Histogram::to_bytes`]; what cannot be read is left out.
    pub fn merge_bytes(&mut self, mut bytes: &[u8]) {
        let mut bucket: u64 = 0;
        while let (Some(gap), Some(count)) = (take_number(&mut bytes), take_number(&mut bytes)) {
            bucket = bucket.saturating_add(gap);
            let Some(slot) = usize::try_from(bucket).ok().and_then(|i| self.counts.get_mut(i)) else { return };
            *slot = slot.saturating_add(count);
            bucket += 1;
        }
    }
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_the_documented_error() {
        for spread in [1.0, 1.7, 3.1] {
            let mut histogram = Histogram::default();
            let mut exact: Vec<f64> = (0..2000).map(|i| 0.11 * (1.0 + f64::from(i)).powf(spread).min(5e6)).collect();
            exact.iter().for_each(|ms| histogram.add(Duration::from_secs_f64(ms / 1000.0)));
            exact.sort_by(f64::total_cmp);
            for q in [0.01, 0.5, 0.95, 0.99, 1.0] {
                let want = exact[((2000.0 * q) as usize).max(1) - 1].min(660_000.0);
                let got = histogram.quantile(q).unwrap();
                assert!((got - want).abs() <= want * (MAX_RELATIVE_ERROR + 1e-6), "p{q} {got} instead of {want}");
            }
        }
    }

    /// The same numbers every time, evenly between 0 and 1.
    fn numbers(mut seed: u64) -> impl Iterator<Item = f64> {
        std::iter::repeat_with(move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed >> 11) as f64 / (1_u64 << 53) as f64
        })
    }

    /// Whatever the durations and however they are spread over histograms, each quantile of all of them is within the
    /// stated error of the exact one.
    #[test]
    fn any_quantile_of_any_durations_is_within_the_documented_error() {
        let mut random = numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..400 {
            let mut next = || random.next().unwrap();
            let (count, spread, base) = (1 + (next() * 3000.0) as usize, next() * 6.0, 0.1 * 10_f64.powf(next() * 4.0));
            let two_peaks = next() < 0.5;
            let mut parts = vec![Histogram::default(); 1 + (next() * 7.0) as usize];
            let mut exact: Vec<f64> = (0..count)
                .map(|_| {
                    let peak = if two_peaks && next() < 0.3 { 40.0 } else { 1.0 };
                    (base * peak * (next() * spread).exp()).min(600_000.0)
                })
                .collect();
            let places = parts.len();
            for (at, ms) in exact.iter().enumerate() {
                parts[at % places].add(Duration::from_secs_f64(ms / 1000.0));
            }
            let mut all = Histogram::default();
            // By way of the bytes that are stored.
            parts.iter().for_each(|part| all.merge_bytes(&part.to_bytes()));
            exact.sort_by(f64::total_cmp);
            for q in [next(), 0.5, 0.95, 0.99, 1.0] {
                let want = exact[((count as f64 * q).ceil() as usize).clamp(1, count) - 1];
                let got = all.quantile(q).unwrap();
                // A duration is cut to whole nanoseconds, a millionth of the shortest.
                let error = (got - want).abs() / want;
                assert!(error <= MAX_RELATIVE_ERROR + 1e-5, "p{q} of {count}: {got} instead of {want}");
            }
        }
    }

    #[test]
    fn ten_million_durations_take_no_more_room_than_one() {
        const COUNT: u64 = 10_000_000;
        let mut histogram = Histogram::default();
        // Each of 1 to 10 million microseconds once, in an order that jumps about: 7,368,787 has no factor of theirs.
        (0..COUNT).for_each(|i| histogram.add(Duration::from_micros(i * 7_368_787 % COUNT + 1)));
        for q in [0.5, 0.95, 0.99] {
            let (got, want) = (histogram.quantile(q).unwrap(), COUNT as f64 * q / 1000.0);
            assert!((got - want).abs() <= want * (MAX_RELATIVE_ERROR + 1e-6), "p{q}: {got} instead of {want}");
        }
        assert_eq!(std::mem::size_of_val(&histogram), 158 * 8);
        assert!(histogram.to_bytes().len() < 158 * 5, "and few bytes on disk");
    }

    #[test]
    fn the_range_covers_the_longest_try() {
        let end = LOWEST_MS * GAMMA.powi(BUCKETS as i32);
        assert!((660_000.0..760_000.0).contains(&end), "{end}");
        let mut histogram = Histogram::default();
        histogram.add(Duration::ZERO);
        assert!(histogram.quantile(0.5).unwrap() <= 0.106);
        histogram.add(Duration::from_secs(86_400));
        assert!(histogram.quantile(1.0).unwrap() >= 600_000.0);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

    #[test]
    fn bytes_give_back_the_counts_and_bad_bytes_give_nothing() {
        let mut histogram = Histogram::default();
        for ms in [1, 1, 5, 300, 40_000] {
            histogram.add(Duration::from_millis(ms));
        }
        (0..300).for_each(|_| histogram.add(Duration::from_millis(77)));
        let mut back = Histogram::default();
        back.merge_bytes(&histogram.to_bytes());
        assert_eq!(back, histogram);
        back.merge_bytes(&histogram.to_bytes());
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!(back, twice);
        let mut none = Histogram::default();
        none.merge_bytes(&[0xff; 40]);
        none.merge_bytes(&[200, 3, 1]);
        assert_eq!(none, Histogram::default());
    }
}

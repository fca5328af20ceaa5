//! A straight line through what was measured, and whether it is more than noise.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::Time;

/// Points a trend needs.
pub const POINTS_NEEDED: usize = 24;
/// Time they have to cover: two days, since most loads have a rhythm of one.
pub const SPAN_NEEDED: Duration = Duration::from_secs(48 * 3600);
/// A slope within so many of its standard errors is noise.
const NOISE: f64 = 2.0;
/// Milliseconds in a day.
const DAY: f64 = 86_400_000.0;

/// Where something goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Course {
    /// There is not enough history to tell.
    Unknown,
    /// What moves is no more than noise.
    Steady,
    /// It falls.
    Falling,
    /// It rises.
    Rising,
}

/// A line through points.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trend {
    /// Where it goes.
    pub course: Course,
    /// Change in a day; absent when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<f64>,
    /// The line's value at the last point.
    #[serde(skip)]
    last: Option<(Time, f64)>,
}

/// The least-squares line through the points, which are in order of time.
pub fn trend(points: &[(Time, f64)]) -> Trend {
    let unknown = Trend { course: Course::Unknown, per_day: None, last: None };
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else { return unknown };
    if points.len() < POINTS_NEEDED || last.since(*first) < SPAN_NEEDED {
        return unknown;
    }
    let n = points.len() as f64;
    let day = |at: Time| (at.0 - first.0) as f64 / DAY;
    let mean_x = points.iter().map(|(at, _)| day(*at)).sum::<f64>() / n;
    let mean_y = points.iter().map(|(_, value)| value).sum::<f64>() / n;
    let (mut xx, mut xy) = (0.0, 0.0);
    for (at, value) in points {
        let x = day(*at) - mean_x;
        xx += x * x;
        xy += x * (value - mean_y);
    }
    let slope = xy / xx;
    let line = |at: Time| mean_y + slope * (day(at) - mean_x);
    let left: f64 = points.iter().map(|(at, value)| (value - line(*at)).powi(2)).sum();
    let error = (left / (n - 2.0) / xx).sqrt();
    // What rounding leaves of a level line is none.
    let noise = (NOISE * error).max(mean_y.abs() * 1e-9);
    let course = match slope {
        _ if slope.abs() <= noise => Course::Steady,
        0.0.. => Course::Rising,
        _ => Course::Falling,
    };
    Trend { course, per_day: Some(slope), last: Some((*last, line(*last))) }
}

impl Trend {
    /// When the line reaches `limit`, if it rises towards it.
    pub fn reaches(&self, limit: f64) -> Option<Time> {
        let (Course::Rising, Some(slope), Some((last, value))) = (self.course, self.per_day, self.last) else {
            return None;
        };
        let days = ((limit - value) / slope).max(0.0);
        // Beyond what a calendar holds nothing is reached.
        (days < 36_500.0).then(|| Time(last.0 + (days * DAY) as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// Hourly values of `value(hour)`.
    fn hours(n: i64, value: impl Fn(f64) -> f64) -> Vec<(Time, f64)> {
        (0..n).map(|hour| (Time(hour * HOUR), value(hour as f64))).collect()
    }

    /// The same every time, between -1 and 1.
    fn noise(hour: f64) -> f64 {
        (hour * 12.9898).sin()
    }

    #[test]
    fn a_line_is_found_and_followed_to_its_limit() {
        let rising = trend(&hours(240, |hour| 10.0 + hour * 2.0 / 24.0 + noise(hour)));
        assert_eq!(rising.course, Course::Rising);
        assert!((rising.per_day.unwrap() - 2.0).abs() < 0.1, "{rising:?}");
        // 10 at hour 0 and 2 a day: 50 on day 20.
        let reached = rising.reaches(50.0).unwrap().0 as f64 / DAY;
        assert!((reached - 20.0).abs() < 1.0, "{reached}");
        assert_eq!(rising.reaches(1.0), Some(Time(239 * HOUR)), "passed already: now");
        let falling = trend(&hours(240, |hour| 100.0 - hour + noise(hour)));
        assert_eq!((falling.course, falling.reaches(200.0)), (Course::Falling, None));
    }

    #[test]
    fn noise_and_a_daily_rhythm_are_no_trend() {
        assert_eq!(trend(&hours(240, noise)).course, Course::Steady);
        let rhythm = |hour: f64| 50.0 + 20.0 * (hour / 24.0 * std::f64::consts::TAU).cos();
        assert_eq!(trend(&hours(240, rhythm)).course, Course::Steady);
        assert_eq!(trend(&hours(240, |_| 0.7)).course, Course::Steady);
    }

    #[test]
    fn little_history_is_said_to_be_little() {
        for points in [hours(0, noise), hours(23, |hour| hour), hours(48, |hour| hour)] {
            assert_eq!(trend(&points).course, Course::Unknown, "{}", points.len());
        }
        assert_eq!(trend(&hours(49, |hour| hour)).course, Course::Rising);
    }
}

//! Moments as people write them: `10m` ago, `yesterday 22:00`, `03:00`, RFC 3339.

use std::str::FromStr;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;

use super::parse_duration;
use crate::error::Fault;
use crate::wire::Time;

/// A moment in the past, as typed. It becomes an instant with [`Since::resolve`].
#[derive(Clone, Debug, PartialEq)]
pub struct Since {
    text: String,
    when: When,
}

#[derive(Clone, Debug, PartialEq)]
enum When {
    Ago(Duration),
    At(Time),
    /// A local date and time.
    Local(civil::DateTime),
    /// A local time on a day counted back from today: 0 today, 1 yesterday.
    DaysAgo(i64, civil::Time),
    /// The nearest past occurrence of a local time.
    Nearest(civil::Time),
}

impl Since {
    /// A moment this long ago; what a default is made of.
    pub fn ago(duration: Duration) -> Self {
        Since { text: super::format_duration(duration), when: When::Ago(duration) }
    }

    /// The instant. Local times are read in `zone`; one that a clock change skipped or repeated is refused.
    pub fn resolve(&self, now: Time, zone: &TimeZone) -> Result<Time, Fault> {
        let today = || local_now(now, zone).date();
        match &self.when {
            When::Ago(duration) => Ok(now.minus(*duration)),
            When::At(time) => Ok(*time),
            When::Local(at) => self.local(*at, zone),
            When::DaysAgo(days, time) => {
                let date =
                    today().checked_sub(jiff::Span::new().days(*days)).map_err(|_| self.refuse("too far back"))?;
                self.local(date.to_datetime(*time), zone)
            }
            When::Nearest(time) => {
                let at = self.local(today().to_datetime(*time), zone)?;
                if at <= now {
                    return Ok(at);
                }
                let yesterday = today().yesterday().map_err(|_| self.refuse("too far back"))?;
                self.local(yesterday.to_datetime(*time), zone)
            }
        }
    }

    /// The instant in the machine's time zone.
    pub fn resolve_here(&self, now: Time) -> Result<Time, Fault> {
        self.resolve(now, &TimeZone::system())
    }

    fn local(&self, at: civil::DateTime, zone: &TimeZone) -> Result<Time, Fault> {
        use jiff::tz::AmbiguousOffset::{Fold, Gap, Unambiguous};
        let reading = |offset: jiff::tz::Offset| offset.to_timestamp(at).map(|t| t.to_string()).unwrap_or_default();
        match zone.to_ambiguous_timestamp(at).offset() {
            Unambiguous { offset } => {
                let at = offset.to_timestamp(at).map_err(|_| self.refuse("it is out of range"))?;
                Ok(Time(at.as_millisecond()))
            }
            Gap { before, after } => Err(self
                .refuse(&format!("the clock change skips it; it could be {} or {}", reading(before), reading(after)))
                .hint("write the one you mean")),
            Fold { before, after } => Err(self
                .refuse(&format!("it happened twice: {} and {}", reading(before), reading(after)))
                .hint("write the one you mean")),
        }
    }

    fn refuse(&self, why: &str) -> Fault {
        refuse(&self.text, why)
    }
}

fn refuse(text: &str, why: &str) -> Fault {
    Fault::usage(format!("`{text}` is not a moment"))
        .because(why)
        .hint("write 10m, 2h30m, 7d, 03:00, `yesterday 22:00`, or 2025-10-17T22:00:00Z")
}

fn local_now(now: Time, zone: &TimeZone) -> civil::DateTime {
    zone.to_datetime(jiff::Timestamp::from_millisecond(now.0).unwrap_or_default())
}

fn clock_time(text: &str) -> Option<civil::Time> {
    let (hour, rest) = text.split_once(':')?;
    let (minute, second) = rest.split_once(':').unwrap_or((rest, "0"));
    civil::Time::new(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?, 0).ok()
}

impl FromStr for Since {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let typed = text.trim();
        let lower = typed.to_ascii_lowercase();
        let day = |word: &str, days: i64| {
            let rest = lower.strip_prefix(word)?;
            if rest.is_empty() {
                return Some(When::DaysAgo(days, civil::Time::midnight()));
            }
            clock_time(rest.strip_prefix(' ')?.trim()).map(|t| When::DaysAgo(days, t))
        };
        let when = if let Some(when) = day("yesterday", 1).or_else(|| day("today", 0)) {
            when
        } else if let Some(seconds) = typed.strip_prefix('@') {
            let seconds: i64 = seconds.parse().map_err(|_| refuse(text, "after `@` go the seconds since 1970"))?;
            When::At(Time(seconds.checked_mul(1000).ok_or_else(|| refuse(text, "it is out of range"))?))
        } else if let Some(time) = clock_time(typed) {
            When::Nearest(time)
        } else if typed.as_bytes().get(4) == Some(&b'-') {
            if let Ok(time) = typed.parse::<Time>() {
                When::At(time)
            } else {
                let at = typed.parse::<civil::DateTime>();
                When::Local(at.map_err(|_| refuse(text, "it looks like a date but is none"))?)
            }
        } else {
            let duration = parse_duration(typed);
            When::Ago(duration.map_err(|f| refuse(text, f.causes.first().map_or("", String::as_str)))?)
        };
        Ok(Since { text: text.to_owned(), when })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, now: &str, zone: &str) -> Result<String, Fault> {
        let zone = TimeZone::get(zone).unwrap();
        text.parse::<Since>()?.resolve(now.parse().unwrap(), &zone).map(|t| t.to_string())
    }

    #[test]
    fn moments() {
        let now = "2025-10-17T03:07:00Z";
        for (text, expected) in [
            ("10m", "2025-10-17T02:57:00.000Z"),
            ("2025-10-16T22:00:00+02:00", "2025-10-16T20:00:00.000Z"),
            ("yesterday 22:00", "2025-10-16T20:00:00.000Z"),
            ("yesterday", "2025-10-15T22:00:00.000Z"),
            ("03:00", "2025-10-17T01:00:00.000Z"),
            ("06:00", "2025-10-16T04:00:00.000Z"),
            ("2025-10-16 22:00", "2025-10-16T20:00:00.000Z"),
            ("2025-10-16", "2025-10-15T22:00:00.000Z"),
            ("@0", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(at(text, now, "Europe/Berlin").unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_a_reason() {
        for text in ["", "10", "yesterday 25:00", "soon", "2025-13-01", "@x", "25:00", "-1h", "yesterdays"] {
            let fault = at(text, "2025-10-17T03:07:00Z", "UTC").unwrap_err();
            assert!(!fault.causes[0].is_empty() && fault.hint.is_some(), "{text}");
        }
    }

    #[test]
    fn clock_changes_are_refused_with_both_readings() {
        let twice = at("2025-10-26 02:30", "2025-10-27T00:00:00Z", "Europe/Berlin").unwrap_err();
        assert!(twice.causes[0].contains("2025-10-26T00:30:00Z and 2025-10-26T01:30:00Z"), "{:?}", twice.causes);
        let skipped = at("2025-03-30 02:30", "2025-10-27T00:00:00Z", "Europe/Berlin").unwrap_err();
        assert!(skipped.causes[0].contains("skips"), "{:?}", skipped.causes);
    }
}

//! A calendar month, as typed. Months are UTC's, as the days of the report are.

use std::str::FromStr;

use jiff::civil::{self, Date};
use jiff::tz::TimeZone;

use crate::error::Fault;
use crate::wire::Time;

/// `last`, `this`, or `2026-10`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonthArg {
    /// The one before the current one.
    Last,
    /// The current one, as far as it has come.
    This,
    /// The first day of one that was named.
    Named(Date),
}

/// A month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Month {
    first: Date,
}

impl FromStr for MonthArg {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match text {
            "last" => return Ok(MonthArg::Last),
            "this" => return Ok(MonthArg::This),
            _ => {}
        }
        let named = text.split_once('-').filter(|(year, month)| year.len() == 4 && month.len() == 2);
        let named = named.and_then(|(year, month)| Date::new(year.parse().ok()?, month.parse().ok()?, 1).ok());
        named.map(MonthArg::Named).ok_or_else(|| {
            Fault::usage(format!("`{text}` is not a month"))
                .because("a month is `last`, `this`, or year and month")
                .hint("write --month last, or --month 2026-10")
        })
    }
}

impl MonthArg {
    /// The month that is meant. One that has not begun is refused.
    pub fn resolve(self, now: Time) -> Result<Month, Fault> {
        let today = TimeZone::UTC.to_datetime(jiff::Timestamp::from_millisecond(now.0).unwrap_or_default()).date();
        let this = Month { first: today.first_of_month() };
        match self {
            MonthArg::This => Ok(this),
            MonthArg::Last => Ok(this.before()),
            MonthArg::Named(first) if first > this.first => {
                Err(Fault::usage(format!("{} has not begun", Month { first }.name()))
                    .because(format!("it is {today}, UTC"))
                    .hint("write --month this for the current month so far"))
            }
            MonthArg::Named(first) => Ok(Month { first }),
        }
    }
}

impl Month {
    /// The one before.
    pub fn before(&self) -> Month {
        Month { first: self.first.yesterday().unwrap_or(self.first).first_of_month() }
    }

    /// `2026-10`.
    pub fn name(&self) -> String {
        self.first.strftime("%Y-%m").to_string()
    }

    /// Its beginning.
    pub fn from(&self) -> Time {
        start(self.first)
    }

    /// The beginning of the next one.
    pub fn to(&self) -> Time {
        start(self.first.last_of_month().tomorrow().unwrap_or(self.first))
    }
}

fn start(date: Date) -> Time {
    let at = TimeZone::UTC.to_timestamp(date.to_datetime(civil::Time::midnight()));
    Time(at.map(|at| at.as_millisecond()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(text: &str, now: &str) -> Result<(String, String, String), Fault> {
        let month = text.parse::<MonthArg>()?.resolve(now.parse().unwrap())?;
        Ok((month.name(), month.from().to_string(), month.to().to_string()))
    }

    #[test]
    fn months_and_their_bounds() {
        let month = |text, now| bounds(text, now).unwrap();
        let january =
            ("2026-01".to_owned(), "2026-01-01T00:00:00.000Z".to_owned(), "2026-02-01T00:00:00.000Z".to_owned());
        assert_eq!(month("last", "2026-02-28T23:00:00Z"), january);
        assert_eq!(month("this", "2026-01-01T00:00:00Z"), january);
        assert_eq!(month("2026-01", "2026-11-24T03:00:00Z"), january);
        assert_eq!(month("last", "2026-01-15T00:00:00Z").0, "2025-12");
    }

    #[test]
    fn what_is_no_month_or_has_not_begun_is_refused() {
        for text in ["", "next", "2026", "2026-13", "2026-1", "26-10", "2026-10-01", "10-2026"] {
            assert!(bounds(text, "2026-11-24T03:00:00Z").is_err(), "{text}");
        }
        let future = bounds("2026-12", "2026-11-30T23:59:59Z").unwrap_err();
        assert!(future.message.contains("2026-12 has not begun") && future.hint.is_some());
    }
}

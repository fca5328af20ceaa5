//! What the runbook wants to run when.

/// One job.
#[derive(Clone, Copy, Debug)]
pub struct Scheduled {
    /// Its name.
    pub name: &'static str,
    /// What it runs.
    pub line: &'static str,
    /// When, for people.
    pub when: &'static str,
    /// The longest from one start to the next.
    pub every: &'static str,
    /// When it is ended.
    pub timeout: &'static str,
    /// When, for systemd.
    pub calendar: &'static str,
    /// When, for cron: the five fields.
    pub fields: &'static str,
    /// Only on a Monday: cron runs what names a day of the month and one of the week on either, so the second is asked
    /// of the clock.
    pub monday: bool,
}

/// Every job, in the runbook's order. Two first Mondays are at most 35 days apart, two of a quarter 98.
pub const SCHEDULE: [Scheduled; 6] = [
    Scheduled {
        name: "alerts",
        line: "check alerts",
        when: "each minute",
        every: "1m",
        timeout: "50s",
        calendar: "*-*-* *:*:00",
        fields: "* * * * *",
        monday: false,
    },
    Scheduled {
        name: "health",
        line: "check health",
        when: "every 5 minutes",
        every: "5m",
        timeout: "2m",
        calendar: "*-*-* *:0/5:00",
        fields: "*/5 * * * *",
        monday: false,
    },
    Scheduled {
        name: "daily",
        line: "maintenance daily",
        when: "daily at 09:00",
        every: "25h",
        timeout: "10m",
        calendar: "*-*-* 09:00:00",
        fields: "0 9 * * *",
        monday: false,
    },
    Scheduled {
        name: "weekly",
        line: "maintenance weekly",
        when: "Mondays at 09:00",
        every: "169h",
        timeout: "2h",
        calendar: "Mon *-*-* 09:00:00",
        fields: "0 9 * * 1",
        monday: false,
    },
    Scheduled {
        name: "monthly",
        line: "maintenance monthly",
        when: "the first Monday of the month at 09:00",
        every: "841h",
        timeout: "2h",
        calendar: "Mon *-*-01..07 09:00:00",
        fields: "0 9 1-7 * *",
        monday: true,
    },
    Scheduled {
        name: "quarterly",
        line: "maintenance quarterly",
        when: "the first Monday of the quarter at 09:00",
        every: "2353h",
        timeout: "2h",
        calendar: "Mon *-01,04,07,10-01..07 09:00:00",
        fields: "0 9 1-7 1,4,7,10 *",
        monday: true,
    },
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::civil::{Date, Weekday, date};

    use super::*;
    use crate::analysis::tasks::Cadence;
    use crate::settings::parse_duration;

    /// Whether a field of cron's takes a number: `*`, `*/5`, `1-7`, `1,4,7`.
    fn takes(field: &str, number: i8) -> bool {
        field.split(',').any(|part| match part.split_once('-') {
            Some((from, to)) => (from.parse().unwrap()..=to.parse().unwrap()).contains(&number),
            None => match part.strip_prefix("*/") {
                Some(step) => number % step.parse::<i8>().unwrap() == 0,
                None => part == "*" || part.parse() == Ok(number),
            },
        })
    }

    /// Whether cron runs a job on a day: with both days restricted on either of them, else on both.
    fn runs(job: &Scheduled, day: Date) -> bool {
        let fields: Vec<&str> = job.fields.split(' ').collect();
        let (of_month, of_week) =
            (takes(fields[2], day.day()), takes(fields[4], day.weekday().to_sunday_zero_offset()));
        let days = match fields[2] == "*" || fields[4] == "*" {
            true => of_month && of_week,
            false => of_month || of_week,
        };
        let guard = !job.monday || day.weekday() == Weekday::Monday;
        takes(fields[3], day.month()) && days && guard
    }

    #[test]
    fn cron_runs_them_on_the_runbooks_days_for_years() {
        let job = |name| SCHEDULE.iter().find(|job| job.name == name).unwrap();
        let mut day = date(2024, 1, 1);
        let mut last = std::collections::BTreeMap::new();
        while day < date(2040, 1, 1) {
            assert!(runs(job("daily"), day));
            for (name, cadence) in
                [("weekly", Cadence::Weekly), ("monthly", Cadence::Monthly), ("quarterly", Cadence::Quarterly)]
            {
                assert_eq!(runs(job(name), day), cadence.began(day) == day, "{name} on {day}");
                if runs(job(name), day)
                    && let Some(before) = last.insert(name, day)
                {
                    let gap =
                        Duration::try_from(day.since((jiff::Unit::Day, before)).unwrap().to_duration(before).unwrap());
                    assert!(gap.unwrap() <= parse_duration(job(name).every).unwrap(), "{name}: {before} to {day}");
                }
            }
            day = day.tomorrow().unwrap();
        }
        // Without the guard it would be every day of the first week.
        let unguarded = Scheduled { monday: false, ..*job("monthly") };
        assert!(runs(&unguarded, date(2026, 12, 1)) && !runs(job("monthly"), date(2026, 12, 1)));
        // And with cron's own day of the week, on every Monday as well.
        let naive = Scheduled { fields: "0 9 1-7 * 1", monday: false, ..*job("monthly") };
        assert!(runs(&naive, date(2026, 12, 14)));
    }

    #[test]
    fn their_lines_are_verbs_and_their_times_durations() {
        for job in SCHEDULE {
            assert!(crate::aliases::find(job.line).is_some(), "{}", job.line);
            assert!(parse_duration(job.every).unwrap() >= parse_duration(job.timeout).unwrap(), "{}", job.name);
        }
    }
}

//! `opsctl analyze capacity`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::analysis::capacity::{Capacity, Limits, Resource, Unit, capacity};
use crate::analysis::trend::Course;
use crate::analysis::{Verdict, span};
use crate::app::{App, StaleArgs};
use crate::client::Orchestrator;
use crate::commands::args::UntilArgs;
use crate::commands::logs::left::left;
use crate::commands::logs::lines;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report, Table, percent};
use crate::settings::{Since, parse_duration};
use crate::wire::{Bucket, Time};

/// Tell what runs out, and when
///
/// Workers, queue, rate limits, store, disk and memory, as the service samples them: the mean of the newest 24 hours, the
/// peak, and the day a limit is reached if it goes on like this. A trend needs 24 hours recorded over two days; the
/// limits are those in force now.
///
/// Example: opsctl analyze capacity --since 30d
#[derive(Args, Debug)]
pub struct CapacityArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "30d")]
    since: Since,

    #[command(flatten)]
    until: UntilArgs,

    #[command(flatten)]
    stale: StaleArgs,
}

pub(super) async fn run(app: &App, args: CapacityArgs) -> anyhow::Result<Outcome> {
    // First, because it moves the clock to the sandbox's.
    let asked = async {
        let orchestrator = app.orchestrator().await?;
        Ok((orchestrator, limits(orchestrator).await?))
    };
    let asked = match asked.await {
        Ok(answered) => Ok(answered),
        Err(error) => Err(left(app, error).await?),
    };
    let now = app.now();
    let (since, until) = (args.since.resolve_here(now)?, args.until.resolve(app)?.unwrap_or(now));
    if since >= until {
        return Err(lines::empty_window(since, until, "--since 30d"));
    }
    let (history, limits) = match &asked {
        Ok((orchestrator, limits)) => (orchestrator.history(since, until, Bucket::Hour).await?, limits.clone()),
        Err(left) => (left.recorded.history(since, until, Bucket::Hour)?, Limits::default()),
    };
    let capacity = capacity(&history, &limits);
    if capacity.kept_since > since {
        app.note(format!("nothing is recorded before {}", capacity.kept_since));
    }
    app.emit(&Shown { capacity, now })?;
    Ok(match asked {
        Ok(_) => Outcome::Done,
        Err(left) => left.end(app, args.stale),
    })
}

/// What the service is held by now. A setting or a look that is refused leaves its limit unknown.
pub(in crate::commands) async fn limits(orchestrator: &Orchestrator) -> anyhow::Result<Limits> {
    let rates = orchestrator.rate_limits().await?;
    let hourly = |limit: u64, window: &str| {
        let window = parse_duration(window).ok().filter(|window| !window.is_zero())?;
        Some(limit as f64 * Duration::from_secs(3600).as_secs_f64() / window.as_secs_f64())
    };
    let requests: BTreeMap<_, _> =
        rates.iter().filter_map(|rate| Some((rate.platform, hourly(rate.limit, &rate.window)?))).collect();
    let queue = orchestrator.config_entry("QUEUE_MAX_SIZE").await.ok();
    let host = orchestrator.host().await.ok();
    Ok(Limits {
        queue: queue.and_then(|entry| entry.value?.parse().ok()),
        disk_free: host.and_then(|host| host.disk_free_bytes).map(|bytes| bytes as f64),
        requests,
    })
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown {
    capacity: Capacity,
    #[serde(skip)]
    now: Time,
}

impl Report for Shown {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.nothing() {
            return Ok(());
        }
        let mut table = Table::new(&["STATUS", "RESOURCE", ">LAST DAY", ">PEAK", ">LIMIT", ">A DAY", "LIMIT REACHED"]);
        for resource in &self.capacity.resources {
            table.row(cells(resource, self.now));
        }
        page.table(&table)?;
        if let Some(short) = self.capacity.resources.iter().filter(|r| r.is_short()).max_by_key(|r| r.hours) {
            let hours = text::counted(short.hours, "hour", "hours");
            page.blank()?;
            page.line(format_args!("{hours} recorded; a trend needs 24 over at least two days"))?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.capacity.resources.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        self.nothing().then(|| "Nothing was recorded in the window.".to_owned())
    }
}

impl Shown {
    fn nothing(&self) -> bool {
        self.capacity.resources.iter().all(|resource| resource.hours == 0)
    }
}

/// A resource in words: status, name, newest mean, peak, limit, change in a day, when the limit is reached.
pub(in crate::commands) fn cells(resource: &Resource, now: Time) -> [String; 7] {
    let figure = |value: Option<f64>| value.map(|value| figure(value, resource.unit)).unwrap_or_default();
    let judged = resource.limit.is_some() || resource.verdict == Verdict::Unknown;
    [
        // What has no limit is not judged.
        if judged { resource.verdict.to_string() } else { String::new() },
        resource.name.clone(),
        figure(resource.last_day),
        figure(resource.peak),
        figure(resource.limit),
        per_day(resource),
        outlook(resource, now),
    ]
}

fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => percent(value),
        Unit::Bytes => text::bytes(value as u64),
        Unit::Count if value < 10.0 => format!("{value:.1}"),
        Unit::Count => text::count(value.round() as u64),
    }
}

/// `+1.2 MiB`, `-0.3 points`; nothing for what does not move.
fn per_day(resource: &Resource) -> String {
    let moves = matches!(resource.trend.course, Course::Rising | Course::Falling);
    let Some(change) = resource.trend.per_day.filter(|_| moves) else { return String::new() };
    let sign = if change < 0.0 { '-' } else { '+' };
    match resource.unit {
        Unit::Share => format!("{sign}{:.1} points", change.abs() * 100.0),
        unit => format!("{sign}{}", figure(change.abs(), unit)),
    }
}

fn outlook(resource: &Resource, now: Time) -> String {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    match (resource.trend.course, resource.reached_at) {
        _ if resource.hours == 0 => "no whole hour recorded".into(),
        _ if resource.verdict == Verdict::Fail => "now".into(),
        (Course::Unknown, _) => "not enough history".into(),
        (Course::Steady, _) => "steady".into(),
        (Course::Falling, _) => "falling".into(),
        (Course::Rising, Some(at)) if at <= now + YEAR => {
            let date = at.to_string();
            format!("{}, in {}", date.get(..10).unwrap_or(&date), span(at.since(now)))
        }
        (Course::Rising, _) if resource.limit.is_some() => "not within a year".into(),
        (Course::Rising, _) => "rising".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::trend::trend;

    fn rising(unit: Unit, limit: Option<f64>) -> Resource {
        let points: Vec<_> = (0..72).map(|hour| (Time(hour * 3_600_000), hour as f64 / 24.0)).collect();
        let trend = trend(&points);
        Resource {
            name: "Queue depth".into(),
            verdict: Verdict::Ok,
            unit,
            hours: 72,
            mean: Some(1.5),
            last_day: Some(2.5),
            peak: Some(3.0),
            limit,
            trend,
            reached_at: limit.and_then(|limit| trend.reaches(limit)),
        }
    }

    #[test]
    fn an_outlook_names_the_day_or_why_there_is_none() {
        let now = Time(72 * 3_600_000);
        let cells = cells(&rising(Unit::Count, Some(13.0)), now);
        assert_eq!(cells[2..], ["2.5", "3.0", "13", "+1.0", "1970-01-14, in 10d"]);
        let share = rising(Unit::Share, Some(1000.0));
        assert_eq!((per_day(&share), outlook(&share, now)), ("+100.0 points".into(), "not within a year".into()));
        let free = rising(Unit::Bytes, None);
        assert_eq!(outlook(&free, now), "rising");
        let none = Resource { hours: 0, ..rising(Unit::Count, None) };
        assert_eq!(outlook(&none, now), "no whole hour recorded");
    }
}

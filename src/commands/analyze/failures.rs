//! `opsctl analyze failures`.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use serde::Serialize;

use super::LogArgs;
use crate::analysis::failures::{Failures, Gather, GroupBy, Hour};
use crate::app::App;
use crate::commands::args::PlatformArg;
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report, Table, percent};
use crate::settings::Since;
use crate::wire::{LogName, LogSource, Time};

/// Groups shown to a person unless told; JSON has all of them.
const SHOWN: usize = 20;

/// Group what fails, and say what is new
///
/// Error texts that differ only in ids, numbers, quoted parts and times are one group. A group is NEW when the window of
/// the same length before had none of it. Below the groups stands a bar for every hour of the window.
///
/// Example: opsctl analyze failures --since 7d --group-by error
#[derive(Args, Debug)]
pub struct FailuresArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: Since,

    /// What makes a group: error, platform, type, hour
    #[arg(long, value_name = "KEY", default_value = "error", value_parser = parse_group)]
    group_by: GroupBy,

    /// Only about this platform
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    /// Show all groups, not only the 20 largest
    #[arg(long)]
    all: bool,

    #[command(flatten)]
    log: LogArgs,
}

fn parse_group(text: &str) -> Result<GroupBy, String> {
    match text {
        "error" => Ok(GroupBy::Error),
        "platform" => Ok(GroupBy::Platform),
        "type" => Ok(GroupBy::Type),
        "hour" => Ok(GroupBy::Hour),
        _ => Err("it can be error, platform, type or hour".into()),
    }
}

pub(super) async fn failures(app: &App, args: FailuresArgs) -> anyhow::Result<Outcome> {
    let asked = args.log.find(app, LogName::Errors, &args.since).await?;
    let gather = Gather::new(asked.since, asked.until, args.group_by);
    // The window before comes with it.
    let mut filter = asked.filter(args.platform.map(|p| p.0), &["level:error"]);
    filter.since = Some(gather.begin());
    let (gather, source) = asked.put(app, &filter, gather).await?;
    let failures = gather.finish(source.oldest);
    asked.told(app, &source, &asked.filter(None, &[]));
    let grouped = Grouped { failures, source, all: args.all };
    app.emit(&grouped)?;
    Ok(asked.outcome(app, &grouped.source).await)
}

#[derive(Serialize)]
struct Grouped {
    #[serde(flatten)]
    failures: Failures,
    source: LogSource,
    #[serde(skip)]
    all: bool,
}

impl Report for Grouped {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let failures = &self.failures;
        if failures.total == 0 {
            return Ok(());
        }
        page.folded(&self.headline(), 0)?;
        page.blank()?;
        let heading = match failures.group_by {
            GroupBy::Error => "ERROR",
            GroupBy::Platform => "PLATFORM",
            GroupBy::Type => "TYPE",
            GroupBy::Hour => "HOUR",
        };
        let mut table = Table::new(&["", heading, ">COUNT", ">SHARE", ">BEFORE", "FIRST", "LAST", "PLATFORMS", "NEXT"]);
        let shown = if self.all { failures.groups.len() } else { SHOWN };
        for group in failures.groups.iter().take(shown) {
            let platforms: Vec<_> = group.platforms.keys().map(ToString::to_string).collect();
            table.row([
                if group.new == Some(true) { "NEW" } else { " " }.to_owned(),
                group.key.clone(),
                text::count(group.count),
                percent(group.share),
                text::count(group.before),
                page.time(group.first_at),
                page.time(group.last_at),
                platforms.join(" "),
                group.next.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table)?;
        let left = failures.groups.len().saturating_sub(shown);
        if left > 0 {
            page.line(format_args!("and {} (--all)", text::counted(left as u64, "smaller group", "smaller groups")))?;
        }
        if failures.other > 0 {
            page.line(format_args!("other: {} in groups that came too late to be kept", text::count(failures.other)))?;
        }
        page.blank()?;
        page.line("Errors an hour, UTC")?;
        bars(&failures.hours, failures.since, failures.until).iter().try_for_each(|line| page.line(line))
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.failures.groups.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        (self.failures.total == 0).then(|| "No errors in the window.".to_owned())
    }
}

impl Grouped {
    /// `1,204 errors in 12 groups, 3 of them new; 980 in the window before`.
    fn headline(&self) -> String {
        let failures = &self.failures;
        let groups = text::counted(failures.groups.len() as u64, "group", "groups");
        let mut line = format!("{} in {groups}", text::counted(failures.total, "error", "errors"));
        if failures.groups.iter().any(|group| group.new.is_some()) {
            let new = failures.groups.iter().filter(|group| group.new == Some(true)).count();
            line.push_str(&format!(", {} of them new", text::count(new as u64)));
        }
        if failures.before_is_whole {
            line.push_str(&format!("; {} in the window before", text::count(failures.before)));
        } else {
            line.push_str("; the log does not reach back over the window before, so what is new cannot be told");
        }
        line
    }
}

/// A line for every day, a bar for every hour of it; hours outside the window are blank. Hours without an error are dots.
pub(super) fn bars(hours: &[Hour], since: Time, until: Time) -> Vec<String> {
    const HOUR: i64 = 3_600_000;
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (day, most) = (24 * HOUR, hours.iter().map(|hour| hour.count).max().unwrap_or(0));
    let counts: BTreeMap<i64, u64> = hours.iter().map(|hour| (hour.at.0, hour.count)).collect();
    let mut lines = vec!["            00    06    12    18".to_owned()];
    let mut last = None;
    // Days without an error say nothing.
    for hour in hours {
        let start = hour.at.0.div_euclid(day) * day;
        if last == Some(start) {
            continue;
        }
        last = Some(start);
        let mut sum = 0;
        let bar: String = (0..24)
            .map(|n| {
                let at = start + n * HOUR;
                match counts.get(&at) {
                    Some(count) => {
                        sum += count;
                        STEPS[((count * 8).div_ceil(most) as usize).clamp(1, 8) - 1]
                    }
                    None if at + HOUR <= since.0 || at >= until.0 => ' ',
                    None => '.',
                }
            })
            .collect();
        let date = Time(start).to_string();
        lines.push(format!("{}  {bar}  {}", date.get(..10).unwrap_or(&date), text::count(sum)));
    }
    lines.push(format!("the highest bar is {} an hour", text::count(most)));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stand_at_their_hours() {
        let hour = |n: i64, count| Hour { at: Time(n * 3_600_000), count };
        let lines = bars(&[hour(1, 1), hour(3, 8), hour(30, 4)], Time(3_600_000), Time(32 * 3_600_000));
        assert_eq!(lines[1], "1970-01-01   ▁.█....................  9");
        assert_eq!(lines[2], "1970-01-02  ......▄.                  4");
        assert_eq!(lines[3], "the highest bar is 8 an hour");
        assert_eq!(lines.len(), 4);
    }
}

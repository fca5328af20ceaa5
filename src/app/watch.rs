//! `--watch`: look again and again, and show what changed.

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

use serde_json::Value;

use super::App;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{Format, Report, Tone, draw, flatten};
use crate::settings::{format_duration, parse_duration};

/// The fastest that anybody may look.
const FASTEST: Duration = Duration::from_millis(500);

/// `--watch[=5s]`, for every status verb.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct WatchArgs {
    /// Look again every 5s, or as often as told
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, require_equals = true, default_missing_value = "5s")]
    #[arg(value_parser = parse_interval)]
    pub watch: Option<Duration>,
}

fn parse_interval(text: &str) -> Result<Duration, Fault> {
    let interval = parse_duration(text)?;
    if interval < FASTEST {
        return Err(Fault::usage(format!("`{text}` is too often")).because("the shortest interval is 500ms"));
    }
    Ok(interval)
}

impl App {
    /// Looks once, or with `--watch` until Ctrl-C: redrawn on a terminal, one line or record per change elsewhere. An
    /// orchestrator that stops answering is shown as a gap and does not end the watch.
    pub async fn watch<R, F, Fut>(&self, args: &WatchArgs, mut look: F) -> anyhow::Result<Outcome>
    where
        R: Report,
        F: FnMut() -> Fut,
        Fut: Future<Output = anyhow::Result<(R, Outcome)>>,
    {
        let Some(every) = args.watch else {
            let (report, outcome) = look().await?;
            self.emit(&report)?;
            return Ok(outcome);
        };
        let mut shown = Shown::default();
        self.watching.set(true);
        loop {
            self.keep_sandbox();
            match look().await {
                Ok((report, _)) => self.show(&mut shown, &report, every)?,
                Err(error) => self.show_gap(&mut shown, error, every)?,
            }
            if self.output.is_closed() {
                return Ok(Outcome::Done);
            }
            tokio::time::sleep(every).await;
        }
    }

    fn show<R: Report>(&self, shown: &mut Shown, report: &R, every: Duration) -> anyhow::Result<()> {
        let now = self.now();
        if let Some(since) = shown.gap_since.take()
            && !self.redraws()
        {
            self.note(format!("{now} answers again after {}", format_duration(now.since(since))));
        }
        if self.redraws() {
            let style = crate::output::Style { now, ..self.output.stdout };
            shown.last_drawn = draw(report, style)?;
            return self.redraw(&shown.last_drawn, every, None);
        }
        let records = report.records()?;
        match self.output.format {
            // One document per change.
            Format::Json if shown.records != records => self.emit(report)?,
            Format::Json => {}
            _ => self.output.write(&changes(&shown.records, &records, self.output.format, &now.to_string()))?,
        }
        shown.records = records;
        Ok(())
    }

    fn show_gap(&self, shown: &mut Shown, error: anyhow::Error, every: Duration) -> anyhow::Result<()> {
        let explained = Explained::from_error(&error);
        if explained.kind != Kind::Unreachable {
            return Err(error);
        }
        let now = self.now();
        let since = *shown.gap_since.get_or_insert(now);
        if self.redraws() {
            let banner = format!("no answer since {since}: {}", explained.message);
            return self.redraw(&shown.last_drawn, every, Some(&banner));
        }
        if since == now {
            self.output.warn(&format!("{now} no answer: {}", explained.message));
        }
        Ok(())
    }

    /// Whether a screen is redrawn, as opposed to lines being added.
    fn redraws(&self) -> bool {
        self.output.stdout.terminal && self.output.format == Format::Table
    }

    fn redraw(&self, drawn: &str, every: Duration, banner: Option<&str>) -> anyhow::Result<()> {
        let style = self.output.stdout;
        let head = format!("every {}, {}, Ctrl-C ends", format_duration(every), self.now());
        // Home, then each line is cleared to its end, then the rest of the screen: no flicker.
        let mut screen = String::from("\u{1b}[H");
        let banner = banner.map(|text| style.paint(text, Tone::Unknown));
        for line in
            std::iter::once(style.paint(&head, Tone::Dim).as_str()).chain(banner.as_deref()).chain(drawn.lines())
        {
            let _ = writeln!(screen, "{line}\u{1b}[K");
        }
        screen.push_str("\u{1b}[J");
        self.output.write(&screen)
    }
}

/// What is on the screen.
#[derive(Default)]
struct Shown {
    records: Vec<Value>,
    last_drawn: String,
    gap_since: Option<crate::wire::Time>,
}

/// A line for each record that differs from the one at its place before; in a table's place the changed fields.
fn changes(before: &[Value], now: &[Value], format: Format, time: &str) -> String {
    let mut text = String::new();
    for (index, record) in now.iter().enumerate().filter(|(i, r)| before.get(*i) != Some(r)) {
        match format {
            Format::Table | Format::Csv => {
                let old = before.get(index).map(flatten).unwrap_or_default();
                let pairs = flatten(record);
                // The first field says which record it is.
                let told = pairs.iter().enumerate().filter(|(i, pair)| *i == 0 || !old.contains(pair));
                let told: Vec<String> = told.map(|(_, (name, value))| format!("{name}={value}")).collect();
                let _ = writeln!(text, "{time} {}", told.join(" "));
            }
            Format::Json | Format::Jsonl => {
                let _ = writeln!(text, "{record}");
            }
        }
    }
    if now.len() < before.len() {
        let _ = writeln!(text, "{time} {} fewer", before.len() - now.len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_changed_is_told() {
        let before = [json!({"platform": "notion", "state": "CLOSED", "n": 0}), json!({"platform": "slack", "n": 1})];
        let after = [json!({"platform": "notion", "state": "OPEN", "n": 0}), json!({"platform": "slack", "n": 1})];
        assert_eq!(changes(&before, &after, Format::Table, "T"), "T platform=notion state=OPEN\n");
        assert_eq!(changes(&[], &after[1..], Format::Table, "T"), "T platform=slack n=1\n");
        assert_eq!(changes(&after, &after, Format::Jsonl, "T"), "");
        assert_eq!(changes(&before, &after[..1], Format::Jsonl, "T").lines().count(), 2);
    }

    #[test]
    fn an_interval_has_a_lower_bound() {
        assert!(parse_interval("100ms").is_err());
        assert_eq!(parse_interval("1s").unwrap(), Duration::from_secs(1));
    }
}

//! Checks for machines: what monitoring systems, node_exporter, heartbeat services and people's pagers are told of one.
//!
//! Every check takes the same [`MonitoringArgs`]. `--exit-style check` is for monitoring systems (Nagios, Icinga and
//! their kin): one line with performance data, and 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN. What cannot be told to
//! somebody else is a warning and never changes the answer.

mod looks;
mod textfile;

use std::path::{Path, PathBuf};

pub use looks::Looks;

use crate::alerts::Watch;
use crate::analysis::Verdict;
use crate::analysis::alerts::{Observed, Rule, Sample};
use crate::app::App;
use crate::error::{Explained, Fault, Outcome};
use crate::files::write_whole;
use crate::notify::{Channel, Ping};
use crate::output::Report;

/// What a check can tell others.
#[derive(clap::Args, Clone, Debug)]
pub struct MonitoringArgs {
    /// `check`: one line and 0/1/2/3, for monitoring systems
    #[arg(long, value_name = "STYLE", value_enum, default_value = "opsctl", hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    exit_style: ExitStyle,

    /// Write metrics for node_exporter: NAME.prom
    #[arg(long, value_name = "FILE", value_parser = prom_file)]
    textfile: Option<PathBuf>,

    /// Tell a heartbeat service: start, exit code, answer
    #[arg(long, value_name = "URL")]
    ping: Option<Ping>,

    /// Tell slack:#CHANNEL or pagerduty of changes (can be repeated)
    #[arg(long, value_name = "WHERE")]
    notify: Vec<Channel>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ExitStyle {
    /// The exit codes of every command.
    Opsctl,
    /// Those of monitoring systems.
    Check,
}

fn prom_file(text: &str) -> Result<PathBuf, Fault> {
    let path = Path::new(text);
    match path.extension().is_some_and(|extension| extension == "prom") {
        true => Ok(path.to_owned()),
        false => Err(Fault::usage(format!("`{text}` would never be read"))
            .because("node_exporter reads only files that end in .prom")
            .hint("opsctl check alerts --textfile /var/lib/node_exporter/opsctl_alerts.prom")),
    }
}

/// What a check found.
pub struct Checked {
    /// `alerts`, `daily`.
    pub name: &'static str,
    /// The worst of it.
    pub verdict: Verdict,
    /// The same for a person, in one line.
    pub said: String,
    /// What can be drawn as a graph.
    pub measures: Vec<Measure>,
    /// What was judged.
    pub items: Vec<Item>,
    /// The alert that the whole check is; `None` when it has told its own.
    pub rule: Option<&'static Rule>,
    /// What that alert hears, where it is not the verdict: nobody answering is a reason to wake somebody up.
    pub told: Verdict,
}

/// One thing that was judged.
pub struct Item {
    /// Its name.
    pub name: String,
    /// What it is about; may be empty.
    pub subject: String,
    /// What was found.
    pub verdict: Verdict,
}

/// A check under way.
pub struct Begun {
    args: MonitoringArgs,
    run: String,
}

impl MonitoringArgs {
    /// Whether a monitoring system asks.
    pub fn is_check(&self) -> bool {
        self.exit_style == ExitStyle::Check
    }

    /// Whether anything of it was asked for.
    pub fn is_used(&self) -> bool {
        self.is_check() || self.textfile.is_some() || self.ping.is_some() || !self.notify.is_empty()
    }

    /// Whom to tell of changes.
    pub fn channels(&self) -> &[Channel] {
        &self.notify
    }

    /// Begins a check: says so to the heartbeat service.
    pub async fn begin(self, app: &App) -> Begun {
        let run = uuid::Uuid::now_v7().to_string();
        if let Some(ping) = &self.ping {
            app.output.redactor.add(&[ping.secret()]);
            if let Err(why) = ping.start(&run).await {
                app.output.warn(&format!("the heartbeat service was not told of the start: {why}"));
            }
        }
        Begun { args: self, run }
    }
}

impl Begun {
    /// Whom to tell of changes.
    pub fn channels(&self) -> &[Channel] {
        self.args.channels()
    }

    /// Tells everybody who was asked for, gives the answer, and ends as the check does.
    pub async fn end<R: Report>(
        self,
        app: &App,
        checked: &Checked,
        report: Option<&R>,
        outcome: anyhow::Result<Outcome>,
    ) -> anyhow::Result<Outcome> {
        self.tell(app, checked).await;
        let (mut outcome, text) = if self.args.is_check() {
            let text = line(&checked.name.to_uppercase(), checked.verdict, &checked.said, &checked.measures);
            app.output.write(&text)?;
            (Ok(self::outcome(checked.verdict)), text)
        } else {
            if let Some(report) = report {
                app.emit(report)?;
            }
            let said = outcome.as_ref().err().map(|error| Explained::from_error(error).to_text());
            (outcome, said.unwrap_or_else(|| format!("{}: {}\n", checked.name, checked.said)))
        };
        if let Some(path) = &self.args.textfile {
            let context = &app.settings.context_name.value;
            let metrics = textfile::text(checked, context, exit_code(&outcome), app.now());
            if let Err(error) = write_whole(path, metrics.as_bytes(), false) {
                match exit_code(&outcome) {
                    0 => outcome = Err(error),
                    _ => app.output.warn(&format!("{error:#}")),
                }
            }
        }
        if let Some(ping) = &self.args.ping
            && let Err(why) = ping.end(&self.run, exit_code(&outcome), &app.output.redactor.redact(&text)).await
        {
            app.output.warn(&format!("the heartbeat service was not told of the end: {why}"));
        }
        outcome
    }

    async fn tell(&self, app: &App, checked: &Checked) {
        let Some(rule) = checked.rule.filter(|_| !self.args.notify.is_empty()) else { return };
        let sample = match checked.told {
            Verdict::Ok => Sample::Within(checked.said.clone()),
            Verdict::Warn | Verdict::Fail => Sample::Beyond(checked.said.clone()),
            Verdict::Unknown => Sample::blind(&checked.said),
        };
        match Watch::open(app).await {
            Ok(watch) => {
                watch.observe(app, &[Observed { rule, subject: String::new(), sample }], &self.args.notify).await;
            }
            Err(error) => app.output.warn(&format!("nobody was notified: {error:#}")),
        }
    }
}

fn exit_code(outcome: &anyhow::Result<Outcome>) -> u8 {
    match outcome {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => Explained::from_error(error).kind.exit_code(),
    }
}

/// One measured value: its label, value with unit, and thresholds in the plugins' notation.
pub struct Measure {
    /// `queue_depth`.
    pub label: &'static str,
    /// The value.
    pub value: f64,
    /// `%` or nothing.
    pub unit: &'static str,
    /// Beyond it is a warning; empty for none.
    pub warn: &'static str,
    /// Beyond it is critical; empty for none.
    pub critical: &'static str,
}

/// The line: `DAILY WARNING - Disk Space 82.0% | disk=82%;80;90`.
pub fn line(what: &str, verdict: Verdict, said: &str, measures: &[Measure]) -> String {
    let word = match verdict {
        Verdict::Ok => "OK",
        Verdict::Warn => "WARNING",
        Verdict::Fail => "CRITICAL",
        Verdict::Unknown => "UNKNOWN",
    };
    // A bar starts the performance data, so the words must not hold one.
    let said = said.replace('|', "/").replace(['\n', '\r'], " ");
    let mut line = format!("{what} {word} - {said}");
    for (index, m) in measures.iter().enumerate() {
        line.push_str(if index == 0 { " | " } else { " " });
        let value = format!("{:.1}", m.value);
        let value = value.trim_end_matches('0').trim_end_matches('.');
        let data = format!("{}={value}{};{};{}", m.label, m.unit, m.warn, m.critical);
        line.push_str(data.trim_end_matches(';'));
    }
    line.push('\n');
    line
}

/// The exit code that goes with it.
pub fn outcome(verdict: Verdict) -> Outcome {
    Outcome::Code(match verdict {
        Verdict::Ok => 0,
        Verdict::Warn => 1,
        Verdict::Fail => 2,
        Verdict::Unknown => 3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_with_performance_data() {
        let measures = [
            Measure { label: "success_rate", value: 97.3, unit: "%", warn: "", critical: "95:" },
            Measure { label: "queue_depth", value: 23.0, unit: "", warn: "50", critical: "" },
        ];
        assert_eq!(
            line("DAILY", Verdict::Ok, "all | fine\n", &measures),
            "DAILY OK - all / fine  | success_rate=97.3%;;95: queue_depth=23;50\n"
        );
        assert_eq!(
            [Verdict::Ok, Verdict::Warn, Verdict::Fail, Verdict::Unknown].map(|v| outcome(v).exit_code()),
            [0, 1, 2, 3]
        );
    }
}

//! `--exit-style check`: a check as monitoring systems (Nagios, Icinga and their kin) read it: one line with
//! performance data, and 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.

use crate::analysis::Verdict;
use crate::error::Outcome;

/// `--exit-style`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct ExitStyleArgs {
    /// `check`: one line and 0/1/2/3, for monitoring systems
    #[arg(long, value_name = "STYLE", value_enum, default_value = "opsctl", hide_possible_values = true)]
    #[arg(hide_default_value = true)]
    exit_style: ExitStyle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ExitStyle {
    /// The exit codes of every command.
    Opsctl,
    /// Those of monitoring systems.
    Check,
}

impl ExitStyleArgs {
    /// Whether a monitoring system asks.
    pub fn is_check(self) -> bool {
        self.exit_style == ExitStyle::Check
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

//! Whether a stream gets colour, how wide it is, and how words, times and rates are written on it.

use std::io::IsTerminal;
use std::str::FromStr;

use colored::{Color, Colorize};

use crate::settings::Env;
use crate::wire::Time;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal that can, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl ColorChoice {
    /// The words of `--color`.
    pub const WORDS: [&'static str; 3] = ["auto", "always", "never"];

    /// Whether a stream gets colour. The flag beats the environment; `NO_COLOR` beats `CLICOLOR_FORCE`, because
    /// somebody who cannot read colour has to be able to rely on it.
    pub fn decide(self, env: &Env, is_terminal: bool) -> bool {
        let set = |name| env.get(name).is_some_and(|v| !v.is_empty());
        match self {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto if set("NO_COLOR") => false,
            ColorChoice::Auto if set("CLICOLOR_FORCE") && env.get("CLICOLOR_FORCE") != Some("0") => true,
            ColorChoice::Auto if env.get("CLICOLOR") == Some("0") => false,
            ColorChoice::Auto => is_terminal && env.get("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

impl FromStr for ColorChoice {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "auto" => Ok(ColorChoice::Auto),
            "always" => Ok(ColorChoice::Always),
            "never" => Ok(ColorChoice::Never),
            other => Err(format!("`{other}` is not one of {}", Self::WORDS.join(", "))),
        }
    }
}

/// What a state word means; the colour repeats what the word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be: green.
    Good,
    /// Beyond a threshold: yellow.
    Warn,
    /// Broken: red.
    Bad,
    /// Could not look: magenta.
    Unknown,
    /// Said, but not important: dimmed.
    Dim,
    /// Headings and what to read first: bold.
    Strong,
}

impl Tone {
    /// The tone of a state word of the product; `None` for any other word.
    pub fn of_word(word: &str) -> Option<Tone> {
        Some(match word.to_ascii_uppercase().as_str() {
            "OK" | "CLOSED" | "UP" | "HEALTHY" | "SUCCESS" | "RUNNING" | "OPERATIONAL" => Tone::Good,
            "COMPLETED" | "ROLLED_BACK" | "RESOLVED" | "KEPT" => Tone::Good,
            "WARN" | "WARNING" | "HALF_OPEN" | "DEGRADED" | "PAUSED" | "RESTARTING" | "IN_DOUBT" => Tone::Warn,
            "ROLLING_BACK" | "BLOCKED" | "MANUAL" => Tone::Warn,
            "FAIL" | "FAILED" | "OPEN" | "DOWN" | "ERROR" | "UNHEALTHY" | "CRITICAL" | "TIMEOUT" => Tone::Bad,
            "ROLLBACK_FAILED" | "MISSING" | "ALTERED" | "ORPHANED" | "STRANDED" | "LOST" => Tone::Bad,
            "STATE_DIFFERS" | "LOG_UNREADABLE" => Tone::Bad,
            "UNKNOWN" => Tone::Unknown,
            _ => return None,
        })
    }
}

/// How one stream is written on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Colour and bold are used.
    pub color: bool,
    /// Somebody looks at it: relative times, wrapped tables, redraws.
    pub terminal: bool,
    /// Columns, on a terminal; nothing is wrapped elsewhere.
    pub width: Option<usize>,
    /// Now, for relative times.
    pub now: Time,
}

impl Style {
    /// Plain text, as a pipe gets it.
    pub fn plain() -> Self {
        Style { color: false, terminal: false, width: None, now: Time(0) }
    }

    /// The style of standard output.
    pub fn stdout(choice: ColorChoice, env: &Env, now: Time) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let width = terminal.then(|| terminal_size::terminal_size_of(std::io::stdout())).flatten();
        Style::new(choice, env, now, terminal, width.map(|(w, _)| usize::from(w.0)))
    }

    /// The style of standard error.
    pub fn stderr(choice: ColorChoice, env: &Env, now: Time) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let width = terminal.then(|| terminal_size::terminal_size_of(std::io::stderr())).flatten();
        Style::new(choice, env, now, terminal, width.map(|(w, _)| usize::from(w.0)))
    }

    fn new(choice: ColorChoice, env: &Env, now: Time, terminal: bool, width: Option<usize>) -> Self {
        Style {
            color: choice.decide(env, terminal),
            terminal,
            width: terminal.then(|| width.filter(|w| *w >= 20).unwrap_or(80)),
            now,
        }
    }

    /// The text in a tone, when this stream has colour.
    pub fn paint(&self, text: &str, tone: Tone) -> String {
        if !self.color {
            return text.to_owned();
        }
        // `colored` looks only at stdout; this stream has decided for itself.
        colored::control::set_override(true);
        let painted = match tone {
            Tone::Good => text.color(Color::Green),
            Tone::Warn => text.color(Color::Yellow),
            Tone::Bad => text.color(Color::Red),
            Tone::Unknown => text.color(Color::Magenta),
            Tone::Dim => text.dimmed(),
            Tone::Strong => text.bold(),
        };
        painted.to_string()
    }

    /// A state word in its colour.
    pub fn state(&self, word: &str) -> String {
        Tone::of_word(word).map_or_else(|| word.to_owned(), |tone| self.paint(word, tone))
    }

    /// "3 minutes ago" on a terminal, RFC 3339 elsewhere.
    pub fn time(&self, time: Time) -> String {
        if self.terminal { relative(time, self.now) } else { time.to_string() }
    }
}

/// "3 minutes ago", "in 12 seconds", "now".
pub fn relative(time: Time, now: Time) -> String {
    let (distance, past) = if time <= now { (now.since(time), true) } else { (time.since(now), false) };
    let seconds = distance.as_secs();
    let (count, unit) = match seconds {
        0 => return "now".into(),
        1..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    if past { format!("{count} {unit}{plural} ago") } else { format!("in {count} {unit}{plural}") }
}

/// A rate from 0 to 1 as `97.3%`.
pub fn percent(rate: f64) -> String {
    format!("{:.1}%", rate * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::fixed(pairs.iter().copied())
    }

    #[test]
    fn colour_rules() {
        let auto = ColorChoice::Auto;
        assert!(auto.decide(&env(&[]), true));
        assert!(!auto.decide(&env(&[]), false));
        assert!(!auto.decide(&env(&[("TERM", "dumb")]), true));
        assert!(!auto.decide(&env(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), true));
        assert!(auto.decide(&env(&[("NO_COLOR", "")]), true), "an empty NO_COLOR means nothing");
        assert!(auto.decide(&env(&[("CLICOLOR_FORCE", "1")]), false));
        assert!(!auto.decide(&env(&[("CLICOLOR_FORCE", "0")]), false));
        assert!(ColorChoice::Always.decide(&env(&[("NO_COLOR", "1")]), false));
        assert!(!ColorChoice::Never.decide(&env(&[("CLICOLOR_FORCE", "1")]), true));
    }

    #[test]
    fn times_in_words() {
        let now = Time(1_000_000_000);
        assert_eq!(relative(now, now), "now");
        assert_eq!(relative(now.minus(Duration::from_secs(59)), now), "59 seconds ago");
        assert_eq!(relative(now.minus(Duration::from_secs(60)), now), "1 minute ago");
        assert_eq!(relative(now + Duration::from_secs(7200), now), "in 2 hours");
        assert_eq!(relative(now.minus(Duration::from_secs(172_800)), now), "2 days ago");
    }

    #[test]
    fn words_say_the_same_without_colour() {
        assert_eq!(Style::plain().state("OPEN"), "OPEN");
        let coloured = Style { color: true, ..Style::plain() };
        assert!(coloured.state("OPEN").contains("OPEN") && coloured.state("OPEN") != "OPEN");
        assert_eq!(coloured.state("whatever"), "whatever");
    }
}

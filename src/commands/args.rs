//! Arguments and report shapes that several verbs share: one flag, one meaning, one name.

use std::io::{self, Read as _};
use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;

use crate::aliases;
use crate::app::App;
use crate::error::{Fault, Outcome};
use crate::output::{Format, Page, Report};
use crate::settings::Since;
use crate::wire::{ChangeAnswer, EffectKind, Platform, Time};

/// A platform's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformArg(pub Platform);

impl FromStr for PlatformArg {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        text.parse::<Platform>().map(PlatformArg).map_err(|why| {
            let fault = Fault::usage(format!("there is no platform `{text}`")).because(why);
            match aliases::nearest(&text.to_lowercase(), Platform::ALL.iter().map(|p| p.as_str())) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault,
            }
        })
    }
}

/// A parser of counts between two bounds, for `--limit` and its like.
pub fn count(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| match text.parse::<i128>() {
        Ok(n) if n < i128::from(*range.start()) => Err(format!("it has to be at least {}", range.start())),
        Ok(n) if n > i128::from(*range.end()) => Err(format!("it can be at most {}", range.end())),
        Ok(n) => u64::try_from(n).map_err(|e| e.to_string()),
        Err(_) => Err("it is not a whole number".into()),
    }
}

/// The platforms that were named, each once and in that order; all of them when none was.
pub fn each_once(named: &[PlatformArg]) -> Vec<Platform> {
    if named.is_empty() {
        return Platform::ALL.to_vec();
    }
    let mut wanted = Vec::new();
    for PlatformArg(platform) in named {
        if !wanted.contains(platform) {
            wanted.push(*platform);
        }
    }
    wanted
}

/// How an answer ends: 7 while what was asked for was only accepted, and nobody has seen it happen.
pub fn outcome_of(answer: &ChangeAnswer) -> Outcome {
    if answer.effect == EffectKind::Accepted { Outcome::Unreachable } else { Outcome::Done }
}

/// Says that a change holds already: a note for a person, an answer with `already_so` for a program.
pub fn already(app: &App, message: impl Into<String>) -> anyhow::Result<Outcome> {
    let message = message.into();
    if app.output.format == Format::Table {
        app.note(message);
    } else {
        app.emit(&ChangeAnswer { effect: EffectKind::AlreadySo, message, items: Vec::new(), audit_id: None })?;
    }
    Ok(Outcome::Done)
}

/// Longest text that is read from a file or stdin, in bytes; the service takes no longer one.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The text of a file, or of stdin when it is `-`, with the place's name for messages.
pub fn read_text(file: &str) -> Result<(&str, String), Fault> {
    let place = if file == "-" { "stdin" } else { file };
    let refuse =
        |why: String| Fault::usage(format!("cannot read {place}")).because(why).hint("name a file, or - for stdin");
    let mut text = String::new();
    let read = match file {
        "-" => io::stdin().lock().take(LONGEST + 1).read_to_string(&mut text),
        _ => std::fs::File::open(file).and_then(|opened| opened.take(LONGEST + 1).read_to_string(&mut text)),
    };
    read.map_err(|error| refuse(error.to_string()))?;
    if text.len() as u64 > LONGEST {
        return Err(refuse("it is longer than 4 MiB".into()));
    }
    Ok((place, text))
}

/// `--since`.
#[derive(Args, Clone, Debug)]
pub struct SinceArgs {
    /// Not before this: 10m, 2h30m, 03:00, yesterday 22:00, or RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

impl SinceArgs {
    /// The instant, when one was given.
    pub fn resolve(&self, app: &App) -> anyhow::Result<Option<Time>> {
        Ok(self.since.as_ref().map(|s| s.resolve_here(app.now())).transpose()?)
    }
}

/// `--until`.
#[derive(Args, Clone, Debug)]
pub struct UntilArgs {
    /// Before this; written as --since
    #[arg(long, value_name = "TIME")]
    until: Option<Since>,
}

impl UntilArgs {
    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        self.until.is_some()
    }

    /// The instant, when one was given.
    pub fn resolve(&self, app: &App) -> anyhow::Result<Option<Time>> {
        Ok(self.until.as_ref().map(|s| s.resolve_here(app.now())).transpose()?)
    }
}

/// A report that is one object when one thing was asked for, and a list otherwise.
#[derive(Serialize)]
#[serde(untagged)]
pub enum OneOrAll<One, All> {
    /// The one.
    One(One),
    /// All of them.
    All(All),
}

impl<One: Report, All: Report> Report for OneOrAll<One, All> {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        match self {
            OneOrAll::One(one) => one.draw(page),
            OneOrAll::All(all) => all.draw(page),
        }
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        match self {
            OneOrAll::One(one) => one.records(),
            OneOrAll::All(all) => all.records(),
        }
    }

    fn empty_note(&self) -> Option<String> {
        match self {
            OneOrAll::One(one) => one.empty_note(),
            OneOrAll::All(all) => all.empty_note(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_outside_its_bounds_says_which() {
        let limit = count(1..=1000);
        assert_eq!(limit("20"), Ok(20));
        for (text, why) in [("-1", "at least 1"), ("0", "at least 1"), ("1001", "at most 1000"), ("x", "whole number")]
        {
            assert!(limit(text).unwrap_err().contains(why), "{text}");
        }
    }
}

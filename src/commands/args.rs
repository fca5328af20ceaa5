//! Arguments and report shapes that several verbs share: one flag, one meaning, one name.

use std::io;
use std::str::FromStr;

use clap::Args;
use serde::Serialize;

use crate::app::App;
use crate::output::{Page, Report};
use crate::settings::Since;
use crate::wire::{Platform, Time};

/// A platform's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlatformArg(pub Platform);

impl FromStr for PlatformArg {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        s.parse::<Platform>().map(PlatformArg)
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

//! `opsctl analyze`: questions over many records. Each reads the log of what it asks about from the place that the log
//! verbs read from, line by line, and keeps a bounded amount.

mod failures;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::app::App;
use crate::commands::logs::place::{self, Place};
use crate::error::{Fault, Outcome};
use crate::settings::Since;
use crate::wire::{LineFilter, LogName, LogSource, Platform, Time};

/// Questions over many records.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Group what fails, and say what is new
    Failures(failures::FailuresArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        match self {
            Self::Failures(args) => failures::failures(app, args).await,
        }
    }
}

/// Which lines a question is put to.
#[derive(Args, Clone, Debug)]
struct LogArgs {
    /// Before this; written as --since
    #[arg(long, value_name = "TIME")]
    until: Option<Since>,

    /// Read this file or folder, with what was rotated; - for standard input
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

/// A log to put questions to.
struct Asked {
    place: Place,
    log: LogName,
    since: Time,
    until: Time,
}

impl LogArgs {
    /// Finds the log and the window.
    async fn find(&self, app: &App, log: LogName, since: &Since) -> anyhow::Result<Asked> {
        // First, because it moves the clock to the sandbox's.
        let place = place::find(app, log, self.file.as_deref()).await;
        let now = app.now();
        let since = since.resolve_here(now)?;
        let until = self.until.as_ref().map(|until| until.resolve_here(now)).transpose()?.unwrap_or(now);
        if since >= until {
            return Err(Fault::usage("the window is empty")
                .because(format!("it begins at {since} and ends at {until}"))
                .hint("write --since 7d, or an --until that is later")
                .into());
        }
        Ok(Asked { place: place?, log, since, until })
    }
}

impl Asked {
    /// What is asked for in the window.
    fn filter(&self, platform: Option<Platform>, filters: &[&str]) -> LineFilter {
        let filters = filters.iter().map(ToString::to_string).collect();
        LineFilter { since: Some(self.since), until: Some(self.until), platform, filters, ..LineFilter::default() }
    }

    /// Puts the question to every line that fits, and says what was read.
    async fn put<Q: crate::analysis::lines::Question + Send + 'static>(
        &self,
        app: &App,
        filter: &LineFilter,
        question: Q,
    ) -> anyhow::Result<(Q, LogSource)> {
        place::ask_all(app, &self.place, self.log, filter, question).await
    }

    /// What was read, for the person.
    fn told(&self, app: &App, source: &LogSource, filter: &LineFilter) {
        app.note(place::told(source, &self.place, filter));
    }
}

//! A command line that runs within another command: parsed, asked and answered by the code that does it for a typed one.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::{parsed, usage};
use crate::aliases;
use crate::app::App;
use crate::error::{Explained, Fault, Kind};
use crate::output::Format;
use crate::settings::{Flags, Settings};

/// What became of a line.
pub(crate) struct Ran {
    /// The code that it would have ended a process with.
    pub code: u8,
    /// What it wrote on both streams, without secrets.
    pub text: String,
    /// How long it took, its questions included.
    pub took: Duration,
}

/// Runs the words of a line in the context of `outer`, and writes its answer where `outer`'s conversation is when that
/// answers to a program.
pub(crate) async fn run_inside(outer: &App, words: Vec<String>) -> Ran {
    let started = Instant::now();
    let typed: Vec<OsString> = std::iter::once("opsctl".to_owned()).chain(words).map(Into::into).collect();
    let (code, text) = match prepared(outer, &typed) {
        Ok((app, command)) => {
            // Ctrl-C ends the outer command, and this one with it: a change that was approved is not left without a word.
            let mut closing = Closing(Some(&app));
            let result = Box::pin(command.run(&app)).await;
            closing.0 = None;
            if let Err(error) = &result {
                app.close_receipt(error);
                app.output.error(error);
            }
            let code = match &result {
                Ok(outcome) => outcome.exit_code(),
                Err(error) => Explained::from_error(error).kind.exit_code(),
            };
            (code, app.output.kept())
        }
        Err(error) => {
            outer.output.error(&error);
            let explained = Explained::from_error(&error);
            (explained.kind.exit_code(), explained.to_text())
        }
    };
    Ran { code, text, took: started.elapsed() }
}

fn prepared(outer: &App, typed: &[OsString]) -> anyhow::Result<(App, crate::commands::Command)> {
    let args = aliases::rewrite(typed.to_vec());
    let (globals, command) = parsed(&args).map_err(|wrong| match wrong {
        usage::Wrong::Usage(fault) => *fault,
        usage::Wrong::Parser(error) => usage::fault_of(&error, typed, &args),
    })?;
    let own = globals.into_flags();
    let set = &outer.settings;
    let flags = Flags {
        output: Some(Format::Table),
        context: Some(set.context_name.value.clone()),
        color: Some(set.color.value),
        timeout: own.timeout.or(Some(set.timeout.value)),
        quiet: own.quiet || set.quiet,
        verbosity: own.verbosity,
    };
    let settings = Settings::load(flags, set.env.clone())?;
    let aside = outer.output.format != Format::Table;
    let words = aliases::command_words(&args);
    Ok((App::within(outer, settings, aliases::class_of(&args), words, aside), command))
}

/// Writes an interruption into the receipt of a change that was cut off.
struct Closing<'a>(Option<&'a App>);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        if let Some(app) = self.0 {
            app.close_receipt(&Fault::new(Kind::Interrupted, "interrupted").into());
        }
    }
}

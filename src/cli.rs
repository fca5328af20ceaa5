//! The root parser, the global flags, and the way from the command line to an exit code.

mod help;
mod inside;
mod usage;

pub(crate) use help::about;
pub(crate) use inside::{Ran, run_inside};
pub use usage::fault_of;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, FromArgMatches};

use crate::aliases;
use crate::app::App;
use crate::commands::Command;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{ColorChoice, Format, Output, Style};
use crate::settings::{Env, Flags, Settings, parse_duration};

/// The variable by which a shell asks for completions.
pub const COMPLETE_VARIABLE: &str = "OPSCTL_COMPLETE";

/// Flags that every command takes, before or after its words.
#[derive(Args, Clone, Debug)]
struct Globals {
    /// How the answer is written: table, json, jsonl or csv
    #[arg(short, long, global = true, value_name = "FORMAT", value_parser = Format::WORDS, hide_possible_values = true)]
    #[arg(help_heading = "Global options", hide_short_help = true)]
    output: Option<String>,

    /// Context to use: local, sandbox, or one of yours
    #[arg(long, global = true, value_name = "NAME")]
    #[arg(help_heading = "Global options", hide_short_help = true)]
    context: Option<String>,

    /// Colour: auto, always or never
    #[arg(long, global = true, value_name = "WHEN", value_parser = ColorChoice::WORDS, hide_possible_values = true)]
    #[arg(help_heading = "Global options", hide_short_help = true)]
    color: Option<String>,

    /// Limit for a whole call to the orchestrator: 500ms, 30s
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_timeout)]
    #[arg(help_heading = "Global options", hide_short_help = true)]
    timeout: Option<Duration>,

    /// No notes, no progress
    #[arg(short, long, global = true, help_heading = "Global options", hide_short_help = true)]
    quiet: bool,

    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    #[arg(help_heading = "Global options", hide_short_help = true)]
    verbose: u8,
}

fn parse_timeout(text: &str) -> Result<Duration, Fault> {
    let limit = parse_duration(text)?;
    if limit.is_zero() {
        return Err(Fault::usage("a timeout of nothing")
            .because("no call could end in time")
            .hint("write 500ms or 30s"));
    }
    Ok(limit)
}

impl Globals {
    fn into_flags(self) -> Flags {
        // The parser let only known words through.
        Flags {
            output: self.output.and_then(|w| w.parse().ok()),
            context: self.context,
            color: self.color.and_then(|w| w.parse().ok()),
            timeout: self.timeout,
            quiet: self.quiet,
            verbosity: self.verbose,
        }
    }
}

/// The whole command line. Nouns fill in their verbs only when they are asked for.
pub fn command() -> clap::Command {
    let root = clap::Command::new("opsctl")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The on-call engineer's tool for an AI-operations orchestrator")
        .max_term_width(80)
        .subcommand_required(true)
        .arg_required_else_help(false)
        .override_help(help::root());
    Command::define(crate::complete::attach_contexts(Globals::augment_args(root)))
}

/// Runs the process: completions if a shell asks, then the command line.
pub fn main() -> ExitCode {
    crate::complete::notice();
    let shells = clap_complete::CompleteEnv::with_factory(command).var(COMPLETE_VARIABLE);
    let directory = std::env::current_dir().ok();
    if shells.try_complete(crate::complete::words(), directory.as_deref()).unwrap_or_else(|error| error.exit()) {
        return ExitCode::SUCCESS;
    }
    run(std::env::args_os().collect(), Env::process())
}

/// Runs one command line in an environment.
pub fn run(args: Vec<OsString>, env: Env) -> ExitCode {
    let typed = args.clone();
    let args = aliases::rewrite(args);
    match parsed(&args) {
        Ok((globals, command)) => execute(globals.into_flags(), env, command, &args),
        Err(usage::Wrong::Usage(fault)) => early_error(&typed, &env, (*fault).into()),
        Err(usage::Wrong::Parser(error)) if !error.use_stderr() => {
            let output = early_output(&typed, &env);
            let text = error.render();
            let text = if output.stdout.color { text.ansi().to_string() } else { text.to_string() };
            match output.write(&text) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => finish(&output, Err(error)),
            }
        }
        Err(usage::Wrong::Parser(error)) => early_error(&typed, &env, fault_of(&error, &typed, &args).into()),
    }
}

fn parsed(args: &[OsString]) -> Result<(Globals, Command), usage::Wrong> {
    let matches = parse(args)?;
    let globals = Globals::from_arg_matches(&matches).map_err(Box::new)?;
    Ok((globals, Command::from_matches(&matches).map_err(Box::new)?))
}

fn parse(args: &[OsString]) -> Result<clap::ArgMatches, usage::Wrong> {
    usage::optional_value_followed_by_word(args)?;
    Ok(command().try_get_matches_from(args).map_err(Box::new)?)
}

/// The command that canonically spelled words mean; a saved plan holds such.
pub(crate) fn command_of(words: &[String]) -> Result<Command, Fault> {
    let args: Vec<OsString> =
        std::iter::once("opsctl").chain(words.iter().map(String::as_str)).map(Into::into).collect();
    let matches = command().try_get_matches_from(&args);
    matches.and_then(|matches| Command::from_matches(&matches)).map_err(|error| fault_of(&error, &args, &args))
}

/// What is wrong with a command line, without running it. `typed` starts with the program's name.
pub(crate) fn check(typed: &[OsString]) -> Result<(), Fault> {
    let args = aliases::rewrite(typed.to_vec());
    match parse(&args) {
        Ok(_) => Ok(()),
        Err(usage::Wrong::Parser(error)) if !error.use_stderr() => Ok(()),
        Err(usage::Wrong::Usage(fault)) => Err(*fault),
        Err(usage::Wrong::Parser(error)) => Err(fault_of(&error, typed, &args)),
    }
}

fn execute(flags: Flags, env: Env, command: Command, args: &[OsString]) -> ExitCode {
    let early = early_output_of(&flags, &env);
    let settings = if command.reads_config() { Settings::load(flags, env) } else { Settings::without_file(flags, env) };
    let app = match settings {
        Ok(settings) => App::new(settings, aliases::class_of(args), aliases::command_words(args)),
        Err(error) => return finish(&early, Err(error)),
    };
    let result = match runtime(&command) {
        Ok(runtime) => {
            let result = runtime.block_on(until_interrupted(command, &app));
            // A question that nobody will answer any more is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = &result {
        app.close_receipt(error);
    }
    finish(&app.output, result)
}

async fn until_interrupted(command: Command, app: &App) -> anyhow::Result<Outcome> {
    if command.owns_signals() {
        return command.run(app).await;
    }
    tokio::select! {
        result = command.run(app) => result,
        _ = tokio::signal::ctrl_c() => Err(Fault::new(Kind::Interrupted, "interrupted").into()),
    }
}

fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    match command.workers() {
        0 => tokio::runtime::Builder::new_current_thread().enable_all().build(),
        workers => tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build(),
    }
}

fn finish(output: &Output, result: anyhow::Result<Outcome>) -> ExitCode {
    match result {
        Ok(outcome) => outcome.exit_code().into(),
        Err(error) => {
            let kind = Explained::from_error(&error).kind;
            if kind == Kind::Interrupted && output.stderr.terminal && !output.format.is_json() {
                // Whoever pressed Ctrl-C knows; the next prompt starts on a line of its own.
                output.say("\n");
            } else {
                output.error(&error);
            }
            kind.exit_code().into()
        }
    }
}

/// An error before the settings are known: the flags are read off the command line as far as they are there.
fn early_error(args: &[OsString], env: &Env, error: anyhow::Error) -> ExitCode {
    let output = early_output(args, env);
    // A credential that only the context knows may have been typed, too.
    let flags = Flags { context: aliases::early_value(args, "context").map(str::to_owned), ..Flags::default() };
    if let Ok(settings) = Settings::load(flags, env.clone())
        && let Ok(context) = settings.context()
    {
        output.redactor.add(&context.secrets_in(&settings.env));
    }
    finish(&output, Err(error))
}

fn early_output(args: &[OsString], env: &Env) -> Output {
    let flags = Flags {
        output: aliases::early_value(args, "output").and_then(|w| w.parse().ok()),
        color: aliases::early_value(args, "color").and_then(|w| w.parse().ok()),
        ..Flags::default()
    };
    early_output_of(&flags, env)
}

fn early_output_of(flags: &Flags, env: &Env) -> Output {
    let of_env = |name| env.non_empty(name);
    let format = flags.output.or_else(|| of_env("OPSCTL_OUTPUT")?.parse().ok()).unwrap_or_default();
    let color = flags.color.or_else(|| of_env("OPSCTL_COLOR")?.parse().ok()).unwrap_or_default();
    let now = crate::clock::Clock::system().now();
    let output = Output::new(format, flags.quiet, Style::stdout(color, env, now), Style::stderr(color, env, now));
    // What was typed may hold one by mistake, and comes back in the error.
    output.redactor.add(&env.secrets());
    output
}

#[cfg(test)]
mod tests;

//! The verbs. One noun is one file or folder; each verb has its clap arguments, its `run`, and the report it returns.
//!
//! To add a verb `circuit reset`:
//! 1. `src/commands/circuit/reset.rs` (or `circuit.rs` for a small noun): a `#[derive(clap::Args)]` struct with
//!    `pub async fn run(self, app: &App) -> anyhow::Result<Outcome>`. One that changes something flattens
//!    `guard::ChangeArgs`; one that shows a state flattens `app::WatchArgs`.
//! 2. A line in the noun's `#[derive(clap::Subcommand)]` enum, and in the `match` of its `run`.
//! 3. A line in `aliases::VERBS`, in alphabetical order: canonical words, other spellings, effect class.
//! 4. For a new noun: a line in `commands!` below, and one in `cli::help` if it is not there yet.
//! 5. `OPSCTL_BLESS=1 cargo test --test cli generated` rewrites the man pages and completions.

pub mod alerts;
pub mod analyze;
pub mod api;
pub mod apply;
pub mod approvals;
pub mod args;
mod arriving;
pub mod backup;
pub mod benchmark;
pub mod brakes;
pub mod cache;
pub mod changes;
pub mod check;
pub mod circuit;
pub mod completions;
pub mod component;
pub mod config;
pub mod context;
mod copies;
pub mod cron;
pub mod dashboard;
pub mod docs;
pub mod dr;
pub mod drive;
pub mod escalate;
pub mod executor;
pub mod google;
pub mod history;
pub mod idempotency;
pub mod issues;
pub mod links;
pub mod logs;
pub mod maintenance;
pub mod man;
pub mod metrics;
pub mod monitor;
mod monitoring;
pub mod notify;
pub mod notion;
mod outage;
pub mod queue;
pub mod rate_limits;
pub mod report;
pub mod restart;
pub mod restore;
pub mod rollback;
pub mod runbook;
pub mod sandbox;
pub mod security;
pub mod serve;
pub mod sheets;
pub mod slack;
pub mod state;
pub mod system;
pub mod test;
mod text;
pub mod token;
pub mod trello;
pub mod undo;
pub mod validate;
pub mod verify;
pub mod version;
pub mod wait;
pub mod worker;
pub mod workflow;

use clap::{Args, FromArgMatches, Subcommand};

use crate::aliases;
use crate::app::App;
use crate::error::Outcome;

/// Declares the root commands: `verbs` for a noun with verbs, `alone` for a command by itself. Their arguments are
/// only built when the command line names them: building all of them costs more than a whole start.
macro_rules! commands {
    ($($name:literal => $variant:ident($kind:ident $args:ty)),+ $(,)?) => {
        /// A parsed command.
        pub enum Command { $(#[allow(missing_docs)] $variant($args)),+ }

        impl Command {
            /// Adds every root command to the parser.
            pub(crate) fn define(root: clap::Command) -> clap::Command {
                root$(.subcommand(noun($name).defer(|command| define::$kind::<$args>(command))))+
            }

            /// Takes the parsed command out of the matches.
            pub(crate) fn from_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
                match matches.subcommand() {
                    $(Some(($name, matches)) => <$args>::from_arg_matches(matches).map(Command::$variant),)+
                    _ => Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
                }
            }

            /// Runs it.
            pub(crate) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
                match self { $(Command::$variant(command) => command.run(app).await),+ }
            }
        }
    };
}

commands! {
    "check" => Check(verbs check::Verb),
    "alerts" => Alerts(verbs alerts::Verb),
    "system" => System(verbs system::Verb),
    "executor" => Executor(verbs executor::Verb),
    "circuit" => Circuit(verbs circuit::Verb),
    "rate-limits" => RateLimits(verbs rate_limits::Verb),
    "queue" => Queue(verbs queue::Verb),
    "workflow" => Workflow(verbs workflow::Verb),
    "rollback" => Rollback(verbs rollback::Verb),
    "idempotency" => Idempotency(verbs idempotency::Verb),
    "approvals" => Approvals(verbs approvals::Verb),
    "pause" => Pause(verbs brakes::Pause),
    "resume" => Resume(verbs brakes::Resume),
    "restart" => Restart(verbs restart::Verb),
    "cache" => Cache(verbs cache::Verb),
    "metrics" => Metrics(verbs metrics::Verb),
    "monitor" => Monitor(verbs monitor::Verb),
    "wait" => Wait(alone wait::WaitArgs),
    "changes" => Changes(alone changes::ChangesArgs),
    "logs" => Logs(verbs logs::Verb),
    "analyze" => Analyze(verbs analyze::Verb),
    "dashboard" => Dashboard(verbs dashboard::Verb),
    "benchmark" => Benchmark(alone benchmark::BenchmarkArgs),
    "report" => Report(verbs report::Verb),
    "issues" => Issues(verbs issues::Verb),
    "docs" => Docs(verbs docs::Verb),
    "test" => Test(verbs test::Verb),
    "validate" => Validate(verbs validate::Verb),
    "google" => Google(verbs google::Verb),
    "notion" => Notion(verbs notion::Verb),
    "trello" => Trello(verbs trello::Verb),
    "slack" => Slack(verbs slack::Verb),
    "drive" => Drive(verbs drive::Verb),
    "sheets" => Sheets(verbs sheets::Verb),
    "config" => Config(verbs config::Verb),
    "maintenance" => Maintenance(verbs maintenance::Verb),
    "cron" => Cron(verbs cron::Verb),
    "runbook" => Runbook(verbs runbook::Verb),
    "escalate" => Escalate(alone escalate::EscalateArgs),
    "links" => Links(alone links::LinksArgs),
    "security" => Security(verbs security::Verb),
    "notify" => Notify(verbs notify::Verb),
    "token" => Token(verbs token::Verb),
    "api" => Api(alone api::ApiArgs),
    "backup" => Backup(verbs backup::Verb),
    "state" => State(verbs state::Verb),
    "restore" => Restore(verbs restore::Verb),
    "dr" => Dr(verbs dr::Verb),
    "verify" => Verify(verbs verify::Verb),
    "db" => Db(verbs component::Db),
    "eventbus" => Eventbus(verbs component::Eventbus),
    "context" => Context(verbs context::Verb),
    "sandbox" => Sandbox(verbs sandbox::Verb),
    "history" => History(alone history::HistoryArgs),
    "undo" => Undo(alone undo::UndoArgs),
    "apply" => Apply(alone apply::ApplyArgs),
    "serve" => Serve(alone serve::ServeArgs),
    "worker" => Worker(alone worker::WorkerArgs),
    "version" => Version(alone version::VersionArgs),
    "completions" => Completions(alone completions::CompletionsArgs),
    "man" => Man(alone man::ManArgs),
}

impl Command {
    /// Whether `config.toml` matters to it. What helps to repair a broken one has to work without it.
    pub(crate) fn reads_config(&self) -> bool {
        let host = matches!(self, Command::Sandbox(sandbox::Verb::Host(_)));
        !host && !matches!(self, Command::Version(_) | Command::Completions(_) | Command::Man(_))
    }

    /// Whether it deals with Ctrl-C itself.
    pub(crate) fn owns_signals(&self) -> bool {
        matches!(self, Command::Serve(_) | Command::Worker(_) | Command::Sandbox(sandbox::Verb::Host(_)))
    }

    /// Worker threads of its runtime; 0 for none beside the main thread.
    pub(crate) fn workers(&self) -> usize {
        if self.owns_signals() { 2 } else { 0 }
    }
}

fn noun(name: &'static str) -> clap::Command {
    let command = clap::Command::new(name);
    match crate::cli::about(name) {
        Some(about) => command.about(about),
        None => command,
    }
}

/// How a root command is filled in when it is asked for.
mod define {
    use super::*;

    pub(super) fn verbs<T: Subcommand>(command: clap::Command) -> clap::Command {
        let noun = command.get_name().to_owned();
        let about = crate::cli::about(&noun).unwrap_or_default();
        T::augment_subcommands(command)
            .about(about)
            .long_about(None::<&str>)
            .subcommand_required(true)
            .arg_required_else_help(true)
            .disable_help_subcommand(true)
            .mut_subcommands(|verb| {
                let words = format!("{noun} {}", verb.get_name());
                with_effect(verb, &words)
            })
    }

    pub(super) fn alone<T: Args>(command: clap::Command) -> clap::Command {
        let name = command.get_name().to_owned();
        with_effect(T::augment_args(command), &name).mut_subcommands(|verb| {
            let words = format!("{name} {}", verb.get_name());
            with_effect(verb, &words)
        })
    }

    /// Every help page says what the verb does to the world.
    fn with_effect(command: clap::Command, words: &str) -> clap::Command {
        let command = crate::complete::attach(command, words);
        match aliases::find(words) {
            Some(verb) => command
                .after_help(format!("Effect: {}\nGlobal options: see opsctl --help", verb.class.effect()))
                .after_long_help(format!("Effect: {}", verb.class.effect())),
            None => command,
        }
    }
}

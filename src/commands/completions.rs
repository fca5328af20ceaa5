//! `opsctl completions`: what a shell needs to complete our words.

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::app::App;
use crate::cli::COMPLETE_VARIABLE;
use crate::error::Outcome;

/// Print shell completions
///
/// The short script asks opsctl itself while you type, so it never goes stale. --static prints a long one that works
/// without starting opsctl. Bash splits words at a colon: `circuit:reset` runs but is not completed.
///
///     opsctl completions bash > ~/.local/share/bash-completion/completions/opsctl
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct CompletionsArgs {
    /// Shell: bash, zsh or fish
    #[arg(value_enum, hide_possible_values = true)]
    shell: Shell,

    /// A script that does not ask opsctl
    #[arg(long = "static")]
    fixed: bool,
}

/// The shells we write for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// Bash 4 or later.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
}

impl Shell {
    /// All of them, each with the file it belongs in under `completions/`.
    pub const FILES: [(Shell, &'static str); 3] =
        [(Shell::Bash, "opsctl.bash"), (Shell::Zsh, "_opsctl"), (Shell::Fish, "opsctl.fish")];

    /// The short script.
    pub fn registration(self) -> anyhow::Result<String> {
        let completer: &dyn EnvCompleter = match self {
            Shell::Bash => &Bash,
            Shell::Zsh => &Zsh,
            Shell::Fish => &Fish,
        };
        let mut script = Vec::new();
        completer.write_registration(COMPLETE_VARIABLE, "opsctl", "opsctl", "opsctl", &mut script)?;
        Ok(String::from_utf8(script)?.trim_start().to_owned())
    }

    fn fixed(self) -> anyhow::Result<String> {
        use clap_complete::aot;
        let mut command = crate::cli::command();
        let mut script = Vec::new();
        match self {
            Shell::Bash => aot::generate(aot::Bash, &mut command, "opsctl", &mut script),
            Shell::Zsh => aot::generate(aot::Zsh, &mut command, "opsctl", &mut script),
            Shell::Fish => aot::generate(aot::Fish, &mut command, "opsctl", &mut script),
        }
        Ok(String::from_utf8(script)?)
    }
}

impl CompletionsArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let script = if self.fixed { self.shell.fixed()? } else { self.shell.registration()? };
        app.output.write(&script)?;
        Ok(Outcome::Done)
    }
}

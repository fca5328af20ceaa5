//! `opsctl man`: the manual, one page per noun.

use std::io::Write as _;
use std::path::PathBuf;

use clap_mangen::Man;

use crate::app::App;
use crate::cli;
use crate::error::{Fault, Outcome};

/// Write the manual pages
///
/// One page per command, and opsctl(1) about the whole. Without --dir the page is printed.
///
///     opsctl man --dir ~/.local/share/man/man1
#[derive(clap::Args, Debug)]
#[command(verbatim_doc_comment)]
pub struct ManArgs {
    /// Command whose page to print; the whole tool's unless told
    #[arg(conflicts_with = "dir")]
    command: Option<String>,

    /// Directory to write all pages to
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl ManArgs {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let pages = pages()?;
        if let Some(dir) = self.dir {
            for (name, text) in &pages {
                crate::files::write_whole(&dir.join(name), text.as_bytes(), false)?;
            }
            app.note(format!("{} pages written to {}", pages.len(), dir.display()));
            return Ok(Outcome::Done);
        }
        let wanted = self.command.as_deref().map_or("opsctl.1".to_owned(), |noun| format!("opsctl-{noun}.1"));
        let Some((_, text)) = pages.iter().find(|(name, _)| *name == wanted) else {
            let noun = self.command.unwrap_or_default();
            return Err(Fault::usage(format!("there is no command `{noun}`")).hint("see `opsctl --help`").into());
        };
        app.output.write(text)?;
        Ok(Outcome::Done)
    }
}

/// Every page: its file name and its text.
pub fn pages() -> anyhow::Result<Vec<(String, String)>> {
    let mut root = cli::command();
    root.build();
    let mut pages = vec![("opsctl.1".to_owned(), root_page(&root)?)];
    for noun in root.get_subcommands().filter(|c| c.get_name() != "help") {
        pages.push((format!("opsctl-{}.1", noun.get_name()), noun_page(noun)?));
    }
    Ok(pages)
}

const TITLE: &str = concat!("opsctl ", env!("CARGO_PKG_VERSION"));
/// The day of the version, which every page names; it changes with the version.
const DATE: &str = "2026-11-23";

fn page_of(command: &clap::Command, name: &str) -> Man {
    Man::new(command.clone()).title(name.to_uppercase()).source(TITLE).manual("opsctl manual").date(DATE)
}

fn root_page(root: &clap::Command) -> anyhow::Result<String> {
    let man = page_of(root, "opsctl");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    writeln!(page, ".SH SYNOPSIS\n\\fBopsctl\\fR [\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIVERB\\fR] ...")?;
    man.render_options_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for noun in root.get_subcommands().filter(|c| c.get_name() != "help") {
        let about = noun.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, ".TP\n\\fBopsctl\\-{}\\fR(1)\n{}", escape(noun.get_name()), escape(&about))?;
    }
    writeln!(page, ".SH EXIT STATUS")?;
    for (code, meaning) in EXIT_CODES {
        writeln!(page, ".TP\n{code}\n{}", escape(meaning))?;
    }
    Ok(String::from_utf8(page)?)
}

/// What each exit code means.
pub const EXIT_CODES: [(u8, &str); 11] = [
    (0, "done"),
    (1, "failed"),
    (2, "the command line cannot be understood"),
    (3, "the check found a problem"),
    (4, "not authenticated, or not allowed"),
    (5, "not found"),
    (6, "conflict, or it changed meanwhile"),
    (7, "unreachable or timed out"),
    (8, "some items failed"),
    (10, "declined, or consent missing"),
    (130, "interrupted"),
];

fn noun_page(noun: &clap::Command) -> anyhow::Result<String> {
    let name = format!("opsctl-{}", noun.get_name());
    let mut page = Vec::new();
    page_of(noun, &name).render_title(&mut page)?;
    let about = noun.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(page, ".SH NAME\n{} \\- {}", escape(&name), escape(&about))?;
    // `history` is a command by itself and a noun with a verb.
    if !noun.is_subcommand_required_set() {
        verb_text(&mut page, noun, &format!("opsctl {}", noun.get_name()))?;
    }
    for verb in noun.get_subcommands().filter(|c| !c.is_hide_set() && c.get_name() != "help") {
        verb_text(&mut page, verb, &format!("opsctl {} {}", noun.get_name(), verb.get_name()))?;
    }
    writeln!(page, ".SH SEE ALSO\n\\fBopsctl\\fR(1)")?;
    Ok(String::from_utf8(page)?)
}

/// One verb: its words as a heading, its usage, what it says about itself, its options without the global ones.
fn verb_text(page: &mut Vec<u8>, verb: &clap::Command, words: &str) -> anyhow::Result<()> {
    let own = verb.clone().mut_args(|arg| {
        let global = arg.get_help_heading() == Some("Global options");
        if global || arg.get_id() == "help" { arg.hide(true) } else { arg }
    });
    writeln!(page, ".SH \"{}\"", escape(words).to_uppercase())?;
    let usage = own.clone().render_usage().to_string();
    let usage = usage.trim().strip_prefix("Usage: ").unwrap_or(usage.trim()).to_owned();
    writeln!(page, "{}", escape(&usage))?;
    let man = Man::new(own);
    let mut body = Vec::new();
    man.render_description_section(&mut body)?;
    man.render_options_section(&mut body)?;
    man.render_extra_section(&mut body)?;
    // Each verb is a section of its own here, so the sections within it become paragraphs.
    for line in String::from_utf8(body)?.lines() {
        match line.strip_prefix(".SH ") {
            Some("DESCRIPTION" | "EXTRA") => writeln!(page, ".PP")?,
            Some(heading) => writeln!(page, ".SS {heading}")?,
            None => writeln!(page, "{line}")?,
        }
    }
    Ok(())
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

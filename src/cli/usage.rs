//! Errors of the command line in the three parts of every other error.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::aliases;
use crate::error::Fault;

/// Flags whose optional value takes `=` only.
const OPTIONAL_VALUES: [(&str, &str); 2] = [("--watch", "5s"), ("--confirm", "CONTEXT")];
/// Words in an unknown flag that say somebody is about to pass a secret.
const SECRET_WORDS: [&str; 6] = ["token", "secret", "password", "api-key", "apikey", "private-key"];

/// Why a command line was not taken.
pub enum Wrong {
    /// The parser says so; help and version come this way too.
    Parser(Box<clap::Error>),
    /// We say so.
    Usage(Box<Fault>),
}

impl From<Box<clap::Error>> for Wrong {
    fn from(error: Box<clap::Error>) -> Self {
        Wrong::Parser(error)
    }
}

/// Refuses `--watch 5s` and `--confirm prod-eu`: the word would silently be taken for an argument.
pub fn optional_value_followed_by_word(args: &[OsString]) -> Result<(), Wrong> {
    let texts = args.iter().map(|a| a.to_str().unwrap_or_default()).take_while(|a| *a != "--");
    let texts: Vec<&str> = texts.collect();
    for pair in texts.windows(2) {
        let Some((flag, example)) = OPTIONAL_VALUES.iter().find(|(flag, _)| *flag == pair[0]) else { continue };
        if !pair[1].starts_with('-') {
            let fault = Fault::usage(format!("`{}` right after `{flag}` could be its value or an argument", pair[1]))
                .because(format!("the value of {flag} takes `=`"))
                .hint(format!("write `{flag}={example}`, or put a bare `{flag}` last"));
            return Err(Wrong::Usage(Box::new(fault)));
        }
    }
    Ok(())
}

/// A parser's error as a fault. `typed` is the command line as it was, `args` with canonical words.
pub fn fault_of(error: &clap::Error, typed: &[OsString], args: &[OsString]) -> Fault {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join(", ")),
        Some(ContextValue::StyledStr(text)) => Some(text.to_string()),
        _ => None,
    };
    let argument = text(ContextKind::InvalidArg).unwrap_or_default();
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let suggested = text(ContextKind::SuggestedArg).or_else(|| text(ContextKind::SuggestedValue));
    let see_help = format!("see `{} --help`", help_words(args));
    let hint = suggested.map_or_else(|| see_help.clone(), |near| format!("did you mean `{near}`? {see_help}"));
    match error.kind() {
        ErrorKind::InvalidSubcommand | ErrorKind::MissingSubcommand => command_fault(typed, args),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => command_fault(typed, args),
        ErrorKind::UnknownArgument => unknown_argument(&argument, args, hint),
        ErrorKind::InvalidValue if value.is_empty() => {
            Fault::usage(format!("`{argument}` needs a value")).because(one_of(error)).hint(hint)
        }
        ErrorKind::InvalidValue => {
            Fault::usage(format!("`{value}` does not fit `{argument}`")).because(one_of(error)).hint(hint)
        }
        ErrorKind::ValueValidation => {
            let mut fault = Fault::usage(format!("`{value}` does not fit `{argument}`"));
            match error.source().and_then(|s| s.downcast_ref::<Fault>()) {
                Some(inner) => {
                    fault = inner.causes.iter().fold(fault.because(&inner.message), |f, cause| f.because(cause));
                    fault.hint(inner.hint.clone().unwrap_or(hint))
                }
                None => match error.source() {
                    Some(source) => fault.because(source.to_string()).hint(hint),
                    None => fault.hint(hint),
                },
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let fault =
                Fault::usage(format!("{} is missing", if argument.is_empty() { "an argument" } else { &argument }));
            let usage = text(ContextKind::Usage).unwrap_or_default();
            match usage.trim().strip_prefix("Usage: ") {
                Some(usage) => fault.because(format!("it is used like this: {usage}")).hint(see_help),
                None => fault.hint(see_help),
            }
        }
        ErrorKind::ArgumentConflict => {
            let other = text(ContextKind::PriorArg).unwrap_or_else(|| "another argument".into());
            Fault::usage(format!("`{argument}` cannot be used with `{other}`")).hint(see_help)
        }
        ErrorKind::InvalidUtf8 => Fault::usage("an argument is not valid UTF-8").hint(see_help),
        _ => {
            let whole = error.render().to_string();
            let first = whole.lines().next().unwrap_or_default();
            Fault::usage(first.strip_prefix("error: ").unwrap_or(first).to_owned()).hint(see_help)
        }
    }
}

fn one_of(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(words)) if !words.is_empty() => format!("it is one of {}", words.join(", ")),
        _ => "no value was given".into(),
    }
}

fn unknown_argument(argument: &str, args: &[OsString], hint: String) -> Fault {
    let name = argument.split('=').next().unwrap_or(argument);
    let fault = Fault::usage(format!("there is no `{name}` here"));
    let lower = name.to_ascii_lowercase();
    if name.starts_with("--") && SECRET_WORDS.iter().any(|word| lower.contains(word)) {
        return fault
            .because("a secret on the command line could be read by everybody on the machine")
            .hint("secrets come from a command, a file with mode 0600, or the environment");
    }
    let word = !argument.starts_with('-');
    let many = format!("`{}` takes no more arguments", help_words(args));
    if word { fault.because(many).hint(hint) } else { fault.hint(hint) }
}

/// An unknown command, or a noun without a verb.
fn command_fault(typed: &[OsString], args: &[OsString]) -> Fault {
    let at = aliases::command_position(typed).map(|at| if typed[at] == "help" { at + 1 } else { at });
    let Some(at) = at.filter(|at| *at < typed.len()) else {
        return Fault::usage("a command is missing").hint("see `opsctl --help`");
    };
    let first = typed[at].to_string_lossy().into_owned();
    let verbs: Vec<&str> = verbs_of(&first).collect();
    let second = typed.get(at + 1).and_then(|s| s.to_str()).filter(|s| !s.starts_with('-'));
    match second {
        Some(second) if !verbs.is_empty() => {
            let fault = Fault::usage(format!("there is no command `{first} {second}`"));
            match aliases::nearest(second, verbs.iter().copied()) {
                Some(near) => fault.hint(format!("did you mean `opsctl {first} {near}`?")),
                None => fault
                    .because(format!("{first} has {}", verbs.join(", ")))
                    .hint(format!("see `opsctl {first} --help`")),
            }
        }
        None if !verbs.is_empty() => Fault::usage(format!("`{first}` needs a verb"))
            .because(format!("it has {}", verbs.join(", ")))
            .hint(format!("see `{} --help`", help_words(args))),
        _ => {
            let fault = Fault::usage(format!("there is no command `{first}`"));
            match aliases::suggest(&typed[at], typed.get(at + 1).map(OsString::as_os_str)) {
                Some(near) => fault.hint(format!("did you mean `opsctl {near}`? see `opsctl --help`")),
                None => fault.hint("see `opsctl --help`"),
            }
        }
    }
}

fn verbs_of<'a>(noun: &'a str) -> impl Iterator<Item = &'static str> + 'a {
    aliases::VERBS.iter().filter_map(|v| v.name.split_once(' ')).filter(move |(n, _)| *n == noun).map(|(_, verb)| verb)
}

/// `opsctl queue clear`, as far as the words are a command.
fn help_words(args: &[OsString]) -> String {
    let mut words = String::from("opsctl");
    let Some(at) = aliases::command_position(args) else { return words };
    let text = |i: usize| args.get(i).and_then(|a| a.to_str()).unwrap_or_default();
    let (first, second) = (text(at), text(at + 1));
    if aliases::find(first).is_some() || verbs_of(first).next().is_some() {
        words.push(' ');
        words.push_str(first);
        if verbs_of(first).any(|verb| verb == second) {
            words.push(' ');
            words.push_str(second);
        }
    }
    words
}

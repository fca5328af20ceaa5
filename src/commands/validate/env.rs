//! `opsctl validate env`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::commands::{restart::differs, text};
use crate::error::{Explained, Outcome};
use crate::output::{Page, Report, Table};
use crate::platforms::Credentials;
use crate::secret::Secret;
use crate::server::config::{self, OTHERS};
use crate::wire::ConfigEntry;

/// How long the service may take to tell its settings.
const SERVICE_LIMIT: Duration = Duration::from_secs(2);

/// Variables of which one alone is of no use.
const PAIRS: [(&str, &str); 4] = [
    ("TRELLO_API_KEY", "TRELLO_TOKEN"),
    ("GOOGLE_SERVICE_ACCOUNT_EMAIL", "GOOGLE_SERVICE_ACCOUNT_PRIVATE_KEY"),
    ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"),
    ("GOOGLE_CLIENT_ID", "GOOGLE_REFRESH_TOKEN"),
];

/// Check the environment's variables: set or not, shape, same as the service's
///
/// Every variable the runbook and its service know is looked at in your shell, and compared with the running service
/// when that answers. A value is never shown: only its last four characters and a fingerprint. Variables that are not
/// set are left out of the table without --all. Ends with 3 when something is wrong.
///
/// Example: opsctl validate env --all
#[derive(Args, Debug)]
pub struct EnvArgs {
    /// Also those that are not set
    #[arg(long)]
    all: bool,
}

pub(super) async fn env(app: &App, args: EnvArgs) -> anyhow::Result<Outcome> {
    let service = match of_service(app).await {
        Ok(settings) => Some(settings),
        Err(why) => {
            app.note(format!("not compared with the service: {why}"));
            None
        }
    };
    let report = Env { variables: look(app.settings.env.as_map(), service.as_deref()), all: args.all };
    let problem = report.variables.iter().any(|v| matches!(v.state, State::Warn | State::Fail));
    app.emit(&report)?;
    Ok(if problem { Outcome::Problem } else { Outcome::Done })
}

/// The service's settings, or why they are not known.
async fn of_service(app: &App) -> Result<Vec<ConfigEntry>, String> {
    let words = |error: anyhow::Error| Explained::from_error(&error).message;
    let asked = async { anyhow::Ok(app.orchestrator().await?.config().await?.settings) };
    match tokio::time::timeout(SERVICE_LIMIT.min(app.settings.timeout.value), asked).await {
        Ok(answer) => answer.map_err(words),
        Err(_) => Err("it does not answer".into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
    Unset,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            State::Ok => "OK",
            State::Warn => "WARN",
            State::Fail => "FAIL",
            State::Unset => "unset",
        }
    }
}

/// One variable.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Variable {
    name: &'static str,
    set: bool,
    state: State,
    /// The last characters of its value, when that is long enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_in: Option<String>,
    /// First 12 hex digits of the value's SHA-256.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    /// Against the service: `same`, `differs`, `unset there`, `set there`; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'static str>,
    /// What is wrong, and what is worth knowing.
    notes: Vec<String>,
}

impl Variable {
    fn finds(&mut self, state: State, note: impl Into<String>) {
        if self.state != State::Fail {
            self.state = state;
        }
        self.notes.push(note.into());
    }
}

/// Looks at every variable there is.
fn look(env: &BTreeMap<String, String>, service: Option<&[ConfigEntry]>) -> Vec<Variable> {
    let set = |name: &str| env.get(name).map(|v| v.trim()).filter(|v| !v.is_empty());
    let mut all: Vec<Variable> = Vec::new();
    for def in config::all() {
        let mut one = variable(&def.name, set(&def.name));
        if let Some(value) = set(&def.name) {
            match def.kind.normalise(value) {
                // The value itself must not get into the words.
                Err(why) if why.starts_with("cannot be") => one.finds(State::Fail, why),
                Err(_) => one.finds(State::Fail, format!("must be {}", def.kind.expects())),
                Ok(value) => {
                    if let Some(looks_like) = def.kind.odd_shape(&value) {
                        one.finds(State::Warn, format!("does not look like {looks_like}"));
                    }
                }
            }
        }
        compare(&mut one, set(&def.name), service);
        all.push(one);
        for alias in def.aliases {
            all.push(second_name(alias, set(alias), &def.name, set(&def.name)));
        }
    }
    for other in OTHERS {
        let mut one = variable(other.name, set(other.name));
        if let Some(value) = set(other.name) {
            if !(other.shape.fits)(value) {
                one.finds(State::Warn, format!("does not look like {}", other.shape.looks_like));
            }
            one.notes.push(match config::not_ours(other.name) {
                Some(why) => format!("no effect here: {why}"),
                None => "no effect here".into(),
            });
        }
        all.push(one);
        if let Some(alias) = other.alias {
            all.push(second_name(alias, set(alias), other.name, set(other.name)));
        }
    }
    for (one, needed) in PAIRS {
        for (name, missing) in [(one, needed), (needed, one)] {
            if set(name).is_some() && set(missing).is_none() {
                note(&mut all, name, format!("is of no use without {missing}"));
            }
        }
    }
    if let Some(Err(why)) = Credentials::from_env(env).active().google.as_ref() {
        let name = why.split(':').next().unwrap_or_default();
        note(&mut all, name, why[name.len()..].trim_start_matches([':', ' ']).to_owned());
    }
    all.sort_by_key(|v| v.name);
    all
}

fn note(all: &mut [Variable], name: &str, text: String) {
    if let Some(one) = all.iter_mut().find(|v| v.name == name) {
        one.finds(State::Fail, text);
    }
}

fn variable(name: &'static str, value: Option<&str>) -> Variable {
    let secret = value.map(Secret::new);
    Variable {
        name,
        set: value.is_some(),
        state: if value.is_some() { State::Ok } else { State::Unset },
        ends_in: secret.as_ref().and_then(Secret::tail).map(str::to_owned),
        fingerprint: secret.as_ref().map(Secret::fingerprint),
        service: None,
        notes: Vec::new(),
    }
}

/// Another name for a variable: it works, unless the first name holds something else.
fn second_name(alias: &'static str, value: Option<&str>, name: &str, own: Option<&str>) -> Variable {
    let mut one = variable(alias, value);
    match (value, own) {
        (Some(value), Some(own)) if value != own => {
            one.finds(State::Warn, format!("{name} is set to another value, and is the one that is used"));
        }
        (Some(_), _) => one.notes.push(format!("another name of {name}")),
        (None, _) => {}
    }
    one
}

/// What the service has for it.
fn compare(one: &mut Variable, value: Option<&str>, service: Option<&[ConfigEntry]>) {
    let Some(entry) = service.and_then(|all| all.iter().find(|entry| entry.name == one.name)) else { return };
    let there = entry.value.is_some() || entry.pending.is_some();
    one.service = Some(match value {
        Some(value) if differs(entry, value) && there => {
            let way = if entry.secret { " --value-file FILE" } else { "=VALUE" };
            one.finds(
                State::Warn,
                format!("the service has another value; to use yours there: opsctl config set {}{way}", one.name),
            );
            "differs"
        }
        Some(_) if !there => "unset there",
        Some(_) => "same",
        None if there => "set there",
        None => "unset there",
    });
}

#[derive(Serialize)]
struct Env {
    variables: Vec<Variable>,
    #[serde(skip)]
    all: bool,
}

impl Report for Env {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["VARIABLE", "STATE", "ENDS IN", "SHA-256", "SERVICE", "NOTE"]);
        for one in self.variables.iter().filter(|v| self.all || v.state != State::Unset) {
            table.row([
                one.name,
                one.state.word(),
                one.ends_in.as_deref().unwrap_or_default(),
                one.fingerprint.as_deref().unwrap_or_default(),
                one.service.unwrap_or_default(),
                &one.notes.join("; "),
            ]);
        }
        if !table.is_empty() {
            page.table(&table)?;
            page.blank()?;
        }
        let of = |state: State| self.variables.iter().filter(|v| v.state == state).count() as u64;
        let unset = of(State::Unset);
        let more = if self.all { "" } else { " (--all lists them)" };
        page.line(format_args!(
            "{} set, {} wrong, {} to look at; {} not set{more}",
            text::count(self.variables.len() as u64 - unset),
            of(State::Fail),
            of(State::Warn),
            text::count(unset),
        ))
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.variables.iter().map(serde_json::to_value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_at(pairs: &[(&str, &str)]) -> Vec<Variable> {
        let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        look(&env, None)
    }

    fn one<'a>(all: &'a [Variable], name: &str) -> &'a Variable {
        all.iter().find(|v| v.name == name).unwrap()
    }

    #[test]
    fn a_value_is_never_shown_and_a_wrong_shape_is() {
        let all = looked_at(&[
            ("NOTION_API_KEY", "secret_new_key_here"),
            ("QUEUE_WORKERS", "a-secret-in-the-wrong-place"),
            ("SLACK_APP_TOKEN", "nonsense-of-some-length"),
        ]);
        assert_eq!(one(&all, "NOTION_API_KEY").state, State::Warn);
        assert_eq!(one(&all, "NOTION_API_KEY").ends_in.as_deref(), Some("here"));
        assert_eq!(one(&all, "QUEUE_WORKERS").state, State::Fail);
        assert_eq!(one(&all, "SLACK_APP_TOKEN").state, State::Warn);
        assert_eq!(one(&all, "SLACK_BOT_TOKEN").state, State::Unset);
        let text = format!("{}{}", serde_json::to_string(&all).unwrap(), drawn(all));
        for value in ["secret_new_key_here", "a-secret-in-the-wrong-place", "nonsense-of"] {
            assert!(!text.contains(value), "{text}");
        }
    }

    fn drawn(variables: Vec<Variable>) -> String {
        crate::output::draw(&Env { variables, all: true }, crate::output::Style::plain()).unwrap()
    }

    #[test]
    fn two_names_with_two_values_and_half_a_pair() {
        let all = looked_at(&[("NOTION_API_KEY", "one"), ("NOTION_TOKEN", "two"), ("TRELLO_TOKEN", "three")]);
        let second = one(&all, "NOTION_TOKEN");
        assert_eq!((second.state, second.notes[0].contains("NOTION_API_KEY is set to another")), (State::Warn, true));
        assert!(one(&all, "TRELLO_TOKEN").notes.iter().any(|n| n.contains("without TRELLO_API_KEY")));
        let all = looked_at(&[("NOTION_TOKEN", "two")]);
        assert_eq!(one(&all, "NOTION_TOKEN").state, State::Ok);
    }

    #[test]
    fn a_key_file_that_is_not_there_is_a_finding() {
        let all = looked_at(&[("GOOGLE_SERVICE_ACCOUNT_KEY", "/no/such/key.json")]);
        let key = one(&all, "GOOGLE_SERVICE_ACCOUNT_KEY");
        assert_eq!((key.state, key.notes[0].contains("cannot read")), (State::Fail, true), "{key:?}");
    }
}

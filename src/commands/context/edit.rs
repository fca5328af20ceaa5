//! `context add`, `context use` and `context remove`: changes to the operator's own `config.toml`.

use std::io;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::Serialize;
use toml_edit::{DocumentMut, Item, Table, Value, value};

use crate::app::App;
use crate::error::{Fault, Kind, Outcome};
use crate::output::{Page, Report};
use crate::settings::{ContextKind, LOCAL, Protection, SANDBOX, Source, parse_url};

/// `context add`.
#[derive(clap::Args, Debug)]
pub struct AddArgs {
    /// Name of the new context
    name: String,

    /// Base URL of the orchestrator's admin API
    #[arg(long, value_name = "URL")]
    url: String,

    /// File that holds the token, mode 0600
    #[arg(long, value_name = "FILE", group = "token")]
    token_file: Option<PathBuf>,

    /// Command that prints the token
    #[arg(long, value_name = "COMMAND", group = "token")]
    token_command: Option<String>,

    /// Environment variable that holds the token
    #[arg(long, value_name = "NAME", group = "token")]
    token_env: Option<String>,

    /// Word the server must say: production, staging
    #[arg(long, value_name = "WORD")]
    environment: Option<String>,

    /// What changes it allows: confirm or read-only
    #[arg(long, value_name = "WORD", default_value = "confirm", hide_default_value = true)]
    protection: Protection,

    /// Make it the default, too
    #[arg(long = "use")]
    make_default: bool,
}

/// `context use`.
#[derive(clap::Args, Debug)]
pub struct UseArgs {
    /// Context to use from now on
    name: String,
}

/// `context remove`.
#[derive(clap::Args, Debug)]
pub struct RemoveArgs {
    /// Context to remove
    name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Changed {
    context: String,
    changed: bool,
    message: String,
}

impl Report for Changed {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&self.message)
    }
}

fn done(app: &App, context: &str, changed: bool, message: String) -> anyhow::Result<Outcome> {
    app.emit(&Changed { context: context.to_owned(), changed, message })?;
    Ok(Outcome::Done)
}

impl AddArgs {
    pub(super) fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let name = &self.name;
        ensure_name(name)?;
        let url = parse_url(&self.url)?;
        let path = app.settings.places.config_file();
        let mut already = false;
        crate::settings::edit(&path, |document| {
            let table = self.table(url.as_str().trim_end_matches('/'));
            let contexts = contexts_of(document)?;
            match contexts.get(name).map(Item::to_string) {
                Some(old) if old.trim() == Item::Table(table.clone()).to_string().trim() => already = true,
                Some(_) => {
                    return Err(Fault::new(Kind::Conflict, format!("there is a context `{name}` already"))
                        .hint(format!("look at it with `opsctl context show {name}`, or remove it first"))
                        .into());
                }
                None => {
                    contexts.insert(name, Item::Table(table));
                }
            }
            if self.make_default {
                document["context"] = value(name.as_str());
            }
            Ok(())
        })?;
        let verb = if already { "already has" } else { "now has" };
        let default = if self.make_default { ", and it is the default" } else { "" };
        done(app, name, !already, format!("{} {verb} the context {name}{default}", path.display()))
    }

    fn table(&self, url: &str) -> Table {
        let mut table = Table::new();
        table["url"] = value(url);
        if let Some(word) = &self.environment {
            table["environment"] = value(word);
        }
        if self.protection != Protection::default() {
            table["protection"] = value(self.protection.as_str());
        }
        let sources = [
            ("file", self.token_file.as_ref().map(|f| f.display().to_string())),
            ("command", self.token_command.clone()),
            ("env", self.token_env.clone()),
        ];
        for (key, text) in sources {
            if let Some(text) = text {
                let mut source = toml_edit::InlineTable::new();
                source.insert(key, Value::from(text));
                table["credential"] = value(source);
            }
        }
        table
    }
}

impl UseArgs {
    pub(super) fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let context = app.settings.named_context(&self.name)?;
        let mut already = false;
        crate::settings::edit(&app.settings.places.config_file(), |document| {
            already = document.get("context").and_then(Item::as_str) == Some(&self.name);
            if !already {
                document["context"] = value(&self.name);
            }
            Ok(())
        })?;
        if let Source::Env(variable) = app.settings.context_name.source {
            app.output.warn(&format!("{variable} is set and wins over config.toml"));
        }
        let word = if already { "already" } else { "now" };
        done(app, &self.name, !already, format!("{} is {word} the default ({})", context.name, context.place()))
    }
}

impl RemoveArgs {
    pub(super) fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let name = &self.name;
        let context = app.settings.named_context(name)?;
        let mut removed = false;
        crate::settings::edit(&app.settings.places.config_file(), |document| {
            if document.get("context").and_then(Item::as_str) == Some(name) {
                return Err(Fault::new(Kind::Conflict, format!("`{name}` is the default context"))
                    .hint("make another one the default first: `opsctl context use local`")
                    .into());
            }
            removed = contexts_of(document)?.remove(name).is_some();
            if !removed && context.kind != ContextKind::Configured {
                return Err(Fault::new(Kind::Conflict, format!("`{name}` is built in and cannot be removed"))
                    .hint("list the contexts with `opsctl context list`")
                    .into());
            }
            Ok(())
        })?;
        done(app, name, removed, format!("the context {name} is removed"))
    }
}

fn contexts_of(document: &mut DocumentMut) -> anyhow::Result<&mut Table> {
    let contexts = document.entry("contexts").or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    contexts.as_table_mut().context("`contexts` in config.toml is not a table")
}

fn ensure_name(name: &str) -> Result<(), Fault> {
    if name == SANDBOX || name == LOCAL {
        return Err(Fault::usage(format!("the name `{name}` is taken")).because("that context is built in"));
    }
    let good = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if name.is_empty() || name.starts_with('-') || !good {
        return Err(Fault::usage(format!("`{name}` cannot be a context's name"))
            .because("a name has letters, digits, `-`, `_` and `.`")
            .hint("for example prod-eu"));
    }
    Ok(())
}

//! `config.toml`: read strictly, written with its comments kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml_edit::DocumentMut;

use super::context::{Context, ContextKind, CredentialSource, LogPlaces, Protection, parse_url};
use super::services::{ServiceTable, services};
use crate::error::{Fault, Kind};
use crate::files::write_whole;
use crate::notify::ROUTING_KEY;
use crate::platforms::rotation::is_for_rotation;
use crate::platforms::{Endpoints, is_credential};
use crate::wire::Platform;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ConfigFile {
    /// The context in use.
    pub context: Option<String>,
    /// `-o`.
    pub output: Option<String>,
    /// `--color`.
    pub color: Option<String>,
    /// `--timeout`.
    pub timeout: Option<String>,
    /// The dashboard.
    #[serde(default)]
    pub dashboard: Dashboard,
    /// Contexts by name.
    #[serde(default)]
    pub contexts: BTreeMap<String, ContextTable>,
}

/// `[dashboard]`: what `dashboard refresh` writes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dashboard {
    /// Names of its panels; the standard ones unless told.
    pub panels: Option<Vec<String>>,
    /// Where it is written.
    pub file: Option<PathBuf>,
}

/// `[contexts.NAME]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct ContextTable {
    url: Option<String>,
    environment: Option<String>,
    #[serde(default)]
    protection: Protection,
    #[serde(default)]
    credential: CredentialSource,
    #[serde(default)]
    break_glass: CredentialSource,
    #[serde(default)]
    platforms: Endpoints,
    #[serde(default)]
    keys: BTreeMap<String, CredentialSource>,
    #[serde(default)]
    pace: BTreeMap<Platform, f64>,
    #[serde(default)]
    logs: LogPlaces,
    #[serde(default)]
    services: BTreeMap<String, ServiceTable>,
    #[serde(default)]
    links: BTreeMap<String, String>,
    #[serde(default)]
    contacts: BTreeMap<String, String>,
}

impl ContextTable {
    /// The context; what the table leaves out comes from `base`, the built-in of that name.
    pub fn into_context(self, name: &str, base: Option<Context>) -> Result<Context, Fault> {
        let url = self.url.as_deref().map(parse_url).transpose()?;
        self.platforms.ensure_usable().map_err(Fault::usage)?;
        let known = |name: &str| is_credential(name) || is_for_rotation(name) || name == ROUTING_KEY;
        if let Some(name) = self.keys.keys().find(|name| !known(name)) {
            let fault = Fault::usage(format!("keys.{name}: no platform has a credential of that name"));
            return Err(
                fault.hint("name it as the runbook does: NOTION_API_KEY, SLACK_BOT_TOKEN, PAGERDUTY_ROUTING_KEY")
            );
        }
        if let Some((platform, rate)) = self.pace.iter().find(|(_, rate)| !(0.01..=100_000.0).contains(*rate)) {
            return Err(Fault::usage(format!("`pace.{platform}` cannot be {rate}"))
                .hint("it is requests a second, from 0.01 to 100000"));
        }
        let named = |source: &CredentialSource| source.describe() != "none";
        let (base_url, base_credential, base_break_glass) =
            base.map_or_else(|| (None, super::token_variable(), None), |b| (b.url, b.credential, Some(b.break_glass)));
        let Some(url) = url.or(base_url) else {
            return Err(Fault::usage("it has no `url`").hint(format!("opsctl context add {name} --url https://…")));
        };
        let or_base = |own: CredentialSource, base: CredentialSource| if named(&own) { own } else { base };
        Ok(Context {
            name: name.to_owned(),
            kind: if name == super::LOCAL { ContextKind::Local } else { ContextKind::Configured },
            url: Some(url),
            environment: self.environment.filter(|w| !w.is_empty()),
            protection: self.protection,
            credential: or_base(self.credential, base_credential),
            break_glass: or_base(self.break_glass, base_break_glass.unwrap_or_default()),
            platforms: self.platforms,
            keys: self.keys,
            pace: self.pace,
            logs: self.logs,
            services: services(self.services)?,
            links: self.links,
            contacts: self.contacts,
        })
    }
}

/// Reads the file; an absent one is empty.
pub(super) fn read(path: &Path) -> anyhow::Result<ConfigFile> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(ConfigFile::default()),
        Err(error) => return Err(cannot_read(path, error.to_string()).into()),
    };
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let place = line.map(|l| format!("line {l}: ")).unwrap_or_default();
        let message = error.message().lines().next().unwrap_or("malformed").to_owned();
        cannot_read(path, format!("{place}{message}")).into()
    })
}

/// The fault for a file that cannot be used.
pub(super) fn cannot_read(path: &Path, why: String) -> Fault {
    Fault::new(Kind::Usage, format!("cannot read {}", path.display()))
        .because(why)
        .hint("correct the file, or move it away to start with the defaults")
}

/// Changes the file, keeping comments and order; it is replaced in one step.
pub fn edit(path: &Path, change: impl FnOnce(&mut DocumentMut) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cannot_read(path, error.to_string()).into()),
    };
    let mut document: DocumentMut =
        text.parse().map_err(|e: toml_edit::TomlError| cannot_read(path, e.message().to_owned()))?;
    change(&mut document)?;
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    write_whole(&target, document.to_string().as_bytes(), false)
}

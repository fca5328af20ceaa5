//! `opsctl check key-expiration` and `opsctl check key-permissions`: what the platforms tell about our keys, and what
//! somebody wrote down where they tell nothing.

use std::io;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use serde::{Serialize, Serializer};

use crate::analysis::Verdict;
use crate::analysis::keys::{KeyEnd, KeySource};
use crate::app::App;
use crate::commands::args::{PlatformArg, each_once};
use crate::error::{Fault, Kind, Outcome};
use crate::output::{Page, Report, Table};
use crate::platforms::{Clients, Granted, Permission, Platform};
use crate::wire::{ErrorCode, Time};

/// Check when the platforms' keys end
///
/// As the platform says. Where its API does not tell, the date that somebody recorded on this machine counts; it
/// belongs to that one key and is forgotten with it. Ends with 3 when a key is refused, ended, ends within 7 days, or
/// when nobody knows.
///
/// Example: opsctl check key-expiration notion --record 2027-01-31
#[derive(Args, Debug)]
pub struct ExpirationArgs {
    /// Platforms to ask; all of them without any
    #[arg(value_name = "PLATFORM")]
    platforms: Vec<PlatformArg>,

    /// Write down when the key ends; `none` forgets it
    #[arg(long, value_name = "DATE")]
    record: Option<String>,
}

/// Check what the platforms' keys may do
///
/// As the platform says, or as reading shows; nothing is written to find out, so what only a write could tell is
/// UNKNOWN. Ends with 3 when something that the orchestrator needs is missing.
///
/// Example: opsctl check key-permissions notion
#[derive(Args, Debug)]
pub struct PermissionsArgs {
    /// Platforms to ask; all of them without any
    #[arg(value_name = "PLATFORM")]
    platforms: Vec<PlatformArg>,
}

/// One object for one platform, a list for several.
struct Ends(Vec<KeyEnd>);

impl Serialize for Ends {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one_or_all(&self.0, serializer)
    }
}

fn one_or_all<T: Serialize, S: Serializer>(all: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    match all {
        [one] => one.serialize(serializer),
        several => several.serialize(serializer),
    }
}

impl Report for Ends {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PLATFORM", "STATE", "ENDS", "SAYS", "DETAIL"]);
        for one in &self.0 {
            let ends = one.expires_at.map(|at| page.time(at)).unwrap_or_default();
            let source = one.source.map(KeySource::as_str).unwrap_or_default();
            table.row([one.platform.as_str(), one.state.as_str(), &ends, source, &one.detail]);
        }
        page.table(&table)
    }
}

pub(super) async fn expiration(app: &App, args: ExpirationArgs) -> anyhow::Result<Outcome> {
    let wanted = each_once(&args.platforms);
    let clients = clients(app, &wanted).await?;
    if let Some(text) = &args.record {
        record(app, &clients, &wanted, text)?;
    }
    let ends = ends(app, &clients, &wanted, app.settings.timeout.value).await;
    let good = ends.iter().all(|one| one.state == Verdict::Ok);
    let untold = ends.iter().find(|one| one.is_untold);
    let hint =
        untold.map(|one| format!("write the date down: opsctl check key-expiration {} --record DATE", one.platform));
    app.emit(&Ends(ends))?;
    if let Some(hint) = hint {
        app.note(hint);
    }
    Ok(if good { Outcome::Done } else { Outcome::Problem })
}

/// When the keys end, as the platforms say and as was written down here.
pub(super) async fn ends(app: &App, clients: &Clients, wanted: &[Platform], limit: Duration) -> Vec<KeyEnd> {
    let answers = join_all(wanted.iter().map(|&platform| clients.key_expiry(platform, limit))).await;
    let of = |(&platform, answer): (&Platform, _)| {
        let fingerprint = clients.credentials().fingerprint(platform);
        let recorded = fingerprint.and_then(|key| app.remembered(platform).ends(&key));
        KeyEnd::judge(platform, answer, recorded, app.now())
    };
    wanted.iter().zip(answers).map(of).collect()
}

/// Writes down when the key in use ends.
fn record(app: &App, clients: &Clients, wanted: &[Platform], text: &str) -> anyhow::Result<()> {
    let [platform] = *wanted else {
        return Err(Fault::usage("--record is about one platform")
            .hint("opsctl check key-expiration notion --record DATE")
            .into());
    };
    let at = match text {
        "none" => None,
        date => Some(day(date)?),
    };
    let fingerprint = clients.credentials().fingerprint(platform).unwrap_or_default();
    app.remember_end(platform, fingerprint, at)
}

/// The end of a day given as a date; an instant as it is.
fn day(text: &str) -> Result<Time, Fault> {
    let whole = text.parse::<jiff::civil::Date>().map(|_| format!("{text}T23:59:59Z"));
    whole.as_deref().unwrap_or(text).parse().map_err(|_| {
        Fault::usage(format!("`{text}` is not a date")).hint("write 2027-01-31, or none to forget the date")
    })
}

/// Clients for these platforms; for a single one there has to be a credential.
async fn clients(app: &App, wanted: &[Platform]) -> anyhow::Result<Clients> {
    let clients = app.platforms().await?;
    match wanted {
        [one] if !clients.credentials().has(*one) => Err(no_key(&clients, *one).into()),
        _ => Ok(clients),
    }
}

/// There is no credential for a platform here.
fn no_key(clients: &Clients, platform: Platform) -> Fault {
    let names = clients.credentials().names(platform);
    Fault::new(Kind::NotAuthenticated, format!("there is no key for {platform} here"))
        .because(format!("{names} is not set"))
        .hint("export it, or name its source under [contexts.NAME.keys] in config.toml")
        .code(ErrorCode::AuthError)
}

/// What one key may do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Allowed {
    platform: Platform,
    permissions: Vec<Line>,
    /// Why nothing is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    name: String,
    /// `OK`, `FAIL`, `UNKNOWN`.
    state: &'static str,
    detail: String,
}

impl From<Permission> for Line {
    fn from(permission: Permission) -> Self {
        let state = match permission.granted {
            Granted::Yes => "OK",
            Granted::No => "FAIL",
            Granted::Unknown => "UNKNOWN",
        };
        Line { name: permission.name, state, detail: permission.detail }
    }
}

struct AllAllowed(Vec<Allowed>);

impl Serialize for AllAllowed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        one_or_all(&self.0, serializer)
    }
}

impl Report for AllAllowed {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PLATFORM", "PERMISSION", "STATE", "DETAIL"]);
        for one in &self.0 {
            for line in &one.permissions {
                table.row([one.platform.as_str(), &line.name, line.state, &line.detail]);
            }
            if let Some(error) = &one.error {
                table.row([one.platform.as_str(), "", "UNKNOWN", error]);
            }
        }
        page.table(&table)
    }
}

pub(super) async fn permissions(app: &App, args: PermissionsArgs) -> anyhow::Result<Outcome> {
    let wanted = each_once(&args.platforms);
    let clients = clients(app, &wanted).await?;
    let limit = app.settings.timeout.value;
    let answers = join_all(wanted.iter().map(|&platform| clients.key_permissions(platform, limit))).await;
    let mut all = Vec::new();
    for (&platform, answer) in wanted.iter().zip(answers) {
        match answer {
            Ok(found) => {
                let permissions = found.into_iter().map(Line::from).collect();
                all.push(Allowed { platform, permissions, error: None });
            }
            Err(error) if wanted.len() == 1 => {
                return Err(error.fault(format!("cannot tell what the {platform} key may do")).into());
            }
            Err(error) => all.push(Allowed { platform, permissions: Vec::new(), error: Some(error.message) }),
        }
    }
    let good = all.iter().all(|one| one.error.is_none() && one.permissions.iter().all(|line| line.state != "FAIL"));
    app.emit(&AllAllowed(all))?;
    Ok(if good { Outcome::Done } else { Outcome::Problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_means_the_end_of_its_day() {
        assert_eq!(day("2027-01-31").unwrap().to_string(), "2027-01-31T23:59:59.000Z");
        assert!(day("next year").is_err());
    }
}

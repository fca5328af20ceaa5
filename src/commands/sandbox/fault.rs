//! `sandbox fault`.

use std::io;

use clap::Args;
use serde::Serialize;

use super::place;
use crate::app::App;
use crate::error::{self, Outcome};
use crate::output::{Page, Report, Table};
use crate::sandbox::ground::Ground;
use crate::sandbox::sim::{ActiveFault, Api, Fault, FaultSpec};

/// Break a platform, or mend it
///
/// PLATFORM is notion, trello, slack, drive, sheets, google (its token endpoint) or status (the vendors' feeds).
/// KIND is down, slow[=MS], hang, 401, 403, 429[=SECONDS], a 5xx status such as 503, lost-answer or html.
/// `list` shows what is on, `clear [PLATFORM]` mends.
///
/// Example: opsctl sandbox fault notion 503 --count 5 --only write
#[derive(Args, Debug)]
pub struct FaultArgs {
    /// Platform to break; or list, or clear
    #[arg(value_name = "PLATFORM|list|clear", default_value = "list", hide_default_value = true)]
    what: String,

    /// What goes wrong; after `clear`, the platform to mend
    #[arg(value_name = "KIND")]
    kind: Option<String>,

    /// For so many requests; until it is cleared without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,

    /// Only read, write, create, update, delete, or one operation: chat.postMessage
    #[arg(long, value_name = "OPERATION")]
    only: Option<String>,
}

/// The faults that are on.
#[derive(Serialize)]
#[serde(transparent)]
struct Faults {
    on: Vec<ActiveFault>,
    /// How many were just cleared, if that was asked.
    #[serde(skip)]
    cleared: Option<u64>,
}

fn counted(cleared: u64) -> String {
    if cleared == 1 { "1 fault cleared".to_owned() } else { format!("{cleared} faults cleared") }
}

impl Report for Faults {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.on.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["PLATFORM", "FAULT", "ONLY", ">REMAINING"]);
        for fault in &self.on {
            table.row([
                fault.api.to_string(),
                words(fault.spec.fault),
                fault.spec.only.clone().unwrap_or_default(),
                fault.spec.remaining.map(|n| n.to_string()).unwrap_or_default(),
            ]);
        }
        page.table(&table)
    }

    fn empty_note(&self) -> Option<String> {
        self.on.is_empty().then(|| match self.cleared {
            Some(count) => format!("{}, none is on", counted(count)),
            None => "No faults.".to_owned(),
        })
    }
}

/// A fault as it is typed.
pub(super) fn words(fault: Fault) -> String {
    match fault {
        Fault::Down => "down".into(),
        Fault::Slow { ms } => format!("slow={ms}"),
        Fault::Hang => "hang".into(),
        Fault::Unauthorized => "401".into(),
        Fault::Forbidden => "403".into(),
        Fault::RateLimited { retry_after_secs } => format!("429={retry_after_secs}"),
        Fault::ServerError { status } => status.to_string(),
        Fault::LostAnswer => "lost-answer".into(),
        Fault::Html => "html".into(),
    }
}

fn fault(text: &str) -> Result<Fault, error::Fault> {
    let unknown = || {
        error::Fault::usage(format!("`{text}` is not a kind of fault"))
            .hint("one of down, slow[=MS], hang, 401, 403, 429[=SECONDS], 500 to 599, lost-answer, html")
    };
    let (kind, value) = text.split_once('=').map_or((text, None), |(kind, value)| (kind, Some(value)));
    let number = |default: u64| value.map_or(Ok(default), |v| v.parse().map_err(|_| unknown()));
    Ok(match (kind, value) {
        ("slow", _) => Fault::Slow { ms: number(3000)? },
        ("429", _) => Fault::RateLimited { retry_after_secs: number(30)? },
        (_, Some(_)) => return Err(unknown()),
        ("down", _) => Fault::Down,
        ("hang", _) => Fault::Hang,
        ("401", _) => Fault::Unauthorized,
        ("403", _) => Fault::Forbidden,
        ("lost-answer", _) => Fault::LostAnswer,
        ("html", _) => Fault::Html,
        ("5xx", _) => Fault::ServerError { status: 503 },
        (number, _) => match number.parse() {
            Ok(status @ 500..=599) => Fault::ServerError { status },
            _ => return Err(unknown()),
        },
    })
}

fn api(text: &str) -> Result<Api, error::Fault> {
    text.parse().map_err(|why: String| error::Fault::usage(why).hint("or `list`, or `clear`"))
}

impl FaultArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let scoped = self.count.is_some() || self.only.is_some();
        let mut cleared = None;
        let faults = match (self.what.as_str(), self.kind.as_deref()) {
            ("list" | "clear", _) if scoped => {
                return Err(error::Fault::usage("--count and --only belong to a fault that is put on").into());
            }
            ("list", None) => Ground::enter(&place(app))?.faults().await?,
            ("list", Some(more)) => {
                return Err(error::Fault::usage(format!("`{more}` after `list`")).because("it takes nothing").into());
            }
            ("clear", which) => {
                let api = which.map(api).transpose()?;
                let ground = Ground::enter(&place(app))?;
                cleared = Some(ground.clear_faults(api).await?);
                ground.faults().await?
            }
            (platform, kind) => {
                let api = api(platform)?;
                let kind = kind.ok_or_else(|| {
                    error::Fault::usage(format!("what is to go wrong at {api}?"))
                        .hint(format!("opsctl sandbox fault {api} 503"))
                })?;
                let spec = FaultSpec { fault: fault(kind)?, remaining: self.count, only: self.only };
                spec.ensure_valid().map_err(error::Fault::usage)?;
                Ground::enter(&place(app))?.fault(api, &spec).await?
            }
        };
        if let Some(count) = cleared.filter(|_| !faults.is_empty()) {
            app.note(counted(count));
        }
        app.emit(&Faults { on: faults, cleared })?;
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_what_is_shown() {
        for text in ["down", "slow=250", "hang", "401", "403", "429=7", "503", "lost-answer", "html"] {
            assert_eq!(words(fault(text).unwrap()), text);
        }
        assert_eq!(words(fault("5xx").unwrap()), "503");
        for text in ["", "banana", "404", "down=3", "slow=x", "600"] {
            assert!(fault(text).is_err(), "{text}");
        }
    }
}

//! `opsctl config update-fallback`.

use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::analysis::stand_ins::StandIn;
use crate::app::App;
use crate::commands::args::PlatformArg;
use crate::error::{Fault, Outcome};
use crate::guard::{ChangeArgs, Plan};
use crate::output::{Format, Page, Report, Table, percent};
use crate::secret::Secret;
use crate::server::config::FALLBACKS;
use crate::settings::parse_duration;
use crate::wire::Platform;

use super::show::entry_of;
use super::written::{Change, write};

/// Days of work that a recommendation looks at, as the weekly review does.
const WINDOW: Duration = Duration::from_secs(7 * 86_400);

/// Choose which platform stands in for another
///
/// With flags it changes what they say, and it holds at once; on a terminal it asks; otherwise it shows each fallback as
/// it is and as it is recommended by health and by the last seven days. `opsctl analyze fallbacks --since 7d` shows what
/// stood in for what, and why.
///
/// Example: opsctl config update-fallback notion --to trello --expires 2h
#[derive(Args, Debug)]
pub struct UpdateFallbackArgs {
    /// Platform whose actions another one does
    #[arg(value_name = "PLATFORM")]
    platform: Option<PlatformArg>,

    /// Platform that stands in; switches the fallback on
    #[arg(long, value_name = "PLATFORM", conflicts_with = "off")]
    to: Option<PlatformArg>,

    /// Switch the fallback on
    #[arg(long, conflicts_with = "off")]
    on: bool,

    /// Switch the fallback off
    #[arg(long)]
    off: bool,

    /// Go back to the values before after this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<Duration>,

    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
#[serde(transparent)]
struct StandIns(Vec<StandIn>);

impl Report for StandIns {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PLATFORM", "STAND-IN", "NOW", "RECOMMENDED", ">USED 7D", "WHY"]);
        let word = |on: bool| if on { "on" } else { "off" };
        for one in &self.0 {
            table.row([
                one.platform.to_string(),
                one.stand_in.to_string(),
                word(one.enabled).to_owned(),
                word(one.recommended).to_owned(),
                one.used.map(percent).unwrap_or_default(),
                one.why.clone(),
            ]);
        }
        page.table(&table)
    }
}

/// What a fallback is to be.
struct Wanted {
    platform: Platform,
    to: Option<Platform>,
    on: bool,
}

impl UpdateFallbackArgs {
    pub(super) async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let wanted = match self.of_flags()? {
            Some(wanted) => vec![wanted],
            None => {
                let known = look(app, self.platform.map(|arg| arg.0)).await?;
                let asks = app.prompt.can_ask() && app.output.format == Format::Table;
                app.emit(&StandIns(known.clone()))?;
                if !asks {
                    return Ok(Outcome::Done);
                }
                ask(app, &known).await?
            }
        };
        let orchestrator = app.orchestrator().await?;
        let mut changes = Vec::new();
        for Wanted { platform, to, on } in wanted {
            let name = |what: &str| format!("{}_FALLBACK_{what}", platform.as_str().to_ascii_uppercase());
            let target = to.map(|to| (name("PLATFORM"), to.to_string()));
            for (name, value) in target.into_iter().chain([(name("ENABLED"), on.to_string())]) {
                let (entry, value) = (entry_of(orchestrator, &name).await?, Secret::new(value));
                changes.extend(Change::of(app, entry, value, self.expires));
            }
        }
        if changes.is_empty() {
            return Ok(Outcome::Done);
        }
        let plan = Plan::new("config update-fallback", "change who stands in", &self.change)
            .steps(changes.iter().map(|change| change.step(self.expires)));
        let Some(approval) = app.approve(&plan).await? else { return Ok(Outcome::Done) };
        write(app, &approval, &changes, self.expires).await
    }

    /// What the flags say; `None` when they say nothing.
    fn of_flags(&self) -> Result<Option<Wanted>, Fault> {
        if self.to.is_none() && !self.on && !self.off {
            return match self.expires {
                Some(_) => Err(Fault::usage("--expires without a change")
                    .because("neither --to nor --on nor --off was given")
                    .hint("opsctl config update-fallback notion --on --expires 2h")),
                None => Ok(None),
            };
        }
        let Some(PlatformArg(platform)) = self.platform else {
            return Err(Fault::usage("whose fallback is it?")
                .because("no platform was named")
                .hint("opsctl config update-fallback notion --to trello"));
        };
        let to = self.to.map(|arg| arg.0);
        ensure_possible(platform, to)?;
        Ok(Some(Wanted { platform, to, on: !self.off }))
    }
}

/// Refuses what no orchestrator of ours can do, before anybody is asked.
fn ensure_possible(platform: Platform, to: Option<Platform>) -> Result<(), Fault> {
    let hint = "opsctl config update-fallback shows which platforms can stand in";
    let Some((_, targets)) = FALLBACKS.iter().find(|(from, _)| *from == platform) else {
        return Err(Fault::usage(format!("nobody can stand in for {platform}"))
            .because("no other platform can hold what it holds")
            .hint(hint));
    };
    match to {
        Some(to) if !targets.contains(&to) => {
            let names: Vec<&str> = targets.iter().map(|target| target.as_str()).collect();
            Err(Fault::usage(format!("{to} cannot stand in for {platform}"))
                .because(format!("these can: {}", names.join(", ")))
                .hint(hint))
        }
        _ => Ok(()),
    }
}

/// Every fallback that is possible, as it is and as it should be.
async fn look(app: &App, only: Option<Platform>) -> anyhow::Result<Vec<StandIn>> {
    if let Some(platform) = only {
        ensure_possible(platform, None)?;
    }
    let orchestrator = app.orchestrator().await?;
    let (health, performance) = tokio::join!(orchestrator.health(), orchestrator.performance(WINDOW, None));
    let (health, performance) = (health?.executors, performance?.by_platform);
    let mut known = Vec::new();
    for (platform, targets) in FALLBACKS.iter().filter(|(from, _)| only.is_none_or(|only| only == *from)) {
        let name = |what: &str| format!("{}_FALLBACK_{what}", platform.as_str().to_ascii_uppercase());
        let enabled = entry_of(orchestrator, &name("ENABLED")).await?.value.as_deref() == Some("true");
        let set = entry_of(orchestrator, &name("PLATFORM")).await?.value;
        let stand_in = set.and_then(|word| word.parse().ok()).unwrap_or(targets[0]);
        let state = |platform| health.get(&platform).map(|report| report.status);
        let states = (state(*platform), state(stand_in));
        known.push(StandIn::judge((*platform, stand_in), enabled, states, performance.get(platform)));
    }
    Ok(known)
}

/// Asks about each. Enter alone leaves it as it is.
async fn ask(app: &App, known: &[StandIn]) -> anyhow::Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for one in known {
        let now = if one.enabled { "on" } else { "off" };
        let question = format!("{} by {}: on or off? (Enter leaves it {now})", one.platform, one.stand_in);
        let on = match app.prompt.text(&question).await?.unwrap_or_default().trim() {
            "" => continue,
            "on" => true,
            "off" => false,
            other => {
                return Err(Fault::usage(format!("`{other}` is not an answer"))
                    .because("it is on, off, or Enter")
                    .hint("repeat the command")
                    .into());
            }
        };
        wanted.push(Wanted { platform: one.platform, to: None, on });
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_hold_a_platforms_work_stands_in() {
        assert!(ensure_possible(Platform::Notion, Some(Platform::Trello)).is_ok());
        let fault = ensure_possible(Platform::Notion, Some(Platform::Slack)).unwrap_err();
        assert_eq!(fault.causes, ["these can: trello"]);
        assert_eq!(ensure_possible(Platform::Slack, None).unwrap_err().kind.exit_code(), 2);
    }
}

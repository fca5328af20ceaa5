//! `opsctl alerts`: what is known of alerts on this machine, and keeping them quiet for a while.

use std::io;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::alerts::{Ack, Book, Status, Watch, splits, subject_key};
use crate::analysis::alerts::{RULES, Rule, State, names, rule};
use crate::analysis::span;
use crate::app::App;
use crate::commands::logs::place;
use crate::error::{Fault, Kind, Outcome};
use crate::guard::operator;
use crate::output::{Page, Report, Table};
use crate::platforms::Platform;
use crate::runbook::SectionId;
use crate::settings::parse_duration;
use crate::wire::LogName;

/// Longest that an alert can be kept quiet.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// Alerts: list, silence, acknowledge.
#[derive(Subcommand, Debug)]
#[allow(missing_docs, reason = "what a verb is for stands at its arguments")]
pub enum Verb {
    List(ListArgs),
    Silence(SilenceArgs),
    Unsilence(UnsilenceArgs),
    Ack(AckArgs),
}

impl Verb {
    /// Runs it.
    pub async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        // It moves the clock to the sandbox's, that of a killed one too. Nothing here needs an orchestrator.
        let _ = place::find(app, LogName::Security, None).await;
        match self {
            Self::List(args) => args.run(app),
            Self::Silence(args) => args.run(app).await,
            Self::Unsilence(args) => args.run(app).await,
            Self::Ack(args) => args.run(app).await,
        }
    }
}

/// List every alert with its threshold, and how the last check saw it
///
/// Nothing is looked at: `opsctl check alerts` does that. Shown is what this machine remembers, with who silenced what.
///
/// Example: opsctl alerts list --firing
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only those that fire
    #[arg(long)]
    firing: bool,
}

/// Keep an alert quiet for a while
///
/// It is still checked and shown, but nobody is told that it fires and it does not count as a problem. It ends by
/// itself. That it is over is told all the same. On this machine, where the checks run.
///
/// Example: opsctl alerts silence circuit-open/notion --for 2h --reason "Notion's maintenance window"
#[derive(Args, Debug)]
pub struct SilenceArgs {
    /// The alert, or the alert and platform: circuit-open/notion
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,

    /// For how long: 30m, 1h, 2d
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_quiet)]
    length: Duration,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Let a silenced alert be heard again
///
/// Example: opsctl alerts unsilence circuit-open/notion
#[derive(Args, Debug)]
pub struct UnsilenceArgs {
    /// The alert, as it was silenced
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,
}

/// Say that somebody is at an alert that fires
///
/// Shown with it, and told to the channels that were told of it at the next check. It ends with the alert, or by itself
/// after 4h unless told. The alert still counts as a problem.
///
/// Example: opsctl alerts ack circuit-open/notion --reason "looking at it"
#[derive(Args, Debug)]
pub struct AckArgs {
    /// The alert that fires: circuit-open/notion
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,

    /// For how long it counts
    #[arg(long = "for", value_name = "DURATION", default_value = "4h", value_parser = parse_quiet)]
    length: Duration,

    /// What is being done
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// `circuit-open`, or `circuit-open/notion`.
fn parse_name(text: &str) -> Result<String, Fault> {
    let (name, subject) = splits(text);
    if rule(name).is_none() {
        let fault = Fault::usage(format!("there is no alert `{name}`"));
        return Err(match crate::aliases::nearest(name, names()) {
            Some(near) => fault.hint(format!("did you mean `{near}`? `opsctl alerts list` has them all")),
            None => fault.hint("opsctl alerts list"),
        });
    }
    if !subject.is_empty() {
        subject.parse::<Platform>().map_err(|why| {
            Fault::usage(format!("`{text}` names no platform")).because(why).hint(format!("{name}/notion"))
        })?;
    }
    Ok(text.to_owned())
}

fn parse_quiet(text: &str) -> Result<Duration, Fault> {
    let length = parse_duration(text)?;
    let refuse = |why: &str| Fault::usage(format!("`{text}` is no time to be quiet for")).because(why);
    if length.is_zero() {
        return Err(refuse("it is over before it begins").hint("write 30m or 2h"));
    }
    if length > LONGEST {
        return Err(refuse("the longest is 30d").hint("change what causes it, or silence it again later"));
    }
    Ok(length)
}

impl ListArgs {
    fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let known = Book::read(app)?.list();
        let mut alerts: Vec<Row> = known.iter().map(Row::of).collect();
        if !self.firing {
            let is_known = |rule: &&Rule| !known.iter().any(|status| status.alert == rule.name);
            alerts.extend(RULES.iter().filter(is_known).map(Row::never));
        }
        alerts.retain(|row| !self.firing || row.state == Some(State::Firing));
        alerts.sort_by_key(|row| {
            (std::cmp::Reverse(row.state), RULES.iter().position(|rule| rule.name == row.rule), row.name.clone())
        });
        app.emit(&List(alerts))?;
        Ok(Outcome::Done)
    }
}

/// One alert in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(skip)]
    rule: &'static str,
    name: String,
    /// Absent when no check has seen it.
    state: Option<State>,
    priority: &'static str,
    response: &'static str,
    threshold: &'static str,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<SectionId>,
    /// `silenced by ana@bastion for 20m: deployment`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quiet: Vec<String>,
}

impl Row {
    fn of(status: &Status) -> Self {
        let rule = rule(status.alert).unwrap_or(&RULES[0]);
        let silenced = status.silenced.as_ref().map(|quiet| {
            let why = quiet.reason.as_deref().unwrap_or("no reason given");
            format!("silenced by {} until {}: {why}", quiet.by, quiet.until)
        });
        let acknowledged = status.acknowledged.as_ref().map(|ack| format!("{} is at it until {}", ack.by, ack.until));
        Row {
            name: status.name(),
            state: Some(status.state),
            seen: Some(status.seen.clone()),
            quiet: silenced.into_iter().chain(acknowledged).collect(),
            ..Row::never(rule)
        }
    }

    fn never(rule: &'static Rule) -> Self {
        Row {
            rule: rule.name,
            name: rule.name.to_owned(),
            state: None,
            priority: rule.priority.as_str(),
            response: rule.priority.response(),
            threshold: rule.threshold,
            action: rule.action,
            seen: None,
            runbook: rule.section,
            quiet: Vec::new(),
        }
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct List(Vec<Row>);

impl Report for List {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["ALERT", "STATE", "PRIORITY", "THRESHOLD"]);
        for row in &self.0 {
            let state = row.state.map_or("not seen", State::as_str);
            table.row([row.name.as_str(), state, row.priority, row.threshold]);
        }
        page.table(&table)?;
        for (row, quiet) in self.0.iter().flat_map(|row| row.quiet.iter().map(move |quiet| (row, quiet))) {
            page.line(format_args!("{}: {quiet}", row.name))?;
        }
        Ok(())
    }

    fn empty_note(&self) -> Option<String> {
        self.0.is_empty().then(|| "No alert fires, as the last check saw it.".to_owned())
    }
}

/// What was written down.
#[derive(Serialize)]
struct Said {
    alert: String,
    changed: bool,
    message: String,
}

impl Report for Said {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&self.message)
    }
}

fn say(app: &App, alert: &str, changed: bool, message: String) -> anyhow::Result<Outcome> {
    app.emit(&Said { alert: alert.to_owned(), changed, message })?;
    Ok(Outcome::Done)
}

fn ack(app: &App, watch: &Watch, reason: Option<String>, length: Duration) -> Ack {
    let for_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    Ack { by: operator(&app.settings.env), reason, at: watch.now().clone(), for_ms }
}

impl SilenceArgs {
    async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        if self.reason.trim().is_empty() {
            return Err(Fault::usage("a silence needs a reason")
                .because("somebody will ask at night why nobody was woken up")
                .hint("--reason \"deployment of 4.2\"")
                .into());
        }
        let mut watch = Watch::open(app).await?;
        let silence = ack(app, &watch, Some(self.reason), self.length);
        let until = silence.quiet().until;
        watch.book().silences.insert(self.name.clone(), silence);
        watch.book().keep(app)?;
        say(app, &self.name, true, format!("{} is silenced for {}, until {until}", self.name, span(self.length)))
    }
}

impl UnsilenceArgs {
    async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let mut watch = Watch::open(app).await?;
        let now = watch.now().clone();
        watch.book().forget_quiet(&now);
        let changed = watch.book().silences.remove(&self.name).is_some();
        if changed {
            watch.book().keep(app)?;
        }
        let word = if changed { "can be heard again" } else { "is already not silenced" };
        say(app, &self.name, changed, format!("{} {word}", self.name))
    }
}

impl AckArgs {
    async fn run(self, app: &App) -> anyhow::Result<Outcome> {
        let mut watch = Watch::open(app).await?;
        let (alert, subject) = splits(&self.name);
        let firing: Vec<Status> =
            watch.book().list().into_iter().filter(|status| status.state == State::Firing).collect();
        let of_alert = |status: &&Status| status.alert == alert && (subject.is_empty() || status.subject == subject);
        let found: Vec<&Status> = firing.iter().filter(of_alert).collect();
        if found.is_empty() {
            let names: Vec<String> = firing.iter().map(Status::name).collect();
            let which =
                if names.is_empty() { "nothing fires".to_owned() } else { format!("{} fire", names.join(", ")) };
            return Err(Fault::new(Kind::Conflict, format!("{} does not fire", self.name))
                .because(format!("as the last check on this machine saw it, {which}"))
                .hint("look now with `opsctl check alerts`")
                .into());
        }
        let ack = ack(app, &watch, self.reason, self.length);
        let until = ack.quiet().until;
        let mut names = Vec::new();
        for status in found {
            let name = subject_key(status.alert, &status.subject);
            watch.book().acks.insert(name.clone(), ack.clone());
            names.push(name);
        }
        watch.book().keep(app)?;
        say(app, &self.name, true, format!("{} is at {}, until {until}", ack.by, names.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_or_suggested() {
        assert!(parse_name("circuit-open").is_ok() && parse_name("circuit-open/notion").is_ok());
        let fault = parse_name("circut-open").unwrap_err();
        assert!(fault.hint.unwrap().contains("`circuit-open`"));
        assert_eq!(parse_name("circuit-open/notio").unwrap_err().kind, Kind::Usage);
        assert!(parse_name("x").unwrap_err().hint.is_some());
    }

    #[test]
    fn quiet_has_an_end() {
        for bad in ["0s", "31d", "1", "soon", "-1h"] {
            assert!(parse_quiet(bad).unwrap_err().hint.is_some(), "{bad}");
        }
        assert_eq!(parse_quiet("1h").unwrap(), Duration::from_secs(3600));
    }
}

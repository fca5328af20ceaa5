//! `opsctl check alerts`.

use std::future::Future;
use std::io;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use crate::alerts::{Book, KeyLook, Status, Watch};
use crate::analysis::alerts::{KeyReading, LimitUse, Readings, State, judge};
use crate::analysis::maintenance::Look;
use crate::analysis::{Verdict, duplicates, span};
use crate::app::App;
use crate::commands::logs::{self, place};
use crate::commands::monitoring::{Checked, Item, Looks, Measure, MonitoringArgs};
use crate::commands::text;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::output::{Page, Report, Tone};
use crate::platforms::Platform;
use crate::settings::parse_duration;
use crate::wire::{Bucket, LineFilter, LogName, RateLimitStatus, RequestMetrics, Time};

/// Rates are those of the last minutes.
const RECENT: Duration = Duration::from_secs(5 * 60);
/// What happens now and then is looked for in the last hour.
const HOUR: Duration = Duration::from_secs(3600);
/// The weekly comparison.
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// The longest that one question may take. A minute has to be enough for the whole look.
const LOOK: Duration = Duration::from_secs(15);
/// The platforms are not asked about their keys more often.
const KEYS_EVERY: Duration = Duration::from_secs(3600);

/// Hold everything against the runbook's alerts
///
/// The twelve of its table and those of its prose, each with its threshold and how long that has to hold: a small file
/// in the state directory remembers since when, by the machine's own count of time. Rates are those of the last 5
/// minutes. What fires is shown with its action, response time, next command and section. What could not be looked at
/// is UNKNOWN and ends with 3 as well; what fires and is silenced does not.
///
/// --notify tells of changes only: one event when it fires, one when it is over, under one key. What cannot be sent is
/// kept and sent next time. Meant to run each minute: `opsctl cron install`.
///
/// Example: opsctl check alerts --notify pagerduty --notify 'slack:#ops-alerts'
#[derive(Args, Debug)]
pub struct AlertsArgs {
    /// What is beyond now, however long; nothing is remembered
    #[arg(long, conflicts_with = "notify")]
    now: bool,

    #[command(flatten)]
    monitoring: MonitoringArgs,
}

pub(super) async fn alerts(app: &App, args: AlertsArgs) -> anyhow::Result<Outcome> {
    let begun = args.monitoring.begin(app).await;
    // First, because it moves the clock to the sandbox's, that of a killed one too.
    let logged = place::find(app, LogName::Security, None).await;
    let mut watch = Watch::open(app).await?;
    let (readings, failure) = look(app, watch.book(), logged.is_ok()).await;
    let observed = judge(&readings);
    let mut alerts = match args.now {
        true => watch.glance(&observed),
        false => watch.observe(app, &observed, begun.channels()).await,
    };
    alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.state), std::cmp::Reverse(alert.priority)));
    let loud = alerts.iter().any(Status::is_loud);
    let blind = alerts.iter().any(|alert| alert.state == State::Unknown && alert.blind && alert.silenced.is_none());
    let outcome = match failure {
        // Nothing could be looked at: when that is no alert yet, the error says why, and its kind is the exit code.
        Some(error) if !loud => Err(error.context("cannot look at the orchestrator")),
        _ => Ok(if loud || blind { Outcome::Problem } else { Outcome::Done }),
    };
    let verdict = verdict(&alerts, blind);
    let checked = Checked {
        name: "alerts",
        verdict,
        said: said(&alerts),
        measures: measures(&readings),
        items: alerts.iter().map(item).collect(),
        rule: None,
        told: verdict,
    };
    begun.end(app, &checked, Some(&Alerts { alerts, verbose: app.is_verbose() }), outcome).await
}

/// Asks everything at once. The error is there only when every question to the orchestrator failed.
async fn look(app: &App, book: &mut Book, logs_found: bool) -> (Readings, Option<anyhow::Error>) {
    let now = app.now();
    let since = now.minus(HOUR);
    let log_lines = async {
        let lost = || anyhow::anyhow!("the logs are not found");
        match logs_found {
            true => tokio::join!(within(logs::suspicious(app, since)), within(repeats(app, since))),
            false => (Err(lost()), Err(lost())),
        }
    };
    let ((suspicious, repeats), keys, (readings, failure)) =
        tokio::join!(log_lines, keys(app, book), ask(app, now, since));
    let mut looks = Looks::default();
    let suspicious = looks.keep(suspicious).map(|found| found.findings);
    (Readings { suspicious, repeats: looks.keep(repeats), keys, ..readings }, failure)
}

/// What only the orchestrator knows.
async fn ask(app: &App, now: Time, since: Time) -> (Readings, Option<anyhow::Error>) {
    let orchestrator = match app.orchestrator().await {
        Ok(orchestrator) => orchestrator,
        Err(error) => return (blind(now, &Explained::from_error(&error).message), Some(error)),
    };
    let answers = tokio::join!(
        within(orchestrator.health()),
        within(orchestrator.performance(RECENT, None)),
        within(orchestrator.performance(WEEK, None)),
        within(orchestrator.queue_status()),
        within(orchestrator.circuit_statuses()),
        within(orchestrator.host()),
        within(orchestrator.components()),
        within(orchestrator.breakdown(RECENT, None)),
        within(orchestrator.rate_limits()),
        within(orchestrator.requests(RECENT, None)),
        within(orchestrator.history(since, now, Bucket::Hour)),
    );
    let (health, recent, week, queue, circuits, host, parts, actions, limits, requests, hour) = answers;
    let mut looks = Looks::default();
    let limits = looks.keep(limits);
    let requests = looks.keep(requests);
    let readings = Readings {
        health: looks.keep(health),
        recent: looks.keep(recent).map(|performance| performance.current),
        week: looks.keep(week),
        queue: looks.keep(queue),
        circuits: looks.keep(circuits),
        host: looks.keep(host),
        parts: looks.keep(parts),
        actions: looks.keep(actions),
        limits: limits.and_then(|limits| Ok(uses(&limits, &requests?))),
        hour: looks.keep(hour),
        ..blind(now, "not asked")
    };
    (readings, looks.failure())
}

/// One question of a look that has to be over before the next begins: no answer in time is one, too.
async fn within<T>(question: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::time::timeout(LOOK, question).await.unwrap_or_else(|_| {
        let message = format!("no answer within {}", span(LOOK));
        Err(Fault::new(Kind::Unreachable, message).hint("opsctl runbook show outage").into())
    })
}

/// Nobody could look at anything.
fn blind(now: Time, why: &str) -> Readings {
    let why = || why.to_owned();
    Readings {
        now,
        health: Err(why()),
        recent: Err(why()),
        week: Err(why()),
        queue: Err(why()),
        circuits: Err(why()),
        host: Err(why()),
        parts: Err(why()),
        actions: Err(why()),
        limits: Err(why()),
        hour: Err(why()),
        repeats: Err(why()),
        suspicious: Err(why()),
        keys: Err(why()),
    }
}

/// What was done twice since a moment.
async fn repeats(app: &App, since: Time) -> anyhow::Result<duplicates::Duplicates> {
    let place = place::find(app, LogName::Application, None).await?;
    let filter = LineFilter { since: Some(since), ..LineFilter::default() };
    let gather = duplicates::Gather::default();
    let (gather, _) = place::ask_all(app, &place, LogName::Application, &filter, gather).await?;
    Ok(gather.finish())
}

/// How much of each limit the busiest minute used.
fn uses(limits: &[RateLimitStatus], requests: &RequestMetrics) -> Vec<LimitUse> {
    let of = |limit: &RateLimitStatus| {
        let sent = requests.platforms.iter().find(|sent| sent.platform == limit.platform);
        let window = parse_duration(&limit.window).ok().map(|window| window.as_secs_f64()).filter(|secs| *secs > 0.0);
        let a_minute = window.map(|secs| limit.limit as f64 * 60.0 / secs).filter(|count| *count > 0.0);
        LimitUse {
            platform: limit.platform,
            used: a_minute.zip(sent).map(|(count, sent)| sent.peak_per_minute as f64 / count),
            refused: sent.map_or(0, |sent| sent.rate_limited),
        }
    };
    limits.iter().map(of).collect()
}

/// What is known of the platforms' keys: asked once an hour, and while one is a finding at every look.
async fn keys(app: &App, book: &mut Book) -> Look<Vec<KeyReading>> {
    let clients = app.platforms().await.map_err(|error| Explained::from_error(&error).message)?;
    let now = crate::alerts::moment(app);
    let due = |&platform: &Platform| {
        let Some(fingerprint) = clients.credentials().fingerprint(platform) else { return false };
        book.keys.get(&platform).is_none_or(|known| {
            let stale = now.since(&known.asked) >= KEYS_EVERY || now.wall < known.asked.wall;
            known.fingerprint != fingerprint || stale || (known.end.state != Verdict::Ok && !known.end.is_untold)
        })
    };
    let asked: Vec<Platform> = Platform::ALL.iter().copied().filter(due).collect();
    let was_bad = |book: &Book, platform| book.keys.get(&platform).is_some_and(|key| key.end.state.is_beyond());
    let bad: Vec<Platform> = asked.iter().copied().filter(|platform| was_bad(book, *platform)).collect();
    for end in super::keys::ends(app, &clients, &asked, LOOK.min(app.settings.timeout.value)).await {
        let Some(fingerprint) = clients.credentials().fingerprint(end.platform) else { continue };
        let known = book.keys.get(&end.platform).filter(|known| known.fingerprint == fingerprint);
        let first_seen = known.map_or(now.wall, |known| known.first_seen);
        book.keys.insert(end.platform, KeyLook { fingerprint, first_seen, asked: now.clone(), end });
    }
    let reading = |&platform: &Platform| {
        let known = book.keys.get(&platform).filter(|_| clients.credentials().has(platform));
        KeyReading {
            platform,
            end: known.map(|key| key.end.clone()),
            first_seen: known.map(|key| key.first_seen),
            is_better: bad.contains(&platform) && !was_bad(book, platform),
        }
    };
    Ok(Platform::ALL.iter().map(reading).collect())
}

fn verdict(alerts: &[Status], blind: bool) -> Verdict {
    let firing = alerts.iter().filter(|alert| alert.is_loud()).map(|alert| alert.priority.verdict()).max();
    firing.unwrap_or(if blind { Verdict::Unknown } else { Verdict::Ok })
}

fn item(alert: &Status) -> Item {
    let verdict = match alert.state {
        State::Ok | State::Pending => Verdict::Ok,
        State::Unknown => Verdict::Unknown,
        State::Firing => alert.priority.verdict(),
    };
    Item { name: alert.alert.to_owned(), subject: alert.subject.clone(), verdict }
}

/// The line for a monitoring system.
fn said(alerts: &[Status]) -> String {
    let of = |state: State| alerts.iter().filter(move |alert| alert.state == state);
    let mut words: Vec<String> = of(State::Firing)
        .map(|alert| {
            let silenced = if alert.silenced.is_some() { " (silenced)" } else { "" };
            format!("{}: {}{silenced}", alert.name(), alert.seen)
        })
        .collect();
    let blind: Vec<&Status> = of(State::Unknown).filter(|alert| alert.blind).collect();
    if let Some(first) = blind.first() {
        words.push(format!("{} UNKNOWN ({})", text::counted(blind.len() as u64, "alert", "alerts"), first.seen));
    }
    let pending = of(State::Pending).count() as u64;
    if pending > 0 {
        words.push(format!("{} pending", text::count(pending)));
    }
    if words.is_empty() {
        return format!("{} within their thresholds", text::counted(of(State::Ok).count() as u64, "alert", "alerts"));
    }
    words.join(", ")
}

fn measures(readings: &Readings) -> Vec<Measure> {
    let mut all = Vec::new();
    let mut add = |label, value: Option<f64>, unit, warn, critical| {
        all.extend(value.map(|value| Measure { label, value, unit, warn, critical }));
    };
    let recent = readings.recent.as_ref().ok();
    let share = |part: fn(&crate::wire::PerformanceWindow) -> u64| {
        let window = recent.filter(|window| window.total_actions > 0)?;
        Some(part(window) as f64 / window.total_actions as f64 * 100.0)
    };
    let host = readings.host.as_ref().ok();
    add("queue_depth", readings.queue.as_ref().ok().map(|queue| queue.total_queued as f64), "", "50", "200");
    add("success_rate", share(|window| window.succeeded), "%", "", "90:");
    add("retry_rate", share(|window| window.retried), "%", "30", "");
    add("fallback_rate", share(|window| window.fell_back), "%", "20", "");
    add("disk", host.and_then(|host| host.disk_used).map(|used| used * 100.0), "%", "", "90");
    add("memory", host.and_then(|host| host.memory_used).map(|used| used * 100.0), "%", "80", "");
    all
}

/// All alerts, what fires first.
#[derive(Serialize)]
#[serde(transparent)]
struct Alerts {
    alerts: Vec<Status>,
    #[serde(skip)]
    verbose: bool,
}

impl Report for Alerts {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        for alert in self.alerts.iter().filter(|alert| alert.state == State::Firing) {
            firing(page, alert)?;
        }
        let of = |state: State| self.alerts.iter().filter(move |alert| alert.state == state);
        for alert in of(State::Pending) {
            let held = span(Duration::from_millis(alert.held_ms));
            row(page, alert, Tone::Warn, &format!("{}, for {held} ({})", alert.seen, alert.threshold))?;
        }
        for alert in of(State::Unknown).filter(|alert| alert.blind || self.verbose) {
            row(page, alert, Tone::Warn, &alert.seen)?;
        }
        for alert in of(State::Ok).filter(|_| self.verbose) {
            row(page, alert, Tone::Good, &format!("{} ({})", alert.seen, alert.threshold))?;
        }
        let fine = of(State::Ok).count() as u64;
        let idle = of(State::Unknown).filter(|alert| !alert.blind).count() as u64;
        let mut words = format!("{} within their thresholds", text::counted(fine, "alert", "alerts"));
        if idle > 0 {
            words.push_str(&format!(", {} with nothing to judge", text::count(idle)));
        }
        page.line(words)
    }

    fn records(&self) -> serde_json::Result<Vec<serde_json::Value>> {
        self.alerts.iter().map(serde_json::to_value).collect()
    }
}

/// What somebody has to know who is woken up by it.
fn firing(page: &mut Page<'_>, alert: &Status) -> io::Result<()> {
    let word = page.paint(&format!("{:<7}", State::Firing.as_str()), Tone::Bad);
    page.line(format_args!("{word}  {}  {}, respond {}", alert.name(), alert.priority.as_str(), alert.response))?;
    let since = alert.firing_since.map(|at| format!("; firing since {}", page.time(at))).unwrap_or_default();
    page.line(format_args!("         {}; {}{since}", alert.seen, alert.threshold))?;
    page.line(format_args!("         {}", alert.action))?;
    if let Some(quiet) = &alert.silenced {
        let why = quiet.reason.as_deref().unwrap_or("no reason given");
        page.line(format_args!("         silenced by {} until {}: {why}", quiet.by, page.time(quiet.until)))?;
    }
    if let Some(ack) = &alert.acknowledged {
        page.line(format_args!("         {} is at it, until {}", ack.by, page.time(ack.until)))?;
    }
    let section = alert.runbook.map(|section| format!("  runbook: {section}")).unwrap_or_default();
    page.line(format_args!("         next: {}{section}", alert.next))
}

fn row(page: &mut Page<'_>, alert: &Status, tone: Tone, words: &str) -> io::Result<()> {
    let word = page.paint(&format!("{:<7}", alert.state.as_str()), tone);
    page.line(format_args!("{word}  {}  {words}", alert.name()))
}

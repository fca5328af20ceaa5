//! `opsctl check health`.

use std::collections::BTreeMap;
use std::io;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::analysis::{Verdict, alerts};
use crate::app::{App, Kept, StaleArgs, WatchArgs};
use crate::commands::args::{PlatformArg, each_once};
use crate::commands::monitoring::{Checked, Item, Measure, MonitoringArgs};
use crate::commands::outage::{self, Question, Told};
use crate::commands::text;
use crate::error::{Explained, Fault, Outcome};
use crate::output::{Page, Report, Table};
use crate::wire::{ExecutorHealth, ExecutorHealthReport, HealthReport, OverallHealth, Platform, Time};

use super::external;

/// Check the health of the whole, or of single platforms
///
/// Without a platform: the verdict, the queue and one row for each executor. Words are OK, DEGRADED, DOWN, UNKNOWN
/// and TIMEOUT; what could not be looked at is UNKNOWN and never healthy. Ends with 3 when anything asked for is not
/// OK, and with 7 when the orchestrator does not answer; what it said last is shown without a verdict then.
///
/// --verbose adds circuit, limit use and error rate. --external asks the vendors' status feeds straight from this
/// machine instead, all at once and within one --timeout (5s unless told); it needs no orchestrator.
///
/// --exit-style check is for monitoring systems: one line, and 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
///
/// Example: opsctl check health notion --external
#[derive(Args, Debug)]
pub struct HealthArgs {
    /// Platforms to check; the whole without any
    #[arg(value_name = "PLATFORM")]
    platforms: Vec<PlatformArg>,

    /// Every platform, one entry each
    #[arg(long, conflicts_with = "platforms")]
    all: bool,

    /// The vendors' status feeds instead of the orchestrator
    #[arg(long)]
    external: bool,

    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,

    #[command(flatten)]
    monitoring: MonitoringArgs,
}

impl HealthArgs {
    async fn look(&self, app: &App, wanted: &[Platform]) -> anyhow::Result<(Answer, Outcome)> {
        if self.external {
            let (feeds, outcome) = external::look(app, wanted).await?;
            return Ok((Answer::Feeds(feeds), outcome));
        }
        let question = Question::new(Kept::Health, self.stale);
        let answer = match outage::read(app, &question, async |api| api.health().await).await? {
            Told::Whole(answer) => answer,
            Told::Partial(partial) => return Ok((Answer::Others(partial), self.stale.ends(Outcome::Problem))),
        };
        let judged = self.judge(app, wanted, answer.value);
        Ok(match answer.as_of {
            Some(at) if !self.stale.accept_stale => (Answer::unjudged(judged.0, at)?, Outcome::Unreachable),
            _ => judged,
        })
    }

    /// What a report of the orchestrator says of what was asked for.
    fn judge(&self, app: &App, wanted: &[Platform], report: HealthReport) -> (Answer, Outcome) {
        let verbose = app.is_verbose();
        if self.platforms.is_empty() && !self.all {
            let healthy = report.overall == OverallHealth::Healthy;
            return (Answer::Whole(Whole { report, verbose }), verdict(healthy));
        }
        let rows = rows_of(report.executors, wanted);
        let healthy = rows.iter().all(|row| row.word() == "OK");
        for row in rows.iter().filter(|row| row.report.is_none()) {
            app.output.warn(&format!("the orchestrator says nothing of {}: its health is UNKNOWN", row.platform));
        }
        let answer = match <[PlatformHealth; 1]>::try_from(rows) {
            Ok([one]) => Answer::One(Box::new(one)),
            Err(rows) => Answer::Several(Executors { rows, verbose }),
        };
        (answer, verdict(healthy))
    }
}

pub(super) async fn health(app: &App, args: HealthArgs) -> anyhow::Result<Outcome> {
    let wanted = each_once(&args.platforms);
    if args.monitoring.is_used() {
        return monitored(app, args, &wanted).await;
    }
    if args.external && args.watch.watch.is_none() {
        return external::run(app, &wanted).await;
    }
    app.watch(&args.watch, || args.look(app, &wanted)).await
}

/// For machines: one look.
async fn monitored(app: &App, args: HealthArgs, wanted: &[Platform]) -> anyhow::Result<Outcome> {
    if args.watch.watch.is_some() {
        return Err(Fault::usage("--watch is for people, and what was asked for with it is for machines")
            .hint("let a schedule repeat it: opsctl cron install")
            .into());
    }
    let begun = args.monitoring.clone().begin(app).await;
    let (answer, outcome) = match args.look(app, wanted).await {
        Ok((answer, outcome)) => (Some(answer), Ok(outcome)),
        Err(error) => (None, Err(error)),
    };
    let (verdict, said, measures) = match (&answer, &outcome) {
        (Some(answer), _) => answer.for_monitoring(),
        (None, Err(error)) => (Verdict::Unknown, Explained::from_error(error).message, Vec::new()),
        (None, Ok(_)) => (Verdict::Unknown, "nothing was asked".to_owned(), Vec::new()),
    };
    let items = answer.as_ref().map_or_else(Vec::new, Answer::items);
    // Nobody answering is what somebody has to hear of.
    let is_down = !args.external && matches!(outcome, Err(_) | Ok(Outcome::Unreachable));
    let told = if is_down { Verdict::Fail } else { verdict };
    let checked = Checked { name: "health", verdict, said, measures, items, rule: alerts::rule("health"), told };
    begun.end(app, &checked, answer.as_ref(), outcome).await
}

/// Healthy ends with 0, anything else with 3.
pub(super) fn verdict(healthy: bool) -> Outcome {
    if healthy { Outcome::Done } else { Outcome::Problem }
}

/// What was asked for decides the shape.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Whole(Whole),
    One(Box<PlatformHealth>),
    Several(Executors),
    Feeds(external::Feeds),
    Unjudged(Unjudged),
    Others(outage::Partial),
}

/// An earlier answer. How it is now is not known, so the data has no verdict.
#[derive(Serialize)]
#[serde(transparent)]
struct Unjudged {
    known: Value,
    #[serde(skip)]
    at: Time,
    #[serde(skip)]
    was: Box<Answer>,
}

impl Answer {
    fn unjudged(was: Answer, at: Time) -> serde_json::Result<Answer> {
        let mut known = serde_json::to_value(&was)?;
        without_verdict(&mut known);
        Ok(Answer::Unjudged(Unjudged { known, at, was: Box::new(was) }))
    }

    /// The verdict, what to say to a person, and what can be drawn as a graph.
    fn for_monitoring(&self) -> (Verdict, String, Vec<Measure>) {
        match self {
            Answer::Whole(whole) => whole.for_monitoring(),
            Answer::One(one) => worst([(one.platform, one.word(), one.reason())]),
            Answer::Several(executors) => worst(executors.rows.iter().map(|r| (r.platform, r.word(), r.reason()))),
            Answer::Feeds(feeds) => worst(feeds.words()),
            Answer::Unjudged(earlier) => {
                let (_, said, _) = earlier.was.for_monitoring();
                (Verdict::Unknown, format!("no answer; at {} {said}", earlier.at), Vec::new())
            }
            Answer::Others(_) => (Verdict::Unknown, "no answer".into(), Vec::new()),
        }
    }

    /// Each platform that was asked about.
    fn items(&self) -> Vec<Item> {
        let of = |row: &PlatformHealth| item(row.platform, row.word());
        match self {
            Answer::Whole(whole) => rows_of(whole.report.executors.clone(), Platform::ALL).iter().map(of).collect(),
            Answer::One(one) => vec![of(one)],
            Answer::Several(executors) => executors.rows.iter().map(of).collect(),
            Answer::Feeds(feeds) => feeds.words().map(|(platform, word, _)| item(platform, word)).collect(),
            Answer::Unjudged(_) | Answer::Others(_) => Vec::new(),
        }
    }
}

fn item(platform: Platform, word: &str) -> Item {
    Item { name: "health".into(), subject: platform.to_string(), verdict: verdict_of(word) }
}

fn verdict_of(word: &str) -> Verdict {
    match word {
        "OK" => Verdict::Ok,
        "DEGRADED" => Verdict::Warn,
        "DOWN" => Verdict::Fail,
        _ => Verdict::Unknown,
    }
}

/// The worst of the platforms, and all that are not OK.
fn worst<'a>(rows: impl IntoIterator<Item = (Platform, &'a str, Option<&'a str>)>) -> (Verdict, String, Vec<Measure>) {
    let mut verdict = Verdict::Ok;
    let mut odd = Vec::new();
    for (platform, word, why) in rows {
        let of_row = verdict_of(word);
        if of_row == Verdict::Ok {
            continue;
        }
        verdict = verdict.max(of_row);
        odd.push(why.map_or_else(|| format!("{platform} {word}"), |why| format!("{platform} {word} ({why})")));
    }
    let said = if odd.is_empty() { "nothing is wrong".to_owned() } else { odd.join(", ") };
    (verdict, said, Vec::new())
}

impl Report for Answer {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        match self {
            Answer::Whole(whole) => whole.draw(page),
            Answer::One(one) => one.draw(page),
            Answer::Several(executors) => draw_rows(page, &executors.rows, executors.verbose),
            Answer::Feeds(feeds) => feeds.draw(page),
            Answer::Unjudged(earlier) => {
                page.pair("Now", "UNKNOWN")?;
                page.pair_time("Last answer", earlier.at)?;
                page.blank()?;
                earlier.was.draw(page)
            }
            Answer::Others(partial) => partial.draw(page),
        }
    }
}

/// Takes away what says how it is now, as opposed to what happened.
fn without_verdict(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_verdict),
        Value::Object(fields) => {
            for verdict in ["overall", "status", "reason"] {
                fields.remove(verdict);
            }
            if let Some(Value::Object(executors)) = fields.get_mut("executors") {
                executors.values_mut().for_each(without_verdict);
            }
        }
        _ => {}
    }
}

fn rows_of(mut executors: BTreeMap<Platform, ExecutorHealthReport>, wanted: &[Platform]) -> Vec<PlatformHealth> {
    wanted.iter().map(|&platform| PlatformHealth { platform, report: executors.remove(&platform) }).collect()
}

/// The verdict in text; the wire's words stay as they are in JSON.
pub fn overall_word(overall: OverallHealth) -> String {
    overall.as_str().to_uppercase()
}

/// One platform. What the orchestrator does not say is left out in JSON and UNKNOWN in text.
#[derive(Serialize)]
struct PlatformHealth {
    platform: Platform,
    #[serde(flatten)]
    report: Option<ExecutorHealthReport>,
}

impl PlatformHealth {
    fn word(&self) -> &'static str {
        match self.report.as_ref().map(|r| r.status) {
            Some(ExecutorHealth::Healthy) => "OK",
            Some(ExecutorHealth::Degraded) => "DEGRADED",
            Some(ExecutorHealth::Down) => "DOWN",
            None => "UNKNOWN",
        }
    }

    fn reason(&self) -> Option<&str> {
        self.report.as_ref()?.reason.as_deref()
    }
}

fn limit(report: &ExecutorHealthReport) -> String {
    let Some(limit) = &report.rate_limit else { return "UNKNOWN".into() };
    match text::share(limit.current, limit.limit) {
        Some(share) => format!("{}/{} ({:.0}%)", limit.current, limit.limit, share * 100.0),
        None => format!("{}/{}", limit.current, limit.limit),
    }
}

fn errors(report: &ExecutorHealthReport) -> String {
    let sample = text::count(report.sample);
    match report.error_rate {
        Some(rate) => format!("{} of {sample} in 1h", crate::output::percent(rate)),
        None => "none ended in 1h".into(),
    }
}

impl PlatformHealth {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.pair("Platform", self.platform)?;
        page.pair("Status", self.word())?;
        let Some(report) = &self.report else { return Ok(()) };
        if let Some(why) = &report.reason {
            page.pair("Why", why)?;
        }
        page.pair("Circuit", report.circuit_breaker.state)?;
        page.pair("Failures", report.circuit_breaker.failure_count)?;
        if let Some(at) = report.circuit_breaker.last_failure {
            page.pair_time("Last failure", at)?;
        }
        page.pair("Limit used", limit(report))?;
        page.pair("Errors", errors(report))?;
        page.pair("Mean call", text::millis(report.avg_response_time as f64))?;
        match report.last_success {
            Some(at) => page.pair_time("Last success", at),
            None => page.pair("Last success", "none yet"),
        }
    }
}

/// Several platforms.
#[derive(Serialize)]
#[serde(transparent)]
struct Executors {
    rows: Vec<PlatformHealth>,
    #[serde(skip)]
    verbose: bool,
}

fn draw_rows(page: &mut Page<'_>, rows: &[PlatformHealth], verbose: bool) -> io::Result<()> {
    let mut table = Table::new(match verbose {
        true => &["PLATFORM", "STATUS", "CIRCUIT", ">LIMIT USED", "ERRORS", ">MEAN CALL", "LAST SUCCESS", "WHY"],
        false => &["PLATFORM", "STATUS", "LAST SUCCESS", "WHY"],
    });
    for row in rows {
        let mut cells = vec![row.platform.to_string(), row.word().to_owned()];
        let last = row.report.as_ref().and_then(|r| r.last_success).map(|t| page.time(t)).unwrap_or_default();
        let why = row.report.as_ref().and_then(|r| r.reason.clone()).unwrap_or_default();
        if verbose {
            cells.extend(match &row.report {
                Some(report) => [
                    report.circuit_breaker.state.to_string(),
                    limit(report),
                    errors(report),
                    text::millis(report.avg_response_time as f64),
                ],
                None => Default::default(),
            });
        }
        cells.extend([last, why]);
        table.row(cells);
    }
    page.table(&table)
}

/// The whole: in JSON the API's own answer.
#[derive(Serialize)]
#[serde(transparent)]
struct Whole {
    report: HealthReport,
    #[serde(skip)]
    verbose: bool,
}

impl Whole {
    fn for_monitoring(&self) -> (Verdict, String, Vec<Measure>) {
        let rows = rows_of(self.report.executors.clone(), Platform::ALL);
        let (_, said, _) = worst(rows.iter().map(|r| (r.platform, r.word(), r.reason())));
        let verdict = match self.report.overall {
            OverallHealth::Healthy => Verdict::Ok,
            OverallHealth::Degraded => Verdict::Warn,
            OverallHealth::Critical => Verdict::Fail,
        };
        let queue = &self.report.queue;
        let depth = Measure { label: "queue_depth", value: queue.depth as f64, unit: "", warn: "", critical: "" };
        let workers = queue.worker_utilization.map(|busy| Measure {
            label: "workers_busy",
            value: busy * 100.0,
            unit: "%",
            warn: "",
            critical: "",
        });
        (verdict, said, std::iter::once(depth).chain(workers).collect())
    }

    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let queue = &self.report.queue;
        page.pair("Overall", overall_word(self.report.overall))?;
        let oldest = queue.oldest_action.map(|t| format!(", oldest {}", page.time(t))).unwrap_or_default();
        page.pair("Queue", format_args!("{} waiting{oldest}", text::count(queue.depth)))?;
        page.pair("Workers busy", text::busy(queue.worker_utilization))?;
        page.blank()?;
        let rows = rows_of(self.report.executors.clone(), Platform::ALL);
        draw_rows(page, &rows, self.verbose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::{Style, draw};
    use crate::wire::{CircuitHealth, CircuitState, LimitHealth, QueueHealth, Time};

    fn report(status: ExecutorHealth, error_rate: Option<f64>) -> ExecutorHealthReport {
        ExecutorHealthReport {
            status,
            circuit_breaker: CircuitHealth { state: CircuitState::Open, failure_count: 7, last_failure: None },
            rate_limit: Some(LimitHealth { current: 3, limit: 3, reset_at: Time(1000) }),
            last_success: None,
            avg_response_time: 120,
            error_rate,
            sample: 1238,
            reason: Some("circuit OPEN".into()),
        }
    }

    #[test]
    fn an_earlier_answer_has_no_verdict_and_is_not_called_healthy() {
        let executors = BTreeMap::from([(Platform::Notion, report(ExecutorHealth::Healthy, None))]);
        let queue = QueueHealth { depth: 3, oldest_action: None, worker_utilization: Some(0.4) };
        let report = HealthReport { overall: OverallHealth::Healthy, executors, queue };
        let answer = Answer::unjudged(Answer::Whole(Whole { report, verbose: false }), Time(0)).unwrap();
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!((json.get("overall"), json["executors"]["notion"].get("status")), (None, None), "{json}");
        assert_eq!((&json["queue"]["depth"], &json["executors"]["notion"]["sample"]), (&3.into(), &1238.into()));
        let (verdict, said, _) = answer.for_monitoring();
        assert_eq!(verdict, Verdict::Unknown);
        assert!(said.starts_with("no answer; at 1970-01-01T00:00:00.000Z"), "{said}");
        assert!(draw(&answer, Style::plain()).unwrap().starts_with("Now          UNKNOWN\n"));
    }

    #[test]
    fn what_is_not_reported_is_unknown_and_has_no_invented_fields() {
        let rows = rows_of(BTreeMap::new(), &[Platform::Notion]);
        assert_eq!(rows[0].word(), "UNKNOWN");
        assert_eq!(serde_json::to_string(&rows[0]).unwrap(), r#"{"platform":"notion"}"#);
    }

    #[test]
    fn a_verbose_row_shows_rate_and_sample() {
        let executors = BTreeMap::from([(Platform::Notion, report(ExecutorHealth::Down, Some(0.027)))]);
        let rows = rows_of(executors, &[Platform::Notion]);
        let text = draw(&Answer::Several(Executors { rows, verbose: true }), Style::plain()).unwrap();
        let row = text.lines().nth(1).unwrap();
        let cells: Vec<_> = row.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
        assert_eq!(
            cells,
            ["notion", "DOWN", "OPEN", "3/3 (100%)", "2.7% of 1,238 in 1h", "120ms", "-", "circuit OPEN"]
        );
    }

    #[test]
    fn one_platform_is_one_object_with_the_documented_fields() {
        let row = PlatformHealth { platform: Platform::Slack, report: Some(report(ExecutorHealth::Degraded, None)) };
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["platform"], "slack");
        assert_eq!(json["circuitBreaker"]["state"], "OPEN");
        assert!(json.get("errorRate").is_none());
    }

    #[test]
    fn the_whole_names_every_platform_even_those_not_reported() {
        let queue = QueueHealth { depth: 1234, oldest_action: None, worker_utilization: Some(0.4) };
        let report = HealthReport { overall: OverallHealth::Critical, executors: BTreeMap::new(), queue };
        let answer = Answer::Whole(Whole { report, verbose: false });
        let (verdict, said, measures) = answer.for_monitoring();
        assert_eq!((verdict, measures.len()), (Verdict::Fail, 2));
        assert!(said.starts_with("notion UNKNOWN, trello UNKNOWN"), "{said}");
        let text = draw(&answer, Style::plain()).unwrap();
        assert!(text.starts_with("Overall       CRITICAL\nQueue         1,234 waiting\nWorkers busy  40%\n"), "{text}");
        assert_eq!(text.matches("UNKNOWN").count(), 5, "{text}");
    }
}

//! Telemetry as its users see it: recorded, asked, restarted.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::cells::{HOUR, MINUTE, floor};
use super::*;
use crate::secret::Secret;
use crate::wire::{ActionType, ErrorCode, Time};

const ONE_HOUR: Duration = Duration::from_secs(3600);
const ONE_DAY: Duration = Duration::from_secs(24 * 3600);

/// A data folder of its own, and a clock that reads what it is told (give or take the test's own run time, which
/// `HALF_PAST` and `now` keep away from any edge that matters).
struct Lab {
    dir: PathBuf,
    clock: Clock,
}

/// 2030-01-01, half past ten and half a minute: far from the edges of minute and hour.
const HALF_PAST: Time = Time(1_893_494_400_000 + 10 * HOUR + 30 * MINUTE + MINUTE / 2);

impl Lab {
    fn new() -> Lab {
        let dir = std::env::temp_dir().join(format!("opsctl-telemetry-{}", uuid::Uuid::now_v7()));
        fs::create_dir_all(&dir).unwrap();
        let lab = Lab { dir, clock: Clock::system() };
        lab.now_is(HALF_PAST);
        lab
    }

    fn now_is(&self, now: Time) {
        let offset = self.clock.offset_ms() + now.0 - self.clock.now().0;
        self.clock.set_offset_ms(offset);
    }

    fn open(&self) -> Arc<Telemetry> {
        Telemetry::open(&self.dir, self.clock.clone()).unwrap()
    }

    fn log(&self, name: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.dir.join("logs").join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.dir).unwrap();
    }
}

fn ended(at: Time, platform: Platform, error: Option<ErrorCode>) -> EndRecord {
    EndRecord {
        at,
        platform,
        action_type: ActionType::Create,
        error,
        retries: u32::from(error.is_some()) * 3,
        fell_back: false,
        execution: Some(Duration::from_millis(200)),
        queued: Duration::from_millis(50),
    }
}

fn ago(ms: i64) -> Time {
    Time(HALF_PAST.0 - ms)
}

#[test]
fn totals_are_the_same_before_and_after_they_are_written() {
    let lab = Lab::new();
    let telemetry = lab.open();
    for _ in 0..3 {
        telemetry.action_ended(&ended(ago(0), Platform::Notion, None));
    }
    telemetry.action_ended(&ended(ago(5 * MINUTE), Platform::Slack, Some(ErrorCode::AuthError)));
    let before = telemetry.action_metrics("1h", None).unwrap();
    assert_eq!((before.metrics.total_actions, before.metrics.success_rate), (4, 0.75));
    assert_eq!((before.metrics.retry_rate, before.metrics.avg_execution_time), (0.25, 200.0));
    assert_eq!(before.metrics.avg_queue_time, 50.0);
    assert_eq!(before.by_platform[&Platform::Slack].success_rate, 0.0);
    assert_eq!(before.timeline.len(), 60);
    assert_eq!(before.timeline[59].actions_per_minute, 3.0);
    assert_eq!(before.timeline[54].success_rate, 0.0);
    assert_eq!(before.timeline[0].success_rate, 1.0);

    telemetry.flush().unwrap();
    assert_eq!(telemetry.action_metrics("1h", None).unwrap(), before);
    telemetry.action_ended(&ended(ago(0), Platform::Notion, None));
    assert_eq!(telemetry.success(ONE_HOUR).unwrap(), (4, 5), "written and unwritten are added up");
    assert_eq!(telemetry.error_rate(Platform::Slack, ONE_HOUR), Some((1.0, 1)));
    assert_eq!(telemetry.error_rate(Platform::Drive, ONE_HOUR), None);
    assert!(telemetry.action_metrics("3h", None).unwrap_err().to_string().contains("1h, 6h, 24h, 7d"));
}

#[test]
fn dropping_and_opening_again_loses_nothing_and_counts_nothing_twice() {
    let lab = Lab::new();
    for round in 1..=3 {
        let telemetry = lab.open();
        telemetry.action_ended(&ended(ago(2 * HOUR), Platform::Notion, None));
        telemetry.call_finished(&CallRecord { at: ago(0), platform: Platform::Notion, error: None });
        drop(telemetry);
        let telemetry = lab.open();
        assert_eq!(telemetry.success(ONE_DAY).unwrap(), (round, round));
        assert_eq!(telemetry.success(ONE_HOUR).unwrap(), (0, 0));
        assert_eq!(telemetry.requests(ONE_HOUR, None).unwrap().platforms[0].requests, round);
    }
}

#[test]
fn every_window_counts_each_action_once() {
    let lab = Lab::new();
    let telemetry = lab.open();
    // One action every 20 minutes for 40 days, the newest now.
    let all: Vec<Time> = (0..40 * 72).map(|i| ago(i * 20 * MINUTE)).collect();
    all.iter().for_each(|at| telemetry.action_ended(&ended(*at, Platform::Trello, None)));
    for _ in 0..2 {
        for hours in [1, 2, 5, 24, 48] {
            let window = ONE_HOUR * hours;
            let from = Time(floor(HALF_PAST, MINUTE).0 + MINUTE - i64::from(hours) * HOUR);
            let want = all.iter().filter(|at| **at >= from).count() as u64;
            assert_eq!(telemetry.success(window).unwrap().1, want, "{hours} hours");
        }
        for days in [3, 7, 30] {
            let from = Time(floor(HALF_PAST, HOUR).0 + HOUR - i64::from(days) * 24 * HOUR);
            let want = all.iter().filter(|at| **at >= from).count() as u64;
            assert_eq!(telemetry.success(ONE_DAY * days).unwrap().1, want, "{days} days");
        }
        let week = telemetry.action_metrics("7d", None).unwrap();
        assert_eq!(week.timeline.len(), 168);
        let full = &week.timeline[10];
        assert_eq!((full.actions_per_minute * 60.0).round(), 3.0);
        assert_eq!(telemetry.action_metrics("24h", None).unwrap().timeline.len(), 97, "cut at both ends");
        telemetry.flush().unwrap();
    }
}

#[test]
fn minutes_become_hours_after_two_days_and_hours_go_after_a_hundred() {
    let lab = Lab::new();
    let telemetry = lab.open();
    telemetry.action_ended(&ended(ago(0), Platform::Drive, Some(ErrorCode::Conflict)));
    telemetry.flush().unwrap();
    let rows = |step: i64| -> i64 {
        let db = rusqlite::Connection::open(lab.dir.join("metrics.db")).unwrap();
        db.query_row("SELECT count(*) FROM failures WHERE step = ?1", [step], |row| row.get(0)).unwrap()
    };
    assert_eq!((rows(MINUTE), rows(HOUR)), (1, 1));

    lab.now_is(ago(-50 * HOUR));
    telemetry.action_ended(&ended(ago(-50 * HOUR), Platform::Drive, None));
    telemetry.flush().unwrap();
    assert_eq!((rows(MINUTE), rows(HOUR)), (0, 1));
    assert_eq!(telemetry.success(ONE_DAY * 7).unwrap(), (1, 2));
    let breakdown = telemetry.breakdown(ONE_DAY * 7, Some(Platform::Drive)).unwrap();
    assert_eq!(breakdown.rows[0].by_error, BTreeMap::from([(ErrorCode::Conflict, 1)]));
    assert_eq!((breakdown.rows[0].failed, breakdown.rows[0].retries), (1, 3));

    lab.now_is(ago(-101 * 24 * HOUR));
    telemetry.action_ended(&ended(ago(-101 * 24 * HOUR), Platform::Drive, None));
    telemetry.flush().unwrap();
    assert_eq!(rows(HOUR), 0);
}

#[test]
fn performance_compares_with_the_window_before_and_says_how_far_back_it_knows() {
    let lab = Lab::new();
    let telemetry = lab.open();
    for i in 1..=100 {
        let mut record = ended(ago(MINUTE), Platform::Notion, None);
        record.execution = Some(Duration::from_millis(i * 10));
        telemetry.action_ended(&record);
        record.at = ago(90 * MINUTE);
        record.execution = Some(Duration::from_millis(100));
        record.fell_back = true;
        telemetry.action_ended(&record);
    }
    telemetry.flush().unwrap();
    let shown = telemetry.performance(ONE_HOUR, None).unwrap();
    assert_eq!((shown.current.total_actions, shown.previous.total_actions), (100, 100));
    assert_eq!((shown.current.avg_execution_time, shown.previous.fell_back), (Some(505.0), 100));
    for (got, want) in [(shown.current.p50, 500.0), (shown.current.p95, 950.0), (shown.previous.p99, 100.0)] {
        assert!((got.unwrap() - want).abs() <= want * MAX_RELATIVE_ERROR, "{got:?} instead of {want}");
    }
    assert_eq!(shown.by_platform[&Platform::Notion], shown.current);
    // Metrics began when the folder was opened, seconds ago: nothing earlier is claimed to have been watched.
    assert_eq!(shown.previous.from, shown.kept_since);
    assert!(floor(shown.kept_since, MINUTE) == floor(HALF_PAST, MINUTE));
    let nothing = telemetry.performance(ONE_HOUR, Some(Platform::Slack)).unwrap();
    assert_eq!((nothing.current.p95, nothing.current.avg_queue_time), (None, None));
}

#[test]
fn requests_know_their_busiest_minute() {
    let lab = Lab::new();
    let telemetry = lab.open();
    let send = |at, error| telemetry.call_finished(&CallRecord { at, platform: Platform::Slack, error });
    (0..7).for_each(|_| send(ago(2 * MINUTE), None));
    telemetry.flush().unwrap();
    (0..2).for_each(|_| send(ago(2 * MINUTE), Some(ErrorCode::RateLimited)));
    send(ago(0), Some(ErrorCode::NetworkError));
    for _ in 0..2 {
        for window in [Duration::from_secs(300), ONE_DAY, ONE_DAY * 7] {
            let answer = telemetry.requests(window, Some(Platform::Slack)).unwrap();
            let [slack] = answer.platforms.as_slice() else { panic!("{answer:?}") };
            assert_eq!((slack.requests, slack.rate_limited, slack.failed, slack.peak_per_minute), (10, 2, 1, 9));
            assert!(slack.per_minute_series.ends_with(&[9, 0, 1]));
        }
        telemetry.flush().unwrap();
    }
    let answer = telemetry.requests(Duration::from_secs(300), None).unwrap();
    assert_eq!((answer.window_ms, answer.platforms.len()), (300_000, 5));
    assert_eq!(answer.platforms[2].per_minute_series, [0, 0, 9, 0, 1]);
    assert!((2.1..2.3).contains(&answer.platforms[2].per_minute), "10 in the last four and a half minutes");
}

#[test]
fn a_history_is_the_same_before_and_after_it_is_written() {
    let lab = Lab::new();
    let telemetry = lab.open();
    for i in 0..6 {
        telemetry.action_ended(&ended(ago(i * HOUR / 2), Platform::Notion, None));
    }
    telemetry.action_ended(&ended(ago(0), Platform::Slack, Some(ErrorCode::TimeoutError)));
    (0..3).for_each(|_| telemetry.call_finished(&CallRecord { at: ago(0), platform: Platform::Slack, error: None }));
    [2.0, 4.0, 12.0].iter().for_each(|depth| telemetry.measured(Measure::QueueDepth, *depth));
    (0..2).for_each(|_| telemetry.happened(Occurrence::CircuitOpened, Some(Platform::Slack)));
    telemetry.happened(Occurrence::DuplicatePrevented, None);
    // Nothing before metrics began is answered, and they began when the folder was opened.
    let db = rusqlite::Connection::open(lab.dir.join("metrics.db")).unwrap();
    db.execute("UPDATE kept SET since = ?1", [ago(9 * HOUR).0]).unwrap();
    drop(telemetry);
    let telemetry = lab.open();
    telemetry.action_ended(&ended(ago(0), Platform::Notion, None));
    telemetry.measured(Measure::QueueDepth, 6.0);
    let asked = || telemetry.history(ago(2 * HOUR), HALF_PAST, Bucket::Hour).unwrap();
    let history = asked();
    telemetry.flush().unwrap();
    let again = asked();
    assert_eq!((&again.rows, &again.actions, &again.requests), (&history.rows, &history.actions, &history.requests));
    assert_eq!((&again.samples, &again.occurrences), (&history.samples, &history.occurrences));
    assert_eq!(history.from, floor(ago(2 * HOUR), HOUR));
    assert_eq!((history.total.total_actions, history.total.succeeded), (7, 6));
    let place = |at: Time| (at.0 - history.from.0) / HOUR;
    let points: Vec<_> = history.actions.iter().map(|p| (place(p.at), p.platform, p.ended)).collect();
    let notion = |hour| (hour, Platform::Notion, 2);
    assert_eq!(points, [notion(0), notion(1), notion(2), (2, Platform::Slack, 1)]);
    assert_eq!(history.rows.len(), 2);
    let [depth] = history.samples.as_slice() else { panic!("{:?}", history.samples) };
    assert_eq!((depth.measure, depth.samples, depth.mean, depth.peak), (Measure::QueueDepth, 4, 6.0, 12.0));
    let seen: Vec<_> = history.occurrences.iter().map(|o| (o.occurrence, o.platform, o.count)).collect();
    assert_eq!(
        seen,
        [(Occurrence::CircuitOpened, Some(Platform::Slack), 2), (Occurrence::DuplicatePrevented, None, 1)]
    );
    assert_eq!((history.requests[0].requests, history.requests[0].peak_per_minute), (3, 3));
    let day = telemetry.history(ago(9 * HOUR), HALF_PAST, Bucket::Day).unwrap();
    assert_eq!((day.actions.len(), day.actions[0].ended, day.samples[0].samples), (2, 7, 4));
}

#[test]
fn a_file_of_the_first_version_is_brought_up_to_date() {
    let lab = Lab::new();
    let telemetry = lab.open();
    telemetry.action_ended(&ended(ago(0), Platform::Notion, None));
    drop(telemetry);
    let db = rusqlite::Connection::open(lab.dir.join("metrics.db")).unwrap();
    db.execute_batch("DROP TABLE series; PRAGMA user_version = 1").unwrap();
    let telemetry = lab.open();
    telemetry.measured(Measure::QueueDepth, 1.0);
    telemetry.flush().unwrap();
    let history = telemetry.history(ago(HOUR), HALF_PAST, Bucket::Day).unwrap();
    assert_eq!((history.total.total_actions, history.samples.len()), (1, 1));
}

#[test]
fn a_damaged_database_is_set_aside_and_said_so() {
    let lab = Lab::new();
    fs::write(lab.dir.join("metrics.db"), "this is not a database, and long enough to be taken for one".repeat(99))
        .unwrap();
    let telemetry = lab.open();
    telemetry.action_ended(&ended(ago(0), Platform::Notion, None));
    telemetry.flush().unwrap();
    assert_eq!(telemetry.success(ONE_HOUR).unwrap(), (1, 1));
    let message = telemetry.errors(&ErrorFilter { limit: 1, ..ErrorFilter::default() }).errors.remove(0).message;
    let aside = message.split_whitespace().find(|word| word.starts_with("metrics.db.damaged-")).unwrap();
    assert!(lab.dir.join(aside.trim_end_matches(';')).exists(), "{message}");
}

#[test]
fn a_database_of_a_newer_version_is_left_alone() {
    let lab = Lab::new();
    drop(lab.open());
    let db = rusqlite::Connection::open(lab.dir.join("metrics.db")).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    let error = Telemetry::open(&lab.dir, lab.clock.clone()).err().unwrap();
    assert!(error.to_string().contains("newer version"), "{error}");
}

#[test]
fn what_cannot_be_written_stays_and_is_written_later() {
    let lab = Lab::new();
    let telemetry = lab.open();
    let other = rusqlite::Connection::open(lab.dir.join("metrics.db")).unwrap();
    other.execute_batch("ALTER TABLE actions RENAME TO away").unwrap();
    telemetry.action_ended(&ended(ago(0), Platform::Notion, None));
    assert!(telemetry.flush().is_err());
    assert!(telemetry.success(ONE_HOUR).is_err(), "an unreadable store is not an empty one");
    assert_eq!(telemetry.error_rate(Platform::Notion, ONE_HOUR), None);
    other.execute_batch("ALTER TABLE away RENAME TO actions").unwrap();
    telemetry.flush().unwrap();
    assert_eq!(telemetry.success(ONE_HOUR).unwrap(), (1, 1));
}

#[test]
fn lines_reach_their_files_without_secrets_and_by_level() {
    let lab = Lab::new();
    let telemetry = lab.open();
    telemetry.redactor().add([&Secret::new("secret_abcdef123456")]);
    let line = LogLine::error(Part::Executor, "refused: secret_abcdef123456 is \"expired\"")
        .platform(Platform::Notion)
        .code(ErrorCode::AuthError)
        .field("url", "https://example.com/?token=secret_abcdef123456");
    telemetry.log(line);
    telemetry.log(LogLine::debug(Part::Queue, "not shown"));
    telemetry.set_level(Level::Debug);
    telemetry.log(LogLine::debug(Part::Queue, "shown"));
    telemetry.set_level(Level::Error);
    assert!(telemetry.shows(Level::Error) && !telemetry.shows(Level::Warn));
    telemetry.flush().unwrap();
    let application = lab.log("application.log");
    let messages: Vec<_> = application.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["refused: (hidden) is \"expired\"", "shown"]);
    assert_eq!(application[0]["url"], "https://example.com/?token=(hidden)");
    assert_eq!(lab.log("errors.log"), application[..1]);
    assert_eq!(lab.log("executors/notion.log"), application[..1]);
    assert!(lab.log("security.log").is_empty());
    let entry = telemetry.errors(&ErrorFilter { limit: 5, ..ErrorFilter::default() }).errors.remove(0);
    assert_eq!(entry.message, messages[0]);
    assert_eq!((entry.component.as_deref(), entry.error_code), (Some("executor"), Some(ErrorCode::AuthError)));
}

#[test]
fn errors_of_earlier_runs_are_read_back() {
    let lab = Lab::new();
    let telemetry = lab.open();
    for (message, platform) in [("one", Platform::Notion), ("two", Platform::Slack)] {
        telemetry.log(LogLine::error(Part::Executor, message).platform(platform).code(ErrorCode::ServiceDown));
    }
    let before = telemetry.errors(&ErrorFilter { limit: 9, ..ErrorFilter::default() });
    drop(telemetry);
    let errors = lab.dir.join("logs/errors.log");
    fs::rename(&errors, errors.with_extension("log.1")).unwrap();
    fs::write(&errors, "not a line of ours\n{\"timestamp\":\"2030-01-01T10:3").unwrap();
    let telemetry = lab.open();
    assert_eq!(telemetry.errors(&ErrorFilter { limit: 9, ..ErrorFilter::default() }), before);
    telemetry.log(LogLine::error(Part::Executor, "three").platform(Platform::Slack).code(ErrorCode::ServiceDown));
    let top = telemetry.top_errors(1, ONE_HOUR);
    assert_eq!((top[0].platform, top[0].count, top[0].last_message.as_str()), (Some(Platform::Slack), 2, "three"));
    assert_eq!(telemetry.errors(&ErrorFilter::default()).total, 3);
}

#[test]
fn what_was_recorded_can_be_looked_at_without_the_service_and_is_not_touched() {
    let lab = Lab::new();
    let look = |dir: &PathBuf| {
        let recorded = Recorded::look(dir, HALF_PAST).unwrap()?;
        let current = recorded.performance(ONE_HOUR, None).unwrap().current;
        Some((current.total_actions, current.p95))
    };
    assert_eq!(look(&lab.dir), None);
    let telemetry = lab.open();
    telemetry.action_ended(&ended(ago(MINUTE), Platform::Notion, None));
    telemetry.flush().unwrap();
    let current = telemetry.performance(ONE_HOUR, None).unwrap().current;
    let told = Some((current.total_actions, current.p95));
    let files = || {
        let mut files: Vec<_> = fs::read_dir(&lab.dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let kept = files.into_iter().filter(|path| path.is_file());
        kept.map(|path| (fs::read(&path).unwrap(), path)).collect::<Vec<_>>()
    };
    let before = files();
    assert_eq!((look(&lab.dir), current.total_actions), (told, 1));
    assert!(files() == before, "looking changes nothing");
    // A copy is what a kill leaves: the log beside the file, and nobody who has it open.
    let killed = Lab::new();
    before.iter().for_each(|(content, path)| fs::write(killed.dir.join(path.file_name().unwrap()), content).unwrap());
    assert_eq!(look(&killed.dir), told);
    drop(telemetry);
    assert_eq!(look(&lab.dir), told, "after a clean stop");
}

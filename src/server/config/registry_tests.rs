use super::*;
use crate::server::testing::{Scratch, scratch};
use crate::wire::ConfigSource;

fn open_with(dir: &Scratch, env: &[(&str, &str)], clock: &Clock) -> ConfigRegistry {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ConfigRegistry::open(dir.path(), env, clock.clone()).unwrap()
}

fn value(text: &str) -> ConfigSet {
    ConfigSet { value: text.into(), expires_in: None }
}

fn for_a_time(text: &str, ms: u64) -> ConfigSet {
    ConfigSet { value: text.into(), expires_in: Some(ms) }
}

#[test]
fn a_value_waits_for_its_parts_restart_and_both_are_shown() {
    let (dir, clock) = (scratch("config"), Clock::system());
    let config = open_with(&dir, &[], &clock);
    let entry = config.set("QUEUE_WORKERS", &value("10"), None).unwrap();
    assert_eq!((entry.value.as_deref(), entry.pending.as_deref()), (Some("5"), Some("10")));
    assert_eq!((entry.restart, config.effective().queue_workers), (RestartPart::Workers, 5));
    assert_eq!(config.pending(), ["QUEUE_WORKERS 5 -> 10 (workers)"]);
    assert!(config.apply(RestartPart::Queue).is_empty());
    assert_eq!(config.apply(RestartPart::Workers), ["QUEUE_WORKERS 5 -> 10"]);
    assert_eq!((config.effective().queue_workers, config.pending().len()), (10, 0));
    assert_eq!(config.get("queue_workers").unwrap().source, ConfigSource::Set);

    // A start restarts everything: what was set holds.
    assert_eq!(open_with(&dir, &[("QUEUE_WORKERS", "7")], &clock).effective().queue_workers, 10);
    config.unset("QUEUE_WORKERS", None).unwrap();
    let again = open_with(&dir, &[("QUEUE_WORKERS", "7")], &clock);
    assert_eq!(again.get("QUEUE_WORKERS").unwrap().source, ConfigSource::Environment);
    assert_eq!(again.effective().queue_workers, 7);
}

#[test]
fn a_value_for_a_time_goes_back_by_itself_also_over_a_restart() {
    let (dir, clock) = (scratch("config"), Clock::system());
    let config = open_with(&dir, &[], &clock);
    let name = "NOTION_CIRCUIT_BREAKER_ENABLED";
    let refused = config.set(name, &value("false"), None).unwrap_err();
    assert!(refused.message.contains("expiresIn"), "{}", refused.message);
    config.set(name, &for_a_time("false", 600_000), None).unwrap();
    assert!(!config.effective().platform(crate::wire::Platform::Notion).circuit_enabled);
    assert_eq!(config.expire(clock.now()).unwrap(), []);

    let later = config.expire(clock.now() + Duration::from_secs(601)).unwrap();
    assert_eq!(later[0].change, "NOTION_CIRCUIT_BREAKER_ENABLED false -> true");
    assert!(config.effective().platform(crate::wire::Platform::Notion).circuit_enabled);

    config.set("QUEUE_WORKERS", &value("9"), None).unwrap();
    config.set("QUEUE_WORKERS", &for_a_time("20", 1000), None).unwrap();
    config.set("QUEUE_WORKERS", &for_a_time("30", 2000), None).unwrap();
    config.apply(RestartPart::Workers);
    let later = config.expire(clock.now() + Duration::from_secs(3)).unwrap();
    assert_eq!((later[0].change.as_str(), config.effective().queue_workers), ("QUEUE_WORKERS 30 -> 9", 9));
    assert!(config.pending().is_empty(), "nobody is there to restart anything");

    config.set("QUEUE_WORKERS", &for_a_time("40", 1000), None).unwrap();
    clock.set_offset_ms(5000);
    assert_eq!(open_with(&dir, &[], &clock).effective().queue_workers, 9);
}

#[test]
fn secrets_live_in_a_private_file_and_are_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, clock) = (scratch("config"), Clock::system());
    let config = open_with(&dir, &[], &clock);
    let secret = "ntn_planted0123456789planted";
    let entry = config.set("NOTION_TOKEN", &value(secret), None).unwrap();
    assert_eq!(entry.name, "NOTION_API_KEY");
    config.apply(RestartPart::Executors);
    let entry = config.get("NOTION_API_KEY").unwrap();
    assert_eq!(entry.fingerprint.as_deref(), Some(Secret::new(secret).fingerprint().as_str()));
    assert!(entry.value.as_deref().unwrap().starts_with("set, ends in nted, sha256:"));
    let shown = format!("{:?} {:?} {:?}", config.list(), config.validate(), config);
    assert!(!shown.contains(secret));
    assert!(!std::fs::read_to_string(dir.path().join(SETTINGS_FILE)).unwrap_or_default().contains(secret));
    let mode = std::fs::metadata(dir.path().join(SECRETS_FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(config.effective().credential("NOTION_API_KEY").unwrap().expose(), secret);
}

#[test]
fn the_log_filter_knows_a_secret_before_it_holds() {
    let (dir, clock) = (scratch("config"), Clock::system());
    let config = open_with(&dir, &[("SLACK_BOT_TOKEN", "xoxb-planted-first")], &clock);
    let redactor = Redactor::default();
    config.teach(redactor.clone());
    config.set("NOTION_API_KEY", &value("ntn_planted_second"), None).unwrap();
    let shown = redactor.redact("xoxb-planted-first and ntn_planted_second").into_owned();
    assert!(!shown.contains("planted"), "{shown}");
}

#[test]
fn a_version_that_moved_is_a_conflict() {
    let (dir, clock) = (scratch("config"), Clock::system());
    let config = open_with(&dir, &[], &clock);
    let seen = config.get("BATCH_SIZE").unwrap().version;
    let after = config.set("BATCH_SIZE", &value("20"), Some(seen)).unwrap().version;
    assert_eq!(config.set("BATCH_SIZE", &value("30"), Some(seen)).unwrap_err().code, ErrorCode::Conflict);
    assert_eq!(config.unset("BATCH_SIZE", Some(seen)).unwrap_err().code, ErrorCode::Conflict);
    // Setting what already holds changes nothing, the version included.
    assert_eq!(config.set("BATCH_SIZE", &value("20"), None).unwrap().version, after);
}

#[test]
fn refusals_name_the_variable_and_the_reason() {
    let (dir, clock) = (scratch("config"), Clock::system());
    let config = open_with(&dir, &[], &clock);
    let refusal = |name: &str, text: &str| config.set(name, &value(text), None).unwrap_err();
    assert!(refusal("QUEUE_WORKERS", "0").message.starts_with("QUEUE_WORKERS must be a whole number from 1 to 256"));
    assert!(refusal("STATE_STORAGE", "redis").message.contains("SQLite"));
    assert!(refusal("WORKFLOW_STATE_ENABLED", "false").message.contains("always stored"));
    assert!(refusal("NOTION_FALLBACK_PLATFORM", "notion").message.contains("stand in: trello"));
    let unknown = refusal("QUEUE_WORKER", "3");
    assert_eq!(unknown.code, ErrorCode::NotFound);
    assert!(unknown.message.contains("did you mean QUEUE_WORKERS?"));
    let foreign = refusal("GROQ_API_KEY", "gsk_secret");
    assert_eq!(foreign.code, ErrorCode::ValidationError);
    assert!(foreign.message.contains("reasoning engine") && !foreign.message.contains("gsk_secret"));
    assert_eq!(config.get("GROQ_API_KEY").unwrap_err().code, ErrorCode::NotFound);
}

#[test]
fn validate_reports_what_the_environment_had_wrong() {
    let (dir, clock) = (scratch("config"), Clock::system());
    let env = [
        ("QUEUE_WORKERS", "many"),
        ("STATE_STORAGE", "redis"),
        ("NOTION_CIRCUIT_BREAKER_ENABLED", "false"),
        ("MAX_RETRY_ATTEMPTS", "4"),
        ("QUEUE_RETRY_ATTEMPTS", "5"),
        ("NOTION_TOKEN", "secret_short"),
        ("NOTION_FALLBACK_ENABLED", "true"),
        ("CACHE_TLL", "5"),
        ("NODE_ENV", "production"),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", "/nowhere/key.json"),
    ];
    let config = open_with(&dir, &env, &clock);
    assert_eq!((config.effective().queue_workers, config.effective().max_retry_attempts), (5, 4));
    let report = config.validate();
    let has = |name: &str, severity, part: &str| {
        report.findings.iter().any(|f| f.name == name && f.severity == severity && f.message.contains(part))
    };
    assert!(has("QUEUE_WORKERS", Severity::Error, "not `many`; 5 is used"));
    assert!(has("STATE_STORAGE", Severity::Error, "SQLite"));
    assert!(has("NOTION_CIRCUIT_BREAKER_ENABLED", Severity::Error, "only for a time"));
    assert!(has("MAX_RETRY_ATTEMPTS", Severity::Warning, "QUEUE_RETRY_ATTEMPTS is set to another value"));
    assert!(has("NOTION_API_KEY", Severity::Warning, "does not look like"));
    assert!(has("NOTION_FALLBACK_PLATFORM", Severity::Error, "no credentials"));
    assert!(has("CACHE_TLL", Severity::Warning, "no setting"));
    assert!(has("NODE_ENV", Severity::Info, "given at start"));
    assert!(has("GOOGLE_SERVICE_ACCOUNT_KEY", Severity::Error, "cannot be read"));
    assert!(has("SLACK_BOT_TOKEN", Severity::Warning, "not set"));
    assert!(report.findings.is_sorted_by(|a, b| a.severity >= b.severity), "worst first");
    assert!(config.effective().platform(crate::wire::Platform::Notion).circuit_enabled);
}

#[test]
fn a_damaged_settings_file_is_a_clear_error() {
    let dir = scratch("config");
    std::fs::write(dir.path().join(SECRETS_FILE), "{\"NOTION_API_KEY\": hunter2").unwrap();
    let error = ConfigRegistry::open(dir.path(), BTreeMap::new(), Clock::system()).unwrap_err();
    let text = crate::error::Explained::from_error(&error).to_text();
    assert!(text.contains("secrets.json") && text.contains("hint:") && !text.contains("hunter2"), "{text}");
}

#[test]
fn subscribers_hear_of_changes_that_hold_and_of_no_others() {
    let (dir, clock) = (scratch("config"), Clock::system());
    let config = open_with(&dir, &[], &clock);
    let mut changes = config.subscribe();
    config.set("QUEUE_WORKERS", &value("6"), None).unwrap();
    assert!(!changes.has_changed().unwrap());
    config.set("LOG_LEVEL", &value("debug"), None).unwrap();
    assert!(changes.has_changed().unwrap());
    let generation = changes.borrow_and_update().generation;
    config.apply(RestartPart::Workers);
    assert!(changes.borrow_and_update().generation > generation);
}

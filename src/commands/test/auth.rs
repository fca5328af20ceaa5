//! `opsctl test auth`.

use std::io;
use std::time::Duration;

use clap::Args;
use futures_util::future::join_all;
use serde::{Serialize, Serializer};

use crate::app::App;
use crate::client::Orchestrator;
use crate::commands::args::{PlatformArg, each_once};
use crate::error::{Explained, Outcome};
use crate::output::{Page, Report, Table};
use crate::settings::Source;
use crate::wire::{AuthStatus, ErrorCode, Platform, Time};

/// The deadline unless `--timeout` or its like says otherwise: a little longer than the service gives a platform.
const DEADLINE: Duration = Duration::from_secs(12);

/// Test that the platforms accept the service's credentials
///
/// The service asks each platform who it is, with the credential it works with; nothing is written there. All
/// platforms are asked at once, within one --timeout (12s unless told); one that hangs is a row TIMEOUT. Ends with 3
/// when a platform does not let us in, or did not say.
///
/// Example: opsctl test auth notion
#[derive(Args, Debug)]
pub struct AuthArgs {
    /// Platforms to test; all of them without any
    #[arg(value_name = "PLATFORM")]
    platforms: Vec<PlatformArg>,

    /// Every platform
    #[arg(long, conflicts_with = "platforms")]
    all: bool,
}

pub(super) async fn auth(app: &App, args: AuthArgs) -> anyhow::Result<Outcome> {
    let limit = match app.settings.timeout.source {
        Source::Default => DEADLINE,
        _ => app.settings.timeout.value,
    };
    let orchestrator = app.orchestrator().await?;
    let wanted = each_once(&args.platforms);
    let deadline = tokio::time::Instant::now() + limit;
    let answers = join_all(wanted.iter().map(|&platform| ask(orchestrator, platform, deadline))).await;
    let nobody_answered = answers.iter().all(|answer| matches!(answer, Answer::Silent | Answer::Failed(_)));
    let mut rows = Vec::new();
    for (platform, answer) in wanted.into_iter().zip(answers) {
        match answer {
            // When it is the service that fails, that is the command's failure and not something about platforms.
            Answer::Failed(error) if nobody_answered => return Err(error),
            answer => rows.push(Row::new(platform, answer, limit)),
        }
    }
    let outcome = match rows.iter().all(|row| row.authenticated == Some(true)) {
        _ if nobody_answered => Outcome::Unreachable,
        true => Outcome::Done,
        false => Outcome::Problem,
    };
    app.emit(&Rows(rows))?;
    Ok(outcome)
}

enum Answer {
    Said(AuthStatus),
    /// Nothing by the deadline.
    Silent,
    /// The service would not or could not ask.
    Failed(anyhow::Error),
}

async fn ask(orchestrator: &Orchestrator, platform: Platform, deadline: tokio::time::Instant) -> Answer {
    match tokio::time::timeout_at(deadline, orchestrator.auth(platform)).await {
        Ok(Ok(status)) => Answer::Said(status),
        // The client has the same limit, so either may notice first.
        Ok(Err(error)) if Explained::from_error(&error).code == Some(ErrorCode::TimeoutError) => Answer::Silent,
        Ok(Err(error)) => Answer::Failed(error),
        Err(_) => Answer::Silent,
    }
}

/// The runbook's fields; what nobody said is left out in JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    platform: Platform,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_successful_auth: Option<Time>,
    /// For a person: the runbook's answer has no field for it.
    #[serde(skip)]
    identity: Option<String>,
    #[serde(skip)]
    word: &'static str,
}

impl Row {
    fn new(platform: Platform, answer: Answer, limit: Duration) -> Row {
        let unsaid = |word, error| Row {
            platform,
            authenticated: None,
            error: Some(error),
            last_successful_auth: None,
            identity: None,
            word,
        };
        match answer {
            Answer::Said(status) => Row {
                platform,
                authenticated: Some(status.authenticated),
                error: status.error,
                last_successful_auth: status.last_successful_auth,
                identity: status.identity,
                word: if status.authenticated { "OK" } else { "FAIL" },
            },
            Answer::Silent => unsaid("TIMEOUT", format!("no answer within {}", crate::analysis::span(limit))),
            Answer::Failed(error) => unsaid("UNKNOWN", Explained::from_error(&error).message),
        }
    }
}

/// One object for one platform, a list for several.
struct Rows(Vec<Row>);

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(serializer),
            several => several.serialize(serializer),
        }
    }
}

impl Report for Rows {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut table = Table::new(&["PLATFORM", "STATUS", "IDENTITY", "LAST SUCCESS", "WHY"]);
        for row in &self.0 {
            table.row([
                row.platform.to_string(),
                row.word.to_owned(),
                row.identity.clone().unwrap_or_default(),
                row.last_successful_auth.map(|t| page.time(t)).unwrap_or_default(),
                row.error.clone().unwrap_or_default(),
            ]);
        }
        page.table(&table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_platform_has_exactly_the_runbooks_fields() {
        let status = AuthStatus {
            platform: Platform::Notion,
            authenticated: false,
            error: Some("Invalid API key".into()),
            last_successful_auth: Some(Time(1_760_689_845_123)),
            identity: None,
        };
        let rows = Rows(vec![Row::new(Platform::Notion, Answer::Said(status), DEADLINE)]);
        assert_eq!(
            serde_json::to_string(&rows).unwrap(),
            r#"{"platform":"notion","authenticated":false,"error":"Invalid API key","lastSuccessfulAuth":"2025-10-17T08:30:45.123Z"}"#
        );
    }

    #[test]
    fn silence_claims_nothing() {
        let row = Row::new(Platform::Drive, Answer::Silent, DEADLINE);
        assert_eq!(row.word, "TIMEOUT");
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"platform":"drive","error":"no answer within 12s"}"#);
    }
}

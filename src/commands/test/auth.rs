//! `opsctl test auth`.

use std::time::Duration;

use clap::Args;
use futures_util::stream::FuturesUnordered;
use serde::{Serialize, Serializer};
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::client::Orchestrator;
use crate::commands::args::{PlatformArg, each_once};
use crate::commands::arriving;
use crate::error::{Explained, Kind, Outcome};
use crate::output::{Format, Page, Report, Style};
use crate::platforms::{Clients, auth_error_text};
use crate::wire::{AuthStatus, ErrorCode, Platform, Time};

/// The deadline unless `--timeout` or its like says otherwise: a little longer than the service gives a platform.
const DEADLINE: Duration = Duration::from_secs(12);

/// How long the service may take to say that it is there, before the platforms are asked without it.
const FIRST_WORD: Duration = Duration::from_secs(2);

/// Test that the platforms accept our credentials
///
/// The service asks each platform who it is, with the credential it works with; nothing is written there. When it does
/// not answer, or with --direct, this machine asks with its own credentials. All platforms are asked at once, within
/// one --timeout (12s unless told). Ends with 3 when a platform does not let us in, or did not say.
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

    /// Ask from this machine, with its own credentials
    #[arg(long)]
    direct: bool,
}

/// Who asks the platforms.
enum Asker<'a> {
    /// The service, with the credentials it works with.
    Service(&'a Orchestrator),
    /// This machine, with its own.
    Direct(Clients),
}

pub(super) async fn auth(app: &App, args: AuthArgs) -> anyhow::Result<Outcome> {
    let limit = arriving::limit(app, DEADLINE);
    let deadline = Instant::now() + limit;
    let wanted = each_once(&args.platforms);
    let asker = asker(app, args.direct, &wanted, deadline).await?;
    let ask = |platform: Platform| {
        let asker = &asker;
        let known = app.remembered(platform).last_success;
        async move {
            let answer = match asker {
                Asker::Service(orchestrator) => of_service(orchestrator, platform, deadline).await,
                Asker::Direct(clients) => direct(clients, platform, deadline).await,
            };
            Row::new(platform, answer, known, app.now(), limit)
        }
    };
    let rows: FuturesUnordered<_> = wanted.iter().map(|&platform| ask(platform)).collect();
    let mut rows = arriving::collect(app, HEADING, rows, Row::line).await?;
    rows.sort_by_key(|row| wanted.iter().position(|p| *p == row.platform));
    let outcome = match rows.iter().all(|row| row.authenticated == Some(true)) {
        _ if rows.iter().all(|row| row.authenticated.is_none()) => Outcome::Unreachable,
        true => Outcome::Done,
        false => Outcome::Problem,
    };
    let accepted = rows.iter().filter(|row| row.authenticated == Some(true));
    let accepted: Vec<_> = accepted.filter_map(|row| Some((row.platform, row.last_successful_auth?))).collect();
    if app.output.format != Format::Table {
        app.emit(&Rows(rows))?;
    }
    // What cannot be remembered was tested all the same.
    if let Err(error) = app.remember_success(&accepted) {
        app.output.warn(&format!("the success was not remembered: {error:#}"));
    }
    Ok(outcome)
}

/// The service where it answers; this machine where it does not and there is a credential to ask with.
async fn asker<'a>(app: &'a App, direct: bool, wanted: &[Platform], deadline: Instant) -> anyhow::Result<Asker<'a>> {
    if direct {
        return Ok(Asker::Direct(app.platforms().await?));
    }
    let service = async { anyhow::Ok(app.orchestrator().await?) };
    let first_word = async {
        let orchestrator = service.await?;
        match timeout_at(deadline.min(Instant::now() + FIRST_WORD), orchestrator.info()).await {
            Ok(Err(error)) if Explained::from_error(&error).kind != Kind::NotFound => Err(error),
            // A slow one is asked all the same; one without this route may have the others.
            _ => Ok(orchestrator),
        }
    };
    let error = match first_word.await {
        Ok(orchestrator) => return Ok(Asker::Service(orchestrator)),
        Err(error) if Explained::from_error(&error).kind != Kind::Unreachable => return Err(error),
        Err(error) => error,
    };
    match app.platforms().await {
        Ok(clients) if wanted.iter().any(|p| clients.credentials().has(*p)) => {
            app.note("the orchestrator does not answer: asking from this machine, with its own credentials");
            Ok(Asker::Direct(clients))
        }
        _ => Err(error),
    }
}

enum Answer {
    Said(AuthStatus),
    /// Nothing by the deadline.
    Silent,
    /// The service would not or could not ask; there is no credential here.
    Unasked(String),
}

async fn of_service(orchestrator: &Orchestrator, platform: Platform, deadline: Instant) -> Answer {
    match timeout_at(deadline, orchestrator.auth(platform)).await {
        Ok(Ok(status)) => Answer::Said(status),
        // The client has the same limit, so either may notice first.
        Ok(Err(error)) if Explained::from_error(&error).code == Some(ErrorCode::TimeoutError) => Answer::Silent,
        Ok(Err(error)) => Answer::Unasked(Explained::from_error(&error).message),
        Err(_) => Answer::Silent,
    }
}

async fn direct(clients: &Clients, platform: Platform, deadline: Instant) -> Answer {
    if !clients.credentials().has(platform) {
        return Answer::Unasked(format!("{} is not set here", clients.credentials().names(platform)));
    }
    // The client's own limit is a little longer, so that the deadline is what ends a hanging platform.
    let own_limit = deadline.saturating_duration_since(Instant::now()) + Duration::from_secs(1);
    let status = |identity, error: Option<String>| {
        let authenticated = error.is_none();
        Answer::Said(AuthStatus { platform, authenticated, error, last_successful_auth: None, identity })
    };
    match timeout_at(deadline, clients.who_am_i_within(platform, own_limit)).await {
        Ok(Ok(identity)) => status(Some(identity), None),
        Ok(Err(error)) => status(None, Some(auth_error_text(&error))),
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
    /// `known` is the last success this machine remembers, for when nobody else knows of one.
    fn new(platform: Platform, answer: Answer, known: Option<Time>, now: Time, limit: Duration) -> Row {
        let unsaid = |word, error| Row {
            platform,
            authenticated: None,
            error: Some(error),
            last_successful_auth: known,
            identity: None,
            word,
        };
        match answer {
            Answer::Said(status) => Row {
                platform,
                authenticated: Some(status.authenticated),
                error: status.error,
                last_successful_auth: status.last_successful_auth.or(if status.authenticated {
                    Some(now)
                } else {
                    known
                }),
                identity: status.identity,
                word: if status.authenticated { "OK" } else { "FAIL" },
            },
            Answer::Silent => unsaid("TIMEOUT", format!("no answer within {}", crate::analysis::span(limit))),
            Answer::Unasked(why) => unsaid("UNKNOWN", why),
        }
    }

    /// One line in columns of fixed width.
    fn line(&self, style: &Style) -> String {
        let status = arriving::state(style, self.word, 7);
        let last = self.last_successful_auth.map_or("never seen".to_owned(), |t| style.time(t));
        let said = self.error.as_deref().or(self.identity.as_deref()).unwrap_or_default();
        let said = arriving::rest(style, said, FIXED);
        format!("{:<8}  {status}  {last:<24}  {said}", self.platform.as_str())
    }
}

/// Columns before the last, gaps included.
const FIXED: usize = 45;
const HEADING: &str = "PLATFORM  STATUS   LAST SUCCESS              WHO, OR WHY NOT";

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
    fn draw(&self, page: &mut Page<'_>) -> std::io::Result<()> {
        page.heading(HEADING)?;
        for row in &self.0 {
            let line = row.line(page);
            page.line(line)?;
        }
        Ok(())
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
        let rows = Rows(vec![Row::new(Platform::Notion, Answer::Said(status), None, Time(0), DEADLINE)]);
        assert_eq!(
            serde_json::to_string(&rows).unwrap(),
            r#"{"platform":"notion","authenticated":false,"error":"Invalid API key","lastSuccessfulAuth":"2025-10-17T08:30:45.123Z"}"#
        );
    }

    #[test]
    fn silence_claims_nothing() {
        let row = Row::new(Platform::Drive, Answer::Silent, None, Time(0), DEADLINE);
        assert_eq!(row.word, "TIMEOUT");
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"platform":"drive","error":"no answer within 12s"}"#);
    }
}

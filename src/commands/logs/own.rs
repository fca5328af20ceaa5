//! What actions came to, when nobody answers: as the service recorded it, or as the application's own `metrics.jsonl`
//! tells, which has an action that ended in each line.

use std::time::Duration;

use super::left::{Left, left};
use super::place::{self, Place};
use crate::analysis::ended::{self, Told, told};
use crate::analysis::lines::{Line, Question};
use crate::app::{App, StaleArgs};
use crate::commands::text;
use crate::error::{Explained, Fault, Kind, Outcome};
use crate::logs::{ask, layout};
use crate::server::telemetry::{EndRecord, Gathered};
use crate::wire::{ActionBreakdown, LineFilter, LogName, LogSource, Performance, Platform, Time};

/// What is known of the actions of a service that does not answer.
pub(in crate::commands) enum Figures {
    /// It recorded them.
    Recorded(Left),
    /// Its log tells of them.
    Told(Gathered, LogSource, String),
}

/// What is known of a window and of the one before it, with the window; the error itself where nothing is. The clock is
/// moved to the sandbox's before the window is made.
pub(in crate::commands) async fn figures(
    app: &App,
    error: anyhow::Error,
    window: impl Fn(Time) -> Result<Duration, Fault>,
) -> anyhow::Result<(Figures, Duration)> {
    let error = match left(app, error).await {
        Ok(left) => return Ok((Figures::Recorded(left), window(app.now())?)),
        Err(error) => error,
    };
    let explained = Explained::from_error(&error);
    let Ok(Some(folder)) = place::folder(app).await else { return Err(error) };
    let log = layout::figures(&folder).ok().flatten().filter(|_| explained.kind == Kind::Unreachable);
    let Some((log, since)) = log.and_then(|log| Some((log.clone(), ask::oldest(&log)?))) else { return Err(error) };
    let now = app.now();
    let window = window(now)?;
    let filter = LineFilter { since: Some(now.minus(window * 2).minus(HOUR)), ..LineFilter::default() };
    let ends = Ends { gathered: Gathered::new(since, now), foreign: 0 };
    let place = Place::Files(log);
    let (ends, source) = place::ask_all(app, &place, LogName::Application, &filter, ends).await?;
    app.note(place::told(&source, &place, &LineFilter::default(), now));
    if ends.foreign > 0 {
        let lines = text::counted(ends.foreign, "line", "lines");
        app.note(format!("{lines} of other platforms, types or states are left out"));
    }
    Ok((Figures::Told(ends.gathered?, source, explained.message), window))
}

/// Windows begin with whole hours.
const HOUR: Duration = Duration::from_secs(3600);

impl Figures {
    /// A window beside the one before it.
    pub(in crate::commands) fn performance(
        &self,
        window: Duration,
        platform: Option<Platform>,
    ) -> anyhow::Result<Performance> {
        match self {
            Figures::Recorded(left) => left.recorded.performance(window, platform),
            Figures::Told(gathered, ..) => gathered.performance(window, platform),
        }
    }

    /// Actions by platform and type.
    pub(in crate::commands) fn breakdown(
        &self,
        window: Duration,
        platform: Option<Platform>,
    ) -> anyhow::Result<ActionBreakdown> {
        match self {
            Figures::Recorded(left) => left.recorded.breakdown(window, platform),
            Figures::Told(gathered, ..) => gathered.breakdown(window, platform),
        }
    }

    /// How an answer from it ends.
    pub(in crate::commands) fn end(&self, app: &App, stale: StaleArgs) -> Outcome {
        match self {
            Figures::Recorded(left) => left.end(app, stale),
            Figures::Told(_, source, why) => stale.silent(app, why, source),
        }
    }
}

/// Gathers actions that ended.
struct Ends {
    gathered: anyhow::Result<Gathered>,
    /// Lines that tell of something else.
    foreign: u64,
}

impl Question for Ends {
    const KEYS: &'static [&'static str] = ended::KEYS;

    fn take(&mut self, line: &Line<'_>) {
        match (told(line), &mut self.gathered) {
            (Told::Ended(ended), Ok(gathered)) => {
                let record = EndRecord {
                    at: ended.at,
                    platform: ended.platform,
                    action_type: ended.action_type,
                    error: ended.error,
                    retries: ended.retries,
                    fell_back: ended.fell_back,
                    execution: ended.took,
                    queued: Duration::ZERO,
                };
                if let Err(error) = gathered.end(record) {
                    self.gathered = Err(error);
                }
            }
            (Told::Foreign, _) => self.foreign += 1,
            _ => {}
        }
    }
}

//! `opsctl queue status`.

use std::io;
use std::time::Duration;

use clap::Args;

use crate::app::{App, Kept, StaleArgs, WatchArgs};
use crate::commands::outage::{self, Question};
use crate::commands::text;
use crate::error::Outcome;
use crate::output::{Page, Report};
use crate::settings::format_duration;
use crate::wire::QueueStatus;

/// Show how much waits and how busy the workers are
///
/// Waiting items include those that wait for a retry; items being executed are not counted. The average wait is the
/// mean age of what waits now.
///
/// Example: opsctl queue status --watch=5s
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    stale: StaleArgs,

    #[command(flatten)]
    watch: WatchArgs,
}

impl Report for QueueStatus {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        let by = self.by_priority;
        page.pair("Queued", self.total_queued)?;
        page.pair("  critical", by.critical)?;
        page.pair("  high", by.high)?;
        page.pair("  normal", by.normal)?;
        page.pair("  low", by.low)?;
        page.pair("Average wait", format_duration(Duration::from_millis(self.avg_wait_time)))?;
        page.pair("Workers busy", text::busy(self.worker_utilization))
    }
}

pub(super) async fn run(app: &App, args: StatusArgs) -> anyhow::Result<Outcome> {
    let question = Question::new(Kept::Queue, args.stale);
    app.watch(&args.watch, || {
        outage::look(app, &question, async |api| api.queue_status().await, |status| (status, Outcome::Done))
    })
    .await
}

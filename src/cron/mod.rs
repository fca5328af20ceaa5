//! Scheduled jobs: what runs when, how it gets into a schedule, and what is remembered of the runs.

mod crontab;
mod difference;
mod ledger;
mod schedule;
mod systemd;

pub use crontab::{block, with_block};
pub use difference::difference;
pub use ledger::{Ledger, count_effects};
pub use schedule::{SCHEDULE, Scheduled};
pub use systemd::{Unit, unit_names, units};

/// The variable that names the file a job counts its effects in.
pub const EFFECTS_FILE: &str = "OPSCTL_EFFECTS_FILE";

/// How the program is called by a schedule.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its whole path.
    pub program: String,
    /// The context.
    pub context: String,
    /// What every check is told beside its own words: `--notify pagerduty`.
    pub more: Vec<String>,
    /// Variables that say where things are, as they are set now.
    pub places: Vec<(String, String)>,
}

impl Call {
    /// The words of one job's command line.
    fn words(&self, job: &Scheduled) -> Vec<String> {
        let own = [&self.program, "--context", &self.context, "cron", "run", job.name];
        let run = ["--every", job.every, "--timeout", job.timeout, "--"];
        let words = own.into_iter().chain(run).chain(job.line.split(' ')).map(str::to_owned);
        words.chain(self.more.iter().map(|word| word.replace("NAME", job.name))).collect()
    }
}

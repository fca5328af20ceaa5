//! Close looks at one part: a real write and read, a real round trip, real counts.

use std::time::{Duration, Instant};

use super::runtime::Runtime;
use super::store::workflows::integrity;
use super::store::{journal, query};
use crate::server::backend::Refusal;
use crate::wire::{CheckLine, Component, ComponentCheck, ExecutorHealth, Platform};

/// Rows without what they belong to that are counted.
const STRANDED_MAX: u64 = 1000;

/// Lines of a check, each with the time since the one before it.
pub(super) struct Lines {
    lines: Vec<CheckLine>,
    last: Instant,
}

impl Lines {
    pub(super) fn new() -> Self {
        Lines { lines: Vec::new(), last: Instant::now() }
    }

    pub(super) fn add(&mut self, name: &str, ok: bool, detail: impl Into<String>) {
        let took_ms = (self.last.elapsed().as_secs_f64() * 1e5).round() / 100.0;
        self.lines.push(CheckLine { name: name.into(), ok, detail: detail.into(), took_ms });
        self.last = Instant::now();
    }

    pub(super) fn add_result<E: std::fmt::Display>(&mut self, name: &str, result: Result<(bool, String), E>) {
        match result {
            Ok((ok, detail)) => self.add(name, ok, detail),
            Err(error) => self.add(name, false, error.to_string()),
        }
    }

    /// Adds another check's lines, which took as long as they say.
    pub(super) fn append(&mut self, other: Lines) {
        self.lines.extend(other.lines);
        self.last = Instant::now();
    }

    pub(super) fn all_ok(&self) -> bool {
        self.lines.iter().all(|line| line.ok)
    }

    /// What the first line that failed says.
    pub(super) fn first_complaint(&self) -> Option<String> {
        self.lines.iter().find(|line| !line.ok).map(|line| format!("{}: {}", line.name, line.detail))
    }

    pub(super) fn into_checks(self) -> Vec<CheckLine> {
        self.lines
    }

    fn done(self, component: Component) -> ComponentCheck {
        ComponentCheck { component, ok: self.all_ok(), checks: self.lines }
    }
}

impl Runtime {
    pub(super) async fn check_part(&self, part: Component) -> Result<ComponentCheck, Refusal> {
        Ok(match part {
            Component::Database => self.check_database().await,
            Component::Eventbus => self.check_eventbus().await,
            Component::Queue => self.check_queue().await,
            Component::Executors => self.check_executors().await?,
            Component::Workers => self.check_workers(),
        })
    }

    async fn check_database(&self) -> ComponentCheck {
        let mut lines = Lines::new();
        let ping = self.store.read(|conn| Ok(conn.query_row("SELECT 1", [], |row| row.get::<_, i64>(0))? == 1)).await;
        lines.add_result("ping", ping.map(|ok| (ok, "answers".to_owned())));
        let value = uuid::Uuid::now_v7().to_string();
        let written = self.store.write(move |conn| journal::probe(conn, &value)).await;
        lines.add_result(
            "write and read",
            written.map(|same| {
                let words = if same { "a row was written, synced and read back" } else { "a row did not read back" };
                (same, words.to_owned())
            }),
        );
        let checked = self.store.read(query::quick_check).await;
        lines.add_result("integrity", checked.map(|verdict| (verdict == "ok", format!("quick_check: {verdict}"))));
        let stranded = self.store.read(|conn| integrity::stranded(conn, STRANDED_MAX)).await;
        lines.add_result(
            "belonging",
            stranded.map(|rows| match rows.len() {
                0 => (true, "every queue item and every idempotency key has what it belongs to".to_owned()),
                n => (false, format!("{n} rows belong to nothing; see `opsctl state check`")),
            }),
        );
        lines.add_result("memory and store", self.counts().await);
        let known = query::schema_version();
        match self.store.read(query::shape).await {
            Ok((version, bytes, free)) => {
                lines.add("schema", version == known, format!("version {version}, this program writes {known}"));
                let file = self.store.path().display();
                lines.add("size", true, format!("{} in {file}, {} of it free", bytes_text(bytes), bytes_text(free)));
            }
            Err(error) => lines.add("schema", false, error.to_string()),
        }
        let wal = self.store.path().with_extension("db-wal");
        let size = std::fs::metadata(&wal).map_or(0, |meta| meta.len());
        lines.add("write-ahead log", true, bytes_text(size));
        if let Some(trouble) = self.store.trouble() {
            lines.add("trouble", false, format!("{} (since {})", trouble.message, trouble.since));
        }
        lines.done(Component::Database)
    }

    async fn check_eventbus(&self) -> ComponentCheck {
        let mut lines = Lines::new();
        let trip = self.bus.round_trip().await;
        lines.add_result("round trip", trip.map(|took| (true, format!("{:.2} ms", took.as_secs_f64() * 1000.0))));
        let (listeners, behind, missed) = self.bus.state();
        lines.add("subscribers", listeners > 0, format!("{listeners} listening"));
        lines.add("lag", missed == 0, format!("{behind} events waiting, {missed} missed since start"));
        lines.done(Component::Eventbus)
    }

    /// What is in memory of the queue against what is stored.
    async fn counts(&self) -> Result<(bool, String), String> {
        // Work goes on while both sides are counted, so a difference has to last to count.
        let mut compared = Err("not counted".to_owned());
        for _ in 0..5 {
            let in_memory = || {
                let core = self.core();
                (core.queue.len(), core.running.len() as u64)
            };
            let (waiting, running) = in_memory();
            let before = waiting + running;
            compared = match self.store.read(query::totals).await {
                Err(error) => Err(error.to_string()),
                Ok(totals) => {
                    let (waiting, running) = in_memory();
                    let (memory, disk) = (waiting + running, totals.waiting + totals.executing);
                    let same = memory == disk || before == disk;
                    Ok((same, format!("{waiting} waiting and {running} executing in memory, {disk} on disk")))
                }
            };
            if matches!(compared, Ok((true, _))) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        compared
    }

    async fn check_queue(&self) -> ComponentCheck {
        let mut lines = Lines::new();
        lines.add_result("memory and store", self.counts().await);
        let now = self.now();
        let core = self.core();
        let oldest = core.queue.oldest().map(|at| now.since(at));
        let stuck = oldest.is_some_and(|age| age > super::health::STUCK_AGE);
        let text = oldest.map_or("nothing waits".to_owned(), |age| format!("waits for {}s", age.as_secs()));
        lines.add("oldest item", !stuck, text);
        let workers = format!("{} of {} busy", core.busy, core.settings.queue_workers);
        lines.add("workers", core.halt.is_none(), workers);
        let pause = core.paused().map(|pause| format!("paused by {} since {}", pause.owner, pause.since));
        lines.add("pause", pause.is_none(), pause.unwrap_or_else(|| "none".into()));
        let (waiting, max) = (core.queue.len(), core.settings.queue_max_size as u64);
        lines.add("room", waiting < max, format!("{waiting} of {max}"));
        drop(core);
        lines.done(Component::Queue)
    }

    async fn check_executors(&self) -> Result<ComponentCheck, Refusal> {
        let mut lines = Lines::new();
        let report = self.health_report(&self.error_rates().await?);
        for platform in Platform::ALL {
            if let Some(health) = report.executors.get(platform) {
                let detail = health.reason.clone().unwrap_or_else(|| health.status.to_string());
                lines.add(platform.as_str(), health.status != ExecutorHealth::Down, detail);
            }
        }
        Ok(lines.done(Component::Executors))
    }

    fn check_workers(&self) -> ComponentCheck {
        let mut lines = Lines::new();
        let now = self.now();
        let core = self.core();
        let (all, allowed) = (core.settings.queue_workers, core.allowed(now));
        lines.add("alive", core.halt.is_none(), format!("{} of {all} busy", core.busy));
        let ramp = if allowed < all { format!("{allowed} of {all} so far") } else { "none".to_owned() };
        lines.add("slow start", true, ramp);
        drop(core);
        lines.done(Component::Workers)
    }
}

fn bytes_text(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

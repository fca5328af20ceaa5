//! Recovery drills: a failure is played through in a scratch folder, up to a second service that has really read its
//! queue and written to its store. It is never started, so it sends nothing; the live store is only read.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::checks::Lines;
use super::super::runtime::Runtime;
use super::super::store;
use super::super::{NativeBackend, NativeOptions};
use super::folder::{Kept, copy_file, unwritten_io};
use super::{blocking, ensure_room, rescue, restore, snapshot, unwritten_store, verify};
use crate::platforms::Endpoints;
use crate::server::backend::{ChangeContext, Refusal};
use crate::server::config::ConfigRegistry;
use crate::server::effects::who;
use crate::server::jobs::Progress;
use crate::server::telemetry::{LogLine, Part, Telemetry};
use crate::wire::{CheckLine, Component, DataLoss, DrillReport, DrillRequest, DrillScenario, RestoreScope, Time};

/// A page of the store, in bytes.
const PAGE: u64 = 4096;
/// Tables whose rows a start neither adds nor takes away.
const LASTING: [&str; 4] = ["actions", "payloads", "idempotency", "workflows"];

/// What the second service is opened on, once the failure is over.
struct Recovered {
    /// Rows it has to have.
    rows: BTreeMap<String, u64>,
    /// When the failure was known.
    since: Instant,
    /// The moment whose state came back.
    back_to: Time,
}

impl Runtime {
    /// Plays a failure through.
    pub(super) async fn rehearse(
        &self,
        request: DrillRequest,
        cx: &ChangeContext,
        progress: &Progress,
    ) -> Result<DrillReport, Refusal> {
        let _one = self.backups.one.lock().await;
        let (scenario, folder) = (request.scenario, &self.backups.folder);
        let kept = match (scenario, &request.backup) {
            (DrillScenario::ServiceCrash, _) => None,
            (_, Some(id)) => Some(folder.find(id)?),
            (_, None) => folder.list().0.into_iter().next(),
        };
        let ground = folder.scratch()?;
        let mut lines = Lines::new();
        let recovered = match (scenario, &kept) {
            (DrillScenario::ServiceCrash, _) => Some(self.leave_work(ground.path(), &mut lines, progress).await?),
            (_, Some(kept)) => self.lose_store(scenario, kept, ground.path(), &mut lines, progress).await?,
            (_, None) => {
                lines.add("backup", false, "there is none: everything would be lost");
                None
            }
        };
        let backup = kept.as_ref().map(|kept| kept.manifest.id.clone());
        let (mut recovery_ms, mut loss) = (None, None);
        if let Some(recovered) = recovered {
            progress.at("start", 0, 0);
            self.open_second(ground.path(), &recovered.rows, &mut lines).await;
            if lines.all_ok() {
                recovery_ms = Some(u64::try_from(recovered.since.elapsed().as_millis()).unwrap_or(u64::MAX));
                loss = Some(self.would_lose(kept, recovered.back_to, &mut lines).await?);
            }
        }
        let report =
            DrillReport { scenario, ok: lines.all_ok(), backup, steps: lines.into_checks(), recovery_ms, loss };
        let line = match report.ok {
            true => LogLine::info(Part::Store, format!("Drill {scenario} passed")).field("recoveryMs", recovery_ms),
            false => LogLine::error(Part::Store, format!("Drill {scenario} failed")),
        };
        self.telemetry.log(line.field("by", who(cx)).request(Some(cx.request_id.clone())));
        Ok(report)
    }

    /// A copy of the live store of this moment, as a kill would leave it.
    async fn leave_work(&self, ground: &Path, lines: &mut Lines, progress: &Progress) -> Result<Recovered, Refusal> {
        let (source, target) = (self.store.path().to_owned(), ground.join(store::FILE));
        let (back_to, told) = (self.now(), progress.clone());
        let copy = blocking(move || {
            ensure_room(&source, &target, 1)?;
            let failed = |error| unwritten_store(&target, &error);
            snapshot::copy(&source, &target, |done, all| told.at("copy", done, all)).map_err(failed)?;
            snapshot::rows(&store::open_reader(&target).map_err(failed)?).map_err(failed)
        });
        let rows = self.while_copying(copy).await?;
        let total: u64 = rows.values().sum();
        lines.add("failure", true, format!("the service ended, its store stays with {total} rows"));
        Ok(Recovered { rows, since: Instant::now(), back_to })
    }

    /// No store, or a damaged one, and a backup in its place. `None` when that cannot be; why is in the lines.
    async fn lose_store(
        &self,
        scenario: DrillScenario,
        kept: &Kept,
        ground: &Path,
        lines: &mut Lines,
        progress: &Progress,
    ) -> Result<Option<Recovered>, Refusal> {
        let (rows, back_to) = (kept.manifest.rows.clone(), kept.manifest.created_at);
        let (kept, data_dir, now, told) = (kept.clone(), ground.to_owned(), self.now(), progress.clone());
        let played = blocking(move || {
            let mut lines = Lines::new();
            let since = play(&kept, scenario, &data_dir, now, &mut lines, &told)?;
            Ok((lines, since))
        });
        let (played, since) = played.await?;
        lines.append(played);
        Ok(since.map(|since| Recovered { rows, since, back_to }))
    }

    /// Opens a second service and has it prove itself.
    async fn open_second(&self, data_dir: &Path, expected: &BTreeMap<String, u64>, lines: &mut Lines) {
        let (dir, clock, environment) = (data_dir.to_owned(), self.clock.clone(), self.backups.environment.clone());
        let opened = tokio::task::spawn_blocking(move || {
            NativeBackend::open(NativeOptions {
                config: Arc::new(ConfigRegistry::open(&dir, BTreeMap::new(), clock.clone())?),
                telemetry: Telemetry::open(&dir, clock.clone())?,
                data_dir: dir,
                clock,
                endpoints: Endpoints::default(),
                environment,
            })
        });
        let second = match opened.await {
            Ok(Ok(second)) => second,
            Ok(Err(error)) => return lines.add("second service", false, format!("{error:#}")),
            Err(error) => return lines.add("second service", false, error.to_string()),
        };
        let waiting = second.runtime.core().queue.len();
        lines.add("second service", true, format!("open, would resume; {waiting} waiting"));
        for (part, line) in [(Component::Database, "write and read"), (Component::Queue, "memory and store")] {
            let check = second.runtime.check_part(part).await;
            let found = check.ok().and_then(|check| check.checks.into_iter().find(|l| l.name == line));
            match found {
                Some(CheckLine { ok, detail, .. }) => lines.add(line, ok, detail),
                None => lines.add(line, false, "it gave no answer"),
            }
        }
        let rows = second.runtime.store.read(snapshot::rows).await;
        lines.add_result("counts", rows.map(|rows| compare(expected, &rows)));
        second.shutdown(Duration::ZERO).await;
    }

    /// What has happened since the moment that came back. Without a backup, that is the moment of the failure.
    async fn would_lose(&self, kept: Option<Kept>, back_to: Time, lines: &mut Lines) -> Result<DataLoss, Refusal> {
        let Some(kept) = kept else {
            lines.add("loss", true, "nothing that was accepted");
            return Ok(DataLoss { back_to, ..DataLoss::default() });
        };
        let (store, now) = (self.store.clone(), self.now());
        let compared = blocking(move || {
            let look = |live: &Path| restore::differences(live, &kept, RestoreScope::Everything);
            store.readers().beside(look).map_err(Refusal::from)
        });
        let effects = compared.await?;
        let loss = DataLoss {
            back_to,
            window_ms: u64::try_from(now.since(back_to).as_millis()).unwrap_or(u64::MAX),
            waiting: effects.waiting_gone,
            ended: effects.ended_gone,
            workflows: effects.workflows_gone + effects.workflows_kept,
        };
        let DataLoss { waiting, ended, workflows, .. } = loss;
        let words = format!("accepted since: {waiting} waiting and {ended} ended actions, {workflows} workflows");
        lines.add("loss", true, words);
        Ok(loss)
    }
}

/// The failure itself, and the backup put in the store's place. Gives when the failure was known, if it ended well.
fn play(
    kept: &Kept,
    scenario: DrillScenario,
    data_dir: &Path,
    now: Time,
    lines: &mut Lines,
    progress: &Progress,
) -> Result<Option<Instant>, Refusal> {
    let (source, path) = (kept.path.join(store::FILE), data_dir.join(store::FILE));
    ensure_room(&source, data_dir, 2)?;
    lines.add("backup", true, format!("{}, schema {}", kept.manifest.id, kept.manifest.schema_version));
    let noticed = match scenario {
        DrillScenario::DatabaseCorruption => {
            let broken = copy_file(&source, &path).and_then(|_| tear(&path));
            broken.map_err(|error| unwritten_io(&path, &error))?;
            rescue::damage(&path).map_err(|error| unwritten_store(&path, &error))?
        }
        _ => rescue::missing(&path).map(str::to_owned),
    };
    let Some(how) = noticed else {
        lines.add("failure", false, "the store is damaged, and nothing notices");
        return Ok(None);
    };
    lines.add("failure", true, format!("noticed: {}", how.lines().next().unwrap_or_default()));
    let since = Instant::now();
    let scratch = data_dir.join("restored");
    std::fs::create_dir(&scratch).map_err(|error| unwritten_io(&scratch, &error))?;
    let looked = verify::look(kept, &scratch, progress)?;
    lines.append(looked.lines);
    let Some(next) = looked.store else { return Ok(None) };
    let installed = rescue::install(&next, kept, data_dir, now);
    let words = |done: rescue::Installed| {
        (true, format!("done; items to be looked for before they are sent: {}", done.looked_for))
    };
    lines.add_result("put in place", installed.map(words));
    Ok(lines.all_ok().then_some(since))
}

/// Damages every other page of a store.
fn tear(path: &Path) -> std::io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let pages = file.metadata()?.len() / PAGE;
    (1..pages).step_by(2).try_for_each(|page| file.write_all_at(&[0x5a; 16], page * PAGE))
}

fn compare(expected: &BTreeMap<String, u64>, found: &BTreeMap<String, u64>) -> (bool, String) {
    let tables = || LASTING.into_iter().filter(|table| expected.contains_key(*table));
    let mut differences = tables().filter(|table| expected.get(*table) != found.get(*table));
    match differences.next() {
        None => {
            let counts: Vec<String> = tables().map(|table| format!("{} {table}", expected[table])).collect();
            (true, counts.join(", "))
        }
        Some(table) => {
            let there = found.get(table).copied().unwrap_or(0);
            (false, format!("{table}: {there} rows, there have to be {}", expected[table]))
        }
    }
}

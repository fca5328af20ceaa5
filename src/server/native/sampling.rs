//! What is looked at every few seconds, so that trends can be told later.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::runtime::Runtime;
use crate::server::host;
use crate::wire::Measure;

/// Between two looks.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_secs(10);

impl Runtime {
    /// Looks once. The queue and the workers are in memory; disk and memory are asked where blocking is fine.
    pub(super) fn sample(&self) {
        let (depth, busy) = {
            let core = self.core();
            (core.queue.len(), core.utilization())
        };
        self.telemetry.measured(Measure::QueueDepth, depth as f64);
        self.telemetry.measured(Measure::WorkersBusy, busy);
        let (telemetry, folder) = (Arc::clone(&self.telemetry), self.data_dir.clone());
        tokio::task::spawn_blocking(move || {
            let host = host::status(&folder);
            let seen = [
                (Measure::DiskUsed, host.disk_used),
                (Measure::MemoryUsed, host.memory_used),
                (Measure::ServiceBytes, host.process_rss_bytes.map(|bytes| bytes as f64)),
                (Measure::StoreBytes, Some(folder_bytes(&folder) as f64)),
            ];
            for (measure, value) in seen {
                if let Some(value) = value {
                    telemetry.measured(measure, value);
                }
            }
        });
    }
}

/// Size of the databases with their logs: what grows with the work. Log files rotate and backups have their own bound.
fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let files = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().contains(".db"));
    files.filter_map(|entry| entry.metadata().ok()).filter(|file| file.is_file()).map(|file| file.len()).sum()
}

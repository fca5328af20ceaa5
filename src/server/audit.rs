//! The audit log: every change that was asked for, by whom, why, and what became of it, refused ones included.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::journal::Journal;
use crate::wire::{AuditLog, AuditRecord, Time};

/// The log's file in the data directory.
const FILE: &str = "audit.jsonl";

/// The audit log of a service.
#[derive(Debug)]
pub struct Audit {
    journal: Journal,
}

impl Audit {
    /// Opens the log in the data directory.
    pub fn open(data_dir: &Path) -> anyhow::Result<Self> {
        Ok(Audit { journal: Journal::open(&data_dir.join(FILE))? })
    }

    /// Writes one record; returns when it is durable.
    pub async fn write(&self, record: &AuditRecord) -> io::Result<()> {
        self.journal.append(record).await
    }

    /// The newest records between two moments, newest first. Lines that cannot be read (torn by a crash) are passed over.
    pub async fn read(&self, since: Option<Time>, until: Option<Time>, limit: usize) -> io::Result<AuditLog> {
        let path = self.journal.path().to_owned();
        tokio::task::spawn_blocking(move || newest(&path, since, until, limit)).await.map_err(io::Error::other)?
    }
}

/// The same of a data folder whose service does not answer.
pub fn left_in(data_dir: &Path, since: Option<Time>, until: Option<Time>, limit: usize) -> io::Result<AuditLog> {
    newest(&data_dir.join(FILE), since, until, limit)
}

fn newest(path: &Path, since: Option<Time>, until: Option<Time>, limit: usize) -> io::Result<AuditLog> {
    let mut newest = VecDeque::with_capacity(limit.min(1024));
    for line in BufReader::new(std::fs::File::open(path)?).lines() {
        let Ok(record) = serde_json::from_str::<AuditRecord>(&line?) else { continue };
        if since.is_some_and(|t| record.at < t) || until.is_some_and(|t| record.at >= t) {
            continue;
        }
        if newest.len() == limit {
            newest.pop_front();
        }
        newest.push_back(record);
    }
    Ok(AuditLog { records: newest.into_iter().rev().collect() })
}

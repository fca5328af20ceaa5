//! The orchestrator's host: disk, memory, the service's own size. What cannot be read is absent, never guessed.

use std::fs;
use std::path::Path;

use crate::wire::HostStatus;

/// The host now. `data_dir` says which disk matters.
pub fn status(data_dir: &Path) -> HostStatus {
    let disk =
        rustix::fs::statvfs(data_dir).ok().and_then(|s| Disk::new(s.f_blocks, s.f_bfree, s.f_bavail, s.f_frsize));
    HostStatus {
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        disk_used: disk.map(|d| d.used),
        disk_free_bytes: disk.map(|d| d.free_bytes),
        memory_used: fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory_used(&text)),
        process_rss_bytes: fs::read_to_string("/proc/self/status").ok().and_then(|text| kib(&text, "VmRSS")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Disk {
    used: f64,
    free_bytes: u64,
}

impl Disk {
    /// As `df` counts: blocks kept for root are neither used nor free.
    fn new(blocks: u64, free: u64, available: u64, block_size: u64) -> Option<Disk> {
        let used = blocks.checked_sub(free)?;
        let usable = used.checked_add(available).filter(|usable| *usable > 0)?;
        Some(Disk { used: used as f64 / usable as f64, free_bytes: available.saturating_mul(block_size) })
    }
}

/// What programs cannot get, over all there is; caches that give way count as free.
fn memory_used(meminfo: &str) -> Option<f64> {
    let total = kib(meminfo, "MemTotal").filter(|total| *total > 0)?;
    let available = kib(meminfo, "MemAvailable")?;
    Some(1.0 - available.min(total) as f64 / total as f64)
}

/// The bytes of a `Name:   123 kB` line.
fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let number: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_is_counted_as_df_does() {
        let disk = Disk::new(1000, 300, 200, 4096).unwrap();
        assert_eq!(disk.used, 700.0 / 900.0);
        assert_eq!(disk.free_bytes, 200 * 4096);
        assert_eq!(Disk::new(0, 0, 0, 4096), None, "a pseudo file system has no use to speak of");
    }

    #[test]
    fn memory_needs_both_lines() {
        let text = "MemTotal:       16000 kB\nMemFree:          500 kB\nMemAvailable:    4000 kB\n";
        assert_eq!(memory_used(text), Some(0.75));
        assert_eq!(memory_used("MemTotal: 16000 kB\n"), None);
        assert_eq!(memory_used("MemTotal: many kB\nMemAvailable: 1 kB\n"), None);
        assert_eq!(kib("VmRSS:\t   2048 kB\n", "VmRSS"), Some(2048 * 1024));
    }

    #[test]
    fn a_folder_that_does_not_exist_has_no_disk() {
        let status = status(Path::new("/no/such/folder"));
        assert_eq!((status.disk_used, status.disk_free_bytes), (None, None));
        assert!(!status.hostname.is_empty());
    }
}

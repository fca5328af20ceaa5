//! The endpoints that only read.

use std::time::Duration;

use bytes::BytesMut;

use crate::error::{Fault, Kind};
use crate::http::{HeaderValue, Incoming};
use crate::wire::*;

use super::Orchestrator;

fn log_path(path: &str, log: LogName, filter: &LineFilter, limit: Option<u64>) -> String {
    query(
        path,
        &[
            ("log", Some(log.to_string())),
            ("limit", word(limit)),
            ("since", word(filter.since)),
            ("until", word(filter.until)),
            ("platform", word(filter.platform)),
            ("grep", filter.grep.clone()),
            ("filter", (!filter.filters.is_empty()).then(|| filter.filters.join("\n"))),
        ],
    )
}

/// A log as it comes in.
pub struct LogRecords<'o> {
    orchestrator: &'o Orchestrator,
    incoming: Incoming,
    buffer: BytesMut,
}

impl LogRecords<'_> {
    /// Longest line that is taken in, in bytes.
    const LONGEST: usize = 17 << 20;

    /// The next record. After the end there is nothing more to ask for.
    pub async fn next(&mut self) -> anyhow::Result<LogRecord> {
        let mut looked = 0;
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer[looked..]) {
                let line = self.buffer.split_to(looked + end + 1);
                return serde_json::from_slice(&line).map_err(|error| broken(error.to_string()).into());
            }
            looked = self.buffer.len();
            if looked > Self::LONGEST {
                return Err(broken("a line is longer than 16 MiB".into()).into());
            }
            match self.incoming.piece().await {
                Ok(Some(piece)) => self.buffer.extend_from_slice(&piece),
                Ok(None) => return Err(broken("it broke off before its end".into()).into()),
                Err(failure) => return Err(self.orchestrator.broke_off(&failure).into()),
            }
        }
    }
}

fn broken(why: String) -> Fault {
    Fault::new(Kind::Failed, "the log cannot be read to its end").because(why).hint("repeat the command")
}

/// Builds a query string from the pairs that have a value.
pub(super) fn query(path: &str, pairs: &[(&str, Option<String>)]) -> String {
    let mut url = form_urlencoded(pairs);
    if !url.is_empty() {
        url.insert(0, '?');
    }
    format!("{path}{url}")
}

fn form_urlencoded(pairs: &[(&str, Option<String>)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        let Some(value) = value else { continue };
        if !out.is_empty() {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(&segment(value));
    }
    out
}

/// One path segment or query value, percent-encoded.
pub(super) fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

pub(super) fn word<T: ToString>(value: Option<T>) -> Option<String> {
    value.map(|v| v.to_string())
}

fn millis(window: Duration) -> Option<String> {
    Some(window.as_millis().to_string())
}

impl Orchestrator {
    /// Versions, capabilities, environment word, role of our credential.
    pub async fn info(&self) -> anyhow::Result<ServiceInfo> {
        self.get("/admin/v1").await
    }

    /// The runbook's queue counts.
    pub async fn queue_status(&self) -> anyhow::Result<QueueStatus> {
        self.get("/queue").await
    }

    /// Items of a view.
    pub async fn queue_items(&self, filter: &QueueFilter) -> anyhow::Result<QueueItems> {
        let path = query(
            "/admin/v1/queue/items",
            &[
                ("view", Some(filter.view.to_string())),
                ("platform", word(filter.platform)),
                ("since", word(filter.since)),
                ("olderThan", word(filter.older_than)),
                ("limit", word(filter.limit)),
            ],
        );
        self.get(&path).await
    }

    /// Waiting actions as they were submitted, at most `limit`.
    pub async fn queue_requests(&self, limit: u64) -> anyhow::Result<WaitingRequests> {
        self.get(&format!("/admin/v1/queue/requests?limit={limit}")).await
    }

    /// Lines of a log.
    pub async fn log_lines(&self, log: LogName, filter: &LineFilter) -> anyhow::Result<LogPage> {
        self.get(&log_path("/admin/v1/logs/lines", log, filter, Some(filter.limit))).await
    }

    /// All lines of a log that fit, oldest first, as they come; `filter.limit` does not count.
    pub async fn log_stream(&self, log: LogName, filter: &LineFilter) -> anyhow::Result<LogRecords<'_>> {
        let incoming = self.open(&log_path("/admin/v1/logs/stream", log, filter, None)).await?;
        Ok(LogRecords { orchestrator: self, incoming, buffer: BytesMut::new() })
    }

    /// One item.
    pub async fn queue_item(&self, id: &str) -> anyhow::Result<QueueItem> {
        self.get(&format!("/admin/v1/queue/items/{}", segment(id))).await
    }

    /// One action in whatever state.
    pub async fn action(&self, id: &str) -> anyhow::Result<ActionRecord> {
        self.get(&format!("/admin/v1/actions/{}", segment(id))).await
    }

    /// Actions, newest first.
    pub async fn recent_actions(&self, filter: &ActionFilter) -> anyhow::Result<RecentActions> {
        let path = query(
            "/api/actions/recent",
            &[
                ("limit", Some(filter.limit.to_string())),
                ("offset", Some(filter.offset.to_string())),
                ("platform", word(filter.platform)),
                ("status", word(filter.status)),
                ("startDate", word(filter.start)),
                ("endDate", word(filter.end)),
            ],
        );
        self.get(&path).await
    }

    /// Pauses in force.
    pub async fn pauses(&self) -> anyhow::Result<Vec<Pause>> {
        self.get("/admin/v1/pauses").await
    }

    /// All circuits in the runbook's shape.
    pub async fn circuit_statuses(&self) -> anyhow::Result<Vec<CircuitStatus>> {
        self.get("/circuit-breakers").await
    }

    /// All circuits, with versions and settings.
    pub async fn circuits(&self) -> anyhow::Result<Vec<Circuit>> {
        self.get("/admin/v1/circuits").await
    }

    /// One circuit.
    pub async fn circuit(&self, platform: Platform) -> anyhow::Result<Circuit> {
        let all = self.circuits().await?;
        all.into_iter()
            .find(|c| c.status.platform == platform)
            .ok_or_else(|| Fault::new(Kind::NotFound, format!("the orchestrator has no circuit for {platform}")).into())
    }

    /// Circuit transitions, newest first.
    pub async fn circuit_history(
        &self,
        platform: Option<Platform>,
        since: Option<Time>,
        limit: u64,
    ) -> anyhow::Result<Vec<CircuitTransition>> {
        let path = query(
            "/admin/v1/circuits/history",
            &[("platform", word(platform)), ("since", word(since)), ("limit", Some(limit.to_string()))],
        );
        self.get(&path).await
    }

    /// All rate limits.
    pub async fn rate_limits(&self) -> anyhow::Result<Vec<RateLimitStatus>> {
        self.get("/api/rate-limits").await
    }

    /// Health of the whole.
    pub async fn health(&self) -> anyhow::Result<HealthReport> {
        self.get("/health").await
    }

    /// One screen about everything.
    pub async fn system(&self) -> anyhow::Result<SystemStatus> {
        self.get("/admin/v1/system").await
    }

    /// The orchestrator's host.
    pub async fn host(&self) -> anyhow::Result<HostStatus> {
        self.get("/admin/v1/host").await
    }

    /// All executors.
    pub async fn executors(&self) -> anyhow::Result<Vec<ExecutorStatus>> {
        self.get("/admin/v1/executors").await
    }

    /// The parts.
    pub async fn components(&self) -> anyhow::Result<Vec<ComponentStatus>> {
        self.get("/admin/v1/components").await
    }

    /// A close look at one part.
    pub async fn check_component(&self, component: Component) -> anyhow::Result<ComponentCheck> {
        self.get(&format!("/admin/v1/components/{component}/check")).await
    }

    /// Asks the service to ask a platform who it is.
    pub async fn auth(&self, platform: Platform) -> anyhow::Result<AuthStatus> {
        self.get(&format!("/admin/v1/platforms/{platform}/auth")).await
    }

    /// The documented metrics; window `1h`, `6h`, `24h` or `7d`.
    pub async fn action_metrics(&self, window: &str, platform: Option<Platform>) -> anyhow::Result<ActionMetrics> {
        let path =
            query("/api/actions/metrics", &[("timeWindow", Some(window.to_owned())), ("platform", word(platform))]);
        self.get(&path).await
    }

    /// The metrics as a scraper reads them.
    pub async fn open_metrics(&self) -> anyhow::Result<String> {
        self.text("/metrics", HeaderValue::from_static("application/openmetrics-text; version=1.0.0")).await
    }

    /// A window beside the one before it.
    pub async fn performance(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<Performance> {
        let path = query("/admin/v1/metrics/performance", &[("window", millis(window)), ("platform", word(platform))]);
        self.get(&path).await
    }

    /// Requests really sent.
    pub async fn requests(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<RequestMetrics> {
        let path = query("/admin/v1/metrics/requests", &[("window", millis(window)), ("platform", word(platform))]);
        self.get(&path).await
    }

    /// Actions by platform and type.
    pub async fn breakdown(&self, window: Duration, platform: Option<Platform>) -> anyhow::Result<ActionBreakdown> {
        let path = query("/admin/v1/metrics/actions", &[("window", millis(window)), ("platform", word(platform))]);
        self.get(&path).await
    }

    /// What was recorded between two moments.
    pub async fn history(&self, from: Time, to: Time, bucket: Bucket) -> anyhow::Result<MetricHistory> {
        let pairs = [("from", word(Some(from))), ("to", word(Some(to))), ("bucket", word(Some(bucket)))];
        self.get(&query("/admin/v1/metrics/history", &pairs)).await
    }

    /// Changes that were asked for, newest first, refused ones included.
    pub async fn audit(&self, since: Option<Time>, until: Option<Time>, limit: u64) -> anyhow::Result<AuditLog> {
        let pairs = [("since", word(since)), ("until", word(until)), ("limit", Some(limit.to_string()))];
        self.get(&query("/admin/v1/audit", &pairs)).await
    }

    /// Errors, newest first.
    pub async fn errors(&self, filter: &ErrorFilter) -> anyhow::Result<ErrorLog> {
        let path = query(
            "/admin/v1/logs/errors",
            &[
                ("limit", Some(filter.limit.to_string())),
                ("platform", word(filter.platform)),
                ("component", filter.component.clone()),
                ("since", word(filter.since)),
            ],
        );
        self.get(&path).await
    }

    /// All settings of the service.
    pub async fn config(&self) -> anyhow::Result<ConfigList> {
        self.get("/admin/v1/config").await
    }

    /// One setting of the service.
    pub async fn config_entry(&self, name: &str) -> anyhow::Result<ConfigEntry> {
        self.get(&format!("/admin/v1/config/{}", segment(name))).await
    }

    /// What is wrong with the settings.
    pub async fn config_report(&self) -> anyhow::Result<ConfigReport> {
        self.get("/admin/v1/config-report").await
    }

    /// Tokens without their values.
    pub async fn tokens(&self) -> anyhow::Result<TokenList> {
        self.get("/admin/v1/tokens").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_leave_out_what_is_absent_and_encode_the_rest() {
        let path = query("/x", &[("a", None), ("b", Some("1 h&c".into())), ("d", Some("é".into()))]);
        assert_eq!(path, "/x?b=1%20h%26c&d=%C3%A9");
        assert_eq!(query("/x", &[("a", None)]), "/x");
    }
}

//! What was looked at, held against the table.

use std::collections::BTreeMap;

use super::rules::{Rule, rule};
use crate::analysis::duplicates::Duplicates;
use crate::analysis::keys::KeyEnd;
use crate::analysis::maintenance::{DISK_FAILURE, Look, MEMORY_WARNING};
use crate::analysis::performance::{GROWTH_LIMIT, P95_LIMIT, QUEUE_LIMIT};
use crate::analysis::suspicious::Finding;
use crate::analysis::{Verdict, percent, span};
use crate::wire::{
    ActionBreakdown, CircuitState, CircuitStatus, Component, ComponentState, ComponentStatus, ErrorCode, HealthReport,
    HostStatus, MetricHistory, Occurrence, OverallHealth, Performance, PerformanceWindow, Platform, QueueStatus, Time,
};

/// A key in use for longer than this is old (the runbook's 90 days).
const KEY_AGE_DAYS: u64 = 90;
/// A limit used beyond this part is a warning.
const LIMIT_WARNING: f64 = 0.80;
/// Of the rollbacks that came to rest, at least this part has undone everything.
const ROLLBACK_TARGET: f64 = 0.95;
/// Rules over the security log that mean somebody came, or tried to come, where they must not.
const INTRUSION: [&str; 3] = ["refused-credentials", "foreign-host", "break-glass"];

/// What was seen of one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Within its threshold.
    Within(String),
    /// Beyond it.
    Beyond(String),
    /// Not known.
    Unknown {
        /// Why.
        why: String,
        /// Whether somebody tried to look and could not; otherwise there was nothing to judge.
        blind: bool,
    },
}

impl Sample {
    /// Nobody could look.
    pub fn blind(why: impl Into<String>) -> Self {
        Sample::Unknown { why: why.into(), blind: true }
    }

    /// There was nothing to judge.
    pub fn quiet(why: impl Into<String>) -> Self {
        Sample::Unknown { why: why.into(), blind: false }
    }

    /// What was seen, for people.
    pub fn text(&self) -> &str {
        match self {
            Sample::Within(text) | Sample::Beyond(text) | Sample::Unknown { why: text, .. } => text,
        }
    }

    fn of(is_beyond: bool, text: impl Into<String>) -> Self {
        if is_beyond { Sample::Beyond(text.into()) } else { Sample::Within(text.into()) }
    }
}

/// What was seen of one alert about one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The alert.
    pub rule: &'static Rule,
    /// The platform it is about; empty when it is about the whole.
    pub subject: String,
    /// What was seen.
    pub sample: Sample,
}

/// How much of a limit is used.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitUse {
    /// Whose.
    pub platform: Platform,
    /// Requests of the busiest of the last minutes over what the limit lets through in one, where there is a limit.
    pub used: Option<f64>,
    /// Answers 429 in the last minutes.
    pub refused: u64,
}

/// What is known of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyReading {
    /// Its end; `None` when there is no key here.
    pub end: Option<KeyEnd>,
    /// Whose.
    pub platform: Platform,
    /// When this machine first saw it.
    pub first_seen: Option<Time>,
    /// It was refused or near its end at the look before, and is not any more.
    pub is_better: bool,
}

/// Everything that was looked at.
pub struct Readings {
    /// Now.
    pub now: Time,
    /// The health check.
    pub health: Look<HealthReport>,
    /// The last minutes.
    pub recent: Look<PerformanceWindow>,
    /// The last week beside the one before it.
    pub week: Look<Performance>,
    /// The queue.
    pub queue: Look<QueueStatus>,
    /// All circuits.
    pub circuits: Look<Vec<CircuitStatus>>,
    /// The orchestrator's host.
    pub host: Look<HostStatus>,
    /// The service's parts.
    pub parts: Look<Vec<ComponentStatus>>,
    /// Actions of the last minutes by platform.
    pub actions: Look<ActionBreakdown>,
    /// Use of the limits.
    pub limits: Look<Vec<LimitUse>>,
    /// What happened in the last hour.
    pub hour: Look<MetricHistory>,
    /// What was done twice in the last hour.
    pub repeats: Look<Duplicates>,
    /// What the rules find in the security log of the last hour.
    pub suspicious: Look<Vec<Finding>>,
    /// The platforms' keys.
    pub keys: Look<Vec<KeyReading>>,
}

/// Holds what was looked at against the whole table.
pub fn judge(readings: &Readings) -> Vec<Observed> {
    let mut seen = Seen(Vec::new());
    seen.service(readings);
    seen.rates(&readings.recent);
    seen.queue(&readings.queue);
    seen.circuits(&readings.circuits);
    seen.host(&readings.host);
    seen.mishaps(readings);
    seen.platforms(readings);
    seen.keys(readings);
    seen.week(&readings.week);
    seen.0
}

struct Seen(Vec<Observed>);

impl Seen {
    fn add(&mut self, name: &str, subject: &str, sample: Sample) {
        if let Some(rule) = rule(name) {
            self.0.push(Observed { rule, subject: subject.to_owned(), sample });
        }
    }

    /// Judges what was seen, or says why nobody could.
    fn look<T>(&mut self, name: &str, look: &Look<T>, sample: impl FnOnce(&T) -> Sample) {
        let sample = match look {
            Ok(seen) => sample(seen),
            Err(why) => Sample::blind(why),
        };
        self.add(name, "", sample);
    }

    fn service(&mut self, readings: &Readings) {
        // Not to be reached is what this alert is about.
        let sample = match &readings.health {
            Ok(report) => Sample::of(report.overall == OverallHealth::Critical, report.overall.as_str().to_uppercase()),
            Err(why) => Sample::Beyond(why.clone()),
        };
        self.add("system-down", "", sample);
        self.look("database-down", &readings.parts, |parts| {
            match parts.iter().find(|part| part.component == Component::Database) {
                Some(part) => match part.state {
                    ComponentState::Up => Sample::Within(part.detail.clone()),
                    ComponentState::Down => Sample::Beyond(part.detail.clone()),
                    ComponentState::Restarting => Sample::quiet("it is being restarted"),
                },
                None => Sample::blind("the orchestrator names no database"),
            }
        });
    }

    fn rates(&mut self, recent: &Look<PerformanceWindow>) {
        let mut rate = |name: &str, what: &str, part: fn(&PerformanceWindow) -> u64, limit: f64, above: bool| {
            self.look(name, recent, |w| {
                let window = span(w.to.since(w.from));
                if w.total_actions == 0 {
                    return Sample::quiet(format!("no action ended in {window}"));
                }
                let (count, share) = (part(w), part(w) as f64 / w.total_actions as f64);
                let beyond = if above { share > limit } else { share < limit };
                let shown = percent(share, limit);
                Sample::of(beyond, format!("{what} {shown}, {count} of {} actions in {window}", w.total_actions))
            });
        };
        rate("all-platforms-failing", "success", |w| w.succeeded, 0.50, false);
        rate("success-rate-low", "success", |w| w.succeeded, 0.90, false);
        rate("retry-rate-high", "retried", |w| w.retried, 0.30, true);
        rate("fallback-usage-high", "by fallback", |w| w.fell_back, 0.20, true);
        self.look("high-latency", recent, |w| match w.p95 {
            Some(ms) => Sample::of(ms > P95_LIMIT, format!("P95 {}", millis(ms))),
            None => Sample::quiet(format!("no call in {}", span(w.to.since(w.from)))),
        });
    }

    fn queue(&mut self, queue: &Look<QueueStatus>) {
        for (name, limit) in [("queue-50", 50), ("queue-100", 100), ("queue-200", 200), ("queue-overload", 101)] {
            self.look(name, queue, |q| Sample::of(q.total_queued >= limit, format!("{} waiting", q.total_queued)));
        }
    }

    fn circuits(&mut self, circuits: &Look<Vec<CircuitStatus>>) {
        let all = match circuits {
            Ok(all) if !all.is_empty() => all,
            Ok(_) => return self.add("circuit-open", "", Sample::blind("the orchestrator names no circuit")),
            Err(why) => return self.add("circuit-open", "", Sample::blind(why)),
        };
        for circuit in all {
            let text = format!("{} after {} failures", circuit.state, circuit.failure_count);
            let sample = match circuit.state {
                CircuitState::Closed => Sample::Within("CLOSED".into()),
                CircuitState::Open | CircuitState::HalfOpen => Sample::Beyond(text),
            };
            self.add("circuit-open", circuit.platform.as_str(), sample);
        }
    }

    fn host(&mut self, host: &Look<HostStatus>) {
        let mut fill = |name: &str, used: fn(&HostStatus) -> Option<f64>, limit: f64| {
            self.look(name, host, |host| match used(host) {
                Some(used) => Sample::of(used > limit, format!("{} used on {}", percent(used, limit), host.hostname)),
                None => Sample::blind(format!("{} cannot tell", host.hostname)),
            });
        };
        fill("disk-space", |host| host.disk_used, DISK_FAILURE);
        fill("memory-high", |host| host.memory_used, MEMORY_WARNING);
    }

    fn mishaps(&mut self, readings: &Readings) {
        self.look("security-breach", &readings.suspicious, |found| {
            let found: Vec<_> = found.iter().filter(|f| INTRUSION.contains(&f.rule.as_str())).collect();
            match found.first() {
                Some(worst) => Sample::Beyond(format!("{}: {} times by {}", worst.rule, worst.count, worst.actor)),
                None => Sample::Within("nothing suspicious in 1h".into()),
            }
        });
        let collisions = readings.hour.as_ref().map(|hour| happened(hour, Occurrence::KeyCollision));
        let sample = match (&readings.repeats, collisions) {
            (Err(why), _) => Sample::blind(why),
            (_, Err(why)) => Sample::blind(why),
            (Ok(repeats), Ok(collisions)) => {
                let twice = repeats.duplicates.len() as u64;
                let text = format!("{twice} done twice, {collisions} key collisions");
                Sample::of(twice + collisions > 0, text)
            }
        };
        self.add("duplicates", "", sample);
        self.look("rollback-rate-low", &readings.hour, |hour| {
            let (done, failed) = (happened(hour, Occurrence::RolledBack), happened(hour, Occurrence::RollbackFailed));
            if done + failed == 0 {
                return Sample::Within("no rollback came to rest in 1h".into());
            }
            let share = done as f64 / (done + failed) as f64;
            Sample::of(share < ROLLBACK_TARGET, format!("{done} of {} rollbacks undid everything", done + failed))
        });
    }

    fn platforms(&mut self, readings: &Readings) {
        match &readings.limits {
            Err(why) => self.add("rate-limit", "", Sample::blind(why)),
            Ok(limits) => {
                for limit in limits {
                    let used = limit.used.unwrap_or(0.0);
                    let text = format!("{} of the limit, {} answers 429", percent(used, LIMIT_WARNING), limit.refused);
                    let beyond = limit.refused > 0 || used >= LIMIT_WARNING;
                    self.add("rate-limit", limit.platform.as_str(), Sample::of(beyond, text));
                }
            }
        }
        match &readings.actions {
            Err(why) => self.add("auth-failing", "", Sample::blind(why)),
            Ok(actions) => {
                let mut refused: BTreeMap<Platform, (u64, u64)> = BTreeMap::new();
                for row in &actions.rows {
                    let of = refused.entry(row.platform).or_default();
                    of.0 += row.by_error.get(&ErrorCode::AuthError).copied().unwrap_or(0);
                    of.1 += row.succeeded;
                }
                for &platform in Platform::ALL {
                    let sample = match refused.get(&platform).copied().unwrap_or_default() {
                        (0, 0) => Sample::quiet("no action ended"),
                        (0, _) => Sample::Within("no action refused for its key".into()),
                        (count, _) => Sample::Beyond(format!("{count} actions refused for their key")),
                    };
                    self.add("auth-failing", platform.as_str(), sample);
                }
            }
        }
    }

    fn keys(&mut self, readings: &Readings) {
        let keys = match &readings.keys {
            Ok(keys) => keys,
            Err(why) => {
                self.add("key-expiring", "", Sample::blind(why));
                return self.add("key-old", "", Sample::blind(why));
            }
        };
        for key in keys {
            let platform = key.platform.as_str();
            let Some(end) = &key.end else {
                self.add("key-expiring", platform, Sample::quiet("no key here"));
                self.add("key-old", platform, Sample::quiet("no key here"));
                continue;
            };
            let sample = match end.state {
                Verdict::Ok => Sample::Within(end.detail.clone()),
                Verdict::Warn | Verdict::Fail => Sample::Beyond(end.detail.clone()),
                Verdict::Unknown if end.is_untold && key.is_better => Sample::Within("it is accepted".into()),
                Verdict::Unknown if end.is_untold => Sample::quiet(&end.detail),
                Verdict::Unknown => Sample::blind(&end.detail),
            };
            self.add("key-expiring", platform, sample);
            let sample = match key.first_seen {
                Some(at) => {
                    let days = readings.now.since(at).as_secs() / 86_400;
                    Sample::of(days >= KEY_AGE_DAYS, format!("seen here for {days} days"))
                }
                None => Sample::quiet("not seen here before"),
            };
            self.add("key-old", platform, sample);
        }
    }

    fn week(&mut self, week: &Look<Performance>) {
        self.look("week-slower", week, |p| {
            let (now, before) = (p.current.avg_execution_time, p.previous.avg_execution_time.filter(|ms| *ms > 0.0));
            match now.zip(before) {
                Some((now, before)) => {
                    let change = now / before - 1.0;
                    Sample::of(change > GROWTH_LIMIT, format!("{:+.0}% to {}", change * 100.0, millis(now)))
                }
                None => Sample::quiet("nothing to compare with"),
            }
        });
        self.look("week-latency", week, |p| match p.current.p95 {
            Some(ms) => Sample::of(ms > P95_LIMIT, format!("P95 {}", millis(ms))),
            None => Sample::quiet("no call in 7d"),
        });
        self.look("week-waiting", week, |p| match p.current.avg_queue_time {
            Some(ms) => Sample::of(ms > QUEUE_LIMIT, format!("{} in the queue on average", millis(ms))),
            None => Sample::quiet("no action ended in 7d"),
        });
    }
}

fn happened(history: &MetricHistory, what: Occurrence) -> u64 {
    history.occurrences.iter().filter(|point| point.occurrence == what).map(|point| point.count).sum()
}

fn millis(ms: f64) -> String {
    if ms < 1000.0 { format!("{ms:.0}ms") } else { format!("{:.1}s", ms / 1000.0) }
}

//! The event bus: what happens in the service, told to whoever listens inside it.
//!
//! Nothing that must not be lost depends on it; a listener that falls behind is told how much it missed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, oneshot};

use super::store::approvals;
use crate::server::telemetry::{LogLine, Part, Telemetry};
use crate::wire::{
    ApprovalRecord, ApprovalStatus, CircuitState, CircuitTransition, Component, ErrorCode, Occurrence, Pause,
    PauseScope, Time,
};

/// Events a listener may be behind.
const CAPACITY: usize = 1024;
/// How long a round trip may take before the bus counts as down.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// Something that happened.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A circuit moved.
    Circuit(CircuitTransition),
    /// A pause began.
    Paused(Pause),
    /// A pause ended; by whom.
    Resumed(PauseScope, String),
    /// An action waits for a decision: its id, until when.
    ApprovalAsked(String, Time),
    /// An approval was decided, or expired.
    ApprovalDecided(ApprovalOutcome),
    /// A part restarted; what became effective.
    Restarted(Component, Vec<String>),
    /// A round trip to answer.
    Probe(u64),
}

/// How an approval ended.
#[derive(Clone, Debug)]
pub(super) struct ApprovalOutcome {
    action_id: String,
    status: ApprovalStatus,
    by: Option<String>,
    reason: Option<String>,
}

impl ApprovalOutcome {
    /// What a person decided.
    pub(super) fn of(record: &ApprovalRecord) -> Self {
        ApprovalOutcome {
            action_id: record.action_id.clone(),
            status: record.status,
            by: record.decided_by.clone(),
            reason: record.reason.clone(),
        }
    }

    /// Nobody decided in time.
    pub(super) fn expired(action_id: String) -> Self {
        ApprovalOutcome { action_id, status: ApprovalStatus::Expired, by: None, reason: None }
    }
}

type Waiting = Arc<Mutex<Vec<(u64, oneshot::Sender<()>)>>>;

/// The bus.
pub(super) struct Bus {
    sender: Mutex<broadcast::Sender<Event>>,
    missed: Arc<AtomicU64>,
    delivered: Arc<AtomicU64>,
    probes: Waiting,
    next_probe: AtomicU64,
    telemetry: Arc<Telemetry>,
}

impl Bus {
    /// A bus whose listeners start with [`Bus::listen`].
    pub(super) fn new(telemetry: Arc<Telemetry>) -> Self {
        Bus {
            sender: Mutex::new(broadcast::Sender::new(CAPACITY)),
            missed: Arc::default(),
            delivered: Arc::default(),
            probes: Waiting::default(),
            next_probe: AtomicU64::new(1),
            telemetry,
        }
    }

    /// Starts the service's own listener: it writes the log's lines and answers round trips.
    pub(super) fn listen(&self) {
        let mut events = self.sender().subscribe();
        let (missed, delivered) = (Arc::clone(&self.missed), Arc::clone(&self.delivered));
        let (probes, telemetry) = (Arc::clone(&self.probes), Arc::clone(&self.telemetry));
        tokio::spawn(async move {
            loop {
                match events.recv().await {
                    Ok(event) => {
                        delivered.fetch_add(1, Ordering::Relaxed);
                        heard(&event, &probes, &telemetry);
                    }
                    Err(broadcast::error::RecvError::Lagged(n)) => {
                        missed.fetch_add(n, Ordering::Relaxed);
                        telemetry.log(LogLine::warn(Part::Service, format!("the event bus is {n} events behind")));
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                }
            }
        });
    }

    /// Tells everybody.
    pub(super) fn publish(&self, event: Event) {
        // Here, since a listener may fall behind.
        count(&event, &self.telemetry);
        // Without a listener there is nobody to tell.
        let _ = self.sender().send(event);
    }

    /// Ends the old listeners and starts new ones.
    pub(super) fn restart(&self) {
        *self.sender() = broadcast::Sender::new(CAPACITY);
        self.listen();
    }

    /// Listeners, events waiting for the slowest, events missed so far.
    pub(super) fn state(&self) -> (usize, usize, u64) {
        let sender = self.sender();
        (sender.receiver_count(), sender.len(), self.missed.load(Ordering::Relaxed))
    }

    /// Sends an event through the bus and waits until the listener has answered it.
    pub(super) async fn round_trip(&self) -> Result<Duration, String> {
        let started = Instant::now();
        let (done, answer) = oneshot::channel();
        let number = self.next_probe.fetch_add(1, Ordering::Relaxed);
        self.probes.lock().unwrap_or_else(PoisonError::into_inner).push((number, done));
        self.publish(Event::Probe(number));
        match tokio::time::timeout(ROUND_TRIP, answer).await {
            Ok(Ok(())) => Ok(started.elapsed()),
            Ok(Err(_)) => Err("the listener ended".into()),
            Err(_) => {
                self.probes.lock().unwrap_or_else(PoisonError::into_inner).retain(|(n, _)| *n != number);
                Err(format!("no answer within {}s", ROUND_TRIP.as_secs()))
            }
        }
    }

    fn sender(&self) -> std::sync::MutexGuard<'_, broadcast::Sender<Event>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts what the monthly report asks for.
fn count(event: &Event, telemetry: &Telemetry) {
    match event {
        Event::Circuit(moved) if moved.to == CircuitState::Open => {
            telemetry.happened(Occurrence::CircuitOpened, Some(moved.platform));
        }
        Event::ApprovalAsked(..) => telemetry.happened(Occurrence::ApprovalAsked, None),
        Event::ApprovalDecided(outcome) => match outcome.status {
            ApprovalStatus::Approved => telemetry.happened(Occurrence::ApprovalApproved, None),
            ApprovalStatus::Rejected => telemetry.happened(Occurrence::ApprovalRejected, None),
            ApprovalStatus::Expired => telemetry.happened(Occurrence::ApprovalExpired, None),
            _ => {}
        },
        _ => {}
    }
}

fn heard(event: &Event, probes: &Waiting, telemetry: &Telemetry) {
    let line = match event {
        Event::Circuit(moved) => {
            let line = match moved.to {
                CircuitState::Open => {
                    LogLine::error(Part::Circuit, "Circuit breaker is OPEN").code(ErrorCode::CircuitOpen)
                }
                CircuitState::HalfOpen => LogLine::info(Part::Circuit, "Circuit breaker is HALF_OPEN"),
                CircuitState::Closed => LogLine::info(Part::Circuit, "Circuit breaker is CLOSED"),
            };
            line.at(moved.at)
                .platform(moved.platform)
                .field("from", moved.from.as_str())
                .field("to", moved.to.as_str())
                .field("reason", moved.reason.as_str())
                .field("failureCount", moved.failure_count)
        }
        Event::Paused(pause) => LogLine::warn(Part::Queue, format!("Paused ({}) by {}", pause.scope, pause.owner))
            .at(pause.since)
            .field("reason", pause.reason.clone()),
        Event::Resumed(scope, by) => LogLine::info(Part::Queue, format!("Resumed ({scope}) by {by}")),
        Event::ApprovalAsked(action_id, until) => LogLine::info(Part::Security, "Approval requested")
            .action(action_id.clone())
            .field("event", "action:requires_approval")
            .field("approvalId", approvals::id_of(action_id))
            .field("expiresAt", until.to_string()),
        Event::ApprovalDecided(outcome) => {
            let words = format!("Approval {}", outcome.status);
            let line = match outcome.status {
                ApprovalStatus::Approved => LogLine::info(Part::Security, words),
                _ => LogLine::warn(Part::Security, words),
            };
            // `timeout` is what the event's documentation calls an expiry.
            let status = if outcome.status == ApprovalStatus::Expired { "timeout" } else { outcome.status.as_str() };
            line.action(outcome.action_id.clone())
                .field("event", "approval:resolved")
                .field("approvalId", approvals::id_of(&outcome.action_id))
                .field("status", status)
                .field("by", outcome.by.clone())
                .field("reason", outcome.reason.clone())
        }
        Event::Restarted(part, applied) => {
            LogLine::info(Part::Service, format!("Restarted: {part}")).field("applied", applied.join(", "))
        }
        Event::Probe(number) => {
            let mut waiting = probes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = waiting.iter().position(|(n, _)| n == number) {
                let _ = waiting.swap_remove(at).1.send(());
            }
            return;
        }
    };
    telemetry.log(line);
}

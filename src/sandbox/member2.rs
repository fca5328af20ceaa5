//! The log of the reasoning engine, the service that decides what is to be done and hands it to the orchestrator. Here
//! it is the traffic's; the lines have the shape that `logs member2` reads: one JSON object each.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde_json::json;

use crate::wire::{ActionRequest, Time, WorkflowRequest};

/// Size at which the log starts anew, in bytes.
const LOG_MAX: u64 = 4 * 1024 * 1024;

/// The log.
#[derive(Debug)]
pub(super) struct Member2 {
    path: PathBuf,
}

impl Member2 {
    pub(super) fn new(path: PathBuf) -> Self {
        Member2 { path }
    }

    /// Notes actions that are ready to be executed.
    pub(super) fn decided(&self, now: Time, actions: &[ActionRequest]) {
        let mut text = String::new();
        for action in actions {
            let line = json!({
                "timestamp": now,
                "level": "info",
                "service": "member2",
                "event": "action:ready",
                "message": format!("action:ready {} {}", action.platform, action.action_type),
                "correlationId": action.correlation_id,
                "userId": action.user_id,
                "source": action.source,
                "action": {"type": action.action_type, "platform": action.platform, "priority": action.priority},
                "confidence": f64::from(fastrand::u32(70..100)) / 100.0,
            });
            text.push_str(&line.to_string());
            text.push('\n');
        }
        self.append(&text);
    }

    /// Notes a workflow that is ready to be executed.
    pub(super) fn decided_workflow(&self, now: Time, workflow: &WorkflowRequest) {
        let line = json!({
            "timestamp": now,
            "level": "info",
            "service": "member2",
            "event": "workflow:ready",
            "message": format!("workflow:ready {}", workflow.name),
            "workflowId": workflow.id,
            "correlationId": workflow.correlation_id,
            "userId": workflow.user_id,
            "steps": workflow.steps.iter().map(|step| &step.id).collect::<Vec<_>>(),
        });
        self.append(&format!("{line}\n"));
    }

    /// A full disk stops the log, not the traffic.
    fn append(&self, text: &str) {
        let _ = self.try_append(text);
    }

    fn try_append(&self, text: &str) -> std::io::Result<()> {
        if std::fs::metadata(&self.path).is_ok_and(|m| m.len() > LOG_MAX) {
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        file.write_all(text.as_bytes())
    }
}

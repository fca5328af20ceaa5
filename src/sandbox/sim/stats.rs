//! What came in and what came of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::api::{Api, Effect, Operation, Reply};

/// Counts of one API since it started or was reset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApiStats {
    /// Requests that arrived.
    pub requests: u64,
    /// Requests by operation.
    pub operations: BTreeMap<String, u64>,
    /// Answers by status, as sent.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests being worked on now.
    pub in_flight: u64,
    /// Most requests worked on at once.
    pub max_in_flight: u64,
    /// Changes that were really made, whether or not an answer went out.
    pub writes: u64,
    /// Requests refused by a rate limit.
    pub limited: u64,
    /// Requests that a fault hit.
    pub faulted: u64,
    /// Objects made, by the idempotency key found on them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub created_by_marker: BTreeMap<String, u64>,
    /// Objects made, by title, name or text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub created_by_name: BTreeMap<String, u64>,
    /// Changes that were really made to objects that were there, by operation and object: `files.trash 1AbC`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub changed: BTreeMap<String, u64>,
}

impl ApiStats {
    /// Markers that are on more than one object: each is a write that was done twice.
    pub fn doubled(&self) -> Vec<&str> {
        self.created_by_marker.iter().filter(|(_, n)| **n > 1).map(|(marker, _)| marker.as_str()).collect()
    }

    pub(super) fn arrived(&mut self, operation: Operation) {
        self.requests += 1;
        *self.operations.entry(operation.name.to_owned()).or_default() += 1;
        self.in_flight += 1;
        self.max_in_flight = self.max_in_flight.max(self.in_flight);
    }

    pub(super) fn done(&mut self, operation: Operation, object: &str, reply: &Reply) {
        if reply.ok && operation.effect != Effect::Read {
            self.writes += 1;
        }
        if reply.ok && matches!(operation.effect, Effect::Update | Effect::Delete) {
            *self.changed.entry(format!("{} {object}", operation.name)).or_default() += 1;
        }
        for object in &reply.created {
            *self.created_by_name.entry(object.name.clone()).or_default() += 1;
            for marker in &object.markers {
                *self.created_by_marker.entry(marker.clone()).or_default() += 1;
            }
        }
    }
}

/// Counts of all APIs.
pub type Stats = BTreeMap<Api, ApiStats>;

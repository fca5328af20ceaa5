//! What goes wrong on purpose.

use serde::{Deserialize, Serialize};

use super::api::{Api, Operation};

/// One kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind", deny_unknown_fields)]
pub enum Fault {
    /// Nobody listens: new connections are refused, existing ones close.
    Down,
    /// The request is done at once and answered so many milliseconds later.
    Slow {
        /// Milliseconds.
        ms: u64,
    },
    /// The request is taken and never done nor answered.
    Hang,
    /// The platform's own 401.
    Unauthorized,
    /// The platform's own 403.
    Forbidden,
    /// The platform's own answer to too many requests.
    RateLimited {
        /// What `Retry-After` says where the platform sends one, in seconds.
        retry_after_secs: u64,
    },
    /// The platform's own answer with this 5xx status.
    ServerError {
        /// 500 to 599.
        status: u16,
    },
    /// The request is done, then the connection ends without an answer.
    LostAnswer,
    /// A page of the edge instead of JSON.
    Html,
}

/// A fault with its scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FaultSpec {
    /// What goes wrong.
    #[serde(flatten)]
    pub fault: Fault,
    /// For how many more requests; without it until it is cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<u32>,
    /// Only for these requests: `read`, `write`, `create`, `update`, `delete`, or an operation's name
    /// (`chat.postMessage`); with the id of one object behind it, only for that one (`files.trash 1AbC`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<String>,
}

impl From<Fault> for FaultSpec {
    fn from(fault: Fault) -> Self {
        FaultSpec { fault, remaining: None, only: None }
    }
}

impl FaultSpec {
    /// Limits it to the next `count` requests.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.remaining = Some(count);
        self
    }

    /// Limits it to an effect or an operation.
    #[must_use]
    pub fn only(mut self, filter: impl Into<String>) -> Self {
        self.only = Some(filter.into());
        self
    }

    /// Why it makes no sense, if so.
    pub fn ensure_valid(&self) -> Result<(), String> {
        match self.fault {
            Fault::ServerError { status } if !(500..=599).contains(&status) => {
                Err(format!("a server error has a status from 500 to 599, not {status}"))
            }
            Fault::Down if self.remaining.is_some() || self.only.is_some() => {
                Err("`down` refuses connections: it cannot count or tell apart requests".into())
            }
            _ if self.remaining == Some(0) => Err("`remaining` starts at 1".into()),
            _ => Ok(()),
        }
    }
}

/// A fault that is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ActiveFault {
    /// To clear just this one.
    pub id: u64,
    /// Where.
    pub api: Api,
    /// What and how far.
    #[serde(flatten)]
    pub spec: FaultSpec,
}

/// The faults that are on.
#[derive(Debug, Default)]
pub(super) struct Faults {
    next_id: u64,
    active: Vec<ActiveFault>,
}

impl Faults {
    pub(super) fn add(&mut self, api: Api, spec: FaultSpec) -> u64 {
        self.next_id += 1;
        self.active.push(ActiveFault { id: self.next_id, api, spec });
        self.next_id
    }

    /// Takes out what `which` says, and tells how many.
    pub(super) fn clear(&mut self, which: impl Fn(&ActiveFault) -> bool) -> usize {
        let before = self.active.len();
        self.active.retain(|f| !which(f));
        before - self.active.len()
    }

    pub(super) fn list(&self) -> Vec<ActiveFault> {
        self.active.clone()
    }

    pub(super) fn is_down(&self, api: Api) -> bool {
        self.active.iter().any(|f| f.api == api && f.spec.fault == Fault::Down)
    }

    /// The fault that hits this request, if one does; a counted one has then one less to give.
    pub(super) fn hit(&mut self, api: Api, operation: Operation, object: &str) -> Option<Fault> {
        let at = self.active.iter().position(|f| {
            f.api == api
                && f.spec.fault != Fault::Down
                && f.spec.only.as_deref().is_none_or(|filter| operation.matches(filter, object))
        })?;
        let fault = self.active[at].spec.fault;
        if let Some(left) = &mut self.active[at].spec.remaining {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.active.remove(at);
            }
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_wears_off_and_a_filter_spares_the_rest() {
        let mut faults = Faults::default();
        faults.add(Api::Notion, FaultSpec::from(Fault::Html).times(2).only("create"));
        let (create, read) = (Operation::create("pages.create"), Operation::read("search"));
        assert_eq!(faults.hit(Api::Notion, read, ""), None);
        assert_eq!(faults.hit(Api::Trello, create, ""), None);
        assert_eq!([(); 3].map(|()| faults.hit(Api::Notion, create, "")), [Some(Fault::Html), Some(Fault::Html), None]);
    }

    #[test]
    fn the_json_form_is_flat() {
        let spec: FaultSpec =
            serde_json::from_str(r#"{"kind":"rateLimited","retryAfterSecs":7,"remaining":2,"only":"write"}"#).unwrap();
        assert_eq!(spec, FaultSpec::from(Fault::RateLimited { retry_after_secs: 7 }).times(2).only("write"));
        assert!(FaultSpec::from(Fault::ServerError { status: 200 }).ensure_valid().is_err());
    }
}

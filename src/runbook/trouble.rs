//! Which section of the runbook a cause belongs to: the one table, for findings, hints and error codes.

use super::SectionId;
use crate::wire::{Component, ErrorCode};

/// Something that is wrong, as far as it decides where to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The service is locked down.
    LockedDown,
    /// A part of the service is down.
    PartDown(Component),
    /// Somebody stopped the work.
    Paused,
    /// A circuit is not closed.
    Circuit,
    /// Items wait too long, or too many of them.
    Waiting,
    /// Items were given up.
    GivenUp,
    /// Errors of a code.
    Error(ErrorCode),
}

impl Trouble {
    /// Where the runbook deals with it.
    pub fn section(self) -> Option<SectionId> {
        Some(match self {
            Trouble::LockedDown | Trouble::Error(ErrorCode::LockedDown) => SectionId::Security,
            Trouble::PartDown(Component::Executors) => SectionId::Issue(7),
            Trouble::PartDown(Component::Workers) => SectionId::Issue(1),
            Trouble::PartDown(Component::Database | Component::Eventbus | Component::Queue) => SectionId::Outage,
            Trouble::Paused | Trouble::Waiting => SectionId::Issue(1),
            Trouble::Circuit => SectionId::Issue(2),
            Trouble::GivenUp => SectionId::Issue(10),
            Trouble::Error(code) => match code {
                ErrorCode::AuthError | ErrorCode::PermissionDenied => SectionId::Issue(6),
                ErrorCode::RateLimited | ErrorCode::QuotaExceeded => SectionId::Issue(5),
                ErrorCode::ServiceDown | ErrorCode::NetworkError | ErrorCode::TimeoutError => SectionId::Issue(10),
                ErrorCode::CircuitOpen => SectionId::Issue(2),
                ErrorCode::QueueFull | ErrorCode::Unavailable => SectionId::Issue(1),
                ErrorCode::DuplicateError => SectionId::Issue(3),
                ErrorCode::LockedDown
                | ErrorCode::NotFound
                | ErrorCode::ValidationError
                | ErrorCode::Conflict
                | ErrorCode::Unsupported
                | ErrorCode::UnknownError => return None,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_its_section() {
        assert_eq!(Trouble::Error(ErrorCode::AuthError).section(), Some(SectionId::Issue(6)));
        assert_eq!(Trouble::Circuit.section(), Trouble::Error(ErrorCode::CircuitOpen).section());
        assert_eq!(Trouble::LockedDown.section(), Trouble::Error(ErrorCode::LockedDown).section());
        assert_eq!(Trouble::Error(ErrorCode::Conflict).section(), None);
    }
}

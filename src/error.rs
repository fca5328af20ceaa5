//! Failure kinds, exit codes, hints, and how an error is printed.
//!
//! `anyhow` carries context up the call chain; a [`Fault`] somewhere in that chain carries the kind. One exhaustive
//! match in [`Kind::exit_code`] gives the exit code. Printing lives here too, so that every error has the same three
//! parts: what failed, why, what to try.

use std::fmt;

use serde_json::json;

use crate::wire::ErrorCode;

/// Why a command did not end with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It was tried and did not work.
    Failed,
    /// The command line cannot be understood.
    Usage,
    /// The check looked and found a problem.
    CheckFailed,
    /// No credential, a wrong one, or one without the needed role.
    NotAuthenticated,
    /// The named thing does not exist.
    NotFound,
    /// The target is in another state than the change needs, or it changed meanwhile.
    Conflict,
    /// Nobody answered, or not in time.
    Unreachable,
    /// A bulk run ended with some items failed.
    SomeFailed,
    /// The operator said no, or there was nobody to ask and no consent flag.
    Declined,
    /// Ctrl-C.
    Interrupted,
}

impl Kind {
    /// Every kind, for the exit-code table and its test.
    pub const ALL: [Kind; 10] = [
        Kind::Failed,
        Kind::Usage,
        Kind::CheckFailed,
        Kind::NotAuthenticated,
        Kind::NotFound,
        Kind::Conflict,
        Kind::Unreachable,
        Kind::SomeFailed,
        Kind::Declined,
        Kind::Interrupted,
    ];

    /// The process exit code of this kind.
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::CheckFailed => 3,
            Kind::NotAuthenticated => 4,
            Kind::NotFound => 5,
            Kind::Conflict => 6,
            Kind::Unreachable => 7,
            Kind::SomeFailed => 8,
            Kind::Declined => 10,
            Kind::Interrupted => 130,
        }
    }

    /// The stable word for JSON errors.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::CheckFailed => "check_failed",
            Kind::NotAuthenticated => "not_authenticated",
            Kind::NotFound => "not_found",
            Kind::Conflict => "conflict",
            Kind::Unreachable => "unreachable",
            Kind::SomeFailed => "some_failed",
            Kind::Declined => "declined",
            Kind::Interrupted => "interrupted",
        }
    }
}

/// What a command that did its work reports about it; an error is an `Err` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// The check found a problem: exit code 3. The report already said which.
    Problem,
    /// A bulk run ended with some items failed: exit code 8. The report already said which.
    SomeFailed,
    /// The answer is partial because somebody did not answer: exit code 7. The report already said who.
    Unreachable,
    /// The code of another convention: what `--exit-style check` says to a monitoring system.
    Code(u8),
}

impl Outcome {
    /// The process exit code of this outcome.
    pub const fn exit_code(self) -> u8 {
        match self {
            Outcome::Done => 0,
            Outcome::Problem => Kind::CheckFailed.exit_code(),
            Outcome::SomeFailed => Kind::SomeFailed.exit_code(),
            Outcome::Unreachable => Kind::Unreachable.exit_code(),
            Outcome::Code(code) => code,
        }
    }
}

/// A failure with its kind and, where one is known, a hint the operator can paste.
#[derive(Debug)]
pub struct Fault {
    /// Decides the exit code.
    pub kind: Kind,
    /// What failed: lower case, no full stop, with the name the operator typed.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to try.
    pub hint: Option<String>,
    /// The orchestrator's error code, when the failure came from it or from a platform.
    pub code: Option<ErrorCode>,
}

impl Fault {
    /// A fault that says what failed.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into(), causes: Vec::new(), hint: None, code: None }
    }

    /// A usage fault (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Fault::new(Kind::Usage, message)
    }

    /// Adds why it failed.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the orchestrator's error code.
    #[must_use]
    pub fn code(mut self, code: ErrorCode) -> Self {
        self.code = Some(code);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// An error taken apart for printing.
#[derive(Debug)]
pub struct Explained {
    /// Decides the exit code.
    pub kind: Kind,
    /// What failed.
    pub message: String,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to try.
    pub hint: Option<String>,
    /// The orchestrator's error code.
    pub code: Option<ErrorCode>,
}

impl Explained {
    /// Reads the context chain and the fault in it, if there is one.
    pub fn from_error(error: &anyhow::Error) -> Self {
        // A fault that was added as context is only found from the outside, one that was wrapped only in the chain.
        let fault = error.downcast_ref::<Fault>().or_else(|| error.chain().find_map(|e| e.downcast_ref::<Fault>()));
        let mut lines: Vec<String> = error.chain().map(ToString::to_string).collect();
        let message = lines.remove(0);
        if let Some(fault) = fault {
            lines.extend(fault.causes.iter().cloned());
        }
        lines.dedup();
        Explained {
            kind: fault.map_or(Kind::Failed, |f| f.kind),
            message,
            causes: lines,
            hint: fault.and_then(|f| f.hint.clone()),
            code: fault.and_then(|f| f.code),
        }
    }

    /// The text form, with a final newline.
    pub fn to_text(&self) -> String {
        let mut text = format!("error: {}\n", self.message);
        for cause in &self.causes {
            text.push_str(&format!("  caused by: {cause}\n"));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("  hint: {hint}\n"));
        }
        text
    }

    /// The JSON form: one object on one line, with a final newline.
    pub fn to_json(&self) -> String {
        let retryable = self.code.map_or(self.kind == Kind::Unreachable, ErrorCode::is_retriable);
        let body = json!({
            "error": self.message,
            "kind": self.kind.word(),
            "exit": self.kind.exit_code(),
            "code": self.code,
            "retryable": retryable,
            "causes": self.causes,
            "hint": self.hint,
        });
        format!("{body}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn an_error_has_three_parts() {
        let fault = Fault::new(Kind::Conflict, "workflow `w` is still running").because("step 2 of 3").hint("wait");
        let error = Err::<(), _>(fault).context("cannot roll back `w`").unwrap_err();
        let text = Explained::from_error(&error).to_text();
        assert_eq!(
            text,
            "error: cannot roll back `w`\n  caused by: workflow `w` is still running\n  caused by: step 2 of 3\n  \
             hint: wait\n"
        );
    }

    #[test]
    fn a_fault_added_as_context_keeps_its_kind_and_hint() {
        let fault = Fault::new(Kind::NotAuthenticated, "cannot read the secret").hint("chmod 600 it");
        let error = Err::<(), _>(std::io::Error::other("denied")).context(fault).context("no token").unwrap_err();
        let explained = Explained::from_error(&error);
        assert_eq!((explained.kind, explained.hint.as_deref()), (Kind::NotAuthenticated, Some("chmod 600 it")));
        assert_eq!(explained.causes, ["cannot read the secret", "denied"]);
    }

    #[test]
    fn every_kind_has_its_own_code_and_word() {
        let codes: std::collections::HashSet<_> = Kind::ALL.iter().map(|k| k.exit_code()).collect();
        let words: std::collections::HashSet<_> = Kind::ALL.iter().map(|k| k.word()).collect();
        assert_eq!((codes.len(), words.len()), (Kind::ALL.len(), Kind::ALL.len()));
    }
}

//! The names of the runbook's sections.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Fault, Kind};

/// A section of the runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionId {
    /// One of the ten common issues, 1 to 10.
    Issue(u8),
    /// Emergency procedure 1.
    Outage,
    /// Emergency procedure 2.
    Corruption,
    /// Emergency procedure 3.
    Security,
}

impl SectionId {
    /// Every section, in the runbook's order.
    pub fn all() -> impl Iterator<Item = SectionId> {
        (1..=10).map(SectionId::Issue).chain([SectionId::Outage, SectionId::Corruption, SectionId::Security])
    }

    /// What stands before its title: `Issue 2`, `Procedure 1`.
    pub fn label(self) -> String {
        match self {
            SectionId::Issue(n) => format!("Issue {n}"),
            SectionId::Outage => "Procedure 1".into(),
            SectionId::Corruption => "Procedure 2".into(),
            SectionId::Security => "Procedure 3".into(),
        }
    }

    /// Whether it is walked from its first step to its last.
    pub const fn is_procedure(self) -> bool {
        !matches!(self, SectionId::Issue(_))
    }

    /// The command that shows it.
    pub fn command(self) -> String {
        match self {
            SectionId::Issue(n) => format!("opsctl runbook show {n}"),
            other => format!("opsctl runbook show {other}"),
        }
    }
}

impl fmt::Display for SectionId {
    /// Its word: `issue-2`, `outage`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SectionId::Issue(n) => f.pad(&format!("issue-{n}")),
            SectionId::Outage => f.pad("outage"),
            SectionId::Corruption => f.pad("corruption"),
            SectionId::Security => f.pad("security"),
        }
    }
}

impl FromStr for SectionId {
    type Err = Fault;

    /// As people write it: `2`, `issue 2`, `Issue-2`, `#2`, `outage`, `procedure 1`.
    fn from_str(typed: &str) -> Result<Self, Fault> {
        let words = typed.to_lowercase().replace(['-', '_', '#', ':'], " ");
        let words: Vec<&str> = words.split_whitespace().filter(|w| !matches!(*w, "the" | "emergency")).collect();
        let joined = words.join(" ");
        let found = match joined.as_str() {
            "outage" | "complete system outage" | "procedure 1" => Some(SectionId::Outage),
            "corruption" | "data corruption" | "procedure 2" => Some(SectionId::Corruption),
            "security" | "security incident" | "procedure 3" => Some(SectionId::Security),
            other => {
                let number = other.strip_prefix("issue").unwrap_or(other).trim();
                number.parse().ok().filter(|n| (1..=10).contains(n)).map(SectionId::Issue)
            }
        };
        found.ok_or_else(|| {
            Fault::new(Kind::NotFound, format!("the runbook has no section `{typed}`"))
                .because("it has issue 1 to issue 10, outage, corruption and security")
                .hint("opsctl runbook list")
        })
    }
}

impl Serialize for SectionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SectionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        word.parse().map_err(|fault: Fault| serde::de::Error::custom(fault.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_has_many_names() {
        for typed in ["2", "issue 2", "Issue-2", "issue2", "#2"] {
            assert_eq!(typed.parse::<SectionId>().unwrap(), SectionId::Issue(2), "{typed}");
        }
        for (typed, section) in [
            ("outage", SectionId::Outage),
            ("emergency procedure 1", SectionId::Outage),
            ("Procedure-3", SectionId::Security),
            ("data corruption", SectionId::Corruption),
        ] {
            assert_eq!(typed.parse::<SectionId>().unwrap(), section, "{typed}");
        }
        for typed in ["11", "0", "issue", "", "procedure 4", "banana", "-1"] {
            assert!(typed.parse::<SectionId>().is_err() || typed == "-1", "{typed}");
        }
        for section in SectionId::all() {
            assert_eq!(section.to_string().parse::<SectionId>().unwrap(), section);
        }
    }
}

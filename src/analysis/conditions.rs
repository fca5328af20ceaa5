//! Conditions on what an answer says (`state=CLOSED`, `totalQueued<=10`), and how long they have held.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;

use crate::error::Fault;
use crate::wire::Time;

/// How a field has to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// Longer ones first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 7] = [
    ("!=", Operator::IsNot),
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    ("==", Operator::Is),
    ("=", Operator::Is),
    (">", Operator::Above),
    ("<", Operator::Below),
];

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// What was asked for is there.
    Exists,
    /// It is not.
    Gone,
    /// A field compares like this.
    Field(Comparison),
}

/// `failureCount>=10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The field's name; a dot goes into an object.
    pub field: String,
    operator: Operator,
    wanted: String,
}

impl FromStr for Condition {
    type Err = Fault;
    fn from_str(text: &str) -> Result<Self, Fault> {
        match text.trim() {
            "exists" => return Ok(Condition::Exists),
            "gone" => return Ok(Condition::Gone),
            _ => {}
        }
        let unreadable = || {
            Fault::usage(format!("`{text}` is not a condition"))
                .because("a condition is a field, one of = != > >= < <=, and a value; or `exists`, or `gone`")
                .hint("for example --for state=CLOSED, or --for 'totalQueued<=10'")
        };
        let at = text.find(['=', '!', '<', '>']).ok_or_else(unreadable)?;
        let (field, rest) = (text[..at].trim(), &text[at..]);
        let found = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign));
        let (sign, operator) = found.ok_or_else(unreadable)?;
        let wanted = rest[sign.len()..].trim();
        if field.is_empty() || wanted.is_empty() {
            return Err(unreadable());
        }
        Ok(Condition::Field(Comparison { field: field.into(), operator: *operator, wanted: wanted.into() }))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Exists => f.write_str("exists"),
            Condition::Gone => f.write_str("gone"),
            Condition::Field(Comparison { field, operator, wanted }) => {
                let sign = match operator {
                    Operator::Is => "=",
                    other => OPERATORS.iter().find(|(_, operator)| operator == other).map_or("=", |(sign, _)| sign),
                };
                write!(f, "{field}{sign}{wanted}")
            }
        }
    }
}

impl Condition {
    /// Whether it holds of what was seen; `None` is something that is not there.
    pub fn holds(&self, seen: Option<&Value>) -> bool {
        match self {
            Condition::Exists => seen.is_some(),
            Condition::Gone => seen.is_none(),
            Condition::Field(comparison) => seen.and_then(|seen| comparison.value(seen)).is_some_and(|v| {
                let order = compare(v, &comparison.wanted);
                match comparison.operator {
                    Operator::Is => order.is_eq(),
                    Operator::IsNot => order.is_ne(),
                    Operator::AtLeast => order.is_ge(),
                    Operator::AtMost => order.is_le(),
                    Operator::Above => order.is_gt(),
                    Operator::Below => order.is_lt(),
                }
            }),
        }
    }
}

impl Comparison {
    /// What the field holds; `None` when the answer has no such field now.
    pub fn value<'a>(&self, seen: &'a Value) -> Option<&'a Value> {
        self.field.split('.').try_fold(seen, |value, name| value.get(name))
    }
}

/// Numbers as numbers, words without regard to case; moments of one form compare as text.
fn compare(seen: &Value, wanted: &str) -> Ordering {
    let text = match seen {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match (text.parse::<f64>(), wanted.parse::<f64>()) {
        (Ok(seen), Ok(wanted)) => seen.partial_cmp(&wanted).unwrap_or(Ordering::Less),
        _ => text.to_lowercase().cmp(&wanted.to_lowercase()),
    }
}

/// What came of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// All hold, for long enough.
    Met,
    /// This one says that it failed.
    Failed(Condition),
    /// Not yet: all hold since a moment, or not all do.
    Waiting {
        /// How much longer they have to hold, when they do.
        holds_for: Option<Duration>,
    },
}

/// What is waited for.
#[derive(Clone, Debug)]
pub struct Wait {
    /// All have to hold.
    pub met: Vec<Condition>,
    /// Any of them is a failure, also while the others hold.
    pub failed: Vec<Condition>,
    /// How long they have to hold without a break.
    pub stable: Duration,
    held_since: Option<Time>,
}

impl Wait {
    /// For these conditions.
    pub fn new(met: Vec<Condition>, failed: Vec<Condition>, stable: Duration) -> Self {
        Wait { met, failed, stable, held_since: None }
    }

    /// Judges what was seen at this moment; `None` is something that is not there.
    pub fn see(&mut self, seen: Option<&Value>, now: Time) -> Judgement {
        if let Some(failed) = self.failed.iter().find(|condition| condition.holds(seen)) {
            return Judgement::Failed(failed.clone());
        }
        if !self.met.iter().all(|condition| condition.holds(seen)) {
            self.unseen();
            return Judgement::Waiting { holds_for: None };
        }
        let held = now.since(*self.held_since.get_or_insert(now));
        match self.stable.checked_sub(held) {
            Some(left) if !left.is_zero() => Judgement::Waiting { holds_for: Some(left) },
            _ => Judgement::Met,
        }
    }

    /// Nobody answered, so nothing is known to have held.
    pub fn unseen(&mut self) {
        self.held_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn condition(text: &str) -> Condition {
        text.parse().unwrap()
    }

    #[test]
    fn fields_compare_as_numbers_words_and_moments() {
        let seen =
            json!({"state": "OPEN", "failureCount": 10, "circuit": {"at": "2026-10-17T10:30:45.123Z"}, "up": true});
        for text in [
            "state=open",
            "state!=CLOSED",
            "failureCount>=10",
            "failureCount<11",
            "failureCount<=10.0",
            "failureCount==10",
            "circuit.at>2026-10-17T10:00",
            "up=true",
            "exists",
        ] {
            assert!(condition(text).holds(Some(&seen)), "{text}");
            assert!(!condition(text).holds(None), "{text}");
            assert_eq!(condition(&condition(text).to_string()), condition(text));
        }
        for text in ["failureCount>10", "state=CLOSED", "nothing=1", "nothing!=1", "circuit.at<2026-10-17", "gone"] {
            assert!(!condition(text).holds(Some(&seen)), "{text}");
        }
        assert!(condition("gone").holds(None));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for text in ["", "state", "=OPEN", "state=", "state!OPEN", "ready"] {
            assert!(text.parse::<Condition>().is_err(), "`{text}`");
        }
    }

    #[test]
    fn it_has_to_hold_without_a_break() {
        let mut wait = Wait::new(vec![condition("state=up")], vec![condition("restarts>3")], Duration::from_secs(10));
        let up = |restarts| Some(json!({"state": "up", "restarts": restarts}));
        let left = |seconds| Judgement::Waiting { holds_for: Some(Duration::from_secs(seconds)) };
        assert_eq!(wait.see(up(0).as_ref(), Time(0)), left(10));
        assert_eq!(wait.see(up(0).as_ref(), Time(6_000)), left(4));
        assert_eq!(wait.see(None, Time(7_000)), Judgement::Waiting { holds_for: None });
        assert_eq!(wait.see(up(1).as_ref(), Time(8_000)), left(10));
        wait.unseen();
        assert_eq!(wait.see(up(1).as_ref(), Time(17_000)), left(10));
        assert_eq!(wait.see(up(2).as_ref(), Time(27_000)), Judgement::Met);
        assert_eq!(wait.see(up(4).as_ref(), Time(28_000)), Judgement::Failed(condition("restarts>3")));
    }

    #[test]
    fn a_clock_set_back_does_not_count_as_time() {
        let mut wait = Wait::new(vec![Condition::Exists], Vec::new(), Duration::from_secs(5));
        wait.see(Some(&json!({})), Time(100_000));
        assert_ne!(wait.see(Some(&json!({})), Time(10_000)), Judgement::Met);
    }
}

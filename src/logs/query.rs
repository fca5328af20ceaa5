//! What is asked of a log: a window of time and filters, each proved on the decoded line; and the texts that a line has
//! to contain for it, by which most lines are passed over unread.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use memchr::memmem;
use regex::Regex;

use super::json::{self, Malformed, Value};
use super::time::moment;
use crate::wire::{Platform, Time};

/// One condition on a line.
#[derive(Clone, Debug)]
pub enum Filter {
    /// A key's value: `level:error`, `code:!TIMEOUT`, `durationMs:>500`, `attempt:2..4`, `message:/regex/`.
    Key {
        /// The key; dots go into nested objects.
        path: Vec<String>,
        /// Whether it must not hold.
        not: bool,
        /// What the value is compared with.
        test: Test,
    },
    /// The platform the line is about, by whatever key names it.
    Platform(Platform),
    /// A text that occurs in the line, as it stands or as it reads.
    Contains(String),
    /// An expression that fits the line as it stands, or one of its values as it reads.
    Matches(Regex),
}

/// How a value is compared.
#[derive(Clone, Debug)]
pub enum Test {
    /// It reads like this; numbers by their amount.
    Is(String),
    /// It is a number in this range; the flags say whether the ends belong to it.
    Between(Option<(f64, bool)>, Option<(f64, bool)>),
    /// It fits.
    Matches(Regex),
}

/// Why a filter cannot be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFilter {
    /// What is wrong.
    pub message: String,
    /// The first character that is.
    pub at: usize,
}

impl fmt::Display for BadFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (character {})", self.message, self.at + 1)
    }
}

impl FromStr for Filter {
    type Err = BadFilter;

    fn from_str(text: &str) -> Result<Self, BadFilter> {
        let bad = |message: &str, at: usize| BadFilter { message: message.to_owned(), at };
        let colon = text.find(':').ok_or_else(|| bad("a filter is KEY:VALUE", text.len()))?;
        let (key, mut value) = (&text[..colon], &text[colon + 1..]);
        if key.is_empty() || key.split('.').any(str::is_empty) {
            return Err(bad("a key is missing", 0));
        }
        let mut at = colon + 1;
        let not = value.starts_with('!');
        if not {
            (value, at) = (&value[1..], at + 1);
        }
        let number = |text: &str, at: usize| {
            text.trim().parse::<f64>().map_err(|_| bad(&format!("`{text}` is not a number"), at))
        };
        let test = if let Some(end) = value.strip_prefix(">=") {
            Test::Between(Some((number(end, at + 2)?, true)), None)
        } else if let Some(end) = value.strip_prefix('>') {
            Test::Between(Some((number(end, at + 1)?, false)), None)
        } else if let Some(end) = value.strip_prefix("<=") {
            Test::Between(None, Some((number(end, at + 2)?, true)))
        } else if let Some(end) = value.strip_prefix('<') {
            Test::Between(None, Some((number(end, at + 1)?, false)))
        } else if let Some(inner) = expression(value) {
            Test::Matches(compile(inner).map_err(|e| BadFilter { at: at + 1 + e.at, ..e })?)
        } else if let Some((low, high)) = value
            .split_once("..")
            .filter(|(low, high)| low.trim().parse::<f64>().is_ok() && high.trim().parse::<f64>().is_ok())
        {
            Test::Between(Some((number(low, at)?, true)), Some((number(high, at)?, true)))
        } else {
            Test::Is(value.to_owned())
        };
        Ok(Filter::Key { path: key.split('.').map(str::to_owned).collect(), not, test })
    }
}

impl Filter {
    /// A search as it is typed: `/regex/`, or a text.
    pub fn grep(text: &str) -> Result<Filter, BadFilter> {
        Ok(match expression(text) {
            Some(inner) => Filter::Matches(compile(inner).map_err(|e| BadFilter { at: 1 + e.at, ..e })?),
            None => Filter::Contains(text.to_owned()),
        })
    }

    /// A key that has to have this value.
    pub fn is(key: &str, value: &str) -> Filter {
        Filter::Key { path: vec![key.to_owned()], not: false, test: Test::Is(value.to_owned()) }
    }

    /// A text that every line this lets through contains, unless it has escapes.
    fn needle(&self) -> Option<&str> {
        match self {
            Filter::Key { not: false, test: Test::Is(value), .. } if value.parse::<f64>().is_err() => plain(value),
            Filter::Key { not: false, path, .. } => path.last().and_then(|key| plain(key)),
            Filter::Key { .. } | Filter::Matches(_) => None,
            // `notion` and `Notion`: a message names it either way.
            Filter::Platform(platform) => platform.as_str().get(1..),
            Filter::Contains(text) => plain(text),
        }
    }
}

/// The inside of `/…/`.
fn expression(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/').filter(|inner| !inner.is_empty())
}

fn compile(text: &str) -> Result<Regex, BadFilter> {
    Regex::new(text).map_err(|error| {
        let mut at = 0;
        let message = match error {
            regex::Error::Syntax(report) => {
                // The report underlines the place in its own third line.
                let mark = report.lines().find_map(|line| line.find('^'));
                at = mark.map_or(0, |column| column.saturating_sub(4));
                let last = report.lines().last().unwrap_or_default();
                last.trim_start_matches("error: ").to_owned()
            }
            other => other.to_string(),
        };
        BadFilter { message, at }
    })
}

/// The longest stretch of a text that JSON writes in one way only, escapes by number aside.
fn plain(text: &str) -> Option<&str> {
    let stretch =
        text.split(|c: char| matches!(c, '"' | '\\' | '/') || c.is_control()).max_by_key(|part| part.len())?;
    (stretch.len() > 1).then_some(stretch)
}

/// A window of time and conditions that all have to hold.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Not before.
    pub since: Option<Time>,
    /// Before.
    pub until: Option<Time>,
    /// The conditions.
    pub filters: Vec<Filter>,
}

/// What a line turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is asked for.
    Fits,
    /// It is not.
    Other,
    /// Its time is outside the window.
    Outside,
    /// It has no time, and a window is asked for.
    Undated,
}

/// Values of a line, by the places that a [`Judge`] gave to their keys.
pub type Values<'l> = Vec<Option<Value<'l>>>;

/// A query made ready: it walks a line once, whatever is asked.
#[derive(Clone, Debug)]
pub struct Judge<'q> {
    query: &'q Query,
    /// Top-level keys whose values are needed, the time's first.
    keys: Vec<&'q str>,
    /// For each filter, the place of its key, or of the first platform key.
    places: Vec<usize>,
}

/// The key of a line's time.
const TIME: &str = "timestamp";
/// Keys that name a platform, the strongest first; then the one that mentions it.
pub const PLATFORM: [&str; 5] = ["platform", "target", "executorName", "executor", "message"];

impl<'q> Judge<'q> {
    /// Makes a query ready, with other keys whose values are wanted too.
    pub fn new(query: &'q Query, wanted: &[&'q str]) -> Self {
        let mut keys = vec![TIME];
        let mut place = |key: &'q str| {
            keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                keys.len() - 1
            })
        };
        let places = query
            .filters
            .iter()
            .map(|filter| match filter {
                Filter::Key { path, .. } => path.first().map_or(0, |key| place(key)),
                Filter::Platform(_) | Filter::Contains(_) | Filter::Matches(_) => 0,
            })
            .collect();
        if query.filters.iter().any(|filter| matches!(filter, Filter::Platform(_))) {
            PLATFORM.into_iter().for_each(|key| _ = place(key));
        }
        wanted.iter().for_each(|key| _ = place(key));
        Judge { query, keys, places }
    }

    /// Texts that every line it lets through contains, unless the line has escapes by number. `required` are keys that the
    /// caller wants a line to have.
    pub fn needles(&self, required: &[&str]) -> Vec<String> {
        let keys = required.iter().filter_map(|key| plain(key));
        self.query.filters.iter().filter_map(Filter::needle).chain(keys).map(str::to_owned).collect()
    }

    /// Where a key's value is found.
    pub fn place(&self, key: &str) -> Option<usize> {
        self.keys.iter().position(|known| *known == key)
    }

    /// Takes the values out of a line; what passes here is JSON.
    pub fn read<'l>(&self, line: &'l [u8], values: &mut Values<'l>) -> Result<(), Malformed> {
        values.clear();
        values.resize(self.keys.len(), None);
        json::walk(line, |key, value| {
            if let Some(place) = self.keys.iter().position(|known| key.is(known)) {
                values[place] = Some(value);
            }
        })
    }

    /// When the line was written.
    pub fn time(values: &[Option<Value<'_>>]) -> Option<Time> {
        values.first().copied().flatten().and_then(moment)
    }

    /// Judges a line by its values.
    pub fn verdict(&self, line: &[u8], values: &Values<'_>) -> Verdict {
        let Query { since, until, filters } = self.query;
        if since.is_some() || until.is_some() {
            let Some(time) = Self::time(values) else { return Verdict::Undated };
            if since.is_some_and(|since| time < since) || until.is_some_and(|until| time >= until) {
                return Verdict::Outside;
            }
        }
        let holds = |(filter, place): (&Filter, &usize)| match filter {
            Filter::Key { path, not, test } => {
                let value = match (values[*place], &path[1..]) {
                    (Some(Value::Object(inner)), rest) if !rest.is_empty() => json::find(inner, rest),
                    (value, []) => value,
                    _ => None,
                };
                value.is_some_and(|value| test.holds(value)) != *not
            }
            Filter::Platform(platform) => self.platform(values) == Some(*platform),
            Filter::Contains(text) => {
                memmem::find(line, text.as_bytes()).is_some()
                    || any_text(line, &mut |read| read.contains(text.as_str()))
            }
            Filter::Matches(regex) => {
                let as_it_stands = std::str::from_utf8(line).is_ok_and(|line| regex.is_match(line));
                as_it_stands || any_text(line, &mut |read| regex.is_match(read))
            }
        };
        if filters.iter().zip(&self.places).all(holds) { Verdict::Fits } else { Verdict::Other }
    }

    fn platform(&self, values: &Values<'_>) -> Option<Platform> {
        about(|key| match values.get(self.place(key)?) {
            Some(Some(Value::Text(text))) => Some(text.decode()),
            _ => None,
        })
    }
}

/// The platform a line is about: by the first of its keys that names one, else by the first that its message names.
pub fn about<'l>(value: impl Fn(&'static str) -> Option<Cow<'l, str>>) -> Option<Platform> {
    let [keys @ .., message] = PLATFORM;
    keys.into_iter().filter_map(&value).find_map(|text| text.parse().ok()).or_else(|| {
        value(message)?.split(|c: char| !c.is_alphanumeric()).find_map(|word| {
            // `Notion` or `notion`; a variable's name in capitals is not about the platform.
            let platform: Platform = word.parse().ok()?;
            (word[1..] == platform.as_str()[1..]).then_some(platform)
        })
    })
}

impl Test {
    fn holds(&self, value: Value<'_>) -> bool {
        match self {
            Test::Is(wanted) => match value {
                Value::Text(text) => text.is(wanted),
                Value::Number(raw) => {
                    raw == wanted.as_bytes() || number(raw).is_some_and(|n| wanted.parse::<f64>().is_ok_and(|w| n == w))
                }
                other => other.plain() == wanted.as_str(),
            },
            Test::Between(low, high) => {
                let amount = match value {
                    Value::Number(raw) => number(raw),
                    Value::Text(text) => text.decode().trim().parse().ok(),
                    _ => None,
                };
                amount.is_some_and(|n: f64| {
                    low.is_none_or(|(end, closed)| n > end || closed && n == end)
                        && high.is_none_or(|(end, closed)| n < end || closed && n == end)
                })
            }
            Test::Matches(regex) => regex.is_match(&value.plain()),
        }
    }
}

fn number(raw: &[u8]) -> Option<f64> {
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// Whether a key or text of a line, at any depth, passes as it reads. Only those with escapes differ from the line.
fn any_text(line: &[u8], passes: &mut dyn FnMut(&str) -> bool) -> bool {
    if memchr::memchr(b'\\', line).is_none() {
        return false;
    }
    let Ok(parsed) = serde_json::from_slice::<serde_json::Value>(line) else { return false };
    fn look(value: &serde_json::Value, passes: &mut dyn FnMut(&str) -> bool) -> bool {
        match value {
            serde_json::Value::String(text) => passes(text),
            serde_json::Value::Array(items) => items.iter().any(|item| look(item, passes)),
            serde_json::Value::Object(pairs) => pairs.iter().any(|(key, item)| passes(key) || look(item, passes)),
            _ => false,
        }
    }
    look(&parsed, passes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(query: &Query, line: &str) -> Result<Verdict, Malformed> {
        let (judge, mut values) = (Judge::new(query, &[]), Values::new());
        judge.read(line.as_bytes(), &mut values)?;
        Ok(judge.verdict(line.as_bytes(), &values))
    }

    fn fits(filter: Filter, line: &str) -> bool {
        verdict(&Query { filters: vec![filter], ..Query::default() }, line) == Ok(Verdict::Fits)
    }

    #[test]
    fn filters_compare_values_as_they_read() {
        let line = r#"{"level":"error","n":12.0,"error":{"code":"RATE\u005fLIMITED"},"ok":true,"none":null,"s":"15"}"#;
        for (filter, holds) in [
            ("level:error", true),
            ("level:!error", false),
            ("level:warn", false),
            ("missing:!x", true),
            ("missing:x", false),
            ("n:12", true),
            ("n:>11.5", true),
            ("n:>12", false),
            ("n:>=12", true),
            ("n:<12", false),
            ("n:10..12", true),
            ("n:13..14", false),
            ("s:10..20", true),
            ("level:>1", false),
            ("error.code:RATE_LIMITED", true),
            ("error.code:/^rate/", false),
            ("error.code:/^RATE_/", true),
            ("error.code:!/^RATE_/", false),
            ("ok:true", true),
            ("none:null", true),
        ] {
            assert_eq!(fits(filter.parse().unwrap(), line), holds, "{filter}");
        }
    }

    #[test]
    fn a_bad_filter_names_the_place() {
        let at = |text: &str| text.parse::<Filter>().unwrap_err();
        assert_eq!(at("level").to_string(), "a filter is KEY:VALUE (character 6)");
        assert_eq!(at(":x").at, 0);
        assert_eq!(at("n:>many").at, 3);
        assert_eq!(at("message:/a(b/").at, 10);
        assert_eq!(Filter::grep("/a[/").unwrap_err().at, 2);
    }

    #[test]
    fn a_search_finds_what_is_written_and_what_is_meant() {
        let line = r#"{"message":"say \"hi\"\nto caf\u00e9","a":{"b\/c":[1]}}"#;
        let found = |text: &str| fits(Filter::grep(text).unwrap(), line);
        for text in ["say", "say \"hi\"", "\nto", "café", "b/c", r#""a":{"#, "/caf.$/", r#"/hi"/"#] {
            assert!(found(text), "{text}");
        }
        assert!(!found("cafe") && !found("/^caf/"));
    }

    #[test]
    fn a_platform_is_named_by_key_or_message() {
        for (line, platform) in [
            (r#"{"platform":"notion","message":"x"}"#, Some(Platform::Notion)),
            (r#"{"target":"sheets","message":"notion"}"#, Some(Platform::Sheets)),
            (r#"{"executorName":"slack"}"#, Some(Platform::Slack)),
            (r#"{"message":"Slack API request error"}"#, Some(Platform::Slack)),
            (r#"{"message":"the drive-sync of Trello"}"#, Some(Platform::Drive)),
            (r#"{"message":"NOTION_API_KEY is not set"}"#, None),
            (r#"{"platform":"gmail"}"#, None),
        ] {
            for asked in Platform::ALL {
                assert_eq!(fits(Filter::Platform(*asked), line), platform == Some(*asked), "{line}");
            }
        }
    }

    #[test]
    fn a_window_judges_by_time() {
        let query = Query { since: Some(Time(1000)), until: Some(Time(2000)), filters: vec![] };
        let judge = |line: &str| verdict(&query, line).unwrap();
        assert_eq!(judge(r#"{"timestamp":"1970-01-01T00:00:01.000Z"}"#), Verdict::Fits);
        assert_eq!(judge(r#"{"timestamp":"1970-01-01T00:00:00.999Z"}"#), Verdict::Outside);
        assert_eq!(judge(r#"{"timestamp":"1970-01-01T00:00:02.000Z"}"#), Verdict::Outside);
        assert_eq!(judge(r#"{"x":{"timestamp":"1970-01-01T00:00:01.000Z"}}"#), Verdict::Undated);
        assert_eq!(verdict(&query, "{"), Err(Malformed));
    }
}

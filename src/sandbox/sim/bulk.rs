//! Content in bulk: a database or a board of any size, with duplicates in it, made in one go.

use std::time::Duration;

use serde::Deserialize;

use crate::wire::Time;

/// What is to be made.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bulk {
    /// Rows or cards.
    pub count: usize,
    /// How many of them, the youngest, repeat the titles of the oldest in another case and spacing.
    #[serde(default)]
    pub duplicates: usize,
    /// Notion: how many data sources the database has.
    #[serde(default = "one")]
    pub sources: usize,
    /// What the database or board is called, and its items with a number.
    #[serde(default = "title")]
    pub title: String,
    /// How many milliseconds after each other the items were made; the last one was made now.
    #[serde(default = "minute_ms")]
    pub apart_ms: u32,
}

fn one() -> usize {
    1
}

fn title() -> String {
    "Bulk".into()
}

fn minute_ms() -> u32 {
    60_000
}

impl Bulk {
    /// Why it makes no sense, if so.
    pub(super) fn ensure_valid(&self) -> Result<(), String> {
        if self.duplicates * 2 > self.count {
            return Err(format!("{} of {} items cannot repeat others", self.duplicates, self.count));
        }
        if self.sources == 0 {
            return Err("a database has at least one data source".into());
        }
        Ok(())
    }

    /// The title of an item.
    pub(super) fn name(&self, n: usize) -> String {
        let originals = self.count - self.duplicates;
        if n < originals {
            return format!("{} {:05}", self.title, n + 1);
        }
        format!(" {}  {:05}", self.title.to_uppercase(), n - originals + 1)
    }

    /// When an item was made.
    pub(super) fn made(&self, n: usize, now: Time) -> Time {
        now.minus(self.apart() * u32::try_from(self.count - n - 1).unwrap_or(u32::MAX))
    }

    /// How long ago the first was made, and a moment more.
    pub(super) fn age(&self) -> Duration {
        self.apart() * u32::try_from(self.count).unwrap_or(u32::MAX) + Duration::from_secs(60)
    }

    fn apart(&self) -> Duration {
        Duration::from_millis(self.apart_ms.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_repeat_the_oldest() {
        let bulk: Bulk = serde_json::from_str(r#"{"count": 5, "duplicates": 2, "title": "Job"}"#).unwrap();
        let names: Vec<String> = (0..5).map(|n| bulk.name(n)).collect();
        assert_eq!(names, ["Job 00001", "Job 00002", "Job 00003", " JOB  00001", " JOB  00002"]);
        let now = Time(1_790_000_000_000);
        assert_eq!((bulk.made(4, now), bulk.made(0, now)), (now, now.minus(Duration::from_secs(240))));
        assert!(Bulk { duplicates: 3, ..bulk }.ensure_valid().is_err());
    }
}

//! What the verbs about duplicates have in common: their flags, the evidence for each copy, and the report.

use std::io;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::analysis::copies::{Group, Keep, Seen};
use crate::analysis::span;
use crate::commands::text;
use crate::output::{Page, Report, Table};
use crate::wire::Time;

/// Sets that a table shows without `--all-sets`.
const SHOWN: usize = 50;

/// Which objects are copies, and which copy stays.
#[derive(Args, Clone, Debug)]
pub struct MatchArgs {
    /// What else has to match: due,status
    #[arg(long = "match", value_name = "FIELDS", value_delimiter = ',')]
    fields: Vec<String>,

    /// Which copy stays: oldest, newest, or edited (the one changed last)
    #[arg(long, value_name = "WHICH", default_value_t = Keep::Oldest)]
    pub keep: Keep,
}

impl MatchArgs {
    /// The fields beside the title, each once.
    pub fn others(&self) -> Vec<&str> {
        let mut others: Vec<&str> = Vec::new();
        for field in self.fields.iter().map(|f| f.trim()).filter(|f| !["", "title", "name"].contains(f)) {
            if !others.contains(&field) {
                others.push(field);
            }
        }
        others
    }

    /// What matches, for people: `title, due`.
    pub fn matched(&self) -> String {
        std::iter::once("title").chain(self.others()).collect::<Vec<_>>().join(", ")
    }
}

/// One of several copies.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Copy {
    /// Its id on the platform.
    pub id: String,
    /// Its title.
    pub title: String,
    /// When it was made.
    pub created: Time,
    /// When it was changed last.
    pub edited: Time,
    /// Data source or list that it is in.
    pub place: String,
    /// Where a person looks at it.
    pub url: String,
    /// Why it counts as a copy; empty for the one that stays.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub evidence: String,
    /// Why a person has to look before it goes; such a one is never removed with the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<String>,
    /// How it looked.
    #[serde(skip)]
    pub print: String,
    /// Which place it is, as a number.
    #[serde(skip)]
    pub place_number: u16,
}

impl Copy {
    fn new(seen: Seen, place: &dyn Fn(u16) -> String, url: &dyn Fn(&str) -> String) -> Self {
        Copy {
            url: url(&seen.id),
            id: seen.id.into(),
            title: seen.title.into(),
            created: seen.created,
            edited: seen.edited,
            place: place(seen.place),
            evidence: String::new(),
            review: None,
            print: seen.print.into(),
            place_number: seen.place,
        }
    }
}

/// Copies of one thing.
#[derive(Clone, Debug, Serialize)]
pub struct Set {
    /// The one that stays.
    pub keep: Copy,
    /// The others.
    pub copies: Vec<Copy>,
}

impl Set {
    /// A set with the evidence for each copy.
    pub fn new(group: Group, matched: &str, place: &dyn Fn(u16) -> String, url: &dyn Fn(&str) -> String) -> Self {
        let keep = Copy::new(group.kept, place, url);
        let copies = group.surplus.into_iter().map(|seen| {
            let mut copy = Copy::new(seen, place, url);
            copy.evidence = format!("same {matched} as {}, {}", keep.id, apart(copy.created, keep.created));
            copy
        });
        Set { copies: copies.collect(), keep }
    }
}

/// How far apart two objects were made.
fn apart(copy: Time, kept: Time) -> String {
    if copy == kept {
        return "made in the same moment".to_owned();
    }
    match copy > kept {
        true => format!("made {} later", span(copy.since(kept))),
        false => format!("made {} earlier", span(kept.since(copy))),
    }
}

/// What a search for duplicates found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The database or board.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What has to be the same.
    pub matched: String,
    /// Which copy stays.
    pub keep: &'static str,
    /// How many objects were compared.
    pub read: u64,
    /// How many have no title and are nobody's copy.
    pub untitled: u64,
    /// Copies that may go.
    pub surplus: u64,
    /// Copies that a person has to look at first.
    pub review: u64,
    /// The copies, by what they are copies of.
    pub sets: Vec<Set>,
    /// What could speak against removing a copy and cannot be read.
    pub not_reported: Vec<&'static str>,
    /// What the platform calls its objects: one, and several.
    #[serde(skip)]
    pub words: (&'static str, &'static str),
    /// Whether a table shows all sets.
    #[serde(skip)]
    pub all: bool,
}

impl Found {
    /// Counts what was found.
    pub fn count(&mut self) {
        let copies = || self.sets.iter().flat_map(|set| &set.copies);
        let review = copies().filter(|copy| copy.review.is_some()).count() as u64;
        self.surplus = copies().count() as u64 - review;
        self.review = review;
    }

    /// The copies that may go, in order.
    pub fn removable(&self) -> impl Iterator<Item = &Copy> {
        self.sets.iter().flat_map(|set| &set.copies).filter(|copy| copy.review.is_none())
    }

    /// The copies that a person has to look at first, each with the reason.
    pub fn to_review(&self) -> impl Iterator<Item = (&Copy, &str)> {
        self.sets.iter().flat_map(|set| &set.copies).filter_map(|copy| Some((copy, copy.review.as_deref()?)))
    }

    /// That there are none, or none that may go.
    pub fn none(&self) -> String {
        let among = text::counted(self.read, self.words.0, self.words.1);
        let what = if self.review > 0 { "No duplicates that may go" } else { "No duplicates" };
        format!("{what} among {among} of {}.", self.name)
    }
}

/// What stays for a person to look at, as a note; `None` when nothing does.
pub fn note_of_review(found: &Found) -> Option<String> {
    let mut all = found.to_review();
    let (first, why) = all.next()?;
    let more = match all.count() {
        0 => String::new(),
        more => format!(", and {more} more; find-duplicates lists them"),
    };
    Some(format!("for a person to review: `{}` {} ({why}){more}", first.title, first.id))
}

impl Report for Found {
    fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        if self.sets.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["", "TITLE", "MADE", "ID", "WHY"]);
        let shown = if self.all { self.sets.len() } else { SHOWN.min(self.sets.len()) };
        for set in &self.sets[..shown] {
            let kept = &set.keep;
            table.row(["KEEP", &kept.title, &page.time(kept.created), &kept.id, ""]);
            for copy in &set.copies {
                // The one that stays is in the line above.
                let evidence = copy.evidence.replace(&format!(" as {}", kept.id), "");
                let (word, why) = match &copy.review {
                    Some(why) => ("REVIEW", format!("{evidence}; {why}")),
                    None => ("COPY", evidence),
                };
                table.row([word, &copy.title, &page.time(copy.created), &copy.id, &why]);
            }
        }
        page.table(&table)?;
        if shown < self.sets.len() {
            page.line(format_args!("... and {} more sets (--all-sets)", self.sets.len() - shown))?;
        }
        page.blank()?;
        let sets = text::counted(self.sets.len() as u64, "set", "sets");
        let among = text::counted(self.read, self.words.0, self.words.1);
        let copies = text::counted(self.surplus, "copy", "copies");
        page.line(format_args!("{sets} among {among} of {}: {copies}, {} to review", self.name, self.review))?;
        if self.untitled > 0 {
            page.line(format_args!("{} without a title not compared", text::count(self.untitled)))?;
        }
        if !self.not_reported.is_empty() {
            page.line(format_args!("not reported by the API: {}", self.not_reported.join(", ")))?;
        }
        Ok(())
    }

    fn records(&self) -> serde_json::Result<Vec<Value>> {
        self.sets.iter().map(serde_json::to_value).collect()
    }

    fn empty_note(&self) -> Option<String> {
        self.sets.is_empty().then(|| self.none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_title_always_matches_and_each_field_counts_once() {
        let args = MatchArgs { fields: ["title", "due", " due", ""].map(str::to_owned).into(), keep: Keep::Oldest };
        assert_eq!((args.others(), args.matched()), (vec!["due"], "title, due".to_owned()));
    }

    #[test]
    fn evidence_says_how_far_apart() {
        let minute = 60_000;
        assert_eq!(apart(Time(minute), Time(0)), "made 1m later");
        assert_eq!(apart(Time(0), Time(minute)), "made 1m earlier");
        assert_eq!(apart(Time(5), Time(5)), "made in the same moment");
    }
}

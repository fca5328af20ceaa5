//! Where each change stands in the journal, so that a command reads its own change's lines and not everybody's.
//!
//! It is made from the journal and, once that is long, kept beside it. One that is missing, old or wrong is made anew,
//! and it only says where to read: what is shown comes from the journal's lines. [`Journal::verify`] does without it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::chain::{Journal, Line, hash};
use crate::files::{read_if_there, write_unsynced};
use crate::wire::Time;

/// The file's name.
const FILE: &str = "journal.index.json";

/// What may be read beyond the kept index before it is written anew: a short journal never gets one.
const BEYOND: u64 = 256 * 1024;

/// Lines of one change with less than this between them are read together.
const GAP: u64 = 16 * 1024;

/// Where one change stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    /// When it was opened.
    at: Time,
    /// Whether its end is written down, and nobody went on with it since.
    ended: bool,
    /// The bytes that hold its lines, and maybe some of others.
    pieces: Vec<Range<u64>>,
}

/// Where every change stands, up to a line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Index {
    /// The bytes of that line, its newline included.
    last: Range<u64>,
    /// Its SHA-256: whether this is still the journal that was read.
    hash: String,
    changes: BTreeMap<String, Place>,
}

/// What of a line says whose it is.
#[derive(Deserialize)]
struct Mark<'a> {
    at: Time,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default)]
    receipt: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    change: Option<Opened<'a>>,
}

#[derive(Deserialize)]
struct Opened<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

/// A journal that is being read.
#[derive(Debug)]
pub struct Reading {
    /// `None` before the first change.
    file: Option<File>,
    path: PathBuf,
    index: Index,
}

impl Journal {
    /// Opens it, and finds out where each change stands.
    pub fn read(&self) -> anyhow::Result<Reading> {
        let path = self.path();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Reading { file: None, path, index: Index::default() });
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let kept_at = self.directory().join(FILE);
        let mut index = Index::kept(&kept_at, &file).unwrap_or_default();
        let known = index.last.end;
        index.advance(&file).with_context(|| format!("cannot read {}", path.display()))?;
        if index.last.end - known > BEYOND
            && let Ok(text) = serde_json::to_vec(&index)
        {
            // Without it the next one reads as much again.
            let _ = write_unsynced(&kept_at, &text);
        }
        Ok(Reading { file: Some(file), path, index })
    }
}

impl Index {
    /// The one that is kept, if it is of this journal as it is now.
    fn kept(path: &std::path::Path, file: &File) -> Option<Self> {
        let index: Index = serde_json::from_str(&read_if_there(path).ok()??).ok()?;
        let last = piece(file, &index.last).ok()?;
        (hash(last.strip_suffix(b"\n")?) == index.hash).then_some(index)
    }

    /// Reads on to the last whole line.
    fn advance(&mut self, file: &File) -> std::io::Result<()> {
        let mut start = self.last.end;
        let text = piece(file, &(start..file.metadata()?.len().max(start)))?;
        let mut last: &[u8] = &[];
        for line in text.split_inclusive(|b| *b == b'\n').filter(|line| line.ends_with(b"\n")) {
            let bytes = start..start + line.len() as u64;
            start = bytes.end;
            if let Ok(mark) = serde_json::from_slice::<Mark<'_>>(line) {
                self.add(&mark, &bytes);
            }
            (self.last, last) = (bytes, line);
        }
        if let Some(line) = last.strip_suffix(b"\n") {
            self.hash = hash(line);
        }
        Ok(())
    }

    fn add(&mut self, mark: &Mark<'_>, bytes: &Range<u64>) {
        if let Some(opened) = &mark.change {
            let place = Place { at: mark.at, ended: false, pieces: vec![bytes.clone()] };
            self.changes.insert(opened.id.clone().into_owned(), place);
            return;
        }
        let Some(place) = mark.receipt.as_deref().and_then(|id| self.changes.get_mut(id)) else { return };
        match &*mark.event {
            "closed" => place.ended = true,
            "resumed" => place.ended = false,
            _ => {}
        }
        match place.pieces.last_mut() {
            Some(piece) if bytes.start - piece.end < GAP => piece.end = bytes.end,
            _ => place.pieces.push(bytes.clone()),
        }
    }
}

impl Reading {
    /// Whether there is a change with this id.
    pub fn has(&self, id: &str) -> bool {
        self.index.changes.contains_key(id)
    }

    /// The ids of all changes that were opened since then, newest first.
    pub fn since(&self, since: Option<Time>) -> Vec<String> {
        self.newest_first(|place| since.is_none_or(|since| place.at >= since))
    }

    /// The ids of those whose end is not written down, newest first.
    pub fn unended(&self) -> Vec<String> {
        self.newest_first(|place| !place.ended)
    }

    fn newest_first(&self, wanted: impl Fn(&Place) -> bool) -> Vec<String> {
        let mut changes: Vec<_> = self.index.changes.iter().filter(|(_, place)| wanted(place)).collect();
        changes.sort_by_key(|(id, place)| std::cmp::Reverse((place.at, *id)));
        changes.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// The lines of a change, oldest first. What cannot be read is for [`Journal::verify`] to name.
    pub fn lines_of(&self, id: &str) -> anyhow::Result<Vec<Line>> {
        let (Some(file), Some(place)) = (&self.file, self.index.changes.get(id)) else { return Ok(Vec::new()) };
        let mut lines = Vec::new();
        for bytes in &place.pieces {
            let text = piece(file, bytes).with_context(|| format!("cannot read {}", self.path.display()))?;
            let parsed = text.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice::<Line>(line).ok());
            lines.extend(parsed.filter(|line| line.event.receipt() == Some(id)));
        }
        Ok(lines)
    }
}

/// These bytes of the file.
fn piece(file: &File, bytes: &Range<u64>) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(bytes.end.saturating_sub(bytes.start)).map_err(|_| ErrorKind::InvalidData)?;
    let mut text = vec![0; length];
    file.read_exact_at(&mut text, bytes.start)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::event::Event;
    use super::*;
    use crate::guard::{Receipt, ReceiptState};
    use crate::redact::Redactor;
    use crate::server::testing::{Scratch, scratch};
    use crate::settings::Places;

    fn journal() -> (Scratch, Journal) {
        let dir = scratch("index");
        let journal = Journal::new(&Places::under(dir.path()), Redactor::default());
        (dir, journal)
    }

    /// A change of one item whose name takes this much room.
    fn change(journal: &Journal, n: i64, room: usize) -> String {
        let id = format!("r-{n}");
        let opened = Receipt { id: id.clone(), at: Time(n), title: "x".repeat(room), ..Receipt::for_tests(vec![]) };
        journal.append(Time(n), Event::Opened { change: Box::new(opened), planned: None }).unwrap();
        journal.append(Time(n), Event::Intent { receipt: id.clone(), item: 0, before: None }).unwrap();
        id
    }

    fn close(journal: &Journal, id: &str) {
        let (state, error, items) = (ReceiptState::Done, None, vec![]);
        journal.append(Time(9), Event::Closed { receipt: id.to_owned(), state, error, items }).unwrap();
    }

    #[test]
    fn each_change_has_its_own_lines_wherever_they_stand() {
        let (_dir, journal) = journal();
        assert_eq!(journal.read().unwrap().since(None), Vec::<String>::new());
        let first = change(&journal, 1, 10);
        let second = change(&journal, 2, 40_000);
        close(&journal, &second);
        close(&journal, &first);
        journal.append(Time(9), Event::Resumed { receipt: first.clone(), operator: "ana".into() }).unwrap();
        let reading = journal.read().unwrap();
        assert_eq!(reading.since(None), ["r-2", "r-1"]);
        assert_eq!(reading.since(Some(Time(2))), ["r-2"]);
        assert_eq!(reading.unended(), ["r-1"]);
        assert_eq!(reading.index.changes[&first].pieces.len(), 2, "another change's lines are between them");
        let kinds = |id: &str| reading.lines_of(id).unwrap().into_iter().map(|line| line.n).collect::<Vec<_>>();
        assert_eq!((kinds(&first), kinds(&second)), (vec![2, 3, 7, 8], vec![4, 5, 6]));
        assert_eq!(reading.lines_of("r-3").unwrap(), vec![]);
    }

    #[test]
    fn a_long_journal_keeps_it_and_reads_on_from_there() {
        let (_dir, journal) = journal();
        let kept = journal.directory().join(FILE);
        change(&journal, 1, 10);
        journal.read().unwrap();
        assert!(!kept.exists(), "a short one needs none");
        for n in 2..10 {
            change(&journal, n, 40_000);
        }
        let whole = journal.read().unwrap().index;
        let index: Index = serde_json::from_str(&std::fs::read_to_string(&kept).unwrap()).unwrap();
        assert_eq!(index, whole);
        // What is in it is not read again: it is believed as long as its last line is the journal's.
        let mut other = index;
        other.changes.remove("r-1").unwrap();
        std::fs::write(&kept, serde_json::to_vec(&other).unwrap()).unwrap();
        let id = change(&journal, 10, 10);
        let reading = journal.read().unwrap();
        assert_eq!((reading.has("r-1"), reading.has("r-2")), (false, true));
        assert_eq!(reading.lines_of(&id).unwrap().len(), 2);
    }

    #[test]
    fn one_that_is_not_of_this_journal_is_made_anew() {
        let (_dir, journal) = journal();
        let kept = journal.directory().join(FILE);
        for n in 1..10 {
            change(&journal, n, 40_000);
        }
        let whole = journal.read().unwrap().index;
        let bytes = std::fs::read(journal.path()).unwrap();
        for damaged in ["", "{}", "nonsense"] {
            std::fs::write(&kept, damaged).unwrap();
            assert_eq!(journal.read().unwrap().index, whole, "{damaged}");
        }
        // Cut off, and grown again past the place that the index knows.
        let cut = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
        std::fs::write(journal.path(), &bytes[..cut]).unwrap();
        assert_eq!(journal.read().unwrap().since(None), Vec::<String>::new());
        for n in 20..31 {
            change(&journal, n, 40_000);
        }
        assert_eq!(journal.read().unwrap().since(None).len(), 11);
    }

    #[test]
    fn a_torn_line_is_passed_over_until_it_is_whole() {
        let (_dir, journal) = journal();
        let id = change(&journal, 1, 10);
        let bytes = std::fs::read(journal.path()).unwrap();
        std::fs::write(journal.path(), &bytes[..bytes.len() - 5]).unwrap();
        assert_eq!(journal.read().unwrap().lines_of(&id).unwrap().len(), 1);
        std::fs::write(journal.path(), &bytes).unwrap();
        assert_eq!(journal.read().unwrap().lines_of(&id).unwrap().len(), 2);
    }
}

//! Whether the journal is whole.

use serde::Serialize;

use super::chain::{Head, Journal, Line, NOTHING_BEFORE, hash};
use super::event::Event;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flaw {
    /// Its place in the file, from 1.
    pub line: usize,
    /// What.
    pub what: String,
}

/// What a look at every line gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Every whole line's head, in order: what the server may have been told.
    pub heads: Vec<Head>,
    /// What breaks the chain.
    pub flaws: Vec<Flaw>,
    /// Lines torn by a crash, which break nothing: what was being written when the process died.
    pub torn: Vec<Flaw>,
}

impl Journal {
    /// Looks at every line and its place in the chain.
    pub fn verify(&self) -> anyhow::Result<Verified> {
        Ok(check(&self.text()?))
    }
}

fn check(text: &[u8]) -> Verified {
    let mut found = Verified::default();
    let mut last = Head { hash: NOTHING_BEFORE.into(), ..Head::default() };
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let unfinished = lines.pop().filter(|rest| !rest.is_empty());
    for (at, raw) in lines.iter().enumerate() {
        let number = at + 1;
        if lines.get(at + 1).is_some_and(|next| closes_off(next, raw)) {
            let what = format!("torn by a crash after {} bytes, and closed off", raw.len());
            found.torn.push(Flaw { line: number, what });
            continue;
        }
        let Ok(line) = serde_json::from_slice::<Line>(raw) else {
            found.flaws.push(Flaw { line: number, what: "it is damaged: it cannot be read".into() });
            continue;
        };
        if let Event::Begun { journal } = &line.event
            && last.n == 0
        {
            last.journal.clone_from(journal);
        }
        if line.prev != last.hash || line.n != last.n + 1 {
            let what = match last.n {
                0 => "it does not begin a journal: the lines before it are missing".to_owned(),
                n => format!("it does not follow line {n}: something before it was changed, added or removed"),
            };
            found.flaws.push(Flaw { line: number, what });
        }
        last = Head { journal: last.journal, n: line.n, hash: hash(raw) };
        found.heads.push(last.clone());
    }
    if let Some(rest) = unfinished {
        let what = format!("torn by a crash after {} bytes; the next change closes it off", rest.len());
        found.torn.push(Flaw { line: lines.len() + 1, what });
    }
    found
}

/// Whether a line says that the one before it is torn. Few are read for it: the word is rare.
fn closes_off(line: &[u8], torn: &[u8]) -> bool {
    if memchr::memmem::find(line, b"\"mended\"").is_none() {
        return false;
    }
    let event = serde_json::from_slice::<Line>(line).map(|line| line.event);
    matches!(event, Ok(Event::Mended { bytes, sha256 }) if bytes == torn.len() && sha256 == hash(torn))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::redact::Redactor;
    use crate::secret::Secret;
    use crate::server::testing::{Scratch, scratch};
    use crate::settings::Places;
    use crate::wire::Time;

    fn journal() -> (Scratch, Journal) {
        let dir = scratch("chain");
        let journal = Journal::new(&Places::under(dir.path()), Redactor::default());
        (dir, journal)
    }

    /// Another process's handle.
    fn other(dir: &Scratch) -> Journal {
        Journal::new(&Places::under(dir.path()), Redactor::default())
    }

    fn event(n: usize) -> Event {
        Event::Intent { receipt: format!("r-{n}"), item: n, before: None }
    }

    fn rewrite(journal: &Journal, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = journal.text().unwrap();
        change(&mut bytes);
        std::fs::write(journal.path(), bytes).unwrap();
    }

    #[test]
    fn every_flipped_byte_and_every_lost_line_is_found() {
        let (_dir, journal) = journal();
        for n in 0..4 {
            journal.append(Time(n), event(usize::try_from(n).unwrap())).unwrap();
        }
        let whole = journal.text().unwrap();
        let good = check(&whole);
        assert_eq!((good.heads.len(), good.flaws.len(), good.torn.len()), (5, 0, 0), "{good:?}");
        // The last line has nobody after it: only the server's copy of the head vouches for it.
        let last = whole.len() - whole.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap().len() - 1;
        for at in 0..last {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert_ne!(check(&bytes).flaws, vec![], "byte {at}");
        }
        let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
        for gone in 0..lines.len() - 1 {
            let kept: Vec<u8> =
                lines.iter().enumerate().filter(|(n, _)| *n != gone).flat_map(|(_, l)| l.to_vec()).collect();
            assert_ne!(check(&kept).flaws, vec![], "line {gone}");
        }
    }

    #[test]
    fn a_torn_line_is_named_and_closed_off_wherever_it_is_torn() {
        let (dir, journal) = journal();
        journal.append(Time(1), event(1)).unwrap();
        let whole = journal.text().unwrap();
        let start = whole.trim_ascii_end().iter().rposition(|b| *b == b'\n').unwrap() + 1;
        for cut in start + 1..whole.len() {
            std::fs::write(journal.path(), &whole[..cut]).unwrap();
            let torn = journal.verify().unwrap();
            assert_eq!((torn.flaws.len(), torn.torn.len()), (0, 1), "cut at {cut}");
            // Another process goes on.
            let other = other(&dir);
            other.append(Time(2), event(2)).unwrap();
            let mended = other.verify().unwrap();
            assert_eq!((mended.flaws.len(), mended.torn.len()), (0, 1), "cut at {cut}: {mended:?}");
            assert_eq!(mended.torn[0].line, 2);
            let text = other.text().unwrap();
            let last: Line =
                serde_json::from_slice(text.trim_ascii_end().rsplit(|b| *b == b'\n').next().unwrap()).unwrap();
            assert_eq!(last.event, event(2));
        }
    }

    #[test]
    fn two_writers_share_one_chain_and_a_long_line_is_found_again() {
        let (dir, one) = journal();
        let two = other(&dir);
        let long = Event::Intent { receipt: "x".repeat(200_000), item: 0, before: None };
        for n in 0..3 {
            one.append(Time(n), event(1)).unwrap();
            two.append(Time(n), long.clone()).unwrap();
        }
        let found = one.verify().unwrap();
        assert_eq!((found.heads.len(), found.flaws), (7, vec![]));
        assert_eq!(found.heads.iter().map(|h| h.n).collect::<Vec<_>>(), (1..=7).collect::<Vec<_>>());
    }

    #[test]
    fn what_follows_a_damaged_end_is_not_written() {
        let (_dir, journal) = journal();
        journal.append(Time(1), event(1)).unwrap();
        rewrite(&journal, |bytes| bytes.extend(b"{\"n\":3}\n"));
        let error = journal.append(Time(2), event(2)).unwrap_err();
        assert!(format!("{error:#}").contains("history verify"), "{error:#}");
        let mut file = std::fs::OpenOptions::new().append(true).open(journal.path()).unwrap();
        file.write_all(b"x").unwrap();
        assert!(journal.append(Time(2), event(2)).is_err());
    }

    #[test]
    fn secrets_are_taken_out() {
        let dir = scratch("chain");
        let redactor = Redactor::new([&Secret::new("ntn_0123456789")]);
        let journal = Journal::new(&Places::under(dir.path()), redactor);
        journal.append(Time(1), Event::Intent { receipt: "ntn_0123456789".into(), item: 0, before: None }).unwrap();
        let text = String::from_utf8(journal.text().unwrap()).unwrap();
        assert!(text.contains("(hidden)") && !text.contains("ntn_0"), "{text}");
        assert_eq!(journal.verify().unwrap().flaws, vec![]);
    }
}

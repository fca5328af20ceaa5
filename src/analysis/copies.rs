//! Which objects are copies of which: the same title but for case and white space, and whatever else is to match.
//!
//! Nothing fuzzy: two titles that are only alike are two titles. What is kept of an object is small, so that a database
//! of any size is compared in little memory; objects are sorted once all are there.

use std::fmt;
use std::str::FromStr;

use crate::wire::Time;

/// Longest title that is kept for people, in characters. The whole title is compared.
const SHOWN: usize = 60;

/// One object that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What makes it a copy: see [`key`].
    pub key: Key,
    /// Its id.
    pub id: Box<str>,
    /// Its title, cut to a readable length.
    pub title: Box<str>,
    /// When it was made.
    pub created: Time,
    /// When it was changed last.
    pub edited: Time,
    /// Where it is, as a number that its finder gave: a data source, a list.
    pub place: u16,
    /// How it looks, to see later whether it was touched meanwhile.
    pub print: Box<str>,
}

/// A digest of what has to match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key([u8; 16]);

/// The digest of a title and of the other values that have to match; `None` for an empty title, which is nobody's copy.
pub fn key(title: &str, others: &[String]) -> Option<Key> {
    let title = normal(title);
    if title.is_empty() {
        return None;
    }
    let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
    for part in std::iter::once(&title).chain(others) {
        digest.update(&(part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    let mut first = [0; 16];
    first.copy_from_slice(&digest.finish().as_ref()[..16]);
    Some(Key(first))
}

/// A title without case and superfluous white space.
pub fn normal(title: &str) -> String {
    let lower = title.to_lowercase();
    let mut words = lower.split_whitespace();
    let mut out = String::with_capacity(lower.len());
    if let Some(first) = words.next() {
        out.push_str(first);
    }
    for word in words {
        out.push(' ');
        out.push_str(word);
    }
    out
}

/// A title as it is kept for people.
pub fn shown(title: &str) -> Box<str> {
    crate::http::clip(title, SHOWN).into()
}

/// Which of several copies stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// The one that was made first.
    #[default]
    Oldest,
    /// The one that was made last.
    Newest,
    /// The one that was changed last.
    Edited,
}

impl Keep {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Keep::Oldest => "oldest",
            Keep::Newest => "newest",
            Keep::Edited => "edited",
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Keep {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        [Keep::Oldest, Keep::Newest, Keep::Edited]
            .into_iter()
            .find(|keep| keep.as_str() == text)
            .ok_or_else(|| format!("`{text}` is not one of oldest, newest, edited"))
    }
}

/// Copies of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The one that stays.
    pub kept: Seen,
    /// The others, oldest first.
    pub surplus: Vec<Seen>,
}

/// Puts copies together. Groups come in the order in which the ones that stay were made; an object that was seen twice
/// is one object.
pub fn groups(mut seen: Vec<Seen>, keep: Keep) -> Vec<Group> {
    seen.sort_unstable_by(|a, b| (a.key, a.created, &a.id).cmp(&(b.key, b.created, &b.id)));
    seen.dedup_by(|a, b| a.key == b.key && a.id == b.id);
    let mut groups = Vec::new();
    let mut rest = seen.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut copies = vec![first];
        while let Some(next) = rest.next_if(|next| next.key == copies[0].key) {
            copies.push(next);
        }
        if copies.len() > 1 {
            let at = match keep {
                Keep::Oldest => 0,
                Keep::Newest => copies.len() - 1,
                Keep::Edited => (0..copies.len()).max_by_key(|at| copies[*at].edited).unwrap_or(0),
            };
            let kept = copies.remove(at);
            groups.push(Group { kept, surplus: copies });
        }
    }
    groups.sort_by(|a, b| (a.kept.created, &a.kept.id).cmp(&(b.kept.created, &b.kept.id)));
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(id: &str, title: &str, created: i64, edited: i64) -> Seen {
        let key = key(title, &[]).unwrap();
        let (title, print) = (shown(title), Box::default());
        Seen { key, id: id.into(), title, created: Time(created), edited: Time(edited), place: 0, print }
    }

    #[test]
    fn case_and_white_space_do_not_matter_and_everything_else_does() {
        let same = |a: &str, b: &str| key(a, &[]) == key(b, &[]);
        assert!(same("Pay invoice 1042", "  pay\tINVOICE   1042 "));
        assert!(same("Überweisung", "ÜBERWEISUNG"));
        assert!(!same("Review Q4 budget", "Review Q3 budget"));
        assert!(!same("Fix login bug", "Fix the login bug"));
        assert_eq!(key(" \t", &[]), None);
        assert_ne!(key("a", &["b".into()]), key("a", &["c".into()]));
        assert_ne!(key("ab", &["c".into()]), key("a", &["bc".into()]));
    }

    #[test]
    fn one_stays_and_the_others_are_surplus() {
        let all =
            vec![seen("b", "Task", 2, 9), seen("c", "task", 3, 3), seen("a", "TASK", 1, 1), seen("x", "Other", 1, 1)];
        let ids = |keep| {
            let groups = groups(all.clone(), keep);
            assert_eq!(groups.len(), 1);
            let surplus: Vec<_> = groups[0].surplus.iter().map(|s| s.id.to_string()).collect();
            format!("{}: {}", groups[0].kept.id, surplus.join(" "))
        };
        assert_eq!(ids(Keep::Oldest), "a: b c");
        assert_eq!(ids(Keep::Newest), "c: a b");
        assert_eq!(ids(Keep::Edited), "b: a c");
    }

    #[test]
    fn an_object_that_was_seen_twice_is_no_copy_of_itself() {
        assert_eq!(groups(vec![seen("a", "Task", 1, 1), seen("a", "Task", 1, 1)], Keep::Oldest), []);
    }
}

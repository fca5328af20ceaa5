//! The file in which waiting actions move from one orchestrator to another, and what this machine's journal knows of it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::engine::canonical::sha256_hex;
use crate::error::{Fault, Kind};
use crate::files;
use crate::guard::{Receipt, ReceiptState};
use crate::wire::{EffectKind, Time, WaitingRequest};

/// Most actions of one file; a longer queue is moved in several.
pub(super) const MOST: u64 = 10_000;
/// The format that this build writes, and the only one it reads.
const FORMAT: &str = "opsctl queue 1";
/// The same while its export has not ended: what it holds may wait where it comes from.
const UNFINISHED: &str = "opsctl queue 1, unfinished";

/// The first line of a file: what it is, and the digest of the other lines.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    format: String,
    export: String,
    from: String,
    at: Time,
    items: u64,
    sha256: String,
}

/// Actions on their way.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    /// Key of the export's receipt: what the journal knows it by.
    pub export: String,
    /// Where they were taken out.
    pub from: String,
    /// When.
    pub at: Time,
    /// The actions, in their order.
    pub requests: Vec<WaitingRequest>,
}

impl Moved {
    /// Writes the file, for its owner only.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        self.write_as(FORMAT, path)
    }

    /// Writes what is about to be taken out.
    pub fn write_unfinished(&self, path: &Path) -> anyhow::Result<()> {
        self.write_as(UNFINISHED, path)
    }

    fn write_as(&self, format: &str, path: &Path) -> anyhow::Result<()> {
        let mut lines = String::new();
        for waiting in &self.requests {
            lines.push_str(&serde_json::to_string(waiting)?);
            lines.push('\n');
        }
        let heading = Heading {
            format: format.into(),
            export: self.export.clone(),
            from: self.from.clone(),
            at: self.at,
            items: self.requests.len() as u64,
            sha256: sha256_hex(&lines, 64),
        };
        files::write_whole(path, format!("{}\n{lines}", serde_json::to_string(&heading)?).as_bytes(), true)
    }

    /// Reads a file whose export has ended.
    pub fn read(path: &Path) -> anyhow::Result<Moved> {
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                let fault = Fault::new(Kind::NotFound, format!("cannot import {}", path.display()));
                fault.because("no such file is there").hint("name a file that `opsctl state export` wrote")
            }
            _ => unreadable(path, error.to_string()),
        })?;
        Ok(parse(&text, FORMAT).map_err(|why| unreadable(path, why))?)
    }

    /// Reads what an export that did not end was about to take out; `None` when there is none.
    pub fn read_unfinished(path: &Path) -> anyhow::Result<Option<Moved>> {
        let Some(text) = files::read_if_there(path)? else { return Ok(None) };
        let moved = parse(&text, UNFINISHED).map_err(|why| {
            Fault::usage(format!("cannot go on with {}", path.display())).because(why).hint(
                "name another file; what an earlier export took out is in the view `removed` of the queue's items",
            )
        })?;
        Ok(Some(moved))
    }
}

fn unreadable(path: &Path, why: String) -> Fault {
    Fault::usage(format!("cannot import {}", path.display()))
        .because(why)
        .hint("name a file that `opsctl state export` wrote, as it wrote it")
}

/// A whole file of this format, or what is wrong with it; never a word of what is in it.
fn parse(text: &str, format: &str) -> Result<Moved, String> {
    let (first, lines) = text.split_once('\n').unwrap_or((text, ""));
    let heading = serde_json::from_str::<Heading>(first).ok().filter(|heading| heading.format.starts_with(FORMAT));
    let heading = heading.ok_or_else(|| format!("its first line is not that of `{FORMAT}`"))?;
    match (heading.format == format, heading.format == UNFINISHED) {
        (true, _) => {}
        (false, true) => return Err("its export did not end: repeat that, it goes on where it stopped".into()),
        (false, false) => return Err(format!("it is a `{}`, and this opsctl knows `{format}`", heading.format)),
    }
    let found = lines.lines().count() as u64;
    if found != heading.items {
        return Err(format!("it was cut off or added to: it has {found} actions, and says {}", heading.items));
    }
    if sha256_hex(lines, 64) != heading.sha256 {
        return Err("it was changed after it was written: its digest is another one".into());
    }
    if heading.items > MOST {
        return Err(format!("it has {} actions, and no more than {MOST} move at once", heading.items));
    }
    let requests = lines.lines().enumerate().map(|(n, line)| {
        // The parser's own words could repeat what is in it.
        serde_json::from_str(line).map_err(|_| format!("line {} is no action that this opsctl knows", n + 2))
    });
    let requests = requests.collect::<Result<_, _>>()?;
    Ok(Moved { export: heading.export, from: heading.from, at: heading.at, requests })
}

/// The name a file has while its export has not ended.
pub(super) fn unfinished(file: &Path) -> PathBuf {
    PathBuf::from(format!("{}.part", file.display()))
}

/// What imports of a file and undos of its export are about, in the journal and for their lease.
pub(in crate::commands) fn subject(export: &str) -> String {
    format!("export {export}")
}

/// What was done with what an export took out, as far as this machine's journal knows.
pub(in crate::commands) struct Uses {
    /// Imports that put some of it into a queue, or may have.
    pub imports: Vec<Receipt>,
    /// Undos of the export that put some of it back, or may have.
    pub undos: Vec<Receipt>,
}

impl Uses {
    /// Looks them up; the receipt of the change that asks is not one of them.
    pub fn of(app: &App, export: &str, since: Time, but: Option<&str>) -> anyhow::Result<Uses> {
        let subject = subject(export);
        let mut uses = Uses { imports: Vec::new(), undos: Vec::new() };
        for receipt in app.receipts.since(Some(since))? {
            let receipt = receipt?;
            if receipt.subject.as_deref() != Some(&subject) || Some(receipt.id.as_str()) == but || did_nothing(&receipt)
            {
                continue;
            }
            match receipt.verb.as_str() {
                "undo" => uses.undos.push(receipt),
                _ => uses.imports.push(receipt),
            }
        }
        Ok(uses)
    }

    /// Refuses an import once the export was taken back: its actions wait where they came from.
    pub fn ensure_not_undone(&self, file: &Path) -> Result<(), Fault> {
        let Some(undo) = self.undos.first() else { return Ok(()) };
        let id = &undo.id;
        Err(Fault::new(Kind::Conflict, format!("cannot import {}", file.display()))
            .because(format!("its export was taken back in `{}` by {id}: they would be executed twice", undo.context))
            .hint(format!("opsctl --context {} state export FILE, for what waits there now", undo.context)))
    }

    /// Refuses an undo once an import has ended: what was taken out is elsewhere.
    pub fn ensure_not_imported(&self, export: &Receipt) -> Result<(), Fault> {
        let Some(import) = self.imports.iter().find(|import| import.state == ReceiptState::Done) else { return Ok(()) };
        let (id, there, here) = (&import.id, &import.context, &export.context);
        let back =
            format!("opsctl --context {there} state export FILE, then opsctl --context {here} state import FILE");
        Err(Fault::new(Kind::Conflict, format!("{} cannot be taken back", export.id))
            .because(format!("what it took out was put into `{there}` by {id}: it would be executed twice"))
            .hint(back))
    }
}

/// Whether a change is known to have put nothing anywhere.
fn did_nothing(receipt: &Receipt) -> bool {
    let counts = |effect| matches!(effect, EffectKind::Applied | EffectKind::Accepted | EffectKind::AlreadySo);
    receipt.state == ReceiptState::Done && !receipt.items.iter().any(|item| counts(item.effect))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Explained;
    use crate::server::testing::scratch;

    fn moved(actions: u64) -> Moved {
        let line = r#"{"actionId":"a-1","request":{"type":"create","platform":"trello","data":{"name":"planted"}}}"#;
        let requests = (0..actions).map(|_| serde_json::from_str(line).unwrap()).collect();
        Moved { export: "k".into(), from: "http://h".into(), at: Time(1), requests }
    }

    fn why(error: &anyhow::Error) -> String {
        let explained = Explained::from_error(error);
        assert_eq!(explained.kind, Kind::Usage);
        assert!(explained.hint.is_some());
        explained.causes.concat()
    }

    #[test]
    fn a_file_is_read_as_it_was_written_or_not_at_all() {
        let dir = scratch("moved");
        let path = dir.path().join("queue.jsonl");
        moved(3).write(&path).unwrap();
        let read = Moved::read(&path).unwrap();
        assert_eq!((read.requests.len(), read.export.as_str(), read.from.as_str()), (3, "k", "http://h"));
        let whole = std::fs::read_to_string(&path).unwrap();
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            why(&Moved::read(&path).unwrap_err())
        };
        let torn = of(&whole[..whole.len() - 20]);
        assert!(torn.contains("changed after it was written"), "{torn}");
        assert!(of(whole.trim_end().rsplit_once('\n').unwrap().0).contains("it has 2 actions, and says 3"));
        assert!(of(&format!("{whole}{{}}\n")).contains("it has 4 actions, and says 3"));
        let altered = of(&whole.replace("planted", "strange"));
        assert!(altered.contains("changed after it was written") && !altered.contains("strange"), "{altered}");
        assert!(of(&whole.replace("opsctl queue 1", "opsctl queue 17")).contains("this opsctl knows `opsctl queue 1`"));
        for other in ["", "hello\n", "{}\n"] {
            assert!(of(other).contains("its first line"), "{other}");
        }
        std::fs::remove_file(&path).unwrap();
        let missing = Explained::from_error(&Moved::read(&path).unwrap_err());
        assert_eq!(missing.kind, Kind::NotFound);
    }

    #[test]
    fn what_may_still_wait_where_it_comes_from_is_not_imported() {
        let dir = scratch("moved");
        let path = dir.path().join("queue.jsonl.part");
        assert!(Moved::read_unfinished(&path).unwrap().is_none());
        moved(2).write_unfinished(&path).unwrap();
        assert_eq!(Moved::read_unfinished(&path).unwrap().unwrap().requests.len(), 2);
        assert!(why(&Moved::read(&path).unwrap_err()).contains("its export did not end"));
        moved(2).write(&path).unwrap();
        assert!(Moved::read_unfinished(&path).is_err(), "somebody else's file");
    }

    #[test]
    fn no_more_than_a_file_holds_is_imported_at_once() {
        let dir = scratch("moved");
        let path = dir.path().join("queue.jsonl");
        moved(MOST + 1).write(&path).unwrap();
        assert!(why(&Moved::read(&path).unwrap_err()).contains("it has 10001 actions"));
    }
}

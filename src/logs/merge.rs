//! The parts of a log as one: every line in the order of time, whichever of the files it stands in.
//!
//! Each part is read by a thread of its own, a few pieces ahead of what was handed on, so that memory does not grow with
//! the log.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::ask::{self, Sources};
use super::layout::Log;
use super::query::Query;
use crate::wire::Time;

/// Bytes of a piece, lines being whole, and the pieces that a reader is ahead.
const PIECE: usize = 32 * 1024;
const AHEAD: usize = 2;

/// Lines in a row.
#[derive(Default)]
struct Piece {
    bytes: Vec<u8>,
    /// For each line when it was written, and where it ends.
    lines: Vec<(Time, usize)>,
}

/// A part as far as it was handed on.
struct Head {
    pieces: Receiver<Piece>,
    piece: Piece,
    /// The line that is next, and where it begins.
    next: usize,
    start: usize,
}

impl Head {
    /// When the next line was written; `None` at the end.
    fn time(&mut self) -> Option<Time> {
        while self.next == self.piece.lines.len() {
            self.piece = self.pieces.recv().ok()?;
            (self.next, self.start) = (0, 0);
        }
        Some(self.piece.lines[self.next].0)
    }

    /// The next line, of which there is one.
    fn take(&mut self) -> &[u8] {
        let (_, end) = self.piece.lines[self.next];
        let line = &self.piece.bytes[self.start..end];
        (self.next, self.start) = (self.next + 1, end);
        line
    }
}

/// Every line that a query lets through. Of lines of one moment that of the earlier part comes first; what is out of order
/// inside a part stays so.
pub(super) fn in_order(log: &Log, query: &Query, each: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Sources {
    std::thread::scope(|threads| {
        let (mut heads, mut readers) = (Vec::new(), Vec::new());
        for part in &log.parts {
            let (send, pieces) = sync_channel(AHEAD);
            heads.push(Head { pieces, piece: Piece::default(), next: 0, start: 0 });
            let log = Log { parts: vec![part.clone()] };
            readers.push(threads.spawn(move || read(&log, query, &send)));
        }
        loop {
            let times = heads.iter_mut().enumerate().filter_map(|(at, head)| Some((head.time()?, at)));
            let Some((_, first)) = times.min() else { break };
            if each(heads[first].take()).is_break() {
                break;
            }
        }
        // Whoever still reads ends at its next piece.
        drop(heads);
        let mut sources = Sources::default();
        for reader in readers {
            sources.add(reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        sources
    })
}

fn read(log: &Log, query: &Query, pieces: &SyncSender<Piece>) -> Sources {
    let mut piece = Piece::default();
    // A line without a time belongs where it stands, behind the one before it.
    let mut at = Time(i64::MIN);
    let sources = ask::each(log, query, &[], &mut |_, found| {
        at = found.time().unwrap_or(at);
        piece.bytes.extend_from_slice(found.bytes);
        piece.lines.push((at, piece.bytes.len()));
        if piece.bytes.len() >= PIECE && pieces.send(std::mem::take(&mut piece)).is_err() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    let _ = pieces.send(piece);
    sources
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::files::Family;
    use crate::logs::layout::Part;

    #[test]
    fn parts_come_in_the_order_of_time_however_long_they_are() {
        let folder = std::env::temp_dir().join(format!("opsctl-merge-{:x}", fastrand::u64(..)));
        std::fs::create_dir_all(&folder).unwrap();
        const LINES: i64 = 30_000;
        // Line n is in part n % 3; the second part has lines without a time, each of which stays behind the one before.
        let mut parts = Vec::new();
        for part in 0..3 {
            let text: String = (0..LINES)
                .filter(|n| n % 3 == part)
                .map(|n| {
                    let bare = if part == 1 && n % 5 == 0 { format!("{{\"behind\":{n}}}\n") } else { String::new() };
                    format!("{{\"n\":{n},\"timestamp\":\"{}\"}}\n{bare}", Time(1_760_000_000_000 + n * 7))
                })
                .collect();
            let path = folder.join(format!("{part}.log"));
            std::fs::write(&path, text).unwrap();
            parts.push(Part { family: Family { name: part.to_string(), files: vec![path] }, until: None });
        }
        let log = Log { parts };
        let mut expected = 0;
        let sources = in_order(&log, &Query::default(), &mut |line| {
            let line = String::from_utf8_lossy(line);
            match line.strip_prefix("{\"behind\":") {
                Some(n) => assert_eq!(n, format!("{}}}", expected - 1)),
                None => {
                    assert!(line.starts_with(&format!("{{\"n\":{expected},")), "{line} instead of {expected}");
                    expected += 1;
                }
            }
            ControlFlow::Continue(())
        });
        assert_eq!((expected, sources.files.len(), sources.account.unreadable), (LINES, 3, 0));

        let mut seen = 0;
        in_order(&log, &Query::default(), &mut |_| {
            seen += 1;
            if seen < 100 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert_eq!(seen, 100, "whoever has enough is left alone, and the readers end");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

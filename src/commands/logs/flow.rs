//! `-o jsonl` without `--limit`: every line that fits, as it is found, oldest first. Neither end of it holds more than a
//! few pieces, however much it is.

use std::io;
use std::ops::ControlFlow;

use tokio::sync::mpsc;

use super::lines::label;
use super::place::{self, Place};
use crate::app::App;
use crate::logs::layout::Log;
use crate::logs::page;
use crate::logs::query::Query;
use crate::redact::masked_line;
use crate::wire::{LineFilter, LogName, LogRecord, LogSource};

/// Pieces between the reader and the writer.
const AHEAD: usize = 4;
/// Bytes of a piece, lines being whole.
const PIECE: usize = 64 * 1024;

/// Writes the lines. `labelled` adds the label of each line's trouble.
pub(super) async fn write(
    app: &App,
    found: &Place,
    name: LogName,
    filter: &LineFilter,
    query: &Query,
    labelled: bool,
) -> anyhow::Result<LogSource> {
    match found {
        Place::Files(log) | Place::Named(log) => local(app, Some(log.clone()), query, labelled).await,
        Place::Input => local(app, None, query, labelled).await,
        Place::Api => {
            let mut records = place::records(app, name, filter).await?;
            let mut piece = String::new();
            loop {
                match records.next().await? {
                    LogRecord::Line { line } => push(&mut piece, line.to_string().as_bytes(), labelled),
                    LogRecord::End { source } => {
                        app.output.write(&piece)?;
                        return Ok(source);
                    }
                }
                if piece.len() >= PIECE {
                    app.output.write(&std::mem::take(&mut piece))?;
                }
                if app.output.is_closed() {
                    return Ok(LogSource::default());
                }
            }
        }
    }
}

/// Reads on a thread of its own, a few pieces ahead of what is written.
async fn local(app: &App, log: Option<Log>, query: &Query, labelled: bool) -> anyhow::Result<LogSource> {
    let (send, mut pieces) = mpsc::channel::<String>(AHEAD);
    let query = query.clone();
    let reader = tokio::task::spawn_blocking(move || {
        let mut piece = String::with_capacity(PIECE + PIECE / 4);
        let mut each = |line: &[u8]| {
            push(&mut piece, line, labelled);
            let full = piece.len() >= PIECE;
            // The writer goes away when its own reader does.
            if full && send.blocking_send(std::mem::take(&mut piece)).is_err() {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        let source = match &log {
            Some(log) => Ok(page::each(log, &query, &mut each)),
            None => page::each_of_stream(io::stdin(), "standard input", &query, &mut each),
        };
        let _ = send.blocking_send(piece);
        source
    });
    while let Some(piece) = pieces.recv().await {
        app.output.write(&piece)?;
        if app.output.is_closed() {
            pieces.close();
        }
    }
    Ok(reader.await??)
}

fn push(piece: &mut String, line: &[u8], labelled: bool) {
    let text = String::from_utf8_lossy(line);
    let text = masked_line(&text);
    let told = labelled.then(|| serde_json::from_slice(line).ok().and_then(|line| label(&line))).flatten();
    match (told, text.trim_end().strip_suffix('}')) {
        (Some(label), Some(inside)) => piece.push_str(&format!("{inside},\"label\":\"{label}\"}}")),
        _ => piece.push_str(&text),
    }
    piece.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_passes_as_it_stands_with_its_label() {
        let mut piece = String::new();
        push(&mut piece, br#"{"n":1.0e5,"message":"timed out"}"#, false);
        push(&mut piece, br#"{"n":1.0e5,"message":"timed out"} "#, true);
        push(&mut piece, br#"{"message":"fine"}"#, true);
        assert_eq!(
            piece,
            "{\"n\":1.0e5,\"message\":\"timed out\"}\n{\"n\":1.0e5,\"message\":\"timed out\",\"label\":\"timeout\"}\n\
             {\"message\":\"fine\"}\n"
        );
    }
}

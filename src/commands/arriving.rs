//! Rows that come one by one from places that answer when they can: each is written as it comes, in columns of fixed
//! width, so that lines written at different times stand under each other.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};

use crate::app::App;
use crate::output::{Format, Style, Tone};
use crate::settings::Source;

/// The limit for a whole command: its own unless `--timeout` or its like says otherwise.
pub fn limit(app: &App, own: Duration) -> Duration {
    match app.settings.timeout.source {
        Source::Default => own,
        _ => app.settings.timeout.value,
    }
}

/// Collects rows; on a table each is written when it comes, and the caller writes nothing more.
pub async fn collect<T>(
    app: &App,
    heading: &str,
    rows: impl Stream<Item = T>,
    line: impl Fn(&T, &Style) -> String,
) -> anyhow::Result<Vec<T>> {
    let table = app.output.format == Format::Table;
    let style = Style { now: app.now(), ..app.output.stdout };
    if table {
        app.output.write(&format!("{}\n", style.paint(heading, Tone::Strong)))?;
    }
    let mut rows = std::pin::pin!(rows);
    let mut all = Vec::new();
    while let Some(row) = rows.next().await {
        if table {
            app.output.write(&format!("{}\n", line(&row, &style).trim_end()))?;
        }
        all.push(row);
    }
    Ok(all)
}

/// A state word in a column of this width, in its colour.
pub fn state(style: &Style, word: &str, width: usize) -> String {
    let padded = format!("{word:<width$}");
    Tone::of_word(word).map_or(padded.clone(), |tone| style.paint(&padded, tone))
}

/// The last column: cut to what is left of the terminal's line after the `before` columns.
pub fn rest(style: &Style, text: &str, before: usize) -> String {
    let text = crate::output::shown(text).replace('\n', " ");
    match style.width {
        Some(width) => crate::http::clip(&text, width.saturating_sub(before).max(20)),
        None => text,
    }
}

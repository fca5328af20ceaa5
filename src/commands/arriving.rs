//! Rows that come one by one from places that answer when they can: each is written as it comes, in columns of fixed
//! width, so that lines written at different times stand under each other.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};

use crate::app::App;
use crate::output::{Format, Style, Tone, folded, shown};
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

/// The last column: on a terminal what does not fit into its line goes on below, after the `before` columns.
pub fn rest(style: &Style, text: &str, before: usize) -> String {
    let text = shown(text).replace('\n', " ");
    let Some(width) = style.width else { return text };
    let lines = folded(&format!("{:before$}{text}", ""), width.max(before + 20), before);
    lines.join("\n").trim_start().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_goes_on_under_its_column() {
        let style = Style { width: Some(40), ..Style::plain() };
        let row = |text: &str| format!("notion    FAIL  {}", rest(&style, text, 16));
        assert_eq!(row("not now"), "notion    FAIL  not now");
        assert_eq!(
            row("Service unavailable: please try again later"),
            "notion    FAIL  Service unavailable:\n                please try again later"
        );
        assert_eq!(rest(&Style::plain(), "as long as it is", 2), "as long as it is");
    }
}

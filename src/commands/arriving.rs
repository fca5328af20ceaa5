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
            let lines: Vec<String> = line(&row, &style).lines().map(|line| format!("{}\n", line.trim_end())).collect();
            app.output.write(&lines.concat())?;
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

/// Where text begins that a column is too narrow for.
const BELOW: usize = 4;

/// The last column: on a terminal what does not fit into its line goes on below, after the `before` columns; a text with
/// a word that is too long for that, such as an account, stands below the row.
pub fn rest(style: &Style, text: &str, before: usize) -> String {
    let text = shown(text).replace('\n', " ");
    let Some(width) = style.width else { return text };
    let longest = text.split(' ').map(|word| word.chars().count()).max().unwrap_or_default();
    if longest > width.saturating_sub(before) && longest <= width.saturating_sub(BELOW) {
        return format!("\n{}", folded(&format!("{:BELOW$}{text}", ""), width, BELOW).join("\n"));
    }
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
        assert_eq!(
            row("ops@example.com, who sees the log of it"),
            "notion    FAIL  ops@example.com, who\n                sees the log of it"
        );
        let narrow = rest(&style, "orchestrator@sandbox.example.com, who sees the log", 16);
        assert_eq!(narrow, "\n    orchestrator@sandbox.example.com,\n    who sees the log");
        assert_eq!(rest(&Style::plain(), "as long as it is", 2), "as long as it is");
    }
}

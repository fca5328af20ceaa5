//! A document as Markdown, with the tables' columns lined up so that it reads as plain text too.

use std::fmt::Write as _;

use super::{Document, Grid, cell};

impl Document {
    /// As Markdown.
    pub fn markdown(&self) -> String {
        let mut out = format!("# {}\n", escaped(&self.title));
        let paragraph = |out: &mut String, text: &str| {
            let _ = write!(out, "\n{}\n", escaped(text));
        };
        self.lead.iter().for_each(|text| paragraph(&mut out, text));
        for section in &self.sections {
            let _ = write!(out, "\n## {}\n", escaped(&section.heading));
            section.text.iter().for_each(|text| paragraph(&mut out, text));
            if let Some(grid) = section.rows() {
                out.push('\n');
                table(&mut out, grid);
            }
        }
        out
    }
}

fn table(out: &mut String, grid: &Grid) {
    let columns: Vec<_> = grid.columns().collect();
    let rows: Vec<Vec<String>> =
        grid.rows.iter().map(|row| row.iter().map(|text| escaped(cell(text))).collect()).collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(at, (heading, _))| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count());
            cells.chain([heading.chars().count(), 3]).max().unwrap_or(3)
        })
        .collect();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        let cells: Vec<String> = cells.collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    };
    let padded = |text: &str, width: usize, right: bool| {
        if right { format!("{text:>width$}") } else { format!("{text:<width$}") }
    };
    let shapes: Vec<(usize, bool)> = widths.iter().copied().zip(columns.iter().map(|(_, right)| *right)).collect();
    line(&mut columns.iter().zip(&shapes).map(|((heading, _), (width, right))| padded(heading, *width, *right)));
    line(&mut shapes.iter().map(|(width, right)| match right {
        true => format!("{}:", "-".repeat(width - 1)),
        false => "-".repeat(*width),
    }));
    for row in &rows {
        line(&mut row.iter().zip(&shapes).map(|(text, (width, right))| padded(text, *width, *right)));
    }
}

/// Text of others stays text: no tables, emphasis, links or tags come out of it.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '`' | '<' | '>' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_whitespace() => out.push(' '),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;

    #[test]
    fn tables_line_up_and_text_of_others_stays_text() {
        assert_eq!(
            sample().markdown(),
            "# Report\n\nOctober.\n\n## Platforms\n\nTwo & more.\n\n\
             | PLATFORM   | ENDED | STATUS |\n| ---------- | ----: | ------ |\n| notion     | 1,204 | OK     |\n\
             | a\\|b \\<i\\> |     - | WARN   |\n\n## Incidents\n\nNone.\n"
        );
    }
}

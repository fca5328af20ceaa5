//! A document: sections with tables and plots. One content; drawn on a terminal, as Markdown, and as a page that needs
//! neither network nor script.

mod html;
mod markdown;
mod plot;

use std::io;
use std::path::{Path, PathBuf};

pub use plot::{Kind, Plot, Series};

use super::{Page, Table};
use crate::error::Fault;
use crate::files::write_whole;

/// A document.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Its title.
    pub title: String,
    /// What to know first, a paragraph each.
    pub lead: Vec<String>,
    /// Its parts.
    pub sections: Vec<Section>,
}

/// A part of a document.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// What to know before the table, or that there is nothing.
    pub text: Vec<String>,
    /// Plots; only a page has them.
    pub plots: Vec<Plot>,
    /// Rows under headings.
    pub grid: Option<Grid>,
}

/// Rows under headings. A heading that starts with `>` makes its column right-aligned; an empty cell is drawn as `-`.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The headings.
    pub headings: &'static [&'static str],
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// A page.
    Html,
    /// Markdown.
    Markdown,
}

/// A file to write a document to; its ending says how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentFile {
    path: PathBuf,
    format: FileFormat,
}

impl std::str::FromStr for DocumentFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = PathBuf::from(text);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let format = match ending.as_deref() {
            Some("html" | "htm") => FileFormat::Html,
            Some("md" | "markdown") => FileFormat::Markdown,
            _ => return Err("its name has to end in .html or .md".into()),
        };
        Ok(DocumentFile { path, format })
    }
}

impl DocumentFile {
    /// The path it will be written to. Asked before anything else is done, so that a wrong place is refused at once.
    pub fn checked(&self) -> Result<PathBuf, Fault> {
        let refuse = |why: String| Fault::usage(format!("cannot write {}", self.path.display())).because(why);
        // A bare name has an empty parent; the folder it means is this one.
        let path = std::path::absolute(&self.path).map_err(|error| refuse(error.to_string()))?;
        if path.is_dir() {
            return Err(refuse("it is a folder".into()).hint("name a file in it"));
        }
        match path.parent() {
            Some(folder) if !folder.is_dir() => {
                let why = format!("there is no folder {}", folder.display());
                Err(refuse(why).hint("make the folder, or name another place"))
            }
            _ => Ok(path),
        }
    }

    /// Writes the document; a file that is there is replaced whole.
    pub fn write(&self, path: &Path, document: &Document) -> anyhow::Result<()> {
        let text = match self.format {
            FileFormat::Html => document.html(),
            FileFormat::Markdown => document.markdown(),
        };
        write_whole(path, text.as_bytes(), false)
    }
}

impl Section {
    /// A part with rows under headings.
    pub fn table(heading: impl Into<String>, headings: &'static [&'static str], rows: Vec<Vec<String>>) -> Self {
        Section { heading: heading.into(), grid: Some(Grid { headings, rows }), ..Section::default() }
    }

    /// With a paragraph before its table.
    #[must_use]
    pub fn saying(mut self, text: impl Into<String>) -> Self {
        self.text.push(text.into());
        self
    }

    /// With plots.
    #[must_use]
    pub fn plotting(mut self, plots: impl IntoIterator<Item = Plot>) -> Self {
        self.plots.extend(plots);
        self
    }

    /// Its table, if that has rows.
    fn rows(&self) -> Option<&Grid> {
        self.grid.as_ref().filter(|grid| !grid.rows.is_empty())
    }
}

impl Document {
    /// On a terminal: the tables, and the words around them.
    pub fn draw(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.heading(&self.title)?;
        self.lead.iter().try_for_each(|text| page.folded(text, 0))?;
        for section in &self.sections {
            page.blank()?;
            page.heading(&section.heading)?;
            section.text.iter().try_for_each(|text| page.folded(text, 0))?;
            if let Some(grid) = section.rows() {
                let mut table = Table::new(grid.headings);
                grid.rows.iter().for_each(|row| table.row(row));
                page.table(&table)?;
            }
        }
        Ok(())
    }
}

impl Grid {
    /// The headings with whether their column is right-aligned.
    fn columns(&self) -> impl Iterator<Item = (&'static str, bool)> {
        self.headings.iter().map(|heading| match heading.strip_prefix('>') {
            Some(rest) => (rest, true),
            None => (*heading, false),
        })
    }
}

/// A cell as it is shown.
fn cell(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Style;

    pub(super) fn sample() -> Document {
        let rows = vec![
            vec!["notion".to_owned(), "1,204".to_owned(), "OK".to_owned()],
            vec!["a|b <i>".to_owned(), String::new(), "WARN".to_owned()],
        ];
        let table = Section::table("Platforms", &["PLATFORM", ">ENDED", "STATUS"], rows).saying("Two & more.");
        let none = Section { heading: "Incidents".into(), text: vec!["None.".into()], ..Section::default() };
        Document { title: "Report".into(), lead: vec!["October.".into()], sections: vec![table, none] }
    }

    #[test]
    fn a_terminal_gets_the_tables() {
        let mut out = Vec::new();
        let mut page = Page::new(&mut out, Style::plain());
        sample().draw(&mut page).unwrap();
        page.finish().unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Report\nOctober.\n\nPlatforms\nTwo & more.\nPLATFORM  ENDED  STATUS\nnotion    1,204  OK\n\
             a|b <i>       -  WARN\n\nIncidents\nNone.\n"
        );
    }

    #[test]
    fn a_file_is_named_by_its_ending_and_its_folder_has_to_be_there() {
        for wrong in ["report", "report.pdf", ".html", "a.md/"] {
            let parsed = wrong.parse::<DocumentFile>();
            assert!(parsed.is_err() || wrong == "a.md/", "{wrong}");
        }
        let dir = crate::server::testing::scratch("document");
        let at = |name: &str| dir.path().join(name).to_str().unwrap().parse::<DocumentFile>().unwrap();
        assert!(at("no/such/report.html").checked().unwrap_err().causes[0].contains("there is no folder"));
        std::fs::create_dir(dir.path().join("x.md")).unwrap();
        assert!(at("x.md").checked().unwrap_err().causes[0].contains("is a folder"));
        let file = at("report.MD");
        let path = file.checked().unwrap();
        file.write(&path, &sample()).unwrap();
        assert!(std::fs::read_to_string(path).unwrap().starts_with("# Report\n"));
    }
}

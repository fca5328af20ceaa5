//! Where log lines are kept: files, their rotated and compressed predecessors, folders, standard input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::csv::Rows;

/// Bytes read at once of what is unpacked.
const PACKED: usize = 256 * 1024;
/// How the names of files with rows end.
const CSV: &str = ".csv";

/// A log with its rotated predecessors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name below the folder, without extension: `application`, `executors/notion`.
    pub name: String,
    /// Its files, newest first.
    pub files: Vec<PathBuf>,
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A log that is open.
pub enum Open {
    /// A file that can be read from anywhere, with its length when it was opened.
    File(File, u64),
    /// Something that can only be read once, from the beginning.
    Stream(Box<dyn Read + Send>),
}

impl Open {
    /// Opens a log: a compressed one is unpacked, a pipe is read as it comes.
    pub fn path(path: &Path) -> io::Result<Open> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        let packed = |file| io::BufReader::with_capacity(PACKED, file);
        let lines: Box<dyn Read + Send> = match packing(path) {
            Packing::Gzip => Box::new(MultiGzDecoder::new(packed(file))),
            Packing::Zstd => Box::new(ruzstd::decoding::StreamingDecoder::new(packed(file)).map_err(io::Error::other)?),
            Packing::Plain if meta.is_dir() => return Err(io::Error::from(io::ErrorKind::IsADirectory)),
            Packing::Plain if meta.is_file() && !is_csv(path) => return Ok(Open::File(file, meta.len())),
            Packing::Plain => Box::new(file),
        };
        Ok(Open::Stream(if is_csv(path) { Box::new(Rows::new(lines)) } else { lines }))
    }
}

fn is_csv(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| unpacked(name).ends_with(CSV))
}

/// A file's name without what says how it is packed.
fn unpacked(name: &str) -> &str {
    name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name)
}

fn packing(path: &Path) -> Packing {
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => Packing::Gzip,
        Some("zst") => Packing::Zstd,
        _ => Packing::Plain,
    }
}

/// The logs of a folder, by name. A link that leads out of the folder is not followed.
pub fn discover(folder: &Path) -> io::Result<Vec<Family>> {
    let root = fs::canonicalize(folder)?;
    let mut found: Vec<(String, Rotation, PathBuf)> = Vec::new();
    collect(&root, &root, &mut found)?;
    found.sort();
    let mut families: Vec<Family> = Vec::new();
    for (name, _, path) in found {
        match families.last_mut() {
            Some(family) if family.name == name => family.files.push(path),
            _ => families.push(Family { name, files: vec![path] }),
        }
    }
    Ok(families)
}

/// A single file as a family of its own, with its rotated predecessors beside it.
pub fn family_of(path: &Path) -> io::Result<Family> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Ok(Family { name: path.display().to_string(), files: vec![path.to_owned()] });
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let stem = split(name).map_or_else(|| name.to_owned(), |(stem, _)| stem);
    let mut files: Vec<(Rotation, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let Some((other, rotation)) = entry.file_name().to_str().and_then(split)
            && other == stem
        {
            files.push((rotation, entry.path()));
        }
    }
    files.sort();
    let own = split(name).map_or(Rotation::Current, |(_, rotation)| rotation);
    // Named on purpose: what is newer than it was not asked for.
    let files: Vec<PathBuf> =
        files.into_iter().filter(|(rotation, _)| *rotation >= own).map(|(_, path)| path).collect();
    Ok(Family { name: stem, files: if files.is_empty() { vec![path.to_owned()] } else { files } })
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<(String, Rotation, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let Ok(real) = fs::canonicalize(&path) else { continue };
        if !real.starts_with(root) {
            continue;
        }
        let Ok(meta) = fs::metadata(&real) else { continue };
        if meta.is_dir() {
            // A link to a folder inside would be read twice.
            if !entry.file_type()?.is_symlink() {
                collect(root, &path, found)?;
            }
        } else if meta.is_file()
            && let Some((stem, rotation)) = entry.file_name().to_str().and_then(split)
        {
            let below = folder.strip_prefix(root).unwrap_or(folder);
            let name = below.join(stem).to_string_lossy().into_owned();
            found.push((name, rotation, path));
        }
    }
    Ok(())
}

/// Which of a family's files one is; the newest sorts first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rotation {
    /// The one that is written.
    Current,
    /// `.1` is newer than `.2`.
    Number(u32),
    /// `-2025-10-17`, the latest first.
    Date(std::cmp::Reverse<String>),
}

/// The name of the log that a file belongs to, without its folder.
pub fn stem(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    split(name).map_or_else(|| name.to_owned(), |(stem, _)| stem)
}

/// A file name as log and rotation: `application.log`, `application.log.2.gz`, `application-2025-10-17.log.zst`.
fn split(name: &str) -> Option<(String, Rotation)> {
    let name = unpacked(name);
    let (base, number) = match name.rsplit_once('.') {
        Some((base, digits)) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            (base, Some(digits))
        }
        _ => (name, None),
    };
    let stem = [".log", ".jsonl", CSV].into_iter().find_map(|ending| base.strip_suffix(ending))?;
    let dated = stem.len().checked_sub(11).and_then(|at| stem.split_at_checked(at)).filter(|(_, date)| {
        let bytes = date.as_bytes();
        matches!(bytes[0], b'-' | b'.' | b'_') && date[1..].parse::<jiff::civil::Date>().is_ok()
    });
    Some(match (number, dated) {
        (Some(number), _) => (stem.to_owned(), Rotation::Number(number.parse().ok()?)),
        (None, Some((stem, date))) => (stem.to_owned(), Rotation::Date(std::cmp::Reverse(date[1..].to_owned()))),
        (None, None) => (stem.to_owned(), Rotation::Current),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_log_and_rotation() {
        let date = |date: &str| Rotation::Date(std::cmp::Reverse(date.to_owned()));
        for (name, expected) in [
            ("application.log", Some(("application", Rotation::Current))),
            ("application.log.2", Some(("application", Rotation::Number(2)))),
            ("errors.log.10.gz", Some(("errors", Rotation::Number(10)))),
            ("app-2025-10-17.log.zst", Some(("app", date("2025-10-17")))),
            ("executions.jsonl", Some(("executions", Rotation::Current))),
            ("app-2025-99-17.log", Some(("app-2025-99-17", Rotation::Current))),
            ("fallback_log_2025-10-17.csv", Some(("fallback_log", date("2025-10-17")))),
            ("fallback_log_2025-10-16.csv.gz", Some(("fallback_log", date("2025-10-16")))),
            ("notes.txt", None),
        ] {
            assert_eq!(split(name), expected.map(|(stem, rotation)| (stem.to_owned(), rotation)), "{name}");
        }
        assert!(Rotation::Current < Rotation::Number(1) && Rotation::Number(2) < Rotation::Number(10));
        assert!(date("2025-10-18") < date("2025-10-17"));
    }

    #[test]
    fn a_folder_is_its_logs_and_nothing_outside() {
        let root = std::env::temp_dir().join(format!("opsctl-files-{}", fastrand::u64(..)));
        let (logs, outside) = (root.join("logs"), root.join("outside.log"));
        fs::create_dir_all(logs.join("executors")).unwrap();
        for name in ["application.log", "application.log.1", "application.log.2.gz", "executors/notion.log", "x.txt"] {
            fs::write(logs.join(name), "").unwrap();
        }
        fs::write(&outside, "").unwrap();
        std::os::unix::fs::symlink(&outside, logs.join("errors.log")).unwrap();
        let found = discover(&logs).unwrap();
        let names: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.files.len())).collect();
        assert_eq!(names, [("application", 3), ("executors/notion", 1)]);
        assert!(found[0].files[2].ends_with("application.log.2.gz"));
        let named = family_of(&logs.join("application.log.1")).unwrap();
        assert_eq!(named.files.len(), 2);
        fs::remove_dir_all(&root).unwrap();
    }
}

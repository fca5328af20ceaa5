//! The fenced blocks of a Markdown file.

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commands,
    Json,
    Other,
}

/// One fenced block.
#[derive(Debug, PartialEq)]
pub(super) struct Fence<'a> {
    /// The word after the opening fence.
    language: &'a str,
    /// The number of the opening line, from 1.
    pub(super) line: usize,
    /// Its lines, each with its number.
    pub(super) lines: Vec<(usize, &'a str)>,
    /// Whether its end was found.
    pub(super) closed: bool,
}

impl Fence<'_> {
    pub(super) fn kind(&self) -> Kind {
        match self.language.to_ascii_lowercase().as_str() {
            "bash" | "sh" | "shell" | "zsh" | "console" | "shell-session" | "terminal" => Kind::Commands,
            "json" | "jsonc" => Kind::Json,
            // A block without a word may be anything: one of commands shows it.
            "" if self.lines.iter().any(|(_, line)| is_command(line)) => Kind::Commands,
            "" if self.lines.iter().find(|(_, l)| !l.trim().is_empty()).is_some_and(|(_, l)| l.trim() == "{") => {
                Kind::Json
            }
            _ => Kind::Other,
        }
    }
}

fn is_command(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches("$ ");
    line.starts_with("npm run ") || line.starts_with("opsctl ")
}

/// All blocks of a text, in its order.
pub(super) fn read(text: &str) -> Vec<Fence<'_>> {
    let mut fences = Vec::new();
    let mut open: Option<(Fence<'_>, char, usize)> = None;
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        let mark = mark_of(line);
        open = match (open, mark) {
            (None, Some((mark, length, rest))) => {
                let language = rest.split_whitespace().next().unwrap_or_default();
                let fence = Fence { language, line: number, lines: Vec::new(), closed: false };
                Some((fence, mark, length))
            }
            (None, None) => None,
            (Some((mut fence, mark, length)), Some((this, long, rest)))
                if this == mark && long >= length && rest.is_empty() =>
            {
                fence.closed = true;
                fences.push(fence);
                None
            }
            (Some((mut fence, mark, length)), _) => {
                fence.lines.push((number, line));
                Some((fence, mark, length))
            }
        };
    }
    fences.extend(open.map(|(fence, ..)| fence));
    fences
}

/// A fence's character, how often it stands there, and what follows; within a list it is indented.
fn mark_of(line: &str) -> Option<(char, usize, &str)> {
    let line = line.trim();
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = line.chars().take_while(|c| *c == mark).count();
    let rest = line[length..].trim();
    (length >= 3 && !(mark == '`' && rest.contains('`'))).then_some((mark, length, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_in_lists_and_within_longer_fences() {
        let text = "a\n```bash\nnpm run x\n```\n1. b\n   ~~~json\n   {}\n   ~~~\n````md\n```\n````\n```\nopsctl y";
        let found = read(text);
        let all: Vec<_> = found.iter().map(|f| (f.kind(), f.line, f.lines.len(), f.closed)).collect();
        assert_eq!(
            all,
            [
                (Kind::Commands, 2, 1, true),
                (Kind::Json, 6, 1, true),
                (Kind::Other, 9, 1, true),
                (Kind::Commands, 12, 1, false),
            ]
        );
        assert_eq!(found[1].lines, [(7, "   {}")]);
    }
}

//! The jobs as a block of a crontab.

use super::{Call, Scheduled};

fn begin(context: &str) -> String {
    format!("# BEGIN opsctl {context}")
}

fn end(context: &str) -> String {
    format!("# END opsctl {context}")
}

/// The block, without a line break at its end.
pub fn block(call: &Call, jobs: &[&Scheduled]) -> String {
    let mut lines = vec![begin(&call.context)];
    for job in jobs {
        let places = call.places.iter().map(|(name, value)| format!("{name}={}", shell(value)));
        let words = places.chain(call.words(job).iter().map(|word| shell(word))).collect::<Vec<_>>().join(" ");
        // cron ends the command at a bare percent sign.
        let words = words.replace('%', "\\%");
        // A guard that says no must not look like a failure.
        let guard = if job.monday { "[ \"$(date +\\%u)\" != 1 ] || " } else { "" };
        lines.push(format!("# {}", job.when));
        lines.push(format!("{} {guard}{words}", job.fields));
    }
    lines.push(end(&call.context));
    lines.join("\n")
}

/// A crontab with the block in it, in the place of one that was there.
pub fn with_block(crontab: &str, context: &str, block: &str) -> String {
    let lines: Vec<&str> = crontab.lines().collect();
    let from = lines.iter().position(|line| *line == begin(context));
    let to = from.and_then(|from| Some(from + lines[from..].iter().position(|line| *line == end(context))?));
    let mut all: Vec<&str> = Vec::new();
    match from.zip(to) {
        Some((from, to)) => {
            all.extend(&lines[..from]);
            all.extend(block.lines());
            all.extend(&lines[to + 1..]);
        }
        None => {
            all.extend(&lines);
            all.extend(block.lines());
        }
    }
    let mut text = all.join("\n");
    text.push('\n');
    text
}

/// A word as a shell reads it back.
fn shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::SCHEDULE;
    use super::*;

    fn call(context: &str) -> Call {
        Call {
            program: "/usr/bin/opsctl".into(),
            context: context.into(),
            more: vec!["--notify".into(), "slack:#ops".into()],
            places: Vec::new(),
        }
    }

    #[test]
    fn the_block_is_put_in_and_replaced_and_the_rest_stays() {
        let all: Vec<&Scheduled> = SCHEDULE.iter().collect();
        let first = block(&call("prod"), &all[..1]);
        let mine = "MAILTO=ana\n0 1 * * * backup\n";
        let with = with_block(mine, "prod", &first);
        assert!(with.starts_with(mine) && with.ends_with("# END opsctl prod\n"), "{with}");
        let other = with_block(&with, "dev", &block(&call("dev"), &all[..1]));
        let whole = with_block(&other, "prod", &block(&call("prod"), &all));
        assert_eq!(whole.matches("# BEGIN opsctl prod").count(), 1);
        assert!(whole.starts_with(mine) && whole.ends_with("# END opsctl dev\n"), "{whole}");
        assert_eq!(with_block(&whole, "prod", &block(&call("prod"), &all)), whole);
        let monthly = whole.lines().find(|line| line.contains("monthly")).unwrap();
        assert!(monthly.starts_with("0 9 1-7 * * [ \"$(date +\\%u)\" != 1 ] || /usr/bin/opsctl "), "{monthly}");
        assert!(monthly.ends_with("--notify 'slack:#ops'"), "{monthly}");
    }

    #[test]
    fn a_begin_without_an_end_is_left_alone() {
        let broken = "# BEGIN opsctl prod\n* * * * * mine\n";
        let with = with_block(broken, "prod", "# BEGIN opsctl prod\n# END opsctl prod");
        assert!(with.starts_with(broken), "{with}");
    }
}
